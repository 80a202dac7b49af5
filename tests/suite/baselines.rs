//! Pixels beside a network, from the images to the tables that compare them.

use serde_json::json;

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, RAW, experiment, run};

const COMPARED: &str = r#"
[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = [10, 90, 300]
block    = [1, 2, 3]
pool     = [1, 2]

[extraction.pixels]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = [7, 28]

[head.probe]
kind       = "linear"
features   = ["taps", "pixels"]
epochs     = 2
batch_size = 20

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "reports/baseline.md"

[[report.table]]
kind     = "comparison"
title    = "Who is best"
metric   = "top1"
by        = "model"
reference = "unet"
fixed    = { block = 2, timestep = 90, pool = 2 }

[[report.table]]
kind   = "claims"
title  = "The paper's claims"
metric = "top1"
where  = { model = "unet" }

[[report.table]]
kind    = "grid"
title   = "Behind the middle"
metric  = "top1"
rows    = "timestep"
columns = "pool"
where   = { model = "unet", block = 2 }
spread  = "images"

[[report.table]]
kind   = "components"
title  = "Whose the spread is"
metric = "top1"
rows   = "block"
where  = { model = "unet", timestep = 90, pool = 2 }

[[report.figure]]
kind   = "lines"
file   = "blocks.svg"
metric = "top1"
x      = "block"
where  = { model = "unet", timestep = 90, pool = 2 }
spread = "images"
"#;

/// The whole experiment.
fn baseline() -> String {
    experiment(
        "baseline",
        &["seeds = [0, 1]\n", FASHION, NANO, RAW, COMPARED],
    )
}

#[test]
fn pixels_compete_with_a_network() {
    let cli = CliTest::with_fashion(40, 20);
    cli.write("baseline.toml", baseline());
    let output = run(&cli, "baseline.toml");
    assert_eq!(output.stdout, "", "stdout is for data");

    let rows = cli
        .query("SELECT DISTINCT model, weights, timestep, block FROM results WHERE model = 'raw'");
    assert_eq!(
        rows,
        [json!({ "model": "raw", "weights": "none", "timestep": null, "block": 1 })]
    );

    let report = cli.read("reports/baseline.md");
    let line = |start: &str| {
        let found = report.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in\n{report}"))
    };
    assert!(line("| raw | ").contains("| block 1, pool "), "{report}");
    assert!(
        line("| raw | ").contains(" | best of 2 on the test images: optimistic | "),
        "{report}"
    );
    assert!(
        line("| unet | ").contains(" | best of 18 on the test images: optimistic | "),
        "{report}"
    );
    assert!(
        line("| unet, fixed | ")
            .contains(" | block 2, timestep 90, pool 2 | fixed beforehand | nothing picked |"),
        "{report}"
    );
    for pair in [
        "| unet, best of 18 − raw, best of 2 | ",
        "| unet, fixed − raw, best of 2 | ",
    ] {
        let cells: Vec<&str> = line(pair).split(" | ").collect();
        assert_eq!(cells.len(), 6, "{cells:?}");
        assert!(
            cells[2].starts_with('[') && cells[5].contains(" ("),
            "{cells:?}"
        );
    }
    // With three timesteps, three blocks and two pools of a network of three blocks, all of the grid's claims but those of its middle are tested.
    let claims: Vec<&str> = report
        .lines()
        .skip_while(|line| !line.starts_with("| claim |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(claims.len(), 8 + 10, "{claims:#?}");
    for tested in [
        "whole grid: mean absolute",
        "steep drop at high noise: per unit",
        "an optimum inside, by the mean",
    ] {
        assert!(
            claims.iter().any(|line| line.contains(tested)),
            "{tested}: {claims:#?}"
        );
    }
    assert!(
        claims[17]
            .contains("| not measured | not tested | not applicable here: no results of CKA |"),
        "{claims:#?}"
    );
    assert!(
        report.contains("the 95 % interval over the scored images and the seeds"),
        "{report}"
    );
    assert!(line("| 2 | images | ").contains(" | 20 | "), "{report}");
    cli.run(&["plan", "--check", "baseline.toml"])
        .expect_code(0);
}

#[test]
fn random_weights_are_averaged_over_their_seeds() {
    let cli = CliTest::with_fashion(40, 20);
    let rest = r#"
[model.random]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = [{ synthetic = 1 }, { synthetic = 2 }, { initialization = 1 }, { initialization = 2 }]

[extraction.taps]
model    = "random"
dataset  = "fashion"
timestep = 10
block    = 2
pool     = 2

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "report.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "weights"
columns = "block"
over    = ["weights_seed", "seed"]
"#;
    cli.write(
        "random.toml",
        experiment("random", &["seeds = [0, 1]\n", FASHION, rest]),
    );
    run(&cli, "random.toml");
    let draws = cli.query(
        "SELECT weights, weights_seed, count(*) AS heads FROM results WHERE metric = 'top1' GROUP BY weights, weights_seed ORDER BY weights, weights_seed",
    );
    let expected = ["initialization", "initialization", "synthetic", "synthetic"]
        .into_iter()
        .zip([1, 2, 1, 2])
        .map(|(weights, seed)| json!({ "weights": weights, "weights_seed": seed, "heads": 2 }));
    assert_eq!(draws, expected.collect::<Vec<_>>());
    let report = cli.read("report.md");
    let mean = |weights: &str| {
        let rows = cli.query(&format!(
            "SELECT avg(value) AS mean FROM results WHERE metric = 'top1' AND weights = '{weights}'"
        ));
        format!("{:.2} ±", 100.0 * rows[0]["mean"].as_f64().unwrap())
    };
    for weights in ["initialization", "synthetic"] {
        let line = report
            .lines()
            .find(|line| line.starts_with(&format!("| {weights} | ")));
        let line = line.unwrap_or_else(|| panic!("no {weights} in\n{report}"));
        assert!(
            line.contains(&mean(weights)),
            "no {} in {line}",
            mean(weights)
        );
    }
    assert!(
        report.contains("random weights: synthetic rule, seeds 1, 2"),
        "{report}"
    );
}

#[test]
fn what_was_compared_is_rendered_from_its_file() {
    let cli = CliTest::with_fashion(40, 20);
    cli.write("baseline.toml", baseline());
    run(&cli, "baseline.toml");
    let (report, figure) = (
        cli.read("reports/baseline.md"),
        cli.read("reports/blocks.svg"),
    );
    let results = cli.read("reports/baseline.results.csv");
    let compared = cli.read("reports/baseline.comparisons.csv");
    assert!(
        !compared.contains("cpu") && !compared.contains("seconds"),
        "{compared}"
    );
    // Fewer candidates than the 18 of unet and 2 of raw have no gain; six cells and three points have an interval.
    let count = |about: &str| compared.lines().filter(|line| line.contains(about)).count();
    assert_eq!(
        (
            count(",difference,"),
            count(",optimism,"),
            count(",interval,"),
            count(",component,"),
            count(",claim,")
        ),
        (2, 2, 6 + 3, 3 * 3, 8 + 10),
        "{compared}"
    );

    let shown = |report: &str| {
        let deviations = report.find("## Deviations").unwrap();
        let begin = report.find("## All tables and figures").unwrap();
        let end = report.find("## How this was made").unwrap();
        format!("{}{}", &report[..deviations], &report[begin..end])
    };
    let reader = CliTest::new();
    reader.write("baseline.toml", baseline());
    reader.write("published.results.csv", &results);
    reader.write("published.comparisons.csv", &compared);
    let from = ["report", "baseline.toml", "--from", "published.results.csv"];
    reader.run(&from).expect_code(0);
    assert_eq!(shown(&reader.read("reports/baseline.md")), shown(&report));
    assert_eq!(reader.read("reports/blocks.svg"), figure);

    // One that was cut off is an input that is wrong.
    reader.write("published.comparisons.csv", &compared[..300]);
    reader
        .run(&from)
        .expect_code(3)
        .expect_in_stderr(&["published.comparisons.csv:"]);

    // Without the file the cells are empty, and say why; intervals are the mean of the seeds' own.
    let bare = CliTest::new();
    bare.write("baseline.toml", baseline());
    bare.write("published.results.csv", &results);
    bare.run(&from).expect_code(0);
    let rendered = bare.read("reports/baseline.md");
    assert!(
        rendered.contains(
            "| unet, best of 18 − raw, best of 2 | no file of comparisons<sup>1</sup> |  |  |  |  |"
        ),
        "{rendered}"
    );
    assert!(
        rendered.contains("and that file is not there"),
        "{rendered}"
    );
    assert!(
        rendered.contains("the mean of the seeds' 95 % intervals"),
        "{rendered}"
    );
}
