//! `repro diff`: what changed between two files of results, two reports or two git revisions.

pub(super) mod sides;
pub(super) mod text;

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::sides::Compared;
use super::exit::Failure;
use super::{Context, experiment, printed};
use crate::diff::record::FileRecord;
use crate::diff::{self, Difference, Summary, markdown};
use crate::message::Message;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro diff main                             results on disk, against a branch\n  repro diff v1.0 v1.1                        all results of two revisions\n  repro diff main reports/quickstart.md       one report\n  repro diff old.results.csv new.results.csv  two files\n  repro diff main --format markdown           for a pull request\n  repro diff main --fail-on worse,lost        exit code 1 if so\n\nCells are matched by their metric and all their axes, and are equal if all digits are. A change is tested where the predictions of both are in the cache; p is by Holm's method over the changed cells of a file."
)]
pub struct Arguments {
    /// What to compare with: a file of results, a report, a git revision, or REVISION:FILE.
    #[arg(value_name = "BASE")]
    base: String,
    /// What to compare. If not given: the files on disk, where BASE is a revision.
    #[arg(value_name = "HEAD")]
    head: Option<String>,
    /// Compare row by row, and not the means over seeds.
    #[arg(long)]
    rows: bool,
    /// Show all cells of long lists.
    #[arg(long)]
    all: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// End with exit code 1 where there is such a difference.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    fail_on: Vec<FailOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Terminal,
    /// For a pull request.
    Markdown,
    /// For programs, with all digits.
    Json,
}

/// What ends `repro diff` with exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A cell with another value.
    Changed,
    /// A cell that is gone.
    Lost,
    /// A cell that is worse than before: significantly where it was tested, at all where it was not.
    Worse,
    /// Any difference, also of configuration, intervals and fingerprints.
    Any,
}

impl FailOn {
    /// How many cells, or other differences, are of this kind, in words; `None` where there is none.
    fn found(self, files: &[Difference<'_>]) -> Option<String> {
        let count = |of: &dyn Fn(&Difference<'_>) -> usize| files.iter().map(of).sum::<usize>();
        let (number, what) = match self {
            Self::Changed => (count(&|file| file.changed.len()), "changed"),
            Self::Lost => (count(&|file| file.lost.len()), "lost"),
            Self::Worse => {
                let worse = |file: &Difference<'_>| {
                    file.changed.iter().filter(|cell| cell.is_worse()).count()
                };
                (count(&worse), "worse than before")
            }
            Self::Any => {
                let differing = |file: &&Difference<'_>| !Summary::of(file).is_equal();
                let files = files.iter().filter(differing).count();
                let text = format!("{} with differences", plural(files, "file"));
                return (files > 0).then_some(text);
            }
        };
        (number > 0).then(|| format!("{} {what}", plural(number, "cell")))
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Compares and prints.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let compared = sides::read(context, &arguments.base, arguments.head.as_deref())?;
    if compared.is_of_project {
        experiment::say_where(context);
    }
    let files = differences(context, &compared, arguments.rows)?;
    let printed = print(&compared, &files, arguments);
    // The exit code answers, whether or not somebody reads the text to its end.
    if let Err(error) = printed
        && (arguments.fail_on.is_empty() || error.kind() != std::io::ErrorKind::BrokenPipe)
    {
        return Err(error.into());
    }
    for what in &arguments.fail_on {
        if let Some(found) = what.found(&files) {
            let text = format!("{found}, and `--fail-on {}` was given", what.name());
            return Err(Failure::Nodes(Message::new(text)));
        }
    }
    Ok(())
}

/// The comparison of each file, tested and explained as far as the cache has what that needs.
pub(super) fn differences<'a>(
    context: &Context,
    compared: &'a Compared,
    by_row: bool,
) -> Result<Vec<Difference<'a>>, Failure> {
    // As reports average, unless they are told otherwise.
    let over: Vec<String> = if by_row {
        Vec::new()
    } else {
        vec!["seed".to_owned()]
    };
    let files = compared.files.iter();
    let mut files: Vec<Difference<'_>> = files
        .map(|file| diff::compare(&file.name, &file.base, &file.head, &over))
        .collect();
    let has_cache = Store::is_at(&context.cache);
    let store = has_cache
        .then(|| Store::open_read_only(&context.cache))
        .transpose()?;
    for file in &mut files {
        diff::test(file, store.as_ref())?;
        diff::explain(file, store.as_ref())?;
    }
    Ok(files)
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Record<'a> {
    base: &'a str,
    head: &'a str,
    files: Vec<FileRecord>,
}

fn print(
    compared: &Compared,
    files: &[Difference<'_>],
    arguments: &Arguments,
) -> std::io::Result<()> {
    let names = (compared.base.as_str(), compared.head.as_str());
    match arguments.format {
        Format::Terminal => {
            let mut out = printed::stdout(false);
            write!(out, "{}", text::render(names, files, arguments.all))?;
            out.flush()
        }
        Format::Markdown => {
            let most = (!arguments.all).then_some(markdown::MOST);
            let mut out = printed::unfolded();
            write!(out, "{}", markdown::render(names, files, most))?;
            out.flush()
        }
        Format::Json => {
            let record = Record {
                base: names.0,
                head: names.1,
                files: files.iter().map(FileRecord::of).collect(),
            };
            let mut out = printed::stdout(true);
            serde_json::to_writer_pretty(&mut out, &record)?;
            writeln!(out)?;
            out.flush()
        }
    }
}
