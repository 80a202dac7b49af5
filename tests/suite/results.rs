//! Results beside the report, reports from them alone, and swept keys as axes, from a run to SQL.

use repro::graph::{self, Experiment};
use repro::models::find_block;
use repro::spec::Source;
use repro::store::AxisValue;
use serde_json::Value;

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, RAW, experiment, run};

const SWEPT: &str = r#"
[dataset.part]
kind      = "subset"
of        = "fashion"
per_class = [{ train = 2 }, { train = 4 }]

[extraction.pixels]
model   = "raw"
dataset = "part"
block   = 1
pool    = 7

[head.nearest]
kind     = "knn"
features = "pixels"
k        = [1, 5]

[head.linear]
kind      = "linear"
features  = "pixels"
epochs    = 2
optimizer = [{ lr = 1e-2 }, { lr = 1e-2, weight_decay = 1e-3 }]

[metric.accuracy]
kind = "accuracy"
of   = ["nearest", "linear"]

[report]
output = "reports/swept.md"

[[report.table]]
kind    = "grid"
title   = "By k"
metric  = "top1"
rows    = "dataset_per_class_train"
columns = "head_k"
where   = { head = "nearest" }

[[report.table]]
kind    = "grid"
title   = "By decay"
metric  = "top1"
rows    = "dataset_per_class_train"
columns = "head_optimizer_weight_decay"
where   = { head = "linear" }

[[report.figure]]
kind   = "lines"
file   = "k.svg"
metric = "top1"
x      = "head_k"
series = "dataset_per_class_train"
where  = { head = "nearest" }

[[report.figure]]
kind      = "noise-strip"
file      = "noise.svg"
dataset   = "fashion"
model     = "unet"
timesteps = [0, 90]
count     = 2
"#;

/// The whole experiment.
fn swept() -> String {
    experiment(
        "swept",
        &["title = \"Neighbors\"\n", FASHION, RAW, NANO, SWEPT],
    )
}

/// A folder in which the experiment was run.
fn ran() -> CliTest {
    let cli = CliTest::with_fashion(60, 30);
    cli.write("swept.toml", swept());
    run(&cli, "swept.toml");
    cli
}

/// The parts of a report that show results: the first screen, and all tables and figures.
fn shown(report: &str) -> String {
    let deviations = report.find("## Deviations").unwrap();
    let begin = report.find("## All tables and figures").unwrap();
    let end = report.find("## How this was made").unwrap();
    format!("{}{}", &report[..deviations], &report[begin..end])
}

#[test]
fn swept_keys_are_axes_from_the_file_to_tables_sql_and_csv() {
    let cli = ran();

    // Each row has the axes of its kind, and null where the kind has no such thing.
    let rows = cli.query(
        "SELECT head, head_k, head_optimizer_weight_decay AS decay, learning_rate, epochs, timestep, draw, noise_seed, token
         FROM results WHERE metric = 'top1' AND dataset_per_class_train = 4 ORDER BY head, head_k, decay",
    );
    let of = |row: usize, key: &str| rows[row][key].clone();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        for key in ["timestep", "draw", "noise_seed", "token"] {
            assert!(row[key].is_null(), "{key}: {row}");
        }
    }
    assert_eq!(
        (of(0, "head"), of(0, "epochs")),
        ("linear".into(), 2.into())
    );
    assert_eq!((of(0, "head_k"), of(1, "head_k")), (().into(), ().into()));
    let decays = [of(0, "decay"), of(1, "decay")];
    assert!(
        decays.contains(&().into()) && decays.contains(&1e-3.into()),
        "{decays:?}"
    );
    assert_eq!((of(2, "head_k"), of(3, "head_k")), (1.into(), 5.into()));
    assert!(of(2, "learning_rate").is_null() && of(2, "epochs").is_null());

    let report = cli.read("reports/swept.md");
    assert!(
        report.contains("| dataset per class train | head k 1 | head k 5 |"),
        "{report}"
    );
    assert!(
        report.contains("| dataset per class train | head optimizer weight decay 0.001 | no head optimizer weight decay |"),
        "{report}"
    );
    assert!(
        !report.contains("token none") && !report.contains("no timestep"),
        "{report}"
    );

    // The file beside it has the same values, sorted, and nothing of the run.
    let csv = cli.read("reports/swept.results.csv");
    let lines: Vec<&str> = csv.lines().collect();
    // Eight heads, each with two metrics.
    assert_eq!(lines.len(), 1 + 8 * 2, "{csv}");
    let heads: Vec<&str> = lines[0].split(',').collect();
    for column in [
        "dataset_per_class_train",
        "head_k",
        "head_optimizer_weight_decay",
        "learning_rate",
        "head_fingerprint",
    ] {
        assert!(heads.contains(&column), "{column}: {csv}");
    }
    for column in ["timestep", "draw", "token", "network_learning_rate"] {
        assert!(!heads.contains(&column), "{column}: {csv}");
    }
    assert!(!csv.contains("cpu") && !csv.contains("seconds"), "{csv}");
    assert!(
        lines[1].contains(",linear,") && lines[8].contains(",nearest,"),
        "{csv}"
    );

    // A second run leaves it as it is.
    run(&cli, "swept.toml");
    assert_eq!(cli.read("reports/swept.results.csv"), csv);
}

