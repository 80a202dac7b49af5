//! The claims that compare datasets, networks and heads: whether the results have both sides, and the contrasts between them.
//!
//! All results of the metric on the split are looked at, whatever the table's `where` leaves of them. A side that results lack makes the claim
//! not applicable, and the reason names it.

use super::Claims;
use super::bank::{Bank, Half, Weights};
use super::decision::decide;
use super::rules::{Finding, Found};
use crate::papers::claims::{
    AIRCRAFT_ABOVE_SIMCLR, ATTENTION_BEST_ON_IMAGENET, ATTENTION_WORST_ON_FGVC, BEATS_BIGBIGAN,
    CKA_EARLY_ALIKE, CUB_POOL_3X, CUB_PREFERS_BLOCK_19, RRC_HURTS, SIMCLR_SWAV_ABOVE_GD,
};
use crate::report::axes;
use crate::report::comparison::Outcomes;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::number::Unit;
use crate::report::selection::{Cell, Filter, Question};
use crate::store::AxisValue;

/// The kinds of the datasets that the paper calls fine-grained.
const FINE_GRAINED: [&str; 6] = ["aircraft", "cars", "cub", "dogs", "flowers", "nabirds"];

/// The kinds of the four heads of the paper's figures.
const HEADS: [&str; 4] = ["linear", "mlp", "cnn", "attention"];

/// One cell of all results, with what is known of its dataset and its network.
pub(super) struct Seen<'a> {
    cell: Cell<'a>,
    axes: Vec<(String, AxisValue)>,
    datasets: Vec<&'a str>,
    /// The preset of its network.
    pub(super) network: &'a str,
    kind: &'a str,
}

/// One side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// A trained diffusion network, under any head.
    Diffusion,
    /// The same under heads of this kind.
    DiffusionUnder(&'static str),
    /// The same under a linear head, at pool 1.
    DiffusionLinearPool1,
    /// A network whose name or preset holds this word.
    Named(&'static str),
}

impl Side {
    /// Whether a cell is on this side.
    pub(super) fn admits(self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Diffusion => {
                seen.kind == "guided-diffusion" && !seen.text("weights").starts_with("synthetic")
            }
            Self::DiffusionUnder(head) => {
                Self::Diffusion.admits(seen) && seen.text("head_kind") == head
            }
            Self::DiffusionLinearPool1 => {
                Self::DiffusionUnder("linear").admits(seen) && seen.text("pool") == "1"
            }
            Self::Named(word) => {
                let names = [seen.network.to_owned(), seen.text("model")];
                names.iter().any(|name| name.to_lowercase().contains(word))
            }
        }
    }

    fn words(self) -> String {
        match self {
            Self::Diffusion => "trained diffusion networks".to_owned(),
            Self::DiffusionUnder(head) => format!("trained diffusion networks under {head} heads"),
            Self::DiffusionLinearPool1 => {
                "trained diffusion networks under linear heads at pool 1".to_owned()
            }
            Self::Named("simclr") => "SimCLR".to_owned(),
            Self::Named("swav") => "SwAV".to_owned(),
            Self::Named("bigbigan") => "BigBiGAN".to_owned(),
            Self::Named(word) => word.to_owned(),
        }
    }
}

impl Seen<'_> {
    /// Its value on an axis, as text.
    pub(super) fn text(&self, axis: &str) -> String {
        let found = self.axes.iter().find(|(name, _)| name == axis);
        found.map_or_else(|| axes::ABSENT.to_owned(), |(_, value)| value.to_string())
    }

    /// Whether its images are of a dataset of this kind, or of a part of one.
    pub(super) fn is_on(&self, dataset: &str) -> bool {
        self.datasets.contains(&dataset)
    }

    /// Its values on all axes but some.
    pub(super) fn without(&self, left_out: &[&str]) -> Vec<&(String, AxisValue)> {
        let kept = self.axes.iter();
        kept.filter(|(name, _)| !left_out.contains(&name.as_str()))
            .collect()
    }
}

/// Everything that is looked at, and how it is read.
pub(super) struct All<'a> {
    pub(super) seen: Vec<Seen<'a>>,
    unit: Unit,
    over: &'a [String],
    outcomes: &'a dyn Outcomes,
}

