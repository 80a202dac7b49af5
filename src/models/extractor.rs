//! What every network looks like to a pass: images in, pooled features out, as plain numbers.

use tch::{Device, Kind, Tensor};
use thiserror::Error;

use super::guidance::{self, Guidance};
use super::{BlockIndex, BlockInfo, InputSpec, Reduce, TapShape};
use crate::numbers::to_i64;

/// One feature that is wanted of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapRequest {
    /// The block whose output is read.
    pub block: BlockIndex,
    /// What is made of it.
    pub reduce: Reduce,
    /// Tokens before those of the image, which a mean leaves out: the class token and registers.
    pub tokens_before: u32,
}

impl TapRequest {
    /// The feature of a block of a model.
    pub fn of(block: &BlockInfo, reduce: Reduce) -> Self {
        Self {
            block: block.index,
            reduce,
            tokens_before: block.shape.tokens_before(),
        }
    }

    /// The feature, `[N, values]` in f32, of a block's output: `[N, C, H, W]`, `[N, L, D]` or `[N, D]`; `None` where its output cannot
    /// be reduced so, which is a bug of the model's list of blocks.
    fn reduced(&self, output: &Tensor) -> Option<Tensor> {
        match (self.reduce, output.dim()) {
            // In `[N, C, p, p]` order even where the feature map is channels-last.
            (Reduce::Pool(side), 4) => {
                let side = i64::from(side);
                Some(output.adaptive_avg_pool2d([side, side]).flatten(1, 3))
            }
            (Reduce::ClassToken, 3) => Some(output.select(1, 0)),
            (Reduce::MeanToken, 3) => {
                let first = i64::from(self.tokens_before);
                let tokens = output.narrow(1, first, output.size()[1] - first);
                Some(tokens.mean_dim([1_i64].as_slice(), false, Kind::Float))
            }
            (Reduce::PatchMap, 3) => {
                let first = i64::from(self.tokens_before);
                let patches = output.narrow(1, first, output.size()[1] - first);
                Some(patches.transpose(1, 2).contiguous().flatten(1, 2))
            }
            (Reduce::Whole, 4) => Some(output.contiguous().flatten(1, 3)),
            // Channels first, as in a feature map.
            (Reduce::Whole, 3) => Some(output.transpose(1, 2).contiguous().flatten(1, 2)),
            (Reduce::Whole, 2) => Some(output.shallow_clone()),
            _ => None,
        }
    }
}

/// The features of rows of a block's output, `[N, …]` of `shape`, row-major: what [`Network::features`] gives of a network's own. `None`
/// where the output cannot be reduced so.
pub fn reduced_rows(
    rows: &[f32],
    shape: TapShape,
    requests: &[TapRequest],
) -> Option<Vec<Vec<f32>>> {
    let sizes: Vec<i64> = shape.sizes().into_iter().map(i64::from).collect();
    let output = Tensor::from_slice(rows).reshape([&[-1], sizes.as_slice()].concat());
    let features = requests.iter().map(|request| request.reduced(&output));
    features.map(|one| Some(to_vec(&one?))).collect()
}

/// A batch on the host, ready for a network.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// The images, noisy (`x_t`) where there is a timestep: `[N, C, H, W]`, row-major.
    pub pixels: &'a [f32],
    /// N, the number of images.
    pub count: usize,
    /// How noisy they are, the same for all; `None` for a network without noise.
    pub timestep: Option<u32>,
    /// The class of each image, `[N]`, for a class-conditional network; else `None`.
    pub classes: Option<&'a [i64]>,
}

/// How far a forward pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the deepest tap and not a block further.
    DeepestTap,
    /// Through all blocks to the network's output.
    Output,
}

/// A forward pass that was asked for something that the network does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// A tap names no block.
    #[error("{tap} was tapped, but the network has no such block; its last one is {last}")]
    UnknownTap {
        /// The tap that was asked for.
        tap: BlockIndex,
        /// The network's last block.
        last: BlockIndex,
    },
    /// A class-conditional network got no classes.
    #[error("the network is class-conditional, but no class labels were given")]
    ClassLabelsMissing,
    /// A network that needs the timestep of its images was not given it.
    #[error("the network reads noisy images, but no timestep was given")]
    TimestepMissing,
    /// A network was to run to its end and has none.
    #[error("the network gives no output, only the feature maps of its blocks")]
    NoOutput,
    /// What runs the network does not go on.
    #[error("ONNX Runtime: {problem}")]
    Runtime {
        /// In the words of ONNX Runtime.
        problem: String,
    },
    /// A class that the network does not have.
    #[error("a class was given that is none of the network's {count}")]
    UnknownClass {
        /// Classes of the network.
        count: i64,
    },
    /// A network was asked which way a class lies, and cannot tell.
    #[error("the network does not classify noisy images, so it has no gradient of a class")]
    NoGradient,
    /// An unconditional network got classes.
    #[error("the network is unconditional, but class labels were given")]
    ClassLabelsUnexpected,
}

