//! The scores of single samples, from the predictions that the store keeps of every head.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::exec::NodeError;
use crate::exec::choosing::scored;
use crate::exec::logits::attach;
use crate::exec::scoring::predictions;
use crate::inputs::Inputs;
use crate::metrics::Metric;
use crate::plan::{Items, Plan, Train, Work};
use crate::report::{Outcome, Outcomes, ReportError, SharedIds};
use crate::store::{Fingerprint, ResultRow, Store};

/// How far the mean of the scores may be from the value of the result: the rounding of sums.
const ROUNDING: f64 = 1e-9;

/// The heads and metrics of a plan. Predictions are read when they are asked for and not held, so that the memory is that of one head.
pub(super) struct Kept<'a> {
    inputs: &'a Inputs,
    store: &'a Store,
    /// By the digits of the fingerprint.
    heads: BTreeMap<String, (Fingerprint, Arc<Train>)>,
    /// By the name of an output.
    metrics: BTreeMap<String, Arc<dyn Metric>>,
    /// The lists of ids that were seen, each once.
    ids: SharedIds,
}

impl<'a> Kept<'a> {
    /// All of a plan.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(super) fn of(plan: &Plan, inputs: &'a Inputs, store: &'a Store) -> Result<Self, NodeError> {
        let (mut heads, mut metrics) = (BTreeMap::new(), BTreeMap::new());
        for step in &plan.steps {
            let Work::Evaluate(work) = &step.work else {
                continue;
            };
            let items = match &work.items {
                Items::Heads(items) => items.clone(),
                Items::Chosen(items) => {
                    let scored = scored(plan, store, items)?;
                    scored.heads.into_iter().map(|(head, _)| head).collect()
                }
                Items::Features { .. } | Items::AgainstFile { .. } | Items::Networks(_) => continue,
            };
            for output in work.metric.outputs() {
                metrics.insert(output.name, work.metric.clone());
            }
            for item in items {
                let fingerprint = plan.step(item.step).artifact.fingerprint;
                heads.insert(fingerprint.to_string(), (fingerprint, item.train.clone()));
            }
        }
        Ok(Self {
            inputs,
            store,
            heads,
            metrics,
            ids: SharedIds::default(),
        })
    }
}

impl Outcomes for Kept<'_> {
    fn of(&self, row: &ResultRow) -> Result<Option<Arc<Outcome>>, ReportError> {
        let head = row
            .sources
            .get("head")
            .and_then(|head| self.heads.get(head));
        let (Some((fingerprint, train)), Some(metric)) = (head, self.metrics.get(&row.metric))
        else {
            return Ok(None);
        };
        let failed = |error: NodeError| ReportError::Outcomes(error.to_string());
        let mut predictions =
            predictions(train, fingerprint, self.inputs, self.store).map_err(failed)?;
        attach(&mut predictions, self.store, fingerprint, metric.reads()).map_err(failed)?;
        let Some(scores) = metric.per_sample(&predictions, &row.metric) else {
            return Ok(None);
        };
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        if (mean - row.value).abs() > ROUNDING * row.value.abs().max(1.0) {
            return Err(ReportError::Outcomes(format!(
                "the scores of single samples of head {} have the mean {mean}, and its `{}` is {} (a bug in repro)",
                fingerprint.short(),
                row.metric,
                row.value
            )));
        }
        let ids = predictions.rows.into_iter().map(|row| row.id).collect();
        Ok(Some(Arc::new(Outcome {
            ids: self.ids.shared(ids),
            scores,
        })))
    }
}
