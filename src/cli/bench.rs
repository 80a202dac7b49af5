//! `repro bench`: how fast this machine is at what a run does.

#[cfg(feature = "torch")]
mod sampling;

use clap::{Args, Subcommand};

use super::exit::Failure;

/// Arguments of `repro bench`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time a pass: JPEG files through a network into a cache, as `repro run` does it.
    Extraction(Extraction),
    /// Time steps from noise to images, and say what a set of images takes.
    #[cfg(feature = "torch")]
    Sampling(sampling::Arguments),
}

/// Arguments of `repro bench extraction`.
#[derive(Debug, Args)]
#[command(
    after_help = "The images are generated JPEG files of 500 × 375 pixels; files and cache are temporary. One batch runs before the clock starts.\n\n\
Examples:\n  repro bench extraction\n  repro bench extraction --block 19 --precision bf16\n  repro bench extraction --model adm-tiny --block 13 --images 1000\n  repro bench extraction --device cuda:0 --precision f16 --batch-size 64"
)]
struct Extraction {
    /// A preset's name; `repro list models` shows them.
    #[arg(long, value_name = "PRESET", default_value = "adm-256-uncond")]
    model: String,
    /// A file of weights; random ones take as long.
    #[arg(long, value_name = "FILE")]
    weights: Option<std::path::PathBuf>,
    /// The deepest block.
    #[arg(long, value_name = "B", default_value_t = 24)]
    block: u32,
    /// The pools of that block.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [1, 2])]
    pool: Vec<u32>,
    /// Images; two batches if not given.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Images per forward pass; chosen by size and memory if not given.
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// What the network computes in: `f32`, `bf16` or `f16`.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: String,
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let What::Extraction(extraction) = &arguments.what;
    let _ = extraction;
    Err(Failure::Usage(
        "this build has no libtorch (feature `torch`), so it cannot run a network".into(),
    ))
}

