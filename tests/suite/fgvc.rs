//! `experiments/fgvc.toml`: planned without its data, and run on small stand-ins of its datasets.

use std::fs;

use serde_json::json;

use crate::fixture::{CliTest, relative, root, walk};
use crate::stand_ins;

/// In the order of the files.
const DATASETS: [&str; 6] = ["cub", "aircraft", "cars", "dogs", "flowers", "nabirds"];
const MODELS: [&str; 3] = ["diffusion", "simclr", "swav"];
#[cfg(feature = "torch")]
const HEADS: [&str; 6] = ["linear", "mlp", "cnn", "attention", "simclr", "swav"];

/// A folder with the experiment file and its parts as they are shipped, and nothing else.
fn shipped() -> CliTest {
    let cli = CliTest::new();
    let folder = root().join("experiments");
    cli.write("fgvc.toml", fs::read(folder.join("fgvc.toml")).unwrap());
    for part in walk(&folder.join("parts")) {
        cli.write(&relative(&part, &folder), fs::read(&part).unwrap());
    }
    cli
}

/// What a smaller experiment overrides: networks that are quickly run, and heads that are quickly trained.
const SMALL: &str = r#"
include = ["fgvc.toml"]

[experiment]
seeds = [0, 1]

[model.diffusion]
preset  = "adm-tiny"
weights = { synthetic = 1 }

[model.simclr]
preset  = "resnet-tiny"
weights = { initialization = 2 }

[model.swav]
preset  = "resnet-tiny"
weights = { initialization = 3 }

[extraction.pooled]
block     = 10
precision = "f32"

[extraction.map]
block     = 10
precision = "f32"

[extraction.simclr]
block = 7

[extraction.swav]
block = 7

[extraction.grid]
timestep  = [10, 90]
block     = [7, 10]
pool      = [1, 2]
precision = "f32"

[extraction.crops]
block      = 10
preprocess = [{ random-resized-crop = 32 }, { random-flip = 0.5 }]
precision  = "f32"

[head.linear]
epochs = 2

[head.mlp]
epochs = 2
hidden = [32]

[head.cnn]
epochs = 2
widths = [32, 16]

[head.attention]
epochs = 2

[head.simclr]
epochs = 2

[head.swav]
epochs = 2

[head.grid]
epochs = 1

[head.crops-linear]
epochs = 2

[head.crops-mlp]
epochs = 2
hidden = [32]
"#;

/// The same with stand-ins of its datasets.
fn small() -> CliTest {
    let cli = shipped();
    stand_ins::write(&cli);
    cli.write("small.toml", SMALL);
    cli
}

#[test]
fn the_plan_needs_none_of_the_data() {
    let cli = shipped();
    cli.run(&["check", "fgvc.toml"]).expect_code(0);
    let plan = cli.run(&["plan", "fgvc.toml"]).expect_code(0);
    for text in [
        "\nnot on disk:\n",
        "dataset `aircraft` in data/aircraft: 100 classes, 6,667 images in `train`, 3,333 images in `test`, by Table 5 of the paper\n",
        "dataset `nabirds` in data/nabirds: 555 classes, 23,929 images in `train`, 24,633 images in `test`, by Table 5 of the paper\n",
        "data/cub/images.txt is missing; `repro data fetch cub` downloads it\n",
        "`repro data fetch cars` lists what to download by hand\n",
        "weights of model `diffusion`: data/weights/256x256_diffusion_uncond.pt, 2.1 GiB\n",
        "`repro models fetch adm-256-uncond` downloads it\n",
        "an estimate from published sizes",
        "features: 119 wanted, 0 cached\n  36 passes through the network: 531,944 forwards",
        "diffusion ← flowers  t=90  blocks 24  pools 2,16  2 taps of 8,189 images",
        "heads: 720 wanted, 0 cached\n",
        "  108 of them on all training samples, once the best of each choice is known\n",
    ] {
        assert!(plan.stdout.contains(text), "{text}\n{plan}");
    }
    let record = cli.run(&["plan", "--json", "fgvc.toml"]).expect_code(0);
    let record = record.json();
    assert_eq!(record["forward_images"], 531_944);
    let estimated = record["estimated"].as_array().unwrap();
    let names: Vec<_> = estimated
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    let expected = DATASETS.into_iter().chain(MODELS);
    assert_eq!(names, expected.collect::<Vec<_>>());
    let dogs = &estimated[3];
    assert_eq!(
        (&dogs["input"], &dogs["classes"]),
        (&json!("dataset"), &json!(120))
    );
    assert_eq!(dogs["fetch"], "data fetch dogs");
    assert_eq!(estimated[6]["bytes"], 2_211_383_297_u64);
    cli.run(&["plan", "--check", "fgvc.toml"]).expect_code(1);
    assert!(!cli.path(".repro/artifacts").exists());
    // To run it everything has to be there, and all that is missing is named at once.
    if cfg!(feature = "torch") {
        let run = cli.run(&["run", "fgvc.toml"]).expect_code(3);
        let run =
            run.expect_in_stderr(&["9 inputs cannot be opened", "weights of model `diffusion`"]);
        let named = |name: &&str| run.stderr.contains(&format!("dataset `{name}`: "));
        assert!(DATASETS.iter().all(named), "{run}");
    }
}

