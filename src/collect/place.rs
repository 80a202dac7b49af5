//! Where a report is written, and whether what is there already may be replaced.
//!
//! The first line of a report says that it was written here, for which experiment, and with which figures. What has that line is
//! replaced by the next report of the same experiment, with the figures that the line lists and the files of results, comparisons and
//! provenance that are named after the report. Whatever else has one of these names is somebody else's, and is left alone unless the
//! user says otherwise.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::exec::NodeError;
use crate::message::Message;
use crate::report::ReportConfig;

/// Where a report goes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder that its paths start from.
    pub base: &'a Path,
    /// The command that makes it again, as its readers type it.
    pub command: &'a str,
    /// Whether to replace what is not the experiment's own.
    pub force: bool,
    /// Whether to write what each figure draws as a CSV file beside it.
    pub data: bool,
    /// Whether to write each figure as PNG beside it, too.
    pub png: bool,
}

const BEGINS: &str = "<!-- repro: the report of ";
const FIGURES: &str = "; figures: ";
const ENDS: &str = "; edits are overwritten -->";
/// The longest first line that is looked at, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Where this program's own pages explain the tables of a report, from the folder that reports are written from.
const MANUAL: &str = "docs/concepts/statistics.md";

/// The address of the page that explains the tables, from the folder of the report; `None` where the project does not have it, so that no
/// report has a link that leads nowhere.
pub(super) fn manual(base: &Path, config: &ReportConfig) -> Option<String> {
    let up = "../".repeat(config.output.matches('/').count());
    base.join(MANUAL).is_file().then(|| format!("{up}{MANUAL}"))
}

/// The first line of the report of the experiment with that name.
pub(super) fn first_line(experiment: &str, config: &ReportConfig) -> String {
    let figures: Vec<&str> = config.figures().collect();
    let figures = match figures.as_slice() {
        [] => String::new(),
        some => format!("{FIGURES}{}", some.join(", ")),
    };
    // Names of experiments and figures hold neither `<` nor `>`, so they cannot end the comment.
    format!("{BEGINS}{experiment}{figures}{ENDS}\n\n")
}

/// What a first line says: the experiment, and the figures.
fn read_line(line: &str) -> Option<(&str, BTreeSet<&str>)> {
    let text = line.trim_end().strip_prefix(BEGINS)?.strip_suffix(ENDS)?;
    Some(match text.split_once(FIGURES) {
        Some((experiment, figures)) => (experiment, figures.split(", ").collect()),
        None => (text, BTreeSet::new()),
    })
}

/// The experiment that a report says it is of, by its first line; `None` for a text that no report begins with.
pub fn experiment_of(report: &str) -> Option<&str> {
    Some(read_line(report.lines().next()?)?.0)
}

/// Looks at every name that a report of an experiment takes.
///
/// # Errors
/// [`NodeError::Taken`] where something is there that is not of this experiment's report, unless it is to be replaced.
pub fn look(
    base: &Path,
    experiment: &str,
    config: &ReportConfig,
    force: bool,
) -> Result<(), NodeError> {
    let files = [
        config.results_file(),
        config.comparisons_file(),
        config.provenance_file(),
    ];
    look_at(base, experiment, config, &files, force)
}

/// [`look`], at the report, its figures, and those of the files beside it that are to be written.
pub(super) fn look_at(
    base: &Path,
    experiment: &str,
    config: &ReportConfig,
    beside: &[String],
    force: bool,
) -> Result<(), NodeError> {
    if force {
        return Ok(());
    }
    let report = base.join(&config.output);
    let taken = |file: &Path, what: String| {
        let message = Message::new(format!("{} is there, and {what}", file.display()));
        NodeError::Taken(message.hint(
            "choose another `output` of the report (or `file` of the figure), or move the file; --force replaces it",
        ))
    };
    let line = match first_line_of(&report) {
        Ok(line) => line,
        Err(what) => return Err(taken(&report, what.to_owned())),
    };
    let own = line.as_deref().map(read_line);
    let figures = match &own {
        None => None,
        Some(Some((name, figures))) if *name == experiment => Some(figures),
        Some(Some((name, _))) => {
            return Err(taken(
                &report,
                format!("is the report of another experiment, `{name}`"),
            ));
        }
        Some(None) => {
            return Err(taken(
                &report,
                format!("was not written by repro for the experiment `{experiment}`"),
            ));
        }
    };
    let no_report = || {
        format!(
            "no report at {} says that it belongs to the experiment `{experiment}`",
            report.display()
        )
    };
    for file in beside.iter().map(|file| base.join(file)) {
        if figures.is_none() && file.symlink_metadata().is_ok() {
            return Err(taken(&file, no_report()));
        }
    }
    let folder = report.parent().unwrap_or(base);
    for figure in config.figures() {
        let file = folder.join(figure);
        if file.symlink_metadata().is_err() {
            continue;
        }
        match figures {
            None => return Err(taken(&file, no_report())),
            Some(figures) if !figures.contains(figure) => {
                return Err(taken(
                    &file,
                    format!(
                        "{} does not list it as one of its figures",
                        report.display()
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The first line of a file; `None` where there is no file, or one that holds nothing. The error says what is there instead.
fn first_line_of(file: &Path) -> Result<Option<String>, &'static str> {
    match file.symlink_metadata() {
        Ok(there) if there.is_symlink() => return Err("is a link"),
        Ok(there) if !there.is_file() => return Err("is not a regular file"),
        Ok(there) if there.len() == 0 => return Ok(None),
        Ok(_) => {}
        // What keeps it from being looked at keeps it from being written, too, and writing says so.
        Err(_) => return Ok(None),
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(file)?
            .take(LONGEST_LINE)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|_| "cannot be read")?;
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_read_as_it_was_written() {
        let config = ReportConfig::plain("a-b");
        let line = first_line("a-b", &config);
        assert_eq!(read_line(line.trim_end()), Some(("a-b", BTreeSet::new())));
        let with_figures =
            line.replace(ENDS, "; figures: x.svg, y/z.svg; edits are overwritten -->");
        assert_eq!(
            read_line(with_figures.trim_end()),
            Some(("a-b", BTreeSet::from(["x.svg", "y/z.svg"])))
        );
        assert_eq!(experiment_of(&line), Some("a-b"));
        for other in ["", "# Title", "<!-- repro: the report of ", "<!-- note -->"] {
            assert_eq!(read_line(other), None, "{other}");
        }
    }
}
