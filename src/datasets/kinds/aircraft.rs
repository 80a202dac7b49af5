//! `aircraft`: FGVC-Aircraft in its release 2013b, photographs of aircraft of 100 variants, from the archive of Oxford, packed or
//! unpacked.
//!
//! # Reference
//! The README in the archive: Maji, Rahtu, Kannala, Blaschko, Vedaldi, "Fine-Grained Visual Classification of Aircraft" (2013).
//! Classes are the lines of `variants.txt`, in their order. `images_variant_trainval.txt` is the split for training,
//! `images_variant_test.txt` the one for testing; a line has the number of an image, a space, and the name of its variant,
//! which may have spaces and slashes itself.
//!
//! # Deviations
//! The lowest 20 rows of every image are a notice of copyright, with the photographer's name. The README asks to remove it
//! before training and testing, so that is the default; `banner = "keep"` leaves it. What is cut is part of the dataset's
//! identity.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::datasets::listed::{Row, Rows, TextFile, Trim, stays_inside};
use crate::datasets::tree::{Packed, Tree};
use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Listing, OpenDataset, OpenQuestion,
    train_and_test,
};
use crate::spec::{Choice, Fields, Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a path").doc(
    "The folder `fgvc-aircraft-2013b`, the folder `data` in it, the one around it or around the archive, or the archive; relative to the folder that `repro` runs in.",
);
/// What is cut off each image.
const BANNER: Key<Choice<Trim>> = Key::choice("banner", &[("cut", NOTICE), ("keep", Trim::NONE)])
    .default(NOTICE)
    .doc("What becomes of the lowest 20 rows of every image, which are a notice of copyright.");

/// `kind = "aircraft"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "aircraft",
        summary: "FGVC-Aircraft 2013b, aircraft of 100 variants, from `fgvc-aircraft-2013b.tar.gz`, packed or unpacked; `trainval` is the split `train`.",
        keys: &[&ROOT, &BANNER],
        shared: &[],
    },
    parse,
);

const REMEDY: &str = "get https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz (`repro data fetch aircraft`), and set `root` to its folder, or unpack it again and set `root` to the folder `fgvc-aircraft-2013b` that it makes";

/// The archive that Oxford publishes.
const PACKED: [Packed; 1] = [Packed::new(
    "fgvc-aircraft-2013b.tar.gz",
    "fgvc-aircraft-2013b",
)];

/// Rows of the notice of copyright.
const NOTICE: Trim = Trim { bottom: 20 };

/// The lists, and the split of each.
const LISTS: [(&str, &str); 2] = [
    ("train", "images_variant_trainval.txt"),
    ("test", "images_variant_test.txt"),
];

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(Aircraft {
        root: fields.get(&ROOT)?.into(),
        banner: fields.get(&BANNER)?,
    }))
}

#[derive(Debug)]
struct Aircraft {
    root: PathBuf,
    banner: Trim,
}

impl Aircraft {
    /// The images with their classes and splits, as the lists have them.
    fn rows(&self, environment: &Environment<'_>) -> Result<Rows, DatasetError> {
        let tree = Tree::open(&self.root, &PACKED, environment)?;
        let inside = ["", "data", "fgvc-aircraft-2013b/data"];
        let folder = tree.root().find(&inside, "variants.txt", REMEDY)?;
        let variants = TextFile::read(&folder.file("variants.txt")?, REMEDY)?;
        let mut label_of = BTreeMap::new();
        let mut classes = Vec::new();
        for ((line, variant), label) in variants.lines().zip(0u32..) {
            if label_of.insert(variant, label).is_some() {
                return Err(variants.malformed(line, &format!("has `{variant}` a second time")));
            }
            classes.push(variant.to_owned());
        }
        let images_folder = folder.join("images");
        let (mut images, mut lists) = (Vec::new(), Vec::new());
        for (split, name) in LISTS {
            let list = TextFile::read(&folder.file(name)?, REMEDY)?;
            for pair in list.pairs() {
                let (line, image, variant) = pair?;
                let Some(label) = label_of.get(variant) else {
                    let problem = format!(
                        "has the variant `{variant}`, which is missing from `variants.txt`"
                    );
                    return Err(list.malformed(line, &problem));
                };
                if !stays_inside(image) {
                    let problem = format!("has `{image}`, which is not an image name");
                    return Err(list.malformed(line, &problem));
                }
                let id = format!("{image}.jpg");
                images.push(Row {
                    location: images_folder.file(&id)?,
                    id,
                    split,
                    label: *label,
                    place: format!("line {line}"),
                    list: lists.len(),
                });
            }
            lists.push(list.path().to_owned());
        }
        Ok(Rows {
            classes,
            images,
            lists,
            remedy: REMEDY,
        })
    }
}

impl Dataset for Aircraft {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        Some(train_and_test())
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        self.rows(environment)?
            .open(self.banner, environment.digester)
    }

    fn listed(&self, environment: &Environment<'_>) -> Option<Result<Listing, DatasetError>> {
        Some(self.rows(environment).map(|rows| rows.listing()))
    }

    fn open_questions(&self) -> Vec<OpenQuestion> {
        let (here, reason) = if self.banner == NOTICE {
            ("cut off", "the README of the dataset asks for it")
        } else {
            ("kept", "declared in the experiment")
        };
        vec![OpenQuestion {
            topic: "Notice of copyright in FGVC-Aircraft, 20 rows of every image",
            here,
            reason,
        }]
    }
}

