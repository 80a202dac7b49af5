//! A report as one comment on a pull request: the headline table, the claims, what changed, and as much of the rest as fits.
//!
//! GitHub takes comments of fewer than 65,536 characters, resolves relative links against the page of the pull request, and shows no images
//! of the branch. So figures and files are named, and sections that do not fit are left out, the least important first, and named too. The
//! first line is a hidden marker by which the comment of an earlier run is found and replaced.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::comparison::Compared;
use crate::report::config::ReportConfig;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown::{code, escape};
use crate::report::number::listed;
use crate::report::shown;
use crate::report::tables::RenderedTable;
use crate::text::{count, plural, shortened};

/// A comment has fewer characters than this.
pub const MOST_CHARACTERS: usize = 65_536;

/// Titles of sections that are named where they were left out; more are counted.
const MOST_NAMED: usize = 10;
/// Characters of a title that are shown there.
const TITLE: usize = 100;

/// A part of a comment, kept whole or left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    /// What it is called where it is left out, in Markdown.
    name: String,
    /// How early it is left out: the highest first, and of equal ones the last.
    rank: u8,
    /// Its Markdown.
    text: String,
}

/// The hidden first line of a report's comment.
pub fn marker(name: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "._-".contains(character);
    // Anything else could end the HTML comment, or the search for it in a shell.
    let name: String = name
        .chars()
        .map(|character| if plain(character) { character } else { '-' })
        .collect();
    format!("<!-- repro comment: {name} -->")
}

/// What changed against a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In one sentence, as plain text without its end.
    pub sentence: String,
    /// All of it, in Markdown.
    pub text: String,
}

/// The comment of a report, with what changed against a base where there is one.
///
/// # Errors
/// Tables that the results do not fit into.
pub fn comment(
    input: &ReportInput,
    config: &ReportConfig,
    changes: Option<&Changes>,
) -> Result<String, ReportError> {
    let mut tables: Vec<(&str, RenderedTable)> = Vec::new();
    let mut verdicts: Vec<Option<String>> = Vec::new();
    for (index, spec) in config.tables.iter().enumerate() {
        let place = format!("table {}", index + 1);
        let compared = input.compared(&place);
        verdicts.push(counted(compared));
        tables.push((spec.kind, spec.table.render(input, compared)?));
    }
    let (headline, _) = shown::headlines(config, &[]);
    let (mut first, mut claims, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (kind, table)) in tables.iter().enumerate() {
        if Some(index) == headline {
            first.push(open(table));
        } else if *kind == CLAIMS {
            claims.push(of_claims(table, verdicts.get(index).cloned().flatten()));
        } else {
            rest.push(closed(table));
        }
    }
    let mut sections = first;
    sections.extend(claims);
    sections.extend(changes.map(|changes| Section {
        name: "what changed".to_owned(),
        rank: 2,
        text: format!("#### What changed\n\n{}\n", changes.text.trim_end()),
    }));
    sections.extend(rest);
    sections.extend(figures(config));
    let mut top = format!(
        "{}\n### {}\n\n{}\n",
        marker(&input.name),
        escape(&shortened(&input.title, 10 * TITLE)),
        summary(input)
    );
    if let Some(changes) = changes {
        // Writing into a string cannot fail.
        let _ = write!(top, "\n**Changes:** {}.\n", escape(&changes.sentence));
    }
    Ok(fitted(&top, sections, &footer(input, config)))
}

/// The kind of table that is about claims of a paper.
const CLAIMS: &str = "claims";

/// How many results there are, of what.
fn summary(input: &ReportInput) -> String {
    let mut metrics: Vec<String> = input.results.iter().map(|row| code(&row.metric)).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let results = plural(input.results.len(), "result");
    let of = match metrics.len() {
        0 => String::new(),
        1..=MOST_NAMED => format!(" of {}", listed(&metrics)),
        many => format!(" of {} metrics", count(many)),
    };
    match input.missing.len() {
        0 => format!("{results}{of}."),
        missing => format!("{results}{of}; {} asked for and not there.", count(missing)),
    }
}

/// How many claims of a table have which verdict; `None` where nothing is known of any.
fn counted(compared: Compared<'_>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for claim in compared.all("claim") {
        *counts.entry(claim.verdict.as_str()).or_default() += 1;
    }
    let counts = counts.into_iter();
    let counts: Vec<String> = counts
        .map(|(verdict, number)| format!("{} {}", count(number), escape(verdict)))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// A table of claims: how many have which verdict, with the claims themselves folded, which fill a screen.
