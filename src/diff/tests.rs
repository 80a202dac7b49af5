//! Tests of the comparison of two sets of results.

use std::collections::BTreeMap;

use super::record::FileRecord;
use super::*;
use crate::metrics::{Prediction, Predictions};
use crate::store::names::PREDICTIONS;
use crate::store::{
    ArtifactKind, Begin, Better, Counted, Made, Recipe, ResultRow, Store, wait_quietly,
};

/// A made-up `top1` of a seed at block 1.
fn row(seed: u32, value: f64) -> ResultRow {
    let row = ResultRow {
        metric: "top1".to_owned(),
        value,
        interval: Some([value - 0.03, value + 0.02]),
        counted: Some(Counted {
            correct: 0,
            scored: 1000,
        }),
        unit: "fraction".to_owned(),
        better: Better::Higher,
        axes: BTreeMap::new(),
        sources: BTreeMap::from([("head".to_owned(), "ab".repeat(32))]),
    };
    with(row, [("block", 1_u32.into()), ("seed", seed.into())])
}

/// The same row with other values on some axes.
fn with<const N: usize>(mut row: ResultRow, axes: [(&str, AxisValue); N]) -> ResultRow {
    let axes = axes.map(|(axis, value)| (axis.to_owned(), value));
    row.axes.extend(axes);
    row
}

/// An artifact of a recipe, with predictions where there are some.
fn commit(store: &Store, recipe: &Recipe, predictions: Option<&Predictions>) -> String {
    let begun = store.begin(recipe, "label", &mut wait_quietly).unwrap();
    if let Begin::Writer(mut writer) = begun {
        match predictions {
            Some(predictions) => {
                let batch = predictions.to_batch().unwrap();
                writer.write_table(PREDICTIONS, &batch).unwrap();
            }
            // An artifact has some file.
            None => writer.write_bytes("note.txt", b"").unwrap(),
        }
        writer.finish(Made::default()).unwrap();
    }
    recipe.fingerprint().to_string()
}

fn recipe(kind: ArtifactKind, fields: &serde_json::Value) -> Recipe {
    Recipe::new(kind, 1, fields).unwrap()
}

fn seed() -> Vec<String> {
    vec!["seed".to_owned()]
}

/// Two seeds at each of three blocks.
fn rows() -> Vec<ResultRow> {
    let at = |block: u32, seed, value| with(row(seed, value), [("block", block.into())]);
    vec![
        at(1, 0, 0.5),
        at(1, 1, 0.6),
        at(2, 0, 0.7),
        at(2, 1, 0.8),
        at(3, 0, 0.9),
        at(3, 1, 0.9),
    ]
}

fn labels(places: &[&Place]) -> Vec<String> {
    places.iter().map(|place| place.phrase()).collect()
}

#[test]
fn equal_results_are_equal_whatever_their_order() {
    let (base, mut head) = (rows(), rows());
    head.reverse();
    let compared = compare("x", &base, &head, &seed());
    assert_eq!(compared.equal, 3);
    assert!(Summary::of(&compared).is_equal());
    assert_eq!(Summary::of(&compared).sentence(), "no change in 3 cells");
}

#[test]
fn the_last_digit_of_one_run_is_a_change_of_its_cell() {
    let (base, mut head) = (rows(), rows());
    head[2].value = f64::from_bits(head[2].value.to_bits() + 1);
    let compared = compare("x", &base, &head, &seed());
    assert_eq!((compared.changed.len(), compared.equal), (1, 2));
    assert_eq!(compared.changed[0].place.label, "block 2");
    // Row by row it is one of six.
    let compared = compare("x", &base, &head, &[]);
    assert_eq!((compared.changed.len(), compared.equal), (1, 5));
    assert_eq!(compared.changed[0].place.label, "block 2, seed 0");
}

#[test]
fn means_over_seeds_are_compared_the_largest_difference_first() {
    let (base, mut head) = (rows(), rows());
    head[0].value = 0.6;
    head[2].value = 0.4;
    head[4].value = 0.8;
    head[5].value = 1.0;
    let compared = compare("x", &base, &head, &seed());
    let found: Vec<(&str, Direction)> = compared
        .changed
        .iter()
        .map(|cell| (cell.place.label.as_str(), cell.direction))
        .collect();
    assert_eq!(found[0], ("block 2", Direction::Worse));
    assert_eq!(found[1], ("block 1", Direction::Better));
    assert!((compared.changed[0].difference() + 0.15).abs() < 1e-12);
    assert!((compared.changed[1].before.value - 0.55).abs() < 1e-12);
    // Both runs moved, and their mean did not but for rounding.
    assert_eq!(found[2].0, "block 3");
    assert!(compared.changed[2].difference().abs() < 1e-12);
}