#[test]
fn a_report_is_rendered_from_the_csv_without_datasets_and_cache() {
    let cli = ran();
    let (report, figure) = (cli.read("reports/swept.md"), cli.read("reports/k.svg"));
    let noise = cli.read("reports/noise.svg");
    let csv = cli.read("reports/swept.results.csv");

    let reader = CliTest::new();
    reader.write("swept.toml", swept());
    reader.write("published.csv", &csv);
    let from = ["report", "swept.toml", "--from", "published.csv"];
    reader.run(&from).expect_code(0);
    let rendered = reader.read("reports/swept.md");
    let before_noise = |report: &str| {
        let part = shown(report);
        let end = part.find("Images at growing noise").unwrap();
        let part = &part[..end];
        // What needs the sizes of datasets to be warned of is not known without them.
        let Some((before, warnings)) = part.split_once("## Warnings\n") else {
            return part.to_owned();
        };
        let behind = warnings.find("## ").map_or("", |end| &warnings[end..]);
        format!("{before}{behind}")
    };
    assert_eq!(before_noise(&rendered), before_noise(&report));
    assert_eq!(reader.read("reports/k.svg"), figure);
    assert!(
        rendered.contains("not available: what it shows is not in `published.csv`"),
        "{rendered}"
    );
    assert!(reader.read("reports/noise.svg").contains("not available"));
    assert!(rendered.contains("The results were read from `published.csv`."));

    // A cell leads to the same rows in both, and to the artifacts where they are listed.
    let traced = |cli: &CliTest| -> Value {
        let output = cli.run(&["trace", "swept:1:r1", "--json"]).expect_code(0);
        serde_json::from_str(&output.stdout).unwrap()
    };
    reader.write("reports/swept.results.csv", &csv);
    let (of_run, of_file) = (traced(&cli), traced(&reader));
    assert!(
        !of_run["results"].as_array().unwrap().is_empty(),
        "{of_run}"
    );
    assert_eq!(of_run["results"], of_file["results"]);
    assert_eq!(of_run["command"], "./repro run swept.toml");
    let artifacts = of_run["artifacts"].as_array().unwrap();
    for artifact in artifacts {
        assert_eq!(artifact["in_cache"], true, "{artifact}");
        assert!(
            !artifact["label"].as_str().unwrap().is_empty(),
            "{artifact}"
        );
    }
    assert_eq!(of_file["artifacts"][0]["label"], "");
    let listed = cli.run(&["trace", "swept"]).expect_code(0);
    assert!(listed.stdout.contains("swept:1"), "{listed}");
    for (id, says) in [
        ("swept:99", "no table or figure `99`"),
        ("swept:1:r99c1", "no results behind a cell"),
        ("swept:1:r1:c1:x", "invalid id"),
    ] {
        cli.run(&["trace", id])
            .expect_code(2)
            .expect_in_stderr(&[says]);
    }
    cli.run(&["trace", "nothing:1"]).expect_code(3);

    // A report that is rendered from a file keeps what is known of the run.
    let of_run = |cli: &CliTest| -> Value {
        let text = cli.read("reports/swept.provenance.json");
        serde_json::from_str::<Value>(&text).unwrap()["run"].clone()
    };
    let before = of_run(&cli);
    assert!(!before["artifacts"]["rows"].as_array().unwrap().is_empty());
    cli.run(&[
        "report",
        "swept.toml",
        "--from",
        "reports/swept.results.csv",
    ])
    .expect_code(0);
    assert_eq!(of_run(&cli), before);

    // Tables go into a paper, and what a figure draws into a file beside it.
    let latex = cli
        .run(&["report", "swept.toml", "--latex", "1"])
        .expect_code(0);
    assert!(
        latex.stdout.contains("\\begin{tabular}") && latex.stdout.contains("\\bottomrule"),
        "{latex}"
    );
    cli.run(&["report", "swept.toml", "--latex", "99"])
        .expect_code(2)
        .expect_in_stderr(&["no table 99"]);
    assert!(!cli.path("reports/k.data.csv").exists());
    cli.run(&["report", "swept.toml", "--data"]).expect_code(0);
    assert!(
        cli.read("reports/k.data.csv")
            .contains(",mean,low,high,results\n")
    );

    // What an earlier run drew stays.
    reader.write("reports/noise.svg", &noise);
    reader.run(&from).expect_code(0);
    assert_eq!(reader.read("reports/noise.svg"), noise);
    assert!(
        reader
            .read("reports/swept.md")
            .contains("Drawn by an earlier run")
    );

    // Faults are named by their place.
    reader.write("broken.csv", csv.replace("value", "vlue"));
    let output = reader
        .run(&["report", "swept.toml", "--from", "broken.csv"])
        .expect_code(3);
    assert!(
        output
            .stderr
            .contains("broken.csv:1: the column `value` is missing"),
        "{output}"
    );
    let output = reader.run(&["report", "swept.toml", "--from", "no.csv"]);
    output.expect_code(3);
}

