//! `repro init` and `repro demo`: what they write, what they leave alone, and that it works.

use std::fs;

use crate::fixture::{CliTest, root};

const TEMPLATES: [&str; 3] = ["quickstart", "image-folder", "two-networks"];

#[test]
fn every_template_is_written_and_has_no_errors() {
    for template in TEMPLATES {
        let cli = CliTest::new();
        let output = cli.run(&["init", "new", "--template", template]);
        let output = output.expect_code(0);
        let written = cli.files("new");
        let experiment = format!("experiments/{template}.toml");
        for path in [
            experiment.as_str(),
            ".gitignore",
            "repro.toml",
            ".github/workflows/repro.yml",
        ] {
            assert!(written.contains_key(path), "{path} {output}");
        }
        assert!(
            output
                .stdout
                .contains(&format!("wrote {} files\n", written.len())),
            "{output}"
        );
        for path in written.keys() {
            assert!(output.stdout.contains(&format!("\n  {path}\n")), "{output}");
        }
        // The two commands that follow are those of the new folder, and exist.
        let (_, next) = output.stdout.split_once("next:\n").unwrap();
        let next: Vec<&str> = next.lines().map(str::trim).collect();
        assert_eq!((next.len(), next[0]), (3, "cd new"), "{output}");
        for command in &next[1..] {
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            assert!(words.ends_with(&[experiment.as_str()]), "{command}");
            let help: Vec<&str> = words[..words.len() - 1]
                .iter()
                .copied()
                .chain(["--help"])
                .collect();
            cli.run(&help).expect_code(0);
        }
        cli.run(&["check", &format!("new/{experiment}")])
            .expect_code(0);
        let shared = written
            .keys()
            .filter(|path| path.starts_with("data/"))
            .count();
        assert_eq!(shared, if template == "image-folder" { 0 } else { 8 });
    }
}

#[test]
fn what_is_copied_is_what_the_checkout_has() {
    let cli = CliTest::new();
    cli.run(&["init"]).expect_code(0);
    let written = cli.files(".");
    let copied: Vec<_> = written
        .iter()
        .filter(|(path, _)| path.starts_with("data/") || path.starts_with("experiments/"))
        .collect();
    assert_eq!(copied.len(), 9);
    for (path, bytes) in copied {
        assert!(*bytes == fs::read(root().join(path)).unwrap(), "{path}");
    }
    cli.run(&["plan", "experiments/quickstart.toml"])
        .expect_code(0);
}

#[test]
fn files_that_are_there_stay_as_they_are() {
    let cli = CliTest::new();
    cli.write("experiments/two-networks.toml", "# mine\n");
    cli.write(".gitignore", "/target\n");
    let mine = cli.files(".");
    let arguments = ["init", "--template", "two-networks"];
    cli.run(&arguments).expect_code(2).expect_in_stderr(&[
        "nothing was written",
        "experiments/two-networks.toml",
        "--force",
    ]);
    assert!(mine == cli.files("."), "nothing was written");

    // What people have already is kept, and the rest is written.
    fs::remove_file(cli.path("experiments/two-networks.toml")).unwrap();
    let output = cli.run(&arguments).expect_code(0);
    let kept = "kept .gitignore as it is; add a line `.repro/`";
    assert!(output.stdout.contains(kept), "{output}");
    assert!(!output.stdout.contains("  cd "), "{output}");
    assert_eq!(cli.read(".gitignore"), "/target\n");

    cli.write(".gitignore", "/target\n/.repro\n");

    let whole = cli.files(".");
    let again = cli.run(&arguments).expect_code(0);
    assert!(
        again.stdout.contains("all files are there already"),
        "{again}"
    );
    assert!(
        again.stdout.contains("kept .gitignore as it is\n"),
        "{again}"
    );
    cli.write("experiments/two-networks.toml", "# mine\n");
    cli.run(&["init", "--template", "two-networks", "--force"])
        .expect_code(0);
    assert!(whole == cli.files("."), "replaced");
}

#[test]
fn a_link_and_a_folder_are_not_replaced_either() {
    let cli = CliTest::new();
    cli.write("elsewhere.toml", "# mine\n");
    fs::create_dir(cli.path("experiments")).unwrap();
    let place = cli.path("experiments/image-folder.toml");
    let arguments = ["init", "--template", "image-folder"];
    std::os::unix::fs::symlink("../elsewhere.toml", &place).unwrap();
    cli.run(&arguments).expect_code(2);
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    cli.run(&arguments).expect_code(2);
    // A file where a folder has to be is named.
    let cli = CliTest::new();
    cli.write("experiments", "");
    cli.run(&arguments)
        .expect_code(3)
        .expect_in_stderr(&["cannot write", "experiments/image-folder.toml"]);
}

