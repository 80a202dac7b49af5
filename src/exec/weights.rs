//! The weights of a model on their way into memory: opened, and compared with what the plan says that they are.

use std::sync::Arc;

use super::NodeError;
use super::context::Run;
use crate::models::checkpoint::weights::WeightError;
use crate::models::companions;
use crate::models::{Model, WeightsSource};
use crate::plan::ModelUse;
use crate::store::Fingerprint;

/// What stands before the digest in the identity of weights that are in a file.
const DIGEST: &str = "blake3:";

/// The model with weights that can be loaded: those of its training, where it has one, and otherwise those of the file, if they are
/// still those that the experiment was planned with.
pub(super) fn loadable(run: &Run<'_>, model: &ModelUse) -> Result<Arc<dyn Model>, NodeError> {
    let loadable = with_own_weights(run, model)?;
    let mut opened = Vec::new();
    let mut digests = companions::digests(&model.weights);
    for companion in model.model.companions() {
        let path = run.base.join(&companion.path);
        let digest = digests.next();
        let digest = digest.and_then(|digest| digest.parse::<Fingerprint>().ok());
        let digest = digest
            .ok_or_else(|| NodeError::bug("a file beside weights was planned without a digest"))?;
        let file = run.store.open_input(&path, &digest.0);
        opened.push(Arc::new(
            file.map_err(|error| WeightError::check(&path, error))?,
        ));
    }
    Ok(loadable.with_companions(&opened).unwrap_or(loadable))
}

/// The model with weights that can be loaded; its other files are as they were.
fn with_own_weights(run: &Run<'_>, model: &ModelUse) -> Result<Arc<dyn Model>, NodeError> {
    let file = match (&model.trained, model.model.weights()) {
        (Some((_, fingerprint)), _) => run.store.trained_weights(fingerprint)?,
        (None, WeightsSource::File(path)) => {
            let path = run.base.join(path);
            let digest = model.weights.strip_prefix(DIGEST);
            // A prefix of names may stand behind it.
            let digest = digest.and_then(|digest| digest.split(' ').next());
            let digest = digest.and_then(|digest| digest.parse::<Fingerprint>().ok());
            let digest = digest
                .ok_or_else(|| NodeError::bug("weights in a file were planned without a digest"))?;
            let opened = run.store.open_input(&path, &digest.0);
            opened.map_err(|error| WeightError::check(&path, error))?
        }
        (None, _) => return Ok(Arc::clone(&model.model)),
    };
    Ok(model
        .model
        .with_weights(WeightsSource::Opened(Arc::new(file))))
}