/// The claims about datasets, networks and heads.
pub(super) fn findings(
    claims: &Claims,
    input: &ReportInput,
    outcomes: &dyn Outcomes,
) -> Result<Vec<Finding>, ReportError> {
    let question = Question {
        filters: claims
            .question
            .filters
            .iter()
            .filter(|filter: &&Filter| filter.axis == "split")
            .cloned()
            .collect(),
        ..claims.question.clone()
    };
    let all = All::of(&question, input, outcomes)?;
    let under = Side::DiffusionUnder;
    let others = HEADS.into_iter().filter(|head| *head != "attention");
    let attention_best: Vec<(Side, Side)> = others
        .map(|other| (under("attention"), under(other)))
        .collect();
    let attention_worst: Vec<(Side, Side)> = attention_best
        .iter()
        .map(|(attention, other)| (*other, *attention))
        .collect();
    let (simclr, swav) = (Side::Named("simclr"), Side::Named("swav"));
    let heads: Vec<(Side, Side)> = HEADS.map(|head| (under(head), simclr)).into();
    let every = |count: usize| count;
    let most = |count: usize| count / 2 + 1;
    let found = [
        (CUB_PREFERS_BLOCK_19, all.block_19()?),
        (CUB_POOL_3X, all.pools()?),
        (
            ATTENTION_BEST_ON_IMAGENET,
            all.between(&["imagenet"], &attention_best, every)?,
        ),
        (
            ATTENTION_WORST_ON_FGVC,
            all.between(&FINE_GRAINED, &attention_worst, most)?,
        ),
        (
            BEATS_BIGBIGAN,
            all.between(
                &["imagenet"],
                &[(Side::DiffusionLinearPool1, Side::Named("bigbigan"))],
                every,
            )?,
        ),
        (
            AIRCRAFT_ABOVE_SIMCLR,
            all.between(&["aircraft"], &heads, |count| count - 1)?,
        ),
        (
            SIMCLR_SWAV_ABOVE_GD,
            all.between(
                &FINE_GRAINED,
                &[(simclr, Side::Diffusion), (swav, Side::Diffusion)],
                most,
            )?,
        ),
        (RRC_HURTS, all.crops(input)?),
        (CKA_EARLY_ALIKE, Found::NotApplicable(cka(input))),
    ];
    let mut findings: Vec<Finding> = Vec::new();
    for (claim, found) in found {
        let two_parts = claim == BEATS_BIGBIGAN;
        let part = if two_parts { "linear probing" } else { "" };
        findings.push(Finding {
            claim,
            part: part.to_owned(),
            found,
        });
        if two_parts {
            findings.push(Finding {
                claim,
                part: "FID".to_owned(),
                found: Found::NotApplicable("no results of FID".to_owned()),
            });
        }
    }
    Ok(findings)
}

/// Why the claim about CKA is not tested.
fn cka(input: &ReportInput) -> String {
    let is_there = input.results.iter().any(|row| row.metric == "cka");
    if is_there {
        "CKA has no score for each image, so that nothing can be tested".to_owned()
    } else {
        "no results of CKA".to_owned()
    }
}

impl<'a> All<'a> {
    fn of(
        question: &'a Question,
        input: &'a ReportInput,
        outcomes: &'a dyn Outcomes,
    ) -> Result<Self, ReportError> {
        let selection = question.put(&format!("table `{}`", question.title), input)?;
        let names: Vec<String> = axes::of(selection.rows.iter().copied())
            .into_iter()
            .filter(|axis| !question.over.iter().any(|over| over == axis))
            .map(str::to_owned)
            .collect();
        let seen = selection.cells(&names)?.into_iter().map(|(key, cell)| {
            let axes: Vec<(String, AxisValue)> = names.iter().cloned().zip(key).collect();
            let value = |axis: &str| {
                let found = axes.iter().find(|(name, _)| name == axis);
                found.map(|(_, value)| value.to_string())
            };
            let (dataset, model) = (value("dataset"), value("model"));
            let dataset = input
                .datasets
                .iter()
                .find(|other| Some(&other.name) == dataset.as_ref());
            let model = input
                .models
                .iter()
                .find(|other| Some(&other.name) == model.as_ref());
            let datasets = dataset.map_or_else(Vec::new, |dataset| {
                let parts = dataset.part_of.iter().map(String::as_str);
                std::iter::once(dataset.kind.as_str())
                    .chain(parts)
                    .collect()
            });
            Seen {
                cell,
                axes,
                datasets,
                network: model.map_or("", |model| model.configuration.as_str()),
                kind: model.map_or("", |model| model.kind.as_str()),
            }
        });
        Ok(Self {
            seen: seen.collect(),
            unit: selection.unit,
            over: &question.over,
            outcomes,
        })
    }

