//! A comparison of made-up results, worked out by hand.

use super::*;
use crate::message::Hint;
use crate::report::input::MissingResult;
use crate::report::input::ReportInput;
use crate::report::testing::{FirstOnes, input, of_head, parsed, row, with};
use crate::store::{Better, ResultRow};

const TABLE: &str = "kind = \"comparison\"\ntitle = \"Who is best\"\nmetric = \"top1\"\nby = \"model\"\nreference = \"unet\"\n";

fn comparison(text: &str) -> Arc<dyn Table> {
    let (table, mistakes) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    table.unwrap()
}

/// A rendering with the comparisons of made-up scores, or without their file.
trait Showing {
    fn shown(&self, input: &ReportInput) -> Result<RenderedTable, ReportError>;
    fn without_file(&self, input: &ReportInput) -> RenderedTable;
}

impl Showing for Arc<dyn Table> {
    fn shown(&self, input: &ReportInput) -> Result<RenderedTable, ReportError> {
        let compared = self.compare(input, &FirstOnes)?;
        self.render(input, Compared::at(Some(&compared), ""))
    }

    fn without_file(&self, input: &ReportInput) -> RenderedTable {
        self.render(input, Compared::at(None, "")).unwrap()
    }
}

fn at(model: &str, block: u32, pool: u32, seed: u64, value: f64) -> ResultRow {
    let at = with(
        row(seed, value),
        [
            ("model", model.into()),
            ("extraction", format!("{model}-taps").into()),
            ("block", block.into()),
            ("pool", pool.into()),
        ],
    );
    let head = format!("{model}{block:04}{pool:04}{seed:04}");
    of_head(at, format!("{head:0>64}"))
}

/// The best of `unet` is at block 7, pool 2: 0.80, 0.82, 0.87; that of `raw` at pool 28: 0.70, 0.72, 0.74.
fn results() -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (seed, value) in [(0, 0.80), (1, 0.82), (2, 0.87)] {
        rows.push(at("unet", 7, 2, seed, value));
        rows.push(at("unet", 7, 1, seed, value - 0.1));
        rows.push(at("unet", 9, 2, seed, value - 0.2));
        rows.push(at("raw", 1, 7, seed, 0.5));
    }
    for (seed, value) in [(0, 0.70), (1, 0.72), (2, 0.74)] {
        rows.push(at("raw", 1, 28, seed, value));
    }
    rows.push(at("once", 1, 1, 0, 0.9));
    rows
}

#[test]
fn the_best_of_each_is_compared_with_the_reference() {
    let rendered = comparison(TABLE).shown(&input(results())).unwrap();
    // unet: 0.83, deviation 0.036056, error 0.020817. raw: 0.72, deviation 0.02, error 0.011547. Of the first ones, images 700 to 799 are
    // right for unet alone in seed 0, 720 to 819 and 740 to 869 in the others: differences of 0.10, 0.10 and 0.13, whose variance over
    // seeds is 0.0003 / 3; over images it is 7.3529e-5, and 0.11 ± √(1.9623² · 7.3529e-5 + 4.3027² · 1e-4) is the interval.
    assert_eq!(
        rendered.body.markdown(),
        "| model | mean ± standard error | reached at | picked | gained by picking, points |\n\
         | :--- | ---: | :--- | :--- | ---: |\n\
         | once | 90.00<sup>1</sup> | block 1, pool 1 | the only one | nothing picked |\n\
         | unet | 83.00 ± 2.08 | block 7, pool 2 | best of 3 on the test images: optimistic | 0.00 |\n\
         | raw | 72.00 ± 1.15 | block 1, pool 28 | best of 2 on the test images: optimistic | 0.00 |\n\
         \n\
         | compared | difference, points | 95 % interval | p | p by Holm | right: the first alone, the second alone (p) |\n\
         | :--- | ---: | ---: | ---: | ---: | ---: |\n\
         | unet, best of 3 − once | -10.00 | [-11.86, -8.14] | 1.1e-24 | 2.2e-24 | 0, 100 (1.6e-30) |\n\
         | unet, best of 3 − raw, best of 2 | +11.00 | [6.38, 15.62] | 0.0085 | 0.0085 | 100, 0 (1.6e-30) |\n"
    );
    assert!(
        rendered.caption
            == "`top1`, in percent: mean over 1 to 3 seeds (0, 1, 2) ± its standard error; n = 1,000 test images of fashion.",
        "{}",
        rendered.caption
    );
    assert_eq!(rendered.notes[0], "<sup>1</sup> 1 result instead of 3.");
    assert!(rendered.fixed.contains(&"timestep 90".to_owned()));
}

