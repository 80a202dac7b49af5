//! Position embeddings: the sines and cosines that MAE and MoCo v3 compute, and resizing to another number of patches.
//!
//! # Reference
//! - facebookresearch/mae@efb2a8062c206524e35e47d04501ed4f544c0ae8: util/pos_embed.py (`get_2d_sincos_pos_embed`, `interpolate_pos_embed`).
//! - facebookresearch/moco-v3@c349e6e24f40d3fedb22d973f92defa4cedf37a7: vits.py (`build_2d_sincos_position_embedding`).
//! - facebookresearch/dino@7c446df5b9f45747937fb0d72314eb9f7b66930a: vision_transformer.py (`interpolate_pos_encoding`).
//! - facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0: dinov2/models/vision_transformer.py (`interpolate_pos_encoding`).
//! - huggingface/pytorch-image-models v1.0.31: timm/layers/pos_embed.py (`resample_abs_pos_embed`).
//!
//! # Deviations
//! MoCo v3 and the supervised networks of JAX have no rule of their own for another size; theirs is timm's.

#[cfg(feature = "torch")]
use tch::Tensor;

#[cfg(feature = "torch")]
use super::config::{Config, PositionResize, Positions};

/// The base of the frequencies.
const TEMPERATURE: f64 = 10_000.0;

/// MAE's sines and cosines for a square grid, `[1 + grid · grid, width]` row-major, zeros for the class token: of each token the first half
/// encodes the column, the second the row, each as sines, then cosines.
///
/// `width` is a multiple of 4.
#[expect(
    clippy::cast_possible_truncation,
    reason = "computed in 64 bits and rounded, as the reference does it"
)]
pub fn sincos_mae(grid: u32, width: u32) -> Vec<f32> {
    let count = width / 4;
    let mut values = vec![0.0; width as usize];
    for row in 0..grid {
        for column in 0..grid {
            for place in [column, row] {
                let angle = |index: u32| {
                    let exponent = f64::from(index) / f64::from(count);
                    f64::from(place) / libm::pow(TEMPERATURE, exponent)
                };
                values.extend((0..count).map(|index| libm::sin(angle(index)) as f32));
                values.extend((0..count).map(|index| libm::cos(angle(index)) as f32));
            }
        }
    }
    values
}

/// MoCo v3's: the first half encodes the row, the second the column, and all is computed in 32 bits. Otherwise as [`sincos_mae`].
#[expect(clippy::cast_precision_loss, reason = "places in a grid are small")]
pub fn sincos_moco(grid: u32, width: u32) -> Vec<f32> {
    let count = width / 4;
    let frequency = |index: u32| 1.0 / libm::powf(10_000.0, index as f32 / count as f32);
    let mut values = vec![0.0; width as usize];
    for row in 0..grid {
        for column in 0..grid {
            for place in [row, column] {
                let angle = |index: u32| place as f32 * frequency(index);
                values.extend((0..count).map(|index| libm::sinf(angle(index))));
                values.extend((0..count).map(|index| libm::cosf(angle(index))));
            }
        }
    }
    values
}

/// The positions of a network whose authors compute them, for random weights; `None` where they are learned.
#[cfg(feature = "torch")]
pub fn computed(config: &Config) -> Option<Vec<f32>> {
    let (grid, width) = (config.position_grid(), config.embed_dim);
    match config.positions {
        Positions::Learned => None,
        Positions::SincosMae => Some(sincos_mae(grid, width)),
        Positions::SincosMoco => Some(sincos_moco(grid, width)),
    }
}

/// Positions for a grid of another size; the class token's stay as they are. Unchanged where the size is the same.
///
/// # Shapes
/// - `positions`: `[1, 1 + G · G, D]`, f32
/// - `grid`: rows and columns wanted
/// - returns: `[1, 1 + rows · columns, D]`
#[cfg(feature = "torch")]
pub fn resized(positions: &Tensor, [rows, columns]: [u32; 2], rule: PositionResize) -> Tensor {
    let size = positions.size();
    let (count, width) = match size.as_slice() {
        [_, count, width] => (*count - 1, *width),
        // Taken in this form.
        _ => return positions.shallow_clone(),
    };
    let native = count.max(0).isqrt();
    let (rows, columns) = (i64::from(rows), i64::from(columns));
    if (rows, columns) == (native, native) {
        return positions.shallow_clone();
    }
    let class = positions.narrow(1, 0, 1);
    let map = positions
        .narrow(1, 1, count)
        .reshape([1, native, native, width])
        .permute([0, 3, 1, 2]);
    let (to, corners) = ([rows, columns], false);
    let map = match rule {
        PositionResize::Bicubic => map.upsample_bicubic2d(to, corners, None, None),
        PositionResize::BicubicAntialias => map
            .contiguous()
            .internal_upsample_bicubic2d_aa(to, corners, None, None),
        PositionResize::BicubicOffset => {
            // The sides are small integers.
            let scale = |side: i64| Some((side as f64 + 0.1) / native as f64);
            map.upsample_bicubic2d(to, corners, scale(rows), scale(columns))
        }
    };
    let map = map.permute([0, 2, 3, 1]).reshape([1, -1, width]);
    Tensor::cat(&[class, map], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layout_is_the_other_of_the_transposed_grid() {
        let (grid, width) = (3, 8);
        let (mae, moco) = (sincos_mae(grid, width), sincos_moco(grid, width));
        let token = |values: &[f32], row: u32, column: u32| {
            let start = ((1 + row * grid + column) * width) as usize;
            values[start..start + width as usize].to_vec()
        };
        assert!(mae[..8].iter().chain(&moco[..8]).all(|&value| value == 0.0));
        for row in 0..grid {
            for column in 0..grid {
                let (one, other) = (token(&mae, row, column), token(&moco, column, row));
                for (one, other) in one.iter().zip(&other) {
                    assert!((one - other).abs() < 1e-6);
                }
            }
        }
        // Column 1, row 0: sines of 1 and 0.01, their cosines, sines of 0, cosines of 0.
        let found = token(&mae, 0, 1);
        let expected = [
            1.0_f32.sin(),
            0.01_f32.sin(),
            1.0_f32.cos(),
            0.01_f32.cos(),
            0.0,
            0.0,
            1.0,
            1.0,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
