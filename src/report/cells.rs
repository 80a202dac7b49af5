//! The cells of a template: what it prints by a call, such as `{{ table(1) }}`.
//!
//! `table`, `figure` and `claim` are functions that look up what the report has; `graph`, `deviations` and `provenance` are values with
//! fields that can also be called. An error in a call names the line of the template, as every other does.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use super::comparison::{CLAIM, Comparison, NOT_APPLICABLE, p_value};
use super::figures::RenderedFigure;
use super::input::{Deviation, ReportInput};
use super::markdown;
use super::number::listed;
use super::tables::RenderedTable;
use crate::papers::claims;
use crate::text::{count, plural};

/// Makes the functions known to templates.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function("table", |state: &State<'_, '_>, which: Value| {
        one(state, "tables", "table", &which)
    });
    environment.add_function("figure", |state: &State<'_, '_>, which: Value| {
        one(state, "figures", "figure", &which)
    });
    environment.add_function("claim", |state: &State<'_, '_>, id: String| {
        let claims = state.lookup("claims");
        let shown = claims.and_then(|claims| claims.get_attr("by_id").ok()?.get_attr(&id).ok());
        shown.filter(|shown| !shown.is_undefined()).ok_or_else(|| {
            let ids: Vec<String> = claims::ALL
                .iter()
                .map(|claim| format!("`{}`", claim.id))
                .collect();
            let known = claims::ALL.iter().any(|claim| claim.id == id);
            let text = if known {
                format!("no table of kind `claims` has a verdict on `{id}`")
            } else {
                format!("unknown claim `{id}`; the claims are {}", listed(&ids))
            };
            Error::new(ErrorKind::InvalidOperation, text)
        })
    });
}

/// The one of a list that is meant by its number, its id or its title, as Markdown.
fn one(state: &State<'_, '_>, list: &str, what: &str, which: &Value) -> Result<Value, Error> {
    let all: Vec<Value> = match state.lookup(list) {
        Some(all) => all.try_iter()?.collect(),
        None => Vec::new(),
    };
    let is_meant = |(index, item): &(usize, &Value)| -> bool {
        let is = |name: &str| item.get_attr(name).is_ok_and(|value| value == *which);
        *which == Value::from(index + 1) || is("id") || is("title")
    };
    if let Some((_, item)) = all.iter().enumerate().find(is_meant) {
        return item.get_attr("shown");
    }
    let known = if which.kind() == ValueKind::Number {
        plural(all.len(), what)
    } else {
        let titles = all.iter().filter_map(|item| item.get_attr("title").ok());
        let titles: Vec<String> = titles.map(|title| format!("`{title}`")).collect();
        listed(&titles)
    };
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("no {what} `{which}`; the report has {known}"),
    ))
}

/// A value with fields, which gives Markdown when it is called.
#[derive(Debug)]
struct Called {
    value: Value,
    markdown: String,
}

impl Object for Called {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.value.kind() {
            ValueKind::Seq => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = self.value.get_item(key).ok()?;
        (!value.is_undefined()).then_some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value.try_iter() {
            Ok(items) if self.value.kind() == ValueKind::Seq => Enumerator::Seq(items.count()),
            Ok(items) => Enumerator::Values(items.collect()),
            Err(_) => Enumerator::NonEnumerable,
        }
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        match arguments {
            [] => Ok(Value::from_safe_string(self.markdown.clone())),
            _ => Err(Error::new(
                ErrorKind::TooManyArguments,
                "this cell takes no arguments",
            )),
        }
    }
}

/// A value that gives Markdown when it is called.
pub(super) fn called(value: Value, markdown: String) -> Value {
    Value::from_object(Called { value, markdown })
}

/// A table with its caption and notes, without its title. `explained` is the address of what is true of every table of its kind.
pub(super) fn table(table: &RenderedTable, explained: Option<&str>) -> String {
    let link = explained.map_or_else(String::new, |address| {
        format!(" [How to read it]({address}).")
    });
    let mut notes = table.notes.clone();
    if !table.fixed.is_empty() {
        notes.push(format!(
            "<sub>Same in all cells: {}.</sub>",
            markdown::escape(&table.fixed.join(", "))
        ));
    }
    let (caption, body) = (&table.caption, table.body.markdown());
    format!("{caption}{link}\n\n{body}\n{}", notes.join("<br>\n"))
}

/// A figure with its caption and notes, without its title.
pub(super) fn figure(figure: &RenderedFigure) -> String {
    let picture = format!(
        "![{}]({})",
        markdown::escape(&figure.alternative),
        figure.file
    );
    let fixed = (!figure.fixed.is_empty()).then(|| {
        let fixed = markdown::escape(&figure.fixed.join(", "));
        match figure.sql {
            Some(_) => format!("<sub>Same in all points: {fixed}.</sub>"),
            None => format!("<sub>Made with: {fixed}.</sub>"),
        }
    });
    let parts = [picture, figure.caption.clone()].into_iter();
    let parts: Vec<String> = parts
        .chain([figure
            .notes
            .iter()
            .cloned()
            .chain(fixed)
            .collect::<Vec<_>>()
            .join("<br>\n")])
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("\n\n")
}

/// The graph as a drawing, or its size where that is nothing that a drawing would show.
pub(super) fn graph(input: &ReportInput, mermaid: Option<&str>) -> String {
    match mermaid {
        Some(drawing) => markdown::fenced(drawing, "mermaid"),
        None => format!(
            "The graph has {} and {}, too many or too few for a drawing.",
            plural(input.graph.nodes.len(), "node"),
            plural(input.graph.edges.len(), "edge")
        ),
    }
}

