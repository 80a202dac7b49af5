//! Verdicts on made-up results.

use super::*;
use crate::report::input::ModelSummary;
use crate::report::testing::{input, of_head, parsed, row, with};
use crate::store::{AxisValue, Better, ResultRow};

const TABLE: &str = "kind = \"claims\"\ntitle = \"The paper's claims\"\nmetric = \"top1\"\n";

const BLOCKS: [u32; 5] = [1, 4, 7, 11, 13];
const TIMESTEPS: [u32; 3] = [10, 90, 300];
const POOLS: [u32; 2] = [1, 2];

fn claims(text: &str) -> Arc<dyn Table> {
    let (table, mistakes) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    table.unwrap()
}

/// Results by a formula of block, timestep, pool and seed, of a network with 13 blocks: the middle third is 5 to 9.
fn results(seeds: u64, value: impl Fn(u32, u32, u32, u64) -> f64) -> ReportInput {
    let mut rows = Vec::new();
    for block in BLOCKS {
        for timestep in TIMESTEPS {
            for pool in POOLS {
                for seed in 0..seeds {
                    let at = with(
                        row(seed, value(block, timestep, pool, seed)),
                        [
                            ("block", block.into()),
                            ("timestep", timestep.into()),
                            ("pool", pool.into()),
                            ("extraction", format!("at-{timestep}").into()),
                        ],
                    );
                    let head = format!("{block:016x}{timestep:016x}{pool:016x}{seed:016x}");
                    rows.push(of_head(at, head));
                }
            }
        }
    }
    let mut input = input(rows);
    input.models = vec![ModelSummary {
        name: "tiny".to_owned(),
        blocks: 13,
        ..ModelSummary::default()
    }];
    input
}

/// As the paper has it: 0.06 per step of three blocks away from block 7, noise costs 0.01 and then 0.05, a pool of 2 gains 0.01.
fn like_the_paper(block: u32, timestep: u32, pool: u32) -> f64 {
    let away = f64::from(block.abs_diff(7)) / 3.0;
    let noise = match timestep {
        10 => 0.0,
        90 => 0.01,
        _ => 0.06,
    };
    0.8 - 0.06 * away - noise + 0.01 * f64::from(pool - 1)
}

/// A little that differs from seed to seed and from cell to cell.
fn wobble(block: u32, timestep: u32, pool: u32, seed: u64) -> f64 {
    let mixed = u64::from(block * 7 + timestep * 3 + pool * 5) + seed * 11;
    // Below 7, so that the conversion is exact.
    f64::from(u32::try_from(mixed % 7).unwrap()) / 7000.0
}

/// A number in [0, 1) that looks like chance: the finalizer of SplitMix64.
fn mixed(seed: u64) -> f64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap()) / 4_294_967_296.0
}

fn verdicts(input: &ReportInput) -> Vec<String> {
    let rendered = claims(TABLE).render(input).unwrap();
    rendered
        .body
        .lines()
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            cells[3].trim_end_matches(" |").to_owned()
        })
        .collect()
}

fn measured(input: &ReportInput, row: usize) -> String {
    let rendered = claims(TABLE).render(input).unwrap();
    let line = rendered.body.lines().nth(row + 2).unwrap().to_owned();
    line.split(" | ").nth(2).unwrap().to_owned()
}

#[test]
fn the_paper_s_pattern_holds() {
    let like = results(3, |block, timestep, pool, seed| {
        like_the_paper(block, timestep, pool) + wobble(block, timestep, pool, seed)
    });
    assert_eq!(verdicts(&like), ["**holds**"; 5]);
    let rendered = claims(TABLE).render(&like).unwrap();
    insta::assert_snapshot!(format!(
        "### {}\n\n{}\n\n{}\n{}\n",
        rendered.title,
        rendered.caption,
        rendered.body,
        rendered.notes.join("<br>\n")
    ));
}

#[test]
fn numbers_are_those_worked_out_by_hand() {
    // No wobble, so that every seed agrees: along the blocks 0.12, along the timesteps 0.06, along the pools 0.01.
    let exact = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    assert_eq!(
        measured(&exact, 0),
        "sensitivity to block 12.00, to timestep 6.00, to pool 1.00; block less timestep: 6.00 ± 0.00"
    );
    assert_eq!(
        measured(&exact, 1),
        "sensitivity to pool 1.00, the smaller of the others is to timestep, 6.00; timestep less pool: 5.00 ± 0.00"
    );
    // Block 7: 0.8 - 0.07 / 3 + 0.005; the next is 0.06 below.
    assert_eq!(
        measured(&exact, 2),
        "the best within the middle third (blocks 5 to 9 of 13) is block 7 (78.17), outside block 4 (72.17); difference 6.00 ± 0.00"
    );
    // Over the blocks 0.8 - 0.06 · 6.333 / 5 + 0.005 at t = 10, and 0.06 less at t = 300.
    assert_eq!(
        measured(&exact, 3),
        "the best within the lower half (up to t = 90) is timestep 10 (72.90), outside timestep 300 (66.90); difference 6.00 ± 0.00"
    );
    assert_eq!(
        measured(&exact, 4),
        "the largest fall at high noise is 5.00 (t = 90 to 300), the largest change before 1.00 (t = 10 to 90); difference 4.00 ± 0.00"
    );
}

