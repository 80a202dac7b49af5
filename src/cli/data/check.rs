//! `repro data check`: whether a dataset is whole, and what is odd about it.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::which::{self, Which};
use crate::cli::exit::Failure;
use crate::cli::{Context, printed, table};
use crate::datasets::survey::{self, SplitSpread};
use crate::datasets::warnings;
use crate::datasets::{DatasetError, Manifest, OpenDataset};
use crate::graph::DatasetNode;
use crate::imaging::Preprocess;
use crate::message::{Hint, Message};
use crate::papers::table_5::PaperRow;
use crate::text::{count, plural};
use crate::warning::Warning;

/// So many images that do not decode, and so many duplicates, are listed for people.
const SHOWN: usize = 10;

/// Arguments of `repro data check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data check experiments/quickstart.toml          every dataset of a file\n  repro data check experiments/quickstart.toml fashion  one of them\n  repro data check --kind cub --root data/CUB_200_2011  a folder, without a file\n  repro data check --kind cub --root data/CUB_200_2011 --quick\n\nThe digests of files are remembered in the cache, so the second time is quick. Images that are there twice are found by the bytes of their files; where one is in two splits, a head is tested on what it was trained on. The exit code is 3 if a dataset is not there, is malformed, or has images that do not decode."
)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Decode no image.
    #[arg(long)]
    quick: bool,
    /// Print JSON, with every image that does not decode and every duplicate.
    #[arg(long)]
    json: bool,
}

/// What was found about one dataset.
struct Findings {
    dataset: String,
    kind: &'static str,
    root: Option<String>,
    outcome: Result<Looked, DatasetError>,
}

struct Looked {
    digest: String,
    classes: usize,
    splits: Vec<SplitSpread>,
    /// The row of Table 5 that the dataset belongs to, and how it compares.
    paper: Option<(String, String, bool)>,
    /// What looks wrong with its files and its classes.
    warnings: Vec<Warning>,
    /// How many images were decoded; `None` where none was to be.
    decoded: Option<usize>,
    /// Ids and reasons.
    unreadable: Vec<(String, String)>,
    duplicates: Vec<Twice>,
}

/// Samples with the same content.
struct Twice {
    samples: Vec<String>,
    /// Whether they are in more than one split.
    crosses: bool,
    /// Whether they are of more than one class.
    contradicts: bool,
}

/// Checks datasets.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let chosen = arguments.which.choose()?;
    let reading = which::reading(context)?;
    let environment = reading.environment();
    let rows = which::table_5()?;
    let mut all = Vec::new();
    for &index in &chosen.indices {
        let node = &chosen.nodes[index];
        let open = chosen.open(&environment, index);
        all.push(Findings {
            dataset: node.name.clone(),
            kind: node.dataset.kind(),
            root: node.root.clone(),
            outcome: open.map(|open| {
                let shown = &chosen.shown[index];
                look((node, shown), &open, &rows, arguments.quick)
            }),
        });
    }
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let records: Vec<Value> = all.iter().map(record).collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        for (place, findings) in all.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            show(&mut out, findings)?;
        }
    }
    conclude(&all)
}

fn look(
    (node, shown): (&DatasetNode, &[(Preprocess, usize)]),
    open: &OpenDataset,
    rows: &[PaperRow],
    quick: bool,
) -> Looked {
    let manifest = &open.manifest;
    let classes = manifest.classes.len();
    let row = PaperRow::find(rows, node.dataset.kind(), classes);
    let bar = which::bar(&node.name, manifest.samples.len());
    let unreadable = if quick {
        Vec::new()
    } else {
        survey::unreadable(open, shown, &|| bar.inc(1))
    };
    bar.finish_and_clear();
    let unreadable = unreadable.into_iter().map(|(row, error)| {
        let id = manifest.samples[row].id.clone();
        (id, error.to_string())
    });
    let duplicates = survey::duplicates(manifest);
    Looked {
        digest: manifest.digest().to_owned(),
        classes,
        splits: survey::spreads(manifest),
        paper: row.map(|row| {
            let verdict = row.compare(classes, &manifest.splits());
            (row.dataset.clone(), verdict.to_string(), verdict.matches())
        }),
        warnings: warnings_of(open),
        decoded: (!quick).then_some(manifest.samples.len()),
        unreadable: unreadable.collect(),
        duplicates: duplicates
            .iter()
            .map(|rows| twice(manifest, rows))
            .collect(),
    }
}

/// What looks wrong with the files of a dataset, and with its classes where a head is trained on `train` and tested on another split.
fn warnings_of(open: &OpenDataset) -> Vec<Warning> {
    let mut found = open.warnings().to_vec();
    let splits = open.manifest.splits().into_iter().map(|count| count.split);
    for split in splits.filter(|split| split != "train") {
        for warning in warnings::of_classes(&open.manifest, "train", &split) {
            if !found.contains(&warning) {
                found.push(warning);
            }
        }
    }
    found
}

fn twice(manifest: &Manifest, rows: &[usize]) -> Twice {
    let samples = || rows.iter().map(|row| &manifest.samples[*row]);
    let first = samples().next().map(|sample| sample.label);
    Twice {
        samples: samples()
            .map(|sample| format!("{} ({})", sample.id, sample.split))
            .collect(),
        crosses: survey::crosses_splits(manifest, rows),
        contradicts: samples().any(|sample| Some(sample.label) != first),
    }
}

