//! Images on their way to the network: the next batch is prepared while one is computed.

use std::sync::mpsc::sync_channel;

use crate::message::Message;
use crate::trainer::TrainError;
use crate::trainer::heads::Samples;

/// The images of one split, as a network reads them.
pub trait NoisyImages: Samples {
    /// `x_t` of some images, `[N, C, H, W]` row-major. `draw` numbers the showings of an image: noise, and what
    /// preprocessing draws at random, are a function of it. 0 is the one that features are cached of.
    ///
    /// # Errors
    /// In words; an image does not decode.
    fn x_t(&self, rows: &[usize], draw: u32) -> Result<Vec<f32>, Message>;
}

/// What is done with a batch: its number, from 0, and its images.
pub type Each<'e> = &'e mut dyn FnMut(usize, &[f32]) -> Result<(), TrainError>;

/// Goes through batches of rows in order, all of them at one draw.
///
/// # Errors
/// The first of `each`, or of an image.
pub fn walk(
    images: &dyn NoisyImages,
    batches: &[Vec<usize>],
    draw: u32,
    each: Each<'_>,
) -> Result<(), TrainError> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || {
            for rows in batches {
                let x_t = images.x_t(rows, draw);
                if sender.send(x_t).is_err() {
                    return;
                }
            }
        });
        for (number, _) in batches.iter().enumerate() {
            let Ok(x_t) = receiver.recv() else {
                break;
            };
            each(number, &x_t.map_err(TrainError::Features)?)?;
        }
        Ok(())
    })
}
