//! Table kind `claims`: which claims of the paper hold in these results.
//!
//! The claims are `papers/claims.rs`; what decides each of them stands in `rules.rs` and `timesteps.rs` (sensitivity, the best block and
//! timestep, the drop at high noise), `elsewhere.rs` (datasets, networks, heads) and `twins.rs` (pairs of cells), the test in `decision.rs`. A verdict rests on the scores of
//! single images, half of which name the cells that a claim is about and half of which measure their difference.
//!
//! # Reference
//! arXiv 2307.08702.
//!
//! # Deviations
//! The paper names t = 90 and blocks of its own network. Here a timestep inside of those run is tried, and the middle third of the network's
//! blocks. The paper has ranges along an axis, which grow with the number of values; here it is the mean absolute difference of two values.
//! The paper's drop at high noise is seen in a figure whose timesteps are not evenly spaced; here slopes per unit of log SNR are compared.

mod bank;
mod decision;
mod elsewhere;
mod grid;
mod rules;
mod timesteps;
mod twins;

use std::sync::Arc;

use self::bank::Bank;
use self::grid::Grid;
use self::rules::{Evidence, Finding, Found};
use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::numbers::to_usize;
use crate::papers::claims;
use crate::report::axes::KnownAxes;
use crate::report::comparison::{CLAIM, Compared, Comparison, NOT_APPLICABLE, Outcomes, p_value};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::listed;
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, value_of,
};
use crate::spec::{Fields, Kind, KindDoc};
use crate::statistics::CONFIDENCE;
use crate::statistics::holm::holm;
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

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        self.check(&selection)?;
        let cells = selection.cells(&AXES.map(str::to_owned))?;
        let (grid, of_grid) = Grid::of(&cells);
        let mut findings = match Bank::of(&of_grid, &self.question.over, outcomes)? {
            Ok(bank) => rules::findings(&Evidence {
                grid: &grid,
                bank: &bank,
                unit: &selection.unit,
                blocks: blocks_of_network(&selection, input),
                log_snr: log_snr(&selection, input),
            }),
            Err(reason) => rules::CLAIMS
                .map(|claim| Finding {
                    claim,
                    part: String::new(),
                    found: Found::NotApplicable(reason.clone()),
                })
                .into(),
        };
        findings.extend(elsewhere::findings(self, input, outcomes)?);
        Ok(judged(findings))
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        self.check(&selection)?;
        let spread = AXES.map(str::to_owned);
        let cells = selection.cells(&spread)?;
        let (grid, _) = Grid::of(&cells);
        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        for claim in claims::ALL {
            let found: Vec<&Comparison> = compared
                .all(CLAIM)
                .filter(|one| one.subject == claim.id)
                .collect();
            let text = markdown::escape(claim.text);
            let source = markdown::escape(claim.source);
            if found.is_empty() {
                let verdict = footnotes.absent(compared.why_none());
                let line = vec![text, source, String::new(), String::new(), verdict];
                lines.push(line.into_iter().map(TableCell::from).collect());
                continue;
            }
            for (index, one) in found.into_iter().enumerate() {
                // A claim of several parts is written once.
                let [text, source] = if index == 0 {
                    [text.clone(), source.clone()]
                } else {
                    [String::new(), String::new()]
                };
                let texts = [vec![text, source], line(one)].concat();
                // What claims about datasets, networks and heads rest on is more than the grid; the text names it.
                let behind: &[_] = if rules::CLAIMS.contains(&claim.id) {
                    &selection.rows
                } else {
                    &[]
                };
                lines.push(TableCell::line(texts, input, behind));
            }
        }
        let heads = ["claim", "source", "measured", "p by Holm", "verdict"].map(str::to_owned);
        let mut notes = footnotes.lines();
        notes.extend(grid.remarks());
        let described = Spread::of(&selection, &cells);
        let runs = compared.all(CLAIM).find_map(|one| one.runs);
        if let Some(runs) = runs.filter(|runs| *runs < described.most as u64) {
            notes.push(format!(
                "Only what all cells have is used: {} of at most {}.",
                plural(to_usize(runs), "run"),
                described.most
            ));
        }
        notes.extend(selection.absent());
        let [blocks, timesteps, pools] = grid.sizes();
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: format!(
                "{} {}, {} and {}. Claims of arXiv 2307.08702; the verdicts are computed from these results and hold for this setting.",
                selection.caption(&described.mean),
                plural(blocks, "block"),
                plural(timesteps, "timestep"),
                plural(pools, "pool"),
            ),
            body: Body::of(heads.into(), vec![false, false, false, true, false], lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

/// The verdicts.
const CONFIRMED: &str = "confirmed";
const REFUTED: &str = "refuted";
const UNDECIDED: &str = "undecided";

/// The findings with their verdicts, by Holm's method over all that were tested.
fn judged(findings: Vec<Finding>) -> Vec<Comparison> {
    let p = |finding: &Finding| match &finding.found {
        Found::Tested { decision, .. } => Some(decision.p),
        Found::NotApplicable(_) => None,
    };
    let all: Vec<f64> = findings.iter().filter_map(p).collect();
    let mut adjusted = holm(&all).into_iter();
    let judge = |finding: Finding| {
        let comparison = Comparison {
            about: CLAIM.to_owned(),
            subject: finding.claim.to_owned(),
            against: finding.part,
            ..Comparison::default()
        };
        match finding.found {
            Found::Tested {
                decision,
                measured,
                samples,
                runs,
            } => {
                let adjusted = adjusted.next();
                let is_decided = adjusted.is_some_and(|p| p < 1.0 - CONFIDENCE);
                let verdict = match (is_decided, decision.confirms) {
                    (false, _) => UNDECIDED,
                    (true, true) => CONFIRMED,
                    (true, false) => REFUTED,
                };
                let only = <[f64; 1]>::try_from(decision.contrasts).ok();
                Comparison {
                    estimate: only.map(|[only]| only),
                    p: Some(decision.p),
                    adjusted,
                    samples: Some(samples as u64),
                    runs: Some(runs as u64),
                    verdict: verdict.to_owned(),
                    text: measured,
                    ..comparison
                }
            }
            Found::NotApplicable(reason) => Comparison {
                verdict: NOT_APPLICABLE.to_owned(),
                text: reason,
                ..comparison
            },
        }
    };
    findings.into_iter().map(judge).collect()
}

/// What was measured, its p and the verdict.
fn line(one: &Comparison) -> Vec<String> {
    let untested = || "not tested".to_owned();
    let text = markdown::escape(&one.text);
    if one.verdict == NOT_APPLICABLE {
        let part = match one.against.as_str() {
            "" => "not measured".to_owned(),
            part => markdown::escape(part),
        };
        return vec![part, untested(), format!("{NOT_APPLICABLE}: {text}")];
    }
    let measured = if one.against.is_empty() {
        text
    } else {
        format!("{}: {text}", markdown::escape(&one.against))
    };
    let verdict = markdown::escape(&one.verdict);
    let verdict = if one.verdict == UNDECIDED {
        verdict
    } else {
        format!("**{verdict}**")
    };
    vec![
        measured,
        one.adjusted.map_or_else(untested, p_value),
        verdict,
    ]
}

impl Claims {
    /// What messages call it.
    fn place(&self) -> String {
        format!("table `{}`", self.question.title)
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

/// The ratios of signal to noise of the model that the rows are of; `None` where it has no schedule.
fn log_snr<'i>(
    selection: &Selection<'_>,
    input: &'i ReportInput,
) -> Option<&'i std::collections::BTreeMap<u32, f64>> {
    let name = value_of(selection.rows.first()?, "model").to_string();
    input.log_snr.get(&name)
}

#[cfg(test)]
mod false_positives;
#[cfg(test)]
mod tests;