#[cfg(test)]
mod tests {
    use crate::datasets::listed::fixture;
    use crate::datasets::tree::fixture as archives;
    use std::path::Path;

    use super::*;
    use crate::message::Hint;

    /// A folder as the archive makes it, with three images.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("fgvc-aircraft-2013b/data");
        let images = ["0056978.png", "1025794.png", "0747566.png"];
        fixture::write_images(&data.join("images"), &images);
        for image in images {
            // The content is what counts: these are PNG files under the names of the lists.
            let image = data.join("images").join(image);
            std::fs::rename(&image, image.with_extension("jpg")).unwrap();
        }
        fixture::write_texts(
            &data,
            &[
                ("variants.txt", "BAE 146-200\nBAE-125\nF-16A/B\n"),
                (
                    "images_variant_trainval.txt",
                    "1025794 F-16A/B\n0056978 BAE 146-200\n",
                ),
                ("images_variant_test.txt", "0747566 BAE-125\n"),
            ],
        );
        folder
    }

    fn open(root: &Path, banner: Trim) -> Result<OpenDataset, String> {
        let root = root.to_owned();
        Aircraft { root, banner }
            .open(&Environment::plain(), None)
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn names_have_spaces_and_labels_are_lines() {
        let folder = small();
        let dataset = open(folder.path(), NOTICE).unwrap();
        let samples = dataset.manifest.samples.iter();
        let seen: Vec<_> = samples
            .map(|sample| (sample.id.as_str(), sample.split.as_str(), sample.label))
            .collect();
        assert_eq!(
            seen,
            [
                ("0056978.jpg", "train", 0),
                ("1025794.jpg", "train", 2),
                ("0747566.jpg", "test", 1)
            ]
        );
        for inside in ["fgvc-aircraft-2013b", "fgvc-aircraft-2013b/data"] {
            let other = open(&folder.path().join(inside), NOTICE).unwrap();
            assert_eq!(other.manifest.digest(), dataset.manifest.digest());
        }
    }

    #[test]
    fn the_banner_is_part_of_the_identity() {
        let folder = small();
        let cut = open(folder.path(), NOTICE).unwrap();
        let kept = open(folder.path(), Trim::NONE).unwrap();
        assert_eq!(cut.image(0).unwrap().size(), (4, 10));
        assert_eq!(kept.image(0).unwrap().size(), (4, 30));
        assert_ne!(cut.manifest.digest(), kept.manifest.digest());
        // An image that is nothing but its banner.
        let image = folder
            .path()
            .join("fgvc-aircraft-2013b/data/images/0056978.jpg");
        image::RgbImage::new(4, 20)
            .save_with_format(&image, image::ImageFormat::Png)
            .unwrap();
        let error = cut.image(0).err().unwrap().to_string();
        assert!(error.contains("0056978.jpg changed"), "{error}");
        let cut = open(folder.path(), NOTICE).unwrap();
        let error = cut.image(0).err().unwrap().to_string();
        assert!(error.contains("it has 20 rows"), "{error}");
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small();
        let unpacked = open(folder.path(), NOTICE).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tgz(
            folder.path(),
            &["fgvc-aircraft-2013b"],
            &root.path().join("fgvc-aircraft-2013b.tar.gz"),
        );
        let packed = open(root.path(), NOTICE).unwrap();
        archives::assert_same(&packed, &unpacked);
        // One archive may be the root by itself.
        let alone = open(&root.path().join("fgvc-aircraft-2013b.tar.gz"), NOTICE).unwrap();
        archives::assert_same(&alone, &unpacked);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_remedy() {
        for (file, text, says) in [
            (
                "images_variant_test.txt",
                "0747566 BAE\n",
                "line 1 has the variant `BAE`, which is missing from `variants.txt`",
            ),
            (
                "images_variant_test.txt",
                "0747566\n",
                "line 1 does not have two entries",
            ),
            (
                "images_variant_test.txt",
                "/0747566 BAE-125\n",
                "line 1 has `/0747566`, which is not an image name",
            ),
            (
                "images_variant_test.txt",
                "1025794 F-16A/B\n",
                "line 1 names the image `1025794.jpg` a second time",
            ),
            (
                "variants.txt",
                "BAE-125\nF-16A/B\nBAE-125\n",
                "line 3 has `BAE-125` a second time",
            ),
            (
                "images_variant_test.txt",
                "0747567 BAE-125\n",
                "0747567.jpg is missing: line 1 of ",
            ),
        ] {
            let folder = small();
            let data = folder.path().join("fgvc-aircraft-2013b/data");
            fixture::write_texts(&data, &[(file, text)]);
            let error = open(folder.path(), NOTICE).err().unwrap();
            let named = error.contains(file) && error.contains("get https://");
            assert!(named && error.contains(says), "{error}");
        }
        let error = open(Path::new("nowhere"), NOTICE).err().unwrap();
        assert!(error.contains("variants.txt is missing"), "{error}");
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        let root = fixture::annotations("fgvc_aircraft");
        let banner = NOTICE;
        let rows = Aircraft { root, banner }
            .rows(&Environment::plain())
            .unwrap();
        assert_eq!(fixture::counts(&rows), (100, 6667, 0, 3333));
    }
}
