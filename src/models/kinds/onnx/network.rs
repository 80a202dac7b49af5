//! The network of an ONNX file, run by ONNX Runtime.
//!
//! Images come from the host and outputs go to the device of the pass, where they are reduced as those of every other network are.

use std::sync::{Mutex, PoisonError};

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::TensorRef;
use tch::{Device, Tensor};

use super::OnnxError;
use super::declared::{Tap, batch};
use super::file::Description;
use super::runtime;
use crate::message::Message;
use crate::models::extractor::{self, ForwardError, Images, Until};
use crate::models::{BlockIndex, InputSpec};
use crate::numbers::to_i64;

/// A network that is loaded.
pub struct Network {
    /// One run at a time.
    session: Mutex<Session>,
    /// The name of its input.
    input_name: String,
    input: InputSpec,
    taps: Vec<Tap>,
    /// How many images it takes at once, where that is fixed.
    batch: Option<usize>,
    device: Device,
}

/// What ONNX Runtime says of why it does not go on.
pub(super) fn refused(error: &ort::Error) -> OnnxError {
    OnnxError::Runtime(Message::new(format!("ONNX Runtime: {error}")))
}

impl Network {
    /// Loads the network of a file whose description is what the experiment says. On a CPU it has as many threads as libtorch has.
    ///
    /// # Errors
    /// ONNX Runtime is not there, has no CUDA where that is asked for, or refuses the network.
    pub fn new(
        bytes: &[u8],
        description: &Description,
        input: InputSpec,
        taps: &[Tap],
        device: Device,
    ) -> Result<Self, OnnxError> {
        let environment = runtime::environment()?;
        let input_name = description.inputs.first().map(|input| input.name.clone());
        let batch = batch(description).and_then(|count| usize::try_from(count).ok());
        let session = session(&environment, bytes, device).map_err(|error| refused(&error))?;
        Ok(Self {
            session: Mutex::new(session),
            input_name: input_name.unwrap_or_default(),
            input,
            taps: taps.to_vec(),
            batch,
            device,
        })
    }

    /// The outputs of `taps` for `count` images, each `[count, …]` and row-major.
    fn run(&self, pixels: &[f32], count: usize, taps: &[&Tap]) -> Result<Vec<Vec<f32>>, String> {
        let side = i64::from(self.input.side);
        let shape = [to_i64(count), i64::from(self.input.channels), side, side];
        let said = |error: ort::Error| error.to_string();
        let input = TensorRef::from_array_view((shape, pixels)).map_err(said)?;
        let selected = taps
            .iter()
            .fold(OutputSelector::no_default(), |selected, tap| {
                selected.with(tap.name.as_str())
            });
        let options = RunOptions::new().map_err(said)?.with_outputs(selected);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session
            .run_with_options(ort::inputs![self.input_name.as_str() => input], &options)
            .map_err(said)?;
        let mut all = Vec::new();
        for tap in taps {
            let output = outputs
                .get(&tap.name)
                .ok_or_else(|| format!("output `{}` did not come", tap.name))?;
            let (found, values) = output.try_extract_tensor::<f32>().map_err(said)?;
            let wanted: Vec<i64> = std::iter::once(to_i64(count))
                .chain(tap.shape.iter().map(|&size| i64::from(size)))
                .collect();
            if found[..] != wanted[..] {
                return Err(format!(
                    "output `{}` has the shape {:?}, and the experiment says {wanted:?}",
                    tap.name,
                    &found[..]
                ));
            }
            all.push(values.to_vec());
        }
        Ok(all)
    }

    /// The same for any number of images, in batches of the size that the network takes.
    fn run_all(&self, images: Images<'_>, taps: &[&Tap]) -> Result<Vec<Vec<f32>>, String> {
        let Some(batch) = self.batch.filter(|&batch| batch != images.count) else {
            return self.run(images.pixels, images.count, taps);
        };
        let values = images.pixels.len() / images.count.max(1);
        let mut all = vec![Vec::new(); taps.len()];
        for some in images.pixels.chunks(values * batch) {
            let count = some.len() / values;
            // The last batch is filled up with zeros, whose outputs are left out.
            let mut padded = some.to_vec();
            padded.resize(values * batch, 0.0);
            for (all, found) in all.iter_mut().zip(self.run(&padded, batch, taps)?) {
                let each = found.len() / batch;
                all.extend_from_slice(&found[..each * count]);
            }
        }
        Ok(all)
    }
}

fn session(
    environment: &ort::environment::Environment,
    bytes: &[u8],
    device: Device,
) -> ort::Result<Session> {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_deterministic_compute(true)?;
    if let Device::Cuda(number) = device {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let cuda = ort::ep::CUDA::default()
            .with_device_id(number)
            .with_tf32(false)
            .build()
            .error_on_failure();
        builder = builder.with_execution_providers([cuda])?;
    }
    builder.commit_from_memory(bytes)
}

impl extractor::Network for Network {
    fn forward(
        &self,
        images: Images<'_>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        if images.classes.is_some() {
            return Err(ForwardError::ClassLabelsUnexpected);
        }
        if until == Until::Output {
            return Err(ForwardError::NoOutput);
        }
        let numbered = || (1..).map(BlockIndex).zip(&self.taps);
        let last = numbered().last().map_or(BlockIndex(0), |(index, _)| index);
        if let Some(&tap) = taps
            .iter()
            .find(|tap| !(BlockIndex(1)..=last).contains(tap))
        {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        let asked: Vec<(BlockIndex, &Tap)> = numbered()
            .filter(|(index, _)| taps.contains(index))
            .collect();
        if asked.is_empty() || images.count == 0 {
            return Ok(None);
        }
        let names: Vec<&Tap> = asked.iter().map(|(_, tap)| *tap).collect();
        let outputs = self
            .run_all(images, &names)
            .map_err(|problem| ForwardError::Runtime { problem })?;
        for ((index, tap), values) in asked.iter().zip(outputs) {
            let sizes: Vec<i64> = std::iter::once(to_i64(images.count))
                .chain(tap.shape.iter().map(|&size| i64::from(size)))
                .collect();
            let output = Tensor::from_slice(&values).view(&*sizes);
            visit(*index, &output.to_device(self.device));
        }
        Ok(None)
    }
}
