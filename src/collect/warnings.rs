//! All warnings of an experiment, from wherever they come.

use crate::graph::Experiment;
use crate::inputs::Inputs;
use crate::plan::{self, Plan};
use crate::report::ReportWarning;
use crate::spec::Diagnostics;
use crate::spec::source::Places;
use crate::warning::Warning;

/// The warnings of an experiment.
#[derive(Debug)]
pub struct Warnings {
    /// Those with a place in the experiment file.
    pub placed: Diagnostics,
    /// The others.
    pub others: Vec<Warning>,
}

impl Warnings {
    /// Those that are known from the file alone.
    pub fn of_file(experiment: &Experiment) -> Self {
        Self {
            placed: experiment.warnings.clone(),
            others: Vec::new(),
        }
    }

    /// Every warning: those of the file, those that need the sizes of its datasets, and those of what it reads.
    pub fn of(experiment: &Experiment, inputs: &Inputs, plan: &Plan) -> Self {
        let mut warnings = Self::of_file(experiment);
        for warning in plan::warnings::find(experiment, plan) {
            warnings.placed.push(warning);
        }
        warnings.others.extend(inputs.warnings());
        warnings
    }

    /// The number of all, with a place and without.
    pub fn len(&self) -> usize {
        self.placed.len() + self.others.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each as a report shows it, those with a place in the order of the file.
    pub fn records(&self) -> Vec<ReportWarning> {
        let source = &self.placed.source;
        let mut places = Places::new(source);
        let placed = self.placed.sorted().into_iter().map(|item| {
            let (line, column) = places.next(item.span.start);
            ReportWarning {
                code: item.code.to_owned(),
                place: Some(format!("{}:{line}:{column}", source.name)),
                message: item.message.clone(),
                hint: item.hint.clone(),
            }
        });
        let others = self.others.iter().map(|warning| ReportWarning {
            code: warning.code.to_owned(),
            place: None,
            message: warning.message.clone(),
            hint: warning.hint.clone(),
        });
        placed.chain(others).collect()
    }
}