#[test]
fn without_the_file_of_comparisons_cells_say_so() {
    let rendered = comparison(TABLE).without_file(&input(results()));
    let line = "| unet, best of 3 − once | no file of comparisons<sup>2</sup> |  |  |  |  |";
    assert!(
        rendered.body.markdown().contains(line),
        "{}",
        rendered.body.markdown()
    );
    assert!(
        rendered
            .body
            .markdown()
            .contains("optimistic | no file of comparisons<sup>2</sup> |")
    );
    assert!(
        rendered.notes[1].contains("and that file is not there"),
        "{:?}",
        rendered.notes
    );
}

#[test]
fn every_contender_is_shown_at_the_fixed_choice() {
    let text = format!("{TABLE}fixed = {{ block = 7, pool = 1 }}\n");
    let rendered = comparison(&text).shown(&input(results())).unwrap();
    let body = rendered.body.markdown();
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(
        lines[4],
        "| unet, fixed | 73.00 ± 2.08 | block 7, pool 1 | fixed beforehand | nothing picked |"
    );
    // Of raw, block 1 is the only one, and pool 1 is none of those run; of once, nothing is picked anyway.
    assert!(
        !rendered.body.markdown().contains("raw, fixed")
            && !rendered.body.markdown().contains("once, fixed")
    );
    let compared: Vec<&str> = lines[9..]
        .iter()
        .map(|line| line.split(" | ").next().unwrap())
        .collect();
    assert_eq!(
        compared,
        [
            "| unet, best of 3 − once",
            "| unet, best of 3 − raw, best of 2",
            "| unet, fixed − once",
            "| unet, fixed − raw, best of 2"
        ]
    );
    assert!(
        rendered.caption.contains("“Fixed”: block 7, pool 1,"),
        "{}",
        rendered.caption
    );

    // On an axis on which a contender has one value, that is its choice too.
    let text = format!("{TABLE}fixed = {{ block = 7, pool = 7 }}\n");
    let rendered = comparison(&text).shown(&input(results())).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| raw, fixed | 50.00 ± 0.00 | block 1, pool 7 | fixed beforehand |"),
        "{}",
        rendered.body.markdown()
    );
}

#[test]
fn a_fixed_choice_that_is_not_there_says_why() {
    let text = format!("{TABLE}fixed = {{ block = 5 }}\n");
    let mut waiting = input(results());
    let rendered = comparison(&text).shown(&waiting).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| unet, fixed | no such combination |  |  |  |\n")
    );
    waiting.missing = vec![MissingResult {
        metric: "top1".to_owned(),
        axes: [("model", "unet"), ("block", "5")]
            .map(|(axis, value)| (axis.to_owned(), value.to_owned()))
            .into(),
        why: "not run yet".to_owned(),
    }];
    let rendered = comparison(&text).shown(&waiting).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| unet, fixed | not run yet |"),
        "{}",
        rendered.body.markdown()
    );

    let text = format!("{TABLE}fixed = {{ block = 7 }}\n");
    let error = comparison(&text)
        .shown(&input(results()))
        .unwrap_err()
        .explain()
        .to_string();
    assert!(
        error.contains("`fixed` leaves 2 candidates of `unet`, which differ in `pool`"),
        "{error}"
    );
}

