//! A whole report compared with files: what readers get, seen in one place.
//!
//! After a wanted change, run `cargo test -- --ignored rewrite_the_expected_report`, and look at the files' differences. Every number in
//! them is made up by a formula.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::axes::KnownAxes;
use super::config::ReportConfig;
use super::input::{
    DatasetSummary, Deviation, Graph, GraphEdge, GraphNode, GraphRole, ImageSheet, MissingResult,
    ModelSummary, NodeRecord, ReportInput, ReportWarning, SkippedImage, TrainingCurve,
    TrainingPoint,
};
use super::rendering::{Rendered, render};
use super::testing::{parsed, row, with};
use crate::store::{Counted, ResultRow};

const CONFIG: &str = r#"
output = "reports/example.md"

[[table]]
kind = "grid"
title = "Blocks by timestep"
metric = "top1"
rows = "block"
columns = ["timestep", "pool"]
where = { model = "adm", split = "test" }

[[figure]]
kind = "lines"
file = "blocks.svg"
title = "Features are best in the middle of the network"
metric = "top1"
x = "block"
series = "timestep"
where = { model = "adm", pool = 1 }

[[figure]]
kind = "lines"
file = "models.svg"
title = "Small timesteps suit every model"
metric = "top1"
x = "timestep"
series = "model"
x_scale = "log"
where = { block = 24, pool = 1 }

[[figure]]
kind = "heatmap"
file = "grid.svg"
title = "Top-1 accuracy over the whole grid"
metric = "top1"
rows = "timestep"
columns = "block"
where = { model = "adm", pool = 1 }

[[figure]]
kind = "loss"
file = "loss.svg"
of = "small"

[[figure]]
kind = "sheet"
file = "samples.svg"
title = "What the network draws"
of = "small"

[[figure]]
kind = "noise-strip"
file = "noise.svg"
title = "What the network sees"
dataset = "fashion"
model = "adm"
timesteps = [0, 30, 90, 150, 300, 600]
count = 3
"#;

/// A made-up loss that falls and wavers.
fn training() -> TrainingCurve {
    let point = |number: u32| {
        let wobble = f64::from(number * 37 % 101) / 101.0 - 0.5;
        TrainingPoint {
            step: u64::from(number) * 50,
            loss: (0.02 + 1.0 / (1.0 + f64::from(number) / 6.0)) * (1.0 + 0.5 * wobble),
            learning_rate: 0.0001,
            gradient_norm: 1.0 + wobble,
        }
    };
    TrainingCurve {
        name: "small".to_owned(),
        fingerprint: "5678".repeat(16),
        steps: 20_000,
        images: 2_560_000,
        points: (0..400).map(point).collect(),
    }
}

/// Made-up discs of all sizes, with more and more of them covered by a made-up grain.
fn discs(channels: u32, count: u32, grain: impl Fn(u32) -> u32) -> Vec<Vec<u8>> {
    let disc = |number: u32| {
        let value = |at: u32| {
            let (pixel, channel) = (at / channels, at % channels);
            let (x, y) = (pixel % SIDE, pixel / SIDE);
            let from_center = x.abs_diff(SIDE / 2).pow(2) + y.abs_diff(SIDE / 2).pow(2);
            let inside = from_center <= 4 + 3 * (number % 8);
            let plain = if inside {
                240 - channel * 10 * (number % 10)
            } else {
                10
            };
            let coarse = (at + 1) * (number + 3) * 7919 % 251;
            let share = grain(number);
            u8::try_from((plain * (100 - share) + coarse * share) / 100).unwrap()
        };
        (0..SIDE * SIDE * channels).map(value).collect()
    };
    (0..count).map(disc).collect()
}

/// Height and width of the made-up images.
const SIDE: u32 = 12;

fn sheets() -> Vec<ImageSheet> {
    let sheet = |name: &str, caption: &str, columns| ImageSheet {
        name: name.to_owned(),
        caption: caption.to_owned(),
        side: SIDE,
        columns,
        ..ImageSheet::default()
    };
    vec![
        ImageSheet {
            fingerprint: "89ab".repeat(16),
            channels: 3,
            pixels: discs(3, 10, |_| 3),
            row_labels: vec!["first".to_owned(), "second".to_owned()],
            ..sheet(
                "samples.svg",
                "10 samples of model `small`, DDIM, 50 steps",
                6,
            )
        },
        ImageSheet {
            channels: 1,
            pixels: discs(1, 18, |number| {
                [0, 10, 30, 50, 75, 100][number as usize % 6]
            }),
            ..sheet(
                "noise.svg",
                "3 test images of `fashion` as model `adm` sees them",
                6,
            )
        },
    ]
}

