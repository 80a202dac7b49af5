//! The claims, what decides each of them, and the verdicts.

use std::fmt;

use super::AXES;
use super::grid::{Combination, Estimate, Grid, View};
use crate::report::axes;
use crate::report::number::{Unit, listed};
use crate::text::plural;

/// Positions in [`AXES`].
const BLOCK: usize = 0;
const TIMESTEP: usize = 1;
const POOL: usize = 2;

/// The fewest values of each axis on which anything can be concluded.
const FEWEST: [usize; 3] = [3, 3, 2];

/// Decimals of a printed value.
const DECIMALS: usize = 2;

/// A difference below this is taken for the rounding of sums.
const ROUNDING: f64 = 1e-12;

/// What is written below the table.
pub(super) const IN_WORDS: [&str; 7] = [
    "Sensitivity to an axis: the largest less the smallest value along it, averaged over all settings of the other two axes. It depends on which values were run.",
    "Most sensitive to the block: the sensitivity to the block less the larger of the other two is above zero. Least sensitive to the pool: the smaller of the other two less the sensitivity to the pool is above zero.",
    "Middle of the network: by the mean over timesteps and pools, the best block within the middle third of the network's blocks is above the best one outside.",
    "Small timestep: by the mean over blocks and pools, the best timestep that is not above the median of those run is above the best one that is.",
    "Steep drop: between neighboring timesteps, the largest fall that ends above the median is larger than the largest change, up or down, up to the median.",
    "Each verdict rests on one difference, the last number of its row. For each run it is taken between the cells that the other runs name as the largest and smallest, since the largest of many values is large by chance too; so it can be smaller than the numbers before it suggest.",
    "A claim holds where its difference is above zero, and does not where it is below. It cannot be told where that difference is smaller than two standard errors (a mild test: on made-up results without any effect, five runs pass it in one case of three to eight; and it knows nothing of the choice of images), where there is one run only, or where fewer than 3 blocks, 3 timesteps or 2 pools decide.",
];

/// What the numbers are shown in, and how deep the network is.
#[derive(Debug)]
pub(super) struct Scale<'a> {
    /// The metric's unit.
    pub(super) unit: &'a Unit,
    /// How many blocks the network has, where that is known.
    pub(super) blocks: Option<u32>,
}

impl Scale<'_> {
    fn show(&self, value: f64) -> String {
        self.unit.show(value, DECIMALS)
    }

    /// "6.67 ± 0.41".
    fn estimate(&self, estimate: Estimate) -> String {
        let error = estimate
            .error
            .map_or_else(|| "–".to_owned(), |error| self.show(error));
        format!("{} ± {error}", self.show(estimate.value))
    }
}

/// Whether a claim holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The claim is shown: the difference that decides is positive.
    Holds,
    /// The opposite is shown: the difference that decides is negative.
    DoesNotHold,
    /// Neither is shown, for this reason.
    CannotBeTold(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => formatter.write_str("**holds**"),
            Self::DoesNotHold => formatter.write_str("**does not hold**"),
            Self::CannotBeTold(why) => write!(formatter, "cannot be told: {why}"),
        }
    }
}

