//! What is shown beside a mean: how far apart its values are, or an interval.

use super::{Cell, Cells, Question, Selection};
use crate::report::axes;
use crate::report::comparison::runs::{NO_SCORES, Scored, share_or_mean};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::number::{Unit, interval_of_mean, mean};
use crate::spec::{Choice, Fields, Key};
use crate::store::AxisValue;

/// The key that chooses it, the same in every kind that has it.
pub const SPREAD_KEY: Key<Choice<Uncertainty>> = Key::choice(
    "spread",
    &[
        ("deviation", Uncertainty::Deviation),
        ("seeds", Uncertainty::Seeds),
        ("images", Uncertainty::Images),
    ],
)
.default(Uncertainty::Deviation)
.doc("What is shown beside a mean: the sample standard deviation, the 95 % interval of the mean over seeds (Student's t), or the 95 % interval over the scored images, crossed with the seeds.");

/// What the intervals over images are kept as.
pub const INTERVAL: &str = "interval";

/// What is shown beside a mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uncertainty {
    /// The sample standard deviation of the values.
    #[default]
    Deviation,
    /// The interval of the mean over seeds: where the mean over very many seeds would be, on these images.
    Seeds,
    /// The interval over the scored images, crossed with what is averaged over: where the mean would be on other images of the kind and with other seeds.
    Images,
}

/// It, for one cell; values as they are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shown {
    /// So far up and down.
    Deviation(f64),
    /// From the first to the second.
    Interval([f64; 2]),
}

impl Uncertainty {
    /// Reads `spread`. An interval over seeds where something else is averaged over is an error.
    pub fn parse(fields: &Fields<'_>, question: &Question) -> Self {
        let chosen = fields.get(&SPREAD_KEY).unwrap_or_default();
        if chosen == Self::Seeds && question.over != ["seed"] {
            let message = format!(
                "`spread = \"seeds\"` of {} needs means over the seed and nothing else",
                fields.context()
            );
            let hint = "write `over = [\"seed\"]`, or leave `over` out; `spread = \"images\"` goes with any `over`";
            fields.invalid(
                SPREAD_KEY.name,
                "report::no-seeds",
                message,
                Some(hint.to_owned()),
            );
        }
        chosen
    }

    /// The intervals of all cells over images, where they are what is shown, by the scores of single images.
    ///
    /// # Errors
    /// Scores that cannot be read.
    pub fn compare(
        self,
        selection: &Selection<'_>,
        cells: &Cells<'_>,
        spread: &[String],
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        if self != Self::Images {
            return Ok(Vec::new());
        }
        let mut all = Vec::with_capacity(cells.len());
        for (key, cell) in cells {
            let comparison = Comparison {
                about: INTERVAL.to_owned(),
                subject: axes::phrases(spread, key),
                ..Comparison::default()
            };
            let scored = Scored::of(cell, &selection.question.over, outcomes)?;
            let found = scored.and_then(|scored| share_or_mean(&scored, &selection.unit));
            all.push(match found {
                Some(estimate) => Comparison {
                    // Whether a mean is zero is not tested here.
                    p: None,
                    ..estimate.into(comparison)
                },
                None => Comparison {
                    text: NO_SCORES.to_owned(),
                    ..comparison
                },
            });
        }
        Ok(all)
    }

    /// What stands beside the mean of a cell; `None` where one value alone says nothing of it.
    ///
    /// Over images it is what [`Self::compare`] found. Where that is not known, the bounds are the means of the values' own bounds. That is
    /// what they would be if all values moved together with the images; where they do not, the true interval is narrower.
    pub fn of(
        self,
        cell: &Cell<'_>,
        (spread, key): (&[String], &[AxisValue]),
        compared: Compared<'_>,
    ) -> Option<Shown> {
        let values = || -> Vec<f64> { cell.rows.iter().map(|row| row.value).collect() };
        match self {
            Self::Deviation => cell.deviation.map(Shown::Deviation),
            Self::Seeds => interval_of_mean(&values()).map(Shown::Interval),
            Self::Images => {
                let known = compared.find(INTERVAL, &axes::phrases(spread, key), "");
                if let Some(bounds) = known.and_then(|known| known.interval) {
                    return Some(Shown::Interval(bounds));
                }
                let bounds: Vec<[f64; 2]> = cell
                    .rows
                    .iter()
                    .map(|row| row.interval)
                    .collect::<Option<_>>()?;
                let bound = |side: usize| -> Vec<f64> {
                    bounds.iter().map(|bounds| bounds[side]).collect()
                };
                Some(Shown::Interval([mean(&bound(0))?, mean(&bound(1))?]))
            }
        }
    }
}

impl Shown {
    /// As it stands behind a mean: "± 0.42", "[87.74, 88.33]".
    pub fn text(self, unit: &Unit, decimals: usize) -> String {
        match self {
            Self::Deviation(deviation) => format!("± {}", unit.show(deviation, decimals)),
            Self::Interval(bounds) => {
                let [low, high] = bounds.map(|bound| unit.show(bound, decimals));
                format!("[{low}, {high}]")
            }
        }
    }
}
