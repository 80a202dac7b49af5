//! `repro models tap`: stored images through a network, the maps of its blocks into a file.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Context;
use crate::cli::exit::Failure;

/// Arguments of `repro models tap`.
#[derive(Debug, Args)]
#[command(
    after_help = "The input is a safetensors file with `x_t`, or with `x0` and `eps` to which the noise of the timestep is added, or with `x0` \
alone for a network without noise: all [N, C, H, W] F32; and with `y`, [N] I64, for a class-conditional network. The output holds `b01`, `b02`, … and `out`, F32.\n\n\
Examples:\n  repro models tap my-network.toml --input in.safetensors \\\n      --output out.safetensors --timestep 90 --precision bf16\n  repro models tap adm-tiny --weights synthetic:1 --input in.safetensors \\\n      --output out.safetensors --timestep 90 --blocks 5-8,13 --pool 2"
)]
pub struct Arguments {
    /// A preset's name, or a TOML file with one [model.*] table, as in experiments.
    #[arg(value_name = "MODEL")]
    model: String,
    /// A file of weights, `synthetic:SEED` or `initialization:SEED`; needed with a preset, and goes before what a TOML file says.
    #[arg(long, value_name = "WEIGHTS")]
    weights: Option<String>,
    /// The images.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The file for the feature maps; an existing file is replaced.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The noise step t of the images.
    #[arg(long, value_name = "T")]
    timestep: Option<u32>,
    /// `all` (and `out`), or a list of blocks and ranges such as `5-8,13,out`.
    #[arg(long, value_name = "LIST", default_value = "all")]
    blocks: String,
    /// `full` for whole feature maps, or the side of the adaptive average pool; tokens and vectors are stored whole.
    #[arg(long, value_name = "SIDE", default_value = "full")]
    pool: String,
    /// What the network computes in: `f32`, `bf16` or `f16`.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: String,
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(_context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let _ = arguments;
    Err(Failure::Usage(
        "this build has no libtorch (feature `torch`), so it cannot run a network".into(),
    ))
}

#[cfg(feature = "torch")]
pub use with_torch::run;

#[cfg(feature = "torch")]
mod with_torch {
    use std::path::Path;
    use std::sync::Arc;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::{Arguments, Context, Failure};
    use crate::atomic_file;
    use crate::cli::experiment;
    use crate::cli::overrides::Overrides;
    use crate::exec::attempt;
    use crate::graph;
    use crate::machine::device;
    use crate::message::Message;
    use crate::models::tap::{NamedArray, TapError, TapRequests, read_input, tap};
    use crate::models::{self, BlockIndex, Model, Precision, Reduce, TapShape, WeightsSource};

    /// Taps a network.
    pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
        let precision = Precision::CHOICES
            .iter()
            .find(|(name, _)| *name == arguments.precision)
            .map(|(_, precision)| *precision)
            .ok_or_else(|| {
                usage(format!(
                    "invalid precision `{}`: expected `f32`, `bf16` or `f16`",
                    arguments.precision
                ))
            })?;
        let model = model(arguments)?;
        let requests = requests(arguments, &*model)?;
        let input = read_input(&arguments.input, &*model, arguments.timestep)?;
        device::load_cuda_backend();
        let device = device::parse_device(&arguments.device)
            .and_then(device::DeviceChoice::resolve)
            .map_err(|error| usage(error.to_string()))?;
        let arrays = attempt(|| {
            let network = model.load(&context.base, device, precision)?;
            Ok(tap(&*network, &input, &requests))
        })??;
        write(&arguments.output, &arrays)?;
        say!(
            "{} of {} through {}: {} written to {}",
            crate::text::plural(input.count, "image"),
            arguments.input.display(),
            model.variant(),
            crate::text::plural(arrays.len(), "array"),
            arguments.output.display()
        );
        Ok(())
    }

    fn usage(message: impl Into<Message>) -> Failure {
        Failure::Usage(message.into())
    }

