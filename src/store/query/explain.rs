//! What is reported of a query that fails.

use polars::prelude::{PlSmallStr, PolarsError};

use super::{FEATURES_PREFIX, OF_HEADS, RESULTS, Tables};
use crate::store::fingerprint::ArtifactKind;
use crate::store::manifest::Manifest;
use crate::store::names::table_file;
use crate::store::query_result::{QueryError, did_you_mean, some_of};

/// Adds to the engine's message the tables and columns that there are.
pub(super) fn explain(
    error: &PolarsError,
    mentioned: &[String],
    tables: &mut Tables,
    manifests: &[Manifest],
) -> QueryError {
    let mut message = error.to_string();
    let known = names(manifests);
    // A name that the query itself introduces by WITH is not a table of the store, yet the engine does not mind it.
    let unknown = mentioned
        .iter()
        .find(|name| !tables.contains_key(*name) && message.contains(name.as_str()));
    let hint = if let Some(name) = unknown {
        let listed = if known.iter().any(|name| name == "curves") {
            ""
        } else {
            " (and `curves`, once a head is trained)"
        };
        let meant = did_you_mean(name, known.iter().map(String::as_str))
            .map(|name| format!("did you mean `{name}`? "));
        format!(
            "{}the tables are {}{listed}",
            meant.unwrap_or_default(),
            some_of(&known)
        )
    } else {
        let asked: Vec<String> = mentioned
            .iter()
            .filter(|name| tables.contains_key(*name))
            .cloned()
            .collect();
        let described: Vec<String> = asked
            .iter()
            .filter_map(|name| describe(name, tables, &message))
            .collect();
        if described.is_empty() {
            format!("the tables are {}", some_of(&known))
        } else {
            // The engine's own list of columns would say the same once more.
            if let Some(end) = message.find("; valid columns") {
                message.truncate(end);
            }
            described.join("; ")
        }
    };
    QueryError::Sql { message, hint }
}

/// The tables that there are: those over all artifacts, then those of single ones.
fn names(manifests: &[Manifest]) -> Vec<String> {
    let mut names = vec!["artifacts".to_owned(), RESULTS.to_owned()];
    names.extend(OF_HEADS.into_iter().filter_map(|table| {
        let file = table_file(table);
        let has = |manifest: &Manifest| {
            manifest.kind == ArtifactKind::Head && manifest.file(&file).is_some()
        };
        manifests.iter().any(has).then(|| table.to_owned())
    }));
    names.sort();
    let features = manifests.iter();
    let features = features.filter(|manifest| manifest.kind == ArtifactKind::Features);
    names.extend(
        features.map(|manifest| format!("{FEATURES_PREFIX}{}", manifest.fingerprint.short())),
    );
    names
}

/// The columns of a table, and the one that might have been meant by the first name that `message` quotes.
fn describe(name: &str, tables: &mut Tables, message: &str) -> Option<String> {
    let schema = tables.get_mut(name)?.collect_schema().ok()?;
    let columns: Vec<&str> = schema.iter_names().map(PlSmallStr::as_str).collect();
    let quoted = message.split(['"', '`', '\'']).nth(1).unwrap_or(message);
    let meant = did_you_mean(quoted, columns.iter().copied()).filter(|column| *column != quoted);
    let meant = meant
        .map(|column| format!("did you mean `{column}`? "))
        .unwrap_or_default();
    Some(format!(
        "{meant}`{name}` has the columns {}",
        columns.join(", ")
    ))
}
