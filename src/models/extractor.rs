//! What every network looks like to a pass: images in, pooled features out, as plain numbers.

use tch::{Device, Kind, Tensor};

use super::{BlockIndex, InputShape};

/// One feature that is wanted of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapRequest {
    /// The block whose output is read.
    pub block: BlockIndex,
    /// Side of the adaptive average pool.
    pub pool: u32,
}

/// A network with its weights, on its device. It is frozen: nothing that is computed here has gradients.
pub trait Network {
    /// The features of a batch.
    ///
    /// Runs no further than the deepest tap. libtorch panics on errors of its own, such as running out of memory.
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, row-major, N = `images`
    /// - returns: for each tap `[N, C · p · p]`, row-major: the map after the block, pooled to p × p, flattened channel-major
    fn features(
        &self,
        x_t: &[f32],
        images: usize,
        timestep: u32,
        taps: &[TapRequest],
    ) -> Vec<Vec<f32>>;
}

/// `[N, C, H, W]` f32 on the device. To a GPU it travels from pinned memory, so that nobody waits for it.
pub(super) fn images_to_tensor(
    values: &[f32],
    images: usize,
    input: InputShape,
    device: Device,
) -> Tensor {
    let images = i64::try_from(images).unwrap_or(i64::MAX);
    let shape = [
        images,
        i64::from(input.channels),
        i64::from(input.side),
        i64::from(input.side),
    ];
    let host = Tensor::from_slice(values).view(shape);
    if device.is_cuda() {
        let (non_blocking, copy) = (true, false);
        host.pin_memory(device)
            .to_device_(device, Kind::Float, non_blocking, copy)
    } else {
        host
    }
}

/// The features of a batch while they are on the device, in the order of the taps that they answer.
pub(super) struct Features<'taps> {
    taps: &'taps [TapRequest],
    /// `[N, C · p · p]`, f32.
    pooled: Vec<Option<Tensor>>,
}

impl<'taps> Features<'taps> {
    /// None yet.
    pub(super) fn new(taps: &'taps [TapRequest]) -> Self {
        Self {
            taps,
            pooled: taps.iter().map(|_| None).collect(),
        }
    }

    /// Takes what the taps of one block ask for from its map, `[N, C, H, W]`: pooled to p × p by adaptive average pooling
    /// in f32 and flattened channel-major.
    pub(super) fn visit(&mut self, block: BlockIndex, map: &Tensor) {
        // Widened once for all pools. The sums of a 16-bit map would lose what pooling gains.
        let map = map.to_kind(Kind::Float);
        for (tap, pooled) in self.taps.iter().zip(&mut self.pooled) {
            if tap.block == block {
                let side = i64::from(tap.pool);
                // In `[N, C, p, p]` order even where the map's channels are innermost.
                let flat = map.adaptive_avg_pool2d([side, side]).flatten(1, 3);
                *pooled = Some(flat);
            }
        }
    }

    /// Brings the features to the host: for each tap `[N, C · p · p]`, row-major; empty for a tap whose block was never
    /// visited. From a GPU they come in one transfer, the only time that the host waits for it.
    pub(super) fn read(self) -> Vec<Vec<f32>> {
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
fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut values = vec![0f32; tensor.numel()];
    let length = values.len();
    tensor.copy_data(&mut values, length);
    values
}
