//! Which timesteps a process with fewer steps keeps.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/respace.py (`space_timesteps`). Stride:
//! Song et al. 2021 (arXiv 2010.02502), appendix D.3.
//!
//! # Deviations
//! Sections of 0 steps are refused.
//!
//! # Parity
//! Equal timesteps for `25` and `ddim25`, in `tests/suite/golden_sampling.rs`.

use std::fmt;
use std::str::FromStr;

use crate::numbers::to_u32;
use thiserror::Error;

/// A rule that chooses timesteps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Respacing {
    /// All of them; written as an empty text.
    All,
    /// So many from each of as many equal sections, evenly spaced from the first timestep of a section to its last, and
    /// rounded, half to even; written as `25` or `10,15,20`.
    Sections(Vec<u32>),
    /// So many by the smallest fitting whole stride from timestep 0; written as `ddim25`.
    Stride(u32),
}

/// Timesteps that cannot be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RespacingError {
    /// The text is not a rule for timesteps.
    #[error(
        "`{text}` chooses no timesteps; write a number of steps such as 25, one for each section such as 10,15,20, or ddim25"
    )]
    Text {
        /// The rule as it was typed.
        text: String,
    },
    /// A section with nothing to choose from, or more steps than it has.
    #[error(
        "{wanted} of the {size} timesteps of a section cannot be kept; ask for at least 1 and at most {size}"
    )]
    Section {
        /// The steps that were asked for.
        wanted: u32,
        /// The timesteps of the section.
        size: u32,
    },
    /// No stride gives so many.
    #[error(
        "no whole stride gives {wanted} of {steps} timesteps; write {wanted} without ddim, or take a divisor of {steps}"
    )]
    Stride {
        /// The steps that were asked for.
        wanted: u32,
        /// The timesteps of the whole process.
        steps: u32,
    },
}

impl Respacing {
    /// The timesteps that are kept of `steps`, rising, each once.
    ///
    /// # Errors
    /// The rule asks for more than there is, or for nothing.
    pub fn timesteps(&self, steps: u32) -> Result<Vec<u32>, RespacingError> {
        match self {
            Self::All => Ok((0..steps).collect()),
            Self::Sections(sections) => from_sections(sections, steps),
            Self::Stride(wanted) => {
                let fits = |stride: &u32| steps.div_ceil(*stride) == *wanted;
                let stride = (1..steps).find(fits).ok_or(RespacingError::Stride {
                    wanted: *wanted,
                    steps,
                })?;
                Ok((0..steps).step_by(stride as usize).collect())
            }
        }
    }
}

fn from_sections(sections: &[u32], steps: u32) -> Result<Vec<u32>, RespacingError> {
    let count = to_u32(sections.len()).max(1);
    let (size, longer) = (steps / count, steps % count);
    let mut timesteps = Vec::new();
    let mut start = 0;
    for (section, &wanted) in (0..).zip(sections) {
        let size = size + u32::from(section < longer);
        if wanted == 0 || wanted > size {
            return Err(RespacingError::Section { wanted, size });
        }
        let stride = if wanted == 1 {
            1.0
        } else {
            f64::from(size - 1) / f64::from(wanted - 1)
        };
        // Added up rather than multiplied, because the sum rounds differently.
        let mut offset = 0.0_f64;
        for _ in 0..wanted {
            timesteps.push(start + whole(offset));
            offset += stride;
        }
        start += size;
    }
    Ok(timesteps)
}

/// The nearest whole number, the even one of two, of an offset within a section.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an offset lies between 0 and the size of its section, which is a u32"
)]
fn whole(offset: f64) -> u32 {
    offset.round_ties_even() as u32
}

impl FromStr for Respacing {
    type Err = RespacingError;

    fn from_str(text: &str) -> Result<Self, RespacingError> {
        let wrong = || RespacingError::Text {
            text: text.to_owned(),
        };
        if text.is_empty() {
            return Ok(Self::All);
        }
        if let Some(count) = text.strip_prefix("ddim") {
            return count.parse().map(Self::Stride).map_err(|_| wrong());
        }
        let sections = text.split(',').map(|count| count.trim().parse());
        let sections: Result<Vec<u32>, _> = sections.collect();
        sections.map(Self::Sections).map_err(|_| wrong())
    }
}

impl fmt::Display for Respacing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Sections(sections) => {
                let counts: Vec<String> = sections.iter().map(u32::to_string).collect();
                formatter.write_str(&counts.join(","))
            }
            Self::Stride(count) => write!(formatter, "ddim{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timesteps(text: &str, steps: u32) -> Result<Vec<u32>, RespacingError> {
        text.parse::<Respacing>()?.timesteps(steps)
    }

    #[test]
    fn sections_go_from_their_first_to_their_last_timestep() {
        assert_eq!(timesteps("", 4), Ok(vec![0, 1, 2, 3]));
        assert_eq!(timesteps("4", 4), Ok(vec![0, 1, 2, 3]));
        assert_eq!(timesteps("1", 4), Ok(vec![0]));
        // 1.5 rounds to 2; sections of 4, 3 and 3.
        assert_eq!(timesteps("3,2,1", 10), Ok(vec![0, 2, 3, 4, 6, 7]));
        assert_eq!(timesteps("ddim5", 10), Ok(vec![0, 2, 4, 6, 8]));
        assert_eq!(timesteps("ddim4", 10), Ok(vec![0, 3, 6, 9]));
    }

    #[test]
    fn impossible_choices_are_refused() {
        let section = |wanted, size| Err(RespacingError::Section { wanted, size });
        assert_eq!(timesteps("5", 4), section(5, 4));
        assert_eq!(timesteps("0", 4), section(0, 4));
        assert_eq!(timesteps("1,1,1", 2), section(1, 0));
        assert_eq!(timesteps("4000000000", 1000), section(4_000_000_000, 1000));
        for wanted in [0, 1, 6, 1000] {
            let error = RespacingError::Stride { wanted, steps: 10 };
            assert_eq!(timesteps(&format!("ddim{wanted}"), 10), Err(error));
        }
        for text in ["ddim", "25,", "-1", "2.5", "dim25"] {
            let error = RespacingError::Text { text: text.into() };
            assert_eq!(timesteps(text, 10), Err(error));
        }
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["", "25", "10,15,20", "ddim25"] {
            assert_eq!(text.parse::<Respacing>().unwrap().to_string(), text);
        }
    }
}
