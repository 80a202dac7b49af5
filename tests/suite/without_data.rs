//! Reports and plans from the cache alone, after datasets and weights were taken away.

use std::fs;

use crate::fixture::{CliTest, Output};
use crate::small::{SMALL, run, small};

const REPORT: &str = "reports/small.md";

/// Takes a file or folder away, or brings it back.
fn rename(cli: &CliTest, from: &str, to: &str) {
    fs::rename(cli.path(from), cli.path(to)).unwrap();
}

fn report(cli: &CliTest, file: &str) -> Output {
    cli.run(&["report", file])
}

#[test]
fn the_cache_alone_gives_the_same_report() {
    let cli = small();
    // Weights of a file, and a part of a part.
    let weights = "weights = { synthetic = 1 }";
    let golden = crate::hollow::whole("guided_diffusion", "adm-nano.zip.pt");
    cli.write("nano.pt", fs::read(golden).unwrap());
    let text = SMALL
        .replace(weights, "weights = \"nano.pt\"")
        .replace("dataset  = \"fashion\"", "dataset  = \"few\"");
    let subset = "\n[dataset.few]\nkind = \"subset\"\nof = \"fashion\"\nlimit = { train = 30 }\n";
    cli.write("small.toml", text + subset);
    run(&cli, "small.toml");
    let written = cli.read(REPORT);

    rename(&cli, "fashion", "elsewhere");
    rename(&cli, "nano.pt", "elsewhere.pt");
    // As a reader has it who moved the cache as well.
    fs::remove_dir_all(cli.path("reports")).unwrap();
    report(&cli, "small.toml").expect_code(0).expect_in_stderr(&[
        "warning: dataset `fashion`: ",
        "fashion/train-images-idx3-ubyte",
        "warning: dataset `few`: ",
        "warning: weights of model `unet`: ",
        "nano.pt is missing; the report shows what the cache holds of it as it was when last read",
    ]);
    assert_eq!(cli.read(REPORT), written);

    // The plan knows that everything is there; a run needs the data all the same.
    let plan = cli.run(&["plan", "small.toml", "--check"]).expect_code(0);
    assert!(
        plan.stdout.contains("by what the cache remembers")
            && !plan.stdout.contains("is an estimate"),
        "{plan}"
    );
    cli.run(&["run", "small.toml", "--device", "cpu"])
        .expect_code(3)
        .expect_in_stderr(&["dataset `fashion`"]);

    // Another declaration is another dataset, of which nothing is remembered.
    let other = cli.read("small.toml").replace("train = 30", "train = 20");
    cli.write("other.toml", other);
    let output = report(&cli, "other.toml").expect_code(3);
    output.expect_in_stderr(&[
        "dataset `few`",
        "but not this part of it",
        "--from RESULTS.csv",
    ]);
}

#[test]
fn other_data_is_never_taken_for_what_is_remembered() {
    let cli = small();
    run(&cli, "small.toml");
    let written = cli.read(REPORT);
    // Data that is there is read, and what the cache holds is not of it.
    rename(&cli, "fashion", "elsewhere");
    cli.fashion("fashion", 30, 20);
    let output = report(&cli, "small.toml").expect_code(1);
    output.expect_in_stderr(&["all results of the report are missing from"]);
    // Data that is damaged is reported, and not taken for absent.
    cli.write("fashion/train-images-idx3-ubyte.gz", "no images");
    report(&cli, "small.toml").expect_code(3);
    rename(&cli, "fashion", "damaged");
    rename(&cli, "elsewhere", "fashion");
    report(&cli, "small.toml").expect_code(0);
    assert_eq!(cli.read(REPORT), written);
    // Without the memory the data is needed.
    rename(&cli, "fashion", "elsewhere");
    for (note, _) in cli.files(".repro/memo") {
        if note.strip_suffix(".note").is_some() {
            fs::remove_file(cli.path(&format!(".repro/memo/{note}"))).unwrap();
        }
    }
    let output = report(&cli, "small.toml").expect_code(3);
    output.expect_in_stderr(&["fashion", "is missing", "repro report small.toml --from"]);
}

#[test]
fn a_list_that_has_changed_makes_the_memory_of_its_part_useless() {
    let cli = small();
    let subset =
        "\n[dataset.few]\nkind = \"subset\"\nof = \"fashion\"\nlist = { train = \"few.txt\" }\n";
    let text = SMALL.replace("dataset  = \"fashion\"", "dataset  = \"few\"");
    cli.write("small.toml", text + subset);
    let list: Vec<String> = (0..20).map(|row| format!("train/{row:05}")).collect();
    cli.write("few.txt", list.join("\n"));
    run(&cli, "small.toml");
    rename(&cli, "fashion", "elsewhere");
    report(&cli, "small.toml").expect_code(0);
    cli.write("few.txt", list[..10].join("\n"));
    let output = report(&cli, "small.toml").expect_code(3);
    output.expect_in_stderr(&["dataset `few`", "but not this part of it"]);
    fs::remove_file(cli.path("few.txt")).unwrap();
    report(&cli, "small.toml").expect_code(0);
}

#[test]
fn figures_of_images_that_are_gone_stay_as_they_were_drawn_or_say_so() {
    let cli = small();
    let strip = "\n[[report.figure]]\nkind = \"noise-strip\"\nfile = \"noise.svg\"\ndataset = \"fashion\"\nmodel = \"unet\"\ntimesteps = [0, 90]\ncount = 2\n";
    cli.write("small.toml", format!("{SMALL}{strip}"));
    run(&cli, "small.toml");
    let (lines, noise) = (cli.read("reports/small.svg"), cli.read("reports/noise.svg"));
    rename(&cli, "fashion", "elsewhere");
    report(&cli, "small.toml").expect_code(0);
    let text = cli.read(REPORT);
    assert!(
        text.contains("Drawn by an earlier run: the images of `fashion` are not on disk"),
        "{text}"
    );
    assert_eq!(cli.read("reports/noise.svg"), noise);

    fs::remove_dir_all(cli.path("reports")).unwrap();
    report(&cli, "small.toml").expect_code(0);
    let text = cli.read(REPORT);
    assert!(
        text.contains("the images of `fashion` are not on disk") && !text.contains("earlier run"),
        "{text}"
    );
    assert_eq!(cli.read("reports/small.svg"), lines);
    assert!(
        cli.read("reports/noise.svg")
            .contains("the images of fashion are not on disk")
    );
}