/// A network with its weights, on its device. It is frozen: nothing that is computed here has gradients.
pub trait Network: Send {
    /// The one forward pass. `visit` sees the output of every tapped block, `[N, C, H, W]`, `[N, L, D]` or `[N, D]` as the model's list
    /// of blocks has it, on the device in the precision of the network, in the order of the blocks and once each. Returns the
    /// network's output, f32, if it runs that far. libtorch panics on errors of its own, such as running out of memory.
    ///
    /// # Errors
    /// A tap names no block, or classes are missing or unexpected.
    fn forward(
        &self,
        images: Images<'_>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError>;

    /// The features of a batch, still on the device. Runs no further than the deepest tap. On a GPU the work is only begun
    /// when this returns; [`Features::read`] waits for it.
    ///
    /// # Errors
    /// As [`Network::forward`].
    fn features(&self, images: Images<'_>, taps: &[TapRequest]) -> Result<Features, ForwardError> {
        let _guard = tch::no_grad_guard();
        let blocks: Vec<BlockIndex> = taps.iter().map(|tap| tap.block).collect();
        let mut features = Features::new(taps);
        self.forward(images, &blocks, Until::DeepestTap, &mut |block, map| {
            features.visit(block, map);
        })?;
        Ok(features)
    }

    /// What the network predicts of noisy images that are on its device, all at the same timestep: one step of sampling.
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, f32; `classes`: `[N]`
    /// - returns: `[N, C, H, W]`, or `[N, 2C, H, W]` where it predicts a variance; f32
    ///
    /// # Errors
    /// As [`Network::forward`].
    fn denoise(
        &self,
        x_t: &Tensor,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<Tensor, ForwardError> {
        guidance::denoise(self, x_t, timestep, classes)
    }

    /// How many of the `channels` of an image guidance without a classifier leads; all, unless a kind has it otherwise.
    fn guided_channels(&self, channels: i64) -> i64 {
        channels
    }

    /// The same, guided without a classifier: two passes in one batch.
    ///
    /// # Errors
    /// As [`Network::forward`].
    fn guided(
        &self,
        x_t: &Tensor,
        timestep: u32,
        classes: &[i64],
        guidance: Guidance,
    ) -> Result<Tensor, ForwardError> {
        let channels = x_t.size().get(1).copied().unwrap_or(0);
        let led = (timestep, self.guided_channels(channels));
        guidance::guided(self, x_t, led, classes, guidance)
    }

    /// The gradient of `log p(class | x_t)` by the images, of a classifier of noisy images; see [`Model::guides`](super::Model::guides).
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, f32, all at the same timestep; `classes`: `[N]`
    /// - returns: `[N, C, H, W]`, f32
    ///
    /// # Errors
    /// It is no such classifier, or has no such class.
    fn class_gradient(
        &self,
        _x_t: &Tensor,
        _timestep: u32,
        _classes: &[i64],
    ) -> Result<Tensor, ForwardError> {
        Err(ForwardError::NoGradient)
    }
}

/// `[N, C, H, W]` f32 on the device. To a GPU it travels from pinned memory, so that nobody waits for it.
pub(crate) fn images_to_tensor(images: Images<'_>, input: InputSpec, device: Device) -> Tensor {
    let shape = [
        to_i64(images.count),
        i64::from(input.channels),
        i64::from(input.side),
        i64::from(input.side),
    ];
    let host = Tensor::from_slice(images.pixels).view(shape);
    if device.is_cuda() {
        let (non_blocking, copy) = (true, false);
        host.pin_memory(device)
            .to_device_(device, Kind::Float, non_blocking, copy)
    } else {
        host
    }
}

/// A timestep as networks take it, `[1]`, i64: one for all images, so that its rounding cannot depend on how many there are.
pub(crate) fn timestep_of_all(timestep: u32, device: Device) -> Tensor {
    Tensor::full([1], i64::from(timestep), (Kind::Int64, device))
}

/// The features of a batch while they are on the device, in the order of the taps that they answer.
#[derive(Debug)]
pub struct Features {
    taps: Vec<TapRequest>,
    /// `[N, values]`, f32.
    pooled: Vec<Option<Tensor>>,
}

impl Features {
    /// None yet.
    pub fn new(taps: &[TapRequest]) -> Self {
        Self {
            taps: taps.to_vec(),
            pooled: taps.iter().map(|_| None).collect(),
        }
    }

    /// Takes what the taps of one block ask for from its output, in f32 and flattened channel-major.
    pub fn visit(&mut self, block: BlockIndex, output: &Tensor) {
        // Widened once for all taps. The sums of 16-bit numbers would lose what pooling gains.
        let output = output.to_kind(Kind::Float);
        for (tap, pooled) in self.taps.iter().zip(&mut self.pooled) {
            if tap.block == block {
                *pooled = tap.reduced(&output);
            }
        }
    }

    /// Copies the features to the host: for each tap `[N, values]`, row-major; empty for a tap whose block was never
    /// visited. From a GPU they come in one transfer, the only time that anybody waits for it; to be called by another
    /// thread than the one that runs the network, so that the next batch is begun meanwhile.
    ///
    /// # Panics
    /// libtorch panics if the work on the GPU has failed.
    pub fn read(self) -> Vec<Vec<f32>> {
        let mut features = vec![Vec::new(); self.taps.len()];
        let present: Vec<(usize, Tensor)> = self
            .pooled
            .into_iter()
            .enumerate()
            .filter_map(|(position, pooled)| Some((position, pooled?)))
            .collect();
        let on_gpu = present
            .first()
            .is_some_and(|(_, pooled)| pooled.device().is_cuda());
        if on_gpu {
            let flat: Vec<Tensor> = present
                .iter()
                .map(|(_, pooled)| pooled.reshape([-1]))
                .collect();
            let all = to_vec(&Tensor::cat(&flat, 0));
            let mut rest = all.as_slice();
            for (position, pooled) in &present {
                let (these, others) = rest.split_at(pooled.numel().min(rest.len()));
                features[*position] = these.to_vec();
                rest = others;
            }
        } else {
            for (position, pooled) in &present {
                features[*position] = to_vec(pooled);
            }
        }
        features
    }
}

/// The numbers of a f32 tensor, row-major.
pub(crate) fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut values = vec![0f32; tensor.numel()];
    let length = values.len();
    tensor.copy_data(&mut values, length);
    values
}

#[cfg(test)]
mod tests;
