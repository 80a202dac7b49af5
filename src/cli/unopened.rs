//! Inputs that cannot be opened or do not fit, with the place of what names them and what may be meant by their paths.

use std::path::{Component, Path, PathBuf};

use super::Context;
use super::exit::Failure;
use crate::datasets::DatasetError;
use crate::graph::Experiment;
use crate::inputs::{InputError, InputErrors};
use crate::message::{Hint, Message};
use crate::models::WeightsSource;
use crate::plan::{Absent, Expected, PlanError};
use crate::spec::{Span, suggest};

/// How a command ends whose experiment reads what cannot be opened.
pub(super) fn failure(context: &Context, experiment: &Experiment, errors: InputErrors) -> Failure {
    let is_bug = |error: &InputError| matches!(error.reason(), DatasetError::Bug(_));
    if errors.0.iter().any(is_bug) {
        return errors.into();
    }
    let messages: Vec<Message> = errors
        .0
        .iter()
        .map(|error| explained(context, experiment, error))
        .collect();
    match <[Message; 1]>::try_from(messages) {
        Ok([one]) => Failure::Input(one),
        Err(several) => {
            let mut text = format!("{} inputs cannot be opened", several.len());
            for message in several {
                text.extend(["\n  ", &message.to_string().replace('\n', "\n  ")]);
            }
            Failure::Input(text.into())
        }
    }
}

/// How a command ends whose experiment does not fit its inputs, with the place of the node that does not.
pub(super) fn misfit(experiment: &Experiment, error: PlanError) -> Failure {
    let span = match &error {
        PlanError::NoSplit { head, .. } | PlanError::NoClasses { head, .. } => {
            let mut nodes = experiment.heads.iter();
            nodes.find(|node| node.name == *head).map(|node| node.place)
        }
        PlanError::NoMetricSplit { metric, .. } => {
            let mut nodes = experiment.metrics.iter();
            nodes
                .find(|node| node.name == *metric)
                .map(|node| node.place)
        }
        PlanError::NoTrainingSplit { pretrain, .. } => {
            let mut nodes = experiment.pretrains.iter();
            nodes
                .find(|node| node.name == *pretrain)
                .map(|node| node.place)
        }
        // An extraction knows its name and not its place; the message has it.
        PlanError::Labels { .. } | PlanError::Recipe(_) | PlanError::Bug(_) => None,
    };
    match (Failure::from(error), span) {
        (Failure::Usage(message), Some(span)) => Failure::Usage(Message {
            text: format!("{}{}", in_file(experiment, span), message.text),
            ..message
        }),
        (other, _) => other,
    }
}

/// Pieces of advice in one line; a question ends by itself.
fn joined(advice: &[String]) -> String {
    let mut text = String::new();
    for piece in advice {
        match text.chars().next_back() {
            None => {}
            Some('?') => text.push(' '),
            Some(_) => text.push_str("; "),
        }
        text.push_str(piece);
    }
    text
}

/// What may be meant by the paths of inputs that are not on disk and are planned all the same, each with its place.
pub(super) fn advice(context: &Context, experiment: &Experiment, absent: &[Absent]) -> Vec<String> {
    let of_one = |one: &Absent| {
        let (what, place) = match one.expected {
            Expected::Dataset { .. } => {
                let node = experiment
                    .datasets
                    .iter()
                    .find(|node| node.name == one.name);
                ("dataset", node?.place)
            }
            Expected::Weights { .. } => {
                let node = experiment.models.iter().find(|node| node.name == one.name);
                ("weights of model", node?.place)
            }
            Expected::Features => {
                let node = experiment.models.iter().find(|node| node.name == one.name);
                ("features of model", node?.place)
            }
            Expected::Moments => {
                let node = experiment.metrics.iter().find(|node| node.name == one.name);
                ("statistics of metric", node?.place)
            }
        };
        let root = context.base.join(&one.path);
        let missing = if root.exists() {
            Path::new(&one.missing)
        } else {
            root.as_path()
        };
        let advice = not_a_path(&one.path).or_else(|| nearest(&context.base, missing))?;
        let name = &one.name;
        Some(format!(
            "{}{what} `{name}`: {advice}",
            in_file(experiment, place)
        ))
    };
    absent.iter().filter_map(of_one).collect()
}

/// A place as it stands before a message.
fn in_file(experiment: &Experiment, span: Span) -> String {
    format!("{}: ", experiment.warnings.source.place(span.start))
}

