//! `image-folder`: class folders of images.
//!
//! Two layouts are understood: `ROOT/SPLIT/CLASS/FILE`, where the first level holds folders called `train`, `test`, `val` or
//! `valid`; and `ROOT/CLASS/FILE`, of which `test_fraction` of each class becomes the test split, chosen by a hash of the
//! file's name, so that adding a file moves no other file. Folders below that of a class belong to the class.
//!
//! # Reference
//! torchvision's `ImageFolder`: folders are walked down, links are followed, classes are sorted by name.
//!
//! # Deviations
//! Files whose names begin with a dot are left out. So are class folders without images, which torchvision refuses; `walk.rs` counts what
//! is left out. A folder that can only be laid out by mistake is refused (`layout.rs`).

mod layout;
mod walk;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::bug::Bug;
use crate::datasets::listed::{Files, Trim};
use crate::datasets::tree::Tree;
use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Manifest, OpenDataset, Sample,
};
use crate::numbers::to_u32;
use crate::spec::{Fields, Key, Kind, KindDoc, Number, Text};
use layout::{FolderLayout, SPLITS};
use walk::LeftOut;

const ROOT: Key<Text> = Key::text("root", "a path").doc(
    "Holds the split or class folders, or is a tar archive of them, compressed or not; relative to the folder that `repro` runs in.",
);
const TEST_FRACTION: Key<Number> = Key::number("test_fraction", Number::from(0.0).to(1.0))
    .default(0.2)
    .doc("The share of each class that becomes the test split where the folder has no splits; chosen by a hash of the file name.");

/// `kind = "image-folder"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "image-folder",
        summary: "Class folders of images: `ROOT/train/CLASS/FILE` and `ROOT/test/CLASS/FILE`, or `ROOT/CLASS/FILE`; deeper folders belong to the class.",
        keys: &[&ROOT, &TEST_FRACTION],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(ImageFolder {
        root: fields.get(&ROOT)?.into(),
        test_fraction: fields.get(&TEST_FRACTION)?,
    }))
}

#[derive(Debug)]
struct ImageFolder {
    root: PathBuf,
    test_fraction: f64,
}

impl Dataset for ImageFolder {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let tree = Tree::open(&self.root, &[], environment)?;
        let root = tree.root();
        let top = root.contents()?;
        let mut left_out = LeftOut::default();
        left_out.add_above_classes("", &top);
        // A link in place of a folder of classes or of a split may have led to one.
        root.folders()?;
        let above: Vec<PathBuf> = root.without_links().into_iter().collect();
        let mut files = Vec::new();
        match layout::of(&root, &top)? {
            FolderLayout::Classes(classes) => {
                for class in classes {
                    let found = left_out.walk(&root.join(&class), &class, &above)?;
                    files.extend(found.into_iter().map(|(id, location)| {
                        let split = if share(&id) < self.test_fraction {
                            "test"
                        } else {
                            "train"
                        };
                        (id, split.to_owned(), class.clone(), location)
                    }));
                }
            }
            FolderLayout::Splits(splits) => {
                let is_split = |folder: &&String| splits.iter().any(|(name, _)| name == *folder);
                let beside = top.folders.iter().filter(|folder| !is_split(folder));
                left_out.add_beside_splits(beside);
                for (name, split) in &splits {
                    let folder = root.join(name);
                    left_out.add_above_classes(name, &folder.contents()?);
                    let above: Vec<PathBuf> = above
                        .iter()
                        .cloned()
                        .chain(folder.without_links())
                        .collect();
                    for class in folder.folders()? {
                        let id = format!("{name}/{class}");
                        let found = left_out.walk(&folder.join(&class), &id, &above)?;
                        let found = found.into_iter();
                        files.extend(found.map(|(id, location)| {
                            (id, (*split).to_owned(), class.clone(), location)
                        }));
                    }
                }
            }
        }
        if files.is_empty() {
            return Err(layout::no_images(&root, &top, left_out.unread()));
        }
        let order = |split: &str| SPLITS.iter().position(|(_, name)| *name == split);
        files
            .par_sort_by(|left, right| (order(&left.1), &left.0).cmp(&(order(&right.1), &right.0)));
        let classes: Vec<String> = files
            .iter()
            .map(|(_, _, class, _)| class.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let samples: Vec<Sample> = files
            .par_iter()
            .map(|(id, split, class, location)| {
                let label = classes.binary_search(class);
                let label = label.map_err(|_| Bug::new(format!("`{class}` is not listed")))?;
                Ok(Sample {
                    id: id.clone(),
                    split: split.clone(),
                    label: to_u32(label),
                    content: location.digest(environment.digester)?,
                })
            })
            .collect::<Result<_, DatasetError>>()?;
        let files = files
            .into_iter()
            .map(|(id, _, _, location)| (id, location))
            .collect();
        Ok(OpenDataset::new(
            Manifest::new(classes, samples),
            Box::new(Files::new(files, Trim::NONE)),
        )
        .with_warnings(left_out.warnings(&root.path().display().to_string())))
    }
}

