//! Comparing a network with another implementation: stored images in, the activations of its blocks out.
//!
//! # Shapes
//! Read: `x_t`, or `x0` and `eps`, all `[N, C, H, W]`, and `x0` alone for a model without noise; `y`, `[N]`, the classes for a
//! class-conditional network.
//! Given: `bNN` for block NN: a feature map `[N, C, H, W]`, pooled to `[N, C, p, p]` where that is asked for, tokens `[N, L, D]`
//! or a vector `[N, D]`; `out` likewise.

use safetensors::Dtype;
use thiserror::Error;

use super::extractor::{ForwardError, Images, Network, Until, to_vec};
use super::{BlockIndex, Model};
use crate::models::checkpoint::stored_tensors::{StoredTensor, StoredTensors, StoredTensorsError};
use crate::numbers::from_i64;

/// Stored images, ready for a network.
#[derive(Debug)]
pub struct TapInput {
    /// `x_t`, or the clean images for a model without noise: `[N, C, H, W]`, row-major.
    pub pixels: Vec<f32>,
    /// N, the number of images.
    pub count: usize,
    /// `y`: `[N]`.
    pub classes: Option<Vec<i64>>,
    /// The noise step of all images; `None` for a model without noise.
    pub timestep: Option<u32>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct TapRequests {
    /// The blocks whose activations are wanted.
    pub blocks: Vec<BlockIndex>,
    /// Whether the network's output is wanted too.
    pub output: bool,
    /// Side of the adaptive average pool of feature maps; `None` for whole ones.
    pub pool: Option<u32>,
}

/// One array with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray {
    /// `b07`, or `out`.
    pub name: String,
    /// `[N, C, H, W]`, `[N, L, D]` or `[N, D]`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// Why stored images cannot be tapped.
#[derive(Debug, Error)]
pub enum TapError {
    /// The file cannot be used at all.
    #[error(transparent)]
    File(#[from] StoredTensorsError),
    /// The file lacks what is needed, or holds it in another form.
    #[error("{}: {problem}", path.display())]
    Input {
        /// The input file.
        path: std::path::PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The model was not made for it.
    #[error("the model has no timestep {timestep}; its last one is {last}")]
    NoSuchTimestep {
        /// The timestep of `--timestep`.
        timestep: u32,
        /// The noisiest that there is.
        last: u32,
    },
    /// `--timestep` was given for a model that reads clean images.
    #[error("the model has no noise, so `--timestep` does not apply; leave it out")]
    NoNoise,
    /// `--timestep` is missing for a model that reads noisy images.
    #[error("the model reads noisy images; give `--timestep`")]
    TimestepMissing,
    /// The network has no such block, or wants or refuses classes.
    #[error("{0}; for a class-conditional network the input file holds them as `y`, [N] int64")]
    Forward(#[from] ForwardError),
}

/// Reads the images of a file, and adds the noise where they are clean.
///
/// # Errors
/// The file cannot be read, lacks arrays, or holds them in another form than the model reads.
pub fn read_input(
    path: &std::path::Path,
    model: &dyn Model,
    timestep: Option<u32>,
) -> Result<TapInput, TapError> {
    let file = StoredTensors::open(path)?;
    let problem = |problem: String| TapError::Input {
        path: path.into(),
        problem,
    };
    let input = model.input();
    // Asked for noisy images too: the network would embed any number.
    let coefficients = match (input.noise, timestep) {
        (None, None) => None,
        (None, Some(_)) => return Err(TapError::NoNoise),
        (Some(_), None) => return Err(TapError::TimestepMissing),
        (Some(noise), Some(timestep)) => {
            let coefficients = model.coefficients(timestep);
            Some(coefficients.ok_or(TapError::NoSuchTimestep {
                timestep,
                last: noise.steps.saturating_sub(1),
            })?)
        }
    };
    let image = [input.channels, input.side, input.side].map(|size| size as usize);
    let images = |name: &str| -> Result<Option<(usize, Vec<f32>)>, TapError> {
        let Some(stored) = file.get(name) else {
            return Ok(None);
        };
        let (&[count, channels, height, width], Dtype::F32) = (stored.shape, stored.dtype) else {
            return Err(problem(format!(
                "`{name}` is {:?} {:?}; store [N, C, H, W] as F32",
                stored.dtype, stored.shape
            )));
        };
        if count == 0 || [channels, height, width] != image {
            return Err(problem(format!(
                "`{name}` is {:?}, but the model reads at least one image of {image:?}",
                stored.shape
            )));
        }
        Ok(Some((count, floats(&stored))))
    };
    let stored = (images("x_t")?, images("x0")?, images("eps")?);
    let (count, pixels) = match (coefficients, stored) {
        (Some(_), (Some(x_t), None, None)) => x_t,
        (None, (None, Some(x_0), None)) => x_0,
        (Some(coefficients), (None, Some((count, mut x_0)), Some((noises, eps))))
            if count == noises =>
        {
            coefficients.add_noise(&mut x_0, &eps);
            (count, x_0)
        }
        (Some(_), (None, Some((count, _)), Some((noises, _)))) => {
            return Err(problem(format!(
                "`x0` has {count} images and `eps` has {noises}"
            )));
        }
        _ => {
            let found: Vec<&str> = file.names().collect();
            return Err(problem(format!(
                "it has to hold {}; it holds {}",
                match coefficients {
                    Some(_) => "either `x_t`, or `x0` and `eps`",
                    None => "`x0` alone, since the model has no noise",
                },
                found.join(", ")
            )));
        }
    };
    let classes = match file.get("y") {
        None => None,
        Some(stored) if stored.dtype == Dtype::I64 && stored.shape == [count] => {
            let words = stored.bytes.chunks_exact(8);
            let integer = |word: &[u8]| word.try_into().map_or(0, i64::from_le_bytes);
            Some(words.map(integer).collect())
        }
        Some(stored) => {
            return Err(problem(format!(
                "`y` is {:?} {:?}; store the class of each image as I64 [{count}]",
                stored.dtype, stored.shape
            )));
        }
    };
    Ok(TapInput {
        pixels,
        count,
        classes,
        timestep,
    })
}

/// Runs the network and gives what was asked for, in the order of the blocks, `out` last.
///
/// # Errors
/// As the network's forward.
///
/// # Panics
/// libtorch panics where memory is exhausted.
pub fn tap(
    network: &dyn Network,
    input: &TapInput,
    requests: &TapRequests,
) -> Result<Vec<NamedArray>, TapError> {
    let _guard = tch::no_grad_guard();
    let images = Images {
        pixels: &input.pixels,
        count: input.count,
        timestep: input.timestep,
        classes: input.classes.as_deref(),
    };
    let until = if requests.output {
        Until::Output
    } else {
        Until::DeepestTap
    };
    let array = |name: String, map: &tch::Tensor| {
        let map = map.to_kind(tch::Kind::Float);
        let map = match requests.pool {
            Some(side) if map.dim() == 4 => map.adaptive_avg_pool2d([i64::from(side); 2]),
            _ => map,
        };
        let size = map.size();
        NamedArray {
            name,
            shape: size.iter().map(|&length| from_i64(length)).collect(),
            values: to_vec(&map),
        }
    };
    let mut arrays = Vec::new();
    let output = network.forward(images, &requests.blocks, until, &mut |block, map| {
        arrays.push(array(format!("b{:02}", block.0), map));
    })?;
    if let Some(output) = output {
        arrays.push(array("out".to_owned(), &output));
    }
    Ok(arrays)
}

fn floats(stored: &StoredTensor<'_>) -> Vec<f32> {
    let words = stored.bytes.chunks_exact(4);
    words
        .map(|word| word.try_into().map_or(0.0, f32::from_le_bytes))
        .collect()
}
