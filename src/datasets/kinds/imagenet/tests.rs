//! Small copies of ImageNet, in both layouts.

use super::*;
use crate::datasets::listed::fixture;
use crate::datasets::matlab::fixture::{compress, file, numbers, structures, text};
use crate::datasets::tree::fixture as archives;
use crate::message::Hint;

const KIT: &str = "ILSVRC2012_devkit_t12/data";
const TRUTH: &str = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt";

fn imagenet(root: &Path, classes: Option<&str>) -> ImageNet {
    ImageNet {
        root: root.to_owned(),
        classes: classes.map(|list| root.join(list)),
    }
}

fn open(root: &Path, classes: Option<&str>) -> Result<OpenDataset, String> {
    imagenet(root, classes)
        .open(&Environment::plain(), None)
        .map_err(|error| error.explain().to_string())
}

/// A folder with images of three classes; those for validation are in no folders.
fn flat() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let images = [
        "train/n01440764/a.png",
        "train/n02119789/b.png",
        "val/1.png",
        "val/2.png",
    ];
    fixture::write_images(root, &images);
    for number in 1..3 {
        let name = format!("val/ILSVRC2012_val_{number:08}.JPEG");
        std::fs::rename(root.join(format!("val/{number}.png")), root.join(name)).unwrap();
    }
    let map = "n02119789 1 kit_fox\nn01440764 2 tench\nn02100735 3 English_setter\n";
    let map_file = format!("{KIT}/map_clsloc.txt");
    fixture::write_texts(
        root,
        &[
            (TRUTH, "3\n1\n"),
            (&map_file, map),
            ("few.txt", "n02119789 Fox\nn01440764 Tench\n"),
            ("many.txt", "n02119789\nn03794056\nn04235860\n"),
            ("twice.txt", "n02119789\nn02119789\n"),
            ("names.txt", "kit_fox\n"),
        ],
    );
    folder
}

fn seen(dataset: &OpenDataset) -> Vec<(&str, u32)> {
    let samples = dataset.manifest.samples.iter();
    samples
        .map(|sample| (sample.id.as_str(), sample.label))
        .collect()
}

#[test]
fn labels_are_ranks_and_both_layouts_are_one_dataset() {
    let folder = flat();
    let root = folder.path();
    let dataset = open(root, None).unwrap();
    assert_eq!(
        seen(&dataset),
        [
            ("train/n01440764/a.png", 0),
            ("train/n02119789/b.png", 2),
            ("val/n02100735/ILSVRC2012_val_00000001.JPEG", 1),
            ("val/n02119789/ILSVRC2012_val_00000002.JPEG", 2)
        ]
    );
    assert_eq!(dataset.manifest.samples[2].split, "val");
    assert_eq!(dataset.image(3).unwrap().pixels()[0], 3);

    // `meta.mat` says the same as `map_clsloc.txt`.
    let synsets = [(1.0, "n02119789"), (2.0, "n01440764"), (3.0, "n02100735")];
    let synsets = synsets.map(|(number, wnid)| [numbers("", &[number]), text("", wnid)]);
    let synsets = structures("synsets", &["ILSVRC2012_ID", "WNID"], &synsets.concat());
    std::fs::write(root.join(KIT).join("meta.mat"), file(&[compress(&synsets)])).unwrap();
    std::fs::remove_file(root.join(KIT).join("map_clsloc.txt")).unwrap();
    let other = open(root, None).unwrap();
    assert_eq!(other.manifest.digest(), dataset.manifest.digest());

    for (number, wnid) in [(1, "n02100735"), (2, "n02119789")] {
        let name = format!("ILSVRC2012_val_{number:08}.JPEG");
        std::fs::create_dir(root.join("val").join(wnid)).unwrap();
        let sorted = root.join("val").join(wnid).join(&name);
        std::fs::rename(root.join("val").join(&name), sorted).unwrap();
    }
    std::fs::remove_dir_all(root.join("ILSVRC2012_devkit_t12")).unwrap();
    let sorted = open(root, None).unwrap();
    assert_eq!(sorted.manifest.digest(), dataset.manifest.digest());
}

