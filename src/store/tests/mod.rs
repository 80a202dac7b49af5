//! Artifacts from begin to end: written, interrupted, damaged, read again.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::feature_type::FeatureType;

mod damage;
mod faults;
mod images;
mod query;
mod results;
mod sharing;

/// A part's content with its own storage.
#[derive(Debug, Clone)]
struct Content {
    ids: Vec<String>,
    splits: Vec<String>,
    labels: Vec<u32>,
    views: Vec<String>,
    draws: Vec<u32>,
    width: usize,
    values: FeatureValues,
}

impl Content {
    fn part(&self) -> FeaturePart<'_> {
        FeaturePart {
            ids: &self.ids,
            splits: &self.splits,
            labels: Some(&self.labels),
            views: &self.views,
            draws: &self.draws,
            width: self.width,
            values: self.values.clone(),
        }
    }
}

fn content(first: u32, rows: u32, width: usize) -> Content {
    let values = (0..rows as usize * width)
        .map(|index| index as f32 + first as f32 / 3.0)
        .collect();
    Content {
        ids: (first..first + rows)
            .map(|row| format!("image/{row}"))
            .collect(),
        splits: vec!["train".to_owned(); rows as usize],
        labels: (0..rows).collect(),
        views: vec!["center".to_owned(); rows as usize],
        draws: vec![0; rows as usize],
        width,
        values: FeatureValues::F32(values),
    }
}

fn recipe(timestep: u32) -> Recipe {
    Recipe::new(
        ArtifactKind::Features,
        1,
        &json!({ "timestep": timestep, "block": 24 }),
    )
    .unwrap()
}

fn made() -> Made {
    Made {
        at: "2026-01-02T03:04:05Z".to_owned(),
        wall_seconds: 1.5,
        device: "cpu".to_owned(),
        ..Made::default()
    }
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

fn begin(store: &Store, recipe: &Recipe) -> Box<ArtifactWriter> {
    match store
        .begin(recipe, "extraction gd", &mut wait_quietly)
        .unwrap()
    {
        Begin::Writer(writer) => writer,
        Begin::AlreadyThere(manifest) => panic!("{} is already there", manifest.fingerprint),
    }
}

/// Three parts of 4, 4 and 2 rows.
fn make(store: &Store, recipe: &Recipe) -> Manifest {
    let mut writer = begin(store, recipe);
    writer.committed_parts(&[4, 4, 2]).unwrap();
    for (part, rows) in [(0, 4), (1, 4), (2, 2)] {
        writer
            .write_features(part, content(part * 4, rows, 3).part())
            .unwrap();
    }
    writer.finish(made()).unwrap()
}

fn part_file(store: &Store, recipe: &Recipe, part: u32) -> PathBuf {
    store
        .artifact_folder(recipe.kind(), &recipe.fingerprint())
        .join(format!("part-{part:05}.arrow"))
}

#[test]
fn features_come_back_as_they_were_written() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let manifest = make(&store, &recipe);
    assert_eq!(manifest.rows, 10);
    assert_eq!(manifest.files.len(), 3);
    assert_eq!(
        store.manifest(&recipe.fingerprint()).unwrap().as_ref(),
        Some(&manifest)
    );

    let reader = store.features(&recipe.fingerprint()).unwrap();
    assert_eq!(
        (reader.rows(), reader.width(), reader.feature_type()),
        (10, 3, FeatureType::F32)
    );
    assert_eq!(reader.manifest().recipe, recipe);
    for (index, part) in reader.parts().iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        let written = content(index * 4, if index == 2 { 2 } else { 4 }, 3);
        assert!(part.ids().eq(written.ids.iter().map(String::as_str)));
        assert!(part.splits().all(|split| split == "train"));
        assert!(part.views().all(|view| view == "center"));
        assert_eq!(part.labels(), Some(&written.labels[..]));
        assert_eq!(part.draws(), written.draws);
        let values = part.values_f32().unwrap();
        assert_eq!(FeatureValues::F32(values.to_vec()), written.values);
        assert!(
            values.as_ptr().addr().is_multiple_of(64),
            "the values are aligned in the file"
        );
        assert!(part.values_f16().is_none());
    }
}

#[test]
fn equal_content_gives_equal_bytes() {
    let (_first_folder, first) = store();
    let (_second_folder, second) = store();
    let recipe = recipe(90);
    let batch = ResultRow::to_batch(&[super::results::tests::example()]).unwrap();
    for store in [&first, &second] {
        let mut writer = begin(store, &recipe);
        writer.write_features(0, content(0, 5, 7).part()).unwrap();
        writer.write_table("results", &batch).unwrap();
        writer.finish(made()).unwrap();
    }
    for name in ["part-00000.arrow", "results.parquet", "manifest.json"] {
        let read = |store: &Store| {
            fs::read(
                store
                    .artifact_folder(recipe.kind(), &recipe.fingerprint())
                    .join(name),
            )
            .unwrap()
        };
        assert!(read(&first) == read(&second), "{name}");
    }
}

