//! The claims of the paper's text that a run can confirm or refute: data, without any rule.
//!
//! They are those for which the paper prints no number that an experiment could be held against, in its own words where that is short. The
//! rules stand with the table that judges them, `report/tables/claims/`.
//!
//! # Reference
//! arXiv 2307.08702v1.

/// A claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its name in files of comparisons; it never changes.
    pub id: &'static str,
    /// What is claimed.
    pub text: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
}

/// The claim of a name.
pub fn find(id: &str) -> Option<&'static Claim> {
    ALL.iter().find(|claim| claim.id == id)
}

/// Sensitivity to block, timestep and pool.
pub const BLOCK_MATTERS_MOST: &str = "block-matters-most";
/// The best timestep.
pub const T90_BEST: &str = "t90-best";
/// The best block.
pub const BEST_BLOCK_INSIDE: &str = "best-block-inside";
/// The best block of birds.
pub const CUB_PREFERS_BLOCK_19: &str = "cub-prefers-block-19";
/// The pool for birds.
pub const CUB_POOL_3X: &str = "cub-pool-3x";
/// The attention head on ImageNet.
pub const ATTENTION_BEST_ON_IMAGENET: &str = "attention-best-on-imagenet";
/// The attention head on fine-grained datasets.
pub const ATTENTION_WORST_ON_FGVC: &str = "attention-worst-on-fgvc";
/// Guided diffusion and BigBiGAN.
pub const BEATS_BIGBIGAN: &str = "beats-bigbigan";
/// Guided diffusion and SimCLR on aircraft.
pub const AIRCRAFT_ABOVE_SIMCLR: &str = "aircraft-above-simclr";
/// SimCLR, SwAV and guided diffusion on fine-grained datasets.
pub const SIMCLR_SWAV_ABOVE_GD: &str = "simclr-swav-above-gd-on-fgvc";
/// Random resized crops.
pub const RRC_HURTS: &str = "rrc-hurts-gd";
/// Centered kernel alignment of layers.
pub const CKA_EARLY_ALIKE: &str = "cka-early-layers-alike";

/// Every claim, in the order in which tables show them.
pub const ALL: &[Claim] = &[
    Claim {
        id: BLOCK_MATTERS_MOST,
        text: "Accuracy is least sensitive to pooling and most sensitive to the block number, with a steep drop at high noise",
        source: "text on Figure 2",
    },
    Claim {
        id: T90_BEST,
        text: "t = 90 is best on ImageNet, of 0, 10, 30, 50, 90, 150, 300 and 500",
        source: "text on Figures 2 and 3",
    },
    Claim {
        id: BEST_BLOCK_INSIDE,
        text: "The best block is in the middle of the network: 24 of 37 on ImageNet, 19 on CUB",
        source: "text on Figures 2 and 5",
    },
    Claim {
        id: CUB_PREFERS_BLOCK_19,
        text: "Block 19 beats block 24 on CUB",
        source: "text on Figure 5",
    },
    Claim {
        id: CUB_POOL_3X,
        text: "Pool size changes the accuracy on CUB by up to 3x",
        source: "text on Figure 5",
    },
    Claim {
        id: ATTENTION_BEST_ON_IMAGENET,
        text: "The attention head beats linear, MLP and CNN heads on ImageNet-50 and ImageNet",
        source: "text on Tables 3 and 7 to 9",
    },
    Claim {
        id: ATTENTION_WORST_ON_FGVC,
        text: "The attention head tends to do worst on the FGVC datasets",
        source: "text on Figure 4",
    },
    Claim {
        id: BEATS_BIGBIGAN,
        text: "GD (L, pool 1x1) is 1.15 points above BigBiGAN in ImageNet linear probing, with an FID 2.33 below its 28.54",
        source: "text on Table 1",
    },
    Claim {
        id: AIRCRAFT_ABOVE_SIMCLR,
        text: "On Aircraft, GD is above SimCLR for 3 of the 4 heads",
        source: "text on Figure 4",
    },
    Claim {
        id: SIMCLR_SWAV_ABOVE_GD,
        text: "SimCLR and SwAV tend to be above GD on FGVC",
        source: "text on Figure 4",
    },
    Claim {
        id: RRC_HURTS,
        text: "GD heads tend to be worse with random resized crops",
        source: "text on Figure 7",
    },
    Claim {
        id: CKA_EARLY_ALIKE,
        text: "Early layers are alike in all CKA comparisons; later layers differ across time steps; around the bottleneck GD resembles ResNets and ViTs",
        source: "text on Figure 6",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_told_apart_and_found() {
        let ids: BTreeSet<&str> = ALL.iter().map(|claim| claim.id).collect();
        assert_eq!(ids.len(), ALL.len());
        assert_eq!(find("t90-best").unwrap().id, T90_BEST);
        assert!(find("t91-best").is_none());
    }
}
