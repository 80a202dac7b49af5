//! What people see in a terminal: at 80 and at 60 columns, with and without colors and UTF-8. `script` gives the program a terminal.

use std::process::{Command, Stdio};

use crate::fixture::{CliTest, Output};
use crate::small::{SMALL, run, small};

/// What a command prints on a terminal of so many columns, without the returns that a terminal is sent; `None` where there is no
/// `script`. `arguments` are words of a shell.
fn on_terminal(
    cli: &CliTest,
    columns: usize,
    environment: &[(&str, &str)],
    arguments: &str,
) -> Option<String> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script`, which gives programs a terminal");
        return None;
    }
    let program = cli.command(&[]);
    let line = format!("stty cols {columns} rows 30; \"$R\" {arguments}; echo \"code $?\"");
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(program.get_current_dir().unwrap())
        .env("R", program.get_program())
        .env("SHELL", "/bin/sh")
        .env("OMP_NUM_THREADS", "1")
        .env("TERM", "xterm-256color")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null());
    for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLUMNS", "REPRO_CACHE"] {
        script.env_remove(name);
    }
    script.envs(environment.iter().copied());
    let output = script.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.replace("\r\n", "\n"))
}

/// How many columns a line takes; every character here takes one.
fn columns_of(line: &str) -> usize {
    line.chars().count()
}

/// Fails where a line is longer than the terminal, as one that the terminal would break in the middle of a word.
#[track_caller]
fn expect_fitting(text: &str, columns: usize, what: &str) {
    for line in text.lines() {
        // What a bar has drawn over before is not there any more.
        let line = line.rsplit('\r').next().unwrap_or_default();
        let line = line.trim_start_matches("\u{1b}[2K");
        let has_blanks = line.trim().contains(' ');
        assert!(
            columns_of(line) <= columns || !has_blanks,
            "{what} at {columns}: {} columns: {line}\n{text}",
            columns_of(line)
        );
    }
}

#[test]
fn tables_and_texts_fit_into_80_and_60_columns() {
    let cli = small();
    run(&cli, "small.toml");
    cli.write("bad.toml", "[experiment]\nnam = \"x\"\n");
    for columns in [80, 60] {
        for arguments in [
            "list kinds",
            "list kinds linear",
            "list axes",
            "list models",
            "list artifacts",
            "query 'SELECT * FROM results'",
            "query 'SELECT metric, value, head, block, model FROM results'",
            "query",
            "query --tables results",
            "query 'SELECT * FROM nope'",
            "query 'SELECT valu FROM results'",
            "plan small.toml --cache other",
            "data check small.toml",
            "check bad.toml",
        ] {
            let environment = [("NO_COLOR", "1")];
            let Some(text) = on_terminal(&cli, columns, &environment, arguments) else {
                return;
            };
            assert!(
                text.contains("\ncode ") && text.len() > 30,
                "{arguments}: {text}"
            );
            expect_fitting(&text, columns, arguments);
        }
    }
}

#[test]
fn what_is_piped_is_neither_folded_nor_cut() {
    let cli = small();
    run(&cli, "small.toml");
    let whole = cli.run(&["list", "kinds"]).expect_code(0).stdout;
    assert!(whole.lines().any(|line| columns_of(line) > 150));
    let artifacts = cli.run(&["list", "artifacts"]).expect_code(0).stdout;
    assert!(!artifacts.contains("more (`--all`)"), "{artifacts}");
    // Whatever the locale is.
    for locale in ["C", "C.UTF-8"] {
        let mut command = cli.command(&["plan", "small.toml", "--cache", "other"]);
        let output = command.env("LC_ALL", locale).env("TERM", "dumb").output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(text.contains("unet ← fashion"), "{text}");
    }
}

#[test]
fn long_lists_are_cut_on_a_terminal_and_say_so() {
    let cli = small();
    run(&cli, "small.toml");
    let sql = "SELECT a.id FROM predictions a";
    let rows = cli.query(sql).len();
    assert!(rows > 60);
    let Some(text) = on_terminal(&cli, 80, &[], &format!("query '{sql}'")) else {
        return;
    };
    let more = format!("… and {} more (`--all`)\n", rows - 40);
    assert!(text.contains(&more), "{text}");
    let all = on_terminal(&cli, 80, &[], &format!("query --all '{sql}'")).unwrap();
    assert_eq!(all.matches("test/").count(), rows, "{all}");
}

#[test]
fn a_terminal_without_utf_8_or_of_the_dumb_kind_gets_plain_text() {
    let cli = small();
    cli.write("bad.toml", "[experiment]\nnam = \"x\"\n");
    let plain: [&[(&str, &str)]; 3] = [
        &[("TERM", "dumb")],
        &[("LC_ALL", "C")],
        &[("LANG", "de_DE.ISO-8859-1")],
    ];
    for environment in plain {
        for arguments in [
            "check bad.toml",
            "plan small.toml",
            "list kinds",
            "run none.toml",
            "query 'SELECT 1'",
        ] {
            let Some(text) = on_terminal(&cli, 80, environment, arguments) else {
                return;
            };
            assert!(text.is_ascii(), "{environment:?} {arguments}: {text}");
            assert!(
                !text.contains('\u{1b}'),
                "{environment:?} {arguments}: {text}"
            );
        }
    }
    let check = on_terminal(&cli, 80, &[("LC_ALL", "C")], "check bad.toml").unwrap();
    assert!(
        check.contains("bad.toml") && check.contains("nam = "),
        "{check}"
    );
}

#[test]
fn labels_are_colored_unless_no_color_says_no() {
    let cli = CliTest::new();
    let Some(text) = on_terminal(&cli, 80, &[], "run none.toml") else {
        return;
    };
    assert!(
        text.contains("\u{1b}[1;31merror\u{1b}[0m: cannot read"),
        "{text}"
    );
    assert!(text.contains("\u{1b}[36mhint:\u{1b}[0m "), "{text}");
    let text = on_terminal(&cli, 80, &[("NO_COLOR", "1")], "run none.toml").unwrap();
    assert!(
        !text.contains('\u{1b}') && text.contains("error: cannot read"),
        "{text}"
    );
}

#[test]
fn bars_tell_no_rate_before_there_is_one() {
    let cli = small();
    let Some(text) = on_terminal(&cli, 80, &[], "run small.toml --device cpu") else {
        return;
    };
    assert!(text.contains("code 0"), "{text}");
    assert!(!text.contains("0/s") && !text.contains("0s left"), "{text}");
    assert!(text.contains("of 60 images"), "{text}");
    // A terminal whose cursor cannot be moved gets lines.
    let dumb = [("TERM", "dumb")];
    let lines = on_terminal(&cli, 80, &dumb, "run small.toml --device cpu --cache b").unwrap();
    assert!(lines.contains("pass 1/2 unet <- fashion"), "{lines}");
    assert!(!lines.contains('\u{1b}') && lines.is_ascii(), "{lines}");
}

/// The lines of stderr.
fn lines(output: &Output) -> Vec<&str> {
    output.stderr.lines().collect()
}

#[test]
fn quiet_leaves_paths_and_errors_and_verbose_adds_events() {
    let cli = small();
    let quiet = cli
        .run(&["run", "small.toml", "--device", "cpu", "-q"])
        .expect_code(0);
    assert_eq!(
        lines(&quiet),
        ["reports/small.md is written, with 1 figure"],
        "{quiet}"
    );
    assert_eq!(
        lines(&cli.run(&["-q", "run", "small.toml"]).expect_code(0)),
        [""; 0]
    );
    let failed = cli.run(&["run", "none.toml", "--quiet"]).expect_code(2);
    failed.expect_in_stderr(&["error: cannot read the experiment file none.toml", "hint: "]);
    let verbose = cli
        .run(&["run", "small.toml", "--device", "cpu", "-v", "--cache", "b"])
        .expect_code(0);
    for event in ["shard 0 is committed", "head ", "metric ", "done in "] {
        assert!(verbose.stderr.contains(event), "{event}: {verbose}");
    }
    cli.run(&["run", "small.toml", "-q", "-v"]).expect_code(2);
}

#[test]
fn a_plan_tells_the_time_by_what_was_measured_here() {
    let cli = small();
    let before = cli.run(&["plan", "small.toml"]).expect_code(0);
    assert!(
        before
            .stdout
            .contains("\ntime: no measurement yet on this machine: `repro bench extraction`\n"),
        "{before}"
    );
    run(&cli, "small.toml");
    let done = cli.run(&["plan", "small.toml"]).expect_code(0);
    assert!(!done.stdout.contains("time: "), "{done}");
    cli.write("more.toml", SMALL.replace("[10, 90]", "[10, 90, 150]"));
    let plan = cli.run(&["plan", "more.toml"]).expect_code(0);
    assert!(
        plan.stdout.contains("\ntime: about ")
            && plan
                .stdout
                .contains(" for the passes on cpu, by 2 passes of these networks here ("),
        "{plan}"
    );
    let record = cli
        .run(&["plan", "more.toml", "--json"])
        .expect_code(0)
        .json();
    let seconds = record["expected_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < 600.0, "{seconds}");
    assert_eq!(plan.stdout.matches("\ntime: ").count(), 2, "{plan}");
    assert!(
        plan.stdout
            .contains(" for 4 heads on cpu, by 8 heads here\n"),
        "{plan}"
    );
    let heads = record["expected_head_seconds"].as_f64().unwrap();
    assert!(heads > 0.0 && heads < 600.0, "{heads}");
    cli.write("other.toml", SMALL.replace("adm-nano", "fashion-28"));
    let plan = cli.run(&["plan", "other.toml"]).expect_code(0);
    assert!(plan.stdout.contains(" of other networks here ("), "{plan}");
}
