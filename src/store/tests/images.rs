//! Parts of images.

use super::*;

fn recipe() -> Recipe {
    Recipe::new(ArtifactKind::Samples, 1, &json!({ "seed": 0 })).unwrap()
}

/// So many images from a number on: their names, and bytes that tell them apart.
fn images(first: u8, rows: u8) -> (Vec<String>, Vec<Vec<u8>>) {
    let numbers = first..first + rows;
    let ids = numbers.clone().map(|number| format!("image-{number}"));
    (
        ids.collect(),
        numbers.map(|number| vec![number; 3]).collect(),
    )
}

fn write(writer: &mut ArtifactWriter, part: u32, first: u8, rows: u8) -> Result<(), StoreError> {
    let (ids, images) = images(first, rows);
    let content = ImagePart {
        ids: &ids,
        images: &images,
    };
    writer.write_images(part, content)
}

fn writer(store: &Store) -> Box<ArtifactWriter> {
    match store.begin_parts(&recipe(), "samples").unwrap() {
        Begin::Writer(writer) => writer,
        Begin::AlreadyThere(_) => panic!("it is there already"),
    }
}

/// Parts of 4, 4 and 2 images.
fn make(store: &Store) -> Manifest {
    let mut writer = writer(store);
    writer.committed_parts(&[4, 4, 2]).unwrap();
    for (part, rows) in [(2, 2), (0, 4), (1, 4)] {
        write(&mut writer, part, u8::try_from(part).unwrap() * 4, rows).unwrap();
    }
    writer.finish(made()).unwrap()
}

#[test]
fn images_come_back_as_they_were_written() {
    let (_folder, store) = store();
    assert_eq!(make(&store).rows, 10);
    let fingerprint = recipe().fingerprint();
    let reader = store.images(&fingerprint, 0..10).unwrap();
    for number in 0..10 {
        assert_eq!(reader.image(usize::from(number)), Some(&[number; 3][..]));
    }
    assert_eq!(reader.image(10), None);
    assert!(matches!(
        store.features(&fingerprint),
        Err(StoreError::NoSuchFile { .. })
    ));
}

#[test]
fn parts_that_nobody_asks_for_are_not_read() {
    let (_folder, store) = store();
    make(&store);
    let fingerprint = recipe().fingerprint();
    let path = part_file(&store, &recipe(), 2);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let reader = store.images(&fingerprint, 3..8).unwrap();
    assert_eq!(
        (reader.image(3), reader.image(7)),
        (Some(&[3; 3][..]), Some(&[7; 3][..]))
    );
    assert_eq!(reader.image(8), None, "its part is not open");
    assert!(matches!(
        store.images(&fingerprint, 3..9),
        Err(StoreError::Corrupt { .. })
    ));
}

#[test]
fn what_a_killed_writer_left_is_found_again() {
    let (_folder, store) = store();
    let mut first = writer(&store);
    first.committed_parts(&[4, 4]).unwrap();
    write(&mut first, 1, 4, 4).unwrap();
    drop(first);
    let partial = &store.listing().unwrap().partial[&recipe().fingerprint()];
    assert_eq!(partial.parts, [1].into());
    let mut second = writer(&store);
    assert_eq!(second.committed_parts(&[4, 4]).unwrap().parts, [1].into());
    let error = write(&mut second, 0, 0, 3).unwrap_err().to_string();
    assert!(error.contains("3 rows, but 4 rows declared"), "{error}");
    let content = content(0, 4, 3);
    let error = second.write_features(0, content.part()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("but the other parts have an image"),
        "{error}"
    );
    write(&mut second, 0, 0, 4).unwrap();
    assert_eq!(second.finish(made()).unwrap().rows, 8);
}

#[test]
fn a_part_that_contradicts_itself_is_refused() {
    let (_folder, store) = store();
    let (ids, images) = images(0, 4);
    let content = ImagePart {
        ids: &ids,
        images: &images[..3],
    };
    let error = writer(&store).write_images(0, content).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("4 ids but 3 images"), "{error}");
}
