//! One metric: predictions of many heads from the store, scores into the store.

use super::NodeError;
use super::choosing::choose;
use super::event::Event;
use super::run::Run;
use super::scoring::Scored;
use crate::plan::{MetricStep, Plan};
use crate::store::ResultRow;
use crate::store::names::RESULTS;

/// Scores every head of a metric and commits the table of results.
pub(super) fn run_metric(run: &Run<'_>, plan: &Plan, step: &MetricStep) -> Result<(), NodeError> {
    let started = std::time::Instant::now();
    let artifact = &step.artifact;
    let Some(mut writer) = run.begin(artifact)? else {
        return Ok(());
    };
    let mut rows = Vec::new();
    let node = &run.experiment.metrics[step.metric];
    let heads = if node.choose {
        choose(run.experiment, run.store, &step.heads)?.heads
    } else {
        step.heads.clone()
    };
    for (head, fingerprint) in heads {
        let scored = Scored {
            metric: step.metric,
            head,
            fingerprint,
        };
        rows.extend(scored.score(run.experiment, run.inputs, plan, run.store)?);
    }
    writer.write_table(RESULTS, &ResultRow::to_batch(&rows)?)?;
    writer.finish(run.made(started.elapsed().as_secs_f64()))?;
    (run.emit)(Event::MetricFinished {
        label: step.artifact.label.clone(),
        results: rows.len(),
    });
    Ok(())
}
