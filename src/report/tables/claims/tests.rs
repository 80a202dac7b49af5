//! Verdicts on made-up results.

use super::*;
use crate::report::input::{DatasetSummary, ModelSummary};
use crate::report::testing::{FirstOnes, input, of_head, parsed, row, with};
use crate::store::{AxisValue, Better, ResultRow};

const TABLE: &str = "kind = \"claims\"\ntitle = \"The paper's claims\"\nmetric = \"top1\"\n";

const BLOCKS: [u32; 5] = [1, 5, 7, 9, 13];
const TIMESTEPS: [u32; 3] = [10, 90, 300];
const POOLS: [u32; 2] = [1, 2];

fn table(text: &str) -> Arc<dyn Table> {
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
    let ratios = TIMESTEPS.into_iter().zip([4.0, 2.0, -0.5]);
    input.log_snr.insert("tiny".to_owned(), ratios.collect());
    input
}

/// As the paper has it: 0.09 per step of three blocks away from block 7, a peak at t = 90 with 0.03 and 0.09 less beside it, and a pool of 2
/// gains 0.01.
fn like_the_paper(block: u32, timestep: u32, pool: u32) -> f64 {
    let away = f64::from(block.abs_diff(7)) / 3.0;
    let noise = match timestep {
        10 => 0.03,
        90 => 0.0,
        _ => 0.09,
    };
    0.8 - 0.09 * away - noise + 0.01 * f64::from(pool - 1)
}

/// A little that differs from seed to seed and from cell to cell.
fn wobble(block: u32, timestep: u32, pool: u32, seed: u64) -> f64 {
    let mixed = u64::from(block * 7 + timestep * 3 + pool * 5) + seed * 11;
    // Below 7, so that the conversion is exact.
    f64::from(u32::try_from(mixed % 7).unwrap()) / 7000.0
}

fn rendered(input: &ReportInput) -> RenderedTable {
    let table = table(TABLE);
    let compared = table.compare(input, &FirstOnes).unwrap();
    table
        .render(input, Compared::at(Some(&compared), ""))
        .unwrap()
}

/// The verdicts on the rows about the grid, in their order.
fn verdicts(input: &ReportInput) -> Vec<String> {
    let compared = table(TABLE).compare(input, &FirstOnes).unwrap();
    let of_grid = compared
        .into_iter()
        .filter(|one| rules::CLAIMS.contains(&one.subject.as_str()));
    of_grid
        .map(|one| match one.verdict.as_str() {
            NOT_APPLICABLE => one.text,
            verdict => verdict.to_owned(),
        })
        .collect()
}

fn shown(rendered: &RenderedTable) -> String {
    format!(
        "### {}\n\n{}\n\n{}\n{}\n",
        rendered.title,
        rendered.caption,
        rendered.body.markdown(),
        rendered.notes.join("<br>\n")
    )
}

#[test]
fn the_paper_s_pattern_is_confirmed() {
    let like = results(3, |block, timestep, pool, seed| {
        like_the_paper(block, timestep, pool) + wobble(block, timestep, pool, seed)
    });
    // Within the middle third blocks differ by 0.04 and timesteps by 0.06.
    assert_eq!(
        verdicts(&like),
        [
            CONFIRMED, REFUTED, CONFIRMED, CONFIRMED, CONFIRMED, CONFIRMED, CONFIRMED, CONFIRMED
        ]
    );
    insta::assert_snapshot!(shown(&rendered(&like)));
}

