//! What is reported of a query that fails.

use polars::prelude::{PlSmallStr, PolarsError};

use super::listed::over_all;
use super::{FEATURES_PREFIX, LOGITS_FILE, LOGITS_PREFIX, Tables};
use crate::store::fingerprint::ArtifactKind;
use crate::store::manifest::Manifest;
use crate::store::query_result::{QueryError, did_you_mean, some_of};
use crate::text::count;

/// So many tables of single artifacts are named.
const SINGLE: usize = 2;

/// The engine's message as a sentence, with the tables and columns that there are.
pub(super) fn explain(
    error: &PolarsError,
    mentioned: &[String],
    tables: &mut Tables,
    manifests: &[Manifest],
) -> QueryError {
    let message = error.to_string();
    // A name that the query itself introduces by WITH is not a table of the store, yet the engine does not mind it.
    let unknown = mentioned
        .iter()
        .find(|name| !tables.contains_key(*name) && message.contains(name.as_str()));
    if let Some(name) = unknown {
        return unknown_table(name, manifests);
    }
    let quoted = quoted(&message);
    if let Some(function) = quoted.filter(|_| message.starts_with("unsupported function")) {
        return QueryError::Sql {
            message: format!("unknown function `{function}`"),
            hint: "the functions are those of Polars' SQL, such as `avg`, `count`, `max`, `median`, `min`, `round`, `stddev` and `sum`".to_owned(),
        };
    }
    let column = quoted.filter(|_| message.contains("unable to find column"));
    let described: Vec<String> = mentioned
        .iter()
        .filter_map(|name| describe(name, tables, column))
        .collect();
    let hint = if described.is_empty() {
        listed(manifests)
    } else {
        described.join("; ")
    };
    let message = match column {
        Some(column) => format!("unknown column `{column}`"),
        None => in_words(message),
    };
    QueryError::Sql { message, hint }
}

/// The first name that a message quotes.
fn quoted(message: &str) -> Option<&str> {
    message.split(['"', '`', '\'']).nth(1)
}

/// A message without what only the engine's makers read.
fn in_words(mut message: String) -> String {
    // The tree of a part that the engine does not know.
    if let Some(at) = message.find("Span(").or_else(|| message.find("Ident {")) {
        let end = message[..at].find('(').unwrap_or(at);
        let what = message[..end].trim_end().to_owned();
        return format!("the SQL engine does not know this: {what}");
    }
    // Its own list of columns would say the same once more.
    if let Some(end) = message.find("; valid columns") {
        message.truncate(end);
    }
    message
}

fn unknown_table(name: &str, manifests: &[Manifest]) -> QueryError {
    let over_all = over_all(manifests);
    let single = single(manifests);
    let known = over_all.iter().chain(&single).map(String::as_str);
    let meant = did_you_mean(name, known).map(|name| format!("did you mean `{name}`? "));
    let later = if over_all.iter().any(|name| name == "curves") {
        ""
    } else {
        " (and `curves`, once a head is trained)"
    };
    QueryError::Sql {
        message: format!("unknown table `{name}`"),
        hint: format!("{}{}{later}", meant.unwrap_or_default(), listed(manifests)),
    }
}

/// The tables that there are, in a sentence.
fn listed(manifests: &[Manifest]) -> String {
    let mut names = over_all(manifests);
    let single = single(manifests);
    names.extend(single.iter().take(SINGLE).cloned());
    let more = match single.len().saturating_sub(SINGLE) {
        0 => String::new(),
        more => format!(", … and {} more of single artifacts", count(more)),
    };
    format!(
        "the tables are {}{more}; `repro query --tables` says what they hold",
        names.join(", ")
    )
}

/// The names of the tables of single artifacts.
fn single(manifests: &[Manifest]) -> Vec<String> {
    let name = |manifest: &Manifest| {
        let digits = manifest.fingerprint.short();
        if manifest.kind == ArtifactKind::Features {
            return Some(format!("{FEATURES_PREFIX}{digits}"));
        }
        manifest.file(LOGITS_FILE)?;
        Some(format!("{LOGITS_PREFIX}{digits}"))
    };
    manifests.iter().filter_map(name).collect()
}

/// The columns of a table, and the one that might have been meant by one that is not there.
fn describe(name: &str, tables: &mut Tables, unknown: Option<&str>) -> Option<String> {
    let schema = tables.get_mut(name)?.collect_schema().ok()?;
    let columns: Vec<&str> = schema.iter_names().map(PlSmallStr::as_str).collect();
    let meant = unknown.and_then(|unknown| did_you_mean(unknown, columns.iter().copied()));
    let meant = meant
        .map(|column| format!("did you mean `{column}`? "))
        .unwrap_or_default();
    Some(format!(
        "{meant}`{name}` has the columns {}; `repro query --tables {name}` describes them",
        some_of(&columns)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_the_parser_are_not_for_people() {
        let message = "expression Tuple([[Identifier(Ident { value: \"head\", span: Span(Location(1,54)..Location(1,58)) })]]) is not currently supported";
        assert_eq!(
            in_words(message.to_owned()),
            "the SQL engine does not know this: expression Tuple"
        );
        assert_eq!(in_words("a; valid columns: [b]".to_owned()), "a");
    }
}
