//! Heads from the file to the tables: every kind, grids that are chosen from, views, and what is kept of each.

use serde_json::{Value, json};

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, RAW, experiment};

/// An experiment on a small Fashion-MNIST with the sections that a test adds.
fn with(rest: &str) -> String {
    experiment("heads", &[FASHION, RAW, NANO, rest])
}

fn run(cli: &CliTest, name: &str, rest: &str) {
    cli.write(name, with(rest));
    cli.run(&["run", name]).expect_code(0);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn every_kind_is_trained_and_beats_chance() {
    let cli = CliTest::with_fashion(300, 100);
    let kinds = [
        ("linear", ""),
        ("mlp", "hidden = [32]"),
        ("cnn", "widths = [8, 8]\nactivation = \"relu\""),
        ("attention", "heads = 1"),
        ("batchnorm-linear", ""),
        ("knn", ""),
        ("logistic", "logits = true\nstandardize = true"),
        ("ridge", "holdout = 0.1"),
    ];
    // Tokens of one channel would be all the same to attention: it reads feature maps of a network.
    let mut rest = String::from(
        "\n[extraction.pixels]\nmodel = \"raw\"\ndataset = \"fashion\"\ntimestep = 0\nblock = 1\npool = 14\n\
         \n[extraction.maps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 0\nblock = 1\npool = 14\n",
    );
    for (kind, keys) in kinds {
        let steps = match kind {
            "knn" | "logistic" | "ridge" => "",
            _ => "epochs = 12\nbatch_size = 32\noptimizer = { lr = 1e-2 }",
        };
        let features = match kind {
            "attention" => "maps",
            _ => "pixels",
        };
        rest = format!(
            "{rest}\n[head.{kind}]\nkind = \"{kind}\"\nfeatures = \"{features}\"\n{steps}\n{keys}\n"
        );
    }
    rest = format!(
        "{rest}\n[metric.accuracy]\nkind = \"accuracy\"\nof = {:?}\n",
        kinds.map(|(kind, _)| kind)
    );
    run(&cli, "kinds.toml", &rest);
    let rows = cli.query("SELECT head, value, count FROM results WHERE metric = 'top1'");
    assert_eq!(rows.len(), kinds.len());
    for row in &rows {
        assert_eq!(row["count"], 100);
        // Chance is 0.1 with a standard deviation of 0.03.
        assert!(number(&row["value"]) > 0.35, "{row}");
    }
    let fits = cli.query("SELECT converged, gradient <= tolerance AS short FROM fit");
    assert_eq!(fits, [json!({ "converged": true, "short": true })]);
    let path = cli.query(
        "SELECT count(*) AS penalties, sum(chosen) AS chosen, min(judge) AS judge FROM path",
    );
    assert_eq!(
        path,
        [json!({ "penalties": 10, "chosen": 1, "judge": "holdout" })]
    );
    cli.run(&["run", "kinds.toml"])
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn the_best_of_a_grid_is_chosen_without_a_look_at_the_test_split() {
    let cli = CliTest::with_fashion(200, 100);
    let rates: Vec<String> = (0..20)
        .map(|step| {
            format!(
                "{{ lr = {:e}, weight_decay = {:e} }}",
                10f64.powf(-5.0 + 0.4 * f64::from(step)),
                if step % 2 == 0 { 0.0 } else { 1e-4 }
            )
        })
        .collect();
    let rest = format!(
        "\n[extraction.taps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = [10, 90]\nblock = [1, 2, 3, 4, 5]\npool = 1\n\n\
         [head.probe]\nkind = \"linear\"\nfeatures = \"taps\"\nepochs = 3\nbatch_size = 64\nholdout = 0.2\noptimizer = [{}]\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = \"probe\"\nchoose = [\"learning_rate\", \"head_optimizer_weight_decay\"]\n",
        rates.join(", ")
    );
    run(&cli, "grid.toml", &rest);
    // One of twenty for each of ten features; the curves of all two hundred are kept.
    let chosen = cli.query(
        "SELECT timestep, block, learning_rate FROM results WHERE metric = 'top1' ORDER BY timestep, block",
    );
    assert_eq!(chosen.len(), 10);
    let curves = cli.query(
        "SELECT count(DISTINCT head_fingerprint) AS heads, count(holdout_top1) AS epochs FROM curves",
    );
    let count = |key: &str| curves[0][key].as_u64().unwrap();
    // And those of the ten that were chosen, which hold nothing out.
    assert_eq!(count("heads"), 210);
    assert!(count("epochs") > 400, "{curves:?}");
}

/// Blocks, timesteps and learning rates of one network; `keys` of its head and `choose` of its metric.
fn swept(keys: &str, choose: &str) -> String {
    format!(
        "\n[extraction.taps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = [10, 90]\nblock = [1, 4]\npool = [1, 2]\n\n\
         [head.probe]\nkind = \"linear\"\nfeatures = \"taps\"\nepochs = 6\nbatch_size = 32\nseed = [0, 1]\n{keys}\n\
         optimizer = [{{ lr = 1e-3 }}, {{ lr = 3e-2 }}]\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = \"probe\"\n{choose}\n"
    )
}

#[test]
fn what_is_chosen_is_trained_again_on_all_samples() {
    let cli = CliTest::with_fashion(200, 100);
    let choose = "choose = [\"timestep\", \"block\", \"learning_rate\"]";
    run(&cli, "choose.toml", &swept("holdout = 0.2", choose));
    let rows = cli.query(
        "SELECT pool, timestep, block, learning_rate, seed, value, chosen_from, head_fingerprint AS head FROM results \
         WHERE metric = 'top1' ORDER BY pool, seed",
    );
    // One for each pool, which is not chosen, and each seed; both seeds at the same place.
    assert_eq!(rows.len(), 4);
    for pair in rows.chunks(2) {
        for axis in ["timestep", "block", "learning_rate"] {
            assert_eq!(pair[0][axis], pair[1][axis]);
        }
        assert_eq!(pair[0]["chosen_from"], 8);
        let head = &pair[0]["head"];
        let candidates = cli.query(&format!(
            "SELECT place, top1, seeds, chosen FROM candidates WHERE head_fingerprint = {}",
            head.to_string().replace('"', "'")
        ));
        assert_eq!(candidates.len(), 8);
        let best = candidates
            .iter()
            .map(|one| number(&one["top1"]))
            .fold(0.0, f64::max);
        let chosen: Vec<&Value> = candidates
            .iter()
            .filter(|one| one["chosen"] == true)
            .collect();
        assert_eq!(chosen.len(), 1);
        assert!(
            (number(&chosen[0]["top1"]) - best).abs() < 1e-12,
            "{candidates:?}"
        );
        let place = format!(
            "timestep = {}, block = {}, learning_rate = {}",
            pair[0]["timestep"], pair[0]["block"], pair[0]["learning_rate"]
        );
        assert_eq!(chosen[0]["place"], place);
    }
    // The same heads without a choice, trained on everything from the start.
    run(&cli, "all.toml", &swept("", ""));
    for row in &rows {
        let plain = cli.query(&format!(
            "SELECT value, head_fingerprint AS head FROM results WHERE metric = 'top1' AND chosen IS NULL AND pool = {} \
             AND timestep = {} AND block = {} AND learning_rate = {} AND seed = {}",
            row["pool"], row["timestep"], row["block"], row["learning_rate"], row["seed"]
        ));
        assert_eq!(plain.len(), 1);
        assert_eq!(plain[0]["value"], row["value"]);
        assert_ne!(plain[0]["head"], row["head"]);
    }
    cli.run(&["run", "choose.toml"])
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
}

#[test]
fn a_choice_at_the_border_of_what_was_tried_is_a_warning() {
    let cli = CliTest::with_fashion(60, 30);
    let report = "\n[report]\noutput = \"reports/border.md\"\n";
    let keys = "epochs = 8\nbatch_size = 16\nholdout = 0.2\n";
    let rest = |rates: &str| {
        format!(
            "\n[extraction.taps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 10\nblock = 1\npool = 7\n\n\
             [head.probe]\nkind = \"linear\"\nfeatures = \"taps\"\n{keys}optimizer = [{rates}]\n\n\
             [metric.accuracy]\nkind = \"accuracy\"\nof = \"probe\"\nchoose = [\"learning_rate\"]\n{report}"
        )
    };
    // Of two rates each is at a border.
    cli.write(
        "two.toml",
        experiment(
            "heads",
            &[FASHION, NANO, &rest("{ lr = 1e-9 }, { lr = 1e-2 }")],
        ),
    );
    let output = cli
        .run(&["run", "two.toml", "--json-log", "two.jsonl"])
        .expect_code(0);
    let warning = "warning[run::at-border]: 1 choice at the border of what was tried: probe";
    assert_eq!(output.stderr.matches(warning).count(), 1, "{output}");
    let read = |file: &str| std::fs::read_to_string(cli.path(file)).unwrap();
    let report = read("reports/border.md");
    assert!(
        report.contains("## Warnings") && report.contains("run::at-border"),
        "{report}"
    );
    assert_eq!(read("two.jsonl").matches("run::at-border").count(), 1);
    cli.run(&["run", "two.toml", "--deny", "warnings"])
        .expect_code(2)
        .expect_in_stderr(&[
            warning,
            "two.toml: 1 warning, which `--deny warnings` makes errors",
        ]);
    // Where nothing is chosen, nothing is at a border.
    let plain = rest("{ lr = 1e-9 }, { lr = 1e-2 }").replace("choose = [\"learning_rate\"]", "");
    cli.write("plain.toml", experiment("heads", &[FASHION, NANO, &plain]));
    let output = cli
        .run(&["run", "plain.toml", "--deny", "warnings", "--force"])
        .expect_code(0);
    assert!(!output.stderr.contains("run::at-border"), "{output}");
}

#[test]
fn one_head_sees_all_views_and_predicts_from_the_first() {
    let cli = CliTest::with_fashion(60, 30);
    let rest = "\n[extraction.taps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 90\nblock = 2\nview = [\"center\", \"flip\"]\ndraw = [0, 1]\n\n\
         [head.apart]\nkind = \"linear\"\nfeatures = \"taps\"\nepochs = 2\n\n\
         [head.mixed]\nkind = \"linear\"\nfeatures = \"taps\"\nepochs = 2\nviews = \"mixed\"\n\n\
         [head.turns]\nkind = \"linear\"\nfeatures = \"taps\"\nepochs = 2\nviews = \"in-turn\"\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = [\"apart\", \"mixed\", \"turns\"]\n";
    run(&cli, "views.toml", rest);
    let rows = cli.query(
        "SELECT head, count(*) AS results, min(view) AS view, min(draw) AS draw FROM results WHERE metric = 'top1' GROUP BY head ORDER BY head",
    );
    assert_eq!(
        rows,
        [
            json!({ "head": "apart", "results": 4, "view": "center", "draw": 0 }),
            json!({ "head": "mixed", "results": 1, "view": "center", "draw": 0 }),
            json!({ "head": "turns", "results": 1, "view": "center", "draw": 0 }),
        ]
    );
}

#[test]
fn memory_that_does_not_suffice_is_an_error_with_a_remedy() {
    let cli = CliTest::with_fashion(60, 30);
    let rest = "\n[extraction.pixels]\nmodel = \"raw\"\ndataset = \"fashion\"\ntimestep = 0\nblock = 1\npool = 28\n\n\
         [head.probe]\nkind = \"linear\"\nfeatures = \"pixels\"\nepochs = 1\n";
    cli.write("memory.toml", with(rest));
    cli.run(&["run", "memory.toml", "--memory", "10kB"])
        .expect_code(1)
        .expect_in_stderr(&["training needs at least", "`repro run --memory`"]);
    cli.run(&["run", "memory.toml", "--memory", "much"])
        .expect_code(2)
        .expect_in_stderr(&["invalid size", "`8GiB`"]);
    cli.run(&["run", "memory.toml", "--memory", "1MiB"])
        .expect_code(0);
}

#[test]
fn a_fit_that_does_not_converge_is_warned_of() {
    let cli = CliTest::with_fashion(200, 50);
    let rest = "\n[extraction.pixels]\nmodel = \"raw\"\ndataset = \"fashion\"\ntimestep = 0\nblock = 1\npool = 7\n\n\
         [head.short]\nkind = \"logistic\"\nfeatures = \"pixels\"\nmax_iterations = 3\n";
    cli.write("short.toml", with(rest));
    cli.run(&["run", "short.toml"])
        .expect_code(0)
        .expect_in_stderr(&["did not converge", "after 3 iterations", "`max_iterations`"]);
    let fits = cli.query("SELECT converged, iterations FROM fit");
    assert_eq!(fits, [json!({ "converged": false, "iterations": 3 })]);
}
