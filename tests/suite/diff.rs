//! `repro diff` and the comment on a pull request: files, reports, revisions, exit codes, and what git may say.

use std::fmt::Write;
use std::process::Command;

use crate::fixture::{CliTest, Output, finish, with_snapshots};

/// The head of a file of results.
const HEAD: &str = "metric,head,block,seed,epochs,value,low,high,correct,count,unit,higher_is_better,head_fingerprint\n";

/// A file with a value for each block and seed, after so many epochs.
fn results(epochs: u32, values: &[(u32, u32, f64)]) -> String {
    let mut text = HEAD.to_owned();
    for (block, seed, value) in values {
        let head = format!("{:064x}", u64::from(block * 100 + seed * 10 + epochs));
        writeln!(
            text,
            "top1,probe,{block},{seed},{epochs},{value:?},,,,,fraction,true,{head}"
        )
        .unwrap();
    }
    text
}

const BEFORE: [(u32, u32, f64); 5] = [
    (1, 0, 0.5),
    (1, 1, 0.6),
    (2, 0, 0.7),
    (2, 1, 0.8),
    (3, 0, 0.9),
];

/// Block 1 is better, block 2 the same, block 3 gone and block 4 new.
const AFTER: [(u32, u32, f64); 5] = [
    (1, 0, 0.6),
    (1, 1, 0.7),
    (2, 0, 0.7),
    (2, 1, 0.8),
    (4, 0, 0.25),
];

/// Runs git in the folder of a test, as somebody who has no settings.
#[track_caller]
fn git(cli: &CliTest, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .current_dir(cli.path("."))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", finish(output));
}

/// A repository with the results before in its first commit and those after on disk, not committed.
fn repository() -> CliTest {
    let cli = CliTest::new();
    git(&cli, &["init", "--quiet"]);
    cli.write("reports/example.results.csv", results(28, &BEFORE));
    cli.write("reports/same.results.csv", results(28, &BEFORE));
    git(&cli, &["add", "."]);
    git(&cli, &["commit", "--quiet", "-m", "before"]);
    cli.write("reports/example.results.csv", results(5, &AFTER));
    cli
}

fn lines(output: &Output) -> Vec<&str> {
    output.stdout.lines().collect()
}

#[test]
fn two_files_are_compared_in_every_form() {
    let cli = CliTest::new();
    cli.write("old.results.csv", results(28, &BEFORE));
    cli.write("new.results.csv", results(5, &AFTER));
    let files = ["diff", "old.results.csv", "new.results.csv"];
    let terminal = cli.run(&files).expect_code(0);
    let format = |name| cli.run(&[&files[..], &["--format", name]].concat());
    let page = format("markdown").expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("diff-terminal", terminal.stdout);
        insta::assert_snapshot!("diff-markdown", page.stdout);
    });
    let json = format("json").expect_code(0).json();
    let file = &json["files"][0];
    assert_eq!(file["summary"]["changed"], 1);
    assert_eq!(file["changed"][0]["before"]["values"][1], 0.6);
    assert_eq!(file["changed"][0]["axes"]["block"], 1);
    assert_eq!(file["configuration"][0]["axis"], "epochs");
    assert_eq!(file["lost"][0]["axes"]["block"], 3);
    // Row by row, both seeds of block 1 changed.
    let rows = cli.run(&[&files[..], &["--rows", "--format", "json"]].concat());
    let rows = rows.expect_code(0).json();
    assert_eq!(rows["files"][0]["summary"]["changed"], 2);
}

#[test]
fn a_report_stands_for_the_results_beside_it() {
    let cli = CliTest::new();
    cli.write("a.md", "# A\n");
    cli.write("a.results.csv", results(28, &BEFORE));
    cli.write("b.results.csv", results(28, &BEFORE));
    let output = cli.run(&["diff", "a.md", "b.md"]).expect_code(0);
    assert!(
        output
            .stdout
            .contains("no change in:\n  b.results.csv (3 cells)"),
        "{output}"
    );
    cli.write("c.md", "# C\n");
    cli.run(&["diff", "a.md", "c.md"])
        .expect_code(3)
        .expect_in_stderr(&["cannot read the results c.results.csv", "hint: "]);
}