#[test]
fn what_is_on_disk_is_planned_as_it_is() {
    let cli = small();
    let plan = cli.run(&["plan", "small.toml"]).expect_code(0);
    let images = stand_ins::TRAIN + stand_ins::TEST;
    // Each dataset by three networks, and by one of them with crops; one of them at a second noise step.
    let forwards = format!("{} forwards", images * (4 * DATASETS.len() + 1));
    assert!(plan.stdout.contains(&forwards), "{plan}");
    assert!(!plan.stdout.contains("not on disk"), "{plan}");
    let record = cli.run(&["plan", "--json", "small.toml"]).expect_code(0);
    assert_eq!(record.json()["estimated"], json!([]));

    // Lists without images say more than what is published.
    let images = "data/cub/CUB_200_2011/images";
    fs::rename(cli.path(images), cli.path("aside")).unwrap();
    let text = cli.read("small.toml");
    cli.write(
        "small.toml",
        text.replace("{ synthetic = 1 }", "\"elsewhere/w.safetensors\""),
    );
    let plan = cli.run(&["plan", "small.toml"]).expect_code(0);
    for text in [
        "dataset `cub` in data/cub: 3 classes, 12 images in `train`, 6 images in `test`, by its own lists\n",
        "weights of model `diffusion`: elsewhere/w.safetensors\n    ./elsewhere/w.safetensors is missing\n",
    ] {
        assert!(plan.stdout.contains(text), "{text}\n{plan}");
    }
    // What a part has of it is what its keys say of classes that are equally large.
    let subset = "[dataset.few]\nkind = \"subset\"\nof = \"cub\"\nlimit = { train = 7 }\nper_class = { test = 1 }\n\n[dataset.fewer]\nkind = \"subset\"\nof = \"few\"\nfraction = { train = 0.5 }\nlist = { test = \"list.txt\" }\n";
    cli.write("subset.toml", [&text, subset].concat());
    cli.write("list.txt", "a.jpg\nb.jpg\n");
    let plan = cli.run(&["plan", "subset.toml"]).expect_code(0);
    for text in [
        "dataset `few` of `cub`: 3 classes, 7 images in `train`, 3 images in `test`, by its keys\n",
        "dataset `fewer` of `few`: 3 classes, 4 images in `train`, 2 images in `test`, by its keys\n",
        "an estimate from published sizes",
    ] {
        assert!(plan.stdout.contains(text), "{text}\n{plan}");
    }
    let other = subset.replace(
        "of = \"cub\"\nlimit = { train = 7 }",
        "of = \"cub\"\nlimit = { val = 7 }",
    );
    cli.write("subset.toml", [&text, other.as_str()].concat());
    let other = cli.run(&["plan", "subset.toml"]).expect_code(3);
    other.expect_in_stderr(&["dataset `few`: ", "limits split `val`"]);
    // What is there in part is damaged.
    fs::rename(cli.path("aside"), cli.path(images)).unwrap();
    fs::remove_file(cli.path("data/flowers/jpg/image_00001.jpg")).unwrap();
    let damaged = cli.run(&["plan", "small.toml"]).expect_code(3);
    damaged.expect_in_stderr(&["dataset `flowers`: ", "1 of the 18 images"]);
}

#[test]
#[cfg(feature = "torch")]
fn it_runs_from_end_to_end_on_stand_ins() {
    let cli = small();
    crate::small::run(&cli, "small.toml");
    cli.run(&["plan", "--check", "small.toml"]).expect_code(0);
    let rows = cli.query(
        "SELECT dataset, head, seed, value, count FROM results WHERE metric = 'top1' AND chosen IS NOT NULL ORDER BY dataset, head, seed",
    );
    assert_eq!(rows.len(), DATASETS.len() * HEADS.len() * 2);
    assert!(rows.iter().all(|row| row["count"] == stand_ins::TEST));
    let report = cli.read("reports/fgvc.md");
    let table = report
        .split("\n<details>\n")
        .flat_map(|part| part.split("\n## "))
        .find(|part| part.contains("Figure 4: top-1 accuracy by head and dataset"));
    let table = table.unwrap_or_else(|| panic!("{report}"));
    for name in DATASETS {
        assert!(table.contains(name), "{table}");
    }
    for head in HEADS {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| {head} |")));
        let row = row.unwrap_or_else(|| panic!("no row of {head} in\n{table}"));
        let cells: Vec<&str> = row.trim_matches('|').split('|').skip(1).collect();
        assert_eq!(cells.len(), DATASETS.len(), "{row}");
        assert!(cells.iter().all(|cell| cell.contains('±')), "{row}");
    }
    for text in [
        "not stated",
        "adm-tiny",
        "Notice of copyright in FGVC-Aircraft",
        "fgvc.svg",
    ] {
        assert!(report.contains(text), "no `{text}` in\n{report}");
    }
    assert!(cli.read("reports/fgvc.svg").contains("<svg"));
}