#[test]
fn a_new_experiment_is_made_where_it_was_asked_for() {
    // Not in the project that the folder is in.
    let cli = CliTest::new();
    cli.write("project/.repro/FORMAT", "repro-store 1\n");
    fs::create_dir(cli.path("project/below")).unwrap();
    let mut command = cli.command(&["init", "it's new", "--template", "image-folder"]);
    command.current_dir(cli.path("project/below"));
    let output = crate::fixture::finish(command.output().unwrap()).expect_code(0);
    assert!(output.stdout.contains(r"cd 'it'\''s new'"), "{output}");
    assert!(cli.path("project/below/it's new/.gitignore").exists());
    let names: Vec<_> = cli.files("project").into_keys().collect();
    let others = names.iter().filter(|name| !name.starts_with("below/"));
    assert_eq!(others.collect::<Vec<_>>(), [".repro/FORMAT"]);
}

#[test]
fn images_that_do_not_come_with_the_program_are_asked_for() {
    let cli = CliTest::new();
    let with_share = |share: &str, template: &str| {
        let mut command = cli.command(&["init", "new", "--template", template]);
        command.env("REPRO_SHARE", share);
        crate::fixture::finish(command.output().unwrap())
    };
    with_share("nowhere", "quickstart")
        .expect_code(3)
        .expect_in_stderr(&["REPRO_SHARE", "nowhere", "hint:"]);
    assert!(!cli.path("new").exists());
    with_share("nowhere", "image-folder").expect_code(0);
    with_share(root().to_str().unwrap(), "two-networks").expect_code(0);
}

#[cfg(feature = "torch")]
#[test]
fn the_demo_ends_in_a_table_and_a_picture() {
    let cli = CliTest::new();
    // Nobody else's cache gets its artifacts.
    cli.write(".repro/FORMAT", "repro-store 1\n");
    let arguments = ["demo", "--dir", "made/demo", "--device", "cpu"];
    let output = cli.run(&arguments).expect_code(0);
    let rows: Vec<&str> = output
        .stdout
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    // A header, a line, eight cells of the network and one of the pixels.
    assert_eq!(rows.len(), 11, "{output}");
    assert!(rows[0].contains("noise step"), "{output}");
    assert!(rows.iter().all(|row| row.chars().count() < 80), "{output}");
    for path in ["made/demo/report.md", "made/demo/accuracy.svg"] {
        assert!(output.stdout.contains(&format!("{path}\n")), "{output}");
        assert!(fs::metadata(cli.path(path)).unwrap().len() > 0);
    }
    assert_eq!(cli.files(".repro").len(), 1);

    // The network knows more than chance, which is 10 %.
    let sql = "SELECT value FROM results WHERE model = 'diffusion' AND timestep = 10";
    let values = cli.run(&["query", "--json", "--cache", "made/demo/.repro", sql]);
    let values = values.expect_code(0).json();
    for row in values.as_array().unwrap() {
        assert!(row["value"].as_f64().unwrap() > 0.4, "{values}");
    }

    crate::python_package::expect_example(&cli.path("made/demo"));

    let files = cli.files("made/demo/.repro/artifacts");
    let again = cli.run(&arguments).expect_code(0);
    assert_eq!(again.stdout, output.stdout);
    assert!(files == cli.files("made/demo/.repro/artifacts"));

    // Another experiment under its name is not run in its place.
    cli.write("made/demo/demo.toml", "# mine\n");
    cli.run(&arguments)
        .expect_code(2)
        .expect_in_stderr(&["made/demo", "demo.toml"]);
}

#[cfg(feature = "torch")]
#[test]
#[ignore = "a minute: 4,000 images through a network"]
fn nightly_the_comparison_of_two_networks_runs_as_it_is() {
    let cli = CliTest::new();
    cli.run(&["init", "--template", "two-networks"])
        .expect_code(0);
    let mut command = cli.command(&["run", "experiments/two-networks.toml", "--device", "cpu"]);
    command.env_remove("OMP_NUM_THREADS");
    assert!(command.status().unwrap().success());
    let report = cli.read("reports/two-networks.md");
    assert!(report.contains("trained − random"), "{report}");
    // As the workflow for pull requests renders them.
    let figure = cli.read("reports/two-networks-accuracy.svg");
    fs::remove_file(cli.path("reports/two-networks-accuracy.svg")).unwrap();
    let from = "reports/two-networks.results.csv";
    cli.run(&["report", "experiments/two-networks.toml", "--from", from])
        .expect_code(0);
    assert!(figure == cli.read("reports/two-networks-accuracy.svg"));
}
