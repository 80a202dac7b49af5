//! What `repro query` reads: the cache, verified, and nothing else.

use std::fs;

use crate::fixture::{CliTest, Output};
use crate::small::{run, small};

/// A refusal: code 2, a sentence, a hint, and no answer.
#[track_caller]
fn expect_refused(cli: &CliTest, sql: &str, says: &str) {
    let output = cli.run(&["query", sql]).expect_code(2);
    let output = output.expect_in_stderr(&["error: cannot run the query: ", says, "\n  hint: "]);
    assert_eq!(output.stdout, "", "{sql}");
}

#[test]
fn a_query_is_one_select_over_the_cache() {
    let cli = small();
    run(&cli, "small.toml");
    let results = files(&cli, "results.parquet");
    fs::copy(cli.path(&results[0]), cli.path("outside.parquet")).unwrap();
    let outside = cli.path("outside.parquet").display().to_string();
    let before = cli.files(".repro/artifacts");
    for path in [
        "outside.parquet",
        &outside,
        ".repro/artifacts/*/*/*/*.parquet",
    ] {
        expect_refused(
            &cli,
            &format!("SELECT * FROM read_parquet('{path}')"),
            "the table function `read_parquet` is not available",
        );
        expect_refused(&cli, &format!("SELECT * FROM '{path}'"), path);
        expect_refused(&cli, &format!("SELECT * FROM \"{path}\""), path);
        expect_refused(
            &cli,
            &format!("SELECT r.value FROM results r JOIN read_parquet('{path}') o ON 1 = 1"),
            "read_parquet",
        );
    }
    for (sql, says) in [
        ("DROP TABLE results", "`DROP TABLE` is not a query"),
        ("DELETE FROM results", "`DELETE FROM` is not a query"),
        ("TRUNCATE TABLE results", "`TRUNCATE TABLE` is not a query"),
        (
            "CREATE TABLE a AS SELECT * FROM results",
            "`CREATE TABLE` is not a query",
        ),
        (
            "INSERT INTO results VALUES (1)",
            "`INSERT INTO` is not a query",
        ),
        ("UPDATE results SET value = 1", "`UPDATE` is not a query"),
        ("COPY results TO 'a.csv'", "`COPY` is not a query"),
        (
            "EXPLAIN SELECT * FROM results",
            "`EXPLAIN SELECT` is not a query",
        ),
        ("SHOW TABLES", "`SHOW TABLES` is not a query"),
        ("SELECT 1; SELECT 2", "holds 2"),
        ("SELECT 1; DROP TABLE results", "holds 2"),
        ("", "no statement"),
    ] {
        expect_refused(&cli, sql, says);
    }
    assert!(cli.files(".repro/artifacts") == before);
    let answer = cli.query("WITH a AS (SELECT value FROM results) SELECT count(*) AS n FROM a;");
    assert_eq!(answer[0]["n"], 16);
}

/// The files of this name under the artifacts, from the working folder.
fn files(cli: &CliTest, name: &str) -> Vec<String> {
    let files = cli.files(".repro/artifacts").into_keys();
    let files = files.filter(|path| path.ends_with(&format!("/{name}")));
    files
        .map(|path| format!(".repro/artifacts/{path}"))
        .collect()
}

/// How files are damaged here.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 4] = [
    ("a flipped bit of a data page", |bytes| bytes[40] ^= 1),
    ("a flipped bit at the end", |bytes| {
        let last = bytes.len() - 12;
        bytes[last] ^= 4;
    }),
    ("half a file", |bytes| bytes.truncate(bytes.len() / 2)),
    ("an empty file", Vec::clear),
];

fn rows(cli: &CliTest, table: &str) -> usize {
    cli.query(&format!("SELECT * FROM {table}")).len()
}

/// The answer to a query that comes upon damage: it says so, by its code, too.
#[track_caller]
fn expect_told(output: Output, file: &str, table: &str) -> Output {
    let output = output.expect_code(4);
    let lines = output.stderr.lines().filter(|line| line.contains(file));
    assert_eq!(lines.count(), 1, "one line a problem: {output}");
    output.expect_in_stderr(&[
        &format!("`{table}`"),
        "hint: `repro cache verify --set-aside`",
    ])
}

