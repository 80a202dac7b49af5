//! Grids out of made-up rows.

use super::*;
use crate::report::input::MissingResult;
use crate::report::testing::{FirstOnes, input, of_head, parsed, row, with};
use crate::store::ResultRow;

fn grid(text: &str) -> Arc<dyn Table> {
    let (table, mistakes) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    table.unwrap()
}

fn at(timestep: u32, block: u32, seed: u64, value: f64) -> ResultRow {
    let at = [("timestep", timestep.into()), ("block", block.into())];
    let head = format!("{timestep:032x}{block:016x}{seed:016x}");
    of_head(with(row(seed, value), at), head)
}

#[test]
fn cells_are_means_and_the_highest_is_bold() {
    let results = vec![
        at(90, 19, 0, 0.80),
        at(90, 19, 1, 0.82),
        at(90, 19, 2, 0.87),
        at(90, 24, 0, 0.5),
        at(90, 24, 1, 0.5),
        at(90, 24, 2, 0.5),
    ];
    let table = grid(
        "kind = \"grid\"\nmetric = \"top1\"\ntitle = \"A\"\nrows = \"block\"\ncolumns = \"timestep\"\n",
    );
    let rendered = table.render(&input(results), unknown()).unwrap();
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 |\n| ---: | ---: |\n| 19 | **83.00 ± 3.61** |\n| 24 | 50.00 ± 0.00 |\n"
    );
    assert_eq!(
        rendered.caption,
        "`top1`, in percent: mean ± standard deviation over 3 seeds (0, 1, 2); n = 1,000 test images of fashion."
    );
    assert_eq!(rendered.notes, ["Bold: the highest printed mean."]);
    assert!(
        rendered.fixed.contains(&"pool 1".to_owned())
            && !rendered.fixed.iter().any(|text| text.starts_with("seed"))
    );
}

/// Three seeds of one block and one of another, with `spread` as given.
/// No file of comparisons.
fn unknown() -> Compared<'static> {
    Compared::at(None, "")
}

fn with_spread(spread: &str) -> RenderedTable {
    let results = vec![
        at(90, 19, 0, 0.80),
        at(90, 19, 1, 0.82),
        at(90, 19, 2, 0.87),
        at(90, 24, 0, 0.5),
    ];
    let table = grid(&format!(
        "kind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\nspread = \"{spread}\"\n"
    ));
    table.render(&input(results), unknown()).unwrap()
}

#[test]
fn an_interval_over_seeds_is_students() {
    let rendered = with_spread("seeds");
    // 83 ± 4.30265 · 3.60555 / sqrt(3).
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 |\n| ---: | ---: |\n| 19 | **83.00 [74.04, 91.96]** |\n| 24 | 50.00<sup>1</sup> |\n"
    );
    assert_eq!(
        rendered.caption,
        "`top1`, in percent: mean over 1 to 3 seeds (0, 1, 2), with the 95 % interval of the mean; n = 1,000 test images of fashion."
    );
    assert_eq!(rendered.notes[0], "<sup>1</sup> 1 result instead of 3.");
}

#[test]
fn one_seed_has_no_interval_over_seeds_and_the_caption_says_so() {
    let table = grid(
        "kind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\nspread = \"seeds\"\n",
    );
    let rendered = table
        .render(&input(vec![at(90, 19, 0, 0.8)]), unknown())
        .unwrap();
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 |\n| ---: | ---: |\n| 19 | 80.00 |\n"
    );
    assert!(
        rendered
            .caption
            .starts_with("`top1`, in percent: one seed each (0); n ="),
        "{}",
        rendered.caption
    );
}

#[test]
fn an_interval_over_images_is_the_mean_of_the_bounds() {
    let rendered = with_spread("images");
    // The made-up bounds are 3 below and 2 above each value.
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 |\n| ---: | ---: |\n| 19 | **83.00 [80.00, 85.00]** |\n| 24 | 50.00 [47.00, 52.00]<sup>1</sup> |\n"
    );
    assert_eq!(
        rendered.caption,
        "`top1`, in percent: mean over 1 to 3 seeds (0, 1, 2), with the mean of the seeds' 95 % intervals over the scored images; n = 1,000 test images of fashion."
    );
    let table = grid(
        "kind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"seed\"\nover = []\nspread = \"images\"\n",
    );
    let rendered = table
        .render(&input(vec![at(90, 19, 0, 0.8)]), unknown())
        .unwrap();
    assert!(
        rendered.caption.starts_with(
            "`top1`, in percent: single values, with the 95 % interval over the scored images; n = 1"
        ),
        "{}",
        rendered.caption
    );
}

#[test]
fn the_default_is_the_deviation() {
    let rendered = with_spread("deviation");
    assert!(
        rendered
            .body
            .markdown()
            .contains("| 19 | **83.00 ± 3.61** |")
    );
    assert!(
        rendered
            .caption
            .contains("mean ± standard deviation over 1 to 3 seeds (0, 1, 2);")
    );
}

#[test]
fn an_interval_over_seeds_needs_means_over_seeds_alone() {
    for over in ["[]", "[\"draw\"]", "[\"seed\", \"draw\"]"] {
        let (table, mistakes) = parsed(
            &format!(
                "kind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"pool\"\nspread = \"seeds\"\nover = {over}\n"
            ),
            |fields| KIND.read_with(fields, &KnownAxes::default()),
        );
        assert!(
            table.is_none() && mistakes[0].starts_with("report::no-seeds"),
            "{over}: {mistakes:?}"
        );
    }
}

