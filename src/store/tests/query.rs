//! Asking the store in SQL.

use std::collections::BTreeMap;

use half::f16;
use serde_json::json;

use super::super::results::tests::example;
use super::results::of_the_first_release;
use super::*;
use crate::message::Hint;

fn make(
    store: &Store,
    kind: ArtifactKind,
    number: u32,
    write: impl FnOnce(&mut ArtifactWriter),
) -> Fingerprint {
    let recipe = Recipe::new(kind, 1, &json!({ "number": number })).unwrap();
    let Begin::Writer(mut writer) = store.begin(&recipe, "label", &mut wait_quietly).unwrap()
    else {
        panic!()
    };
    write(&mut writer);
    writer
        .finish(Made {
            at: "2026-01-02T03:04:05Z".to_owned(),
            ..Made::default()
        })
        .unwrap()
        .fingerprint
}

/// The columns that are there before any result is.
const KNOWN: [KnownColumn<'static>; 4] = [
    KnownColumn {
        name: "head",
        kind: AxisType::Text,
    },
    KnownColumn {
        name: "token",
        kind: AxisType::Text,
    },
    KnownColumn {
        name: "seed",
        kind: AxisType::Integer,
    },
    KnownColumn {
        name: "head_fingerprint",
        kind: AxisType::Text,
    },
];