/// Smooth made-up accuracies with a little spread, so that figures look like figures.
fn results() -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (model, gain) in [
        ("adm", 0.0),
        ("tiny | <b>wide</b>", -0.11),
        ("adm, more draws", 0.012),
        ("supervised", 0.07),
    ] {
        for timestep in [10_u32, 30, 90, 150, 300] {
            for block in [13_u32, 16, 19, 22, 24, 27] {
                for pool in [1_u32, 2] {
                    for seed in 0..3_u64 {
                        let others = model != "adm" && (block != 24 || pool != 1);
                        if others
                            || (timestep, block) == (300, 27)
                            || (timestep, block, seed) == (150, 22, 2)
                        {
                            continue;
                        }
                        let bump = (f64::from(block) - 21.0).powi(2) / 420.0
                            + (f64::from(timestep).ln() - 3.9).powi(2) / 30.0;
                        let wobble = f64::from(
                            (timestep * 7 + block * 13 + u32::try_from(seed).unwrap() * 29) % 17,
                        ) / 17.0
                            - 0.5;
                        let value = 0.79 + gain - bump + 0.01 * f64::from(pool) + 0.022 * wobble;
                        let correct = (value * 10_000.0).round();
                        let at = with(
                            row(seed, 0.0),
                            [
                                ("model", model.into()),
                                ("timestep", timestep.into()),
                                ("block", block.into()),
                                ("pool", pool.into()),
                            ],
                        );
                        let sources = [
                            (
                                "head",
                                format!(
                                    "{timestep:04x}{block:04x}{pool:04x}{seed:04x}{:048x}",
                                    model.len()
                                ),
                            ),
                            (
                                "features",
                                format!("{timestep:04x}{block:04x}{pool:04x}{:052x}", model.len()),
                            ),
                        ];
                        rows.push(ResultRow {
                            value: correct / 10_000.0,
                            interval: Some([
                                correct / 10_000.0 - 0.007,
                                correct / 10_000.0 + 0.006,
                            ]),
                            counted: Some(Counted {
                                correct: format!("{correct}").parse().unwrap(),
                                scored: 10_000,
                            }),
                            sources: sources
                                .map(|(role, source)| (role.to_owned(), source))
                                .into(),
                            ..at
                        });
                    }
                }
            }
        }
    }
    rows
}

