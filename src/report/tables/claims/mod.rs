//! Table kind `claims`: which claims of the paper hold in these results.
//!
//! Every verdict is computed from the rows, by the rules that stand below the table; see `rules.rs`. The claims are those of the
//! paper's text for which it prints no number, so that a run can only confirm or refute them.
//!
//! # Reference
//! arXiv 2307.08702: accuracy is least sensitive to pooling and most sensitive to the block number, with a steep drop at high
//! noise; the best settings are block 24 and t = 90 on ImageNet, block 19 on CUB.

mod grid;
mod rules;

use std::sync::Arc;

use self::grid::Grid;
use self::rules::{Finding, Scale};
use super::{RenderedTable, Table, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::listed;
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, value_of,
};
use crate::spec::{Fields, Kind, KindDoc};
use crate::store::Better;
use crate::text::plural;

/// `kind = "claims"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "claims",
        summary: "Which claims of the paper hold in the results of one model, run over blocks, timesteps and pools.",
        keys: &[&METRIC_KEY, &TITLE_KEY, &FILTER_KEY, &OVER_KEY],
        shared: &[],
    },
    parse,
);

/// The axes that the claims are about.
const AXES: [&str; 3] = ["block", "timestep", "pool"];

/// The one other axis that may vary: a name, which says nothing about the features.
const NAME: &str = "extraction";

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known)?;
    if let Some(axis) = AXES
        .iter()
        .find(|axis| question.over.iter().any(|over| over == *axis))
    {
        let message = format!(
            "{} is about `{axis}` and cannot average over it",
            fields.context()
        );
        fields.invalid(OVER_KEY.name, "report::axis-twice", message, None);
    }
    fields
        .is_sound()
        .then(|| Arc::new(Claims { question }) as Arc<dyn Table>)
}

#[derive(Debug)]
struct Claims {
    question: Question,
}

impl Table for Claims {
    fn question(&self) -> &Question {
        &self.question
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedTable, ReportError> {
        let selection = self
            .question
            .put(&format!("table `{}`", self.question.title), input)?;
        self.check(&selection)?;
        let spread = AXES.map(str::to_owned);
        let cells = selection.cells(&spread)?;
        let grid = Grid::of(&cells, &self.question.over);
        let scale = Scale {
            unit: &selection.unit,
            blocks: blocks_of_network(&selection, input),
        };
        let findings = rules::findings(&grid, &scale);

        let heads = ["claim", "source", "measured", "verdict"].map(str::to_owned);
        let lines: Vec<Vec<String>> = findings.iter().map(line).collect();
        let mut notes: Vec<String> = rules::IN_WORDS.map(str::to_owned).to_vec();
        notes.extend(grid.remarks());
        notes.extend(selection.absent());
        let [blocks, timesteps, pools] = grid.sizes();
        let averaged = Spread::of(&selection, &cells).mean;
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: format!(
                "{} Measured on a grid of {}, {} and {}; ± is the standard error over {}. The verdicts are computed from these results by the rules below. They say what holds here, in this setting.",
                selection.caption(&averaged),
                plural(blocks, "block"),
                plural(timesteps, "timestep"),
                plural(pools, "pool"),
                self.over(),
            ),
            body: markdown::table(&heads, &[false; 4], &lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

impl Claims {
    /// What is averaged over, in words: "seeds".
    fn over(&self) -> String {
        match self.question.over.as_slice() {
            [only] => markdown::escape(&format!("{}s", axes::label(only))),
            _ => "runs".to_owned(),
        }
    }

    /// Results of several models or heads would compare these instead.
    fn check(&self, selection: &Selection<'_>) -> Result<(), ReportError> {
        let place = selection.place.clone();
        if selection
            .better
            .is_some_and(|better| better != Better::Higher)
        {
            return Err(ReportError::Unfit {
                place,
                problem: format!(
                    "higher values of `{}` are not better, and the claims are about accuracy",
                    self.question.metric.value
                ),
                hint: "name a metric such as `top1`".to_owned(),
            });
        }
        let varying: Vec<String> = query::varying(&selection.rows)
            .into_iter()
            .filter(|axis| *axis != NAME && !AXES.contains(axis))
            .filter(|axis| !self.question.over.iter().any(|over| over == axis))
            .map(|axis| format!("`{axis}`"))
            .collect();
        if varying.is_empty() {
            return Ok(());
        }
        Err(ReportError::Unfit {
            place,
            problem: format!("the results differ in {} too", listed(&varying)),
            hint: format!(
                "choose one value by `where`, such as `{{ model = \"unet\" }}`, or name {} in `over` if their mean is what you want",
                listed(&varying)
            ),
        })
    }
}

fn line(finding: &Finding) -> Vec<String> {
    vec![
        markdown::escape(finding.claim),
        markdown::escape(finding.source),
        markdown::escape(&finding.measured),
        finding.verdict.to_string(),
    ]
}

/// How many blocks the network has; `None` where no model, or no single one, has the name that the rows bear.
fn blocks_of_network(selection: &Selection<'_>, input: &ReportInput) -> Option<u32> {
    let name = value_of(selection.rows.first()?, "model").to_string();
    let mut blocks = input
        .models
        .iter()
        .filter(|model| model.name == name)
        .map(|model| model.blocks);
    let first = blocks.next()?;
    blocks.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests;