/// What a query found.
struct QueryResult {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// The answer of a store without damage.
fn ask(store: &Store, sql: &str, columns: &[KnownColumn<'_>]) -> Result<QueryResult, QueryError> {
    let known = Known {
        columns,
        classes: &Vec::new,
    };
    let answer = store.query(sql, known, &mut |lacking| panic!("{lacking}"))?;
    let rows = (0..answer.rows()).map(|row| answer.row(row));
    Ok(QueryResult {
        columns: answer.columns(),
        rows: rows.collect::<Result<_, _>>()?,
    })
}

/// Why a query has no answer.
fn refusal(store: &Store, sql: &str) -> QueryError {
    match ask(store, sql, &KNOWN) {
        Err(error) => error,
        Ok(answer) => panic!("{sql}: {:?}", answer.rows),
    }
}

fn at_seed(mut row: ResultRow, seed: u32) -> ResultRow {
    row.axes.insert("seed".to_owned(), seed.into());
    row
}

fn filled() -> (tempfile::TempDir, Store, Fingerprint, Vec<Fingerprint>) {
    let folder = tempfile::tempdir().unwrap();
    // A name that a globbing or hive-partitioning reader would stumble over.
    let store = Store::open(folder.path().join("odd=[name]*")).unwrap();
    for (number, value) in [(0, 0.25), (1, 0.75)] {
        let row = at_seed(ResultRow { value, ..example() }, number);
        let batch = ResultRow::to_batch(&[row]).unwrap();
        make(&store, ArtifactKind::Metric, number, |writer| {
            writer.write_table("results", &batch).unwrap();
        });
    }
    let heads = (0..2).map(|number| {
        let batch = ResultRow::to_batch(&[example()])
            .unwrap()
            .project(&[1])
            .unwrap();
        make(&store, ArtifactKind::Head, number, |writer| {
            writer.write_table("curves", &batch).unwrap();
        })
    });
    let heads = heads.collect();
    let features = make(&store, ArtifactKind::Features, 0, |writer| {
        for part in 0..2_u32 {
            let ids = [format!("{part}/a"), format!("{part}/b")];
            let content = FeaturePart {
                ids: &ids,
                splits: &ids,
                labels: Some(&[part, 7]),
                views: &ids,
                draws: &[0, 0],
                width: 5,
                values: FeatureValues::F16(
                    (0..10_u8)
                        .map(|value| f16::from_f32(f32::from(value) / 2.0))
                        .collect(),
                ),
            };
            writer.write_features(part, content).unwrap();
        }
    });
    (folder, store, features, heads)
}

#[test]
fn results_can_be_filtered_and_averaged() {
    let (_folder, store, _, _) = filled();
    let result = ask(
        &store,
        "SELECT head, AVG(value) AS mean, COUNT(*) AS runs FROM results GROUP BY head",
        &KNOWN,
    )
    .unwrap();
    assert_eq!(result.columns, ["head", "mean", "runs"]);
    assert_eq!(
        result.rows,
        [[
            Cell::Text("linear".to_owned()),
            Cell::Number(0.5),
            Cell::Integer(2)
        ]]
    );
    let result = ask(
        &store,
        "SELECT noise_seed, token, higher_is_better FROM results WHERE seed = 1",
        &KNOWN,
    )
    .unwrap();
    assert_eq!(
        result.rows,
        [[Cell::Integer(7), Cell::Null, Cell::Boolean(true)]]
    );
}

#[test]
fn results_of_all_releases_are_one_table_by_the_names_of_their_columns() {
    let (_folder, store, _, _) = filled();
    let mut pair = ResultRow {
        metric: "cka".to_owned(),
        interval: None,
        counted: None,
        ..example()
    };
    pair.axes = BTreeMap::from([("left_block".to_owned(), 3_u32.into())]);
    pair.sources = BTreeMap::from([("left".to_owned(), "ef".repeat(32))]);
    let pairs = ResultRow::to_batch(&[pair]).unwrap();
    // Several, so that some come before the others and some after, whatever the order of the fingerprints.
    for (number, batch) in [
        (2, of_the_first_release()),
        (3, pairs),
        (4, of_the_first_release()),
    ] {
        make(&store, ArtifactKind::Metric, number, |writer| {
            writer.write_table("results", &batch).unwrap();
        });
    }
    let result = ask(&store,
            "SELECT value, low, timestep, left_block, seed, left_fingerprint FROM results GROUP BY ALL ORDER BY value, seed",
            &KNOWN,
        )
        .unwrap();
    let bound = Cell::Number(0.25);
    let left = Cell::Text("ef".repeat(32));
    let null = || Cell::Null;
    assert_eq!(
        result.rows,
        [
            [
                bound.clone(),
                bound.clone(),
                null(),
                null(),
                Cell::Integer(0),
                null()
            ],
            [
                Cell::Number(0.5),
                bound.clone(),
                Cell::Integer(90),
                null(),
                Cell::Integer(1),
                null()
            ],
            [
                Cell::Number(0.625),
                null(),
                null(),
                Cell::Integer(3),
                null(),
                left
            ],
            [
                Cell::Number(0.75),
                bound,
                null(),
                null(),
                Cell::Integer(1),
                null()
            ],
        ]
    );
    let all = ask(&store, "SELECT * FROM results", &KNOWN).unwrap();
    assert_eq!(all.rows.len(), 5);
    let expected = [
        "metric",
        "value",
        "low",
        "high",
        "correct",
        "count",
        "unit",
        "higher_is_better",
        "head",
        "token",
        "seed",
    ];
    assert_eq!(all.columns[..expected.len()], expected);
    // A seed that only fits without a sign is a text, and so is the column then.
    let seeds = ask(
        &store,
        "SELECT DISTINCT noise_seed FROM results ORDER BY noise_seed",
        &KNOWN,
    )
    .unwrap();
    assert!(seeds.rows.contains(&vec![Cell::Text(u64::MAX.to_string())]));
}

#[test]
fn curves_know_their_head() {
    let (_folder, store, _, heads) = filled();
    let result = ask(
        &store,
        "SELECT * FROM curves ORDER BY head_fingerprint",
        &KNOWN,
    )
    .unwrap();
    assert_eq!(result.columns, ["value", "head_fingerprint"]);
    let mut expected: Vec<Cell> = heads
        .iter()
        .map(|head| Cell::Text(head.to_string()))
        .collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(
        result
            .rows
            .iter()
            .map(|row| row[1].clone())
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn features_are_a_table_and_vectors_are_summed_up() {
    let (_folder, store, features, _) = filled();
    let sql = format!(
        "SELECT id, label, feature FROM features_{} WHERE label < 7 ORDER BY id",
        features.short()
    );
    let result = ask(&store, &sql, &KNOWN).unwrap();
    let values = [0.0, 0.5, 1.0, 1.5, 2.0];
    let vector = Cell::Vector(values.into_iter().map(Cell::Number).collect());
    assert_eq!(vector.to_string(), "[0, 0.5, 1, … 5 values]");
    let text = |text: &str| Cell::Text(text.to_owned());
    assert_eq!(
        result.rows,
        [
            [text("0/a"), Cell::Integer(0), vector.clone()],
            [text("1/a"), Cell::Integer(1), vector]
        ]
    );
}

#[test]
fn artifacts_are_listed() {
    let (_folder, store, features, _) = filled();
    let result = ask(
        &store,
        "SELECT fingerprint, rows, label FROM artifacts WHERE kind = 'features'",
        &KNOWN,
    )
    .unwrap();
    let label = Cell::Text("label".to_owned());
    assert_eq!(
        result.rows,
        [[Cell::Text(features.to_string()), Cell::Integer(4), label]]
    );
}

#[test]
fn an_empty_store_has_empty_results() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_read_only(folder.path().join("none")).unwrap();
    let result = ask(
        &store,
        "SELECT metric, value, token, head_fingerprint FROM results WHERE seed > 1",
        &KNOWN,
    )
    .unwrap();
    assert_eq!((result.columns.len(), result.rows.len()), (4, 0));
    let message = refusal(&store, "SELECT * FROM curves")
        .explain()
        .to_string();
    assert!(
        message.contains("unknown table `curves`")
            && message.contains("the tables are artifacts, classes, results;")
            && message.ends_with("(and `curves`, once a head is trained)"),
        "{message}"
    );
}

#[test]
fn errors_name_what_there_is_and_what_may_be_meant() {
    let (_folder, store, features, _) = filled();
    let message = |sql: &str| refusal(&store, sql).explain().to_string();
    let unknown = message("SELECT * FROM reslts");
    assert!(unknown.contains("did you mean `results`?"), "{unknown}");
    assert!(
        unknown.contains(&format!("features_{}", features.short())),
        "{unknown}"
    );
    let column = message("SELECT vlue FROM results");
    assert!(
        column.contains("unknown column `vlue`\n  hint: did you mean `value`?")
            && column.contains("`results` has the columns metric, value, low")
            && column.ends_with("`repro query --tables results` describes them"),
        "{column}"
    );
    let joined = message(
        "SELECT r.x FROM results r JOIN curves c ON r.head_fingerprint = c.head_fingerprint",
    );
    assert!(
        joined.contains("`curves` has the columns value, head_fingerprint"),
        "{joined}"
    );
    let syntax = message("SELEC 1");
    assert!(
        syntax.contains("syntax error at line 1, column 1: expected an SQL statement, found SELEC\n  | SELEC 1\n  | ^"),
        "{syntax}"
    );
    let function = message("SELECT foo(value) FROM results");
    assert!(function.contains("unknown function `foo`"), "{function}");
    let two = message("SELECT 1; SELECT 2");
    assert!(two.contains("holds 2"), "{two}");
}
