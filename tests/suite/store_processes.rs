//! The store under several processes: one maker an artifact, and a killed maker leaves what it committed.

use std::path::Path;
use std::process::{Command, Output};

use repro::store::{
    ArtifactKind, Begin, FeaturePart, FeatureValues, Made, Recipe, Store, wait_quietly,
};

/// The variable in which a child finds the store to work on; without it the children's tests do nothing.
const STORE: &str = "REPRO_TEST_STORE";

fn recipe() -> Recipe {
    Recipe::new(ArtifactKind::Features, 1, &[("timestep", 90)]).unwrap()
}

fn write(store: &Store, parts: std::ops::Range<u32>, finish: bool) -> bool {
    let Begin::Writer(mut writer) = store
        .begin(&recipe(), "features", &mut wait_quietly)
        .unwrap()
    else {
        return false;
    };
    let committed = writer.committed_parts(&[2; 4]).unwrap();
    let texts = ["a".to_owned(), "b".to_owned()];
    for part in parts.filter(|part| !committed.parts.contains(part)) {
        let values = FeatureValues::F32(vec![0.5; 6]);
        let content = FeaturePart {
            ids: &texts,
            splits: &texts,
            labels: Some(&[0, 1]),
            views: &texts,
            draws: &[0, 0],
            width: 3,
            values,
        };
        writer.write_features(part, content).unwrap();
    }
    if finish {
        writer.finish(Made::default()).unwrap();
        return true;
    }
    // Dies as if killed: nothing is dropped, nothing is flushed.
    std::process::abort();
}

fn child(test: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(STORE, store);
    command
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child_that_dies() {
    if let Some(root) = std::env::var_os(STORE) {
        write(&Store::open(root).unwrap(), 0..2, false);
    }
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child_that_finishes() {
    if let Some(root) = std::env::var_os(STORE) {
        let made = write(&Store::open(root).unwrap(), 0..4, true);
        println!(
            "{}",
            if made {
                "this one made it"
            } else {
                "it was there"
            }
        );
    }
}

#[test]
fn a_killed_process_leaves_its_parts_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    assert!(
        !output(&mut child("store_processes::child_that_dies", &root))
            .status
            .success()
    );
    let store = Store::open(&root).unwrap();
    let listing = store.listing().unwrap();
    assert!(listing.artifacts.is_empty());
    assert_eq!(
        listing.partial[&recipe().fingerprint()].parts,
        [0, 1].into()
    );

    let mut waits = 0;
    let begun = store.begin(&recipe(), "features", &mut |waiting| {
        waits += 1;
        wait_quietly(waiting)
    });
    let Begin::Writer(mut writer) = begun.unwrap() else {
        panic!("it cannot be complete")
    };
    assert_eq!(waits, 0, "the lock of a dead process holds nobody up");
    assert_eq!(
        writer.committed_parts(&[2; 4]).unwrap().parts,
        [0, 1].into()
    );
}

#[test]
fn several_processes_make_an_artifact_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let children: Vec<_> = (0..4)
        .map(|_| {
            child("store_processes::child_that_finishes", &root)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<Output> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    let made = outputs
        .iter()
        .filter(|output| String::from_utf8_lossy(&output.stdout).contains("this one made it"));
    assert_eq!(made.count(), 1);
    let store = Store::open_read_only(&root).unwrap();
    assert_eq!(store.features(&recipe().fingerprint()).unwrap().rows(), 8);
    assert_eq!(store.verify().unwrap(), []);
}