fn example() -> ReportInput {
    let node = |id: &str, role, label: &str| GraphNode {
        id: id.to_owned(),
        role,
        label: label.to_owned(),
    };
    let edge = |(from, to): (&str, &str)| GraphEdge {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let missing = |timestep: &str, block: &str, why: &str| MissingResult {
        metric: "top1".to_owned(),
        axes: [("model", "adm"), ("timestep", timestep), ("block", block)]
            .map(|(axis, value)| (axis.to_owned(), value.to_owned()))
            .into(),
        why: why.to_owned(),
    };
    let record = |label: &str, kind: &str, rows, bytes, wall_seconds| NodeRecord {
        label: label.to_owned(),
        kind: kind.to_owned(),
        fingerprint: "0123456789abcdef".repeat(4),
        rows,
        bytes,
        wall_seconds,
        device: "cpu".to_owned(),
    };
    ReportInput {
        name: "example".to_owned(),
        title: "An example with made-up numbers".to_owned(),
        results: results(),
        comparisons: None,
        log_snr: BTreeMap::new(),
        cropped: BTreeSet::new(),
        missing: vec![
            missing("300", "27", "not run yet"),
            missing("150", "22", "seed 2 was canceled"),
        ],
        warnings: vec![ReportWarning {
            code: "graph::unused".to_owned(),
            place: Some("experiments/example.toml:21:7".to_owned()),
            message: "no metric scores head `spare`, so no result shows it".to_owned(),
            hint: Some("add it to `of` of a metric, or take it out".to_owned()),
        }],
        graph: Graph {
            nodes: vec![
                node(
                    "dataset.fashion",
                    GraphRole::Dataset,
                    "fashion: 12,000 images",
                ),
                node("model.adm", GraphRole::Model, "adm"),
                node("extraction.gd", GraphRole::Extraction, "gd: 60 features"),
                node("head.linear", GraphRole::Head, "linear: 180 heads"),
                node("metric.top1", GraphRole::Metric, "top1: 180 results"),
                node("report", GraphRole::Report, "reports/example.md"),
            ],
            edges: [
                ("dataset.fashion", "extraction.gd"),
                ("model.adm", "extraction.gd"),
                ("extraction.gd", "head.linear"),
                ("head.linear", "metric.top1"),
                ("metric.top1", "report"),
            ]
            .map(edge)
            .to_vec(),
        },
        datasets: vec![DatasetSummary {
            name: "fashion".to_owned(),
            kind: "fashion-mnist".to_owned(),
            part_of: Vec::new(),
            digest: "fedcba9876543210".repeat(4),
            rows: BTreeMap::from([("test".to_owned(), 10_000), ("train".to_owned(), 2000)]),
            classes: 10,
            skipped: vec![SkippedImage {
                id: "train/0|7".to_owned(),
                reason: "ends early\nafter 12 bytes".to_owned(),
            }],
        }],
        models: vec![ModelSummary {
            name: "adm".to_owned(),
            kind: "guided-diffusion".to_owned(),
            configuration: "preset adm-32".to_owned(),
            parameters: 1_400_000,
            weights: "synthetic, seed 7".to_owned(),
            blocks: 37,
        }],
        nodes: vec![
            record("gd: fashion, t = 90", "features", 12_000, 98_304_000, 372.4),
            record("linear on gd, b = 19, seed 0", "head", 28, 40_960, 4.251),
        ],
        versions: BTreeMap::from([
            ("repro".to_owned(), "0.1.0".to_owned()),
            ("libtorch".to_owned(), "2.11.0".to_owned()),
        ]),
        seeds: vec![0, 1, 2],
        deviations: vec![Deviation {
            topic: "views".to_owned(),
            paper: "fresh random crops every epoch".to_owned(),
            here: "center crop, features stored once".to_owned(),
            reason: "features are reused by every head".to_owned(),
        }],
        command: "./repro run experiments/example.toml".to_owned(),
        trainings: vec![training()],
        sheets: sheets(),
        results_file: None,
        absent_datasets: BTreeSet::new(),
        manual: Some("../docs/concepts/statistics.md".to_owned()),
        drawn: BTreeSet::new(),
    }
}

fn rendered() -> Rendered {
    let (config, mistakes) = parsed(CONFIG, |fields| {
        ReportConfig::parse(fields, "example", &KnownAxes::default())
    });
    assert!(mistakes.is_empty(), "{mistakes:?}");
    render(&example(), &config.unwrap(), Path::new("."), None).unwrap()
}

/// The expected files: their paths and their texts.
fn files(rendered: Rendered) -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/report/testdata");
    let figures = rendered
        .files
        .into_iter()
        .map(|(file, bytes)| (folder.join(file), String::from_utf8(bytes).unwrap()));
    std::iter::once((folder.join("example.md"), rendered.markdown))
        .chain(figures)
        .collect()
}

#[test]
fn the_example_report_is_as_expected() {
    for (path, text) in files(rendered()) {
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let differing = expected
            .lines()
            .zip(text.lines())
            .position(|(expected, found)| expected != found);
        let line = differing.unwrap_or(expected.lines().count().min(text.lines().count()));
        assert!(
            expected == text,
            "{} differs in line {}:\n  expected: {:?}\n  found:    {:?}",
            path.display(),
            line + 1,
            expected.lines().nth(line),
            text.lines().nth(line)
        );
    }
}

#[test]
#[ignore = "rewrites the expected files"]
fn rewrite_the_expected_report() {
    for (path, text) in files(rendered()) {
        fs::write(path, text).unwrap();
    }
}

#[test]
fn another_machine_changes_nothing_but_the_provenance() {
    let (config, _) = parsed(CONFIG, |fields| {
        ReportConfig::parse(fields, "example", &KnownAxes::default())
    });
    let mut elsewhere = example();
    elsewhere
        .versions
        .insert("libtorch".to_owned(), "9".to_owned());
    for node in &mut elsewhere.nodes {
        node.device = "cuda:0 (another accelerator)".to_owned();
        node.wall_seconds *= 3.0;
        node.bytes += 17;
    }
    let other = render(&elsewhere, &config.unwrap(), Path::new("."), None).unwrap();
    let here = rendered();
    assert_eq!(other.markdown, here.markdown);
    assert_eq!(other.files, here.files);
    let text = other.provenance.text();
    assert_ne!(text, here.provenance.text());
    assert!(text.contains("another accelerator"), "{text}");
}

