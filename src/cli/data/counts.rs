//! `repro data counts`: Table 5 of the paper, as a report in Markdown.
//!
//! Counts come from the owners' lists alone where a kind has such lists, so the report can be made where the images are not. It
//! says of each dataset whether they are. A dataset that is not here is a row of its own, and no failure.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::which::{self, Which};
use crate::cli::exit::Failure;
use crate::cli::{Context, printed};
use crate::datasets::{DatasetError, Listing};
use crate::message::Hint;
use crate::papers::table_5::{self, CountComparison, PaperRow};
use crate::report::markdown;
use crate::text::count;

/// Arguments of `repro data counts`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data counts experiments/datasets.toml > reports/datasets.md\n  repro data counts experiments/datasets.toml cub nabirds\n\nA dataset that is not on disk is listed with the place to get it; that is not a failure. A malformed list is one, after the report is printed: the exit code is 3."
)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is known of one dataset.
struct Counted {
    dataset: String,
    kind: &'static str,
    /// What was counted, and whether by lists alone.
    outcome: Result<(Listing, bool), DatasetError>,
    /// The row that it belongs to, and how it compares if it is here.
    paper: Option<(PaperRow, Option<CountComparison>)>,
}

/// Prints the report.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let chosen = arguments.which.choose()?;
    let reading = which::reading(context)?;
    let environment = reading.environment();
    let rows = which::table_5()?;
    let mut all = Vec::new();
    for &index in &chosen.indices {
        let node = &chosen.nodes[index];
        let outcome = match node.dataset.listed(&environment) {
            Some(listing) => listing.map(|listing| (listing, true)),
            None => chosen.open(&environment, index).map(|open| {
                let listing = Listing {
                    classes: open.manifest.classes.len(),
                    splits: open.manifest.splits(),
                    missing: 0,
                    names: open.manifest.digest_of_names(),
                };
                (listing, false)
            }),
        };
        let kind = node.dataset.kind();
        let row = match &outcome {
            Ok((listing, _)) => PaperRow::find(&rows, kind, listing.classes),
            Err(_) => PaperRow::expected(&rows, kind, &node.name),
        };
        let paper = row.map(|row| {
            let listing = outcome.as_ref().ok();
            let verdict = listing.map(|(listing, _)| row.compare(listing.classes, &listing.splits));
            (row.clone(), verdict)
        });
        all.push(Counted {
            dataset: node.name.clone(),
            kind,
            outcome,
            paper,
        });
    }
    let mut out = if arguments.json {
        printed::stdout(true)
    } else {
        // A page to be copied.
        printed::unfolded()
    };
    if arguments.json {
        let records: Vec<Value> = all.iter().map(record).collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report(&all))?;
    }
    let broken: Vec<String> = all.iter().filter_map(broken).collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Failure::Input(broken.join("\n").into()))
    }
}

/// What is wrong with a dataset that is here.
fn broken(counted: &Counted) -> Option<String> {
    let error = counted.outcome.as_ref().err()?;
    let is_here = !matches!(error, DatasetError::Missing { .. });
    is_here.then(|| format!("dataset `{}`: {}", counted.dataset, error.explain()))
}

fn report(all: &[Counted]) -> String {
    let heads = [
        "dataset", "kind", "classes", "training", "testing", "images", "verdict",
    ];
    let heads = heads.map(str::to_owned);
    let numeric = [false, false, true, true, true, false, false];
    let rows: Vec<Vec<String>> = all.iter().map(row_of).collect();
    let mut text = vec![format!(
        "# Datasets beside Table 5 of the paper\n\n\
         Numbers are what was counted here, then what Table 5 says. They are counted from the lists that come with a dataset; the \
         column “images” says how many of the images that the lists name are here. No image was opened. Testing is the owners' \
         split for testing, or the one for validation where they publish no labels for testing.\n\n{}",
        markdown::table(&heads, &numeric, &rows)
    )];
    let printed: Vec<String> = all.iter().filter_map(printed).collect();
    let absent: Vec<String> = all.iter().filter_map(absent).collect();
    if !printed.is_empty() {
        text.push(format!("\n{}\n", printed.join("\n")));
    }
    if !absent.is_empty() {
        text.push(format!("\n## Not counted\n\n{}\n", absent.join("\n")));
    }
    text.concat()
}

fn row_of(counted: &Counted) -> Vec<String> {
    let paper = counted.paper.as_ref().map(|(row, _)| row);
    let listing = counted.outcome.as_ref().ok();
    let cell = |found: Option<usize>, wanted: Option<usize>| {
        let text = |number: Option<usize>| number.map_or_else(|| "–".to_owned(), count);
        format!("{} / {}", text(found), text(wanted))
    };
    let splits = listing.map_or(&[][..], |(listing, _)| &listing.splits);
    let verdict = match (&counted.outcome, &counted.paper) {
        (Ok(_), Some((_, Some(verdict)))) => verdict.to_string(),
        (Ok(_), _) => "not in Table 5".to_owned(),
        (Err(DatasetError::Missing { .. }), _) => "not here".to_owned(),
        (Err(_), _) => "cannot be read".to_owned(),
    };
    let named =
        |listing: &Listing| -> usize { listing.splits.iter().map(|split| split.samples).sum() };
    let images = match listing {
        None => "–".to_owned(),
        Some((listing, true)) => match (listing.missing, named(listing)) {
            (0, _) => "all are here".to_owned(),
            (missing, named) if missing == named => "none is here".to_owned(),
            (missing, named) => format!("{} of {} are here", count(named - missing), count(named)),
        },
        Some((_, false)) => "all are here".to_owned(),
    };
    vec![
        markdown::escape(&counted.dataset),
        markdown::code(counted.kind),
        cell(
            listing.map(|(listing, _)| listing.classes),
            paper.map(|row| row.classes),
        ),
        cell(table_5::train_images(splits), paper.map(|row| row.train)),
        cell(table_5::test_images(splits), paper.map(|row| row.test)),
        images,
        markdown::escape(&verdict),
    ]
}

/// What the paper prints where that is not a count.
fn printed(counted: &Counted) -> Option<String> {
    let (row, _) = counted.paper.as_ref()?;
    let printed = row.printed.as_ref()?;
    Some(format!(
        "Of {} the paper prints “{}” for training; {} is the number that the owners state.",
        markdown::escape(&counted.dataset),
        markdown::escape(printed),
        count(row.train)
    ))
}

fn absent(counted: &Counted) -> Option<String> {
    let error = counted.outcome.as_ref().err()?;
    Some(format!(
        "- {}: {}",
        markdown::escape(&counted.dataset),
        markdown::escape(&error.explain().in_one_line())
    ))
}

fn record(counted: &Counted) -> Value {
    let paper = counted.paper.as_ref();
    let verdict = paper.and_then(|(_, verdict)| verdict.as_ref());
    let listing = counted.outcome.as_ref().ok();
    json!({
        "dataset": counted.dataset,
        "kind": counted.kind,
        "classes": listing.map(|(listing, _)| listing.classes),
        "splits": listing.map(|(listing, _)| &listing.splits),
        "missing": listing.map(|(listing, _)| listing.missing),
        "error": counted.outcome.as_ref().err().map(|error| error.explain().to_string()),
        "table_5": paper.map(|(row, _)| json!({
            "dataset": row.dataset, "classes": row.classes, "train": row.train, "test": row.test,
        })),
        "matches": verdict.map(CountComparison::matches),
        "verdict": verdict.map(ToString::to_string),
    })
}
