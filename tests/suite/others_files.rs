//! Files of others: what exists and was not made by a command is not replaced by it, nor written through a link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::fetch::{direct, file};
use crate::fixture::{CliTest, Output, finish};
use crate::http_server::{Reply, Server};
use crate::small::{SMALL, run, small};

const THESIS: &str = "# Thesis\n\nFour years of work.\n";

/// A run that is refused before anything is computed.
#[track_caller]
fn expect_refused(cli: &CliTest, arguments: &[&str], says: &[&str]) {
    let output = cli.run(arguments).expect_code(2);
    let output = output.expect_in_stderr(says);
    output.expect_in_stderr(&["\n  hint: ", "--force"]);
    assert!(
        cli.files(".repro/artifacts").is_empty(),
        "nothing is computed"
    );
}

#[test]
fn a_log_takes_no_file_of_others() {
    let cli = small();
    cli.write("thesis.md", THESIS);
    cli.write("data.jsonl", "{\"id\": 1}\n{\"id\": 2}\n");
    symlink("thesis.md", cli.path("link")).unwrap();
    symlink("nowhere", cli.path("dangling")).unwrap();
    for (log, says) in [
        ("small.toml", "is not a log of repro"),
        ("thesis.md", "is not a log of repro"),
        ("data.jsonl", "is not a log of repro"),
        ("link", "is not a log of repro"),
        ("dangling", "is a link to nothing"),
    ] {
        let before = fs::read(cli.path(log)).ok();
        let says = format!("{log} is there, and {says}");
        expect_refused(&cli, &["run", "small.toml", "--json-log", log], &[&says]);
        assert!(fs::read(cli.path(log)).ok() == before, "{log}");
    }
    assert!(!cli.path("nowhere").exists());
    assert_eq!(cli.read("thesis.md"), THESIS);
    cli.run(&["run", "small.toml", "--json-log", "fashion"])
        .expect_code(3)
        .expect_in_stderr(&["cannot write fashion"]);
    cli.run(&["run", "small.toml", "--json-log", "thesis.md", "--force"])
        .expect_code(0);
    assert!(cli.read("thesis.md").starts_with("{\"at\":"));
}