#[test]
fn a_list_chooses_classes() {
    let folder = flat();
    let dataset = open(folder.path(), Some("few.txt")).unwrap();
    assert_eq!(dataset.manifest.classes, ["n01440764", "n02119789"]);
    let expected = [
        ("train/n01440764/a.png", 0),
        ("train/n02119789/b.png", 1),
        ("val/n02119789/ILSVRC2012_val_00000002.JPEG", 1),
    ];
    assert_eq!(seen(&dataset), expected);
    for (list, says) in [
        (
            "many.txt",
            "no images of 2 of the 3 classes that `classes` lists, the first is `n03794056`",
        ),
        ("twice.txt", "line 2 has `n02119789` a second time"),
        (
            "names.txt",
            "line 1 has `kit_fox`, which is not a WordNet id",
        ),
        ("nowhere.txt", "nowhere.txt is missing"),
    ] {
        let error = open(folder.path(), Some(list)).err().unwrap();
        assert!(error.contains(says) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_named_with_its_place_and_remedy() {
    for (truth, says) in [
        ("3\n4\n", "line 2 has `4`, which is not a class number"),
        ("3\nfox\n", "line 2 has `fox`"),
        ("3\n\n1\n", "line 2 is empty"),
        (
            "3\n1\n2\n",
            "ILSVRC2012_val_00000003.JPEG is missing: line 3 of ",
        ),
    ] {
        let folder = flat();
        fixture::write_texts(folder.path(), &[(TRUTH, truth)]);
        let error = open(folder.path(), None).err().unwrap();
        let named = error.contains("ground_truth.txt") && error.contains("hint: get");
        assert!(named && error.contains(says), "{error}");
    }
    let folder = flat();
    std::fs::remove_dir_all(folder.path().join("ILSVRC2012_devkit_t12")).unwrap();
    let error = open(folder.path(), None).err().unwrap();
    assert!(error.contains("ground_truth.txt is missing"), "{error}");
    // Halfway through moving the images into folders, and before the archives of classes are unpacked.
    std::fs::create_dir(folder.path().join("val/n02100735")).unwrap();
    let error = open(folder.path(), None).err().unwrap();
    assert!(error.contains("2 images in none of them"), "{error}");
    std::fs::remove_dir_all(folder.path().join("train")).unwrap();
    std::fs::create_dir(folder.path().join("train")).unwrap();
    let error = open(folder.path(), None).err().unwrap();
    assert!(error.contains("no folders of classes"), "{error}");
    std::fs::remove_dir(folder.path().join("train")).unwrap();
    std::fs::remove_dir_all(folder.path().join("val")).unwrap();
    let error = open(folder.path(), None).err().unwrap();
    assert!(
        error.contains("holds no images in `train` or `val`"),
        "{error}"
    );
    let error = open(Path::new("nowhere"), None).err().unwrap();
    assert!(error.contains("nowhere is missing"), "{error}");
}

#[test]
fn packed_and_unpacked_are_one_dataset() {
    let folder = flat();
    let from = folder.path();
    let unpacked = open(from, None).unwrap();
    let packed = tempfile::tempdir().unwrap();
    let root = packed.path();
    // As the owners pack them: a tar archive for each class, in one; images without folders; the kit, compressed.
    let classes = tempfile::tempdir().unwrap();
    for (class, image) in [("n01440764", "a.png"), ("n02119789", "b.png")] {
        let archive = classes.path().join(format!("{class}.tar"));
        archives::tar(&from.join("train").join(class), &[image], &archive);
    }
    archives::tar(
        classes.path(),
        &["n02119789.tar", "n01440764.tar"],
        &root.join("ILSVRC2012_img_train.tar"),
    );
    let images = [1, 2].map(|number| format!("ILSVRC2012_val_{number:08}.JPEG"));
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    archives::tar(
        &from.join("val"),
        &images,
        &root.join("ILSVRC2012_img_val.tar"),
    );
    let kit = root.join("ILSVRC2012_devkit_t12.tar.gz");
    archives::tgz(from, &["ILSVRC2012_devkit_t12"], &kit);
    archives::assert_same(&open(root, None).unwrap(), &unpacked);

    // What is unpacked is taken in place of its archive, even of one that is spoilt.
    std::fs::write(root.join("ILSVRC2012_img_val.tar"), "spoilt").unwrap();
    let error = open(root, None).err().unwrap();
    assert!(
        error.contains("img_val.tar is malformed: its header at byte 0"),
        "{error}"
    );
    std::fs::create_dir(root.join("val")).unwrap();
    for image in images {
        let inside = format!("val/{image}");
        std::fs::copy(from.join(&inside), root.join(&inside)).unwrap();
    }
    archives::assert_same(&open(root, None).unwrap(), &unpacked);

    // Without the kit.
    std::fs::remove_file(kit).unwrap();
    let error = open(root, None).err().unwrap();
    assert!(error.contains("ground_truth.txt is missing"), "{error}");
}

#[test]
#[ignore = "needs the annotation files of the owners"]
fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
    let given = fixture::annotations("imagenet");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join(KIT)).unwrap();
    std::fs::create_dir(root.join("val")).unwrap();
    std::fs::copy(
        given.join("ILSVRC2012_validation_ground_truth.txt"),
        root.join(TRUTH),
    )
    .unwrap();
    let map = root.join(KIT).join("map_clsloc.txt");
    std::fs::copy(given.join("map_clsloc.txt"), map).unwrap();
    let rows = imagenet(root, None).rows(&Environment::plain()).unwrap();
    assert_eq!(fixture::counts(&rows), (1000, 0, 50_000, 0));
    // Line by line what others have made of the same lists.
    let joined = std::fs::read_to_string(given.join("val_synset_labels.txt")).unwrap();
    let wnids: Vec<_> = joined.lines().collect();
    assert_eq!(wnids.len(), rows.images.len());
    for (row, wnid) in rows.images.iter().zip(wnids) {
        assert_eq!(rows.classes[row.label as usize], wnid, "{}", row.id);
    }
    std::fs::copy(given.join("imagenet_50.txt"), root.join("few.txt")).unwrap();
    let rows = imagenet(root, Some("few.txt"))
        .rows(&Environment::plain())
        .unwrap();
    assert_eq!(fixture::counts(&rows), (50, 0, 2500, 0));
}
