//! What `[report]` asks for: a template, an output file, tables and figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::axes::KnownAxes;
use super::figures::{self, Figure, Reference, Wanted};
use super::tables::{self, Table};
use crate::spec::fields::Spanned;
use crate::spec::{Custom, Diagnostic, Fields, Key, KindDoc, Span, Text, Value, kind};

const TEMPLATE: Key<Text> = Key::text("template", "a path")
    .optional("the built-in template")
    .doc("A template of your own; see `docs/reference/report-templates.md`.");
const QUESTION: Key<Text> = Key::text("question", "a sentence")
    .optional("nothing")
    .doc("What the experiment asks, in one sentence; stands below the title of the report.");
const OUTPUT: Key<Text> = Key::text("output", "a path ending in `.md`")
    .optional("`reports/NAME.md`")
    .doc("The Markdown file to write, from the folder that `repro` runs in.");
const TABLE: Key<Custom> = Key::custom("table", "a list of tables")
    .list_by_nature()
    .optional("[]")
    .doc("The tables, each as `[[report.table]]` with a `kind`.");
const FIGURE: Key<Custom> = Key::custom("figure", "a list of tables")
    .list_by_nature()
    .optional("[]")
    .doc("The figures, each as `[[report.figure]]` with a `kind`.");

/// `[report]`.
pub const DOC: KindDoc = KindDoc {
    name: "report",
    summary: "The report. It has no `kind` key.",
    keys: &[&QUESTION, &TEMPLATE, &OUTPUT, &TABLE, &FIGURE],
    shared: &[],
};

/// The key of a figure's file, the same in every kind.
pub const FILE_KEY: Key<Text> = Key::text("file", "a path ending in `.svg`")
    .doc("The file to write, from the folder of the Markdown file.");

/// The report that an experiment asks for.
#[derive(Debug, Clone)]
pub struct ReportConfig {
    /// What the experiment asks, in one sentence.
    pub question: Option<String>,
    /// The template's path; `None` for the built-in one.
    pub template: Option<String>,
    /// The Markdown file, relative and with `/` between folders.
    pub output: String,
    /// Where `output` stands; the section's header where it is not given.
    pub output_span: Span,
    /// The tables, in the order of the file.
    pub tables: Vec<TableSpec>,
    /// The figures, in the order of the file.
    pub figures: Vec<FigureSpec>,
}

/// One `[[report.table]]`.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The kind's name.
    pub kind: &'static str,
    /// Place of the table's header in the experiment file.
    pub span: Span,
    /// Where its keys have their values.
    pub keys: KeySpans,
    /// What the kind has read from the section.
    pub table: Arc<dyn Table>,
}

/// One `[[report.figure]]`.
#[derive(Debug, Clone)]
pub struct FigureSpec {
    /// The kind's name.
    pub kind: &'static str,
    /// Place of the table's header in the experiment file.
    pub span: Span,
    /// Where its keys have their values.
    pub keys: KeySpans,
    /// What the kind has read from the section.
    pub figure: Arc<dyn Figure>,
}

/// Where the values of a table stand in the file, by key; those of an inner table by both keys, such as `where.timestep`.
pub type KeySpans = BTreeMap<String, Span>;

fn key_spans(fields: &Fields<'_>) -> KeySpans {
    let mut spans = KeySpans::new();
    for entry in fields.entries() {
        spans.insert(entry.key.clone(), entry.node.span);
        if let Value::Table(inner) = &entry.node.value {
            let inner = inner.entries.iter();
            spans.extend(
                inner.map(|inner| (format!("{}.{}", entry.key, inner.key), inner.node.span)),
            );
        }
    }
    spans
}