#[test]
fn tables_and_bytes_come_back() {
    let (_folder, store) = store();
    let recipe = Recipe::new(ArtifactKind::Metric, 1, &json!({ "of": "linear" })).unwrap();
    let rows = vec![super::results::tests::example(); 3];
    let mut writer = begin(&store, &recipe);
    writer
        .write_table("results", &ResultRow::to_batch(&rows).unwrap())
        .unwrap();
    writer
        .write_table("empty", &ResultRow::to_batch(&[]).unwrap())
        .unwrap();
    writer.write_bytes("head.safetensors", b"weights").unwrap();
    for name in ["../escape", "manifest.json", ".hidden", "part-00000.arrow"] {
        assert!(
            matches!(
                writer.write_bytes(name, b""),
                Err(StoreError::BadContent { .. })
            ),
            "{name}"
        );
    }
    let manifest = writer.finish(made()).unwrap();
    let fingerprint = manifest.fingerprint;
    assert_eq!(manifest.rows, 3);
    assert_eq!(
        ResultRow::from_batch(&store.table(&fingerprint, "results").unwrap()).unwrap(),
        rows
    );
    assert_eq!(
        store
            .table(&fingerprint, "empty.parquet")
            .unwrap()
            .num_rows(),
        0
    );
    assert_eq!(
        store.bytes(&fingerprint, "head.safetensors").unwrap(),
        b"weights"
    );
    let message = store.table(&fingerprint, "curves").unwrap_err().to_string();
    assert!(
        message.contains("no file `curves.parquet`") && message.contains("`results.parquet`"),
        "{message}"
    );
    assert!(matches!(
        store.bytes(&Fingerprint::of(b"?"), "x"),
        Err(StoreError::Missing { .. })
    ));

    let file = store
        .artifact_folder(ArtifactKind::Metric, &fingerprint)
        .join("head.safetensors");
    damage::flip_a_byte(&file, 0);
    assert!(matches!(
        store.bytes(&fingerprint, "head.safetensors"),
        Err(StoreError::Corrupt { .. })
    ));
}

#[test]
fn an_interrupted_artifact_does_not_exist_but_its_parts_are_kept() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let mut writer = begin(&store, &recipe);
    writer.committed_parts(&[4, 4, 2]).unwrap();
    writer.write_features(1, content(4, 4, 3).part()).unwrap();
    drop(writer);
    // What a killed process leaves: a temporary file, and a table that no manifest lists.
    let folder = store.artifact_folder(recipe.kind(), &recipe.fingerprint());
    fs::write(folder.join(".tmp-part-00002.arrow-abc"), "half").unwrap();
    fs::write(folder.join("curves.parquet"), "whole, but nobody's").unwrap();

    assert!(store.manifest(&recipe.fingerprint()).unwrap().is_none());
    assert!(matches!(
        store.features(&recipe.fingerprint()),
        Err(StoreError::Missing { .. })
    ));
    let listing = store.listing().unwrap();
    assert!(listing.artifacts.is_empty() && listing.problems.is_empty());
    assert_eq!(
        listing.partial[&recipe.fingerprint()],
        Partial {
            kind: recipe.kind(),
            parts: [1].into()
        }
    );

    let mut writer = begin(&store, &recipe);
    // The table is no evidence of damage.
    assert!(writer.set_aside().is_empty() && !folder.join("curves.parquet").exists());
    assert_eq!(listing_of(&store.root().join("quarantine")).len(), 0);
    // Somebody may still be writing it.
    assert!(folder.join(".tmp-part-00002.arrow-abc").exists());
    let committed = writer.committed_parts(&[4, 4, 2]).unwrap();
    assert_eq!(
        committed,
        CommittedParts {
            parts: [1].into(),
            set_aside: vec![]
        }
    );
    writer.write_features(0, content(0, 4, 3).part()).unwrap();
    writer.write_features(2, content(8, 2, 3).part()).unwrap();
    let resumed = writer.finish(made()).unwrap();
    let names: Vec<_> = listing_of(&folder);
    assert_eq!(
        names,
        [
            "manifest.json",
            "part-00000.arrow",
            "part-00001.arrow",
            "part-00002.arrow"
        ]
    );

    let (_other_folder, other) = self::store();
    assert_eq!(
        make(&other, &recipe),
        resumed,
        "resumed and uninterrupted runs leave equal digests"
    );
}

