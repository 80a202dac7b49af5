//! `repro check` and `repro plan` over the experiment files in `tests/suite/cases`: what a person sees, word by word.
//!
//! A new case is a new file; `INSTA_UPDATE=always` writes its snapshot, to be read before it is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fixture::{CliTest, Output, root, walk, with_snapshots};

/// A folder with a small Fashion-MNIST and the experiment files of one folder of cases, and their names.
fn with_cases(folder: &str) -> (CliTest, Vec<String>) {
    let cli = CliTest::with_fashion(12, 6);
    let mut files = Vec::new();
    for case in walk(&root().join("tests/suite/cases").join(folder)) {
        let file = case.file_name().unwrap().to_str().unwrap();
        cli.write(file, std::fs::read(&case).unwrap());
        files.push(file.to_owned());
    }
    assert!(!files.is_empty(), "no cases in {folder}");
    (cli, files)
}

/// Compares what the program prints with the snapshots; continues after a difference, so that one run shows all.
fn compare(cli: &CliTest, folder: &str, outputs: &BTreeMap<String, Output>) {
    let mut differing = Vec::new();
    for (file, output) in outputs {
        let name = format!("{folder}-{}", file.trim_end_matches(".toml"));
        let compared = catch_unwind(AssertUnwindSafe(|| {
            with_snapshots(cli, || {
                insta::assert_snapshot!(name.clone(), output.to_string());
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
    let (cli, files) = with_cases("check");
    let run = |file: &String| (file.clone(), cli.run(&["check", file]));
    let outputs: BTreeMap<String, Output> = files.iter().map(run).collect();
    compare(&cli, "check", &outputs);

    // The records hold the same errors, each file's in the order of their places.
    let arguments: Vec<&str> = ["check", "--json"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let records = cli.run(&arguments).expect_code(2).json();
    for (file, output) in &outputs {
        let records = records
            .as_array()
            .unwrap()
            .iter()
            .filter(|record| record["file"] == file.as_str());
        let mut places = Vec::new();
        for record in records {
            let place = format!("{file}:{}:{}: ", record["line"], record["column"]);
            assert!(output.stderr.contains(&place), "{file}: no {place}");
            assert!(
                output.stderr.contains(record["code"].as_str().unwrap()),
                "{record}"
            );
            places.push((record["line"].as_u64(), record["column"].as_u64()));
        }
        assert!(places.is_sorted(), "{file}: {places:?}");
        assert_eq!(output.stderr.matches("╭─[").count(), places.len(), "{file}");
        let is_good = file.starts_with("good");
        assert_eq!(
            (output.code, places.is_empty()),
            (Some(if is_good { 0 } else { 2 }), is_good),
            "{file}"
        );
    }
}

#[test]
fn plan_says_what_the_snapshots_say() {
    let (cli, files) = with_cases("plan");
    let run = |file: &String| {
        (
            file.clone(),
            cli.run(&["plan", "--steps", file]).expect_code(0),
        )
    };
    let outputs = files.iter().map(run).collect();
    compare(&cli, "plan", &outputs);
    assert!(
        !cli.path(".repro/artifacts").exists(),
        "planning makes nothing"
    );
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
    let output = output.expect_in_stderr(&["bad.toml: 1 error", "worse.toml: 1 error"]);
    assert_eq!(
        output.stdout,
        "good.toml: no errors (4 feature sets, 4 heads, 1 metric)\n"
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
