//! `--png`: each figure of a report beside its SVG, drawn by a program of the machine; what is said where that is missing or fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{CliTest, Output, finish, root};
use crate::small::{run, small};

/// Runs the program with no other programs than those in the folder `bin`.
fn with_bin(cli: &CliTest, arguments: &[&str]) -> Output {
    let mut command = cli.command(arguments);
    finish(command.env("PATH", cli.path("bin")).output().unwrap())
}

/// A `rsvg-convert` that notes its arguments in `called`, and goes on with a script in which `$png` is the file to be written.
fn program(cli: &CliTest, script: &str) {
    let called = cli.path("called");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nwhile [ \"$1\" != --output ]; do shift; done\npng=$2\n{script}\n",
        called.display()
    );
    cli.write("bin/rsvg-convert", text);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(cli.path("bin/rsvg-convert"), executable).unwrap();
}

fn drawn(cli: &CliTest) -> usize {
    cli.read("called").lines().count()
}

#[test]
fn figures_are_drawn_where_they_are_not_up_to_date() {
    let cli = small();
    let picture = root().join("tests/golden/decoding/palette.png");
    program(&cli, &format!("/bin/cp {} \"$png\"", picture.display()));
    with_bin(&cli, &["run", "small.toml", "--device", "cpu", "--png"]).expect_code(0);
    let read = |name: &str| fs::read(cli.path(name)).unwrap();
    assert_eq!(read("reports/small.png"), fs::read(&picture).unwrap());
    let called = cli.read("called");
    assert!(
        called.starts_with("--zoom 2 --background-color white --output "),
        "{called}"
    );
    assert!(called.ends_with("/reports/small.svg\n"), "{called}");

    let report = ["report", "small.toml", "--png"];
    let again = with_bin(&cli, &report).expect_code(0);
    assert!(again.stderr.contains("is up to date"), "{again}");
    assert_eq!(drawn(&cli), 1);
    // One that was taken away, and one whose figure has changed.
    fs::remove_file(cli.path("reports/small.png")).unwrap();
    let again = with_bin(&cli, &report).expect_code(0);
    assert!(again.stderr.contains("is written"), "{again}");
    cli.write("reports/small.svg", "<svg/>");
    with_bin(&cli, &report).expect_code(0);
    assert_eq!(drawn(&cli), 3);
    // From a file of results, too.
    fs::remove_file(cli.path("reports/small.png")).unwrap();
    let results = "reports/small.results.csv";
    with_bin(&cli, &["report", "small.toml", "--from", results, "--png"]).expect_code(0);
    assert_eq!(drawn(&cli), 4);
}

#[test]
fn a_program_that_is_missing_or_fails_is_an_error() {
    let cli = small();
    fs::create_dir(cli.path("bin")).unwrap();
    let arguments = ["run", "small.toml", "--device", "cpu", "--png"];
    with_bin(&cli, &arguments)
        .expect_code(1)
        .expect_in_stderr(&[
            "no program that draws SVG as PNG was found",
            "hint: install one, such as",
        ]);
    assert!(
        !cli.path(".repro").exists(),
        "it is found before anything is computed"
    );
    run(&cli, "small.toml");
    for (script, says) in [
        ("echo first >&2; echo no display >&2; exit 3", "no display"),
        ("exit 0", "and no PNG file"),
        ("echo text > \"$png\"", "and no PNG file"),
    ] {
        program(&cli, script);
        let output = with_bin(&cli, &["report", "small.toml", "--png"]).expect_code(1);
        output.expect_in_stderr(&["small.svg as PNG: ", says, "hint: leave out `--png`"]);
        assert!(!cli.path("reports/small.png").exists());
    }
}

#[test]
fn a_browser_draws_two_pixels_for_a_unit_on_white() {
    let folders = std::env::var_os("PATH").unwrap();
    let Some(chromium) = std::env::split_paths(&folders)
        .map(|folder| folder.join("chromium"))
        .find(|path| path.is_file())
    else {
        println!("skipped: there is no chromium");
        return;
    };
    let cli = small();
    run(&cli, "small.toml");
    // No other program is preferred to it.
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin exec {} \"$@\"\n",
        chromium.display()
    );
    cli.write("bin/chromium", text);
    fs::set_permissions(cli.path("bin/chromium"), fs::Permissions::from_mode(0o755)).unwrap();
    with_bin(&cli, &["report", "small.toml", "--png"]).expect_code(0);
    let picture = image::open(cli.path("reports/small.png"))
        .unwrap()
        .to_rgb8();
    let svg = cli.read("reports/small.svg");
    let size = format!(
        "width=\"{}\" height=\"{}\"",
        picture.width() / 2,
        picture.height() / 2
    );
    assert!(svg.contains(&size), "{size}");
    let pixels = || picture.pixels();
    let white = pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    assert!(2 * white > pixels().count(), "{white} pixels are white");
    // The first color of the series, as on a light page.
    assert!(pixels().any(|pixel| pixel.0 == [0, 0x72, 0xB2]));
}
