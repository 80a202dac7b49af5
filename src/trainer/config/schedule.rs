//! How the learning rate changes in the course of a training.

use serde::Serialize;

use crate::spec::{Choice, Count, Fields, Key, KindDoc, Number};

const KIND: Key<Choice<ScheduleKind>> = Key::choice(
    "kind",
    &[
        ("step", ScheduleKind::Step),
        ("cosine", ScheduleKind::Cosine),
        ("constant", ScheduleKind::Constant),
    ],
)
.default(ScheduleKind::Step)
.doc("`step` multiplies by `gamma` after every `every` epochs.");
const EVERY: Key<Count> = Key::count("every", 1..=100_000)
    .default(8)
    .doc("Epochs between steps; `step`.");
const GAMMA: Key<Number> = Key::number("gamma", Number::above(0.0).to(1e3))
    .default(0.1)
    .doc("The factor of a step; `step`.");
const WARMUP: Key<Count> = Key::count("warmup", 0..=100_000)
    .default(0)
    .doc("Epochs in which the rate rises linearly to its full value.");

/// The table `schedule`.
pub const DOC: KindDoc = KindDoc {
    name: "schedule",
    summary: "The learning rate over the epochs of a head.",
    keys: &[&KIND, &EVERY, &GAMMA, &WARMUP],
    shared: &[],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScheduleKind {
    Step,
    Cosine,
    Constant,
}

/// The learning rate's course, as a factor on its full value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Schedule {
    /// What follows the warm-up.
    #[serde(flatten)]
    pub decay: Decay,
    /// Epochs in which the rate rises linearly to its full value.
    pub warmup: u32,
}

/// The learning rate's decay after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Decay {
    /// Multiply by `gamma` after every `every` epochs, counted from the first one.
    Step {
        /// Epochs between steps.
        every: u32,
        /// What the learning rate is multiplied by at each step, above 0.
        gamma: f64,
    },
    /// Half a wave of the cosine, from 1 after the warm-up to 0 at the end (Loshchilov and Hutter 2017, without restarts).
    Cosine,
    /// Never changes.
    Constant,
}

/// Where in its course a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The step within the epoch, from 0.
    pub step: u32,
    /// Steps in an epoch.
    pub steps: u32,
    /// Epochs in all.
    pub epochs: u32,
}

impl Default for Schedule {
    /// The paper's (§4).
    fn default() -> Self {
        Self {
            decay: Decay::Step {
                every: 8,
                gamma: 0.1,
            },
            warmup: 0,
        }
    }
}

impl Schedule {
    /// The factor on the learning rate for a step.
    pub fn factor(&self, moment: Progress) -> f64 {
        let Progress {
            epoch,
            step,
            steps,
            epochs,
        } = moment;
        let done = f64::from(epoch) + f64::from(step) / f64::from(steps.max(1));
        if epoch < self.warmup {
            // The first step is not of length 0, and the last one before the full value is not yet there.
            let one_step = 1.0 / f64::from(steps.max(1));
            return (done + one_step) / f64::from(self.warmup);
        }
        match self.decay {
            Decay::Step { every, gamma } => {
                gamma.powi(i32::try_from(epoch / every).unwrap_or(i32::MAX))
            }
            Decay::Cosine => {
                let warmup = f64::from(self.warmup);
                let share = (done - warmup) / (f64::from(epochs) - warmup).max(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Decay::Constant => 1.0,
        }
    }

    /// In words, for reports.
    pub fn describe(&self) -> String {
        let decay = match self.decay {
            Decay::Step { every, gamma } => format!("× {gamma} every {every} epochs"),
            Decay::Cosine => "cosine".to_owned(),
            Decay::Constant => "constant".to_owned(),
        };
        match self.warmup {
            0 => decay,
            warmup => format!(
                "{decay}, after a warm-up of {}",
                crate::text::plural(warmup as usize, "epoch")
            ),
        }
    }

    /// Reads the table `schedule`.
    pub(super) fn parse(table: &Fields<'_>) -> Option<Self> {
        let decay = match table.get(&KIND)? {
            ScheduleKind::Step => Decay::Step {
                every: table.get(&EVERY)?,
                gamma: table.get(&GAMMA)?,
            },
            ScheduleKind::Cosine => Decay::Cosine,
            ScheduleKind::Constant => Decay::Constant,
        };
        Some(Self {
            decay,
            warmup: table.get(&WARMUP)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, step: u32) -> Progress {
        Progress {
            epoch,
            step,
            steps: 10,
            epochs: 28,
        }
    }

    #[test]
    fn the_paper_s_schedule_steps_every_eight_epochs() {
        let factors = [0, 7, 8, 15, 16, 27].map(|epoch| Schedule::default().factor(at(epoch, 3)));
        for (factor, wanted) in factors.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.001]) {
            assert!((factor - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn a_warm_up_rises_to_one_and_the_cosine_falls_from_there() {
        let schedule = Schedule {
            decay: Decay::Cosine,
            warmup: 2,
        };
        let expected = [
            (0, 0, 0.05),
            (0, 9, 0.5),
            (1, 9, 1.0),
            (2, 0, 1.0),
            (15, 0, 0.5),
        ];
        for (epoch, step, wanted) in expected {
            let factor = schedule.factor(at(epoch, step));
            assert!((factor - wanted).abs() < 1e-12, "{epoch}.{step}: {factor}");
        }
        assert!(schedule.factor(at(27, 9)) < 1e-3);
        assert_eq!(schedule.describe(), "cosine, after a warm-up of 2 epochs");
    }
}
