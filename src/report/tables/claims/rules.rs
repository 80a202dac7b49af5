//! The rules of the claims about one grid of blocks, timesteps and pools; those about timesteps are in `timesteps.rs`.

use std::collections::BTreeMap;

use super::AXES;
use super::bank::{Bank, Half, Weights};
use super::decision::{Decision, decide};
use super::grid::Grid;
use super::timesteps::{optimum_inside, steep_drop};
use crate::papers::claims::{BEST_BLOCK_INSIDE, BLOCK_MATTERS_MOST, T90_BEST};
use crate::report::axes;
use crate::report::number::{Unit, listed};
use crate::text::plural;

/// Positions in [`AXES`].
pub(super) const BLOCK: usize = 0;
pub(super) const TIMESTEP: usize = 1;
pub(super) const POOL: usize = 2;

/// The fewest values of each axis on which anything can be concluded.
const FEWEST: [usize; 3] = [3, 3, 2];

/// Decimals of a printed value.
const DECIMALS: usize = 2;

/// A claim, or a part of one, and what came of it.
#[derive(Debug)]
pub(super) struct Finding {
    /// The claim's id.
    pub(super) claim: &'static str,
    /// Which part of it; empty where it is one.
    pub(super) part: String,
    /// The verdict, or why there is none.
    pub(super) found: Found,
}

/// What was found of a claim.
#[derive(Debug)]
pub(super) enum Found {
    /// It was tested.
    Tested {
        /// The test, with its p before Holm's correction.
        decision: Decision,
        /// What was measured, in words.
        measured: String,
        /// On how many images.
        samples: usize,
        /// Over how many runs.
        runs: usize,
    },
    /// It cannot be tested, for this reason.
    NotApplicable(String),
}

/// What the rules are applied to.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// The cells' places.
    pub(super) grid: &'a Grid,
    /// Their scores.
    pub(super) bank: &'a Bank,
    /// The metric's unit.
    pub(super) unit: &'a Unit,
    /// How many blocks the network has, where that is known.
    pub(super) blocks: Option<u32>,
    /// The logarithm of the ratio of signal to noise by timestep, where the network has a schedule.
    pub(super) log_snr: Option<&'a BTreeMap<u32, f64>>,
}

impl Evidence<'_> {
    pub(super) fn show(&self, value: f64) -> String {
        self.unit.show(value, DECIMALS)
    }

    /// With a sign before what is above zero too.
    pub(super) fn signed(&self, value: f64) -> String {
        let shown = self.show(value);
        if value > 0.0 {
            format!("+{shown}")
        } else {
            shown
        }
    }

    /// The value of a contrast on all images.
    pub(super) fn on_all(&self, weights: &Weights) -> f64 {
        Bank::value(self.bank.whole(), weights)
    }

    /// Tests contrasts that one half of the images names and the other measures.
    pub(super) fn test(
        &self,
        needed: usize,
        name: impl Fn(&Half) -> Vec<Weights>,
        words: impl FnOnce(&Decision) -> String,
    ) -> Found {
        let measured: Vec<Option<Vec<_>>> = self
            .bank
            .splits()
            .map(|split| {
                let contrasts = name(split.named_on);
                let measure = |weights| self.bank.measure(split, weights);
                contrasts.iter().map(measure).collect()
            })
            .collect();
        match decide(needed, &measured) {
            Some(decision) => Found::Tested {
                measured: words(&decision),
                decision,
                samples: self.bank.samples(),
                runs: self.bank.runs(),
            },
            None => Found::NotApplicable("there are too few images to halve".to_owned()),
        }
    }

    /// What keeps a claim about these axes from being tested.
    pub(super) fn lacking(&self, about: &[usize]) -> Option<Found> {
        let sizes = self.grid.sizes();
        let short: Vec<String> = about
            .iter()
            .filter(|&&axis| sizes[axis] < FEWEST[axis])
            .map(|&axis| {
                let found = plural(sizes[axis], AXES[axis]);
                format!("{found} instead of at least {}", FEWEST[axis])
            })
            .collect();
        (!short.is_empty()).then(|| Found::NotApplicable(listed(&short)))
    }

    /// The middle third of the network's blocks: the first and the last of them, and of how many.
    fn middle(&self) -> Option<(u32, u32, u32)> {
        let blocks = self.blocks?;
        Some((blocks / 3 + 1, blocks - blocks / 3, blocks))
    }

    /// The positions of the blocks run that are in the middle third.
    fn middle_blocks(&self) -> Vec<usize> {
        let Some((first, last, _)) = self.middle() else {
            return Vec::new();
        };
        let (first, last) = (f64::from(first), f64::from(last));
        let blocks = self.grid.values(BLOCK).iter().enumerate();
        let is_in = |block: f64| first <= block && block <= last;
        blocks
            .filter(|(_, block)| axes::number(block).is_some_and(is_in))
            .map(|(index, _)| index)
            .collect()
    }
}

/// The claims about the grid.
pub(super) const CLAIMS: [&str; 3] = [BLOCK_MATTERS_MOST, T90_BEST, BEST_BLOCK_INSIDE];

