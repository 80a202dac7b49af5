//! All warnings of an experiment, from wherever they come.

use crate::graph::Experiment;
use crate::inputs::Inputs;
use crate::plan::{self, Plan};
use crate::report::ReportWarning;
use crate::report::choices::choices;
use crate::spec::Diagnostics;
use crate::spec::source::Places;
use crate::store::ResultRow;
use crate::text::plural;
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
                place: Some(format!(
                    "{}:{line}:{column}",
                    source.name_at(item.span.start)
                )),
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

/// Of so many choices a warning says where they stand.
const SHOWN: usize = 3;

/// What only results show: choices that stand at the border of what was tried, where the best may lie outside.
pub fn of_results(rows: &[ResultRow]) -> Vec<ReportWarning> {
    let made = choices(rows);
    let made: Vec<_> = made
        .iter()
        .filter(|choice| !choice.at_border.is_empty())
        .collect();
    if made.is_empty() {
        return Vec::new();
    }
    let shown = made.iter().take(SHOWN);
    let shown: Vec<String> = shown
        .map(|choice| {
            format!(
                "{} ({}; border in {})",
                choice.of, choice.place, choice.at_border
            )
        })
        .collect();
    let more = match made.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    vec![ReportWarning {
        code: "run::at-border".to_owned(),
        place: None,
        message: format!(
            "{} at the border of what was tried: {}{more}",
            plural(made.len(), "choice"),
            shown.join("; ")
        ),
        hint: Some("the best may lie outside: try values beyond the border too".to_owned()),
    }]
}
