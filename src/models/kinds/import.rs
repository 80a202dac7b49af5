//! `import`: no network, but features that were computed elsewhere, in files.
//!
//! Files are `.npy`, `.npz`, safetensors, PyTorch's, Parquet or Arrow; their first bytes say which. Rows are matched with the samples of an
//! extraction's dataset by ids where the files have them, and otherwise are in the dataset's order.
//! [`crate::models::imported`] reads them.
//!
//! # Shapes
//! Its one block is what a row holds: `[D]`, `[L, D]` or `[C, H, W]`. The experiment declares it, so that heads are checked and planned
//! without a file; a file with another shape is an error before anything is computed.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::imaging::Normalization;
use crate::models::imported::{Imported, ImportedFile};
use crate::models::{
    BlockIndex, BlockInfo, InputSpec, Model, ModelKind, Presets, TapShape, WeightsSource,
};
use crate::spec::tree::Value;
use crate::spec::{Boolean, Choice, Count, Custom, Fields, Key, Kind, KindDoc, List, Map, Text};

/// The key of the files.
pub const FEATURES: Key<Custom> = Key::custom("features", "a path, or a table of split = path").doc(
    "Files with the features: `.npy`, `.npz`, safetensors, PyTorch, Parquet or Arrow, such as `{ train = \"train.npy\", test = \"test.npy\" }`, or one file for all splits. Relative to the folder that `repro` runs in.",
);
const SHAPE: Key<List<Count>> = Key::list("shape", Count::within(1..=16_777_216))
    .items(1..=3)
    .doc("What a row holds, as numpy says it without the first axis: [D] values, [L, D] tokens or [C, H, W], such as [768].");
const ARRAY: Key<Text> = Key::text("array", "the name of an array or a column")
    .optional("`features`, or the only one")
    .doc("What the features are called in the files.");
const IDS: Key<Text> = Key::text("ids", "the name of an array or a column")
    .optional("`id` or `ids`, where a file has one")
    .doc("What the samples' ids are called in the files; without ids the rows of a split are in the order of the dataset, which `repro data ids` prints.");
const ON_UNKNOWN_ID: Key<Choice<bool>> =
    Key::choice("on_unknown_id", &[("fail", false), ("skip", true)])
        .default(false)
        .doc("What happens at a row whose id the dataset does not have; `skip` is for features of more samples than a subset has.");
const CLASS_TOKEN: Key<Boolean> = Key::boolean("class_token")
    .default(false)
    .doc("Whether the first of several tokens is a class token.");
const REGISTERS: Key<Count> = Key::count("registers", 0..=64)
    .default(0)
    .doc("How many of several tokens, behind the class token, are registers, which no mean and no map of patches has.");
const NAME: Key<Text> = Key::text("name", "a few words")
    .optional("`imported`")
    .doc("What they are features of, for reports, such as `DINOv2 ViT-B/14, class token`.");

/// What reports call imported features without a name.
const UNNAMED: &str = "imported";

/// `kind = "import"`.
pub const KIND: ModelKind = Kind::with(
    KindDoc {
        name: "import",
        summary: "Features that were computed elsewhere, in files: no network runs. An extraction of it has no block.",
        keys: &[
            &FEATURES,
            &SHAPE,
            &ARRAY,
            &IDS,
            &ON_UNKNOWN_ID,
            &CLASS_TOKEN,
            &REGISTERS,
            &NAME,
        ],
        shared: &[],
    },
    parse,
    Presets::NONE,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let files = files(fields);
    let shape = fields.get(&SHAPE);
    let (class_token, registers) = (fields.get(&CLASS_TOKEN)?, fields.get(&REGISTERS)?);
    let (files, shape) = (files?, shape?);
    let shape = match *shape.as_slice() {
        [width] => TapShape::Vector { width },
        [count, width] => TapShape::Tokens {
            count,
            width,
            class_token,
            registers,
        },
        [channels, height, width] => TapShape::map(channels, height, width),
        _ => return None,
    };
    for (is_used, key) in [
        (class_token, CLASS_TOKEN.name),
        (registers > 0, REGISTERS.name),
    ] {
        if is_used && !matches!(shape, TapShape::Tokens { .. }) {
            fields.invalid(
                key,
                "graph::model-misfit",
                format!(
                    "`{key}` of {} is about tokens, and `{}` is not [L, D]",
                    fields.context(),
                    SHAPE.name
                ),
                Some("leave it out".to_owned()),
            );
            return None;
        }
    }
    if let TapShape::Tokens { count, .. } = shape
        && shape.tokens_before() >= count
    {
        fields.invalid(
            REGISTERS.name,
            "graph::model-misfit",
            format!(
                "{} has {count} tokens in a row, of which {} stand before those of the image",
                fields.context(),
                shape.tokens_before()
            ),
            Some(format!("`{}` counts all tokens: [L, D]", SHAPE.name)),
        );
        return None;
    }
    if shape.values() > MOST_VALUES {
        fields.invalid(
            SHAPE.name,
            "spec::out-of-range",
            format!(
                "`{}` of {} has {} values in a row; at most {MOST_VALUES} are read",
                SHAPE.name,
                fields.context(),
                shape.values()
            ),
            None,
        );
        return None;
    }
    let imported = Imported {
        files,
        array: fields.get(&ARRAY),
        ids: fields.get(&IDS),
        skips_unknown_ids: fields.get(&ON_UNKNOWN_ID)?,
        shape,
    };
    let name = fields.given(&NAME).unwrap_or_else(|| UNNAMED.to_owned());
    Some(Arc::new(Elsewhere::new(imported, name)))
}