#[test]
fn numbers_are_those_worked_out_by_hand() {
    // Two seeds that agree. Along the blocks 0.18, 0.06, 0, 0.06 and 0.18 are lost: pairs differ by 0.96 / 10. Timesteps differ by 0.03, 0.06
    // and 0.09.
    let exact = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    let body = rendered(&exact).body.markdown();
    for text in [
        "mean absolute difference of two blocks 9.60, of two timesteps 6.00 and of two pools 1.00",
        "t = 90 (70.90), t = 10 (67.90) and t = 300 (61.90)",
        // 0.8 - 0.04 + 0.005, and 0.18 less.
        "(blocks 5 to 9 of 13) and the best outside: block 7 (76.50) and block 1 (58.50)",
        // 0.09 over 2.5, and 0.03 over 2.
        "3.60 (t = 90 to 300) and 1.50 (t = 10 to 90)",
    ] {
        assert!(body.contains(text), "{text}: {body}");
    }
}

#[test]
fn the_opposite_is_refuted() {
    // The pool decides most and the block least, the ends are best, and noise helps.
    let opposite = results(3, |block, timestep, pool, seed| {
        let away = f64::from(block.abs_diff(7)) / 3.0;
        let noise = f64::from(timestep) / 3000.0;
        0.3 + 0.02 * away + noise + 0.3 * f64::from(pool - 1) + wobble(block, timestep, pool, seed)
    });
    assert_eq!(verdicts(&opposite), [REFUTED; 8]);
}

#[test]
fn nothing_is_decided_where_nothing_differs() {
    let alike = results(2, |_, _, _, _| 0.5);
    assert_eq!(verdicts(&alike), [UNDECIDED; 8]);
}

#[test]
fn a_straight_line_over_log_snr_is_no_steep_drop() {
    // As steep at high noise as before, though the last step is the longest.
    let straight = results(3, |_, timestep, _, _| match timestep {
        10 => 0.8,
        90 => 0.7,
        _ => 0.575,
    });
    assert_eq!(verdicts(&straight)[4], UNDECIDED);
}

#[test]
fn a_shift_that_all_cells_of_a_seed_share_hides_nothing() {
    let shifted = results(3, |block, timestep, pool, seed| {
        like_the_paper(block, timestep, pool)
            + 0.05 * [0.0, 1.0, 3.0][usize::try_from(seed).unwrap()]
    });
    let verdicts = verdicts(&shifted);
    assert_eq!(
        (verdicts[0].as_str(), verdicts[7].as_str()),
        (CONFIRMED, CONFIRMED)
    );
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
    let both = "2 timesteps instead of at least 3 and 1 pool instead of at least 2";
    let timesteps = "2 timesteps instead of at least 3";
    assert_eq!(
        verdicts(&few),
        [
            both, both, both, both, timesteps, timesteps, timesteps, CONFIRMED
        ]
    );
    few.models.clear();
    few.log_snr.clear();
    assert_eq!(
        verdicts(&few)[7],
        "how many blocks the network has is not known"
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
        let is_one_seed = is("block", 5) && is("timestep", 10) && is("seed", 2);
        !(is_one_pool || is_one_seed)
    });
    let rendered = rendered(&gaps);
    assert!(
        rendered
            .caption
            .contains("4 blocks, 3 timesteps and 2 pools"),
        "{}",
        rendered.caption
    );
    assert_eq!(
        rendered.notes,
        [
            "Left out, so that the grid has no gaps: block 13.",
            "Only what all cells have is used: 2 runs of at most 3."
        ]
    );
}

#[test]
fn without_the_file_of_comparisons_every_claim_says_so() {
    let like = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    let rendered = table(TABLE).render(&like, Compared::at(None, "")).unwrap();
    assert_eq!(
        rendered
            .body
            .markdown()
            .matches("|  |  | no file of comparisons<sup>1</sup> |")
            .count(),
        claims::ALL.len()
    );
    assert!(rendered.notes[0].ends_with("that file is not there."));
}

