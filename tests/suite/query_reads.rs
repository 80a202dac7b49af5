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

#[test]
fn answers_are_written_as_csv_json_markdown_and_parquet() {
    let cli = small();
    run(&cli, "small.toml");
    let sql = "SELECT metric, value, block, network_learning_rate FROM results ORDER BY metric, value, block, seed";
    let expected = cli.query(sql);
    for file in ["a.csv", "a.json", "a.md", "a.parquet", "a.txt"] {
        let output = cli.run(&["query", sql, "--output", file]).expect_code(0);
        assert_eq!(output.stdout, "");
        output.expect_in_stderr(&[&format!("{file}: 16 rows")]);
        // What is there is replaced only by `--force`.
        let before = fs::read(cli.path(file)).unwrap();
        cli.run(&["query", "SELECT 1 AS n", "--output", file])
            .expect_code(2)
            .expect_in_stderr(&["exists", "`--force` replaces it"]);
        assert!(fs::read(cli.path(file)).unwrap() == before, "{file}");
        cli.run(&["query", sql, "--output", file, "--force"])
            .expect_code(0);
        assert!(fs::read(cli.path(file)).unwrap() == before, "{file}");
    }
    let written: Vec<serde_json::Value> = serde_json::from_str(&cli.read("a.json")).unwrap();
    assert_eq!(written, expected);
    let csv = cli.read("a.csv");
    assert_eq!(
        csv,
        cli.run(&["query", sql, "--format", "csv"])
            .expect_code(0)
            .stdout
    );
    let mut rows = csv.lines();
    assert_eq!(
        rows.next(),
        Some("metric,value,block,network_learning_rate")
    );
    for (row, expected) in rows.zip(&expected) {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[0], expected["metric"].as_str().unwrap());
        assert_eq!(
            cells[1].parse::<f64>().unwrap().to_bits(),
            expected["value"].as_f64().unwrap().to_bits()
        );
        assert_eq!(cells[3], "", "null is empty");
    }
    assert!(cli.read("a.md").starts_with("| metric |"));
    assert!(
        fs::read(cli.path("a.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
    // Vectors are whole where they are data.
    let features = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features' LIMIT 1");
    let table = format!(
        "features_{}",
        &features[0]["fingerprint"].as_str().unwrap()[..12]
    );
    let rows = cli.query(&format!("SELECT feature FROM {table} LIMIT 1"));
    assert!(rows[0]["feature"].as_array().unwrap().len() > 4, "{rows:?}");
    cli.write("one.sql", "-- how many\nSELECT count(*) AS n FROM results");
    let output = cli.run(&["query", "--file", "one.sql", "--format", "csv"]);
    assert_eq!(output.expect_code(0).stdout, "n\n16\n");
}

#[test]
fn slips_on_the_command_line_are_told() {
    let cli = small();
    run(&cli, "small.toml");
    let sql = "SELECT 1 AS n";
    for (arguments, says) in [
        (&["query", "--csv", sql][..], "write `--format csv`"),
        (&["query", sql, "--csv"], "write `--format csv`"),
        (
            &["query", "-f", "csv", sql],
            "`--format csv` chooses the format",
        ),
        (&["query", sql, "-f"], "`--file query.sql` reads the query"),
        (&["query", "--markdwon"], "unknown option `--markdwon`"),
        (&["query", sql, "--output", "a.xlsx"], ".parquet"),
        (
            &["query", sql, "--output", "fashion"],
            "does not say a format",
        ),
        (
            &["query", sql, "--format", "csv", "--output", "fashion"],
            "fashion is a folder",
        ),
        (
            &["query", sql, "--format", "xml"],
            "csv, json, markdown, parquet",
        ),
        (
            &["query", "--file", "none.sql"],
            "cannot read the query none.sql",
        ),
    ] {
        let output = cli.run(arguments).expect_code(2).expect_in_stderr(&[says]);
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
    assert!(!cli.path("a.xlsx").exists());
}

#[test]
fn tables_are_listed_with_their_rows_and_columns() {
    let cli = small();
    run(&cli, "small.toml");
    let listed = cli
        .run(&["query", "--tables", "--json"])
        .expect_code(0)
        .json();
    let listed = listed.as_array().unwrap();
    let rows = |name: &str| {
        let table = listed.iter().find(|table| table["table"] == name);
        table.unwrap_or_else(|| panic!("{name}: {listed:?}"))["rows"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(rows("results"), 16);
    assert_eq!(
        rows("artifacts"),
        cli.query("SELECT * FROM artifacts").len() as u64
    );
    assert_eq!(
        rows("predictions"),
        cli.query("SELECT * FROM predictions").len() as u64
    );
    assert_eq!(rows("features_XXXX"), 240);
    let text = cli.run(&["query"]).expect_code(0).stdout;
    assert!(
        text.contains("(4 tables, each named by the first digits"),
        "{text}"
    );
    assert!(text.lines().count() < 15, "{text}");
    let columns = cli
        .run(&["query", "--tables", "predictions"])
        .expect_code(0)
        .stdout;
    assert!(
        columns.contains("| label ") && columns.contains("| integer "),
        "{columns}"
    );
    cli.run(&["query", "--tables", "predictins"])
        .expect_code(2)
        .expect_in_stderr(&["unknown table `predictins`", "did you mean `predictions`?"]);
}

#[test]
fn classes_have_names_and_labels_can_be_joined() {
    let cli = small();
    run(&cli, "small.toml");
    let classes = cli.query("SELECT * FROM classes ORDER BY label");
    assert_eq!(classes.len(), 10);
    assert_eq!(classes[0]["dataset"], "fashion");
    assert_eq!(classes[0]["label"], 0);
    assert_eq!(classes[9]["name"], "Ankle boot");
    let named = cli.query(
        "SELECT c.name, p.label FROM predictions p
         JOIN results r ON p.head_fingerprint = r.head_fingerprint
         JOIN classes c ON c.dataset = r.dataset AND c.label = p.label
         WHERE r.metric = 'top1'",
    );
    assert_eq!(named.len(), cli.query("SELECT id FROM predictions").len());
    // The labels of features and of predictions have one type.
    let features = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features' LIMIT 1");
    let table = format!(
        "features_{}",
        &features[0]["fingerprint"].as_str().unwrap()[..12]
    );
    let joined = cli.query(&format!(
        "SELECT DISTINCT c.name FROM {table} f JOIN classes c ON f.label = c.label"
    ));
    assert!(!joined.is_empty());
}

#[test]
fn errors_of_the_engine_are_sentences() {
    let cli = small();
    run(&cli, "small.toml");
    for (sql, says) in [
        ("SELECT * FROM nope", "unknown table `nope`"),
        (
            "SELECT valu FROM results",
            "unknown column `valu`\n  hint: did you mean `value`?",
        ),
        ("SELECT foo(value) FROM results", "unknown function `foo`"),
        (
            "SELEC 1",
            "syntax error at line 1, column 1: expected an SQL statement, found SELEC\n  | SELEC 1\n  | ^",
        ),
        (
            "SELECT value FROM\nresults WHERE",
            "syntax error at line 2, column 14: expected an expression",
        ),
        ("DESCRIBE results", "`repro query --tables TABLE`"),
        ("SHOW TABLES", "`repro query --tables` lists"),
        ("COPY results TO 'a.csv'", "`--output FILE`"),
        (
            "SELECT head, avg(value) FROM results GROUP BY ROLLUP(head)",
            "`GROUP BY ROLLUP` is not available",
        ),
        (
            "SELECT head, row_number() OVER (ORDER BY head) AS n FROM results GROUP BY head",
            "a window function (`OVER`) beside `GROUP BY`",
        ),
    ] {
        let output = cli
            .run(&["query", sql])
            .expect_code(2)
            .expect_in_stderr(&[says]);
        for debug in ["Span(", "Ident {", "panicked", "sql parser error"] {
            assert!(!output.stderr.contains(debug), "{output}");
        }
        assert_eq!(output.stdout, "", "{sql}");
    }
    assert_eq!(
        cli.query("SELECT count(*) AS n FROM results WHERE value < 1e6")[0]["n"],
        16
    );
    let numbered = cli.query("SELECT head, row_number() OVER (ORDER BY value) AS n FROM results");
    assert_eq!(numbered.len(), 16);
}

#[test]
fn a_cache_whose_path_is_not_utf_8_is_read_from_beside_it_and_refused_from_elsewhere() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let cli = small();
    run(&cli, "small.toml");
    let folder = cli.path("x").with_file_name(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    fs::rename(cli.path(".repro"), folder.join(".repro")).unwrap();
    let sql = "SELECT count(*) AS n FROM predictions";
    let ask = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = cli.command(&["query", "--json", sql]);
        change(&mut command);
        crate::fixture::finish(command.output().unwrap())
    };
    let beside = ask(&|command| {
        command.current_dir(&folder);
    });
    assert_eq!(beside.expect_code(0).json()[0]["n"], 160);
    let elsewhere = ask(&|command| {
        command.arg("--cache").arg(folder.join(".repro"));
    });
    elsewhere
        .expect_code(2)
        .expect_in_stderr(&["is not UTF-8", "hint: make a link"]);
}
