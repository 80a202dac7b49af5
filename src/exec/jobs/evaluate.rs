//! One metric: predictions or features from the store, scores into the store. Where something that it reads was not made, the rest is scored.

use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::scoring::evaluate;
use crate::plan::{Evaluate, PlannedArtifact};
use crate::store::names::RESULTS;
use crate::store::{Fingerprint, ResultRow};

/// Scores everything that a metric reads and commits the table of results.
pub(super) fn run_metric(
    run: &Run<'_>,
    artifact: &PlannedArtifact,
    work: &Evaluate,
) -> Result<(), NodeError> {
    let fingerprint = |step| run.plan.step(step).artifact.fingerprint;
    // What is there and cannot be read is an error of its own, and not left out.
    let is_made = |fingerprint: &Fingerprint| !matches!(run.store.manifest(fingerprint), Ok(None));
    let part = work.over_made(&fingerprint, &is_made);
    let part = part.map_err(|error| NodeError::bug(&error.to_string()))?;
    let Some((part, recipe)) = part else {
        return Ok(());
    };
    if part.items.count() == work.items.count() {
        return score(run, artifact, work);
    }
    let artifact = PlannedArtifact {
        fingerprint: recipe.fingerprint(),
        recipe,
        ..artifact.clone()
    };
    (run.emit)(Event::MetricOverSome {
        label: artifact.label.clone(),
        scored: part.items.count(),
        of: work.items.count(),
    });
    score(run, &artifact, &part)
}

fn score(run: &Run<'_>, artifact: &PlannedArtifact, work: &Evaluate) -> Result<(), NodeError> {
    let started = std::time::Instant::now();
    let Some(mut writer) = run.begin(artifact)? else {
        return Ok(());
    };
    let keep_going = || !run.stop.is_given();
    let evaluated = evaluate(run.plan, work, run.inputs, run.store, &keep_going)?;
    if let Some(open) = evaluated.open.first() {
        return Err(NodeError::bug(&format!(
            "a metric was begun before head {} was trained",
            run.plan.step(open.step).artifact.label
        )));
    }
    let rows = evaluated.rows;
    writer.write_table(RESULTS, &ResultRow::to_batch(&rows)?)?;
    writer.finish(run.made(started.elapsed().as_secs_f64()))?;
    (run.emit)(Event::MetricFinished {
        label: artifact.label.clone(),
        results: rows.len(),
    });
    Ok(())
}