/// Results of a linear and an attention head on aircraft, and of SimCLR under a linear head.
fn on_aircraft(heads: &[&str]) -> ReportInput {
    let mut input = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    input.datasets = vec![DatasetSummary {
        name: "fashion".to_owned(),
        kind: "subset".to_owned(),
        part_of: vec!["aircraft".to_owned()],
        ..DatasetSummary::default()
    }];
    input.models[0].kind = "guided-diffusion".to_owned();
    input.models.push(ModelSummary {
        name: "simclr".to_owned(),
        kind: "resnet".to_owned(),
        configuration: "resnet-50-simclr".to_owned(),
        ..ModelSummary::default()
    });
    for row in &mut input.results {
        row.axes.insert("weights".to_owned(), "blake3:1".into());
    }
    for (number, head) in heads.iter().enumerate() {
        for seed in 0..2_u32 {
            let value = 0.9 - 0.05 * f64::from(u32::try_from(number).unwrap());
            let own = with(
                row(seed.into(), value),
                [
                    ("head", (*head).into()),
                    ("head_kind", (*head).into()),
                    ("weights", "blake3:1".into()),
                ],
            );
            input.results.push(of_head(
                own,
                format!("{:064x}", 0xffff + 16 * number + seed as usize),
            ));
        }
    }
    for seed in 0..2_u32 {
        let own = with(
            row(seed.into(), 0.78),
            [("model", "simclr".into()), ("weights", "blake3:2".into())],
        );
        input
            .results
            .push(of_head(own, format!("{:064x}", 0xeeee + seed as usize)));
    }
    input
}

#[test]
fn claims_about_other_networks_need_both_sides() {
    let verdict = |input: &ReportInput, id: &str| {
        let table = table(&format!(
            "{TABLE}where = {{ model = \"tiny\", head = \"linear\", block = {BLOCKS:?}, timestep = [10, 90, 300], pool = [1, 2], extraction = [\"at-10\", \"at-90\", \"at-300\"] }}\n"
        ));
        let compared = table.compare(input, &FirstOnes).unwrap();
        let found = compared.into_iter().find(|one| one.subject == id).unwrap();
        (found.verdict, found.text)
    };
    let reason = |input: &ReportInput, id: &str| verdict(input, id).1;
    let two = on_aircraft(&["attention"]);
    assert_eq!(
        reason(&two, claims::AIRCRAFT_ABOVE_SIMCLR),
        "no results of trained diffusion networks under mlp heads on aircraft"
    );
    assert_eq!(
        reason(&two, claims::SIMCLR_SWAV_ABOVE_GD),
        "no results of SwAV on aircraft"
    );
    assert_eq!(
        reason(&two, claims::CUB_POOL_3X),
        "no results on the dataset kind cub"
    );
    assert_eq!(reason(&two, claims::CKA_EARLY_ALIKE), "no results of CKA");
    // attention 0.90, mlp 0.85, cnn 0.80, and the best linear one 0.81: all four are above SimCLR's 0.78.
    let four = on_aircraft(&["attention", "mlp", "cnn"]);
    let (above, measured) = verdict(&four, claims::AIRCRAFT_ABOVE_SIMCLR);
    assert_eq!(above, CONFIRMED, "{measured}");
    assert_eq!(verdict(&four, claims::ATTENTION_WORST_ON_FGVC).0, REFUTED);
}

#[test]
fn several_models_are_refused() {
    let mut two = results(2, |block, timestep, pool, _| {
        like_the_paper(block, timestep, pool)
    });
    two.results[0]
        .axes
        .insert("model".to_owned(), "other".into());
    let error = table(TABLE)
        .render(&two, Compared::at(None, ""))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the results differ in `model` too"),
        "{error}"
    );
    let one = table(&format!(
        "{TABLE}where = {{ model = \"tiny\", seed = 1 }}\n"
    ));
    assert!(one.render(&two, Compared::at(None, "")).is_ok());
    for better in [Better::Lower, Better::Neither] {
        for row in &mut two.results {
            row.better = better;
            row.axes.insert("model".to_owned(), "tiny".into());
        }
        let error = table(TABLE)
            .render(&two, Compared::at(None, ""))
            .unwrap_err()
            .to_string();
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
