//! The command line itself: help, listings, queries, and where text goes.

use std::process::Stdio;

use crate::fixture::{CliTest, root, with_snapshots};

const COMMANDS: [&str; 17] = [
    "init",
    "demo",
    "run",
    "submit",
    "status",
    "cancel",
    "check",
    "plan",
    "report",
    "diff",
    "query",
    "list",
    "data",
    "models",
    "cache",
    "doctor",
    "completions",
];

#[test]
fn help_says_what_the_snapshots_say() {
    let cli = CliTest::new();
    let help = cli.run(&["--help"]).expect_code(0);
    for command in COMMANDS {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{command} is not listed"
        );
    }
    let mut pages = vec![("repro".to_owned(), help)];
    for command in COMMANDS {
        pages.push((
            command.to_owned(),
            cli.run(&[command, "--help"]).expect_code(0),
        ));
    }
    for (command, action) in [
        ("models", "inspect"),
        ("models", "convert"),
        ("data", "list"),
        ("data", "fetch"),
        ("cache", "gc"),
    ] {
        let page = cli.run(&[command, action, "--help"]).expect_code(0);
        pages.push((format!("{command}-{action}"), page));
    }
    with_snapshots(&cli, || {
        for (name, page) in pages {
            insta::assert_snapshot!(format!("help-{name}"), page.stdout);
        }
    });
}

#[test]
fn wrong_arguments_end_with_code_2() {
    let cli = CliTest::new();
    cli.run(&["chek", "x.toml"])
        .expect_code(2)
        .expect_in_stderr(&["chek", "check"]);
    cli.run(&["check"]).expect_code(2);
    cli.run(&["check", "none.toml"])
        .expect_code(2)
        .expect_in_stderr(&["none.toml", "hint: "]);
    cli.run(&["plan", "none.toml"])
        .expect_code(2)
        .expect_in_stderr(&["none.toml", "hint: "]);
    cli.run(&["completions", "tcsh-ish"]).expect_code(2);
    cli.write("not-text.toml", [0xff, 0xfe, 0x00]);
    cli.run(&["check", "not-text.toml"])
        .expect_code(2)
        .expect_in_stderr(&["not-text.toml"]);
}

#[cfg(feature = "torch")]
#[test]
fn an_unknown_device_is_an_error() {
    let cli = CliTest::with_fashion(4, 2);
    cli.write(
        "good.toml",
        std::fs::read(root().join("tests/suite/cases/check/good.toml")).unwrap(),
    );
    cli.run(&["run", "good.toml", "--device", "gpu"])
        .expect_code(2)
        .expect_in_stderr(&["unknown device `gpu`", "cuda:0"]);
    let output = cli
        .run(&["run", "good.toml", "--device", "cuda:99"])
        .expect_code(2);
    output.expect_in_stderr(&["cuda:99"]);
}

#[cfg(not(feature = "torch"))]
#[test]
fn a_build_without_libtorch_says_so() {
    let cli = CliTest::new();
    cli.write(
        "good.toml",
        std::fs::read(root().join("tests/suite/cases/check/good.toml")).unwrap(),
    );
    cli.run(&["run", "good.toml"])
        .expect_code(2)
        .expect_in_stderr(&["feature `torch`"]);
}

#[test]
fn kinds_are_listed_with_their_keys() {
    let cli = CliTest::new();
    let text = cli.run(&["list", "kinds"]).expect_code(0);
    let kinds = cli.run(&["list", "kinds", "--json"]).expect_code(0).json();
    let kinds = kinds.as_array().unwrap();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for kind in kinds {
        let name = kind["kind"].as_str().unwrap();
        assert!(text.stdout.contains(name), "{name}");
        assert!(!kind["summary"].as_str().unwrap().is_empty(), "{name}");
    }
    for name in ["linear", "extraction"] {
        let kind = kinds.iter().find(|kind| kind["kind"] == name).unwrap();
        let one = cli
            .run(&["list", "kinds", name, "--json"])
            .expect_code(0)
            .json();
        assert_eq!(&one, kind);
        let page = cli.run(&["list", "kinds", name]).expect_code(0);
        for key in kind["keys"].as_array().unwrap() {
            let key = key["name"].as_str().unwrap();
            assert!(page.stdout.contains(key), "{key}");
        }
    }
    cli.run(&["list", "kinds", "liner"])
        .expect_code(2)
        .expect_in_stderr(&["unknown kind `liner`", "did you mean `linear`?"]);
}

