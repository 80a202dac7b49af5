//! What `[report]` asks for: a template, an output file, tables and figures.

use std::sync::Arc;

use super::figures::{self, Figure, FigureKind, Reference, Wanted};
use super::tables::{self, Table, TableKind};
use crate::spec::fields::Located;
use crate::spec::{Diagnostic, Fields, Key, KindDoc, Span, suggest};

/// `[report]`.
pub const DOC: KindDoc = KindDoc {
    name: "report",
    summary: "The report. It has no `kind` key.",
    keys: &[
        &Key::custom("template", "a path")
            .optional("the built-in template")
            .doc("A template of your own; see `docs/report-templates.md`."),
        &Key::custom("output", "a path ending in `.md`")
            .optional("`reports/NAME.md`")
            .doc("The Markdown file to write, from the folder that `repro` runs in."),
        &Key::custom("table", "a list of tables")
            .optional("[]")
            .doc("The tables, each as `[[report.table]]` with a `kind`.")
            .list_by_nature(),
        &Key::custom("figure", "a list of tables")
            .optional("[]")
            .doc("The figures, each as `[[report.figure]]` with a `kind`.")
            .list_by_nature(),
    ],
    shared: &[],
};

/// The key of a figure's file, the same in every kind.
pub const FILE_KEY: Key = Key::custom("file", "a path ending in `.svg`")
    .doc("The file to write, from the folder of the Markdown file.");

/// The report that an experiment asks for.
#[derive(Debug, Clone)]
pub struct ReportConfig {
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
    /// Where it stands.
    pub span: Span,
    /// The table.
    pub table: Arc<dyn Table>,
}

/// One `[[report.figure]]`.
#[derive(Debug, Clone)]
pub struct FigureSpec {
    /// The kind's name.
    pub kind: &'static str,
    /// Where it stands.
    pub span: Span,
    /// The figure.
    pub figure: Arc<dyn Figure>,
}

impl ReportConfig {
    /// The report of an experiment that has no `[report]`: the built-in template, without tables and figures of its own.
    pub fn plain(experiment: &str) -> Self {
        Self {
            template: None,
            output: default_output(experiment),
            output_span: Span::default(),
            tables: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Reads `[report]` of the experiment with this name; mistakes are recorded in the reader.
    pub fn parse(fields: &Fields<'_>, experiment: &str) -> Option<Self> {
        fields.check_keys(&DOC.all_keys(), &[]);
        let mut config = Self::plain(experiment);
        config.template = fields.text("template").map(|template| template.value);
        config.output_span = fields.span();
        if let Some(output) = file_name(fields, "output", ".md") {
            config.output = output.value;
            config.output_span = output.span;
        }
        for table in fields.tables("table") {
            let all = tables::ALL.iter().map(|kind| (kind.doc(), *kind));
            let parsed =
                kind_of(&table, all).and_then(|kind| Some((kind, TableKind::parse(kind, &table)?)));
            if let Some((kind, parsed)) = parsed {
                config.tables.push(TableSpec {
                    kind: kind.doc().name,
                    span: table.span(),
                    table: parsed,
                });
            }
        }
        for figure in fields.tables("figure") {
            let all = figures::ALL.iter().map(|kind| (kind.doc(), *kind));
            let parsed = kind_of(&figure, all)
                .and_then(|kind| Some((kind, FigureKind::parse(kind, &figure)?)));
            if let Some((kind, parsed)) = parsed {
                config.figures.push(FigureSpec {
                    kind: kind.doc().name,
                    span: figure.span(),
                    figure: parsed,
                });
            }
        }
        fields.is_sound().then_some(config)
    }

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
        std::iter::once((self.output.clone(), self.output_span))
            .chain(figures)
            .collect()
    }

    /// Every metric that a table or figure shows, and where it is named.
    pub fn metrics(&self) -> Vec<Located<String>> {
        let tables = self.tables.iter().map(|spec| spec.table.question());
        let figures = self
            .figures
            .iter()
            .filter_map(|spec| spec.figure.question());
        tables
            .chain(figures)
            .map(|question| question.metric.clone())
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

/// The kind that `kind` names.
fn kind_of<K: Copy>(
    fields: &Fields<'_>,
    all: impl Iterator<Item = (&'static KindDoc, K)>,
) -> Option<K> {
    let all: Vec<(&'static KindDoc, K)> = all.collect();
    let names = all.iter().map(|(doc, _)| doc.name);
    if !fields.has("kind") {
        fields.report(
            Diagnostic::new(
                "spec::missing-key",
                fields.span(),
                format!("{} needs the key `kind`", fields.context()),
                "missing here",
            )
            .maybe_hint(suggest::hint("", names)),
        );
        return None;
    }
    let kind = fields.text("kind")?;
    let found = all
        .iter()
        .find(|(doc, _)| doc.name == kind.value)
        .map(|(_, found)| *found);
    if found.is_none() {
        fields.report(
            Diagnostic::new(
                "spec::unknown-kind",
                kind.span,
                format!("`{}` is no kind of {}", kind.value, fields.context()),
                "unknown kind",
            )
            .maybe_hint(suggest::hint(&kind.value, names)),
        );
    }
    found
}

/// Reads a file name that stays within its folder and needs no escaping in a link.
pub fn file_name(fields: &Fields<'_>, key: &str, ending: &str) -> Option<Located<String>> {
    let file = fields.text(key)?;
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
                "`{key}` of {} {problem}: `{}`",
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
        let (config, mistakes) = parsed(GOOD, |fields| ReportConfig::parse(fields, "a"));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = config.unwrap();
        let files: Vec<String> = config
            .output_files()
            .into_iter()
            .map(|(file, _)| file)
            .collect();
        assert_eq!(files, ["reports/a.md", "reports/a/blocks.svg"]);
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
        let (config, mistakes) = parsed(text, |fields| ReportConfig::parse(fields, "a"));
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
        let (config, _) = parsed("", |fields| ReportConfig::parse(fields, "fgvc"));
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
                ReportConfig::parse(fields, "a")
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
            |fields| ReportConfig::parse(fields, "a"),
        );
        assert_eq!(
            mistakes,
            [
                "spec::missing-key: `table 1` of the report needs the key `kind`",
                "spec::unknown-kind: `line` is no kind of `figure 1` of the report"
            ]
        );
    }
}