/// How the paper's side of a deviation begins where the paper states nothing.
const UNSTATED: &str = "not stated";

/// The table of deviations from the paper; folded below it what the paper does not state.
pub(super) fn deviations(all: &[Deviation]) -> String {
    let (unstated, stated): (Vec<&Deviation>, Vec<&Deviation>) =
        all.iter().partition(|one| one.paper.starts_with(UNSTATED));
    let mut parts = Vec::new();
    if !stated.is_empty() {
        parts.push(table_of_deviations(&stated));
    }
    if !unstated.is_empty() {
        parts.push(format!(
            "<details>\n<summary>{} on which the paper states nothing</summary>\n\n{}\n</details>",
            plural(unstated.len(), "choice"),
            table_of_deviations(&unstated)
        ));
    }
    if parts.is_empty() {
        return "The experiment declares none.".to_owned();
    }
    parts.join("\n")
}

fn table_of_deviations(all: &[&Deviation]) -> String {
    let heads = ["topic", "the paper", "here", "why"].map(str::to_owned);
    let line = |one: &&Deviation| {
        [&one.topic, &one.paper, &one.here, &one.reason]
            .map(|text| markdown::escape(text))
            .into()
    };
    let lines: Vec<Vec<String>> = all.iter().map(line).collect();
    markdown::table(&heads, &[false; 4], &lines)
}

/// The seeds and the number of artifacts of each kind: what of the provenance is the same on every machine.
pub(super) fn provenance(seeds: &[u64], kinds: &[(String, u64, u64)]) -> String {
    let mut parts = Vec::new();
    if !seeds.is_empty() {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        parts.push(format!("Seeds of the experiment: {}.", seeds.join(", ")));
    }
    if !kinds.is_empty() {
        let heads = ["artifacts", "count", "rows"].map(str::to_owned);
        let number = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX));
        let lines: Vec<Vec<String>> = kinds
            .iter()
            .map(|(kind, nodes, rows)| vec![markdown::escape(kind), number(*nodes), number(*rows)])
            .collect();
        parts.push(markdown::table(&heads, &[false, true, true], &lines));
    }
    parts.join("\n\n")
}

/// The verdicts of all tables of kind `claims`, for the first screen: `table` (`none` without any), `untested`, and `by_id`.
pub(super) fn claims(comparisons: &[Comparison]) -> Value {
    let all = || comparisons.iter().filter(|one| one.about == CLAIM);
    let tested = || all().filter(|one| one.verdict != NOT_APPLICABLE);
    let mut places: Vec<&str> = Vec::new();
    for one in all() {
        if !places.contains(&one.place.as_str()) {
            places.push(&one.place);
        }
    }
    let mut lines = Vec::new();
    let mut untested = 0;
    for claim in claims::ALL {
        let of_claim = || tested().filter(move |one| one.subject == claim.id);
        let mut parts: Vec<&str> = Vec::new();
        for one in of_claim() {
            if !parts.contains(&one.against.as_str()) {
                parts.push(&one.against);
            }
        }
        untested += usize::from(parts.is_empty() && all().any(|one| one.subject == claim.id));
        for (number, part) in parts.into_iter().enumerate() {
            let text = if number == 0 {
                markdown::escape(claim.text)
            } else {
                String::new()
            };
            let mut line = vec![text, markdown::escape(part)];
            line.extend(places.iter().map(|place| {
                let found = of_claim().find(|one| one.place == *place && one.against == part);
                found.map_or_else(|| "not tested".to_owned(), verdict)
            }));
            lines.push(line);
        }
    }
    let mut heads = vec!["claim of the paper".to_owned(), "tested as".to_owned()];
    heads.extend(places.iter().map(|place| capitalized(place)));
    let numeric = vec![false; heads.len()];
    let table = (!lines.is_empty()).then(|| markdown::table(&heads, &numeric, &lines));
    let subjects: BTreeSet<&str> = all().map(|one| one.subject.as_str()).collect();
    let by_id = subjects.into_iter().map(|id| {
        let lines: Vec<String> = all()
            .filter(|one| one.subject == id)
            .map(sentence)
            .collect();
        (id.to_owned(), Value::from_safe_string(lines.join("<br>\n")))
    });
    Value::from_pairs([
        (
            "table",
            table.map_or(Value::from(()), Value::from_safe_string),
        ),
        ("untested", Value::from(untested)),
        ("by_id", Value::from_pairs(by_id)),
    ])
}

/// A verdict as it stands in a table: what is decided is bold.
fn verdict(one: &Comparison) -> String {
    let verdict = markdown::escape(&one.verdict);
    match one.verdict.as_str() {
        "confirmed" | "refuted" => format!("**{verdict}**"),
        _ => verdict,
    }
}

/// One verdict with what it rests on.
fn sentence(one: &Comparison) -> String {
    let part = match one.against.as_str() {
        "" => String::new(),
        part => format!(" ({})", markdown::escape(part)),
    };
    let p = one
        .adjusted
        .map_or_else(String::new, |p| format!(", p by Holm {}", p_value(p)));
    format!(
        "{}{part}: {}{p} ({}).",
        verdict(one),
        markdown::escape(&one.text),
        capitalized(&one.place)
    )
}

/// "Table 3" of "table 3".
fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).collect()
}
