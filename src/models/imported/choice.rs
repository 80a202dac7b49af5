//! Which array of a file, or which column, holds the features, and which the ids.

use std::path::Path;

use super::{Imported, REMEDY};
use crate::datasets::DatasetError;
use crate::spec::suggest;

/// What features are called where the experiment does not say it.
const FEATURES: &str = "features";
/// What ids are called where the experiment does not say it.
const IDS: [&str; 2] = ["id", "ids"];
/// The most names that a message lists.
const MOST_LISTED: usize = 12;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// What holds the features.
    pub(super) features: String,
    /// What holds the ids, where something does.
    pub(super) ids: Option<String>,
}

/// Chooses among `names`; `what` is what the file has of them, "array" or "column".
///
/// # Errors
/// A name that the experiment gives and the file lacks; several that may be meant, or none.
pub(super) fn choose(
    path: &Path,
    imported: &Imported,
    names: &[&str],
    what: &str,
) -> Result<Choice, DatasetError> {
    let refused = |problem: String, hint: String| DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint,
    };
    let named = |name: &String| {
        if names.contains(&name.as_str()) {
            return Ok(name.clone());
        }
        let hint = suggest::hint(name, names.iter().copied());
        let has = format!("it has {}", listed(names));
        Err(refused(
            format!("it has no {what} `{name}`"),
            hint.unwrap_or(has),
        ))
    };
    let ids = if let Some(name) = &imported.ids {
        Some(named(name)?)
    } else {
        let mut found = IDS.into_iter().filter(|name| names.contains(name));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => {
                return Err(refused(
                    format!("it has the {what}s `{one}` and `{other}`"),
                    format!("say which has the ids: `ids = \"{one}\"`"),
                ));
            }
            (found, _) => found.map(str::to_owned),
        }
    };
    let rest: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| Some(*name) != ids.as_deref())
        .collect();
    let features = match (&imported.array, rest.as_slice()) {
        (Some(name), _) => named(name)?,
        (None, rest) if rest.contains(&FEATURES) => FEATURES.to_owned(),
        (None, [one]) => (*one).to_owned(),
        (None, []) => {
            return Err(refused(
                format!("it has no {what} with features"),
                REMEDY.to_owned(),
            ));
        }
        (None, several) => {
            return Err(refused(
                format!(
                    "which {what} has the features is not clear: it has {}",
                    listed(several)
                ),
                format!("name it by `array`, such as `array = \"{}\"`", several[0]),
            ));
        }
    };
    Ok(Choice { features, ids })
}

/// Names in quotation marks, the first of many.
fn listed(names: &[&str]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|name| format!("`{}`", crate::visible::on_one_line(name)))
        .collect();
    if names.len() > MOST_LISTED {
        shown.push(format!("{} more", names.len() - MOST_LISTED));
    }
    shown.join(", ")
}