#[test]
fn models_are_listed_with_their_blocks() {
    let cli = CliTest::new();
    let text = cli.run(&["list", "models"]).expect_code(0);
    let models = cli.run(&["list", "models", "--json"]).expect_code(0).json();
    for model in models.as_array().unwrap() {
        let name = model["model"].as_str().unwrap();
        assert!(text.stdout.contains(name), "{name}");
        assert!(
            model["parameters"].as_u64().unwrap() > 0
                && !model["blocks"].as_array().unwrap().is_empty(),
            "{name}"
        );
    }
    let nano = cli
        .run(&["list", "models", "adm-nano", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(nano["blocks"].as_array().unwrap().len(), 5);
    let text = cli.run(&["list", "models", "adm-nano"]).expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("list-models-adm-nano", text.stdout);
    });
    cli.run(&["list", "models", "adm-nani"])
        .expect_code(2)
        .expect_in_stderr(&["unknown model `adm-nani`", "did you mean `adm-nano`?"]);
}

#[test]
fn a_cache_that_is_not_there_is_named_and_not_made() {
    let cli = CliTest::new();
    for arguments in [
        &["list", "artifacts"][..],
        &["query", "SELECT * FROM results"],
        &["cache", "verify"],
    ] {
        let output = cli.run(arguments).expect_code(4);
        let output = output.expect_in_stderr(&["no cache at ./.repro", "hint: run an experiment"]);
        assert_eq!(output.stdout, "");
    }
    assert!(!cli.path(".repro").exists(), "reading makes no cache");
}