#[test]
fn cells_that_one_side_lacks_are_new_or_lost() {
    let (base, mut head) = (rows(), rows());
    head.drain(..2);
    head.push(with(row(0, 0.3), [("block", 4_u32.into())]));
    let compared = compare("x", &base, &head, &seed());
    let lost: Vec<&Place> = compared.lost.iter().map(|cell| &cell.place).collect();
    let new: Vec<&Place> = compared.new.iter().map(|cell| &cell.place).collect();
    assert_eq!(labels(&lost), ["top1: block 1"]);
    assert_eq!(labels(&new), ["top1: block 4"]);
    assert!((compared.lost[0].value - 0.55).abs() < 1e-12);
    assert_eq!(shown::lone(&compared.new[0]), "top1: block 4 (30.00 %)");
    assert_eq!(compared.equal, 2);
    // A seed that is gone is a change of the cell, not of the cells.
    let mut head = rows();
    head.remove(1);
    let compared = compare("x", &base, &head, &seed());
    assert_eq!(compared.changed.len(), 1);
    let tables = shown::changed(&compared);
    assert_eq!(tables[0].rows[0][0], "block 1; 2 → 1 run averaged");
}

#[test]
fn what_is_constant_and_differs_is_configuration() {
    let base: Vec<ResultRow> = rows()
        .into_iter()
        .map(|row| with(row, [("epochs", 28_u32.into())]))
        .collect();
    let head: Vec<ResultRow> = rows()
        .into_iter()
        .map(|row| with(row, [("epochs", 5_u32.into())]))
        .collect();
    let compared = compare("x", &base, &head, &seed());
    // The cells are matched without it.
    assert_eq!(compared.equal, 3);
    let told: Vec<String> = compared
        .configuration
        .iter()
        .map(|change| shown::configuration(change, &compared))
        .collect();
    assert_eq!(told, ["epochs 28 → 5"]);
    assert!(!Summary::of(&compared).is_equal());
}

#[test]
fn weights_of_one_of_two_models_are_configuration_too() {
    let of = |model: &str, weights: &str, block: u32| {
        let axes = [
            ("model", model.into()),
            ("weights", weights.into()),
            ("block", block.into()),
        ];
        with(row(0, 0.5), axes)
    };
    let digest = |digit: &str| format!("blake3:{}", digit.repeat(64));
    let (before, after) = (digest("a"), digest("b"));
    let base = vec![
        of("unet", &before, 1),
        of("unet", &before, 2),
        of("pixels", "none", 1),
    ];
    let head = vec![
        of("unet", &after, 1),
        of("unet", &after, 2),
        of("pixels", "none", 1),
    ];
    let compared = compare("x", &base, &head, &seed());
    assert_eq!(compared.equal, 3);
    let change = &compared.configuration[0];
    let told = shown::configuration(change, &compared);
    assert_eq!(
        told,
        "weights of model unet blake3:aaaaaaaaaaaa… → blake3:bbbbbbbbbbbb…"
    );
}

#[test]
fn counts_intervals_and_fingerprints_are_told_apart_from_values() {
    let (base, mut head) = (rows(), rows());
    head[0].interval = None;
    for row in &mut head[2..4] {
        row.sources.insert("head".to_owned(), "e".repeat(64));
    }
    let compared = compare("x", &base, &head, &seed());
    assert_eq!(
        labels(&compared.recounted.iter().collect::<Vec<_>>()),
        ["top1: block 1"]
    );
    assert_eq!(compared.refitted.len(), 1);
    assert_eq!((compared.changed.len(), compared.equal), (0, 1));
    let sentence = Summary::of(&compared).sentence();
    assert_eq!(
        sentence,
        "0 of 3 cells changed, 1 with equal values and other intervals or counts, 1 with equal values of other artifacts"
    );
}

#[test]
fn a_lower_value_is_better_where_the_metric_says_so_and_nan_never_is() {
    let of = |value, better| {
        vec![ResultRow {
            better,
            ..row(0, value)
        }]
    };
    for (before, after, better, expected) in [
        (0.5, 0.4, Better::Higher, Direction::Worse),
        (0.5, 0.4, Better::Lower, Direction::Better),
        (0.5, 0.4, Better::Neither, Direction::Neither),
        (0.5, f64::NAN, Better::Lower, Direction::Worse),
        (f64::NAN, 0.5, Better::Lower, Direction::Better),
    ] {
        let (base, head) = (of(before, better), of(after, better));
        let compared = compare("x", &base, &head, &seed());
        assert_eq!(compared.changed[0].direction, expected, "{before} {after}");
        // JSON has no number for NaN.
        let record = serde_json::to_string(&FileRecord::of(&compared)).unwrap();
        assert_eq!(
            record.contains("\"NaN\""),
            before.is_nan() || after.is_nan()
        );
    }
}