fn listing_of(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn finish_insists_on_every_part() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let mut writer = begin(&store, &recipe);
    writer.committed_parts(&[4, 4, 2]).unwrap();
    writer.write_features(0, content(0, 4, 3).part()).unwrap();
    writer.write_features(1, content(4, 4, 3).part()).unwrap();
    let message = writer.finish(made()).unwrap_err().to_string();
    assert!(message.contains("part 2 of 3 missing"), "{message}");

    let mut writer = begin(&store, &recipe);
    writer.write_features(1, content(4, 4, 3).part()).unwrap();
    assert!(
        matches!(writer.finish(made()), Err(StoreError::Incomplete { .. })),
        "a gap at 0"
    );
    assert!(
        matches!(
            begin(&store, &recipe).finish(made()),
            Err(StoreError::Incomplete { .. })
        ),
        "nothing written"
    );
}

#[test]
fn a_part_that_contradicts_itself_is_refused() {
    let (_folder, store) = store();
    let mut writer = begin(&store, &recipe(90));
    let good = content(0, 4, 3);
    let mut bad = |change: fn(&mut Content), expected: &str| {
        let mut content = good.clone();
        change(&mut content);
        let message = writer
            .write_features(0, content.part())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    };
    bad(|content| content.labels.truncate(3), "4 ids but 3 labels");
    bad(|content| content.width = 0, "vectors of 0 values");
    bad(|content| content.width = 4, "but 12 values");
    writer.write_features(0, good.part()).unwrap();
    let message = writer
        .write_features(1, content(4, 4, 2).part())
        .unwrap_err()
        .to_string();
    assert!(message.contains("other parts have 3 F32"), "{message}");
    writer.committed_parts(&[4, 4]).unwrap();
    let message = writer
        .write_features(1, content(4, 3, 3).part())
        .unwrap_err()
        .to_string();
    assert!(message.contains("3 rows, but 4 rows declared"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_features_survive_bit_by_bit(
        (width, rows) in (1_usize..6).prop_flat_map(|width| {
            let row = (".{0,6}", any::<u32>(), any::<u32>(), proptest::collection::vec(any::<u32>(), width));
            (Just(width), proptest::collection::vec(row, 0..6))
        }),
        half in any::<bool>(),
    ) {
        let bits: Vec<u32> = rows.iter().flat_map(|row| row.3.clone()).collect();
        let low = |bits: &u32| f16::from_bits(u16::try_from(bits & 0xffff).unwrap());
        let texts: Vec<String> = rows.iter().map(|row| row.0.clone()).collect();
        let content = Content {
            ids: texts.clone(),
            splits: texts.iter().rev().cloned().collect(),
            labels: rows.iter().map(|row| row.1).collect(),
            views: texts.clone(),
            draws: rows.iter().map(|row| row.2).collect(),
            width,
            values: if half {
                FeatureValues::F16(bits.iter().map(low).collect())
            } else {
                FeatureValues::F32(bits.iter().map(|bits| f32::from_bits(*bits)).collect())
            },
        };
        let (_folder, store) = store();
        let recipe = recipe(1);
        let mut writer = begin(&store, &recipe);
        writer.write_features(0, content.part()).unwrap();
        drop(writer);
        // Once through validation, as when resuming, and once through the reader.
        let mut writer = begin(&store, &recipe);
        prop_assert_eq!(writer.committed_parts(&[rows.len() as u64]).unwrap().parts.len(), 1);
        writer.finish(made()).unwrap();
        let reader = store.features(&recipe.fingerprint()).unwrap();
        let part = &reader.parts()[0];
        prop_assert!(part.ids().eq(content.ids.iter().map(String::as_str)));
        prop_assert!(part.splits().eq(content.splits.iter().map(String::as_str)));
        prop_assert_eq!(part.labels(), Some(&content.labels[..]));
        prop_assert_eq!(part.draws(), &content.draws[..]);
        if half {
            for row in 0..part.rows() {
                let mut copied = vec![0; part.width() * 2];
                prop_assert!(part.copy_row(row, &mut copied));
                prop_assert_eq!(&copied, part.bytes_of_row(row).unwrap());
            }
            prop_assert!(!part.copy_row(part.rows(), &mut vec![0; part.width() * 2]));
            prop_assert!(!part.copy_row(0, &mut [0]));
            let read: Vec<u16> = part.values_f16().unwrap().iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(read, bits.iter().map(|bits| low(bits).to_bits()).collect::<Vec<_>>());
        } else {
            let read: Vec<u32> = part.values_f32().unwrap().iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(read, bits);
        }
    }
}
