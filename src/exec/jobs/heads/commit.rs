//! From what training left to the files of a head.

use super::{OneHead, fits, tables};
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::heads::FitTrace;
use crate::store::ArtifactWriter;
use crate::store::names::{
    CANDIDATES, CURVES, FIT, HEAD_WEIGHTS, HELD_OUT_LOGITS, LOGITS, OBJECTIVE, PATH, PREDICTIONS,
    SELECTION,
};
use crate::trainer::heads::Outcome;

/// Commits a trained head: its tables, its predictions and its weights.
pub(super) fn commit(
    run: &Run<'_>,
    head: &OneHead<'_>,
    mut writer: Box<ArtifactWriter>,
    outcome: &Outcome,
    classes: usize,
    seconds: f64,
) -> Result<(), NodeError> {
    if !outcome.epochs.is_empty() {
        writer.write_table(CURVES, &tables::curves(&outcome.epochs)?)?;
    }
    match &outcome.trace {
        Some(FitTrace::Iterated {
            iterations,
            tolerance,
        }) => {
            writer.write_table(OBJECTIVE, &fits::objective(iterations)?)?;
            if let Some(end) = fits::End::of(iterations, *tolerance) {
                writer.write_table(FIT, &end.table(*tolerance)?)?;
                if !end.converged {
                    (run.emit)(Event::FitNotConverged {
                        label: head.artifact.label.clone(),
                        iterations: end.iterations,
                        gradient: end.gradient,
                        tolerance: *tolerance,
                    });
                }
            }
        }
        Some(FitTrace::Path {
            candidates,
            chosen,
            judge,
        }) => writer.write_table(PATH, &fits::path(candidates, *chosen, *judge)?)?,
        None => {}
    }
    writer.write_table(PREDICTIONS, &outcome.predictions.to_batch()?)?;
    if let Some(logits) = &outcome.logits {
        let table = tables::logits(&outcome.predictions, logits, classes)?;
        writer.write_table(LOGITS, &table)?;
    }
    if let Some(held_out) = &outcome.held_out_logits {
        writer.write_table(HELD_OUT_LOGITS, &tables::held_out_logits(held_out)?)?;
    }
    if let Some(scores) = tables::held_out(outcome)? {
        writer.write_table(SELECTION, &scores)?;
    }
    if let Some(candidates) = head.candidates {
        writer.write_table(CANDIDATES, candidates)?;
    }
    writer.write_bytes(HEAD_WEIGHTS, &outcome.weights)?;
    writer.finish(run.made(seconds))?;
    (run.emit)(Event::HeadFinished {
        label: head.artifact.label.clone(),
        train_loss: outcome.epochs.last().map(|epoch| epoch.train_loss),
        seconds,
    });
    Ok(())
}