/// Tests every claim about the grid.
pub(super) fn findings(evidence: &Evidence<'_>) -> Vec<Finding> {
    let finding = |claim, part: &str, found| Finding {
        claim,
        part: part.to_owned(),
        found,
    };
    let all = |_: usize| true;
    let middle = evidence.middle_blocks();
    let near = |block: usize| middle.contains(&block);
    let around = |found: &dyn Fn() -> Found| match evidence.middle() {
        None => Found::NotApplicable("how many blocks the network has is not known".to_owned()),
        Some((first, last, blocks)) if middle.len() < FEWEST[BLOCK] => {
            Found::NotApplicable(format!(
                "{} of the middle third (blocks {first} to {last} of {blocks}) instead of at least {}",
                plural(middle.len(), "block"),
                FEWEST[BLOCK]
            ))
        }
        Some(_) => found(),
    };
    let most = |counts: &dyn Fn(usize) -> bool| sensitivities(evidence, BLOCK, true, counts);
    let least = |counts: &dyn Fn(usize) -> bool| sensitivities(evidence, POOL, false, counts);
    vec![
        finding(
            BLOCK_MATTERS_MOST,
            "most sensitive to the block, whole grid",
            most(&all),
        ),
        finding(
            BLOCK_MATTERS_MOST,
            "most sensitive to the block, middle third of the network",
            around(&|| most(&near)),
        ),
        finding(
            BLOCK_MATTERS_MOST,
            "least sensitive to the pool, whole grid",
            least(&all),
        ),
        finding(
            BLOCK_MATTERS_MOST,
            "least sensitive to the pool, middle third of the network",
            around(&|| least(&near)),
        ),
        finding(
            BLOCK_MATTERS_MOST,
            "steep drop at high noise",
            steep_drop(evidence),
        ),
        finding(
            T90_BEST,
            "an optimum inside, by the mean over blocks and pools",
            optimum_inside(evidence, false),
        ),
        finding(
            T90_BEST,
            "an optimum inside, at the best block and pool",
            optimum_inside(evidence, true),
        ),
        finding(
            BEST_BLOCK_INSIDE,
            "middle third of the network",
            middle_is_best(evidence),
        ),
    ]
}

/// Whether one axis matters more, or less, than each of the two others.
fn sensitivities(
    evidence: &Evidence<'_>,
    axis: usize,
    is_most: bool,
    counts: &dyn Fn(usize) -> bool,
) -> Found {
    if let Some(lacking) = evidence.lacking(&[BLOCK, TIMESTEP, POOL]) {
        return lacking;
    }
    let others: Vec<usize> = (0..3).filter(|other| *other != axis).collect();
    let of = |axis: usize, half: &Half| evidence.grid.sensitivity(axis, counts, half);
    let name = |half: &Half| {
        let own = of(axis, half);
        let contrast = |other: &usize| {
            let other = of(*other, half);
            if is_most {
                less(&own, &other)
            } else {
                less(&other, &own)
            }
        };
        others.iter().map(contrast).collect()
    };
    evidence.test(2, name, |decision| {
        let on_all = |axis: usize| {
            let weights = of(axis, evidence.bank.whole());
            let value = evidence.show(evidence.on_all(&weights));
            format!("of two {}s {value}", AXES[axis])
        };
        let contrasts = others
            .iter()
            .zip(&decision.contrasts)
            .map(|(other, value)| {
                let value = evidence.signed(*value);
                if is_most {
                    format!("{} less {} {value}", AXES[axis], AXES[*other])
                } else {
                    format!("{} less {} {value}", AXES[*other], AXES[axis])
                }
            });
        let contrasts: Vec<String> = contrasts.collect();
        format!(
            "mean absolute difference {}; {}",
            listed(&[BLOCK, TIMESTEP, POOL].map(on_all)),
            contrasts.join(", ")
        )
    })
}

/// One contrast less another.
pub(super) fn less(left: &Weights, right: &Weights) -> Weights {
    left.iter()
        .zip(right)
        .map(|(left, right)| left - right)
        .collect()
}

/// The best of some values of an axis by means over the cells of a slice.
pub(super) fn best(
    half: &Half,
    indices: impl Iterator<Item = usize>,
    mean: &dyn Fn(usize) -> Weights,
) -> Option<(usize, Weights)> {
    let valued = indices.map(|index| {
        let weights = mean(index);
        (Bank::value(half, &weights), index, weights)
    });
    // Of equal ones the first.
    let best = valued.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, index, weights)| (index, weights))
}

fn middle_is_best(evidence: &Evidence<'_>) -> Found {
    if let Some(lacking) = evidence.lacking(&[BLOCK]) {
        return lacking;
    }
    let Some((first, last, blocks)) = evidence.middle() else {
        return Found::NotApplicable("how many blocks the network has is not known".to_owned());
    };
    let middle = evidence.middle_blocks();
    let group = format!("the middle third (blocks {first} to {last} of {blocks})");
    let count = evidence.grid.sizes()[BLOCK];
    if middle.is_empty() || middle.len() == count {
        return Found::NotApplicable(format!("{group} holds either all or none of those run"));
    }
    let mean = |block: usize| evidence.grid.marginal(BLOCK, block);
    let both = |half: &Half| {
        let within = best(half, middle.iter().copied(), &mean)?;
        let outside = best(
            half,
            (0..count).filter(|block| !middle.contains(block)),
            &mean,
        )?;
        Some([within, outside])
    };
    let name = |half: &Half| {
        both(half).map_or_else(Vec::new, |[within, outside]| {
            vec![less(&within.1, &outside.1)]
        })
    };
    evidence.test(1, name, |decision| {
        let named = both(evidence.bank.whole()).map_or_else(Vec::new, |found| {
            found
                .iter()
                .map(|(index, mean)| {
                    let block = &evidence.grid.values(BLOCK)[*index];
                    format!("block {block} ({})", evidence.show(evidence.on_all(mean)))
                })
                .collect()
        });
        let difference = decision
            .contrasts
            .iter()
            .map(|value| evidence.signed(*value));
        format!(
            "the best within {group} and the best outside: {}; difference {}",
            listed(&named),
            difference.collect::<String>()
        )
    })
}