    fn model(arguments: &Arguments) -> Result<Arc<dyn Model>, Failure> {
        let weights = arguments.weights.as_deref().map(weights).transpose()?;
        if let Some(preset) = models::preset(&arguments.model) {
            return weights.map(|weights| preset.model.with_weights(weights)).ok_or_else(|| {
                usage(Message::new(format!("the preset `{}` comes without weights", arguments.model)).hint("name a file with `--weights`, or `--weights synthetic:SEED` for random weights"))
            });
        }
        let file = Path::new(&arguments.model);
        if !file.exists() {
            let hint = models::preset_hint(&arguments.model);
            return Err(usage(
                Message::new(format!(
                    "`{}` is neither a preset nor a file",
                    arguments.model
                ))
                .hint(hint.unwrap_or_else(|| "`repro list models` shows the presets".to_owned())),
            ));
        }
        let source = experiment::read(file, &Overrides::default())?;
        let nodes = graph::build_models(&source).map_err(|diagnostics| Failure::Diagnostics {
            rendered: experiment::rendered(&diagnostics),
            summary: experiment::summary(&diagnostics),
        })?;
        let [node] = nodes.as_slice() else {
            return Err(usage(format!(
                "{} has {}; one is needed",
                arguments.model,
                crate::text::plural(nodes.len(), "model")
            )));
        };
        let Some(weights) = weights else {
            return Ok(node.model.clone());
        };
        if *node.model.weights() == WeightsSource::None {
            return Err(usage(
                Message::new(format!("`{}` has no weights", node.model.variant()))
                    .hint("leave out `--weights`"),
            ));
        }
        Ok(node.model.with_weights(weights))
    }

    fn weights(text: &str) -> Result<WeightsSource, Failure> {
        for rule in [models::SYNTHETIC, models::INITIALIZATION] {
            let seed = text
                .strip_prefix(rule)
                .and_then(|rest| rest.strip_prefix(':'));
            if let Some(seed) = seed {
                let source = match rule {
                    models::SYNTHETIC => WeightsSource::Synthetic,
                    _ => WeightsSource::Initialization,
                };
                return seed.parse().map(source).map_err(|_| {
                    usage(format!(
                        "invalid seed `{seed}`: expected a number, as in `{rule}:7`"
                    ))
                });
            }
        }
        Ok(WeightsSource::File(text.into()))
    }

    fn requests(arguments: &Arguments, model: &dyn Model) -> Result<TapRequests, Failure> {
        let (first_block, last) = models::block_range(model).into_inner();
        let pool = match arguments.pool.as_str() {
            "full" => None,
            side => Some(side.parse().ok().filter(|side| *side > 0).ok_or_else(|| {
                usage(format!(
                    "invalid pool `{side}`: expected `full` or a side such as `2`"
                ))
            })?),
        };
        let mut requests = TapRequests {
            blocks: Vec::new(),
            output: false,
            pool,
        };
        for item in arguments.blocks.split(',').map(str::trim) {
            let numbers = match item {
                "all" => {
                    requests.output = true;
                    first_block..=last
                }
                "out" => {
                    requests.output = true;
                    continue;
                }
                _ => {
                    let (first, end) = item.split_once('-').unwrap_or((item, item));
                    let parsed = first.parse().ok().zip(end.parse().ok());
                    parsed
                        .filter(|(first, end)| first_block <= *first && first <= end && *end <= last)
                        .map(|(first, end)| first..=end)
                        .ok_or_else(|| {
                            usage(format!(
                                "`{item}` names no blocks; {} has the blocks {first_block} to {last}, written as `5-8,13,out` or `all`",
                                model.variant()
                            ))
                        })?
                }
            };
            requests.blocks.extend(numbers.map(BlockIndex));
        }
        for block in model
            .blocks()
            .iter()
            .filter(|block| requests.blocks.contains(&block.index))
        {
            if let Some(pool) = requests.pool
                && matches!(block.shape, TapShape::Map { .. })
                && block.shape.reduced(Reduce::Pool(pool)).is_none()
            {
                return Err(usage(format!(
                    "the output of block {} ({}) cannot be pooled to {pool} × {pool}",
                    block.index, block.shape
                )));
            }
        }
        Ok(requests)
    }

    /// Writes the arrays as safetensors.
    fn write(path: &Path, arrays: &[NamedArray]) -> Result<(), Failure> {
        let failed = |reason: String| {
            Failure::Input(format!("cannot write {}: {reason}", path.display()).into())
        };
        let bytes: Vec<Vec<u8>> = arrays
            .iter()
            .map(|array| {
                array
                    .values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect()
            })
            .collect();
        let mut views = Vec::new();
        for (array, bytes) in arrays.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes)
                .map_err(|error| failed(error.to_string()))?;
            views.push((array.name.as_str(), view));
        }
        let serialized =
            safetensors::serialize(views, None).map_err(|error| failed(error.to_string()))?;
        atomic_file::write(path, &serialized).map_err(|error| failed(error.to_string()))
    }

    impl From<TapError> for Failure {
        fn from(error: TapError) -> Self {
            match error {
                TapError::Forward(_) | TapError::NoSuchTimestep { .. } => {
                    Self::Usage(error.to_string().into())
                }
                other => Self::Input(other.to_string().into()),
            }
        }
    }
}