/// One error with its place in the file and, of a missing path, with what it starts from.
fn explained(context: &Context, experiment: &Experiment, error: &InputError) -> Message {
    let (span, typed) = place_of(context, experiment, error);
    let place = span.map_or_else(String::new, |span| in_file(experiment, span));
    let message = Message::new(format!("{place}{error}"));
    let DatasetError::Missing { path, hint } = error.reason() else {
        return message.maybe_hint(error.hint());
    };
    let mut advice = Vec::new();
    let typed = typed.as_deref();
    advice.extend(typed.and_then(not_a_path));
    if advice.is_empty() {
        // Where the root itself is missing, the root is what is misspelt, and not what was looked for in it.
        let root = typed.map(|typed| context.base.join(typed));
        let missing = root.filter(|root| !root.exists());
        advice.extend(nearest(&context.base, missing.as_deref().unwrap_or(path)));
        advice.push(hint.clone());
        if typed.is_none_or(|typed| Path::new(typed).is_relative()) {
            let base = context.base.canonicalize();
            let base = base.unwrap_or_else(|_| context.base.clone());
            advice.push(format!("relative paths start from {}", base.display()));
        }
    }
    message.hint(joined(&advice))
}

/// Where the file names what cannot be opened, and the path as it was typed there.
fn place_of(
    context: &Context,
    experiment: &Experiment,
    error: &InputError,
) -> (Option<Span>, Option<String>) {
    let all: Vec<(Span, Option<String>)> = match error {
        InputError::Dataset { name, .. } => {
            let nodes = experiment.datasets.iter().filter(|node| node.name == *name);
            nodes.map(|node| (node.place, node.root.clone())).collect()
        }
        InputError::Features { name, .. } => {
            let nodes = experiment.models.iter().filter(|node| node.name == *name);
            let files = nodes.filter_map(|node| Some((node.place, node.model.imported()?)));
            let paths = files.flat_map(|(place, imported)| {
                let paths = imported.files.iter().map(|file| file.path.display());
                paths.map(move |path| (place, Some(path.to_string())))
            });
            paths.collect()
        }
        InputError::Moments { name, .. } => {
            let nodes = experiment.metrics.iter().filter(|node| node.name == *name);
            let path = |file: &PathBuf| file.display().to_string();
            nodes
                .map(|node| (node.place, node.inputs.file().map(path)))
                .collect()
        }
        InputError::Weights { name, .. } => {
            let nodes = experiment.models.iter().filter(|node| node.name == *name);
            let path = |source: &WeightsSource| match source {
                WeightsSource::File(path) => Some(path.display().to_string()),
                _ => None,
            };
            nodes
                .map(|node| (node.place, path(node.model.weights())))
                .collect()
        }
    };
    // Of several that a sweep makes, the one whose path it is.
    let is_of = |typed: &str| match error.reason() {
        DatasetError::Missing { path, .. } => path.starts_with(context.base.join(typed)),
        _ => false,
    };
    let own = all
        .iter()
        .find(|(_, typed)| typed.as_deref().is_some_and(is_of));
    match own.or(all.first()) {
        Some((span, typed)) => (Some(*span), typed.clone()),
        None => (None, None),
    }
}

/// What is meant by a text that only looks like a path.
fn not_a_path(typed: &str) -> Option<String> {
    if typed.contains('$') {
        return Some(
            "variables such as `$HOME` are not expanded: write the path, where `~/` at the begin is your home folder"
                .to_owned(),
        );
    }
    typed.starts_with('~').then(|| {
        "`~/` at the begin is the folder that the variable HOME names; other users' folders are not expanded"
            .to_owned()
    })
}

/// What there is instead of a path that is missing: the name that is nearest to the first part of it that is not there.
fn nearest(base: &Path, missing: &Path) -> Option<String> {
    let mut there = PathBuf::new();
    let mut parts = missing.components();
    let wanted = loop {
        let part = parts.next()?;
        let next = there.join(part);
        if !matches!(part, Component::Normal(_)) || next.exists() {
            there = next;
        } else {
            break part.as_os_str().to_str()?.to_owned();
        }
    };
    let folder = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there.as_path()
    };
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let name = suggest::nearest(&wanted, names.iter().map(String::as_str))?;
    let meant = there.join(name).join(parts.as_path());
    let meant = meant.strip_prefix(base).unwrap_or(&meant);
    Some(format!("did you mean `{}`?", meant.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        std::fs::create_dir_all(base.join("data/shapes/train")).unwrap();
        let meant = |path: &str| nearest(base, &base.join(path));
        assert_eq!(meant("data/shape").unwrap(), "did you mean `data/shapes`?");
        assert_eq!(meant("dta/shapes").unwrap(), "did you mean `data/shapes`?");
        assert_eq!(meant("data/garments"), None);
    }

    #[test]
    fn variables_are_not_expanded() {
        assert!(not_a_path("$HOME/data").unwrap().contains("~/"));
        assert_eq!(not_a_path("data"), None);
    }
}
