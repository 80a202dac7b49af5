//! How the files of a ResNet name its tensors: one row for each way in which somebody publishes or saves one. All have torchvision's names
//! behind a prefix.
//!
//! # Reference
//! - SwAV: facebookresearch/swav@06b1b7c, `hubconf.py`
//! - VISSL: facebookresearch/vissl@09270ed, `extra_scripts/convert_vissl_to_torchvision.py`, `vissl/models/trunks/resnext.py`
//! - MoCo v3: facebookresearch/moco-v3@c349e6e, `main_lincls.py`
//! - DINO: facebookresearch/dino@7c446df, `hubconf.py`, `utils.py` (`load_pretrained_weights`), `main_dino.py`
//! - training scripts: pytorch/examples, `imagenet/main.py`; SwAV's `main_swav.py` and MoCo v3's `main_lincls.py` save the same dict

use serde::Deserialize;

use crate::models::checkpoint::file_names::{FileNames, Renames};
use crate::models::checkpoint::stored_tensors::StoredTensors;

/// The tensor that shows whose names a file has.
pub const PROBE: &str = "conv1.weight";

/// What SwAV has beside the network.
const SWAV_HEADS: &[&str] = &["projection_head.", "prototypes."];

/// Who names tensors so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// torchvision, and DINO's files of the backbone alone.
    Torchvision,
    /// SwAV; also what `torch.nn.DataParallel` saves of torchvision's network.
    Swav,
    /// VISSL, whose heads and optimizer stand in other dicts.
    Vissl,
    /// MoCo v3's encoder; the momentum encoder, the predictor and the projection, which is called `fc`, are left out.
    MocoV3,
}

impl Layout {
    /// The names in such a file.
    const fn names(self) -> FileNames {
        match self {
            Self::Torchvision => FileNames::PLAIN,
            Self::Swav => FileNames {
                prefix: "module.",
                others: SWAV_HEADS,
                chunk: None,
                renames: Renames::NONE,
            },
            Self::Vissl => FileNames {
                prefix: "classy_state_dict.base_model.model.trunk._feature_blocks.",
                others: &[],
                chunk: None,
                renames: Renames::NONE,
            },
            Self::MocoV3 => FileNames {
                prefix: "state_dict.module.base_encoder.",
                others: &["fc."],
                chunk: None,
                renames: Renames::NONE,
            },
        }
    }

    /// Whether a file has these names.
    pub fn is_of(self, tensors: &StoredTensors) -> bool {
        FileNames::of(tensors, FILE_NAMES, PROBE) == self.names()
    }
}

/// Every way that is read: those of published files, then those of training scripts, and DINO's checkpoints, of which the teacher is taken.
pub const FILE_NAMES: &[FileNames] = &[
    Layout::Torchvision.names(),
    Layout::Swav.names(),
    Layout::Vissl.names(),
    Layout::MocoV3.names(),
    FileNames {
        prefix: "state_dict.",
        others: &[],
        chunk: None,
        renames: Renames::NONE,
    },
    FileNames {
        prefix: "state_dict.module.",
        others: SWAV_HEADS,
        chunk: None,
        renames: Renames::NONE,
    },
    FileNames {
        prefix: "teacher.backbone.",
        others: &[],
        chunk: None,
        renames: Renames::NONE,
    },
    FileNames {
        prefix: "teacher.module.backbone.",
        others: &[],
        chunk: None,
        renames: Renames::NONE,
    },
];