#[test]
fn differences_that_decimals_hide_are_shown() {
    use crate::report::number::Unit;
    let percent = Unit::of("fraction");
    for (difference, text) in [
        (0.011, "+1.10"),
        (-0.011, "-1.10"),
        (0.0, "0.00"),
        (1e-7, "+1e-5"),
        (-1e-7, "-1e-5"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(shown::signed(&percent, difference), text, "{difference}");
    }
}

#[test]
fn without_a_cache_nothing_is_tested_or_explained() {
    let (base, mut head) = (rows(), rows());
    head[0].value = 0.1;
    let mut compared = compare("x", &base, &head, &seed());
    test(&mut compared, None).unwrap();
    explain(&mut compared, None).unwrap();
    assert_eq!(compared.changed[0].test, Some(Err(Untested::NotCached)));
    // Worse without a test is worse.
    assert!(compared.changed[0].is_worse());
    assert_eq!(
        shown::untested(&compared),
        ["1 cell: the predictions before and after are not both in the cache"]
    );
}

#[test]
fn a_reason_is_the_field_that_changed_and_not_the_digest_that_followed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let head_on = |timestep: u32| {
        let fields = serde_json::json!({ "timestep": timestep, "block": 24 });
        let features = commit(&store, &recipe(ArtifactKind::Features, &fields), None);
        let fields = serde_json::json!({ "features": features, "epochs": 28 });
        commit(&store, &recipe(ArtifactKind::Head, &fields), None)
    };
    let of = |head: &str, value| {
        let mut row = row(0, value);
        row.sources.insert("head".to_owned(), head.to_owned());
        vec![row]
    };
    let (base, head) = (of(&head_on(90), 0.5), of(&head_on(10), 0.6));
    let mut compared = compare("x", &base, &head, &seed());
    explain(&mut compared, Some(&store)).unwrap();
    assert_eq!(
        shown::reasons(&compared),
        ["features.timestep 90 → 10 (1 cell)"]
    );
    // The same artifact with another value has no field to name.
    let head = of(&base[0].sources["head"], 0.6);
    let mut compared = compare("x", &base, &head, &seed());
    explain(&mut compared, Some(&store)).unwrap();
    assert_eq!(
        shown::reasons(&compared),
        ["no field: computed from the same artifacts (1 cell)"]
    );
}

#[test]
fn no_name_leaves_its_place_in_markdown() {
    let name = "a|b\n<!-- -->[x](y)";
    let base: Vec<ResultRow> = ["probe", name]
        .map(|head| with(row(0, 0.5), [("head", head.into())]))
        .into();
    let mut head = base.clone();
    head[1].value = 0.7;
    let compared = compare(name, &base, &head, &seed());
    let text = markdown::file(&compared, Some(markdown::MOST));
    assert!(
        text.contains("| a\\|b &lt;!-- --&gt;\\[x\\](y) | 50.00 | 70.00 | +20.00 | better |"),
        "{text}"
    );
    assert!(!text.contains("<!--"), "{text}");
}

#[test]
fn changes_are_tested_by_the_predictions_of_a_cache_and_corrected_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    // Heads of 1,000 images, the first of which they are right about.
    let head = |name: &str, right: usize| {
        let rows = (0..1000).map(|image| Prediction {
            id: format!("test/{image}"),
            label: 0,
            predicted: u32::from(image >= right),
            rank: u32::from(image >= right),
        });
        let fields = serde_json::json!({ "name": name, "right": right });
        let recipe = recipe(ArtifactKind::Head, &fields);
        commit(&store, &recipe, Some(&Predictions::new(rows.collect())))
    };
    let of = |block: u32, value: f64, head: String| {
        let mut row = with(row(0, value), [("block", block.into())]);
        row.sources.insert("head".to_owned(), head);
        row
    };
    let base = vec![
        of(1, 0.5, head("a", 500)),
        of(2, 0.5, head("b", 500)),
        of(3, 0.5, head("c", 500)),
        of(4, 0.5, "cd".repeat(32)),
    ];
    let after = vec![
        of(1, 0.6, head("a", 600)),
        of(2, 0.499, head("b", 499)),
        // Not what its predictions say.
        of(3, 0.7, head("c", 650)),
        of(4, 0.6, "ef".repeat(32)),
    ];
    let mut compared = compare("x", &base, &after, &seed());
    test(&mut compared, Some(&store)).unwrap();
    let cell = |label: &str| {
        let mut cells = compared.changed.iter();
        cells.find(|cell| cell.place.label == label).unwrap()
    };
    let found = cell("block 1").test.unwrap().unwrap();
    assert!((found.difference - 0.1).abs() < 1e-12);
    assert_eq!((found.samples, found.runs), (1000, 1));
    assert!(found.p < 1e-10 && cell("block 1").is_significant());
    // Of two tests the smaller p is doubled.
    assert!((found.adjusted / found.p - 2.0).abs() < 1e-9);
    let one = cell("block 2").test.unwrap().unwrap();
    assert!((one.adjusted - one.p).abs() < 1e-12 && one.p > 0.3);
    // One image is within chance, so the cell is not worse.
    assert!(cell("block 2").direction == Direction::Worse && !cell("block 2").is_worse());
    assert_eq!(cell("block 3").test, Some(Err(Untested::OtherValue)));
    assert_eq!(cell("block 4").test, Some(Err(Untested::NotCached)));
    let summary = Summary::of(&compared);
    assert_eq!((summary.tested, summary.significant), (2, 1));
}