#[test]
fn the_opposite_does_not_hold() {
    // The pool decides most and the block least, the ends are best, and noise helps.
    let opposite = results(3, |block, timestep, pool, seed| {
        let away = f64::from(block.abs_diff(7)) / 3.0;
        let noise = f64::from(timestep) / 3000.0;
        0.3 + 0.02 * away + noise + 0.3 * f64::from(pool - 1) + wobble(block, timestep, pool, seed)
    });
    assert_eq!(verdicts(&opposite), ["**does not hold**"; 5]);
}

#[test]
fn what_the_seeds_do_not_settle_cannot_be_told() {
    let alike = results(2, |_, _, _, _| 0.5);
    for verdict in verdicts(&alike) {
        assert_eq!(verdict, "cannot be told: there is no difference");
    }
    let once = results(1, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    for verdict in verdicts(&once) {
        assert_eq!(verdict, "cannot be told: one run only");
    }
    assert!(measured(&once, 0).ends_with("6.00 ± –"));
}

#[test]
fn how_often_chance_is_taken_for_an_effect() {
    // The largest of five noisy values is above the larger of two. Picked and measured on the same runs, that would always count.
    let (repetitions, seeds) = (100_u64, 5);
    let mut told = [0; 5];
    for repetition in 0..repetitions {
        let chance = results(seeds, |block, timestep, pool, seed| {
            let cell = u64::from(block * 10_000 + timestep * 10 + pool);
            0.5 + 0.02 * mixed((cell * repetitions + repetition) * seeds + seed)
        });
        for (count, verdict) in told.iter_mut().zip(verdicts(&chance)) {
            *count += u32::from(!verdict.starts_with("cannot be told"));
        }
    }
    // Two standard errors of five runs leave 12 in 100 where the cells are given; that they are picked leaves more, as the text
    // below the table says.
    assert!(told.iter().all(|count| *count <= 36), "{told:?}");
}

#[test]
fn a_shift_that_all_cells_of_a_seed_share_hides_nothing() {
    let shifted = results(3, |block, timestep, pool, seed| {
        like_the_paper(block, timestep, pool)
            + 0.05 * [0.0, 1.0, 3.0][usize::try_from(seed).unwrap()]
    });
    assert_eq!(verdicts(&shifted), ["**holds**"; 5]);
}

fn at(row: &ResultRow, axis: &str) -> AxisValue {
    row.axes[axis].clone()
}

#[test]
fn too_few_values_are_not_enough() {
    let mut few = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    few.results
        .retain(|row| at(row, "timestep") != 90_u32.into() && at(row, "pool") == 1_u32.into());
    assert_eq!(
        verdicts(&few),
        [
            "cannot be told: too few values: 2 timesteps instead of 3 and 1 pool instead of 2",
            "cannot be told: too few values: 2 timesteps instead of 3 and 1 pool instead of 2",
            "**holds**",
            "cannot be told: too few values: 2 timesteps instead of 3",
            "cannot be told: too few values: 2 timesteps instead of 3",
        ]
    );
    few.models.clear();
    assert_eq!(
        verdicts(&few)[2],
        "cannot be told: how many blocks the network has is not known"
    );
}

#[test]
fn gaps_are_closed_by_leaving_out_as_little_as_possible() {
    let mut gaps = results(3, |block, timestep, pool, seed| {
        like_the_paper(block, timestep, pool) + wobble(block, timestep, pool, seed)
    });
    // Block 13 lacks one pool, and one cell lacks a seed.
    gaps.results.retain(|row| {
        let is = |axis: &str, value: u32| at(row, axis) == value.into();
        let is_one_pool = is("block", 13) && is("pool", 2);
        let is_one_seed = is("block", 4) && is("timestep", 10) && is("seed", 2);
        !(is_one_pool || is_one_seed)
    });
    assert_eq!(verdicts(&gaps), ["**holds**"; 5]);
    let rendered = claims(TABLE).render(&gaps).unwrap();
    assert!(
        rendered
            .caption
            .contains("a grid of 4 blocks, 3 timesteps and 2 pools"),
        "{}",
        rendered.caption
    );
    let remarks = &rendered.notes[rules::IN_WORDS.len()..];
    assert_eq!(
        remarks,
        [
            "Left out, so that the grid has no gaps: block 13.",
            "Only what all cells have is used: 2 runs of at most 3."
        ]
    );
}

#[test]
fn several_models_are_refused() {
    let mut two = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    two.results[0]
        .axes
        .insert("model".to_owned(), "other".into());
    let error = claims(TABLE).render(&two).unwrap_err().to_string();
    assert!(
        error.contains("the results differ in `model` too"),
        "{error}"
    );
    let one = claims(&format!(
        "{TABLE}where = {{ model = \"tiny\", seed = 1 }}\n"
    ));
    assert!(one.render(&two).is_ok());
    for better in [Better::Lower, Better::Neither] {
        for row in &mut two.results {
            row.better = better;
            row.axes.insert("model".to_owned(), "tiny".into());
        }
        let error = claims(TABLE).render(&two).unwrap_err().to_string();
        assert!(
            error.contains("higher values of `top1` are not better"),
            "{error}"
        );
    }
}

#[test]
fn an_axis_of_the_claims_cannot_be_averaged_over() {
    let (table, mistakes) = parsed(&format!("{TABLE}over = [\"seed\", \"pool\"]\n"), |fields| {
        KIND.read_with(fields, &KnownAxes::default())
    });
    assert!(table.is_none());
    assert!(
        mistakes[0].starts_with("report::axis-twice"),
        "{mistakes:?}"
    );
}
