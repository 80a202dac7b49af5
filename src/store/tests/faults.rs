//! The disk fails at every operation of a writer, in every way that it can: what is there afterwards is right or is not there.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::*;
use crate::atomic_file::faults::{Fault, Operation, Plan, counted, during};
use crate::store::names::PREDICTIONS;

const INPUT_OUTPUT: i32 = 5;
const NO_SPACE: i32 = 28;
const READ_ONLY: i32 = 30;
const QUOTA: i32 = 122;

/// Bytes that are more than a buffer holds, so that writes come before the end.
const CHECKPOINT: usize = 3 << 20;

fn table() -> RecordBatch {
    let numbers: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2, 3]));
    RecordBatch::try_from_iter([("row", numbers)]).unwrap()
}

fn head() -> Recipe {
    Recipe::new(ArtifactKind::Head, 1, &json!({ "seed": 0 })).unwrap()
}

/// All that a run leaves, as far as the store goes: features in parts, a checkpoint, a table, a part that is set aside.
fn run(store: &Store) -> Result<(), StoreError> {
    let features = recipe(90);
    if let Begin::Writer(mut writer) = store.begin(&features, "features", &mut wait_quietly)? {
        let there = writer.committed_parts(&[4, 4, 2])?.parts.clone();
        for (part, rows) in [(0, 4), (1, 4), (2, 2)] {
            if !there.contains(&part) {
                writer.write_features(part, content(part * 4, rows, 3).part())?;
            }
        }
        writer.finish(made())?;
    }
    let checkpoints = store.checkpoints(&head());
    checkpoints.write(7, &vec![7; CHECKPOINT])?;
    if let Begin::Writer(mut writer) = store.begin(&head(), "head", &mut wait_quietly)? {
        writer.write_table(PREDICTIONS, &table())?;
        writer.finish(made())?;
    }
    checkpoints.clear()
}

/// Features of which one part is damaged, as a run that was killed may find them.
fn begun(store: &Store) {
    let recipe = recipe(90);
    let mut writer = begin(store, &recipe);
    for part in 0..2 {
        let content = content(part * 4, 4, 3);
        writer.write_features(part, content.part()).unwrap();
    }
    drop(writer);
    fs::write(part_file(store, &recipe, 1), "damaged").unwrap();
}

/// Every file of the artifacts by name, without those that were never committed; the manifests tell no time here.
fn files(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for recipe in [recipe(90), head()] {
        let folder = store.artifact_folder(recipe.kind(), &recipe.fingerprint());
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(store.root()).unwrap().to_str().unwrap();
            if !name.contains("/.tmp-") {
                found.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A store in memory, where there is such a file system: thousands of files wait for a disk below.
fn store_in_memory() -> (TempDir, Store) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn what_a_failing_disk_leaves_is_right_or_absent() {
    let (_folder, whole) = store_in_memory();
    begun(&whole);
    let operations = counted(|| run(&whole).unwrap());
    let expected = files(&whole);
    for kind in [
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncFolder,
    ] {
        assert!(operations.contains(&kind), "no {kind:?}: {operations:?}");
    }
    let faults = [
        Fault::Error(INPUT_OUTPUT),
        Fault::Error(NO_SPACE),
        Fault::Error(QUOTA),
        Fault::Error(READ_ONLY),
        Fault::Gone,
        Fault::Half(NO_SPACE),
        Fault::Short,
        Fault::Interrupted,
    ];
    for (at, operation) in operations.iter().enumerate() {
        for fault in faults {
            let (_folder, store) = store_in_memory();
            begun(&store);
            let outcome = during(Plan { at, fault }, || run(&store));
            let place = format!("{fault:?} at {operation:?} {at}");
            match &outcome {
                Ok(()) => assert_eq!(files(&store), expected, "{place}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains(store.root().to_str().unwrap()),
                        "{place}: {text}"
                    );
                }
            }
            // An error that nobody hears of would be bytes that a power cut may take.
            let is_harmless = matches!(fault, Fault::Short | Fault::Interrupted);
            assert_eq!(outcome.is_ok(), is_harmless, "{place}: {outcome:?}");
            // Whatever is complete is right.
            for recipe in [recipe(90), head()] {
                let fingerprint = recipe.fingerprint();
                if store.manifest(&fingerprint).unwrap().is_some() {
                    for (name, bytes) in files(&store) {
                        if name.contains(&fingerprint.to_string()) {
                            assert_eq!(Some(&bytes), expected.get(&name), "{place}: {name}");
                        }
                    }
                }
            }
            // A process that begins anew finds nothing wrong, and ends where one would have that met no error.
            let again = Store::open(store.root()).unwrap();
            assert_eq!(again.verify().unwrap(), [], "{place}");
            run(&again).unwrap();
            assert_eq!(files(&again), expected, "{place}");
        }
    }
}