#[test]
fn revisions_are_compared_with_the_files_on_disk_and_with_each_other() {
    let cli = repository();
    let output = cli.run(&["diff", "main"]).expect_code(0);
    assert_eq!(
        &lines(&output)[..2],
        ["base: main", "head: the working tree"]
    );
    let said = "reports/example.results.csv: 1 of 2 cells changed (1 better), 1 new, 1 lost";
    assert!(output.stdout.contains(said), "{output}");
    assert!(
        output
            .stdout
            .contains("no change in:\n  reports/same.results.csv"),
        "{output}"
    );
    // One file, on either side.
    let one = cli.run(&["diff", "HEAD", "reports/example.results.csv"]);
    assert!(one.expect_code(0).stdout.contains(said), "{output}");
    git(&cli, &["rm", "--quiet", "reports/same.results.csv"]);
    git(&cli, &["commit", "--quiet", "-a", "-m", "after"]);
    let output = cli.run(&["diff", "HEAD~1", "HEAD"]).expect_code(0);
    assert!(output.stdout.contains(said), "{output}");
    let gone = "reports/same.results.csv: no cell in common, 3 lost";
    assert!(output.stdout.contains(gone), "{output}");
    let named = cli.run(&[
        "diff",
        "HEAD~1:reports/same.results.csv",
        "HEAD:reports/example.md",
    ]);
    assert!(
        named
            .expect_code(0)
            .stdout
            .contains("reports/example.results.csv: 1 of 2")
    );
    // Paths count from the project, also where that is below the root of the repository.
    cli.write("below/.repro/FORMAT", "repro-store 1\n");
    cli.write("below/reports/x.results.csv", results(28, &BEFORE));
    git(&cli, &["add", "."]);
    git(&cli, &["commit", "--quiet", "-m", "below"]);
    cli.write("below/reports/x.results.csv", results(28, &AFTER));
    let output = cli.run(&["-C", "below", "diff", "HEAD"]).expect_code(0);
    assert!(
        output
            .stdout
            .contains("\nreports/x.results.csv: 1 of 2 cells"),
        "{output}"
    );
    assert!(!output.stdout.contains("example"), "{output}");
}

#[test]
fn exit_codes_say_what_was_asked() {
    let cli = repository();
    let with = |what: &str| cli.run(&["diff", "HEAD", "--fail-on", what]);
    // It got better.
    with("worse").expect_code(0);
    for (what, said) in [
        (
            "changed",
            "1 cell changed, and `--fail-on changed` was given",
        ),
        ("lost", "1 cell lost"),
        ("worse,lost", "1 cell lost"),
        ("any", "1 file with differences"),
    ] {
        let output = with(what)
            .expect_code(1)
            .expect_in_stderr(&["error: ", said]);
        assert!(output.stdout.contains("1 of 2 cells changed"), "{output}");
    }
    let back = cli.run(&[
        "diff",
        "reports/example.results.csv",
        "HEAD:reports/example.results.csv",
        "--fail-on",
        "worse",
    ]);
    back.expect_code(1)
        .expect_in_stderr(&["1 cell worse than before"]);
    git(&cli, &["checkout", "--quiet", "."]);
    with("any").expect_code(0);
}

