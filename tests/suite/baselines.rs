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
kind     = "linear"
features = ["taps", "pixels"]
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "reports/baseline.md"

[[report.table]]
kind     = "contest"
title    = "Who is best"
metric   = "top1"
among    = "model"
champion = "unet"
fixed    = { block = 2, timestep = 90, pool = 2 }

[[report.table]]
kind   = "claims"
title  = "The paper's claims"
metric = "top1"
where  = { model = "unet" }
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
    assert!(line("| raw | ").contains(" | 2 | "), "{report}");
    assert!(line("| unet | ").contains(" | 18 | – | – |"), "{report}");
    assert!(
        line("| unet, fixed | ").contains(" | block 2, timestep 90, pool 2 | not picked | "),
        "{report}"
    );
    for claim in [
        "| Accuracy is most sensitive to the block number |",
        "| Accuracy is least sensitive to pooling |",
        "| The best block is in the middle of the network |",
        "| A small timestep is best |",
        "| Accuracy drops steeply at high noise |",
    ] {
        let verdicts = ["**holds** |", "**does not hold** |", "cannot be told: "];
        let told = line(claim);
        assert!(
            verdicts.iter().any(|verdict| told.contains(verdict)),
            "{told}"
        );
    }
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
        report.contains("random weights: synthetic rule, seed 2"),
        "{report}"
    );
}
