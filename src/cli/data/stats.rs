//! `repro data stats`: what the images of a dataset are like.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::which::{self, Which};
use crate::cli::exit::Failure;
use crate::cli::{Context, printed, table};
use crate::datasets::survey::{self, Appearance, SplitSpread};
use crate::inputs::InputError;
use crate::text::{count, plural};

/// Arguments of `repro data stats`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data stats experiments/quickstart.toml fashion\n  repro data stats --kind image-folder --root data/photos --limit 500\n  repro data stats experiments/quickstart.toml --json\n\nMeans and standard deviations are over all pixels of all images, as fractions of the brightest value. An image is gray if red, green and blue are the same everywhere. A format is told by the content of a file, not by its name."
)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Look at so many images, spread evenly over the dataset, instead of all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Describes the images of datasets.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let chosen = arguments.which.choose()?;
    let reading = which::reading(context)?;
    let environment = reading.environment();
    let mut out = printed::stdout(arguments.json);
    let mut records = Vec::new();
    for (place, &index) in chosen.indices.iter().enumerate() {
        let name = &chosen.nodes[index].name;
        let open = chosen.open(&environment, index);
        let open = open.map_err(|source| InputError::Dataset {
            name: name.clone(),
            source,
        })?;
        let samples = open.manifest.samples.len();
        let rows = spread_evenly(
            samples,
            arguments.limit.map_or(samples, |limit| limit as usize),
        );
        let bar = which::bar(name, rows.len());
        let seen = Appearance::of(&open, &rows, &|| bar.inc(1));
        bar.finish_and_clear();
        let spreads = survey::spreads(&open.manifest);
        if arguments.json {
            records.push(record(name, samples, &seen, &spreads));
        } else {
            if place > 0 {
                writeln!(out)?;
            }
            show(&mut out, name, samples, &seen, &spreads)?;
        }
    }
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    Ok(())
}

/// So many of the rows from 0, at equal distances.
fn spread_evenly(rows: usize, limit: usize) -> Vec<usize> {
    let taken = limit.min(rows);
    (0..taken).map(|place| place * rows / taken).collect()
}

fn show(
    out: &mut impl Write,
    name: &str,
    samples: usize,
    seen: &Appearance,
    spreads: &[SplitSpread],
) -> std::io::Result<()> {
    writeln!(
        out,
        "{name}: {} of {} looked at",
        count(seen.images + seen.unreadable),
        plural(samples, "image")
    )?;
    if seen.unreadable > 0 {
        writeln!(
            out,
            "{} not decode and {} left out; `repro data check` lists them",
            plural(seen.unreadable, "image") + if seen.unreadable == 1 { " does" } else { " do" },
            if seen.unreadable == 1 { "is" } else { "are" }
        )?;
    }
    let mut rows = Vec::new();
    for (what, sizes) in [("width", &seen.widths), ("height", &seen.heights)] {
        let Some((smallest, median, largest)) = survey::range(sizes) else {
            continue;
        };
        rows.push(vec![
            what.to_owned(),
            count(smallest),
            count(median),
            count(largest),
        ]);
    }
    writeln!(
        out,
        "{}",
        table::render(&["pixels", "smallest", "median", "largest"], &rows)
    )?;
    let formats = seen.formats.iter();
    let formats: Vec<_> = formats
        .map(|(name, images)| format!("{} {name}", count(*images)))
        .collect();
    writeln!(out, "formats: {}", formats.join(", "))?;
    writeln!(out, "gray: {} of {}", count(seen.gray), count(seen.images))?;
    let channels = ["red", "green", "blue"].iter().zip(seen.channels());
    let rows: Vec<Vec<String>> = channels
        .map(|(channel, (mean, deviation))| {
            vec![
                (*channel).to_owned(),
                format!("{mean:.4}"),
                format!("{deviation:.4}"),
            ]
        })
        .collect();
    writeln!(
        out,
        "{}",
        table::render(&["channel", "mean", "standard deviation"], &rows)
    )?;
    for split in spreads {
        let ratio = split.largest.samples as f64 / split.smallest.samples.max(1) as f64;
        writeln!(
            out,
            "{}: {} over {}, {} to {} a class, the largest {ratio:.2} times the smallest",
            split.split,
            plural(split.samples, "image"),
            plural(split.classes, "class"),
            count(split.smallest.samples),
            count(split.largest.samples),
        )?;
    }
    Ok(())
}

fn record(name: &str, samples: usize, seen: &Appearance, spreads: &[SplitSpread]) -> Value {
    let range = |sizes| {
        survey::range(sizes).map(|(smallest, median, largest)| {
            json!({ "smallest": smallest, "median": median, "largest": largest })
        })
    };
    let [red, green, blue] = seen
        .channels()
        .map(|(mean, deviation)| json!({ "mean": mean, "standard_deviation": deviation }));
    json!({
        "dataset": name,
        "samples": samples,
        "images": seen.images,
        "unreadable": seen.unreadable,
        "gray": seen.gray,
        "formats": seen.formats,
        "width": range(&seen.widths),
        "height": range(&seen.heights),
        "channels": { "red": red, "green": green, "blue": blue },
        "splits": spreads,
    })
}

#[cfg(test)]
mod tests {
    use super::spread_evenly;

    #[test]
    fn rows_are_spread_evenly() {
        assert_eq!(spread_evenly(10, 3), [0, 3, 6]);
        assert_eq!(spread_evenly(3, 10), [0, 1, 2]);
        assert!(spread_evenly(0, 10).is_empty());
    }
}