#[test]
fn what_cannot_be_looked_up_is_said() {
    let cli = repository();
    for (base, code, said) in [
        (
            "nowhere",
            2,
            "`nowhere` is neither a file nor a git revision",
        ),
        ("--output=x", 2, "unexpected argument"),
        (
            "HEAD:reports/none.results.csv",
            2,
            "there is none to compare it with",
        ),
        (
            "none.results.csv",
            3,
            "cannot read the results none.results.csv",
        ),
        (
            "HEAD:notes.txt",
            2,
            "neither a file of results nor a report",
        ),
    ] {
        let output = cli.run(&["diff", base]).expect_code(code);
        output.expect_in_stderr(&[said]);
    }
    // A name that git would take for an option.
    cli.run(&["diff", "--", "-x"])
        .expect_code(2)
        .expect_in_stderr(&["`-x` is neither a file nor a git revision"]);
    let one = "reports/example.results.csv";
    cli.run(&["diff", one])
        .expect_code(2)
        .expect_in_stderr(&["name a second file of results or report"]);
    cli.run(&["diff", "HEAD:none.results.csv", one])
        .expect_code(2)
        .expect_in_stderr(&["the revision `HEAD` has no file `none.results.csv`"]);
    cli.write("bad.results.csv", "metric,value\n");
    cli.run(&["diff", one, "bad.results.csv"])
        .expect_code(3)
        .expect_in_stderr(&["bad.results.csv:1: the column `low` is missing"]);
    // Outside of a repository, and without git.
    let outside = CliTest::new();
    let mut command = outside.command(&["diff", "main"]);
    command.env("GIT_CEILING_DIRECTORIES", outside.path(".."));
    finish(command.output().unwrap())
        .expect_code(2)
        .expect_in_stderr(&["is not in a git repository", "name two files of results"]);
    let mut command = outside.command(&["diff", "main"]);
    command.env("PATH", "");
    finish(command.output().unwrap())
        .expect_code(3)
        .expect_in_stderr(&["git is not installed"]);
}

#[test]
fn a_comment_shows_the_headline_and_what_changed() {
    let cli = repository();
    cli.write(
        "experiments/example.toml",
        r#"
[experiment]
name  = "example"
title = "Probes <of> a|b"
seeds = [0, 1]

[dataset.garments]
kind = "fashion-mnist"
root = "data/fashion-mnist"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-tiny"
weights = { synthetic = 1 }

[extraction.taps]
model    = "unet"
dataset  = "garments"
timestep = 90
block    = [1, 2, 4]

[head.probe]
kind     = "linear"
features = "taps"

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]

[[report.table]]
kind   = "grid"
title   = "Accuracy by block"
metric  = "top1"
rows    = "block"
columns = "head"

[[report.table]]
kind   = "grid"
title  = "By seed"
metric = "top1"
rows   = "block"
columns = "seed"

[[report.figure]]
kind   = "lines"
file   = "blocks.svg"
metric = "top1"
x      = "block"
"#,
    );
    let file = "experiments/example.toml";
    let arguments = ["report", file, "--format", "comment", "--base", "HEAD"];
    let output = cli.run(&arguments).expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("comment", output.stdout);
    });
    assert!(
        output
            .stdout
            .starts_with("<!-- repro comment: example -->\n")
    );
    assert!(output.stdout.chars().count() < 65_536);
    // Nothing is written.
    assert!(!cli.path("reports/example.md").exists());
    // A report that the base does not have is new.
    git(&cli, &["rm", "--cached", "--quiet", "-r", "reports"]);
    git(&cli, &["commit", "--quiet", "-m", "none"]);
    let output = cli.run(&arguments).expect_code(0);
    assert!(
        output.stdout.contains("no cell in common, 3 new"),
        "{output}"
    );
    cli.run(&["report", file, "--base", "HEAD"])
        .expect_code(2)
        .expect_in_stderr(&["`--base` is for a comment"]);
}

