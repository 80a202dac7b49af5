//! Damaged artifacts and parts: noticed, set aside, made again.

use std::fs;
use std::path::Path;

use super::*;

pub(super) fn flip_a_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn quarantined(store: &Store) -> usize {
    fs::read_dir(store.root().join("quarantine"))
        .unwrap()
        .count()
}

#[test]
fn a_part_that_does_not_validate_is_set_aside() {
    let (_folder, store) = store();
    let (wanted, other) = (recipe(90), recipe(150));
    let mut writer = begin(&store, &wanted);
    for part in 0..6 {
        writer
            .write_features(part, content(part, 4, 3).part())
            .unwrap();
    }
    drop(writer);
    let mut writer = begin(&store, &other);
    writer.write_features(3, content(3, 4, 3).part()).unwrap();
    drop(writer);

    let file = |part| part_file(&store, &wanted, part);
    // 0 stays; 1 is truncated; 2 has a flipped bit in its values; 3 is of another artifact; 4 has another number of
    // rows than is wanted now; 5 is not wanted at all; 6 is empty.
    let bytes = fs::read(file(1)).unwrap();
    fs::write(file(1), &bytes[..bytes.len() / 2]).unwrap();
    let length = fs::metadata(file(2)).unwrap().len();
    flip_a_byte(&file(2), usize::try_from(length / 2).unwrap());
    fs::copy(part_file(&store, &other, 3), file(3)).unwrap();
    fs::write(file(6), "").unwrap();

    let mut writer = begin(&store, &wanted);
    let committed = writer.committed_parts(&[4, 4, 4, 4, 3]).unwrap();
    assert_eq!(committed.parts, [0].into());
    let reasons: Vec<(u32, &str)> = committed
        .set_aside
        .iter()
        .map(|aside| {
            assert!(aside.to.exists() && !aside.from.exists());
            assert!(aside.to.parent().unwrap().join("reason.txt").exists());
            let name = aside.from.file_name().unwrap().to_str().unwrap();
            (
                super::super::part::part_index(name).unwrap(),
                aside.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        reasons.iter().map(|(part, _)| *part).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert!(reasons[1].1.contains("digest"), "{reasons:?}");
    assert!(reasons[2].1.contains("another artifact"), "{reasons:?}");
    assert!(reasons[3].1.contains("4 rows instead of 3"), "{reasons:?}");
    assert!(
        reasons[4].1.contains("not among the 5 parts"),
        "{reasons:?}"
    );
    assert_eq!(quarantined(&store), 6);
}

#[test]
fn every_damage_to_a_part_is_noticed_and_none_panics() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let mut writer = begin(&store, &recipe);
    writer.write_features(0, content(0, 4, 3).part()).unwrap();
    drop(writer);
    let path = part_file(&store, &recipe, 0);
    let whole = fs::read(&path).unwrap();
    let open = || super::super::part_reader::open_unverified(&path, "part-00000.arrow", &recipe);
    let (written, entry) = open().unwrap();
    for length in (0..whole.len()).step_by(17) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(open().is_err(), "truncated to {length}");
    }
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        // Padding in the footer that nobody reads may differ; then what is read is right, and the digest differs.
        if let Ok((part, damaged)) = open() {
            assert_ne!(damaged.blake3, entry.blake3, "byte {at}");
            assert_eq!(part.batch, written.batch, "byte {at}");
        }
    }
}

#[test]
fn a_damaged_artifact_is_refused_set_aside_and_made_again() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let fingerprint = recipe.fingerprint();
    make(&store, &recipe);
    assert_eq!(
        store.quarantine(&fingerprint).unwrap(),
        None,
        "nothing is wrong with it"
    );
    assert_eq!(store.verify().unwrap(), []);

    flip_a_byte(&part_file(&store, &recipe, 1), 700);
    let problems = store.verify().unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].file, part_file(&store, &recipe, 1));
    let message = store.features(&fingerprint).unwrap_err().to_string();
    assert!(
        message.contains("part-00001.arrow") && message.contains("set aside"),
        "{message}"
    );

    let aside = store.quarantine(&fingerprint).unwrap().unwrap();
    assert!(aside.to.join("part-00001.arrow").exists());
    assert!(store.manifest(&fingerprint).unwrap().is_none());
    make(&store, &recipe);
    store.features(&fingerprint).unwrap();
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn what_the_file_system_gives_away_shows_without_hashing() {
    let (_folder, store) = store();
    let recipe = recipe(90);
    let fingerprint = recipe.fingerprint();
    make(&store, &recipe);
    assert_eq!(store.listing().unwrap().artifacts[&fingerprint].rows, 10);

    fs::remove_file(part_file(&store, &recipe, 2)).unwrap();
    let listing = store.listing().unwrap();
    assert!(listing.artifacts.is_empty());
    assert_eq!(listing.problems[0].reason, "is missing");
    let writer = begin(&store, &recipe);
    assert!(
        writer.set_aside()[0]
            .reason
            .contains("part-00002.arrow is missing")
    );
    drop(writer);
    make(&store, &recipe);

    let manifest = store
        .artifact_folder(recipe.kind(), &fingerprint)
        .join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let other = text.replace(r#"timestep\":90"#, r#"timestep\":91"#);
    fs::write(&manifest, &other).unwrap();
    assert!(
        store.listing().unwrap().problems[0]
            .reason
            .contains("the digest that it states")
    );
    // Manifests of older releases have no digest.
    fs::write(&manifest, other.replace("\"digest\"", "\"no digest\"")).unwrap();
    assert!(
        store.listing().unwrap().problems[0]
            .reason
            .contains("another artifact")
    );
    assert!(matches!(
        store.manifest(&fingerprint),
        Err(StoreError::Corrupt { .. })
    ));
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    assert!(
        store.listing().unwrap().problems[0]
            .reason
            .contains("cannot be read")
    );
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(
        store.listing().unwrap().problems[0]
            .reason
            .contains("format 2")
    );
    assert!(matches!(
        store.begin(&recipe, "", &mut wait_quietly),
        Err(StoreError::NewerFormat { .. })
    ));
    assert_eq!(
        quarantined(&store),
        1,
        "what a newer release made is left where it is"
    );
}
