//! `repro check` and `repro plan` over the experiment files in `tests/suite/cases`: what a person sees, word by word.
//!
//! A new case is a new file; `INSTA_UPDATE=always` writes its snapshot, to be read before it is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use repro::message::Message;
use repro::spec::include::IncludedFile;
use repro::spec::{Source, compose};
use serde_json::Value;

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
    for part in walk(&root().join("tests/suite/cases/parts")) {
        let file = part.file_name().unwrap().to_str().unwrap();
        cli.write(&format!("parts/{file}"), std::fs::read(&part).unwrap());
    }
    assert!(!files.is_empty(), "no cases in {folder}");
    (cli, files)
}

/// What a case is checked with: its first line may be `# arguments: --profile smoke`.
pub fn arguments(text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    let arguments = first.strip_prefix("# arguments: ").unwrap_or_default();
    arguments.split_whitespace().map(str::to_owned).collect()
}

/// A case with the files that it includes, as `repro check` reads it: under its arguments, or as it stands and under each profile.
pub fn sources(case: &Path) -> Vec<Source> {
    let text = std::fs::read_to_string(case).unwrap();
    let arguments = arguments(&text);
    // Where a case runs, the parts are beside it: here they are beside the folders of the cases.
    let folder = case.parent().unwrap();
    let typed = folder.parent().unwrap().join(case.file_name().unwrap());
    let mut read = |path: &Path| {
        let beside = folder.join(path.file_name().unwrap());
        let real = if path.exists() { path } else { &beside };
        let failed = |error: std::io::Error| Message::new(error.to_string());
        Ok(IncludedFile {
            path: path.to_owned(),
            identity: real.canonicalize().map_err(failed)?,
            text: std::fs::read_to_string(real).map_err(failed)?,
        })
    };
    let after = |name: &'static str| {
        let pairs = arguments.windows(2).filter(move |pair| pair[0] == name);
        pairs.map(|pair| pair[1].clone())
    };
    let sets: Vec<String> = after("--set").collect();
    let source = Source::new("case.toml", text)
        .with_included(&typed, &case.canonicalize().unwrap(), &mut read)
        .with_sets(&sets);
    let named: Vec<String> = after("--profile").collect();
    if let Some(name) = named.first() {
        return vec![source.with_profile(Some(name))];
    }
    let profiles = compose::profiles(&source).into_iter();
    let profiles = profiles.map(|name| source.clone().with_profile(Some(&name)));
    std::iter::once(source.clone()).chain(profiles).collect()
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

/// The code of the error that two files write one report.
const SHARED: &str = "graph::duplicate-output";

/// What looks at the inputs of an experiment; nothing runs without libtorch.
const COMMANDS: &[&str] = if cfg!(feature = "torch") {
    &["plan", "run"]
} else {
    &["plan"]
};

