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

/// `[N, C, H, W]` f32 on the device.
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
    Tensor::from_slice(values).view(shape).to_device(device)
}

/// The map pooled to p × p by adaptive average pooling and flattened: `[N, C, H, W]` to `[N, C · p · p]`, row-major.
pub(super) fn pooled(map: &Tensor, pool: u32) -> Vec<f32> {
    let side = i64::from(pool);
    let pooled = map.to_kind(Kind::Float).adaptive_avg_pool2d([side, side]);
    let pooled = pooled.to_device(Device::Cpu).contiguous();
    let mut values = vec![0f32; pooled.numel()];
    let length = values.len();
    pooled.copy_data(&mut values, length);
    values
}