#[test]
fn a_label_has_what_tells_cells_apart_and_no_more() {
    let of = |head: &str, axes: &[(&str, AxisValue)]| {
        let mut row = with(
            row(0, 0.5),
            [("head", head.into()), ("split", "test".into())],
        );
        row.axes.extend(
            axes.iter()
                .map(|(axis, value)| ((*axis).to_owned(), value.clone())),
        );
        row
    };
    let label = |base: &[ResultRow]| -> Vec<String> {
        let compared = compare("x", base, &[], &seed());
        let lost = compared.lost.iter();
        lost.map(|cell| cell.place.label.clone()).collect()
    };
    // Epochs are those of the only head that has any, and say nothing beside its name.
    let two = [of("probe", &[("epochs", 28_u32.into())]), of("ridge", &[])];
    assert_eq!(label(&two), ["probe", "ridge"]);
    // Without it two cells would have one name.
    let pool = [of("probe", &[("pool", 2_u32.into())]), of("probe", &[])];
    assert_eq!(label(&pool), ["pool 2", "all results"]);
    assert_eq!(label(&pool[..1]), ["all results"]);
    // One name for a head and its features is said once.
    let same = |name: &str| of(name, &[("extraction", name.into())]);
    assert_eq!(label(&[same("a"), same("b")]), ["a", "b"]);
}

/// No fingerprint holds the name of a head: what differs in names alone is the same cell.
#[test]
fn a_cell_under_another_name_is_neither_new_nor_lost() {
    let named = |name: &str, seed, value, source: &str| {
        let mut row = with(row(seed, value), [("head", name.into())]);
        row.sources = BTreeMap::from([("head".to_owned(), source.repeat(64))]);
        row
    };
    let set = |first: &str, second: &str| {
        vec![
            named(first, 0, 0.5, "1"),
            named(first, 1, 0.6, "2"),
            named(second, 0, 0.5, "3"),
            named("kept", 0, 0.5, "4"),
        ]
    };
    let (base, head) = (set("linear", "mlp"), set("probe", "mlp"));
    let compared = compare("r", &base, &head, &seed());
    let shown: Vec<String> = compared.renamed.iter().map(shown::renamed).collect();
    assert_eq!(shown, ["top1: linear → probe"]);
    let summary = Summary::of(&compared);
    assert_eq!((summary.new, summary.lost, summary.common), (0, 0, 3));
    assert_eq!(summary.sentence(), "0 of 3 cells changed, 1 renamed");
    // Another run, another value or another axis is another cell.
    let without = set("probe", "mlp");
    let mut moved = without.clone();
    let mut elsewhere = without.clone();
    moved[1].value = 0.61;
    for row in &mut elsewhere[..2] {
        row.axes.insert("block".to_owned(), 2_u32.into());
    }
    for head in [without[1..].to_vec(), moved, elsewhere] {
        let compared = compare("r", &base, &head, &seed());
        assert!(compared.renamed.is_empty());
        assert_eq!((compared.new.len(), compared.lost.len()), (1, 1));
    }
    // Two cells of the same artifact: which of them it was nobody can say.
    let twice = |first: &str, second: &str| {
        vec![
            named(first, 0, 0.5, "1"),
            named(second, 0, 0.5, "1"),
            named("kept", 0, 0.5, "4"),
        ]
    };
    let (base, head) = (twice("a", "b"), twice("c", "d"));
    let compared = compare("r", &base, &head, &seed());
    assert!(compared.renamed.is_empty());
    assert_eq!((compared.new.len(), compared.lost.len()), (2, 2));
}