/// The most values of a row; the largest feature maps that are probed have less than a million.
const MOST_VALUES: u64 = 1 << 24;

/// Reads `features`: one file, or one for each split.
fn files(fields: &Fields<'_>) -> Option<Vec<ImportedFile>> {
    const ONE: Key<Text> = Key::text(FEATURES.name, "a path");
    const BY_SPLIT: Key<Map<Text>> = Key::map(FEATURES.name, "split", Text("a path"));
    if let Value::Table(_) = fields.get(&FEATURES)?.value {
        let files = fields.get(&BY_SPLIT)?.into_iter();
        let mut files: Vec<ImportedFile> = files
            .map(|(split, path)| ImportedFile {
                split: Some(split),
                path: PathBuf::from(path),
            })
            .collect();
        if files.is_empty() {
            fields.invalid(
                FEATURES.name,
                "spec::out-of-range",
                format!("`{}` of {} names no file", FEATURES.name, fields.context()),
                Some("write `{ train = \"train.npy\", test = \"test.npy\" }`".to_owned()),
            );
            return None;
        }
        files.sort_by(|left, right| left.split.cmp(&right.split));
        return Some(files);
    }
    Some(vec![ImportedFile {
        split: None,
        path: fields.get(&ONE)?.into(),
    }])
}

/// A model without a network.
#[derive(Debug, Clone)]
struct Elsewhere {
    name: String,
    weights: WeightsSource,
    blocks: [BlockInfo; 1],
}

impl Elsewhere {
    fn new(imported: Imported, name: String) -> Self {
        Self {
            name,
            blocks: [BlockInfo {
                index: BlockIndex(1),
                path: "features".to_owned(),
                shape: imported.shape,
                multiply_adds: 0,
            }],
            weights: WeightsSource::Imported(Arc::new(imported)),
        }
    }
}

impl Model for Elsewhere {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.name
    }

    /// Of no image: none is read.
    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: 1,
            normalization: Normalization::MinusOneToOne,
            noise: None,
        }
    }

    fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    fn parameter_count(&self) -> u64 {
        0
    }

    fn counts_parameters(&self) -> bool {
        false
    }

    fn weights(&self) -> &WeightsSource {
        &self.weights
    }

    fn with_weights(&self, _weights: WeightsSource) -> Arc<dyn Model> {
        Arc::new(self.clone())
    }

    /// All that decides which numbers of the files belong to which sample; neither paths nor the name.
    fn identity(&self) -> serde_json::Value {
        let Some(imported) = self.imported() else {
            return json!({ "kind": KIND.doc.name });
        };
        let splits = imported.files.iter().map(|file| file.split.as_deref());
        let mut identity = json!({
            "kind": KIND.doc.name,
            "reader": READER,
            "splits": splits.collect::<Vec<_>>(),
            "shape": imported.shape.sizes(),
            "class_token": matches!(imported.shape, TapShape::Tokens { class_token: true, .. }),
            "array": imported.array,
            "ids": imported.ids,
        });
        // Absent where there are none, so that what was imported before there was the key keeps its name.
        if let TapShape::Tokens {
            registers: registers @ 1..,
            ..
        } = imported.shape
        {
            identity["registers"] = registers.into();
        }
        identity
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        _base: &std::path::Path,
        _device: tch::Device,
        _precision: crate::models::Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        Err(crate::models::checkpoint::weights::WeightError::Unusable(
            crate::models::imported::no_network(),
        ))
    }
}

/// Goes up whenever the same files would give other features.
const READER: u32 = 1;
