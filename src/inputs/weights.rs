//! Files of weights: what they are for recipes, and whether the networks that they are for can be built of them. Only descriptions of
//! tensors are read, so that a file that does not fit is an error before anything is computed.

use super::{InputError, Reading, imported, told};
use crate::datasets::{DatasetError, Digester};
use crate::graph::ModelNode;
use crate::models::WeightsSource;

/// The identity of a model's weights, as [`Facts::weights`](crate::plan::Facts::weights) has it.
///
/// # Errors
/// A file that cannot be read, is not a checkpoint, or does not fit the network.
pub(super) fn identify(
    node: &ModelNode,
    reading: &Reading<'_>,
) -> Result<Option<String>, DatasetError> {
    if let Some(imported) = node.model.imported() {
        return imported::identify(imported, reading).map(Some);
    }
    let WeightsSource::File(path) = node.model.weights() else {
        let identity = node.model.weights().identity();
        return identity
            .map(|identity| beside_companions(identity, node, reading))
            .transpose();
    };
    let path = reading.base.join(path);
    let digest = reading.digester.digest_file(&path)?;
    // A network that a head has tuned is a file of an artifact.
    let listed = reading.store.listed(&path);
    if let Some((artifact, listed)) = listed.map_err(|error| told(&path, error))?
        && blake3::Hash::from_bytes(listed).to_hex().as_str() != digest
    {
        return Err(DatasetError::Malformed {
            path,
            problem: format!(
                "it does not have the digest that the manifest of artifact {} states",
                artifact.short()
            ),
            hint: "`repro cache verify --set-aside` sets the artifact aside, and the experiment that made it makes it again"
                .to_owned(),
        });
    }
    let checked = node.model.check_file(&path);
    checked.map_err(DatasetError::Selection)?;
    let identity = with_prefix(format!("blake3:{digest}"), node);
    beside_companions(identity, node, reading).map(Some)
}

/// The identity of weights with those of the files that a model reads beside them.
fn beside_companions(
    mut identity: String,
    node: &ModelNode,
    reading: &Reading<'_>,
) -> Result<String, DatasetError> {
    for companion in node.model.companions() {
        let digest = reading
            .digester
            .digest_file(&reading.base.join(&companion.path))?;
        let checked = node.model.check_companion(&companion, reading.base);
        checked.map_err(DatasetError::Selection)?;
        identity = companion.beside(&identity, &digest);
    }
    Ok(identity)
}

/// The identity of a file for a model: the prefix of names chooses among the tensors of one file.
pub(super) fn with_prefix(identity: String, node: &ModelNode) -> String {
    match node.model.prefix().as_str() {
        "" => identity,
        prefix => format!("{identity} {prefix}"),
    }
}

/// Adds what is wrong with the weights of a model, once for all models that a sweep makes of one declaration.
pub(super) fn add_error(errors: &mut Vec<InputError>, node: &ModelNode, source: DatasetError) {
    let text = source.to_string();
    let is_known = errors.iter().any(|error| match error {
        InputError::Weights { name, source } | InputError::Features { name, source } => {
            *name == node.name && source.to_string() == text
        }
        InputError::Dataset { .. } | InputError::Moments { .. } => false,
    });
    if !is_known {
        let name = node.name.clone();
        errors.push(match node.model.imported() {
            Some(_) => InputError::Features { name, source },
            None => InputError::Weights { name, source },
        });
    }
}
