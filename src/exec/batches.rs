//! How many images go through the network at once, and what happens when memory runs out.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::contained::text_of;
use crate::machine::device::{self, Device};
use crate::models::extractor::{Features, ForwardError, Images, Network, TapRequest};
use crate::models::{BlockIndex, Model, Precision};

/// Of a GPU's free memory, what the feature maps of one batch may take. The rest is for the scratch space of the kernels.
const SHARE_OF_FREE_MEMORY: f64 = 0.6;
/// More images at once make no GPU faster, and every batch is also a step of the progress bar.
const LARGEST_ON_GPU: u64 = 256;
/// Feature maps of the largest size that are alive at once within a block: its input, and those between its layers.
const MAPS_WITHIN_A_BLOCK: u64 = 6;

/// A batch size for one pass.
///
/// - On the CPU enough images to keep the cores busy, few enough to stay in their caches: 128 at 32 pixels, 2 at 256.
/// - On a GPU as many as its free memory holds, where the driver reports it.
pub(crate) fn choose(
    device: Device,
    model: &dyn Model,
    deepest: Option<BlockIndex>,
    precision: Precision,
) -> usize {
    let for_caches = on_cpu(model);
    let Some(free) = device::free_memory(device) else {
        return for_caches;
    };
    let by_memory = fitting(free, bytes_of_maps(model, deepest, precision));
    usize::try_from(by_memory).unwrap_or(for_caches)
}

/// Pixels along the side of an image for each place of its latent. How many latents are run at once goes by the images that they are of.
const PIXELS_PER_PLACE: usize = 8;

/// The batch size on the CPU.
pub(crate) fn on_cpu(model: &dyn Model) -> usize {
    let side = (model.input().side as usize).max(1);
    let side = match model.autoencoder() {
        Some(_) => side * PIXELS_PER_PLACE,
        None => side,
    };
    ((1 << 17) / (side * side)).clamp(1, 128)
}

/// Images whose feature maps fit into the share of the free memory; a multiple of 8 where there are as many.
fn fitting(free: u64, bytes_of_one: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size is a size; what is lost is less than a byte"
    )]
    let share = (free as f64 * SHARE_OF_FREE_MEMORY) as u64;
    let images = (share / bytes_of_one.max(1)).clamp(1, LARGEST_ON_GPU);
    if images > 8 { images / 8 * 8 } else { images }
}

/// An upper bound on the bytes of feature maps that one image needs at once: what the encoder keeps for the decoder, and what
/// is alive within the largest block.
fn bytes_of_maps(model: &dyn Model, deepest: Option<BlockIndex>, precision: Precision) -> u64 {
    let maps = model
        .blocks()
        .iter()
        .filter(|block| deepest.is_none_or(|deepest| block.index <= deepest))
        .map(|block| block.shape.values());
    let (kept, largest) = maps.fold((0, 0), |(kept, largest): (u64, u64), map| {
        (kept + map, largest.max(map))
    });
    (kept + MAPS_WITHIN_A_BLOCK * largest) * precision.bytes()
}

/// Runs batches, in smaller pieces once memory has run out.
pub(in crate::exec) struct BackOff {
    /// The most images that may run at once.
    most: usize,
}

impl BackOff {
    /// Begins with batches of any size.
    pub(in crate::exec) fn new() -> Self {
        Self { most: usize::MAX }
    }

    /// The features of a batch, as [`Network::features`] gives them, in pieces that follow one another. Where memory runs
    /// out, the batch is cut in halves until it does not, and all later batches with it; `told` gets the new size. Features
    /// differ by rounding alone.
    ///
    /// # Errors
    /// As the network's.
    ///
    /// # Panics
    /// As the network does, for anything but a lack of memory, or if one image alone needs too much.
    pub(in crate::exec) fn features(
        &mut self,
        network: &dyn Network,
        images: Images<'_>,
        taps: &[TapRequest],
        told: &mut dyn FnMut(usize),
    ) -> Result<Vec<Features>, ForwardError> {
        let size = images.pixels.len() / images.count.max(1);
        let mut features = |piece: Range<usize>| {
            let images = Images {
                pixels: &images.pixels[piece.start * size..piece.end * size],
                count: piece.len(),
                classes: images.classes.map(|classes| &classes[piece.clone()]),
                ..images
            };
            network.features(images, taps)
        };
        self.pieces(images.count, &mut features, told)
    }

