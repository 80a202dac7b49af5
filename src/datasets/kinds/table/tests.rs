//! Tests of tables: files as Hugging Face's library lays them out, paths in CSV files, and what is wrong with either.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields as ArrowFields, Schema};

use super::*;
use crate::datasets::Environment;
use crate::datasets::listed::fixture;
use crate::message::Hint;

const NAMES: &str = r#"{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;

/// The bytes of an image of one shade.
fn png(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(3, 2, image::Rgb([shade, 0, 0]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A column of structures with bytes and paths.
fn structures(images: &[Option<Vec<u8>>]) -> ArrayRef {
    let bytes: BinaryArray = images.iter().map(Option::as_deref).collect();
    let paths: StringArray = images.iter().map(|_| Some("somewhere.png")).collect();
    let fields = ArrowFields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    Arc::new(StructArray::new(
        fields,
        vec![Arc::new(bytes), Arc::new(paths)],
        None,
    ))
}

/// Writes a file with row groups of three rows, compressed as Hugging Face's are.
fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, metadata: Option<&str>) {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let metadata =
        metadata.map(|text| HashMap::from([("huggingface".to_owned(), text.to_owned())]));
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata.unwrap_or_default()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(3))
        .build();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Writes a file of images with these shades, and the parity of each as its label.
fn write_shades(path: &Path, shades: std::ops::Range<u8>, metadata: Option<&str>) {
    let images: Vec<_> = shades.clone().map(|shade| Some(png(shade))).collect();
    let labels: Int64Array = shades.map(|shade| i64::from(shade % 2)).collect();
    write(
        path,
        vec![("image", structures(&images)), ("label", Arc::new(labels))],
        metadata,
    );
}

fn table(files: &[(Option<&str>, &str)]) -> ImageTable {
    let files = files
        .iter()
        .map(|(split, path)| (split.map(str::to_owned), PathBuf::from(path)));
    ImageTable {
        files: files.collect(),
        image: "image".to_owned(),
        label: "label".to_owned(),
        split: "split".to_owned(),
        id: None,
        root: None,
        classes: None,
    }
}

fn open(folder: &Path, table: &ImageTable) -> Result<OpenDataset, String> {
    let environment = Environment {
        base: folder,
        ..Environment::plain()
    };
    let open = table.open(&environment, None);
    open.map_err(|error| error.explain().to_string())
}

const BOTH: [(Option<&str>, &str); 2] = [
    (Some("train"), "data/train-*.parquet"),
    (Some("test"), "data/test.parquet"),
];

#[test]
fn a_page_of_many_large_images_is_one_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    let large = |rows: u8| -> ArrayRef {
        let images = (0..rows).map(|row| Some(vec![row; 1 << 20]));
        Arc::new(images.collect::<BinaryArray>())
    };
    let blocks = |rows_of_page: usize| {
        let batch = RecordBatch::try_from_iter([("image", large(40))]).unwrap();
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_compression(Compression::SNAPPY)
            .set_data_page_size_limit(1 << 30)
            .set_write_batch_size(rows_of_page)
            .set_data_page_row_count_limit(rows_of_page)
            .build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let opened = super::parquet::ImageFile::open(&path, "image").unwrap();
        for (row, first) in [(0, 0), (17, 17), (39, 39)] {
            let (block, place) = opened.block_of(row);
            let block = opened.read(block).unwrap();
            assert_eq!(block.image(place).unwrap()[0], first);
        }
        opened.block_of(39).0 + 1
    };
    // All in one page, which is unpacked once; pages of two are read eight megabytes at a time.
    assert_eq!(blocks(40), 1);
    let small = blocks(2);
    assert!((5..=7).contains(&small), "{small}");
}

#[test]
fn shards_of_images_are_one_dataset_in_any_order_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Written in another order than that of their names.
    write_shades(&folder.join("data/train-1.parquet"), 7..10, Some(NAMES));
    write_shades(&folder.join("data/train-0.parquet"), 0..7, Some(NAMES));
    write_shades(&folder.join("data/test.parquet"), 10..12, Some(NAMES));
    let dataset = open(folder, &table(&BOTH)).unwrap();
    assert_eq!(dataset.manifest.classes, ["cat", "dog"]);
    let samples = &dataset.manifest.samples;
    assert_eq!(samples.len(), 12);
    assert_eq!(
        (samples[9].id.as_str(), samples[9].label),
        ("train/00000009", 1)
    );
    assert_eq!(
        (samples[10].id.as_str(), samples[10].split.as_str()),
        ("test/00000000", "test")
    );
    for (shade, sample) in (0u8..).zip(samples) {
        assert_eq!(
            sample.content,
            blake3::hash(&png(shade)).to_hex().to_string()
        );
    }
    // Backwards, twice, and from several threads.
    let rows = (0..12usize).rev().chain(0..12).collect::<Vec<_>>();
    rows.par_iter().for_each(|&row| {
        let image = dataset.image(row).unwrap();
        assert_eq!(usize::from(image.pixels()[0]), row);
        assert_eq!(
            dataset.encoded(row).unwrap().unwrap(),
            png(u8::try_from(row).unwrap())
        );
    });
    assert!(dataset.image(12).is_err());
}