#[test]
fn an_empty_cache_lists_and_answers_nothing() {
    let cli = CliTest::new();
    drop(repro::store::Store::open(cli.path(".repro")).unwrap());
    let listed = cli
        .run(&["list", "artifacts", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(listed, serde_json::json!([]));
    assert_eq!(cli.query("SELECT * FROM results").len(), 0);
    assert_eq!(cli.query("SELECT * FROM artifacts").len(), 0);
}

#[cfg(feature = "torch")]
#[test]
fn a_cache_answers_questions() {
    let cli = CliTest::with_fashion(12, 6);
    cli.write(
        "good.toml",
        std::fs::read(root().join("tests/suite/cases/check/good.toml")).unwrap(),
    );
    cli.run(&["plan", "--check", "good.toml"]).expect_code(1);
    cli.run(&["run", "good.toml"]).expect_code(0);
    cli.run(&["plan", "--check", "good.toml"]).expect_code(0);

    let artifacts = cli
        .run(&["list", "artifacts", "--json"])
        .expect_code(0)
        .json();
    let artifacts = artifacts.as_array().unwrap();
    assert_eq!(artifacts.len(), 4 + 4 + 1);
    assert!(
        artifacts
            .iter()
            .all(|artifact| artifact["recipe"].is_object()),
        "{artifacts:?}"
    );
    let text = cli.run(&["list", "artifacts"]).expect_code(0);
    for artifact in artifacts {
        assert!(
            text.stdout
                .contains(&artifact["fingerprint"].as_str().unwrap()[..12])
        );
    }
    // 4 heads of 2 epochs; 4 heads that predict 6 images; 4 heads scored by top-1 and top-5.
    assert_eq!(cli.query("SELECT * FROM curves").len(), 8);
    assert_eq!(cli.query("SELECT * FROM predictions").len(), 24);
    assert_eq!(
        cli.query("SELECT metric, value FROM results WHERE metric = 'top1'")
            .len(),
        4
    );
    assert_eq!(
        cli.query("SELECT * FROM artifacts WHERE kind = 'head'")
            .len(),
        4
    );
    let joined = "SELECT p.id FROM predictions AS p JOIN results AS r ON p.head_fingerprint = r.head_fingerprint WHERE r.metric = 'top1'";
    assert_eq!(cli.query(joined).len(), 24);
    let features = artifacts
        .iter()
        .find(|artifact| artifact["kind"] == "features")
        .unwrap();
    let table = format!(
        "features_{}",
        &features["fingerprint"].as_str().unwrap()[..12]
    );
    assert_eq!(
        cli.query(&format!("SELECT id, split, label FROM {table}"))
            .len(),
        18
    );
    let text = cli
        .run(&["query", &format!("SELECT * FROM {table} LIMIT 1")])
        .expect_code(0);
    assert!(
        text.stdout.contains("train/0000") || text.stdout.contains("train/0001"),
        "{text}"
    );

    cli.run(&["query", "SELECT * FROM result"])
        .expect_code(2)
        .expect_in_stderr(&["did you mean `results`"]);
    cli.run(&["query", "SELECT * FROM curvs"])
        .expect_code(2)
        .expect_in_stderr(&["did you mean `curves`"]);
    cli.run(&["query", "SELECT valu FROM results"])
        .expect_code(2)
        .expect_in_stderr(&["valu"]);
    cli.run(&["query", "SELEC 1"]).expect_code(2);
    cli.run(&["query", "DROP TABLE results"]);
    assert_eq!(
        cli.query("SELECT * FROM results").len(),
        8,
        "a query changes nothing"
    );

    cli.run(&["cache", "export", "zzzz", "x.parquet"])
        .expect_code(2)
        .expect_in_stderr(&["zzzz", "hint: "]);
    cli.run(&["cache", "export", "", "x.parquet"])
        .expect_code(2);
    let head = artifacts
        .iter()
        .find(|artifact| artifact["kind"] == "head")
        .unwrap();
    let output = cli.run(&[
        "cache",
        "export",
        head["fingerprint"].as_str().unwrap(),
        "x.parquet",
    ]);
    assert!(
        output.code != Some(0) && !output.stderr.contains("panicked"),
        "{output}"
    );
    assert!(!cli.path("x.parquet").exists());
    let fingerprint = features["fingerprint"].as_str().unwrap();
    let output = cli
        .run(&["cache", "export", fingerprint, "x.parquet"])
        .expect_code(0);
    assert_eq!(output.stdout, "");
    assert!(
        std::fs::read(cli.path("x.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
}

#[test]
fn nothing_is_colored_without_a_terminal() {
    let cli = CliTest::new();
    cli.write("bad.toml", "[experiment]\nnam = \"x\"\n");
    for arguments in [
        &["check", "bad.toml"][..],
        &["--help"],
        &["list", "kinds"],
        &["doctor"],
        &["plan", "none.toml"],
    ] {
        // Whatever the kind of terminal: there is none.
        let output = cli
            .command(arguments)
            .env("TERM", "xterm-256color")
            .output();
        let output = output.unwrap();
        let escape = |bytes: &[u8]| bytes.contains(&0x1b);
        assert!(
            !escape(&output.stdout) && !escape(&output.stderr),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let cli = CliTest::new();
    let mut child = cli
        .command(&["list", "models", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = crate::fixture::finish(child.wait_with_output().unwrap());
    assert!(!output.stderr.contains("panicked"), "{output}");
    output.expect_code(0);
}

#[test]
fn completions_name_every_subcommand() {
    let cli = CliTest::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.run(&["completions", shell]).expect_code(0);
        assert!(
            COMMANDS
                .iter()
                .all(|command| script.stdout.contains(command)),
            "{shell}"
        );
        assert_eq!(script.stderr, "", "{shell}");
    }
}

#[test]
fn doctor_speaks_json() {
    let cli = CliTest::new();
    let output = cli.run(&["doctor", "--json"]);
    // A machine may lack what a run needs; the document is there all the same.
    assert!(matches!(output.code, Some(0 | 1)), "{output}");
    assert!(!output.json().is_null());
    assert!(!cli.path(".repro").exists(), "looking makes no cache");
}

#[test]
fn relative_paths_start_from_the_given_folder() {
    let cli = CliTest::new();
    cli.fashion("project/fashion", 4, 2);
    let case = std::fs::read(root().join("tests/suite/cases/check/good.toml")).unwrap();
    cli.write("project/good.toml", case);
    let output = cli.run(&["-C", "project", "plan", "project/good.toml"]);
    let other = cli.run(&["-C", "project", "plan", "good.toml"]);
    // The experiment file is found from where the user stands; what stands in it, from the folder.
    assert_eq!(
        (output.code, other.code),
        (Some(0), Some(2)),
        "{output}\n{other}"
    );
}