#[test]
fn errors_become_annotations_of_a_pull_request() {
    let cli = CliTest::new();
    cli.write("a.toml", "[experiment]\nname = \"a\"\nnmae = \"100 %\"\n");
    let output = cli.run(&["check", "./a.toml", "none.toml", "--format", "github"]);
    let output = output.expect_code(2);
    let found = lines(&output);
    assert!(
        found[0].starts_with(
            "::error file=a.toml,line=3,col=1,title=spec%3A%3Aunknown-key::unknown key `nmae`"
        ),
        "{output}"
    );
    assert!(found[0].contains("%0Ahint: "), "{output}");
    let last = found.last().unwrap();
    assert!(
        last.starts_with("::error::cannot read the experiment file none.toml"),
        "{output}"
    );
    assert!(
        last.contains("%0A  hint: name an experiment file"),
        "{output}"
    );
    assert!(found.iter().all(|line| line.starts_with("::")), "{output}");
    // JSON stays, under both names.
    let long = cli
        .run(&["check", "a.toml", "--format", "json"])
        .expect_code(2);
    let short = cli.run(&["check", "a.toml", "--json"]).expect_code(2);
    assert_eq!(long.json(), short.json());
}

#[cfg(feature = "torch")]
#[test]
fn a_change_is_tested_and_explained_by_the_cache_of_both_runs() {
    use crate::small::{SMALL, TEST, TRAIN};

    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    let run = || {
        cli.run(&["run", "small.toml", "--device", "cpu"])
            .expect_code(0)
    };
    run();
    git(&cli, &["init", "--quiet"]);
    git(&cli, &["add", "reports"]);
    git(&cli, &["commit", "--quiet", "-m", "before"]);
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 9"));
    run();
    let output = cli
        .run(&["diff", "main", "--format", "json"])
        .expect_code(0);
    let file = &output.json()["files"][0];
    assert_eq!(file["configuration"][0]["after"], 9, "{output}");
    let changed = file["changed"].as_array().unwrap();
    assert!(!changed.is_empty(), "{output}");
    for cell in changed {
        let test = &cell["test"];
        // Two seeds before and after, on the same images.
        assert_eq!(
            (&test["samples"], &test["runs"]),
            (&TEST.into(), &2.into()),
            "{output}"
        );
        let distance = test["difference"].as_f64().unwrap() - cell["difference"].as_f64().unwrap();
        assert!(distance.abs() < 1e-9, "{output}");
        assert!(test["p_holm"].as_f64() >= test["p"].as_f64(), "{output}");
    }
    let reasons = file["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{output}");
    assert!(
        reasons[0]["text"]
            .as_str()
            .unwrap()
            .ends_with("epochs 2 → 9"),
        "{output}"
    );
    // Another cache has neither, and says so.
    let elsewhere = cli.run(&["--cache", "none", "diff", "main"]).expect_code(0);
    let said = "the predictions before and after are not both in the cache";
    assert!(elsewhere.stdout.contains(said), "{elsewhere}");
    assert!(!cli.path("none").exists());
}

/// A step of the workflow: its name and its commands.
#[cfg(feature = "torch")]
fn steps() -> Vec<(String, String)> {
    let text =
        std::fs::read_to_string(crate::fixture::root().join("docs/ci/workflow.yml")).unwrap();
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("      - name: ") {
            steps.push((name.to_owned(), String::new()));
            is_block = false;
        } else if let Some(command) = line.strip_prefix("        run: ") {
            is_block = command == "|";
            if !is_block {
                steps.last_mut().unwrap().1.push_str(command);
            }
        } else if line.is_empty() || line.starts_with("          ") {
            if is_block {
                let command = line.get(10..).unwrap_or_default();
                writeln!(steps.last_mut().unwrap().1, "{command}").unwrap();
            }
        } else {
            is_block = false;
        }
    }
    assert!(
        steps.iter().all(|(_, commands)| !commands.is_empty()),
        "{steps:?}"
    );
    steps
}

/// A `gh` that writes down what it is asked, and knows of one comment or of none.
#[cfg(feature = "torch")]
const GH: &str = "#!/bin/sh\nprintf '%s ' \"$@\" >> \"$RUNNER_TEMP/asked\"\necho >> \"$RUNNER_TEMP/asked\"\ncase \"$*\" in *--paginate*) cat \"$RUNNER_TEMP/known\";; esac\n";

