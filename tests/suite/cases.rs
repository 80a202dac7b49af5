//! `repro check` and `repro plan` over the experiment files in `tests/suite/cases`: what a person sees, word by word.
//!
//! A new case is a new file; `INSTA_UPDATE=always` writes its snapshot, to be read before it is committed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fixture::{CliTest, Output, root, walk, with_snapshots};

/// Runs every case of a folder and compares what it gives; goes on after a difference, so that one run shows all.
fn compare(folder: &str, show: impl Fn(&CliTest, &str) -> Output) {
    let cases = walk(&root().join("tests/suite/cases").join(folder));
    assert!(!cases.is_empty(), "no cases in {folder}");
    let mut differing = Vec::new();
    for case in cases {
        let cli = CliTest::with_fashion(12, 6);
        let file = case.file_name().unwrap().to_str().unwrap();
        cli.write(file, std::fs::read(&case).unwrap());
        let output = show(&cli, file);
        let name = format!("{folder}-{}", file.trim_end_matches(".toml"));
        let compared = catch_unwind(AssertUnwindSafe(|| {
            with_snapshots(&cli, || {
                insta::assert_snapshot!(name.clone(), output.to_string())
            });
        }));
        if compared.is_err() {
            differing.push(name);
        }
    }
    assert!(
        differing.is_empty(),
        "these snapshots differ: {differing:?}"
    );
}

#[test]
fn check_says_what_the_snapshots_say() {
    compare("check", |cli, file| {
        let output = cli.run(&["check", file]);
        let code = if file.starts_with("good") { 0 } else { 2 };
        assert_eq!(output.code, Some(code), "{file}: {output}");
        // Every mistake once, in the order of the file, and the same ones as records.
        let records = cli.run(&["check", "--json", file]).expect_code(code).json();
        let places: Vec<_> = records
            .as_array()
            .unwrap()
            .iter()
            .map(|record| (record["line"].as_u64(), record["column"].as_u64()))
            .collect();
        assert!(places.is_sorted(), "{file}: {places:?}");
        for record in records.as_array().unwrap() {
            let place = format!("{file}:{}:{}: ", record["line"], record["column"]);
            assert!(output.stderr.contains(&place), "{file}: no {place}");
            assert!(output.stderr.contains(record["code"].as_str().unwrap()));
        }
        assert_eq!(output.stderr.matches("╭─[").count(), places.len(), "{file}");
        output
    });
}

#[test]
fn plan_says_what_the_snapshots_say() {
    compare("plan", |cli, file| {
        let output = cli.run(&["plan", "--steps", file]).expect_code(0);
        assert_eq!(
            cli.run(&["plan", "--steps", file]).stdout,
            output.stdout,
            "the same text every time"
        );
        assert!(
            !cli.path(".repro/artifacts").exists(),
            "planning makes nothing"
        );
        output
    });
}

#[test]
fn every_snapshot_has_a_case() {
    let names = |folder: &str, prefix: &str, ending: &str| -> BTreeSet<String> {
        let files = walk(&root().join("tests/suite").join(folder)).into_iter();
        let names = files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names
            .filter(|name| name.starts_with(prefix))
            .filter_map(|name| Some(name.strip_suffix(ending)?.to_owned()))
            .collect()
    };
    for folder in ["check", "plan"] {
        let cases: BTreeSet<String> = names(&format!("cases/{folder}"), "", ".toml")
            .into_iter()
            .map(|name| format!("{folder}-{name}"))
            .collect();
        assert_eq!(names("snapshots", &format!("{folder}-"), ".snap"), cases);
    }
}

#[test]
fn several_files_are_checked_at_once_and_each_is_named() {
    let cli = CliTest::new();
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write("good.toml", &good);
    cli.write("bad.toml", good.replace("linear", "liner"));
    cli.write("worse.toml", good.replace("fashion-mnist", "mnist"));
    let output = cli
        .run(&["check", "bad.toml", "good.toml", "worse.toml"])
        .expect_code(2);
    let output = output.expect_in_stderr(&["bad.toml has 1 mistake", "worse.toml has 1 mistake"]);
    assert_eq!(
        output.stdout,
        "good.toml: no mistakes (4 feature sets, 4 heads, 1 metric)\n"
    );
    let records = cli
        .run(&["check", "--json", "bad.toml", "good.toml", "worse.toml"])
        .expect_code(2)
        .json();
    let files: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["bad.toml", "worse.toml"]);
}