#[test]
fn a_report_may_name_swept_keys_and_no_others() {
    let cli = CliTest::new();
    cli.write("swept.toml", swept());
    cli.run(&["check", "swept.toml"]).expect_code(0);
    let other = swept().replace("\"head_k\"", "\"head_kk\"");
    cli.write("other.toml", &other);
    let output = cli.run(&["check", "other.toml"]).expect_code(2);
    assert!(
        output.stderr.contains("unknown axis `head_kk`") && output.stderr.contains("`head_k`"),
        "{output}"
    );
    // A key that no node sweeps is not an axis.
    let fixed = swept().replace("k        = [1, 5]", "k        = 5");
    cli.write("fixed.toml", &fixed);
    let output = cli.run(&["check", "fixed.toml"]).expect_code(2);
    assert!(output.stderr.contains("unknown axis `head_k`"), "{output}");
}

#[test]
fn axes_are_listed() {
    let cli = CliTest::new();
    let text = cli.run(&["list", "axes"]).expect_code(0).stdout;
    assert!(
        text.contains("network_learning_rate") && text.contains("head_k"),
        "{text}"
    );
    let records = cli.run(&["list", "axes", "--json"]).expect_code(0).json();
    assert_eq!(records[0]["name"], "split");
    assert_eq!(records[0]["type"], "text");
}

fn built(text: &str) -> Experiment {
    match graph::build(&Source::new("swept.toml", text)) {
        Ok(experiment) => experiment,
        Err(diagnostics) => panic!("{}", diagnostics.render(false, 100)),
    }
}

/// The value of every head on an axis, as it is shown.
fn shown_at(experiment: &Experiment, axis: &str) -> Vec<String> {
    let axes = experiment.heads.iter().map(|head| {
        let extraction = &experiment.extractions[head.features];
        let tap = find_block(
            &*experiment.models[extraction.model].model,
            extraction.block,
        );
        let mut axes = extraction.axes(tap.unwrap().shape);
        axes.extend(experiment.dataset_axes(extraction.dataset));
        axes.extend(experiment.model_axes(extraction.model));
        axes.extend(head.axes());
        axes
    });
    axes.map(|axes| {
        let value = axes.get(axis);
        value.map_or_else(|| "-".to_owned(), AxisValue::to_string)
    })
    .collect()
}

