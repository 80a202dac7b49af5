//! What a comparison compares: the reference with every other contender, and each pick with what it would score on other images.
//!
//! Three pairs are made for every other contender: both at their best, both at the choice that was made beforehand, and the reference
//! at that choice with the other at its best. The first is between two picks on the very images that are shown; the last
//! gives the advantage of picking to the other side alone. They are paired over images and crossed with runs; the p-values of all
//! pairs of the table are adjusted by Holm's method.
//!
//! How much a pick gains by being picked on the images that it is scored on is measured by halving the images: the best of all
//! candidates on one half, less the same candidate on the other half, as a mean over both directions of [`HALVINGS`] halvings. With half as
//! many images to pick on it is more than with all.

use super::BestOf;
use super::candidates::{Candidates, Contender};
use crate::report::axes;
use crate::report::comparison::runs::{NO_SCORES, Scored, difference};
use crate::report::comparison::{Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::selection::Selection;
use crate::statistics::halving::halves;
use crate::statistics::holm::holm;
use crate::store::Better;
use crate::text::count;

/// What the differences are kept as.
pub(super) const DIFFERENCE: &str = "difference";

/// What the gains of picking are kept as.
pub(super) const OPTIMISM: &str = "optimism";

/// How many halvings the gain of picking is averaged over.
pub(super) const HALVINGS: u32 = 20;

/// Two rows of the table, the reference's first.
pub(super) type Pair<'r, 'a> = (&'r Contender<'a>, &'r Contender<'a>);

/// A row as comparisons call it: "unet, best of 195".
pub(super) fn name(row: &Contender<'_>) -> String {
    let how = match (row.is_fixed, row.searched) {
        (true, _) => ", fixed".to_owned(),
        (false, 0 | 1) => String::new(),
        (false, searched) => format!(", best of {}", count(searched)),
    };
    format!("{}{how}", row.value)
}

/// The rows that are compared, in the order in which they are shown.
pub(super) fn pairs<'r, 'a>(comparison: &BestOf, rows: &'r [Contender<'a>]) -> Vec<Pair<'r, 'a>> {
    let is_reference = |row: &&Contender<'_>| axes::same(&row.value, &comparison.reference);
    let measured = || rows.iter().filter(|row| row.best.is_some());
    let reference = measured().find(|row| is_reference(row) && !row.is_fixed);
    let fixed = measured().find(|row| is_reference(row) && row.is_fixed);
    let others = |is_fixed: bool| {
        measured().filter(move |row| {
            !axes::same(&row.value, &comparison.reference) && row.is_fixed == is_fixed
        })
    };
    let with = |reference: Option<&'r Contender<'a>>, is_fixed: bool| {
        let pairs = others(is_fixed).filter_map(move |other| Some((reference?, other)));
        pairs.collect::<Vec<Pair<'r, 'a>>>()
    };
    [
        with(reference, false),
        with(fixed, true),
        with(fixed, false),
    ]
    .concat()
}

/// All differences and gains of a table.
pub(super) fn comparisons(
    comparison: &BestOf,
    candidates: &Candidates<'_>,
    (selection, rows): (&Selection<'_>, &[Contender<'_>]),
    outcomes: &dyn Outcomes,
) -> Result<Vec<Comparison>, ReportError> {
    let over = &comparison.question.over;
    let scored = |row: &Contender<'_>| match row.best {
        Some((_, cell)) => Scored::of(cell, over, outcomes),
        None => Ok(None),
    };
    let mut all = Vec::new();
    for (reference, other) in pairs(comparison, rows) {
        let comparison = Comparison {
            about: DIFFERENCE.to_owned(),
            subject: name(reference),
            against: name(other),
            ..Comparison::default()
        };
        let found = match (scored(reference)?, scored(other)?) {
            (Some(reference), Some(other)) => difference(&reference, &other),
            _ => Err(NO_SCORES.to_owned()),
        };
        all.push(match found {
            Ok(estimate) => estimate.into(comparison),
            Err(text) => Comparison { text, ..comparison },
        });
    }
    let p: Vec<f64> = all.iter().filter_map(|one| one.p).collect();
    let mut adjusted = holm(&p).into_iter();
    for one in all.iter_mut().filter(|one| one.p.is_some()) {
        one.adjusted = adjusted.next();
    }
    for row in rows.iter().filter(|row| !row.is_fixed && row.searched > 1) {
        let comparison = Comparison {
            about: OPTIMISM.to_owned(),
            subject: name(row),
            ..Comparison::default()
        };
        all.push(
            match optimism(candidates, row, over, selection, outcomes)? {
                Some((estimate, samples)) => Comparison {
                    estimate: Some(estimate),
                    samples: Some(samples as u64),
                    ..comparison
                },
                None => Comparison {
                    text: NO_SCORES.to_owned(),
                    ..comparison
                },
            },
        );
    }
    Ok(all)
}

/// How much better the best of all candidates is on the half of the images that it was picked on than on the other half, and on how many
/// images that was measured; `None` where candidates have no scores, or not on the same images.
fn optimism(
    candidates: &Candidates<'_>,
    row: &Contender<'_>,
    over: &[String],
    selection: &Selection<'_>,
    outcomes: &dyn Outcomes,
) -> Result<Option<(f64, usize)>, ReportError> {
    let mut ids = None;
    // A candidate a row; in 32 bits, since there may be hundreds on tens of thousands of images.
    let mut means: Vec<Vec<f32>> = Vec::new();
    for (_, cell) in candidates.all(&row.value) {
        let Some(scored) = Scored::of(cell, over, outcomes)? else {
            return Ok(None);
        };
        if ids.get_or_insert_with(|| scored.ids.clone()) != &scored.ids {
            return Ok(None);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seven digits are enough to pick by"
        )]
        means.push(scored.means().into_iter().map(|mean| mean as f32).collect());
    }
    let Some(ids) = ids else {
        return Ok(None);
    };
    let sign = if selection.better == Some(Better::Lower) {
        -1.0
    } else {
        1.0
    };
    let (mut sum, mut terms) = (0.0, 0.0);
    for halving in 0..HALVINGS {
        let [first, second] = halves(ids.iter().map(String::as_str), halving);
        for (inside, outside) in [(&first, &second), (&second, &first)] {
            let on = |scores: &[f32], half: &[usize]| {
                let scores = half.iter().map(|&sample| f64::from(scores[sample]));
                scores.sum::<f64>() / half.len() as f64
            };
            let all = means.iter().map(|scores| (on(scores, inside), scores));
            let best = all.reduce(|best, next| {
                if sign * next.0 > sign * best.0 {
                    next
                } else {
                    best
                }
            });
            if let Some((value, scores)) = best.filter(|_| !outside.is_empty()) {
                sum += value - on(scores, outside);
                terms += 1.0;
            }
        }
    }
    Ok((terms > 0.0).then_some((sum / terms, ids.len())))
}
