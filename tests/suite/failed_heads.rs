//! A head that fails costs that head alone: the others are scored, kept, shown and queried.

use crate::fixture::CliTest;
use crate::small::{FASHION, RAW, experiment};

const HEADS: &str = r#"
[extraction.e]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = 4

[head.h]
kind      = "mlp"
hidden    = [64]
features  = "e"
epochs    = 20
schedule  = { kind = "constant" }
optimizer = [{ kind = "sgd", lr = 1e6, momentum = 0.99, weight_decay = 1e4 }, { lr = 1e-2 }]

[metric.a]
kind = "accuracy"
of   = "h"
top  = 1

[report]
output = "x.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "block"
columns = "learning_rate"
"#;

#[test]
fn one_head_that_diverges_takes_no_result_from_the_others() {
    let cli = CliTest::with_fashion(100, 50);
    cli.write("x.toml", experiment("heads", &[FASHION, RAW, HEADS]));
    let first = cli.run(&["run", "x.toml"]).expect_code(1);
    let said = &first.stderr;
    assert!(said.contains("the loss became NaN or infinite"), "{said}");
    assert!(said.contains("metric `a` is kept for 1 of 2"), "{said}");
    let rows = cli.query("SELECT learning_rate, value FROM results");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["learning_rate"], 0.01);
    cli.run(&["report", "x.toml"]).expect_code(0);
    let report = cli.read("x.md");
    let value = rows[0]["value"].as_f64().unwrap() * 100.0;
    assert!(report.contains(&format!("{value:.2}")), "{report}");

    // Nothing is trained or scored again but what failed, and nothing is there twice.
    cli.run(&["run", "x.toml"]).expect_code(1);
    assert_eq!(cli.query("SELECT value FROM results").len(), 1);
}
