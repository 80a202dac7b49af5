//! The diffusion that a U-Net was trained for.

use crate::diffusion::{Diffusion, DiffusionError, Schedule};
use crate::models::NoiseInput;
use crate::numbers::to_u32;

/// A schedule with all of its steps.
#[derive(Debug, Clone)]
pub struct Noise {
    /// How the noise grows with the timestep.
    pub schedule: Schedule,
    /// What that is in numbers.
    pub diffusion: Diffusion,
}

impl Noise {
    /// # Errors
    /// Steps that the schedule cannot have.
    pub fn new(schedule: Schedule, steps: u32) -> Result<Self, DiffusionError> {
        Ok(Self {
            schedule,
            diffusion: Diffusion::new(schedule, steps)?,
        })
    }

    /// Steps of the diffusion; the parser allows at most 100,000.
    pub fn steps(&self) -> u32 {
        to_u32(self.diffusion.betas().len())
    }

    /// What a network reads that was trained for it.
    pub fn input(&self) -> NoiseInput {
        NoiseInput {
            steps: self.steps(),
        }
    }
}
