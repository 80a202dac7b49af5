//! The wheel of `scripts/wheel`: installed into a fresh environment, without a network, Rust or a compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{CliTest, Output, finish, root};

/// The folder with `torch` that the program was built with.
fn packages() -> PathBuf {
    let libtorch =
        std::env::var_os("LIBTORCH").map_or_else(|| root().join(".libtorch/torch"), PathBuf::from);
    libtorch.parent().unwrap().to_owned()
}

fn wheel(cli: &CliTest, folder: &str) -> PathBuf {
    let mut command = Command::new(root().join("scripts/wheel"));
    command
        .args(["--binary", env!("CARGO_BIN_EXE_repro"), "--output", folder])
        .current_dir(cli.path(""));
    let output = finish(command.output().unwrap()).expect_code(0);
    cli.path(output.stdout.trim())
}

/// Runs a program of the environment with nothing on the path but what every system has, and no compiler.
fn installed(cli: &CliTest, folder: &str, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(cli.path("env/bin").join(program));
    command
        .args(arguments)
        .current_dir(cli.path(folder))
        .env_clear()
        .env("PATH", cli.path("env/bin"))
        .env("HOME", cli.path(""));
    finish(command.output().unwrap())
}

/// An environment with the PyTorch that is there and the wheel.
fn environment(cli: &CliTest, wheel: &Path) {
    let mut command = Command::new("python3");
    command
        .args(["-m", "venv", "env"])
        .current_dir(cli.path(""));
    finish(command.output().unwrap()).expect_code(0);
    let pip = ["-m", "pip", "install", "--no-index", "--no-deps", "--quiet"];
    let pip: Vec<&str> = pip.into_iter().chain([wheel.to_str().unwrap()]).collect();
    installed(cli, "", "python3", &pip).expect_code(0);
    installed(cli, "", "repro", &["--version"])
        .expect_code(69)
        .expect_in_stderr(&["PyTorch 2.11 is missing", "pip install \"torch==2.11.*\""]);
    let site = fs::read_dir(cli.path("env/lib")).unwrap().next().unwrap();
    let site = site.unwrap().path().join("site-packages");
    fs::write(site.join("libtorch.pth"), packages().to_str().unwrap()).unwrap();
}

#[test]
#[ignore = "half a minute: a wheel of 40 MB twice, and the demo"]
fn a_wheel_installs_and_runs_without_a_compiler() {
    if !packages().join("torch/version.py").is_file() {
        let why = "libtorch is an unpacked archive, and not in the package that Python installs";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return;
    }
    let cli = CliTest::new();
    let first = wheel(&cli, "wheels");
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("repro-")
            && name.contains("-py3-none-manylinux_2_")
            && name.ends_with("_x86_64.whl"),
        "{name}"
    );
    let again = wheel(&cli, "again");
    assert!(
        fs::read(&first).unwrap() == fs::read(&again).unwrap(),
        "the same files give the same bytes"
    );
    fs::remove_file(again).unwrap();
    environment(&cli, &first);

    let version = installed(&cli, "", "repro", &["--version"]).expect_code(0);
    assert!(version.stdout.starts_with("repro "), "{version}");
    installed(&cli, "", "python3", &["-m", "repro", "--version"]).expect_code(0);
    installed(&cli, "", "repro", &["init", "demo"]).expect_code(0);
    installed(
        &cli,
        "demo",
        "repro",
        &["check", "experiments/quickstart.toml"],
    )
    .expect_code(0);
    let plan = installed(
        &cli,
        "demo",
        "repro",
        &["plan", "experiments/quickstart.toml"],
    );
    let plan = plan.expect_code(0);
    assert!(plan.stdout.contains("features: 393 wanted"), "{plan}");
    let demo = installed(&cli, "", "repro", &["demo", "--device", "cpu"]).expect_code(0);
    assert!(demo.stdout.contains("| diffusion |"), "{demo}");
    assert!(cli.path("repro-demo/accuracy.svg").exists());
    // Without the extra the package says what it lacks.
    installed(
        &cli,
        "repro-demo",
        "python3",
        &["-c", "import repro; repro.results()"],
    )
    .expect_code(1)
    .expect_in_stderr(&["pip install \"repro[frames]\""]);
    // Everything that was installed is taken away again.
    installed(
        &cli,
        "",
        "python3",
        &["-m", "pip", "uninstall", "--yes", "--quiet", "repro"],
    )
    .expect_code(0);
    assert!(!cli.path("env/bin/repro").exists());
}