#[test]
fn check_says_what_the_snapshots_say() {
    let (cli, files) = with_cases("check");
    let check = |file: &String, json: &[&str]| {
        let overrides = arguments(&cli.read(file));
        let mut all = [&["check", file.as_str()], json].concat();
        all.extend(overrides.iter().map(String::as_str));
        cli.run(&all)
    };
    let run = |file: &String| (file.clone(), check(file, &[]));
    let outputs: BTreeMap<String, Output> = files.iter().map(run).collect();
    compare(&cli, "check", &outputs);

    // The records hold the same errors, in the order of their places. One command has those of all files: what includes others or has
    // arguments of its own is asked alone.
    let is_alone = |file: &str| {
        let text = cli.read(file);
        text.contains("include") || !arguments(&text).is_empty()
    };
    let together: Vec<&str> = outputs
        .keys()
        .map(String::as_str)
        .filter(|file| !is_alone(file))
        .collect();
    let all = cli
        .run(&[&["check", "--json"], together.as_slice()].concat())
        .json();
    for (file, output) in &outputs {
        let records = if is_alone(file) {
            let alone = check(file, &["--json"]);
            assert_eq!(alone.code, output.code, "{file}");
            alone.json().as_array().unwrap().clone()
        } else {
            let records = all.as_array().unwrap().iter();
            // That another file writes the same report is an error of the two together.
            let is_own = |record: &&Value| {
                record["file"].as_str() == Some(file)
                    && (record["code"] != SHARED || output.stderr.contains(SHARED))
            };
            records.filter(is_own).cloned().collect()
        };
        let (mut places, mut severities) = (Vec::new(), Vec::new());
        for record in &records {
            let named = record["file"].as_str().unwrap();
            let place = format!("{named}:{}:{}: ", record["line"], record["column"]);
            assert!(output.stderr.contains(&place), "{file}: no {place}");
            assert!(
                output.stderr.contains(record["code"].as_str().unwrap()),
                "{record}"
            );
            // The file itself is before what it includes; each `--set` is a line of its own.
            let column = record["column"].as_u64().filter(|_| named != "--set");
            places.push((
                named != file,
                named.to_owned(),
                record["line"].as_u64(),
                column,
            ));
            severities.push(record["severity"].as_str().unwrap().to_owned());
        }
        assert!(places.is_sorted(), "{file}: {places:?}");
        assert_eq!(output.stderr.matches("╭─[").count(), places.len(), "{file}");
        let is_good = file.starts_with("good");
        let has_warnings = file.starts_with("warning");
        let severity = if has_warnings { "warning" } else { "error" };
        assert!(severities.iter().all(|one| one == severity), "{file}");
        assert_eq!(
            (output.code, places.is_empty()),
            (Some(if is_good || has_warnings { 0 } else { 2 }), is_good),
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

#[test]
fn a_file_that_is_missing_hides_no_errors_of_the_others() {
    let cli = CliTest::new();
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write("bad.toml", good.replace("linear", "liner"));
    cli.run(&["check", "nope.toml", "bad.toml", "none.toml"])
        .expect_code(2)
        .expect_in_stderr(&[
            "bad.toml: 1 error",
            "did you mean `linear`?",
            "cannot read the experiment file nope.toml",
            "cannot read the experiment file none.toml",
        ]);
    let records = cli
        .run(&["check", "--json", "nope.toml", "bad.toml"])
        .expect_code(2)
        .expect_in_stderr(&["nope.toml"])
        .json();
    assert_eq!(records.as_array().unwrap().len(), 1);
}

#[test]
fn a_file_in_another_encoding_is_told_so() {
    let cli = CliTest::new();
    cli.write(
        "latin.toml",
        b"[experiment]\nname = \"x\"\ntitle = \"caf\xe9\"\n",
    );
    cli.run(&["check", "latin.toml"])
        .expect_code(2)
        .expect_in_stderr(&["latin.toml: it is not text in UTF-8", "save it as UTF-8"]);
}

#[test]
fn two_experiments_that_write_one_report_are_refused() {
    let cli = CliTest::new();
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write("a.toml", &good);
    cli.write(
        "b.toml",
        good.replace("name = \"case\"", "name = \"other\""),
    );
    cli.run(&["check", "a.toml"]).expect_code(0);
    cli.run(&["check", "b.toml"]).expect_code(0);
    cli.run(&["check", "a.toml", "b.toml"])
        .expect_code(2)
        .expect_in_stderr(&[
            "graph::duplicate-output",
            "the report writes `reports/case.md`, which another experiment writes at",
            "b.toml: 1 error",
        ]);
}

#[test]
fn warnings_are_errors_where_they_are_denied() {
    let cli = CliTest::with_fashion(200, 60);
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write(
        "good.toml",
        good.replace("epochs   = 2", "epochs   = 2\nbatch_size = 4"),
    );
    let slip = good.replace("epochs   = 2", "epochs   = 2\ntest     = \"train\"");
    cli.write("slip.toml", &slip);
    let deny = ["--deny", "warnings"];
    for command in ["check", "plan"] {
        cli.run(&[command, "good.toml", deny[0], deny[1]])
            .expect_code(0);
        cli.run(&[command, "slip.toml"])
            .expect_code(0)
            .expect_in_stderr(&["warning[graph::test-is-train]", "slip.toml:"]);
        cli.run(&[command, "slip.toml", deny[0], deny[1]])
            .expect_code(2)
            .expect_in_stderr(&["which `--deny warnings` makes errors"]);
    }
    // What needs the sizes of datasets is known to `plan`.
    let few = cli.run(&["plan", "slip.toml"]).expect_code(0);
    few.expect_in_stderr(&[
        "warning[run::one-step]",
        "split `train` of dataset `fashion` has 200 samples, and `batch_size` is 256",
    ]);
    #[cfg(feature = "torch")]
    cli.run(&["run", "slip.toml", deny[0], deny[1]])
        .expect_code(2)
        .expect_in_stderr(&["slip.toml: 2 warnings, which `--deny warnings` makes errors"]);
    assert!(!cli.path("reports/case.md").exists());
}

#[cfg(feature = "torch")]
#[test]
fn warnings_of_a_run_are_printed_logged_and_reported_once() {
    let cli = CliTest::with_fashion(200, 60);
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write(
        "good.toml",
        good.replace("epochs   = 2", "epochs   = 2\nbatch_size = 4"),
    );
    cli.run(&["run", "good.toml", "--json-log", "good.jsonl"])
        .expect_code(0);
    let log = std::fs::read_to_string(cli.path("good.jsonl")).unwrap();
    assert!(!log.contains("\"warned\""));
    let report = std::fs::read_to_string(cli.path("reports/case.md")).unwrap();
    assert!(!report.contains("## Warnings"), "{report}");

    cli.write(
        "slip.toml",
        good.replace("epochs   = 2", "epochs   = 2\ntest     = \"train\""),
    );
    let output = cli
        .run(&["run", "slip.toml", "--json-log", "slip.jsonl"])
        .expect_code(0);
    for code in ["graph::test-is-train", "run::one-step"] {
        let warning = format!("warning[{code}]");
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
        let log = std::fs::read_to_string(cli.path("slip.jsonl")).unwrap();
        let events: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|event: &Value| event["event"] == "warned")
            .filter(|event| event["code"] == code)
            .collect();
        assert_eq!(events.len(), 1, "{log}");
        assert!(
            events[0]["place"]
                .as_str()
                .unwrap()
                .starts_with("slip.toml:")
        );
        let report = std::fs::read_to_string(cli.path("reports/case.md")).unwrap();
        assert!(
            report.contains("## Warnings") && report.contains(code),
            "{report}"
        );
    }
}

#[test]
fn metrics_that_are_right_by_nature_are_told() {
    let cli = CliTest::with_fashion(12, 6);
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write(
        "all.toml",
        good.replace("of   = \"probe\"", "of   = \"probe\"\ntop = [1, 10]"),
    );
    cli.run(&["plan", "all.toml"])
        .expect_code(0)
        .expect_in_stderr(&[
            "warning[run::always-right]",
            "`top10` of metric `accuracy` is 100 % whatever is predicted",
        ]);
}

#[test]
fn a_tilde_is_the_home_folder_and_a_split_that_is_missing_has_a_place() {
    let cli = CliTest::with_fashion(12, 6);
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    let text = good.replace("root = \"fashion\"", "root = \"~/fashion\"");
    cli.write("home.toml", &text);
    let plan = |home: &std::path::Path| {
        let mut command = cli.command(&["plan", "home.toml"]);
        let output = command.env("HOME", home).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(plan(&cli.path("")).0, Some(0));
    let (code, text) = plan(&cli.path("elsewhere"));
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("home.toml:6:8") && text.contains("elsewhere/fashion"),
        "{text}"
    );

    cli.write(
        "split.toml",
        good.replace("epochs   = 2", "epochs   = 2\ntest     = \"val\""),
    );
    cli.run(&["plan", "split.toml"])
        .expect_code(2)
        .expect_in_stderr(&["split.toml:", "split `val`"]);
}

#[test]
fn paths_that_are_missing_are_shown_with_their_place_and_what_is_near() {
    let cli = CliTest::with_fashion(12, 6);
    let good = std::fs::read_to_string(root().join("tests/suite/cases/check/good.toml")).unwrap();
    let with = |root: &str| good.replace("root = \"fashion\"", &format!("root = \"{root}\""));
    for (name, text, expected) in [
        (
            "near",
            with("fashoin"),
            &[
                "near.toml:6:8: dataset `fashion`",
                "did you mean `fashion`?",
                "relative paths start from ",
            ][..],
        ),
        (
            "home",
            with("$HOME/fashion"),
            &["home.toml:6:8", "`$HOME` are not expanded", "`~/`"][..],
        ),
    ] {
        cli.write(&format!("{name}.toml"), text);
        for command in COMMANDS {
            cli.run(&[command, &format!("{name}.toml")])
                .expect_code(3)
                .expect_in_stderr(expected);
        }
    }
}