#[test]
fn damage_is_told_with_the_rows_that_are_missing_and_never_answered_with() {
    let cli = small();
    run(&cli, "small.toml");
    for (table, name) in [
        ("predictions", "predictions.parquet"),
        ("curves", "curves.parquet"),
        ("predictions", "manifest.json"),
    ] {
        let all = rows(&cli, table);
        let heads = files(&cli, name);
        let file = heads.iter().find(|path| path.contains("/head/")).unwrap();
        let heads = heads.iter().filter(|path| path.contains("/head/")).count();
        let sound = fs::read(cli.path(file)).unwrap();
        for (damage, change) in DAMAGES {
            let mut bytes = sound.clone();
            change(&mut bytes);
            fs::write(cli.path(file), &bytes).unwrap();
            let sql = format!("SELECT * FROM {table}");
            let output = cli.run(&["query", "--json", &sql]);
            let output = expect_told(output, file, table);
            let found = output.json().as_array().unwrap().len();
            assert_eq!(found, all - all / heads, "{damage} of {file}: {output}");
            let lacks = if name == "manifest.json" {
                "lacks its rows".to_owned()
            } else {
                format!("lacks {} rows", all / heads)
            };
            assert!(output.stderr.contains(&lacks), "{lacks}: {output}");
            // What does not need it is answered as if nothing were.
            let other = cli.run(&["query", "SELECT * FROM results"]).expect_code(0);
            assert_eq!(other.stderr, "", "{damage}");
        }
        fs::remove_file(cli.path(file)).unwrap();
        if name != "manifest.json" {
            let output = cli.run(&["query", &format!("SELECT * FROM {table}")]);
            expect_told(output, file, table).expect_in_stderr(&["is missing"]);
        }
        fs::write(cli.path(file), &sound).unwrap();
        assert_eq!(rows(&cli, table), all);
    }
}

#[test]
fn a_table_of_which_nothing_is_left_is_an_error() {
    let cli = small();
    run(&cli, "small.toml");
    let results = files(&cli, "results.parquet");
    let first = fs::read(cli.path(&results[0])).unwrap();
    for file in &results {
        let mut bytes = fs::read(cli.path(file)).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::write(cli.path(file), &bytes).unwrap();
    }
    let output = cli
        .run(&["query", "SELECT avg(value) FROM results"])
        .expect_code(4);
    assert_eq!(output.stdout, "");
    output.expect_in_stderr(&[
        "nothing of the table `results` can be read",
        "does not have the digest",
        "hint: `repro cache verify --set-aside`",
    ]);
    // What was set aside is made again, and then everything answers.
    cli.run(&["cache", "verify", "--set-aside"]);
    run(&cli, "small.toml");
    assert_eq!(rows(&cli, "results"), 16);
    assert!(fs::read(cli.path(&results[0])).unwrap() == first);
}

#[test]
fn only_the_tables_that_a_query_names_are_read() {
    let cli = small();
    run(&cli, "small.toml");
    let part = files(&cli, "part-00000.arrow").remove(0);
    let mut bytes = fs::read(cli.path(&part)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(cli.path(&part), &bytes).unwrap();
    for table in ["results", "predictions", "curves", "artifacts"] {
        let output = cli.run(&["query", &format!("SELECT * FROM {table}")]);
        assert_eq!(output.expect_code(0).stderr, "", "{table}");
    }
    let fingerprint = part.split('/').nth_back(1).unwrap();
    let table = format!("features_{}", &fingerprint[..12]);
    let output = cli.run(&["query", &format!("SELECT * FROM {table}")]);
    let output = output.expect_code(4);
    assert_eq!(output.stdout, "");
    output.expect_in_stderr(&["does not have the digest", &part]);
    // A list of all artifacts lacks those of which the sizes are wrong already.
    fs::write(cli.path(&part), &bytes[..middle]).unwrap();
    let output = cli.run(&["query", "SELECT * FROM artifacts"]);
    expect_told(output, &part, "artifacts").expect_in_stderr(&["lacks 1 row\n"]);
    cli.run(&["query", &format!("SELECT * FROM {table}")])
        .expect_code(4)
        .expect_in_stderr(&[&part]);
}
