//! `cars`: Stanford Cars, photographs of cars of 196 models.
//!
//! # Reference
//! The README of `car_devkit.tgz`: Krause, Stark, Deng, Fei-Fei, "3D Object Representations for Fine-Grained Categorization"
//! (2013). `cars_train_annos.mat` and `cars_test_annos_withlabels.mat` have an array of structures `annotations`, with the file in
//! `fname` and the class, from 1, in `class`; `cars_meta.mat` has the names of the classes in the cells of `class_names`. Files of
//! both splits have the same names, so the folder is part of a sample's id.
//!
//! # Deviations
//! The numbering of `cars_annos.mat`, `car_ims/000001.jpg`, is another one and is not read.

use crate::datasets::listed::{ListedKind, Row, Rows, stays_inside};
use crate::datasets::matlab::Variables;
use crate::datasets::tree::{Folder, Location, Packed};
use crate::datasets::{DatasetError, DatasetKind};
use crate::spec::{Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a folder").doc(
    "Holds the three archives, or `cars_train/`, `cars_test/` and `devkit/`, and `cars_test_annos_withlabels.mat`; a copy whose folders lie in folders of the same names is read as well; relative to the folder that `repro` runs in.",
);

/// `kind = "cars"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: LISTED.name,
        summary: "Stanford Cars, cars of 196 models, from `cars_train.tgz`, `cars_test.tgz` and `car_devkit.tgz`, packed or unpacked, with `cars_test_annos_withlabels.mat`; the owners' split.",
        keys: &[&ROOT],
        shared: &[],
    },
    |fields| LISTED.parse(fields),
);

const LISTED: ListedKind = ListedKind {
    name: "cars",
    packed: &[
        Packed::new("cars_train.tgz", "cars_train"),
        Packed::new("cars_test.tgz", "cars_test"),
        Packed::new("car_devkit.tgz", "devkit"),
    ],
    rows,
};

const REMEDY: &str = "the owners' addresses at ai.stanford.edu are dead; get `cars_train.tgz`, `cars_test.tgz`, `car_devkit.tgz` and `cars_test_annos_withlabels.mat` from a copy, put them into one folder, packed or unpacked, and set `root` to it";

/// The folders of the images with the split of each, and where its list may be. Some copies have the labeled list of the
/// second one in place of the one without labels.
const LISTS: [(&str, &str, &[&str]); 2] = [
    ("train", "cars_train", &["cars_train_annos.mat"]),
    (
        "test",
        "cars_test",
        &[
            "../cars_test_annos_withlabels.mat",
            "cars_test_annos_withlabels.mat",
            "cars_test_annos.mat",
        ],
    ),
];
/// The MATLAB file with the class names, in the order of their numbers.
const NAMES: &str = "cars_meta.mat";

/// The images with their classes and splits, as the lists have them.
fn rows(root: &Folder<'_>) -> Result<Rows, DatasetError> {
    let inside = ["devkit", "car_devkit/devkit", "stanford_cars/devkit"];
    let devkit = root.find(&inside, NAMES, REMEDY)?;
    let around = root.join("stanford_cars");
    let root = if devkit.path().starts_with(around.path()) {
        around
    } else {
        root.clone()
    };
    let names = Variables::read(&devkit.file(NAMES)?, REMEDY)?;
    let classes = names.get("class_names")?.texts();
    let classes =
        classes.ok_or_else(|| names.malformed("`class_names` has no texts in cells".to_owned()))?;
    let (mut images, mut lists) = (Vec::new(), Vec::new());
    for (split, folder, places) in LISTS {
        let list = find_list(&root, &devkit, places)?;
        let list = Variables::read(&list, REMEDY)?;
        let annotations = list.get("annotations")?;
        let Some(files) = annotations.field("fname") else {
            return Err(list.malformed("`annotations` has no field `fname`".to_owned()));
        };
        let Some(labels) = annotations.field("class") else {
            return Err(list.malformed(NO_LABELS.to_owned()));
        };
        // Some copies have each folder inside of one of the same name.
        let inner = root.join(folder).join(folder);
        let images_folder = if inner.exists() {
            inner
        } else {
            root.join(folder)
        };
        for ((file, label), place) in files.into_iter().zip(labels).zip(1..) {
            let file = file.text().filter(|file| stays_inside(file));
            let file = file.ok_or_else(|| {
                list.malformed(format!("`annotations({place}).fname` is not a file name"))
            })?;
            let class = label
                .whole()
                .filter(|class| (1..=classes.len()).contains(&(*class as usize)));
            let class = class.ok_or_else(|| {
                list.malformed(format!(
                    "`annotations({place}).class` is not one of 1 to {}",
                    classes.len()
                ))
            })?;
            images.push(Row {
                id: format!("{folder}/{file}"),
                split,
                label: class - 1,
                location: images_folder.file(file)?,
                place: format!("`annotations({place})`"),
                list: lists.len(),
            });
        }
        lists.push(list.path().to_owned());
    }
    Ok(Rows {
        classes: classes.into_iter().map(str::to_owned).collect(),
        images,
        lists,
        remedy: REMEDY,
    })
}

/// What the list of `car_devkit.tgz` lacks.
const NO_LABELS: &str = "`annotations` has no field `class`: the labels of the test images are in `cars_test_annos_withlabels.mat` alone";