#[test]
fn less_may_be_better() {
    let mut rows = results();
    for row in &mut rows {
        (row.better, row.unit) = (Better::Lower, "nats".to_owned());
    }
    let rendered = comparison(TABLE).shown(&input(rows)).unwrap();
    let body = rendered.body.markdown();
    let lines: Vec<&str> = body.lines().collect();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| compared | difference | 95"),
        "{}",
        rendered.body.markdown()
    );
    assert!(
        lines[2].starts_with("| raw | 0.50 ± 0.00 | block 1, pool 7 | best of 2 "),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].starts_with("| unet | 0.63 ± 0.02 | block 9, pool 2 | best of 3 "),
        "{}",
        lines[3]
    );

    let mut rows = results();
    for row in &mut rows {
        row.better = Better::Neither;
    }
    let error = comparison(TABLE)
        .shown(&input(rows))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("neither higher nor lower values of `top1` are better"),
        "{error}"
    );
}

#[test]
fn one_seed_has_no_error_and_equal_results_no_difference() {
    let one = vec![at("unet", 7, 2, 0, 0.8), at("raw", 1, 7, 0, 0.5)];
    let rendered = comparison(TABLE).shown(&input(one)).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| raw | 50.00 | one place only | the only one |\n"),
        "{}",
        rendered.body.markdown()
    );
    assert!(
        rendered
            .caption
            .contains("one seed each (0), so that no error is given")
    );

    let even = [0, 1].map(|seed| [at("unet", 7, 2, seed, 0.8), at("raw", 1, 7, seed, 0.8)]);
    let rendered = comparison(TABLE).shown(&input(even.concat())).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| unet − raw | 0.00 | [0.00, 0.00] | 1 | 1 | 0, 0 (1) |"),
        "{}",
        rendered.body.markdown()
    );
}

#[test]
fn what_cannot_compete_is_refused() {
    let unknown = TABLE.replace("\"unet\"", "\"unat\"");
    let error = comparison(&unknown)
        .shown(&input(results()))
        .unwrap_err()
        .explain()
        .to_string();
    assert!(
        error.contains("`unat`")
            && error.contains("`reference` is one of `once`, `raw` and `unet`"),
        "{error}"
    );
    let mut rows = results();
    rows[0].axes.insert("split".to_owned(), "train".into());
    let error = comparison(TABLE)
        .shown(&input(rows))
        .unwrap_err()
        .explain()
        .to_string();
    assert!(error.contains("several values of `split`"), "{error}");
}

#[test]
fn an_axis_that_another_decides_is_not_told_twice() {
    let mut rows = results();
    for row in &mut rows {
        let axis = |name: &str| row.axes[name].to_string();
        let names = [
            ("head", format!("probe-{}", axis("pool"))),
            ("head_kind", format!("kind-{}", axis("pool"))),
            ("extraction", format!("{}-{}", axis("model"), axis("block"))),
        ];
        *row = with(row.clone(), names.map(|(axis, value)| (axis, value.into())));
    }
    let rendered = comparison(TABLE).shown(&input(rows)).unwrap();
    assert!(
        rendered
            .body
            .markdown()
            .contains("| block 7, pool 2, probe-2 |"),
        "{}",
        rendered.body.markdown()
    );
}

#[test]
fn hostile_names_are_escaped() {
    let mut rows = results();
    rows[0].axes.insert("model".to_owned(), "a|<b>".into());
    let rendered = comparison(TABLE).shown(&input(rows)).unwrap();
    assert!(
        rendered.body.markdown().contains("| a\\|&lt;b&gt; |"),
        "{}",
        rendered.body.markdown()
    );
}

#[test]
fn mistakes_are_found_where_they_stand() {
    let (table, mistakes) = parsed(
        "kind = \"comparison\"\nmetric = \"top1\"\nby = \"seed\"\nreference = 1\nfixed = { seed = 1, blok = 2, pool = [1, 2] }\nselect = \"best\"\n",
        |fields| KIND.read_with(fields, &KnownAxes::default()),
    );
    assert!(table.is_none());
    let mut codes: Vec<&str> = mistakes
        .iter()
        .filter_map(|mistake| mistake.split(": ").next())
        .collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            "report::axis-twice",
            "report::axis-twice",
            "report::unknown-axis",
            "spec::out-of-range",
            "spec::unknown-key"
        ]
    );
}
