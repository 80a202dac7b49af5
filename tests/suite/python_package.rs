//! The Python package in `python/repro`: the cache as frames, and the command of an installed wheel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::fixture::{CliTest, Output, finish, root, walk};
#[cfg(feature = "torch")]
use crate::small::{FASHION, NANO, experiment};

/// Where Polars and NumPy are; `./test` sets it.
#[cfg(feature = "torch")]
const PYTHONPATH: &str = "REPRO_TEST_PYTHONPATH";

#[cfg(feature = "torch")]
const FRAMES: &str = r#"
[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = 90
block    = [1, 3]
storage  = ["f32", "f16"]

[extraction.unused]
model    = "unet"
dataset  = "fashion"
timestep = 90
block    = 5

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 1
seed     = [0, 1]

[metric.accuracy]
kind = "accuracy"
of   = "probe"
top  = 1
"#;

/// Python with the packages of the tests and the package of this checkout.
#[cfg(feature = "torch")]
struct Python {
    paths: std::ffi::OsString,
}

#[cfg(feature = "torch")]
impl Python {
    /// `None`, said on stdout, where there are no packages; only where nobody counts on the test.
    fn find() -> Option<Self> {
        let Some(packages) = std::env::var_os(PYTHONPATH) else {
            Self::skip(&format!("{PYTHONPATH} is not set; `./test` sets it"));
            return None;
        };
        let mut paths: Vec<_> = std::env::split_paths(&packages).collect();
        paths.push(root().join("python"));
        let paths = std::env::join_paths(paths).unwrap();
        Some(Self { paths })
    }

    fn skip(why: &str) {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("python3");
        command
            .arg("-B")
            .args(arguments)
            .current_dir(folder)
            .env("PYTHONPATH", &self.paths)
            .env_remove("REPRO_CACHE");
        finish(command.output().unwrap())
    }

    fn has_numpy(&self) -> bool {
        let has = self.run(root(), &["-c", "import numpy"]).code == Some(0);
        if !has {
            Self::skip(&format!("{PYTHONPATH} has no NumPy; `./test` installs it"));
        }
        has
    }
}

#[cfg(feature = "torch")]
#[test]
fn frames_are_what_the_cache_holds() {
    let Some(python) = Python::find() else {
        return;
    };
    let cli = CliTest::with_fashion(12, 6);
    cli.write(
        "frames.toml",
        experiment("frames", &[FASHION, NANO, FRAMES]),
    );
    cli.run(&["run", "frames.toml", "--device", "cpu"])
        .expect_code(0);
    // In a folder below, so that the cache has to be looked for.
    fs::create_dir(cli.path("notebooks")).unwrap();
    let script = root().join("tests/python/read_frames.py");
    let mut arguments = vec![script.to_str().unwrap()];
    if !python.has_numpy() {
        arguments.push("--without-numpy");
    }
    // The axes that are always there are listed once more in Python.
    let script_of_axes = "import json; from repro._frames import AXES; print(json.dumps(AXES))";
    let listed = python
        .run(root(), &["-c", script_of_axes])
        .expect_code(0)
        .json();
    let axes = cli.run(&["list", "axes", "--json"]).expect_code(0).json();
    let axes = axes.as_array().unwrap().iter();
    let axes: serde_json::Map<_, _> = axes
        .map(|axis| {
            (
                axis["name"].as_str().unwrap().to_owned(),
                axis["type"].clone(),
            )
        })
        .collect();
    assert_eq!(listed, serde_json::Value::Object(axes));

    let before = cli.files(".repro");
    let checks = if arguments.len() == 1 { 7 } else { 5 };
    let output = python
        .run(&cli.path("notebooks"), &arguments)
        .expect_code(0);
    assert_eq!(output.stdout.lines().count(), checks, "{output}");
    assert!(before == cli.files(".repro"), "reading changes nothing");
}

/// The example of docs/install.md runs on the cache of `repro demo` in this folder, and prints what the page shows.
#[cfg(feature = "torch")]
pub fn expect_example(demo: &Path) {
    let Some(python) = Python::find().filter(Python::has_numpy) else {
        return;
    };
    let page = fs::read_to_string(root().join("docs/install.md")).unwrap();
    let (_, example) = page.split_once("```python\n").unwrap();
    let (example, rest) = example.split_once("```\n").unwrap();
    let output = python.run(demo, &["-c", example]).expect_code(0);
    let (_, shown) = rest.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```\n").unwrap();
    // Values, and with them the widths of columns, differ from processor to processor; shapes, names and types do not.
    let outline = |text: &str| -> Vec<String> {
        let is_value = |line: &str| {
            line.starts_with('│')
                && line.contains(|one: char| one.is_ascii_digit())
                && !line.contains("i64")
        };
        let lines = text
            .lines()
            .filter(|line| !line.starts_with(['┌', '╞', '└']) && !is_value(line));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(outline(&output.stdout), outline(shown), "{output}");
}

/// A copy of the package with a program that prints what it was started with, and a Python environment that is this folder.
fn installed(torch: Option<&str>) -> CliTest {
    let cli = CliTest::new();
    for file in walk(&root().join("python/repro")) {
        if file.extension().is_some_and(|ending| ending == "py") {
            let name = file.file_name().unwrap().to_str().unwrap();
            cli.write(&format!("site/repro/{name}"), fs::read(&file).unwrap());
        }
    }
    let program = "#!/bin/sh\necho \"$LD_LIBRARY_PATH\"\n[ -z \"$SHOW_SPINS\" ] || echo \"spins ${GOMP_SPINCOUNT-unset}\"\nprintf '<%s>' \"$@\"\nexit 3\n";
    cli.write("site/repro/bin/repro", program);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(cli.path("site/repro/bin/repro"), executable).unwrap();
    if let Some(version) = torch {
        // Importing it would be an error: the command only looks for it.
        cli.write("site/torch/__init__.py", "raise SystemExit('imported')\n");
        cli.write(
            "site/torch/version.py",
            format!("__all__ = []\n__version__ = '{version}'\n"),
        );
        cli.write("site/torch/lib/libtorch_cpu.so", "");
    }
    cli
}

/// Starts the command of an environment.
fn start(cli: &CliTest, arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command
        .args(["-S", "-B", "-m", "repro"])
        .args(arguments)
        .current_dir(cli.path(""))
        .env("PYTHONPATH", cli.path("site"))
        .env("LD_LIBRARY_PATH", "/elsewhere");
    finish(command.output().unwrap())
}

#[test]
fn the_command_becomes_the_program_with_the_libtorch_of_its_environment() {
    for version in ["2.11.0", "2.11.1+cpu"] {
        let cli = installed(Some(version));
        let output = start(&cli, &["query", "SELECT 1", "", "--help"]).expect_code(3);
        let (path, arguments) = output.stdout.split_once('\n').unwrap();
        let lib = fs::canonicalize(cli.path("site/torch/lib")).unwrap();
        let (first, rest) = path.split_once(':').unwrap();
        assert_eq!(fs::canonicalize(Path::new(first)).unwrap(), lib);
        assert_eq!(rest, "/elsewhere");
        assert_eq!(arguments, "<query><SELECT 1><><--help>");
        assert_eq!(output.stderr, "");
    }
}

/// What a launcher tells libgomp, given what the user told it.
fn expect_spins(start: impl Fn(&[(&str, &str)]) -> Output) {
    for (told, spins) in [
        (vec![], "spins 1000"),
        (vec![("GOMP_SPINCOUNT", "7")], "spins 7"),
        (vec![("OMP_WAIT_POLICY", "active")], "spins unset"),
    ] {
        let output = start(&told);
        assert!(output.stdout.contains(spins), "{output}");
    }
}

#[test]
fn threads_that_wait_give_their_core_away_soon_unless_the_user_says_otherwise() {
    let clean = |command: &mut Command, told: &[(&str, &str)]| {
        command
            .env_remove("GOMP_SPINCOUNT")
            .env_remove("OMP_WAIT_POLICY")
            .env("SHOW_SPINS", "1")
            .envs(told.iter().copied());
        finish(command.output().unwrap())
    };
    let wheel = installed(Some("2.11.0"));
    expect_spins(|told| {
        let mut command = Command::new("python3");
        command
            .args(["-S", "-B", "-m", "repro"])
            .env("PYTHONPATH", wheel.path("site"));
        clean(&mut command, told)
    });
    // The launcher of a checkout, with a program that is built.
    let checkout = CliTest::new();
    checkout.write("repro", fs::read(root().join("repro")).unwrap());
    checkout.write(
        "scripts/setup.sh",
        "binary=$root/program\nis_built() { true; }\n",
    );
    checkout.write(
        "program",
        "#!/bin/sh\necho \"spins ${GOMP_SPINCOUNT-unset}\"\n",
    );
    for file in ["repro", "program"] {
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(checkout.path(file), executable).unwrap();
    }
    expect_spins(|told| clean(&mut Command::new(checkout.path("repro")), told));
}

#[test]
fn the_command_says_which_pytorch_to_install() {
    let expected = "pip install \"torch==2.11.*\"";
    for (torch, words) in [
        (None, "PyTorch 2.11 is missing"),
        (Some("2.10.0"), "is PyTorch 2.10.0"),
        (Some("2.110.0"), "is PyTorch 2.110.0"),
        (Some(""), "of unknown version"),
    ] {
        let output = start(&installed(torch), &["--help"]).expect_code(69);
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        output.expect_in_stderr(&["repro: error: ", words, expected]);
    }
    let cli = installed(Some("2.11.0"));
    fs::remove_file(cli.path("site/torch/lib/libtorch_cpu.so")).unwrap();
    start(&cli, &[])
        .expect_code(69)
        .expect_in_stderr(&["has no libtorch_cpu.so", expected]);
    let cli = installed(Some("2.11.0"));
    fs::remove_file(cli.path("site/repro/bin/repro")).unwrap();
    start(&cli, &[])
        .expect_code(69)
        .expect_in_stderr(&["cannot start", "install repro again"]);
}

#[test]
fn python_finds_the_cache_that_the_program_finds() {
    let cli = CliTest::new();
    let find = |folder: &str| {
        let script = "import sys\nsys.path.insert(0, sys.argv[1])\nfrom repro import _cache\n\
                      try:\n    print(_cache.find(None))\nexcept _cache.CacheError as error:\n    sys.exit(str(error))\n";
        let mut command = Command::new("python3");
        command
            .args(["-B", "-c", script])
            .arg(root().join("python"))
            .current_dir(cli.path(folder))
            .env_remove("REPRO_CACHE");
        if let Some(packages) = std::env::var_os("REPRO_TEST_PYTHONPATH") {
            command.env("PYTHONPATH", packages);
        }
        finish(command.output().unwrap())
    };
    let cache = |folder: &str| {
        fs::create_dir_all(cli.path(folder)).unwrap();
        fs::write(cli.path(folder).join("FORMAT"), "repro-store 1\n").unwrap();
    };
    let expect = |folder: &str, found: &str| {
        let output = find(folder).expect_code(0);
        let printed = Path::new(output.stdout.trim()).canonicalize().unwrap();
        assert_eq!(printed, cli.path(found).canonicalize().unwrap());
    };
    fs::create_dir_all(cli.path("project/notebooks")).unwrap();
    find("project/notebooks")
        .expect_code(1)
        .expect_in_stderr(&["no cache in "]);
    cache("project/.repro");
    expect("project/notebooks", "project/.repro");
    // The settings say otherwise, and count from their own folder.
    cache("elsewhere");
    let settings = cli.path("project/repro.toml");
    fs::write(&settings, "[cache]\npath = \"../elsewhere\"\n").unwrap();
    expect("project/notebooks", "elsewhere");
    fs::write(&settings, "[run]\nmemory = \"1GiB\"\n").unwrap();
    expect("project/notebooks", "project/.repro");
    fs::write(&settings, "[cache]\npath = 1\n").unwrap();
    find("project/notebooks")
        .expect_code(1)
        .expect_in_stderr(&["repro.toml: `path` of `[cache]` has to be a string, found `1`"]);
    fs::write(&settings, "[cache\n").unwrap();
    find("project/notebooks")
        .expect_code(1)
        .expect_in_stderr(&["cannot read ", "repro.toml"]);
}