    /// With a sign before what is above zero too.
    pub(super) fn signed(&self, value: f64) -> String {
        let shown = self.unit.show(value, 2);
        if value > 0.0 {
            format!("+{shown}")
        } else {
            shown
        }
    }

    /// The scores of some cells; within, why they cannot be compared.
    pub(super) fn bank(&self, cells: &[&Seen<'a>]) -> Result<Result<Bank, String>, ReportError> {
        let cells: Vec<&Cell<'a>> = cells.iter().map(|seen| &seen.cell).collect();
        Bank::of(&cells, self.over, self.outcomes)
    }

    /// Contrasts of the best of one side and the best of the other, for each pair of sides on each dataset that is there.
    fn between(
        &self,
        datasets: &[&'static str],
        pairs: &[(Side, Side)],
        needed: impl Fn(usize) -> usize,
    ) -> Result<Found, ReportError> {
        let there: Vec<&'static str> = datasets
            .iter()
            .copied()
            .filter(|dataset| self.seen.iter().any(|seen| seen.is_on(dataset)))
            .collect();
        if there.is_empty() {
            return Ok(Found::NotApplicable(match datasets {
                [only] => format!("no results on the dataset kind {only}"),
                _ => "no results on a fine-grained dataset".to_owned(),
            }));
        }
        let (mut banks, mut labels) = (Vec::new(), Vec::new());
        for dataset in there {
            for (left, right) in pairs {
                let of = |side: &Side| -> Vec<&Seen<'a>> {
                    let on = self.seen.iter().filter(|seen| seen.is_on(dataset));
                    on.filter(|seen| side.admits(seen)).collect()
                };
                let (lefts, rights) = (of(left), of(right));
                for (side, found) in [(left, &lefts), (right, &rights)] {
                    if found.is_empty() {
                        let words = side.words();
                        return Ok(Found::NotApplicable(format!(
                            "no results of {words} on {dataset}"
                        )));
                    }
                }
                let count = lefts.len();
                match self.bank(&[lefts, rights].concat())? {
                    Ok(bank) => banks.push((bank, count)),
                    Err(reason) => return Ok(Found::NotApplicable(reason)),
                }
                labels.push(format!(
                    "{} less {} on {dataset}",
                    left.words(),
                    right.words()
                ));
            }
        }
        let mut splits: Vec<_> = banks.iter().map(|(bank, _)| bank.splits()).collect();
        let mut measured = Vec::new();
        loop {
            let now: Option<Vec<_>> = splits.iter_mut().map(Iterator::next).collect();
            let Some(now) = now.filter(|now| !now.is_empty()) else {
                break;
            };
            let estimates = banks.iter().zip(now).map(|((bank, count), split)| {
                bank.measure(split, &best_of_both(split.named_on, *count))
            });
            measured.push(estimates.collect());
        }
        let samples = banks.iter().map(|(bank, _)| bank.samples()).sum();
        let runs = banks.iter().map(|(bank, _)| bank.runs()).min().unwrap_or(0);
        Ok(match decide(needed(banks.len()), &measured) {
            Some(decision) => {
                let words = labels.iter().zip(&decision.contrasts);
                let words: Vec<String> = words
                    .map(|(label, value)| format!("{label} {}", self.signed(*value)))
                    .collect();
                Found::Tested {
                    measured: words.join("; "),
                    decision,
                    samples,
                    runs,
                }
            }
            None => Found::NotApplicable("there are too few images to halve".to_owned()),
        })
    }
}

/// The best of the first cells less the best of the rest, by the means on some samples.
fn best_of_both(half: &Half, count: usize) -> Weights {
    let best = |cells: std::ops::Range<usize>| {
        // Of equal ones the first.
        cells.reduce(|best, next| {
            if half.means[next] > half.means[best] {
                next
            } else {
                best
            }
        })
    };
    let mut weights = vec![0.0; half.means.len()];
    if let (Some(left), Some(right)) = (best(0..count), best(count..half.means.len())) {
        weights[left] = 1.0;
        weights[right] = -1.0;
    }
    weights
}