#[test]
fn a_log_is_continued_and_its_last_line_ended() {
    let cli = small();
    let lines = |text: &str| -> Vec<Value> {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    cli.write("empty.jsonl", "");
    let log = ["run", "small.toml", "--json-log", "empty.jsonl"];
    cli.run(&log).expect_code(0);
    let first = cli.read("empty.jsonl");
    assert!(lines(&first).len() > 10);
    cli.run(&log).expect_code(0);
    let second = cli.read("empty.jsonl");
    let added = second.strip_prefix(&first).unwrap();
    let added = lines(added);
    assert_eq!(added[0]["event"], "run-started");
    // A line that a full disk or a kill has cut stays what it is, and no other is lost by it.
    let cut = &first[..first.len() - 7];
    cli.write("empty.jsonl", cut);
    cli.run(&log).expect_code(0);
    let third = cli.read("empty.jsonl");
    let added_again = third.strip_prefix(cut).unwrap().strip_prefix('\n').unwrap();
    assert_eq!(lines(added_again).len(), added.len());
}

#[test]
fn a_log_that_cannot_be_written_is_told_at_the_end_and_stops_nothing() {
    let cli = small();
    let output = cli
        .run(&["run", "small.toml", "--json-log", "/dev/full"])
        .expect_code(3);
    let told = output.stderr.matches("/dev/full").count();
    assert_eq!(told, 1, "{output}");
    output.expect_in_stderr(&["error: the JSON log /dev/full ends early: No space left on device"]);
    assert_eq!(cli.query("SELECT * FROM results").len(), 16);
    assert!(cli.path("reports/small.md").is_file());
    // The record in the cache is whole.
    let records = cli.files(".repro/runs");
    let record = String::from_utf8(records.into_values().next().unwrap()).unwrap();
    assert!(
        record
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("run-finished")
    );
}

#[test]
fn an_export_replaces_nothing_unless_it_is_told_to() {
    let cli = small();
    run(&cli, "small.toml");
    cli.write("thesis.md", THESIS);
    symlink("nowhere.parquet", cli.path("dangling")).unwrap();
    let features = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features' LIMIT 1");
    let features = features[0]["fingerprint"].as_str().unwrap();
    for target in ["thesis.md", "small.toml", "dangling", "fashion"] {
        cli.run(&["cache", "export", features, target])
            .expect_code(2)
            .expect_in_stderr(&[target, "is there already", "--force"]);
    }
    assert_eq!(cli.read("thesis.md"), THESIS);
    assert_eq!(cli.read("small.toml"), SMALL);
    assert!(!cli.path("nowhere.parquet").exists());
    cli.run(&["cache", "export", features, "new.parquet"])
        .expect_code(0);
    cli.run(&["cache", "export", features, "new.parquet"])
        .expect_code(2);
    cli.run(&["cache", "export", features, "thesis.md", "--force"])
        .expect_code(0);
    assert!(
        fs::read(cli.path("thesis.md"))
            .unwrap()
            .starts_with(b"PAR1")
    );
}

#[test]
fn a_report_replaces_only_a_report_of_the_same_experiment() {
    let cli = small();
    let arguments = ["run", "small.toml", "--device", "cpu"];
    cli.write("reports/small.md", THESIS);
    expect_refused(
        &cli,
        &arguments,
        &["reports/small.md is there, and was not written by repro for the experiment `small`"],
    );
    assert_eq!(cli.read("reports/small.md"), THESIS);
    fs::remove_file(cli.path("reports/small.md")).unwrap();
    for beside in [
        "small.svg",
        "small.results.csv",
        "small.comparisons.csv",
        "small.provenance.json",
    ] {
        let beside = format!("reports/{beside}");
        cli.write(&beside, THESIS);
        expect_refused(&cli, &arguments, &[&beside, "no report at", "`small`"]);
        assert_eq!(cli.read(&beside), THESIS);
        fs::remove_file(cli.path(&beside)).unwrap();
    }
    cli.write("thesis.md", THESIS);
    symlink("../thesis.md", cli.path("reports/small.md")).unwrap();
    expect_refused(
        &cli,
        &arguments,
        &["reports/small.md is there, and is a link"],
    );
    fs::remove_file(cli.path("reports/small.md")).unwrap();
    fs::create_dir(cli.path("reports/small.md")).unwrap();
    expect_refused(&cli, &arguments, &["is not a regular file"]);
    fs::remove_dir(cli.path("reports/small.md")).unwrap();
    assert_eq!(cli.read("thesis.md"), THESIS);

    // Its own is replaced, whatever became of it below the first line.
    run(&cli, "small.toml");
    let report = cli.read("reports/small.md");
    let first = report.lines().next().unwrap();
    assert_eq!(
        first,
        "<!-- repro: the report of small; figures: small.svg; edits are overwritten -->"
    );
    cli.write("reports/small.md", format!("{first}\nedited\n"));
    run(&cli, "small.toml");
    assert_eq!(cli.read("reports/small.md"), report);

    // That of another experiment is not, nor its figures by a report of another name.
    let other = SMALL.replace("name  = \"small\"", "name  = \"other\"");
    cli.write("other.toml", &other);
    cli.run(&["run", "other.toml"])
        .expect_code(2)
        .expect_in_stderr(&["is the report of another experiment, `small`"]);
    cli.write(
        "other.toml",
        other.replace("reports/small.md", "reports/other.md"),
    );
    for command in ["run", "report"] {
        cli.run(&[command, "other.toml"])
            .expect_code(2)
            .expect_in_stderr(&["reports/small.svg is there, and no report at"]);
    }
    cli.write(
        "other.toml",
        other
            .replace("reports/small.md", "reports/other.md")
            .replace("small.svg", "other.svg"),
    );
    run(&cli, "other.toml");
    cli.write(
        "other.toml",
        other.replace("reports/small.md", "reports/other.md"),
    );
    cli.run(&["report", "other.toml"])
        .expect_code(2)
        .expect_in_stderr(&["reports/small.svg is there, and", "does not list it"]);
    assert_eq!(cli.read("reports/small.md"), report);

    // Unless one says so.
    cli.write("reports/small.md", THESIS);
    cli.run(&["report", "small.toml"]).expect_code(2);
    cli.run(&[
        "report",
        "small.toml",
        "--from",
        "reports/small.results.csv",
    ])
    .expect_code(2);
    assert_eq!(cli.read("reports/small.md"), THESIS);
    cli.run(&["report", "small.toml", "--force"]).expect_code(0);
    assert_eq!(cli.read("reports/small.md"), report);
}

#[test]
fn links_and_files_with_the_names_of_locks_are_not_written() {
    let cli = small();
    run(&cli, "small.toml");
    cli.write("thesis.md", THESIS);
    let metric = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'metric'");
    let metric = metric[0]["fingerprint"].as_str().unwrap();
    let folder = cli.path(&format!(
        ".repro/artifacts/metric/{}/{metric}",
        &metric[..2]
    ));
    let locks: Vec<_> = fs::read_dir(cli.path(".repro/locks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("/artifacts-"))
        .collect();
    assert!(!locks.is_empty());
    let again = || {
        fs::remove_dir_all(&folder).unwrap();
        cli.run(&["run", "small.toml"]).expect_code(0);
        assert_eq!(cli.read("thesis.md"), THESIS);
    };
    // A link is moved out of the way, and not followed.
    for lock in &locks {
        fs::remove_file(lock).unwrap();
        symlink("../../thesis.md", lock).unwrap();
    }
    again();
    // Locks are of ranges of a file, whatever it holds.
    for lock in &locks {
        fs::remove_file(lock).unwrap();
        fs::write(lock, THESIS).unwrap();
    }
    again();
    for lock in &locks {
        assert_eq!(fs::read_to_string(lock).unwrap(), THESIS);
    }
}

/// A download of 100,000 bytes into `data/weights`.
fn fetch(cli: &CliTest, server: &Server, arguments: &[&str]) -> Output {
    let url = server.url("weights.pt");
    let all = [
        "models",
        "fetch",
        "adm-64-cond",
        "--url",
        &url,
        "--hurry",
        "20",
    ];
    finish(direct(cli, &[&all, arguments].concat()).output().unwrap())
}

#[test]
fn a_download_leaves_what_has_the_names_of_its_files_alone() {
    let content = file(100_000, 1);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(&served, "\"one\"", asked));
    let name = "data/weights/64x64_diffusion.pt";
    let lock = "data/weights/.64x64_diffusion.pt.lock";
    let begin = |at: &str, link: bool| {
        let cli = CliTest::new();
        cli.write("thesis.md", THESIS);
        fs::create_dir_all(cli.path("data/weights")).unwrap();
        if link {
            symlink(cli.path("thesis.md"), cli.path(at)).unwrap();
        } else {
            cli.write(at, THESIS);
        }
        cli
    };
    // A file or a link in the place of the lock stops it.
    for link in [false, true] {
        let cli = begin(lock, link);
        fetch(&cli, &server, &[])
            .expect_code(3)
            .expect_in_stderr(&["the name of the lock"]);
        assert_eq!(
            (cli.read("thesis.md"), cli.read(lock)),
            (THESIS.to_owned(), THESIS.to_owned())
        );
    }
    // In the place of the file itself, too.
    for link in [false, true] {
        let cli = begin(name, link);
        fetch(&cli, &server, &["--sha256", &"0".repeat(64)])
            .expect_code(3)
            .expect_in_stderr(&["is there, but it is another file", "--force"]);
        assert_eq!(cli.read(name), THESIS);
    }
    // What has the name of a partial file, or of its description, is moved aside.
    for ending in [".partial", ".partial.toml"] {
        for link in [false, true] {
            let at = format!("{name}{ending}");
            let cli = begin(&at, link);
            fetch(&cli, &server, &[]).expect_code(0);
            assert!(fs::read(cli.path(name)).unwrap() == content);
            assert_eq!(cli.read(&format!("{at}.rejected")), THESIS);
            assert_eq!(cli.read("thesis.md"), THESIS);
        }
    }
    // The list of what was fetched is no link to elsewhere.
    let list = "data/weights/fetched.toml";
    let cli = begin(list, true);
    fetch(&cli, &server, &[])
        .expect_code(3)
        .expect_in_stderr(&["fetched.toml", "it is a link"]);
    assert!(Path::new(&cli.path(list)).is_symlink());
    assert_eq!(cli.read("thesis.md"), THESIS);
}