#[test]
fn many_blocks_of_one_group_are_read_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let images: Vec<_> = (0u32..3000)
        .map(|row| Some(row.to_le_bytes().repeat(3000)))
        .collect();
    let fields = Schema::new(vec![Field::new("image", DataType::Binary, false)]);
    let bytes: BinaryArray = images.iter().map(Option::as_deref).collect();
    let batch = RecordBatch::try_new(Arc::new(fields), vec![Arc::new(bytes)]).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    // Without a dictionary, which would keep equal numbers of bytes small.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let file = ImageFile::open(&path, "image").unwrap();
    for row in [0, 1, 698, 699, 1500, 2999] {
        let (block, place) = file.block_of(row);
        assert_eq!(
            file.read(block).unwrap().image(place),
            images[row].as_deref()
        );
    }
    assert!(file.block_of(2999).0 >= 4, "{:?}", file.block_of(2999));
    assert_eq!(
        file.digests().unwrap()[1500],
        *blake3::hash(images[1500].as_ref().unwrap()).as_bytes()
    );
}

#[test]
fn a_column_may_have_the_splits_and_another_the_ids() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fixture::write_images(&folder.join("pictures"), &["a.png", "b.png", "c.png"]);
    let csv = "id,image,label,split\none,a.png,dog,train\ntwo,\"b.png\",cat,train\nthree,c.png,dog,test\n";
    fixture::write_texts(
        folder,
        &[("lists/all.csv", csv), ("classes.txt", "dog\ncat\n")],
    );
    let mut given = table(&[(None, "lists/all.csv")]);
    given.root = Some(PathBuf::from("pictures"));
    given.id = Some("id".to_owned());
    let dataset = open(folder, &given).unwrap();
    let seen = |dataset: &OpenDataset| {
        let samples = dataset.manifest.samples.iter();
        samples
            .map(|sample| (sample.id.clone(), sample.split.clone(), sample.label))
            .collect::<Vec<_>>()
    };
    let row = |id: &str, split: &str, label| (id.to_owned(), split.to_owned(), label);
    assert_eq!(
        seen(&dataset),
        [
            row("one", "train", 1),
            row("two", "train", 0),
            row("three", "test", 1)
        ]
    );
    assert_eq!(dataset.image(1).unwrap().pixels()[0], 1);
    given.classes = Some(PathBuf::from("classes.txt"));
    assert_eq!(seen(&open(folder, &given).unwrap())[0].2, 0);
    given.classes = Some(PathBuf::from("lists/all.csv"));
    let error = open(folder, &given).err().unwrap();
    assert!(
        error.contains("row 1 has the label `dog`, which is not one of the 4 classes"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_named_with_its_row_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fixture::write_images(folder, &["a.png"]);
    let parquet = "bad.parquet";
    let path = folder.join(parquet);
    let numbers = |labels: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(labels.to_vec())) };
    let image = || structures(&[Some(png(1)), Some(png(2))]);
    let cases: Vec<(Vec<(&str, ArrayRef)>, &str)> = vec![
        (
            vec![("image", image()), ("labels", numbers(&[0, 1]))],
            "it has no column `label`\n  hint: did you mean `labels`?",
        ),
        (
            vec![("image", numbers(&[0, 1])), ("label", numbers(&[0, 1]))],
            "column `image` has the type Int64, and not bytes",
        ),
        (
            vec![("image", image()), ("label", image())],
            "and not integers or names",
        ),
        (
            vec![("image", image()), ("label", numbers(&[0, 2]))],
            "row 2 has the label `2`, which is not one of the 2 classes",
        ),
        (
            vec![("image", image()), ("label", numbers(&[-1, 1]))],
            "row 1 has the label `-1`",
        ),
        (
            vec![
                ("image", structures(&[Some(png(1)), None])),
                ("label", numbers(&[0, 1])),
            ],
            "row 2 has no image",
        ),
        (
            vec![
                ("image", image()),
                ("label", Arc::new(Int64Array::from(vec![Some(0), None]))),
            ],
            "row 2 has nothing in the column `label`",
        ),
    ];
    for (columns, says) in cases {
        write(&path, columns, Some(NAMES));
        let error = open(folder, &table(&[(Some("train"), parquet)]))
            .err()
            .unwrap();
        assert!(
            error.contains(says) && error.contains(parquet) && error.contains("hint:"),
            "{error}"
        );
    }
    let csv = "bad.csv";
    for (text, says) in [
        (
            "image,label,splits\na.png,0,train\n",
            "it has no column `split`\n  hint: did you mean `splits`?",
        ),
        (
            "image,label,split\na.png,0,train\n../a.png,0,train\n",
            "row 2 has `../a.png`, which is not a path inside",
        ),
        (
            "image,label,split\na.png,0,train\nb.png,0,train\n",
            "b.png is missing: row 2 of ",
        ),
        (
            "image,label,split\na.png,,train\n",
            "row 1 has nothing in the column `label`",
        ),
        ("image,label,split\na.png,0\n", "it cannot be read as CSV"),
        ("image,label,split\n", "it has no rows"),
    ] {
        std::fs::write(folder.join(csv), text).unwrap();
        let error = open(folder, &table(&[(None, csv)])).err().unwrap();
        assert!(error.contains(says) && error.contains("hint:"), "{error}");
    }
    std::fs::write(&path, "PAR1 no table").unwrap();
    let cut = open(folder, &table(&[(None, parquet)])).err().unwrap();
    assert!(cut.contains("it is cut off"), "{cut}");
    std::fs::write(&path, "PAR1 no table PAR1").unwrap();
    let damaged = open(folder, &table(&[(None, parquet)])).err().unwrap();
    assert!(damaged.contains("cannot be read as Parquet"), "{damaged}");
    let gone = open(folder, &table(&[(None, "data/*.parquet")]))
        .err()
        .unwrap();
    assert!(
        gone.contains("is missing") && gone.contains("`*`"),
        "{gone}"
    );
    let other = open(folder, &table(&[(None, "a.png")])).err().unwrap();
    assert!(other.contains("ends neither in"), "{other}");
    let mut twice = table(&[(None, csv)]);
    twice.id = Some("image".to_owned());
    std::fs::write(
        folder.join(csv),
        "image,label,split\na.png,0,train\na.png,0,test\n",
    )
    .unwrap();
    let error = open(folder, &twice).err().unwrap();
    assert!(error.contains("row 2 has the id `a.png`"), "{error}");
}
