//! Several makers and readers of one store.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn many_threads_make_an_artifact_once() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let (made_by, waits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let begun = store.begin(&recipe, "shared", &mut |waiting| {
                    assert_eq!(waiting.label, "shared");
                    waits.fetch_add(1, Ordering::Relaxed);
                    Patience::Wait
                });
                if let Begin::Writer(mut writer) = begun.unwrap() {
                    made_by.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    writer.write_features(0, content(0, 4, 3).part()).unwrap();
                    writer.finish(made()).unwrap();
                }
            });
        }
    });
    assert_eq!(made_by.into_inner(), 1);
    assert!(waits.into_inner() > 0);
}

fn on(device: &str) -> ComputedOn {
    ComputedOn {
        device: device.to_owned(),
        instructions: format!("those beside {device}"),
    }
}

#[test]
fn writers_of_parts_need_no_lock_and_the_first_one_wins() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let begin = || match store.begin_parts(&recipe, "shared").unwrap() {
        Begin::Writer(writer) => writer,
        Begin::AlreadyThere(_) => panic!("it is not finished"),
    };
    let (mut first, mut second) = (begin(), begin());
    for writer in [&mut first, &mut second] {
        assert!(writer.committed_parts(&[4, 4]).unwrap().parts.is_empty());
    }
    first.computed_on(on("cpu"));
    second.computed_on(on("cuda:1"));
    first.write_features(0, content(0, 4, 3).part()).unwrap();
    // The same part once more, from another device: it is there already.
    second.write_features(0, content(0, 4, 3).part()).unwrap();
    assert!(!first.is_complete().unwrap());
    second.write_features(1, content(1, 4, 3).part()).unwrap();
    assert!(first.has_part(1).unwrap());
    let manifest = second.finish(made()).unwrap();
    let devices: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.device.as_deref())
        .collect();
    assert_eq!(devices, [Some("cpu"), Some("cuda:1")]);
    let instructions = manifest
        .files
        .iter()
        .map(|file| file.instructions.as_deref());
    assert!(instructions.eq([Some("those beside cpu"), Some("those beside cuda:1")]));
    // Finished by another, it is as good as finished by oneself.
    assert_eq!(first.finish(made()).unwrap(), manifest);
    assert!(matches!(
        store.begin_parts(&recipe, "shared").unwrap(),
        Begin::AlreadyThere(_)
    ));
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn a_claim_is_held_by_one_and_ends_with_it() {
    let (_folder, store) = store();
    let claims = store.claims("job");
    let held = claims.claim(3).unwrap().unwrap();
    assert!(claims.claim(3).unwrap().is_none());
    assert!(store.claims("job").claim(3).unwrap().is_none());
    assert!(claims.claim(4).unwrap().is_some());
    assert!(store.claims("other").claim(3).unwrap().is_some());
    drop(held);
    assert!(claims.claim(3).unwrap().is_some());
    claims.clear().unwrap();
    claims.clear().unwrap();
}

#[test]
fn a_store_opened_for_reading_is_not_written() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    make(&store, &recipe);
    let reader = Store::open_read_only(store.root()).unwrap();
    assert_eq!(reader.listing().unwrap(), store.listing().unwrap());
    reader.features(&recipe.fingerprint()).unwrap();
    assert!(matches!(
        reader.begin(&recipe, "", &mut wait_quietly),
        Err(StoreError::ReadOnly { .. })
    ));
    assert!(matches!(
        reader.quarantine(&recipe.fingerprint()),
        Err(StoreError::ReadOnly { .. })
    ));
}