/// Measures and prints.
#[cfg(feature = "torch")]
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Extraction(extraction) => with_torch::run(extraction),
        What::Sampling(sampling) => sampling::run(sampling),
    }
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use serde::Serialize;

    use super::{Extraction, Failure};
    use crate::bug::Bug;
    use crate::cli::{experiment, printed};
    use crate::exec::context::Run;
    use crate::exec::event::Event;
    use crate::exec::schedule::{Worker, schedule};
    use crate::exec::{StopSignal, batches};
    use crate::inputs;
    use crate::machine::device;
    use crate::machine::threads;
    use crate::message::Message;
    use crate::models::{self, BlockIndex, Model, Preset, TapShape, find_block};
    use crate::spec::Source;
    use crate::store::Store;
    use crate::{graph, plan};

    /// Width and height of a typical photograph of ImageNet.
    const PHOTOGRAPH: (u32, u32) = (500, 375);

    /// What was measured.
    #[derive(Debug, Serialize)]
    struct Measured {
        model: String,
        block: u32,
        precision: String,
        device: String,
        /// The largest batch that ran.
        batch_size: usize,
        images: usize,
        images_per_second: f64,
        /// Two operations for each multiply-add of the blocks, over the time in the network.
        teraflops_per_second: f64,
        wall_seconds: f64,
        decode_seconds: f64,
        forward_seconds: f64,
        write_seconds: f64,
        /// Of the whole process, weights included; absent where the system does not tell.
        peak_memory_bytes: Option<u64>,
    }

    /// What the events of the timed pass said.
    #[derive(Default)]
    struct Heard {
        batch_size: usize,
        finished: Option<Event>,
        failed: Option<String>,
    }

    pub(super) fn run(arguments: &Extraction) -> Result<(), Failure> {
        let Some(Preset { model, .. }) = models::preset(&arguments.model) else {
            let hint = models::preset_hint(&arguments.model)
                .unwrap_or_else(|| "`repro list models` shows the presets".to_owned());
            return Err(Failure::Usage(
                Message::new(format!("unknown preset `{}`", arguments.model)).hint(hint),
            ));
        };
        let one_batch = arguments
            .batch_size
            .map_or_else(|| batches::on_cpu(&*model), |size| size as usize);
        let images = arguments.images.unwrap_or(2 * one_batch).max(1);

        let folder = tempfile::tempdir()?;
        let photograph = photograph()?;
        write_images(
            &folder.path().join("warm"),
            one_batch.min(images),
            &photograph,
        )?;
        write_images(&folder.path().join("timed"), images, &photograph)?;
        let source = Source::new("the benchmark", text(arguments, &*model)?);
        let experiment = graph::build(&source).map_err(|diagnostics| Failure::Diagnostics {
            rendered: experiment::rendered(&diagnostics),
            summary: "the arguments do not fit the model".to_owned(),
        })?;
        device::load_cuda_backend();
        let device = device::parse_device(&arguments.device)
            .and_then(device::DeviceChoice::resolve)
            .map_err(|error| Failure::Usage(error.to_string().into()))?;
        let store = Store::open(folder.path().join("cache"))?;
        let inputs = inputs::open(&experiment, folder.path(), &store, &|_| {})?;
        let plan = plan::plan(
            &experiment,
            &inputs.facts,
            &store.listing()?,
            &mut |_, _| {},
        )?;
        let heard = Mutex::new(Heard::default());
        // Of a model that reads latents, these come before each of its two passes.
        let timed = match model.autoencoder() {
            Some(_) => 4,
            None => 2,
        };
        let stop = StopSignal::new();
        let versions = BTreeMap::new();
        schedule(
            &Run {
                plan: &plan,
                inputs: &inputs,
                store: &store,
                remote: None,
                base: folder.path(),
                device,
                emit: &|event| hear(&heard, timed, event),
                memory: crate::machine::memory::available() / 2,
                // There are no heads.
                checkpoint_seconds: f64::INFINITY,
                fail_fast: false,
                stop: &stop,
                clock: String::new,
                versions: &versions,
            },
            &[Worker {
                device,
                threads: threads::current(),
                memory: device::free_memory(device),
            }],
        );
        let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = heard.failed {
            return Err(Failure::Nodes(error.into()));
        }
        let Some(Event::PassFinished {
            images,
            seconds,
            prepare_seconds,
            forward_seconds,
            write_seconds,
            ..
        }) = heard.finished
        else {
            return Err(Bug::new("the pass did not end").into());
        };
        let block = find_block(&*model, BlockIndex(arguments.block));
        let multiply_adds = block.map_or(0, |block| block.multiply_adds);
        let operations = 2.0 * multiply_adds as f64 * images as f64;
        print(
            arguments,
            &Measured {
                model: arguments.model.clone(),
                block: arguments.block,
                precision: arguments.precision.clone(),
                device: device::name(device),
                batch_size: heard.batch_size,
                images,
                images_per_second: images as f64 / seconds,
                teraflops_per_second: operations / forward_seconds / 1e12,
                wall_seconds: seconds,
                decode_seconds: prepare_seconds,
                forward_seconds,
                write_seconds,
                peak_memory_bytes: crate::doctor::facts::peak_memory(),
            },
        )
    }

    /// Takes what is said of the pass with the number `timed`, the last one.
    fn hear(heard: &Mutex<Heard>, timed: usize, event: Event) {
        let Ok(mut heard) = heard.lock() else {
            return;
        };
        match event {
            Event::PassAdvanced { pass, images } if pass == timed => {
                heard.batch_size = heard.batch_size.max(images);
            }
            Event::PassFinished { pass, .. } if pass == timed => heard.finished = Some(event),
            Event::NodeFailed { error, .. } => heard.failed = Some(error),
            _ => {}
        }
    }

    /// An experiment with two passes: one batch to warm up, then the timed images.
    fn text(arguments: &Extraction, model: &dyn Model) -> Result<String, Failure> {
        let weights = match &arguments.weights {
            None => "{ synthetic = 0 }".to_owned(),
            Some(path) => {
                let path = std::path::absolute(path)?;
                serde_json::Value::from(path.display().to_string()).to_string()
            }
        };
        let batch_size = arguments
            .batch_size
            .map_or_else(String::new, |size| format!("batch_size = {size}\n"));
        let timestep = match model.input().noise {
            Some(_) => "timestep = 90\n",
            None => "",
        };
        let latents = match model.autoencoder() {
            Some(_) => latents(model),
            None => String::new(),
        };
        // Only maps are pooled.
        let block = find_block(model, BlockIndex(arguments.block));
        let pool = match block.map(|block| block.shape) {
            None | Some(TapShape::Map { .. }) => format!("pool = {:?}\n", arguments.pool),
            Some(TapShape::Tokens { .. } | TapShape::Vector { .. }) => String::new(),
        };
        Ok(format!(
            "[experiment]\nname = \"benchmark\"\n\n\
             [dataset.warm]\nkind = \"image-folder\"\nroot = \"warm\"\n\n\
             [dataset.timed]\nkind = \"image-folder\"\nroot = \"timed\"\n\n\
             [model.network]\nkind = {:?}\npreset = {:?}\nweights = {weights}\n{latents}\n\
             [extraction.features]\nmodel = \"network\"\ndataset = [\"warm\", \"timed\"]\n{timestep}\
             block = {}\n{pool}precision = {:?}\n{batch_size}",
            model.kind(),
            arguments.model,
            arguments.block,
            arguments.precision
        ))
    }

    /// The autoencoder of a model that reads latents: small, since its pass is not the timed one.
    fn latents(model: &dyn Model) -> String {
        format!(
            "autoencoder = \"autoencoder\"\n\n\
             [model.autoencoder]\nkind = \"autoencoder\"\npreset = \"vae-tiny\"\n\
             weights = {{ synthetic = 0 }}\nsize = {}\n",
            8 * model.input().side
        )
    }

    /// A JPEG with slopes and texture.
    fn photograph() -> Result<Vec<u8>, Failure> {
        let (width, height) = PHOTOGRAPH;
        let shade = |value: u32| u8::try_from(value % 256).unwrap_or(u8::MAX);
        let picture = image::RgbImage::from_fn(width, height, |x, y| {
            let texture = (x * x + 3 * y * y + x * y) / 97 % 48;
            image::Rgb([
                shade(x * 200 / width + texture),
                shade(y * 200 / height + texture),
                shade((x + y) * 100 / (width + height) + texture),
            ])
        });
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode_image(&picture)
            .map_err(|error| Failure::Input(format!("cannot make a picture: {error}").into()))?;
        Ok(bytes)
    }

    /// Each image has bytes of its own at the end, which decoders pass over: no two of a dataset are the same file.
    fn write_images(folder: &Path, images: usize, photograph: &[u8]) -> Result<(), Failure> {
        // A class of its own, too: else two folders of one size would be the same dataset.
        let name = folder.file_name().unwrap_or_default();
        let class = folder.join("train").join(name);
        std::fs::create_dir_all(&class)?;
        for index in 0..images {
            let mut file = std::fs::File::create(class.join(format!("{index:06}.jpg")))?;
            file.write_all(photograph)?;
            file.write_all(&index.to_le_bytes())?;
        }
        Ok(())
    }

    fn print(arguments: &Extraction, measured: &Measured) -> Result<(), Failure> {
        let mut out = printed::stdout(arguments.json);
        if arguments.json {
            serde_json::to_writer_pretty(&mut out, measured).map_err(std::io::Error::from)?;
            writeln!(out)?;
            return Ok(());
        }
        let Measured {
            wall_seconds: wall, ..
        } = *measured;
        let mut text = format!(
            "{} to b{}, {} on {}, batches of {}: {}, JPEG of {} × {} pixels\n\n",
            measured.model,
            measured.block,
            measured.precision,
            measured.device,
            measured.batch_size,
            crate::text::plural(measured.images, "image"),
            PHOTOGRAPH.0,
            PHOTOGRAPH.1
        );
        let _ = writeln!(text, "  {:.4} images/s", measured.images_per_second);
        let _ = writeln!(
            text,
            "  {:.4} TFLOP/s in the network\n",
            measured.teraflops_per_second
        );
        for (stage, seconds, note) in [
            ("decode", measured.decode_seconds, "beside the network"),
            ("forward", measured.forward_seconds, ""),
            ("write", measured.write_seconds, "beside the network"),
            ("wall", wall, ""),
        ] {
            let share = 100.0 * seconds / wall;
            let line = format!("  {stage:<8} {seconds:>9.3} s {share:>6.1} %  {note}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if let Some(bytes) = measured.peak_memory_bytes {
            let _ = writeln!(text, "\n  {} at most in memory", crate::text::bytes(bytes));
        }
        write!(out, "{text}")?;
        Ok(())
    }
}
