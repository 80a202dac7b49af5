//! Which project a command is about: found upwards from a subfolder, with the settings of its `repro.toml`.

use std::fs;

use crate::fixture::{CliTest, Output, finish};
use crate::small::{SMALL, TEST, TRAIN, run, small};

/// Runs the program in a folder below that of the test.
fn run_in(cli: &CliTest, folder: &str, arguments: &[&str]) -> Output {
    let mut command = cli.command(arguments);
    finish(command.current_dir(cli.path(folder)).output().unwrap())
}

#[test]
fn a_run_in_a_subfolder_is_a_run_of_the_project() {
    let cli = small();
    cli.write("repro.toml", "# a project\n");
    cli.write("deep/er/small.toml", SMALL);
    let output = run_in(&cli, "deep/er", &["run", "small.toml", "--device", "cpu"]);
    output
        .expect_code(0)
        .expect_in_stderr(&["project: ../..", "reports/small.md is written"]);
    assert!(cli.path(".repro/FORMAT").is_file());
    assert!(!cli.path("deep/er/.repro").exists() && !cli.path("deep/er/reports").exists());
    // The command in the report counts from the project, too.
    let report = cli.read("reports/small.md");
    assert!(
        report.contains("./repro run deep/er/small.toml"),
        "{report}"
    );
    // The cache alone marks it, and everybody finds it.
    fs::remove_file(cli.path("repro.toml")).unwrap();
    for (folder, file) in [("deep/er", "small.toml"), ("deep", "er/small.toml")] {
        run_in(&cli, folder, &["plan", "--check", file]).expect_code(0);
        let answer = run_in(
            &cli,
            folder,
            &["query", "--json", "SELECT count(*) AS n FROM results"],
        );
        assert_eq!(answer.expect_code(0).json()[0]["n"], 16);
    }
    // Who names a folder gets it.
    let named = run_in(&cli, "deep", &["-C", ".", "query", "SELECT 1"]).expect_code(4);
    named.expect_in_stderr(&["no cache at ./.repro"]);
    let named = run_in(&cli, "deep", &["query", "SELECT 1", "--cache", "none"]).expect_code(4);
    named.expect_in_stderr(&["no cache at none"]);
}

#[test]
fn the_nearest_project_is_taken_and_another_folder_of_its_name_is_none() {
    let cli = CliTest::new();
    cli.write("repro.toml", "[cache]\npath = \"outer\"\n");
    cli.write("inner/repro.toml", "[cache]\npath = \"its-own\"\n");
    cli.write("inner/below/x", "");
    // Of another program.
    cli.write("inner/below/.repro/settings", "");
    for (folder, cache) in [
        (".", "./outer"),
        ("inner", "./its-own"),
        ("inner/below", "../its-own"),
    ] {
        let output = run_in(&cli, folder, &["query", "SELECT 1"]).expect_code(4);
        output.expect_in_stderr(&[&format!("no cache at {cache}")]);
    }
}

#[test]
fn a_run_that_cannot_begin_leaves_no_cache() {
    let cli = CliTest::new();
    cli.write("small.toml", SMALL);
    cli.run(&["run", "small.toml"]).expect_code(3);
    assert!(!cli.path(".repro").exists(), "a stray cache");
    // One that was there stays.
    drop(repro::store::Store::open(cli.path(".repro")).unwrap());
    cli.run(&["run", "small.toml"]).expect_code(3);
    assert!(cli.path(".repro/FORMAT").is_file());
}

#[test]
fn settings_stand_for_options_that_are_not_given() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    cli.write(
        "repro.toml",
        "[cache]\npath = \"elsewhere\"\n\n[run]\ndevice = \"cpu\"\nworkers = 2\nmemory = \"1G\"\n",
    );
    let output = cli.run(&["run", "small.toml"]).expect_code(0);
    output.expect_in_stderr(&["small on 2 × cpu"]);
    assert!(cli.path("elsewhere/FORMAT").is_file() && !cli.path(".repro").exists());
    let output = cli.run(&["run", "small.toml", "--workers", "1", "--cache", "other"]);
    output.expect_code(0).expect_in_stderr(&["small on cpu"]);
    assert!(cli.path("other/FORMAT").is_file());
    // Memory for one head alone has to be refused by its size, whichever way it was said.
    cli.write("repro.toml", "[run]\nmemory = \"1k\"\n");
    let output = cli
        .run(&["run", "small.toml", "--device", "cpu"])
        .expect_code(1);
    output.expect_in_stderr(&["1.0 KiB"]);
}

#[test]
fn slips_in_the_settings_are_named() {
    let cli = small();
    for (text, says) in [
        (
            "[run]\nmemry = \"8G\"\n",
            [
                "repro.toml:2: unknown key `memry`",
                "did you mean `memory`?",
            ],
        ),
        (
            "[run]\nmemory = \"8X\"\n",
            ["repro.toml:2: invalid size `8X`", "`8G`, `8GiB` or `500MB`"],
        ),
        (
            "[runs]\n",
            ["repro.toml:1: unknown key `runs`", "did you mean `run`?"],
        ),
    ] {
        cli.write("repro.toml", text);
        cli.run(&["plan", "small.toml"])
            .expect_code(2)
            .expect_in_stderr(&says);
    }
}

#[test]
fn an_empty_variable_names_no_cache_and_a_tilde_is_the_users_folder() {
    let cli = small();
    run(&cli, "small.toml");
    let ask = ["query", "--json", "SELECT count(*) AS n FROM results"];
    let mut command = cli.command(&ask);
    let output = finish(command.env("REPRO_CACHE", "").output().unwrap());
    assert_eq!(output.expect_code(0).json()[0]["n"], 16);
    fs::create_dir(cli.path("home")).unwrap();
    fs::rename(cli.path(".repro"), cli.path("home/cache")).unwrap();
    let mut arguments = ask.to_vec();
    arguments.push("--cache=~/cache");
    let mut command = cli.command(&arguments);
    let output = finish(command.env("HOME", cli.path("home")).output().unwrap());
    assert_eq!(output.expect_code(0).json()[0]["n"], 16);
    assert!(!cli.path("~").exists());
}

#[test]
fn sizes_may_be_typed_as_elsewhere() {
    let cli = small();
    for size in ["8G", "8g", "8GB", "8GiB", "500M"] {
        cli.run(&["run", "small.toml", "--device", "cpu", "--memory", size])
            .expect_code(0);
    }
    let output = cli
        .run(&["run", "small.toml", "--memory", "8"])
        .expect_code(2);
    output.expect_in_stderr(&["invalid size `8`", "`8G`, `8GiB` or `500MB`"]);
}

#[test]
fn a_working_folder_that_was_removed_is_named() {
    let cli = CliTest::new();
    let program = cli.command(&[]).get_program().to_owned();
    for arguments in ["list kinds", "run x.toml", "--version", "nonsense"] {
        fs::create_dir_all(cli.path("gone")).unwrap();
        let script = format!("rmdir ../gone && exec \"$R\" {arguments}");
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &script])
            .current_dir(cli.path("gone"))
            .env("R", &program);
        let output = finish(shell.output().unwrap());
        let output = output.expect_code(2);
        assert_eq!(
            output.stderr,
            "error: the working folder was removed\n  hint: change to a folder that exists, such as by `cd ~`\n"
        );
        assert_eq!(output.stdout, "");
    }
}
