//! The rules of the claims about timesteps: whether an optimum is inside, and whether accuracy drops steeply at high noise.

use super::bank::{Bank, Half, Weights};
use super::grid::Position;
use super::rules::{BLOCK, Evidence, Found, POOL, TIMESTEP, best, less};
use crate::report::axes;
use crate::report::number::listed;
use crate::store::AxisValue;

/// A timestep inside of those run, the best one before it and the best one behind it, each with its mean.
type Peak = [(usize, Weights); 3];

/// The best timestep that is neither the first nor the last, and its strongest rivals on both sides.
fn peak(evidence: &Evidence<'_>, half: &Half, at_best: bool) -> Option<Peak> {
    let grid = evidence.grid;
    let [blocks, timesteps, pools] = grid.sizes();
    let slice = if at_best {
        let places = (0..blocks).flat_map(|block| (0..pools).map(move |pool| [block, pool]));
        let places: Vec<[usize; 2]> = places.collect();
        let mean = |place: usize| {
            let [block, pool] = places[place];
            grid.mean_where(|position| position[BLOCK] == block && position[POOL] == pool)
        };
        let (place, _) = best(half, 0..places.len(), &mean)?;
        Some(places[place])
    } else {
        None
    };
    let is_in = |position: &Position| {
        slice.is_none_or(|[block, pool]| position[BLOCK] == block && position[POOL] == pool)
    };
    let mean = |timestep: usize| {
        grid.mean_where(|position| position[TIMESTEP] == timestep && is_in(position))
    };
    let inside = best(half, 1..timesteps - 1, &mean)?;
    let before = best(half, 0..inside.0, &mean)?;
    let behind = best(half, inside.0 + 1..timesteps, &mean)?;
    Some([inside, before, behind])
}

/// Whether the best timestep inside of those run is above its strongest rivals on both sides: by the mean over blocks and pools, or at the
/// block and pool that are the best by the mean over timesteps.
pub(super) fn optimum_inside(evidence: &Evidence<'_>, at_best: bool) -> Found {
    if let Some(lacking) = evidence.lacking(&[TIMESTEP]) {
        return lacking;
    }
    let name = |half: &Half| {
        let [inside, before, behind] = peak(evidence, half, at_best)?;
        Some(vec![less(&inside.1, &before.1), less(&inside.1, &behind.1)])
    };
    let name = |half: &Half| name(half).unwrap_or_default();
    evidence.test(2, name, |decision| {
        let found = peak(evidence, evidence.bank.whole(), at_best);
        let named = found.map_or_else(Vec::new, |found| {
            found
                .iter()
                .map(|(index, mean)| {
                    let timestep = &evidence.grid.values(TIMESTEP)[*index];
                    format!("t = {timestep} ({})", evidence.show(evidence.on_all(mean)))
                })
                .collect()
        });
        let differences: Vec<String> = decision
            .contrasts
            .iter()
            .map(|value| evidence.signed(*value))
            .collect();
        format!(
            "the best inside, the best before it and the best behind it: {}; differences to these two {}",
            listed(&named),
            listed(&differences)
        )
    })
}

/// From one timestep to the next: the position of the later one, and the slope per unit of the logarithm of signal to noise.
type Slope = (usize, Weights);

/// The steepest fall that ends above the median timestep, and the steepest change, up or down, up to it.
fn steepest(evidence: &Evidence<'_>, ratios: &[f64], half: &Half) -> Option<[Slope; 2]> {
    let grid = evidence.grid;
    let median = (grid.sizes()[TIMESTEP] - 1) / 2;
    let slope = |end: usize| -> Weights {
        let fall = less(
            &grid.marginal(TIMESTEP, end - 1),
            &grid.marginal(TIMESTEP, end),
        );
        let step = ratios[end - 1] - ratios[end];
        fall.iter().map(|weight| weight / step).collect()
    };
    let fall = best(half, median + 1..ratios.len(), &slope)?;
    // Up and down: of a change the sign that it has on these samples.
    let change = |end: usize| {
        let slope = slope(end);
        let sign = if Bank::value(half, &slope) < 0.0 {
            -1.0
        } else {
            1.0
        };
        slope.iter().map(|weight| sign * weight).collect()
    };
    let change = best(half, 1..=median, &change)?;
    Some([fall, change])
}

/// Whether the steepest fall at high noise is steeper than any change before.
pub(super) fn steep_drop(evidence: &Evidence<'_>) -> Found {
    if let Some(lacking) = evidence.lacking(&[TIMESTEP]) {
        return lacking;
    }
    let timesteps = evidence.grid.values(TIMESTEP);
    let ratio = |timestep: &AxisValue| {
        let mut known = evidence.log_snr?.iter();
        let is_own = |known: &u32| axes::same(timestep, &AxisValue::from(*known));
        known
            .find(|(known, _)| is_own(known))
            .map(|(_, ratio)| *ratio)
    };
    let Some(ratios) = timesteps.iter().map(ratio).collect::<Option<Vec<f64>>>() else {
        return Found::NotApplicable("the network has no schedule of noise".to_owned());
    };
    let name = |half: &Half| {
        steepest(evidence, &ratios, half)
            .map_or_else(Vec::new, |[fall, change]| vec![less(&fall.1, &change.1)])
    };
    evidence.test(1, name, |decision| {
        let named = steepest(evidence, &ratios, evidence.bank.whole());
        let named = named.map_or_else(Vec::new, |found| {
            found
                .iter()
                .map(|(end, slope)| {
                    let (from, to) = (&timesteps[end - 1], &timesteps[*end]);
                    let slope = evidence.show(evidence.on_all(slope));
                    format!("{slope} (t = {from} to {to})")
                })
                .collect()
        });
        let difference = decision.contrasts.iter().map(|value| evidence.signed(*value));
        format!(
            "per unit of log SNR, the steepest fall at high noise and the steepest change before: {}; difference {}",
            listed(&named),
            difference.collect::<String>()
        )
    })
}