#[test]
fn a_page_of_cells_shows_them_and_errors_name_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = parsed(CONFIG, |fields| {
        ReportConfig::parse(fields, "example", &KnownAxes::default())
    });
    let mut config = config.unwrap();
    config.template = Some("own.md.jinja".to_owned());
    let page = |text: &str| {
        fs::write(folder.path().join("own.md.jinja"), text).unwrap();
        let rendered = render(&example(), &config, folder.path(), None);
        rendered
            .map(|rendered| rendered.markdown)
            .map_err(|error| error.to_string())
    };
    let cells = "{{ table(1) }}\n{{ figure('f3') }}\n{{ deviations() }}\n{{ graph() }}\n{{ provenance() }}\n";
    let shown = page(&format!(
        "{cells}\n{{{{ deviations | length }}}} {{{{ graph.nodes | length }}}}\n"
    ));
    let shown = shown.unwrap();
    for text in [
        "| block | timestep 10, pool 1 |",
        "](grid.svg)",
        "| views |",
        "```mermaid",
        "Seeds of the experiment: 0, 1, 2.",
        "\n1 6\n",
    ] {
        assert!(shown.contains(text), "no {text} in {shown}");
    }
    for (cell, says) in [
        ("table(9)", "no table `9`; the report has 1 table"),
        ("figure('x')", "no figure `x`; the report has"),
        ("claim('x')", "unknown claim `x`; the claims are"),
        ("claim('t90-best')", "no table of kind `claims`"),
        ("graph(1)", "takes no arguments"),
    ] {
        let error = page(&format!("one\n\n{{{{ {cell} }}}}\n")).unwrap_err();
        assert!(
            error.contains("own.md.jinja:3: ") && error.contains(says),
            "{error}"
        );
    }
}

#[test]
fn two_renderings_are_equal() {
    assert_eq!(rendered(), rendered());
}

#[test]
fn nothing_hostile_reaches_the_page() {
    let mut input = example();
    let hostile = "x|y\n# <script>alert(1)</script> ``` [a](b)";
    input.title = hostile.to_owned();
    input
        .results
        .iter_mut()
        .for_each(|row| *row = with(row.clone(), [("dataset", hostile.into())]));
    input.datasets[0].name = hostile.to_owned();
    input.datasets[0].skipped[0].id = hostile.to_owned();
    input.warnings[0].message = hostile.to_owned();
    input.nodes[0].label = hostile.to_owned();
    input.graph.nodes[0].label = hostile.to_owned();
    input.deviations[0].reason = hostile.to_owned();
    input.models[0].weights = hostile.to_owned();
    input.sheets.iter_mut().for_each(|sheet| {
        sheet.caption = hostile.to_owned();
        sheet.row_labels = vec![hostile.to_owned(); 2];
    });
    let (config, _) = parsed(CONFIG, |fields| {
        ReportConfig::parse(fields, "example", &KnownAxes::default())
    });
    let rendered = render(&input, &config.unwrap(), Path::new("."), None).unwrap();
    // Queries quote names as they are, within fences that the names cannot end.
    let mut fence: Option<&str> = None;
    let mut open = Vec::new();
    for line in rendered.markdown.lines() {
        let ticks = line
            .get(..line.len() - line.trim_start_matches('`').len())
            .unwrap_or_default();
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => open.push(line),
            Some(opened) if ticks == line && ticks.len() >= opened.len() => fence = None,
            Some(_) => {}
        }
    }
    let open = open.join("\n");
    assert!(
        !open.contains("<script") && !open.contains("\n# "),
        "{open}"
    );
    // Within a table, every line has as many bars as its head.
    for block in open.split("\n\n") {
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut lines = block
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'));
        if let Some(head) = lines.next() {
            assert!(lines.all(|line| bars(line) == bars(head)), "{block}");
        }
    }
    for (_, bytes) in rendered.files {
        assert!(!String::from_utf8(bytes).unwrap().contains("<script"));
    }
}

#[test]
fn an_empty_experiment_still_has_a_report() {
    let rendered = render(
        &ReportInput::default(),
        &ReportConfig::plain("x"),
        Path::new("."),
        None,
    )
    .unwrap();
    assert!(
        rendered.markdown.contains("There are no results yet."),
        "{}",
        rendered.markdown
    );
    assert!(rendered.files.is_empty());
}