#[test]
fn the_best_is_bold_by_the_direction_of_the_metric_and_nothing_without_one() {
    let results = vec![at(90, 19, 0, 0.2), at(90, 24, 0, 0.1)];
    let table =
        grid("metric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\nkind = \"grid\"\n");
    let rendered = |better| {
        let mut results = results.clone();
        for row in &mut results {
            row.better = better;
        }
        table.render(&input(results), unknown()).unwrap()
    };
    let higher = rendered(Better::Higher);
    assert!(higher.body.markdown().contains("**20.00"), "{higher:?}");
    assert!(
        higher.notes[0].contains("the highest printed"),
        "{higher:?}"
    );
    let lower = rendered(Better::Lower);
    assert!(lower.body.markdown().contains("**10.00"), "{lower:?}");
    assert!(lower.notes[0].contains("the lowest printed"), "{lower:?}");
    let neither = rendered(Better::Neither);
    assert!(
        !neither.body.markdown().contains("**") && neither.notes.is_empty(),
        "{neither:?}"
    );
}

#[test]
fn missing_cells_say_why_and_so_do_thin_ones() {
    let mut input = input(vec![
        at(90, 19, 0, 0.8),
        at(90, 19, 1, 0.8),
        at(150, 24, 0, 0.5),
    ]);
    let missing = |pairs: &[(&str, &str)], why: &str| MissingResult {
        metric: "top1".to_owned(),
        axes: pairs
            .iter()
            .map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned()))
            .collect(),
        why: why.to_owned(),
    };
    input.missing = vec![
        missing(
            &[("timestep", "150"), ("block", "19")],
            "out of memory: 3 of 2 GiB | <b>",
        ),
        missing(&[("timestep", "300"), ("block", "19")], "not run yet"),
    ];
    let table =
        grid("metric = \"top1\"\nrows = \"block\"\ncolumns = [\"timestep\"]\nkind = \"grid\"\n");
    let rendered = table.render(&input, unknown()).unwrap();
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 | timestep 150 | timestep 300 |\n| ---: | ---: | ---: | ---: |\n\
         | 19 | **80.00 ± 0.00** | out of memory<sup>1</sup> | not run yet |\n\
         | 24 | no such combination | 50.00<sup>2</sup> | no such combination |\n"
    );
    assert_eq!(
        rendered.notes[0],
        "<sup>1</sup> out of memory: 3 of 2 GiB \\| &lt;b&gt;."
    );
    assert_eq!(rendered.notes[1], "<sup>2</sup> 1 result instead of 2.");
    assert!(
        rendered.caption.contains("over 1 to 2 seeds"),
        "{}",
        rendered.caption
    );
}

#[test]
fn two_axes_across_name_both_and_hostile_names_are_escaped() {
    let hostile = with(at(90, 19, 0, 0.5), [("model", "a|<script>\nb".into())]);
    let table = grid(
        "metric = \"top1\"\nrows = \"model\"\ncolumns = [\"timestep\", \"pool\"]\nkind = \"grid\"\n",
    );
    let rendered = table.render(&input(vec![hostile]), unknown()).unwrap();
    assert_eq!(
        rendered.body.markdown(),
        "| model | timestep 90, pool 1 |\n| :--- | ---: |\n| a\\|&lt;script&gt; b | 50.00 |\n"
    );
}

#[test]
fn mistakes_are_found_where_they_stand() {
    let (table, mistakes) = parsed(
        "kind = \"grid\"\nmetric = \"top1\"\nrows = \"blok\"\ncolumns = [\"pool\", \"pool\"]\nwhere = { tmestep = 1, split = true }\ncolor = 1\n",
        |fields| KIND.read_with(fields, &KnownAxes::default()),
    );
    assert!(table.is_none());
    let codes: Vec<&str> = mistakes
        .iter()
        .filter_map(|mistake| mistake.split(": ").next())
        .collect();
    assert_eq!(
        codes,
        [
            "report::unknown-axis",
            "report::axis-twice",
            "report::unknown-axis",
            "spec::wrong-type",
            "spec::unknown-key"
        ]
    );
}

#[test]
fn an_interval_over_images_is_crossed_with_the_seeds_where_scores_are_known() {
    let results = input(vec![
        at(90, 19, 0, 0.80),
        at(90, 19, 1, 0.82),
        at(90, 19, 2, 0.87),
        at(90, 24, 0, 1.0),
    ]);
    let table = grid(
        "kind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\nspread = \"images\"\n",
    );
    let compared = table.compare(&results, &FirstOnes).unwrap();
    let rendered = table
        .render(&results, Compared::at(Some(&compared), ""))
        .unwrap();
    // The variance over seeds is 0.0013 / 3, over images 0.000126; t of 2 and of 999 degrees of freedom make the reach 0.0923, which is
    // worth 63.7 images to Wilson. Where all 1,000 are right, the lower bound is 1,000 / (1,000 + 1.96²).
    assert_eq!(
        rendered.body.markdown(),
        "| block | timestep 90 |\n| ---: | ---: |\n| 19 | 83.00 [71.97, 90.27] |\n| 24 | **100.00 [99.62, 100.00]**<sup>1</sup> |\n"
    );
    assert!(
        rendered
            .caption
            .contains("the 95 % interval over the scored images and the seeds;"),
        "{}",
        rendered.caption
    );
}
