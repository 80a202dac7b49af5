//! The files that a report consists of, and what they are called.

use super::config::ReportConfig;
use crate::spec::Span;

/// How the names of files end that say where the numbers of a report come from.
pub const PROVENANCE: &str = ".provenance.json";

impl ReportConfig {
    /// Every file that the report writes, as seen from the folder that `repro` runs in, and where it is named; two of them may be equal.
    pub fn output_files(&self) -> Vec<(String, Span)> {
        let folder = self
            .output
            .rfind('/')
            .map_or("", |slash| self.output.get(..=slash).unwrap_or(""));
        let figures = self.figures.iter().map(|spec| {
            let file = spec.figure.file();
            (format!("{folder}{}", file.value), file.span)
        });
        [
            self.output.clone(),
            self.results_file(),
            self.comparisons_file(),
            self.provenance_file(),
        ]
        .into_iter()
        .map(|file| (file, self.output_span))
        .chain(figures)
        .collect()
    }

    /// The file of the results, beside the Markdown file: `reports/NAME.results.csv`.
    pub fn results_file(&self) -> String {
        self.beside(".results.csv")
    }

    /// The file of the comparisons, beside the Markdown file: `reports/NAME.comparisons.csv`.
    pub fn comparisons_file(&self) -> String {
        self.beside(".comparisons.csv")
    }

    /// The file that says where the numbers come from, beside the Markdown file: `reports/NAME.provenance.json`.
    pub fn provenance_file(&self) -> String {
        self.beside(PROVENANCE)
    }

    /// What the ids begin with by which a reader is led from a cell to its results: the name of the report where it lies in `reports/`, else
    /// its path, without `.md`.
    pub fn trace_name(&self) -> String {
        let name = self.beside("");
        match name.strip_prefix("reports/") {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => name,
        }
    }

    fn beside(&self, ending: &str) -> String {
        let stem = self.output.strip_suffix(".md").unwrap_or(&self.output);
        format!("{stem}{ending}")
    }
}