fn of_claims(table: &RenderedTable, verdicts: Option<String>) -> Section {
    let verdicts = verdicts.unwrap_or_else(|| "the verdicts are not known".to_owned());
    let folded = closed(table);
    Section {
        rank: 1,
        text: format!("**Verdicts on claims:** {verdicts}.\n\n{}", folded.text),
        ..folded
    }
}

/// A table that is shown at once, with its caption and notes folded.
fn open(table: &RenderedTable) -> Section {
    let mut text = format!(
        "#### {}\n\n{}\n",
        escape(&table.title),
        table.body.markdown().trim_end()
    );
    let notes = [&table.caption].into_iter().chain(&table.notes);
    let notes: Vec<&str> = notes
        .map(|note| note.trim_end())
        .filter(|note| !note.is_empty())
        .collect();
    if !notes.is_empty() {
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "\n<details><summary>What the numbers are</summary>\n\n{}\n\n</details>\n",
            notes.join("\n\n")
        );
    }
    Section {
        name: name_of(table),
        rank: 0,
        text,
    }
}

/// A table that is folded as a whole.
fn closed(table: &RenderedTable) -> Section {
    let mut notes = String::new();
    for note in &table.notes {
        notes.extend(["\n", note.trim_end(), "\n"]);
    }
    let text = format!(
        "<details><summary>{}</summary>\n\n{}\n\n{}\n{notes}\n</details>\n",
        // Within the element Markdown's escapes would be shown.
        in_html(&table.title),
        table.caption.trim_end(),
        table.body.markdown().trim_end(),
    );
    Section {
        name: name_of(table),
        rank: 4,
        text,
    }
}

fn name_of(table: &RenderedTable) -> String {
    format!("“{}”", escape(&shortened(&table.title, TITLE)))
}

/// Text within an HTML element, on one line.
fn in_html(text: &str) -> String {
    let words = crate::visible::as_words(text);
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The files of the figures, which a comment cannot show.
fn figures(config: &ReportConfig) -> Option<Section> {
    let folder = config.output.rsplit_once('/').map(|(folder, _)| folder);
    let path = |file: &str| match folder {
        Some(folder) => code(&format!("{folder}/{file}")),
        None => code(file),
    };
    let files: Vec<String> = config.figures().map(path).collect();
    (!files.is_empty()).then(|| Section {
        name: "the names of the figures".to_owned(),
        rank: 3,
        text: format!(
            "Figures, which a comment cannot show: {}.\n",
            listed(&files)
        ),
    })
}

/// Where the rest is, and how it is made again.
fn footer(input: &ReportInput, config: &ReportConfig) -> String {
    format!(
        "<sub>The report is {}, with its results in {}. It is made again by {}.</sub>\n",
        code(&config.output),
        code(&config.results_file()),
        code(&input.command)
    )
}

/// All sections that fit, between the top and the footer, and a word on those that do not.
fn fitted(top: &str, mut sections: Vec<Section>, footer: &str) -> String {
    let mut left_out: Vec<Section> = Vec::new();
    loop {
        let text = laid_out(top, &sections, &left_out, footer);
        if text.chars().count() < MOST_CHARACTERS {
            return text;
        }
        // The last of those that matter least.
        let worst = sections.iter().enumerate();
        let Some((worst, _)) = worst.max_by_key(|(index, section)| (section.rank, *index)) else {
            // Names that fill a comment by themselves: what is left is the marker and as much of the rest as there is room for.
            return text.chars().take(MOST_CHARACTERS - 1).collect();
        };
        left_out.push(sections.remove(worst));
    }
}

fn laid_out(top: &str, sections: &[Section], left_out: &[Section], footer: &str) -> String {
    let mut text = top.to_owned();
    for section in sections {
        text.push('\n');
        text.push_str(&section.text);
    }
    if !left_out.is_empty() {
        // In the order of the report, of which the last was left out first.
        let names = left_out.iter().rev().map(|section| section.name.clone());
        let mut names: Vec<String> = names.collect();
        if let Some(more @ 1..) = names.len().checked_sub(MOST_NAMED) {
            names.truncate(MOST_NAMED);
            names.push(format!("{} more", count(more)));
        }
        let _ = write!(
            text,
            "\nLeft out, because a comment holds {} characters: {}. All of it is in the report.\n",
            count(MOST_CHARACTERS),
            listed(&names)
        );
    }
    text.push('\n');
    text.push_str(footer);
    text
}

#[cfg(test)]
mod tests;
