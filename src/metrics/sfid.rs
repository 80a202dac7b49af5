//! `sfid`: the Fréchet distance between maps of generated and of reference images, every place of a map a value of its own.
//!
//! It is `fid` of other features under another name, so that a table does not take one for the other. Its features are the block
//! `spatial` of the model kind `inception`, the first 7 channels of a map of 17 × 17: 2,023 values, which see where things are.
//!
//! # Reference
//! Nash et al. 2021 (arXiv 2103.03841); openai/guided-diffusion@22e0df8: evaluations/evaluator.py.

use super::{MetricKind, Reads, fid};
use crate::spec::{Kind, KindDoc};

/// `kind = "sfid"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "sfid",
        summary: "The Fréchet distance between maps of generated and of reference images, called `sfid`: with the block `spatial` of `inception`.",
        keys: fid::KEYS,
        shared: Reads::DistributionsOrMoments.keys(),
    },
    |fields| fid::parse(fields, "sfid"),
);