impl Verdict {
    /// By the difference that decides.
    fn of(difference: Estimate) -> Self {
        let Some(error) = difference.error else {
            return Self::CannotBeTold("one run only".to_owned());
        };
        let size = difference.value.abs();
        if size < ROUNDING {
            return Self::CannotBeTold("there is no difference".to_owned());
        }
        if size < 2.0 * error {
            return Self::CannotBeTold("smaller than two standard errors".to_owned());
        }
        if difference.value > 0.0 {
            Self::Holds
        } else {
            Self::DoesNotHold
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Finding {
    /// The claim as the table prints it.
    pub(super) claim: &'static str,
    /// Where the paper makes it.
    pub(super) source: &'static str,
    /// What was measured; the last number is the difference that decides.
    pub(super) measured: String,
    /// Whether the claim holds, by that difference.
    pub(super) verdict: Verdict,
}

/// Judges every claim.
pub(super) fn findings(grid: &Grid, scale: &Scale<'_>) -> Vec<Finding> {
    let paper = "arXiv 2307.08702";
    let finding = |claim, source, (measured, verdict): (String, Verdict)| Finding {
        claim,
        source,
        measured,
        verdict,
    };
    vec![
        finding(
            "Accuracy is most sensitive to the block number",
            paper,
            most_sensitive_to_the_block(grid, scale),
        ),
        finding(
            "Accuracy is least sensitive to pooling",
            paper,
            least_sensitive_to_the_pool(grid, scale),
        ),
        finding(
            "The best block is in the middle of the network",
            "arXiv 2307.08702: block 24 is best on ImageNet, block 19 on CUB",
            middle_blocks_are_best(grid, scale),
        ),
        finding(
            "A small timestep is best",
            "arXiv 2307.08702: t = 90 of 1,000 is best on ImageNet",
            a_small_timestep_is_best(grid, scale),
        ),
        finding(
            "Accuracy drops steeply at high noise",
            paper,
            high_noise_is_a_steep_drop(grid, scale),
        ),
    ]
}

/// A row on which nothing was measured.
fn untold(why: impl Into<String>) -> (String, Verdict) {
    ("–".to_owned(), Verdict::CannotBeTold(why.into()))
}

/// What keeps a claim about these axes from being judged.
fn lacking(grid: &Grid, about: &[usize]) -> Option<(String, Verdict)> {
    if grid.runs == 0 {
        return Some(untold("there are no results that could be compared"));
    }
    let sizes = grid.sizes();
    let short: Vec<String> = about
        .iter()
        .filter(|&&axis| sizes[axis] < FEWEST[axis])
        .map(|&axis| {
            format!(
                "{} instead of {}",
                plural(sizes[axis], AXES[axis]),
                FEWEST[axis]
            )
        })
        .collect();
    (!short.is_empty()).then(|| untold(format!("too few values: {}", listed(&short))))
}

/// The axis to whose values a view is the most sensitive, or the least, of two; the first of equal ones.
fn extreme(view: View<'_>, axes: [usize; 2], most: bool) -> usize {
    let [first, second] = axes.map(|axis| view.value(&view.sensitivity(axis)));
    let takes_second = if most { second > first } else { second < first };
    axes[usize::from(takes_second)]
}

fn most_sensitive_to_the_block(grid: &Grid, scale: &Scale<'_>) -> (String, Verdict) {
    if let Some(untold) = lacking(grid, &[BLOCK, TIMESTEP, POOL]) {
        return untold;
    }
    let next = |view: View<'_>| extreme(view, [TIMESTEP, POOL], true);
    let difference = grid.decide(|view| {
        let other = view.sensitivity(next(view));
        view.sensitivity(BLOCK).less(&other)
    });
    let view = grid.view();
    let shown = |axis| scale.show(view.value(&view.sensitivity(axis)));
    let measured = format!(
        "sensitivity to block {}, to timestep {}, to pool {}; block less {}: {}",
        shown(BLOCK),
        shown(TIMESTEP),
        shown(POOL),
        AXES[next(view)],
        scale.estimate(difference)
    );
    (measured, Verdict::of(difference))
}

fn least_sensitive_to_the_pool(grid: &Grid, scale: &Scale<'_>) -> (String, Verdict) {
    if let Some(untold) = lacking(grid, &[BLOCK, TIMESTEP, POOL]) {
        return untold;
    }
    let next = |view: View<'_>| extreme(view, [TIMESTEP, BLOCK], false);
    let difference = grid.decide(|view| {
        let other = view.sensitivity(next(view));
        other.less(&view.sensitivity(POOL))
    });
    let view = grid.view();
    let shown = |axis| scale.show(view.value(&view.sensitivity(axis)));
    let name = AXES[next(view)];
    let measured = format!(
        "sensitivity to pool {}, the smaller of the others is to {name}, {}; {name} less pool: {}",
        shown(POOL),
        shown(next(view)),
        scale.estimate(difference)
    );
    (measured, Verdict::of(difference))
}

/// The best of some values of an axis by the mean over the other two: its index and its mean.
fn best_of(
    view: View<'_>,
    grid: &Grid,
    axis: usize,
    indices: &[usize],
) -> Option<(usize, Combination)> {
    let all = indices
        .iter()
        .map(|&index| (index, grid.marginal(axis, index)));
    view.largest(all.collect())
}

/// The best within a group against the best outside of it.
fn better_group(
    grid: &Grid,
    scale: &Scale<'_>,
    axis: usize,
    (is_within, group): (&dyn Fn(usize) -> bool, &str),
) -> (String, Verdict) {
    let (within, outside): (Vec<usize>, Vec<usize>) =
        (0..grid.sizes()[axis]).partition(|&index| is_within(index));
    let best = |view: View<'_>, indices: &[usize]| best_of(view, grid, axis, indices);
    let view = grid.view();
    let (Some(inner), Some(outer)) = (best(view, &within), best(view, &outside)) else {
        return untold(format!("{group} holds either all or none of those run"));
    };
    let named = |(index, mean): &(usize, Combination)| {
        format!(
            "{} ({})",
            axes::phrase(AXES[axis], &grid.values(axis)[*index]),
            scale.show(view.value(mean))
        )
    };
    let difference = grid.decide(|view| {
        match (best(view, &within), best(view, &outside)) {
            (Some((_, within)), Some((_, outside))) => within.less(&outside),
            // Neither group is empty, as was seen above.
            _ => inner.1.less(&outer.1),
        }
    });
    let measured = format!(
        "the best within {group} is {}, outside {}; difference {}",
        named(&inner),
        named(&outer),
        scale.estimate(difference)
    );
    (measured, Verdict::of(difference))
}

fn middle_blocks_are_best(grid: &Grid, scale: &Scale<'_>) -> (String, Verdict) {
    if let Some(untold) = lacking(grid, &[BLOCK]) {
        return untold;
    }
    let Some(blocks) = scale.blocks else {
        return untold("how many blocks the network has is not known");
    };
    let middle = f64::from(blocks / 3 + 1)..=f64::from(blocks - blocks / 3);
    let group = format!(
        "the middle third (blocks {} to {} of {blocks})",
        middle.start(),
        middle.end()
    );
    let is_middle = |index: usize| {
        axes::number(&grid.values(BLOCK)[index]).is_some_and(|block| middle.contains(&block))
    };
    better_group(grid, scale, BLOCK, (&is_middle, &group))
}

/// The position of the last timestep that is not above the median of those run.
fn median(grid: &Grid) -> usize {
    grid.sizes()[TIMESTEP].saturating_sub(1) / 2
}

fn a_small_timestep_is_best(grid: &Grid, scale: &Scale<'_>) -> (String, Verdict) {
    if let Some(untold) = lacking(grid, &[TIMESTEP]) {
        return untold;
    }
    let median = median(grid);
    let group = format!(
        "the lower half (up to t = {})",
        grid.values(TIMESTEP)[median]
    );
    better_group(grid, scale, TIMESTEP, (&|index| index <= median, &group))
}

/// What happens from one timestep to the next: the position of the later one, and the change.
type Change = (usize, Combination);

/// The largest fall that ends above the median, and the largest change, up or down, up to the median.
fn fall_and_change(view: View<'_>, grid: &Grid) -> Option<(Change, Change)> {
    let median = median(grid);
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for end in 1..grid.sizes()[TIMESTEP] {
        let (before, after) = (
            grid.marginal(TIMESTEP, end - 1),
            grid.marginal(TIMESTEP, end),
        );
        let fall = before.less(&after);
        if end > median {
            high.push((end, fall));
        } else {
            low.push((end, after.less(&before)));
            low.push((end, fall));
        }
    }
    view.largest(high).zip(view.largest(low))
}

fn high_noise_is_a_steep_drop(grid: &Grid, scale: &Scale<'_>) -> (String, Verdict) {
    if let Some(untold) = lacking(grid, &[TIMESTEP]) {
        return untold;
    }
    let view = grid.view();
    let Some((fall, change)) = fall_and_change(view, grid) else {
        return untold("too few timesteps");
    };
    let difference = grid.decide(|view| {
        let (fall, change) =
            fall_and_change(view, grid).unwrap_or_else(|| (fall.clone(), change.clone()));
        fall.1.less(&change.1)
    });
    let timesteps = grid.values(TIMESTEP);
    let named = |(end, change): &Change| {
        format!(
            "{} (t = {} to {})",
            scale.show(view.value(change)),
            timesteps[end - 1],
            timesteps[*end]
        )
    };
    let measured = format!(
        "the largest fall at high noise is {}, the largest change before {}; difference {}",
        named(&fall),
        named(&change),
        scale.estimate(difference)
    );
    (measured, Verdict::of(difference))
}