#[cfg(feature = "torch")]
#[test]
fn the_steps_of_the_workflow_run_as_plain_commands() {
    use std::os::unix::fs::PermissionsExt;

    // A new project with the quickstart's own results, and a pull request that changes one of them.
    let cli = CliTest::new();
    cli.run(&["init"]).expect_code(0);
    let written = cli.read(".github/workflows/repro.yml");
    assert_eq!(
        written,
        std::fs::read_to_string(crate::fixture::root().join("docs/ci/workflow.yml")).unwrap()
    );
    for file in crate::fixture::walk(&crate::fixture::root().join("reports")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let is_own = name.starts_with("quickstart") && !name.starts_with("quickstart-cka");
        if is_own {
            cli.write(&format!("reports/{name}"), std::fs::read(&file).unwrap());
        }
    }
    // As the committed results give them.
    let results = "reports/quickstart.results.csv";
    cli.run(&["report", "experiments/quickstart.toml", "--from", results])
        .expect_code(0);
    git(&cli, &["init", "--quiet"]);
    git(&cli, &["add", "."]);
    git(&cli, &["commit", "--quiet", "-m", "base"]);
    // A value that no figure shows.
    let changed =
        cli.read(results)
            .replacen(",0.404,0.3740102086208163", ",0.405,0.3740102086208163", 1);
    assert_ne!(changed, cli.read(results));
    cli.write(results, changed);
    git(&cli, &["commit", "--quiet", "-a", "-m", "change"]);

    // Outside of the checkout, as on GitHub's machines.
    let beside = CliTest::new();
    let temp = beside.path("");
    beside.write("bin/gh", GH);
    let gh = beside.path("bin/gh");
    std::fs::set_permissions(&gh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_repro"))
        .parent()
        .unwrap();
    let path = format!(
        "{}:{}:{}",
        temp.join("bin").display(),
        program.display(),
        std::env::var("PATH").unwrap()
    );
    let step = |commands: &str| {
        let mut command = cli.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("bash");
        command
            .args(["-e", "-c", commands])
            .current_dir(cli.path("."))
            .envs(environment)
            .env("PATH", &path)
            .env("RUNNER_TEMP", &temp)
            .env("GITHUB_STEP_SUMMARY", temp.join("summary.md"))
            .env("GITHUB_REPOSITORY", "owner/name")
            .env("NUMBER", "7")
            .env_remove("REPRO_CACHE");
        finish(command.output().unwrap())
    };
    beside.write("known", "");
    let mut names = Vec::new();
    for (name, commands) in steps() {
        // What needs a package registry.
        if commands.starts_with("pip ") {
            continue;
        }
        let output = step(&commands);
        assert_eq!(output.code, Some(0), "{name}: {output}");
        names.push((name, commands));
    }
    assert_eq!(names.len(), 7, "{names:?}");
    let summary = beside.read("summary.md");
    assert!(summary.contains("cells changed (1 better"), "{summary}");
    let comment = beside.read("comments/quickstart.md");
    assert!(
        comment.starts_with("<!-- repro comment: quickstart -->\n"),
        "{comment}"
    );
    assert!(comment.contains("cells changed (1 better"), "{comment}");
    let asked = beside.read("asked");
    assert!(
        asked.contains("--method POST repos/owner/name/issues/7/comments"),
        "{asked}"
    );
    assert!(!asked.contains("PATCH"), "{asked}");
    // The next run finds the comment by its marker, and replaces it.
    assert!(
        asked.contains("startswith(\"<!-- repro comment: quickstart -->\")"),
        "{asked}"
    );
    beside.write("known", "123\n");
    let (_, post) = names.last().unwrap();
    step(post).expect_code(0);
    let asked = beside.read("asked");
    assert!(
        asked.contains("--method PATCH repos/owner/name/issues/comments/123 "),
        "{asked}"
    );
}