impl ReportConfig {
    /// The report of an experiment that has no `[report]`: the built-in template, without tables and figures of its own.
    pub fn plain(experiment: &str) -> Self {
        Self {
            question: None,
            template: None,
            output: default_output(experiment),
            output_span: Span::default(),
            tables: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Reads `[report]` of the experiment with this name, whose results have these axes; errors are recorded in the reader.
    pub fn parse(fields: &Fields<'_>, experiment: &str, known: &KnownAxes) -> Option<Self> {
        fields.check_keys(&DOC.all_keys(), &[]);
        let mut config = Self::plain(experiment);
        config.question = fields.get(&QUESTION);
        config.template = fields.get(&TEMPLATE);
        config.output_span = fields.span();
        if let Some(output) = file_name(fields, &OUTPUT, ".md") {
            config.output = output.value;
            config.output_span = output.span;
        }
        for fields in fields.tables(TABLE.name) {
            let Some(kind) = kind::find(tables::ALL, "table", &fields) else {
                continue;
            };
            if let Some(table) = kind.read_with(&fields, known) {
                config.tables.push(TableSpec {
                    kind: kind.doc.name,
                    span: fields.span(),
                    keys: key_spans(&fields),
                    table,
                });
            }
        }
        for fields in fields.tables(FIGURE.name) {
            let Some(kind) = kind::find(figures::ALL, "figure", &fields) else {
                continue;
            };
            if let Some(figure) = kind.read_with(&fields, known) {
                config.figures.push(FigureSpec {
                    kind: kind.doc.name,
                    span: fields.span(),
                    keys: key_spans(&fields),
                    figure,
                });
            }
        }
        fields.is_sound().then_some(config)
    }

    /// The files of the figures, from the folder of the Markdown file.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        let figures = self.figures.iter();
        figures.map(|spec| spec.figure.file().value.as_str())
    }

    /// Every metric that a table or figure shows, and where it is named.
    pub fn metrics(&self) -> Vec<Spanned<String>> {
        let tables = self.tables.iter().map(|spec| spec.table.question());
        let figures = self
            .figures
            .iter()
            .filter_map(|spec| spec.figure.question());
        let others = self
            .figures
            .iter()
            .flat_map(|spec| spec.figure.other_metrics());
        tables
            .chain(figures)
            .map(|question| question.metric.clone())
            .chain(others.cloned())
            .collect()
    }

    /// Every node that a figure names besides metrics, and where it is named.
    pub fn references(&self) -> Vec<Reference> {
        let figures = self.figures.iter();
        figures.flat_map(|spec| spec.figure.references()).collect()
    }

    /// What figures show besides results, each with the figure's file, in the order of the file.
    pub fn wanted(&self) -> Vec<(String, Wanted)> {
        let figures = self.figures.iter();
        figures
            .filter_map(|spec| Some((spec.figure.file().value.clone(), spec.figure.wanted()?)))
            .collect()
    }
}

fn default_output(experiment: &str) -> String {
    format!("reports/{experiment}.md")
}

/// Reads a file name that stays within its folder and needs no escaping in a link.
pub fn file_name(fields: &Fields<'_>, key: &Key<Text>, ending: &str) -> Option<Spanned<String>> {
    let file = fields.located(key)?;
    let parts = || file.value.split('/');
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-/".contains(character);
    let problem = if file.value.starts_with('/') {
        "is not relative"
    } else if parts().any(|part| part == "..") {
        "leaves its folder by `..`"
    } else if parts().any(|part| part.is_empty() || part == ".") {
        "has an empty part"
    } else if !file.value.chars().all(plain) {
        "holds other characters than letters, digits, `.`, `_`, `-` and `/`"
    } else if !file.value.ends_with(ending) || parts().next_back() == Some(ending) {
        "has the wrong ending"
    } else {
        return Some(file);
    };
    fields.report(
        Diagnostic::new(
            "report::bad-file-name",
            file.span,
            format!(
                "`{}` of {} {problem}: `{}`",
                key.name,
                fields.context(),
                file.value
            ),
            "not a usable file name",
        )
        .hint(format!(
            "give a relative path that ends in `{ending}`, such as `figures/blocks{ending}`"
        )),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::parsed;

    const GOOD: &str = r#"
output = "reports/a.md"
[[table]]
kind = "grid"
metric = "top1"
rows = "block"
columns = "timestep"
[[figure]]
kind = "lines"
file = "a/blocks.svg"
metric = "loss"
x = "block"
series = "timestep"
"#;

    #[test]
    fn a_report_names_its_files_and_metrics() {
        let (config, mistakes) = parsed(GOOD, |fields| {
            ReportConfig::parse(fields, "a", &KnownAxes::default())
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = config.unwrap();
        let files: Vec<String> = config
            .output_files()
            .into_iter()
            .map(|(file, _)| file)
            .collect();
        let expected = [
            "reports/a.md",
            "reports/a.results.csv",
            "reports/a.comparisons.csv",
            "reports/a.provenance.json",
            "reports/a/blocks.svg",
        ];
        assert_eq!(files, expected);
        let metrics: Vec<String> = config
            .metrics()
            .into_iter()
            .map(|metric| metric.value)
            .collect();
        assert_eq!(metrics, ["top1", "loss"]);
        assert_eq!(
            (config.tables[0].kind, config.figures[0].kind),
            ("grid", "lines")
        );
    }

    #[test]
    fn a_report_names_what_its_figures_show_besides_results() {
        let text = "[[figure]]\nkind = \"loss\"\nfile = \"a.svg\"\nof = \"small\"\n\
                    [[figure]]\nkind = \"noise-strip\"\nfile = \"b.svg\"\ndataset = \"fashion\"\nmodel = \"adm\"\ntimesteps = 90\n";
        let (config, mistakes) = parsed(text, |fields| {
            ReportConfig::parse(fields, "a", &KnownAxes::default())
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = config.unwrap();
        let references = config.references().into_iter();
        let named: Vec<(&str, String)> = references
            .map(|reference| (reference.section, reference.name.value))
            .collect();
        let names = [
            ("pretrain", "small"),
            ("dataset", "fashion"),
            ("model", "adm"),
        ];
        assert_eq!(
            named,
            names.map(|(section, name)| (section, name.to_owned()))
        );
        let wanted = config.wanted();
        assert!(
            matches!(&wanted[0], (file, Wanted::Curve { of }) if file == "a.svg" && of == "small")
        );
        assert!(
            matches!(&wanted[1], (file, Wanted::NoiseStrip(strip)) if file == "b.svg" && strip.timesteps == [90])
        );
        assert!(config.metrics().is_empty());
    }

    #[test]
    fn the_output_follows_the_name() {
        let (config, _) = parsed("", |fields| {
            ReportConfig::parse(fields, "fgvc", &KnownAxes::default())
        });
        assert_eq!(config.unwrap().output, "reports/fgvc.md");
    }

    #[test]
    fn files_stay_in_their_folder() {
        for bad in [
            "/etc/a.md",
            "../a.md",
            "a/../../b.md",
            "a//b.md",
            "./a.md",
            "a b.md",
            "a.txt",
            "a\\\\b.md",
            "a/.md",
            ".md",
        ] {
            let (config, mistakes) = parsed(&format!("output = \"{bad}\"\n"), |fields| {
                ReportConfig::parse(fields, "a", &KnownAxes::default())
            });
            assert!(config.is_none(), "{bad}");
            assert!(
                mistakes[0].starts_with("report::bad-file-name"),
                "{bad}: {mistakes:?}"
            );
        }
    }

    #[test]
    fn kinds_are_needed_and_guessed() {
        let (_, mistakes) = parsed(
            "[[table]]\nrows = \"block\"\n[[figure]]\nkind = \"line\"\n",
            |fields| ReportConfig::parse(fields, "a", &KnownAxes::default()),
        );
        assert_eq!(
            mistakes,
            [
                "spec::missing-key: `table 1` of the report needs the key `kind`",
                "spec::unknown-kind: unknown figure kind `line`"
            ]
        );
    }
}
