//! What is shown beside a mean: how far apart its values are, or an interval.

use super::{Cell, Question};
use crate::report::number::{Unit, interval_of_mean, mean};
use crate::spec::{Choice, Fields, Key};

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
.doc("What is shown beside a mean: the sample standard deviation, the 95 % interval of the mean over seeds (Student's t), or the 95 % interval over the scored images.");

/// What is shown beside a mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uncertainty {
    /// The sample standard deviation of the values.
    #[default]
    Deviation,
    /// The interval of the mean over seeds: where the mean over very many seeds would be, on these images.
    Seeds,
    /// The interval over the scored images: where the mean would be on other images of the kind, with these seeds.
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

    /// What stands beside the mean of a cell; `None` where one value alone says nothing of it.
    ///
    /// The bounds of a mean over images are the means of its values' bounds. That is what the bounds would be if all values moved
    /// together with the images; where they do not, the true interval is narrower.
    pub fn of(self, cell: &Cell<'_>) -> Option<Shown> {
        let values = || -> Vec<f64> { cell.rows.iter().map(|row| row.value).collect() };
        match self {
            Self::Deviation => cell.deviation.map(Shown::Deviation),
            Self::Seeds => interval_of_mean(&values()).map(Shown::Interval),
            Self::Images => {
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