/// The first of some files that is there, looked for beside the lists of the owners.
fn find_list(
    root: &Folder<'_>,
    devkit: &Folder<'_>,
    places: &[&str],
) -> Result<Location, DatasetError> {
    let mut first = None;
    for place in places {
        let location = match place.strip_prefix("../") {
            Some(place) => root.file(place)?,
            None => devkit.file(place)?,
        };
        if location.is_file() {
            return Ok(location);
        }
        first.get_or_insert(location);
    }
    Err(DatasetError::Missing {
        path: first.map(|first| first.path()).unwrap_or_default(),
        hint: REMEDY.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use crate::datasets::listed::fixture;
    use crate::datasets::matlab::fixture::{cells, compress, file, numbers, structures, text};
    use crate::datasets::tree::fixture as archives;
    use crate::datasets::{Dataset, Environment, OpenDataset};
    use std::path::Path;

    use super::*;
    use crate::message::Hint;

    fn open(root: &Path) -> Result<OpenDataset, String> {
        let root = root.to_owned();
        LISTED
            .at(root)
            .open(&Environment::plain(), None)
            .map_err(|error| error.explain().to_string())
    }

    fn seen(dataset: &OpenDataset) -> Vec<(&str, &str, u32)> {
        let samples = dataset.manifest.samples.iter();
        samples
            .map(|sample| (sample.id.as_str(), sample.split.as_str(), sample.label))
            .collect()
    }

    /// A list of images and their classes; without the classes as the owners' list of the test images is.
    fn list(images: &[(&str, Option<f64>)]) -> Vec<u8> {
        let mut values = Vec::new();
        for (name, class) in images {
            values.push(numbers("", &[39.0]));
            values.extend(class.map(|class| numbers("", &[class])));
            values.push(text("", name));
        }
        let with = ["bbox_x1", "class", "fname"];
        let without = ["bbox_x1", "fname"];
        let labeled = images.iter().any(|(_, class)| class.is_some());
        let fields = if labeled { &with[..] } else { &without[..] };
        file(&[compress(&structures("annotations", fields, &values))])
    }

    fn write(root: &Path, name: &str, bytes: Vec<u8>) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A folder with three images of two models.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let images = ["cars_train/1.png", "cars_train/2.png", "cars_test/1.png"];
        fixture::write_images(folder.path(), &images);
        let names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"];
        let names = cells("class_names", &names.map(|name| text("", name)));
        write(folder.path(), "devkit/cars_meta.mat", file(&[names]));
        let train = list(&[("1.png", Some(2.0)), ("2.png", Some(1.0))]);
        write(folder.path(), "devkit/cars_train_annos.mat", train);
        let test = list(&[("1.png", None)]);
        write(folder.path(), "devkit/cars_test_annos.mat", test);
        let labeled = list(&[("1.png", Some(2.0))]);
        write(folder.path(), "cars_test_annos_withlabels.mat", labeled);
        folder
    }

    #[test]
    fn the_labeled_list_is_read_wherever_it_lies() {
        let folder = small();
        let root = folder.path();
        let dataset = open(root).unwrap();
        assert_eq!(
            seen(&dataset),
            [
                ("cars_train/1.png", "train", 1),
                ("cars_train/2.png", "train", 0),
                ("cars_test/1.png", "test", 1)
            ]
        );
        assert_eq!(dataset.manifest.classes[0], "AM General Hummer SUV 2000");
        assert_eq!(dataset.image(2).unwrap().pixels()[0], 2);

        // A copy with folders in folders, and the labeled list under the name of the other one.
        let labeled = root.join("cars_test_annos_withlabels.mat");
        std::fs::rename(labeled, root.join("devkit/cars_test_annos.mat")).unwrap();
        for name in ["cars_train", "cars_test"] {
            std::fs::rename(root.join(name), root.join("moved")).unwrap();
            std::fs::create_dir(root.join(name)).unwrap();
            std::fs::rename(root.join("moved"), root.join(name).join(name)).unwrap();
        }
        let nested = open(root).unwrap();
        assert_eq!(nested.manifest.digest(), dataset.manifest.digest());
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small();
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        for (made, archive) in [
            ("cars_train", "cars_train"),
            ("cars_test", "cars_test"),
            ("devkit", "car_devkit"),
        ] {
            archives::tgz(
                folder.path(),
                &[made],
                &root.path().join(format!("{archive}.tgz")),
            );
        }
        let labeled = "cars_test_annos_withlabels.mat";
        std::fs::copy(folder.path().join(labeled), root.path().join(labeled)).unwrap();
        let packed = open(root.path()).unwrap();
        archives::assert_same(&packed, &unpacked);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_remedy() {
        let name = "cars_test_annos_withlabels.mat";
        for (list, says) in [
            (list(&[("1.png", None)]), "has no field `class`"),
            (
                list(&[("1.png", Some(3.0))]),
                "`annotations(1).class` is not one of 1 to 2",
            ),
            (
                list(&[("1.png", Some(0.0))]),
                "`annotations(1).class` is not one of 1 to 2",
            ),
            (
                list(&[("/1.png", Some(1.0))]),
                "`annotations(1).fname` is not a file name",
            ),
            (
                list(&[("7.png", Some(1.0))]),
                "7.png is missing: `annotations(1)` of ",
            ),
            (
                file(&[numbers("annotations", &[1.0])]),
                "has no field `fname`",
            ),
        ] {
            let folder = small();
            write(folder.path(), name, list);
            let error = open(folder.path()).err().unwrap();
            assert!(
                error.contains(says) && error.contains("hint: the owners"),
                "{error}"
            );
        }
        let folder = small();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let error = open(folder.path()).err().unwrap();
        assert!(
            error.contains("has no field `class`") && error.contains(name),
            "{error}"
        );
        let error = open(Path::new("nowhere")).err().unwrap();
        assert!(error.contains("cars_meta.mat is missing"), "{error}");
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        let root = fixture::annotations("stanford_cars");
        let rows = LISTED.at(root).rows(&Environment::plain()).unwrap();
        assert_eq!(fixture::counts(&rows), (196, 8144, 0, 8041));
    }
}