/// A number in [0, 1) that depends on the name alone.
fn share(id: &str) -> f64 {
    let hash = blake3::hash(id.as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use crate::datasets::tree::fixture as archives;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write_images(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(3, 2, image::Rgb([10, 20, 30]))
                .save(&path)
                .unwrap();
        }
    }

    fn open(root: &Path) -> Result<OpenDataset, DatasetError> {
        let dataset = ImageFolder {
            root: root.to_owned(),
            test_fraction: 0.5,
        };
        dataset.open(&Environment::plain(), None)
    }

    #[test]
    fn splits_come_from_the_first_level() {
        let folder = tempfile::tempdir().unwrap();
        write_images(
            folder.path(),
            &[
                "train/cat/a.png",
                "train/dog/b.png",
                "test/dog/c.png",
                "train/cat/note.png",
            ],
        );
        fs::write(folder.path().join("train/cat/readme.txt"), "x").unwrap();
        let open = open(folder.path()).unwrap();
        let ids: Vec<_> = open
            .manifest
            .samples
            .iter()
            .map(|sample| (sample.id.as_str(), sample.label))
            .collect();
        assert_eq!(
            ids,
            [
                ("train/cat/a.png", 0),
                ("train/cat/note.png", 0),
                ("train/dog/b.png", 1),
                ("test/dog/c.png", 1)
            ]
        );
        assert_eq!(open.manifest.classes, ["cat", "dog"]);
        assert_eq!(open.image(3).unwrap().size(), (3, 2));
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = tempfile::tempdir().unwrap();
        write_images(folder.path(), &["train/cat/a.png", "test/dog/c.png"]);
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tar(
            folder.path(),
            &["train", "test"],
            &root.path().join("photos.tar"),
        );
        let packed = open(&root.path().join("photos.tar")).unwrap();
        archives::assert_same(&packed, &unpacked);
    }

    #[test]
    fn without_splits_a_file_keeps_its_side_when_others_come() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..40).map(|index| format!("cat/{index}.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        write_images(folder.path(), &names[..20]);
        let before = open(folder.path()).unwrap().manifest;
        write_images(folder.path(), &names[20..]);
        let after = open(folder.path()).unwrap().manifest;
        for sample in &before.samples {
            assert!(after.samples.contains(sample));
        }
        assert!(after.count("train") > 0 && after.count("test") > 0);
    }

    #[test]
    fn a_broken_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("train/cat")).unwrap();
        fs::write(folder.path().join("train/cat/broken.jpg"), b"no image").unwrap();
        let open = open(folder.path()).unwrap();
        let error = open.image(0).err().unwrap().to_string();
        assert!(
            error.contains("train/cat/broken.jpg") && error.contains("does not decode"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_or_missing_root_says_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            open(folder.path())
                .err()
                .unwrap()
                .to_string()
                .contains("it is empty")
        );
        assert!(
            open(&folder.path().join("nowhere"))
                .err()
                .unwrap()
                .to_string()
                .contains("is missing")
        );
    }
}
