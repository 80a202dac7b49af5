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

#[test]
fn overlapping_wishes_do_not_deadlock() {
    let (_folder, store) = store();
    let wanted: Vec<_> = (0..8)
        .map(|timestep| (recipe(timestep), format!("t{timestep}")))
        .collect();
    let backwards: Vec<_> = wanted.iter().rev().cloned().collect();
    std::thread::scope(|scope| {
        for wanted in [&wanted, &backwards, &wanted, &backwards] {
            let store = &store;
            scope.spawn(move || {
                for (begun, (recipe, _)) in store
                    .begin_many(wanted, &mut wait_quietly)
                    .unwrap()
                    .into_iter()
                    .zip(wanted)
                {
                    match begun {
                        Begin::AlreadyThere(manifest) => assert_eq!(manifest.recipe, *recipe),
                        Begin::Writer(mut writer) => {
                            assert_eq!(writer.recipe(), recipe);
                            writer.write_bytes("x", b"x").unwrap();
                            writer.finish(made()).unwrap();
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.listing().unwrap().artifacts.len(), 8);
    let twice = [wanted[0].clone(), wanted[1].clone(), wanted[0].clone()];
    assert!(matches!(
        store.begin_many(&twice, &mut wait_quietly),
        Err(StoreError::BegunTwice { .. })
    ));
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
