//! Writing the files of a report, each only where it differs from what is there.

use std::fs;
use std::path::Path;

use super::place::{self, Place};
use super::png;
use super::warnings::of_results;
use crate::atomic_file::{self, folder_of};
use crate::exec::NodeError;
use crate::graph::announced::NOT_RUN;
use crate::report::{Rendered, ReportConfig, ReportInput, ReportWarning, data_file};

/// What became of the files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Whether any file was not there with these bytes already.
    pub changed: bool,
    /// The Markdown file.
    pub path: String,
    /// How many other files belong to it.
    pub files: usize,
    /// How many results were asked for and are not there.
    pub missing: usize,
    /// What only the results show to look wrong.
    pub warnings: Vec<ReportWarning>,
}

/// The files that [`Place::data`] and [`Place::png`] ask for, from the folder that paths start from.
pub(super) fn more_files(config: &ReportConfig, to: &Place<'_>) -> Vec<String> {
    let folder = folder_of(Path::new(&config.output)).to_owned();
    let data = config.figures().map(data_file).filter(|_| to.data);
    let pictures = config.figures().map(png::png_file).filter(|_| to.png);
    data.chain(pictures)
        .map(|file| folder.join(file).display().to_string())
        .collect()
}

/// Writes the Markdown of a report, its figures and its provenance where they differ from what is there.
pub(super) fn put(
    input: &ReportInput,
    config: &ReportConfig,
    to: &Place<'_>,
    rendered: &Rendered,
) -> Result<Written, NodeError> {
    let base = to.base;
    let target = base.join(&config.output);
    let folder = target.parent().unwrap_or(base);
    // First the file that says whose the others are: whatever ends the process in between, the next report knows them.
    let markdown = place::first_line(&input.name, config) + &rendered.markdown;
    let mut changed = write_if_different(&target, markdown.as_bytes())?;
    for (file, bytes) in &rendered.files {
        changed |= write_if_different(&folder.join(file), bytes)?;
    }
    if to.data {
        for (file, text) in &rendered.data {
            changed |= write_if_different(&folder.join(file), text.as_bytes())?;
        }
    }
    if to.png {
        let drawer = png::Drawer::find().map_err(NodeError::Values)?;
        // Also of those that an earlier run drew and that stay.
        for file in config.figures().filter(|file| folder.join(file).is_file()) {
            changed |= write_png(&drawer, folder, file, to.force)?;
        }
    }
    let provenance = rendered.provenance.text();
    changed |= write_if_different(&base.join(config.provenance_file()), provenance.as_bytes())?;
    Ok(Written {
        changed,
        path: config.output.clone(),
        files: rendered.files.len(),
        missing: waiting(input),
        warnings: of_results(&input.results),
    })
}

/// How many results a run would still compute: all that are missing but those that no run can.
pub(super) fn waiting(input: &ReportInput) -> usize {
    let missing = input.missing.iter();
    missing.filter(|one| !one.why.starts_with(NOT_RUN)).count()
}

/// Draws a figure as PNG, unless there is one that is as new as its SVG; returns whether it was written.
fn write_png(
    drawer: &png::Drawer,
    folder: &Path,
    figure: &str,
    force: bool,
) -> Result<bool, NodeError> {
    let (svg, png) = (folder.join(figure), folder.join(png::png_file(figure)));
    let changed = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let is_new = changed(&png).is_some_and(|drawn| Some(drawn) >= changed(&svg));
    if is_new && !force {
        return Ok(false);
    }
    let bytes = drawer.draw(&svg).map_err(NodeError::Values)?;
    write_if_different(&png, &bytes)
}

/// Writes a file unless it has these bytes already; returns whether it was written.
pub(super) fn write_if_different(path: &Path, bytes: &[u8]) -> Result<bool, NodeError> {
    let failed = |source| NodeError::Output {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(folder_of(path)).map_err(failed)?;
    atomic_file::write_if_different(path, bytes).map_err(failed)
}
