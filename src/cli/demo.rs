//! `repro demo`: from nothing to a table and a picture, to see that the machine works.

use std::path::{Path, PathBuf};

use clap::Args;

#[cfg(feature = "torch")]
use super::Context;
use super::exit::Failure;
use super::working::Working;

/// Arguments of `repro demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro demo\n  repro demo --dir /tmp/demo --device cpu\n\nThe folder gets a cache of its own, whatever --cache says, and may be removed afterwards. Nothing is downloaded. A second call finds everything there and computes nothing."
)]
pub struct Arguments {
    /// The folder; made if it is not there.
    #[arg(long, value_name = "FOLDER", default_value = "repro-demo")]
    dir: PathBuf,
    #[command(flatten)]
    working: Working,
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(_start: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let _ = &arguments.dir;
    Err(arguments.working.refuse())
}

/// Writes a small experiment, runs it, and shows what came out. `start` is the folder that a relative one counts from.
#[cfg(feature = "torch")]
pub fn run(start: &Path, arguments: &Arguments) -> Result<(), Failure> {
    use super::init;

    let base = init::from(start, &arguments.dir);
    arguments.working.settle()?;
    let files: Vec<_> = init::DEMO.iter().chain(&init::GARMENTS).collect();
    init::write(&base, &files, arguments.working.force)?;
    let context = Context::own(base);
    let file = context.base.join("demo.toml");
    super::run::run(
        &context,
        &super::run::Arguments::of(file, arguments.working.clone()),
    )?;
    with_torch::show(&context)
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::io::Write;

    use super::super::{init, printed, query, table};
    use super::{Context, Failure};
    use crate::store::{Cell, Lacking, Store};

    /// The results of `templates/init/demo.toml`, as shares of 300 images in percent.
    const RESULTS: &str = "SELECT model, timestep AS \"noise step\", block, \
        100 * value AS \"top-1, %\", 100 * low AS \"95 % from\", 100 * high AS \"to\" \
        FROM results WHERE metric = 'top1' ORDER BY model, timestep, block";

    /// Prints the table, and where the rest is.
    pub(super) fn show(context: &Context) -> Result<(), Failure> {
        let store = Store::open_read_only(&context.cache)?;
        let mut tell = |lacking: &Lacking| say!("warning: {lacking}");
        let answer = query::ask(&store, RESULTS, &mut tell)?;
        // A model that reads images without noise has no noise step.
        let cell = |cell: &Cell| -> String {
            match cell {
                Cell::Null => String::new(),
                Cell::Number(percent) => format!("{percent:.1}"),
                cell => cell.to_string(),
            }
        };
        let mut rows = Vec::with_capacity(answer.rows());
        for row in 0..answer.rows() {
            rows.push(answer.row(row)?.iter().map(cell).collect());
        }
        let base = &context.base;
        let mut out = printed::stdout(false);
        writeln!(out, "{}", table::render(&answer.columns(), &rows))?;
        writeln!(
            out,
            "a linear probe, trained on 400 images of garments and scored on 300 others"
        )?;
        writeln!(out, "report:  {}", base.join("report.md").display())?;
        writeln!(out, "picture: {}", base.join("accuracy.svg").display())?;
        if let Some(folder) = init::to_enter(base) {
            writeln!(
                out,
                "next:    `repro init my-probe` writes an experiment to start from; `rm -r {folder}` removes this one"
            )?;
        }
        Ok(())
    }
}