    /// What `work` makes of `count` images in pieces that follow one another; it is given which of them. Where memory runs out, as
    /// [`BackOff::features`].
    ///
    /// # Errors
    /// As the work's.
    ///
    /// # Panics
    /// As [`BackOff::features`].
    pub(in crate::exec) fn pieces<T, E>(
        &mut self,
        count: usize,
        work: &mut dyn FnMut(Range<usize>) -> Result<T, E>,
        told: &mut dyn FnMut(usize),
    ) -> Result<Vec<T>, E> {
        let images = count;
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < images {
            let count = self.most.min(images - done);
            let run = || work(done..done + count);
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(made) => {
                    pieces.push(made?);
                    done += count;
                }
                Err(panic) if count > 1 && is_out_of_memory(&text_of(&*panic)) => {
                    self.most = count / 2;
                    told(self.most);
                }
                Err(panic) => resume_unwind(panic),
            }
        }
        Ok(pieces)
    }
}

/// Whether libtorch's words mean that memory has run out, on a GPU or on the host.
fn is_out_of_memory(text: &str) -> bool {
    [
        "out of memory",
        "can't allocate memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::models::Reduce;
    use crate::models::extractor::Until;

    /// Runs out of memory beyond a number of images; the first block's feature map is the image itself.
    struct Small(usize, &'static str);

    impl Network for Small {
        fn forward(
            &self,
            _: Images<'_>,
            _: &[BlockIndex],
            _: Until,
            _: &mut dyn FnMut(BlockIndex, &Tensor),
        ) -> Result<Option<Tensor>, ForwardError> {
            unreachable!("features stand in for it")
        }

        fn features(
            &self,
            images: Images<'_>,
            taps: &[TapRequest],
        ) -> Result<Features, ForwardError> {
            assert!(images.count <= self.0, "{}", self.1);
            let size = i64::try_from(images.pixels.len() / images.count).unwrap();
            let map = Tensor::from_slice(images.pixels).view([-1, size, 1, 1]);
            let mut features = Features::new(taps);
            features.visit(BlockIndex(1), &map);
            Ok(features)
        }
    }

    fn images(x_t: &[f32], count: usize) -> Images<'_> {
        Images {
            pixels: x_t,
            count,
            timestep: Some(90),
            classes: None,
        }
    }

    const TAPS: &[TapRequest] = &[
        TapRequest {
            block: BlockIndex(1),
            reduce: Reduce::Pool(1),
            tokens_before: 0,
        },
        TapRequest {
            block: BlockIndex(2),
            reduce: Reduce::Pool(1),
            tokens_before: 0,
        },
    ];

    #[test]
    fn a_batch_is_halved_until_it_fits_and_later_ones_begin_there() {
        let words = "CUDA out of memory. Tried to allocate 2.00 GiB";
        let (network, mut back_off, mut told) = (Small(3, words), BackOff::new(), Vec::new());
        let x_t: Vec<f32> = (0..20u8).map(f32::from).collect();
        for _ in 0..2 {
            let mut tell = |most| told.push(most);
            let pieces = back_off.features(&network, images(&x_t, 10), TAPS, &mut tell);
            let pieces: Vec<_> = pieces.unwrap().into_iter().map(Features::read).collect();
            let first: Vec<f32> = pieces.iter().flat_map(|taps| taps[0].clone()).collect();
            assert_eq!(first, x_t);
            assert!(pieces.iter().all(|taps| taps[1].is_empty()));
        }
        assert_eq!(told, [5, 2]);
    }

    #[test]
    fn other_failures_and_too_large_single_images_are_passed_on() {
        for (most, words) in [(3, "shapes do not fit"), (0, "CUDA out of memory")] {
            let network = Small(most, words);
            let run = || BackOff::new().features(&network, images(&[0.0; 8], 4), TAPS, &mut |_| {});
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert!(text_of(&*panic).contains(words));
        }
    }

    #[test]
    fn batches_fit_into_the_free_memory() {
        assert_eq!(fitting(100, 1), 60 / 8 * 8);
        assert_eq!(fitting(10, 1), 6);
        assert_eq!(fitting(1, 1_000), 1);
        assert_eq!(fitting(u64::MAX, 1), LARGEST_ON_GPU);
        let model = crate::models::preset("adm-tiny").unwrap().model;
        let one = |block, precision| bytes_of_maps(&*model, Some(BlockIndex(block)), precision);
        // The first block's feature map alone: 32 × 32 × 32 numbers, kept once and six times alive.
        assert_eq!(one(1, Precision::F32), 7 * 32 * 32 * 32 * 4);
        assert_eq!(one(1, Precision::Bf16), 7 * 32 * 32 * 32 * 2);
        assert!(one(13, Precision::F32) > one(7, Precision::F32));
    }
}