#[test]
fn every_way_to_sweep_makes_axes_and_defaults_fill_them() {
    let experiment = built(
        r#"
[experiment]
name = "axes"

[dataset.whole]
kind = "fashion-mnist"
root = "fashion"

[dataset.some]
kind     = "subset"
of       = "whole"
limit    = [{ train = 10 }, { train = 20, test = 5 }]

[dataset.few]
kind  = "subset"
of    = "some"
limit = [{ train = 5 }]

[model.raw]
kind        = "pixels"
image_size  = [28]
in_channels = 1

[extraction.pixels]
model      = "raw"
dataset    = "few"
block      = 1
pool       = [7]
preprocess = ["adm-center-crop", [{ resize = 28 }, { center-crop = 28 }]]
zip        = ["pool"]

[head.votes]
kind     = "knn"
features = "pixels"
cases    = [{ k = 1 }, { k = 5, weights = "uniform" }]

[head.one]
kind     = "knn"
features = "pixels"

[head.line]
kind     = "linear"
features = "pixels"
epochs   = [1, 2]
clip     = [1, 0.5]
"#,
    );
    // Two datasets, two ways to cut.
    let features = 4;
    assert_eq!(experiment.heads.len(), features * (2 + 1 + 4));
    let distinct = |axis: &str| {
        let mut values = shown_at(&experiment, axis);
        values.sort();
        values.dedup();
        values
    };
    assert_eq!(distinct("head_k"), ["-", "1", "20", "5"]);
    assert_eq!(distinct("head_weights"), ["-", "similarity", "uniform"]);
    assert_eq!(distinct("model_image_size"), ["28"]);
    assert_eq!(distinct("head_clip"), ["-", "0.5", "1"]);
    assert_eq!(
        distinct("extraction_preprocess"),
        ["[{ resize = 28 }, { center-crop = 28 }]", "adm-center-crop"]
    );
    // That of the dataset itself, and that of the one which it is made from.
    assert_eq!(distinct("dataset_limit_train"), ["5"]);
    assert_eq!(distinct("dataset_of_limit_train"), ["10", "20"]);
    assert_eq!(distinct("dataset_of_limit_test"), ["-", "5"]);
    // What a well-known axis says already makes no second one.
    for axis in [
        "extraction_pool",
        "head_epochs",
        "head_kind_",
        "extraction_zip",
    ] {
        assert_eq!(distinct(axis), ["-"], "{axis}");
    }
    assert_eq!(distinct("learning_rate"), ["-", "0.001"]);
    assert_eq!(distinct("epochs"), ["-", "1", "2"]);
}

#[test]
fn a_trained_network_has_the_axes_of_its_training() {
    let experiment = built(
        r#"
[experiment]
name = "axes"

[dataset.whole]
kind = "fashion-mnist"
root = "fashion"

[dataset.some]
kind  = "subset"
of    = "whole"
limit = [{ train = 10 }, { train = 20 }]

[pretrain.short]
dataset = "some"
steps   = [5, 10]

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { pretrain = "short" }

[extraction.taps]
model    = "unet"
dataset  = "whole"
timestep = 10
block    = 1

[head.probe]
kind      = "linear"
features  = "taps"
fine_tune = [{ lr = 1e-5 }, { lr = 1e-4, kind = "sgd" }]
"#,
    );
    let at = |axis: &str| shown_at(&experiment, axis);
    // Two heads over two datasets and two lengths; the head's own key varies slowest.
    assert_eq!(
        at("pretrain_steps"),
        ["5", "5", "10", "10", "5", "5", "10", "10"]
    );
    let mut limits = at("pretrain_dataset_limit_train");
    limits.sort();
    limits.dedup();
    assert_eq!(limits, ["10", "20"]);
    assert_eq!(at("dataset_limit_train"), vec!["-"; 8]);
    assert_eq!(at("network_learning_rate")[3..5], ["0.00001", "0.0001"]);
    assert_eq!(at("head_fine_tune_kind")[3..5], ["-", "sgd"]);
    assert_eq!(at("head_fine_tune_lr"), vec!["-"; 8]);
    assert_eq!(at("draw"), vec!["0"; 8]);
}