fn show(out: &mut impl Write, findings: &Findings) -> std::io::Result<()> {
    let root = findings.root.as_deref();
    let root = root.map_or_else(String::new, |root| format!(" in {root}"));
    writeln!(out, "{}: {}{root}", findings.dataset, findings.kind)?;
    let looked = match &findings.outcome {
        Ok(looked) => looked,
        Err(error) => return writeln!(out, "cannot be opened: {}", error.explain()),
    };
    writeln!(out, "digest of the manifest: {}", looked.digest)?;
    writeln!(out, "classes: {}", count(looked.classes))?;
    let rows: Vec<Vec<String>> = looked.splits.iter().map(row_of).collect();
    let heads = [
        "split",
        "samples",
        "classes",
        "smallest class",
        "median",
        "largest class",
    ];
    writeln!(out, "{}", table::render(&heads, &rows))?;
    match &looked.paper {
        Some((row, verdict, _)) => writeln!(out, "{row} in the paper: {verdict}")?,
        None => writeln!(out, "Table 5 of the paper has no such dataset")?,
    }
    for warning in &looked.warnings {
        let message = Message::new(&warning.message).maybe_hint(warning.hint.clone());
        writeln!(out, "warning[{}]: {message}", warning.code)?;
    }
    match looked.decoded {
        None => writeln!(out, "images: not decoded (--quick)")?,
        Some(images) if looked.unreadable.is_empty() => {
            writeln!(out, "images: all {} decode", count(images))?;
        }
        Some(images) => {
            let bad = looked.unreadable.len();
            writeln!(
                out,
                "images: {} of {} do not decode",
                count(bad),
                count(images)
            )?;
            for (_, reason) in looked.unreadable.iter().take(SHOWN) {
                let reason = reason.lines().next().unwrap_or_default();
                writeln!(out, "  {reason}")?;
            }
            say_rest(out, bad)?;
        }
    }
    show_duplicates(out, &looked.duplicates)
}

fn row_of(split: &SplitSpread) -> Vec<String> {
    let class = |class: &survey::ClassCount| format!("{} of {}", count(class.samples), class.class);
    vec![
        split.split.clone(),
        count(split.samples),
        count(split.classes),
        class(&split.smallest),
        count(split.median),
        class(&split.largest),
    ]
}

/// Those across splits first: they are the ones that make a result wrong.
fn show_duplicates(out: &mut impl Write, duplicates: &[Twice]) -> std::io::Result<()> {
    let number = |keep: fn(&Twice) -> bool| duplicates.iter().filter(|twice| keep(twice)).count();
    let (across, contradicting) = (
        number(|twice| twice.crosses),
        number(|twice| twice.contradicts),
    );
    if duplicates.is_empty() {
        return writeln!(out, "duplicates: none");
    }
    writeln!(
        out,
        "duplicates: {} more than once, {} of them in more than one split, {} in more than one class",
        plural(duplicates.len(), "image"),
        count(across),
        count(contradicting)
    )?;
    if across > 0 {
        writeln!(
            out,
            "warning: {} in the split for training and in another: results are too good",
            if across == 1 {
                "an image is"
            } else {
                "images are"
            }
        )?;
    }
    let sorted = duplicates.iter().filter(|twice| twice.crosses);
    let sorted = sorted.chain(duplicates.iter().filter(|twice| !twice.crosses));
    for twice in sorted.take(SHOWN) {
        let shown: Vec<_> = twice.samples.iter().take(4).map(String::as_str).collect();
        let rest = twice.samples.len() - shown.len();
        let rest = if rest == 0 {
            String::new()
        } else {
            format!(" and {} more", count(rest))
        };
        writeln!(out, "  {}{rest}", shown.join(" = "))?;
    }
    say_rest(out, duplicates.len())
}

fn say_rest(out: &mut impl Write, all: usize) -> std::io::Result<()> {
    match all.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(rest) => writeln!(out, "  … and {} more; --json has all", count(rest)),
    }
}

fn record(findings: &Findings) -> Value {
    let mut record = json!({
        "dataset": findings.dataset,
        "kind": findings.kind,
        "root": findings.root,
    });
    let rest = match &findings.outcome {
        Err(error) => json!({ "error": error.explain().to_string() }),
        Ok(looked) => json!({
            "manifest": looked.digest,
            "classes": looked.classes,
            "splits": looked.splits,
            "table_5": looked.paper.as_ref().map(|(row, verdict, matches)| json!({
                "dataset": row, "verdict": verdict, "matches": matches,
            })),
            "warnings": looked.warnings,
            "decoded": looked.decoded,
            "unreadable": looked.unreadable.iter().map(|(sample, reason)| json!({
                "sample": sample, "reason": reason,
            })).collect::<Vec<_>>(),
            "duplicates": looked.duplicates.iter().map(|twice| json!({
                "samples": twice.samples,
                "across_splits": twice.crosses,
                "across_classes": twice.contradicts,
            })).collect::<Vec<_>>(),
        }),
    };
    if let (Some(record), Value::Object(rest)) = (record.as_object_mut(), rest) {
        record.extend(rest);
    }
    record
}

/// The exit code, and what it is for.
fn conclude(all: &[Findings]) -> Result<(), Failure> {
    let closed = all
        .iter()
        .filter(|findings| findings.outcome.is_err())
        .count();
    let looked = all
        .iter()
        .filter_map(|findings| findings.outcome.as_ref().ok());
    let bad: usize = looked.map(|looked| looked.unreadable.len()).sum();
    let mut problems = Vec::new();
    let mut hint = None;
    if closed > 0 {
        problems.push(format!("{} cannot be opened", plural(closed, "dataset")));
    }
    if bad > 0 {
        let verb = if bad == 1 { "does" } else { "do" };
        problems.push(format!("{} {verb} not decode", plural(bad, "image")));
        hint = Some(
            "fix or remove them, or set `on_bad_image = \"skip\"` in the extraction".to_owned(),
        );
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Input(
            Message::new(problems.join("; ")).maybe_hint(hint),
        ))
    }
}
