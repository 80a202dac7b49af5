//! The tables of a head that is fitted to all samples: where the fit went, where it ended, what was chosen.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use crate::exec::NodeError;
use crate::heads::{Candidate, Iteration, Judge};

/// How much longer a gradient may be at the cheaper stop that a fit is compared with.
const CHEAPER: f64 = 10.0;

/// Where an iterative fit ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    /// Whether the gradient was as short as asked for.
    pub(super) converged: bool,
    /// Iterations that were made.
    pub(super) iterations: usize,
    /// The largest absolute value in the last gradient.
    pub(super) gradient: f64,
    objective: f64,
    /// The objective where the gradient was first ten times as long as asked for, or shorter.
    cheaper: Option<f64>,
}

impl End {
    /// `None` where not even the beginning is there.
    pub(super) fn of(iterations: &[Iteration], tolerance: f64) -> Option<Self> {
        let last = iterations.last()?;
        let cheaper = iterations
            .iter()
            .find(|one| one.gradient <= tolerance * CHEAPER);
        Some(Self {
            converged: last.gradient <= tolerance,
            iterations: iterations.len() - 1,
            gradient: last.gradient,
            objective: last.objective,
            cheaper: cheaper.map(|one| one.objective),
        })
    }

    /// One row: `converged`, `iterations`, `gradient`, `tolerance`, `objective`, and `objective_at_ten_times`, which is null where
    /// the gradient was never as short as ten times the tolerance.
    pub(super) fn table(&self, tolerance: f64) -> Result<RecordBatch, NodeError> {
        let iterations = i64::try_from(self.iterations).unwrap_or(i64::MAX);
        table([
            (
                "converged",
                Arc::new(BooleanArray::from(vec![self.converged])) as ArrayRef,
            ),
            ("iterations", Arc::new(Int64Array::from(vec![iterations]))),
            ("gradient", numbers([self.gradient])),
            ("tolerance", numbers([tolerance])),
            ("objective", numbers([self.objective])),
            (
                "objective_at_ten_times",
                Arc::new(Float64Array::from(vec![self.cheaper])),
            ),
        ])
    }
}

/// One row for each iteration: `iteration`, from 0, `objective`, and `gradient`, the largest absolute value in it.
pub(super) fn objective(iterations: &[Iteration]) -> Result<RecordBatch, NodeError> {
    let count = Int64Array::from_iter_values((0..).take(iterations.len()));
    table([
        ("iteration", Arc::new(count) as ArrayRef),
        (
            "objective",
            numbers(iterations.iter().map(|one| one.objective)),
        ),
        (
            "gradient",
            numbers(iterations.iter().map(|one| one.gradient)),
        ),
    ])
}

/// One row for each penalty, in rising order: `penalty`, `loss`, `top1`, `judge`, `chosen`, and `at_border`: whether it was chosen and
/// has a neighbor on one side only.
pub(super) fn path(
    candidates: &[Candidate],
    chosen: usize,
    judge: Judge,
) -> Result<RecordBatch, NodeError> {
    let is_chosen = |index: usize| index == chosen;
    let border = |index: usize| {
        is_chosen(index) && candidates.len() > 1 && (index == 0 || index + 1 == candidates.len())
    };
    let of_each = |says: &dyn Fn(usize) -> bool| -> ArrayRef {
        let values: Vec<bool> = (0..candidates.len()).map(says).collect();
        Arc::new(BooleanArray::from(values))
    };
    let judges = candidates.iter().map(|_| judge.name());
    table([
        ("penalty", numbers(candidates.iter().map(|one| one.penalty))),
        ("loss", numbers(candidates.iter().map(|one| one.loss))),
        ("top1", numbers(candidates.iter().map(|one| one.top1))),
        ("judge", Arc::new(StringArray::from_iter_values(judges))),
        ("chosen", of_each(&is_chosen)),
        ("at_border", of_each(&border)),
    ])
}

fn numbers(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// Named columns; those that have a null may have one.
fn table<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch, NodeError> {
    let field = |(name, column): &(&str, ArrayRef)| {
        let nullable = *name == "objective_at_ten_times";
        let kind: &DataType = column.data_type();
        Field::new(*name, kind.clone(), nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column);
    Ok(RecordBatch::try_new(Arc::new(schema), columns.collect())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    #[test]
    fn a_fit_ends_where_its_gradient_is_short() {
        let iterations: Vec<Iteration> = [(2.0, 1.0), (1.5, 5e-3), (1.4, 2e-3), (1.39, 5e-4)]
            .map(|(objective, gradient)| Iteration {
                objective,
                gradient,
            })
            .into();
        let end = End::of(&iterations, 1e-3).unwrap();
        assert!(end.converged);
        assert_eq!((end.iterations, end.cheaper), (3, Some(1.5)));
        let end = End::of(&iterations, 1e-6).unwrap();
        assert!(!end.converged);
        assert_eq!(end.cheaper, None);
        assert_eq!(end.table(1e-6).unwrap().num_rows(), 1);
        assert_eq!(End::of(&[], 1.0), None);
    }

    #[test]
    fn a_choice_at_either_end_of_a_path_is_told() {
        let candidate = |penalty| Candidate {
            penalty,
            loss: 1.0,
            top1: 0.5,
        };
        let border = |penalties: &[f64], chosen| {
            let candidates: Vec<Candidate> = penalties.iter().map(|&one| candidate(one)).collect();
            let table = path(&candidates, chosen, Judge::LeaveOneOut).unwrap();
            let column = table.column_by_name("at_border").unwrap();
            let said: Vec<bool> = column.as_boolean().iter().flatten().collect();
            said
        };
        assert_eq!(border(&[1.0, 2.0, 3.0], 0), [true, false, false]);
        assert_eq!(border(&[1.0, 2.0, 3.0], 1), [false, false, false]);
        assert_eq!(border(&[1.0, 2.0, 3.0], 2), [false, false, true]);
        assert_eq!(border(&[1.0], 0), [false]);
    }
}
