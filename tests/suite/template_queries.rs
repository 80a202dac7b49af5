//! `query("SELECT …")` in the template of a report: tables from the cache, their order, their bounds, and errors at the template's line.

use crate::fixture::CliTest;
use crate::small::{SMALL, run, small};

/// The small experiment with a template of its own.
fn with_template(template: &str) -> CliTest {
    let cli = small();
    let output = "output = \"reports/small.md\"";
    let own = format!("{output}\ntemplate = \"own.md.jinja\"");
    cli.write("small.toml", SMALL.replace(output, &own));
    cli.write("own.md.jinja", template);
    cli
}

#[test]
fn a_template_shows_what_the_cache_says() {
    let template = "# Own\n\n{{ query(\"SELECT block, timestep, count(*) AS seeds, avg(value) AS mean FROM results
        WHERE metric = 'top1' GROUP BY block, timestep ORDER BY block, timestep\") }}
{{ query(\"SELECT id, count(*) AS heads FROM predictions GROUP BY id ORDER BY id\") }}
{{ query(\"SELECT count(*) AS heads FROM artifacts WHERE kind = 'head'\") }}\n";
    let cli = with_template(template);
    run(&cli, "small.toml");
    let report = cli.read("reports/small.md");
    let rows = cli.query(
        "SELECT block, timestep, avg(value) AS mean FROM results WHERE metric = 'top1' GROUP BY block, timestep ORDER BY block, timestep",
    );
    assert_eq!(rows.len(), 4);
    for row in rows {
        let line = format!(
            "| {} | {} | 2 | {} |",
            row["block"], row["timestep"], row["mean"]
        );
        assert!(report.contains(&line), "{line} in {report}");
    }
    assert!(report.contains("| heads |\n| ---: |\n| 8 |\n"), "{report}");
    let provenance = cli.read("reports/small.provenance.json");
    let provenance: serde_json::Value = serde_json::from_str(&provenance).unwrap();
    assert_eq!(provenance["queries"].as_array().unwrap().len(), 3);

    // Nothing changes that did not change.
    let again = cli.run(&["report", "small.toml"]).expect_code(0);
    assert!(again.stderr.contains("is up to date"), "{again}");

    // Without the cache the tables say why they are not there.
    cli.run(&[
        "report",
        "small.toml",
        "--from",
        "reports/small.results.csv",
        "--force",
    ])
    .expect_code(0);
    let report = cli.read("reports/small.md");
    assert_eq!(report.matches("*Not shown: ").count(), 3, "{report}");
}

#[test]
fn what_a_template_may_not_ask_has_its_line() {
    let cli = with_template("# Own\n");
    run(&cli, "small.toml");
    for (sql, says, hint) in [
        (
            "SELECT * FROM resuls ORDER BY value",
            "`resuls`",
            "hint: did you mean `results`",
        ),
        (
            "SELECT * FROM read_parquet('x')",
            "table function `read_parquet`",
            "hint: to join a file",
        ),
        (
            "SELECT value FROM results",
            "does not say in which order its rows come",
            "hint: end it with `ORDER BY`",
        ),
        (
            "SELECT value FROM results LIMIT 1",
            "does not say in which order its rows come",
            "hint: end it with `ORDER BY`",
        ),
    ] {
        cli.write(
            "own.md.jinja",
            format!("# Own\n\n{{{{ query(\"{sql}\") }}}}\n"),
        );
        let output = cli.run(&["report", "small.toml"]).expect_code(1);
        output.expect_in_stderr(&["own.md.jinja:3: ", says, hint]);
    }

    // A damaged table is not shown without its rows.
    cli.write(
        "own.md.jinja",
        "{{ query(\"SELECT a.id AS one, b.id AS other FROM predictions a CROSS JOIN predictions b ORDER BY one, other\") }}",
    );
    cli.run(&["report", "small.toml"]).expect_code(0);
    let report = cli.read("reports/small.md");
    assert!(
        report.contains("<sub>The first 200 of 25,600 rows.</sub>"),
        "{report}"
    );
    let files = cli.files(".repro/artifacts/head").into_iter();
    let (damaged, mut bytes) = files
        .into_iter()
        .find(|(path, _)| path.ends_with("predictions.parquet"))
        .unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    cli.write(&format!(".repro/artifacts/head/{damaged}"), bytes);
    cli.run(&["report", "small.toml"])
        .expect_code(1)
        .expect_in_stderr(&["rows are missing", "hint: `repro cache verify --set-aside`"]);
}
