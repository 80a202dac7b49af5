//! Forward and backward pass of a network block by block.
//!
//! Each block is a graph of its own. The backward pass goes through the blocks from the last to the first and hands gradients from one to
//! the next. Where activations are recomputed, the forward pass keeps what each block gave and drops its graph; it is built again
//! when the backward pass comes to the block, so that the inner activations of one block are in memory at a time.
//!
//! # Reference
//! Chen et al. 2016, arXiv 1604.06174.
//!
//! # Parity
//! Gradients of both ways are the same bits, tested in `kinds/guided_diffusion/tuning.rs`.

use tch::Tensor;

use super::BlockIndex;
use super::extractor::ForwardError;
use super::tuning::ActivationCheckpointing;
use crate::numbers::to_u32;

/// The blocks of a network for one batch, counted from 1.
pub struct Blocks<'a> {
    /// What the first of them reads.
    pub input: Tensor,
    /// The first one that anything learned enters; what it and those before it read gets no gradient.
    pub first: usize,
    /// The block whose output a block reads beside that of the block before; `None` where it reads no other.
    pub skip_of: &'a dyn Fn(usize) -> Option<usize>,
    /// The output of a block by what the block before gave, and by the output that is meant by `skip_of`; `None` where there is no such
    /// block.
    pub run: &'a dyn Fn(usize, Tensor, Option<Tensor>) -> Option<Tensor>,
}

/// One block with a graph of its own, from what it reads to what it gives.
struct Piece {
    before: Tensor,
    skip: Option<Tensor>,
    output: Tensor,
}

impl Blocks<'_> {
    /// Runs the blocks to the tapped one and back. `gradient` is shown the output of that one and gives the gradient of the loss by it, in
    /// the same shape and kind. What is learned in the blocks has its gradients afterwards, added to what it had.
    ///
    /// # Errors
    /// The tap names no block.
    ///
    /// # Panics
    /// libtorch panics where memory is exhausted.
    pub fn forward_backward(
        &self,
        tap: BlockIndex,
        checkpointing: ActivationCheckpointing,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        let last = tap.0 as usize;
        // What each block gave, without gradients.
        let mut outputs: Vec<Tensor> = Vec::new();
        let mut kept: Vec<Option<Piece>> = Vec::new();
        for number in 1..=last {
            // With a graph even where it is dropped at once: without one libtorch multiplies matrices in another order, so that
            // the feature map would differ by rounding from that of the backward pass. That holds as much at a time.
            let piece = self.piece(number, &outputs, tap)?;
            let output = piece.output.detach();
            kept.push(match checkpointing {
                ActivationCheckpointing::Off => Some(piece),
                ActivationCheckpointing::On => None,
            });
            outputs.push(output);
        }
        // The gradient by the output of each block, as far as it is known.
        let mut gradients: Vec<Option<Tensor>> = outputs.iter().map(|_| None).collect();
        if let (Some(map), Some(of_map)) = (outputs.last(), gradients.last_mut()) {
            *of_map = Some(gradient(map));
        }
        for number in (self.first..=last).rev() {
            // No block after this one needs its feature map any more.
            outputs.truncate(number - 1);
            let (Some(of_output), Some(piece)) = (gradients[number - 1].take(), kept.pop()) else {
                continue;
            };
            let piece = match piece {
                Some(piece) => piece,
                None => self.piece(number, &outputs, tap)?,
            };
            push_back(&piece.output, &of_output);
            if number > self.first {
                add(&mut gradients[number - 2], piece.before.grad());
            }
            if let (Some(source), Some(skip)) = ((self.skip_of)(number), piece.skip) {
                add(&mut gradients[source - 1], skip.grad());
            }
        }
        Ok(())
    }

    /// Computes one block by the outputs of those before it.
    fn piece(
        &self,
        number: usize,
        outputs: &[Tensor],
        tap: BlockIndex,
    ) -> Result<Piece, ForwardError> {
        let map = number.checked_sub(2).and_then(|place| outputs.get(place));
        let before = match map {
            Some(map) if number > self.first => leaf(map),
            Some(map) => map.shallow_clone(),
            None => self.input.shallow_clone(),
        };
        let source = (self.skip_of)(number);
        let skip = source.and_then(|source| outputs.get(source - 1)).map(leaf);
        let given = skip.as_ref().map(Tensor::shallow_clone);
        let output = (self.run)(number, before.shallow_clone(), given);
        let output = output.ok_or(ForwardError::UnknownTap {
            tap,
            last: BlockIndex(to_u32(number - 1)),
        })?;
        Ok(Piece {
            before,
            skip,
            output,
        })
    }
}

/// The same values as the beginning of a graph of their own.
pub fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

/// The backward pass from a tensor by which the gradient of the loss is known.
pub fn push_back(tensor: &Tensor, gradient: &Tensor) {
    // The gradient of this sum by the tensor is `gradient` itself, not rounded.
    (tensor * gradient).sum(tensor.kind()).backward();
}

/// Adds a gradient to what is there.
fn add(sum: &mut Option<Tensor>, gradient: Tensor) {
    if gradient.defined() {
        *sum = Some(match sum.take() {
            Some(sum) => sum + gradient,
            None => gradient,
        });
    }
}
