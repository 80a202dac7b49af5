//! `fashion-mnist`: gray 28 × 28 photographs of garments in IDX files, as Zalando ships them.
//!
//! # Reference
//! zalandoresearch/fashion-mnist, `data/fashion`; the IDX format as described with MNIST: two zero bytes, a type byte
//! (8 = unsigned byte), a rank byte, then one big-endian `u32` per dimension, then the values, row-major.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;

use crate::datasets::tree::Location;
use crate::datasets::unpacked::Unpacked;
use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Manifest, OpenDataset, ReadImage, Sample,
    train_and_test,
};
use crate::imaging::Image;
use crate::limits::WHOLE_FILE;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a folder")
    .doc("Holds the four files; relative to the folder that `repro` runs in.");

/// `kind = "fashion-mnist"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "fashion-mnist",
        summary: "Fashion-MNIST from its four IDX files (`train-images-idx3-ubyte.gz` and so on), compressed or not.",
        keys: &[&ROOT],
        shared: &[],
    },
    parse,
);

/// The class names in the order of the labels, from the data set's own README.
const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// A side longer than this is taken for a damaged header.
const LONGEST_SIDE: usize = 4096;

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(FashionMnist {
        root: fields.get(&ROOT)?.into(),
    }))
}

#[derive(Debug)]
struct FashionMnist {
    root: PathBuf,
}

impl Dataset for FashionMnist {
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
        let root = environment.base.join(&self.root);
        let mut samples = Vec::new();
        let mut pixels = Vec::new();
        let mut side = None;
        for (split, stem) in [("train", "train"), ("test", "t10k")] {
            let images = Idx::read(&root, &format!("{stem}-images-idx3-ubyte"), 3)?;
            let labels = Idx::read(&root, &format!("{stem}-labels-idx1-ubyte"), 1)?;
            let (count, height, width) = (
                images.dimensions[0],
                images.dimensions[1],
                images.dimensions[2],
            );
            if labels.dimensions[0] != count {
                return Err(labels.malformed(format!(
                    "it holds {} labels, but {} holds {count} images",
                    labels.dimensions[0],
                    images.path.display()
                )));
            }
            if *side.get_or_insert((height, width)) != (height, width) || height == 0 || width == 0
            {
                return Err(images.malformed(format!(
                    "its images measure {height} × {width}, unlike those of the other split"
                )));
            }
            for (index, (image, &label)) in images
                .values
                .chunks_exact(height * width)
                .zip(&labels.values)
                .enumerate()
            {
                if usize::from(label) >= CLASSES.len() {
                    return Err(labels.malformed(format!(
                        "label {label} of image {index} is not one of 0 to 9"
                    )));
                }
                samples.push(Sample {
                    id: format!("{split}/{index:05}"),
                    split: split.to_owned(),
                    label: u32::from(label),
                    content: blake3::hash(image).to_hex().to_string(),
                });
            }
            if pixels.is_empty() {
                pixels = images.values;
            } else {
                pixels.extend_from_slice(&images.values);
            }
        }
        let (height, width) = side.unwrap_or((0, 0));
        let classes = CLASSES.iter().map(|&class| class.to_owned()).collect();
        Ok(OpenDataset::new(
            Manifest::new(classes, samples),
            Box::new(AllImages {
                pixels,
                height,
                width,
            }),
        ))
    }
}

/// All images, one after another.
struct AllImages {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
}

impl ReadImage for AllImages {
    fn read(&self, row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
        let size = self.height * self.width;
        match self.pixels.get(row * size..(row + 1) * size) {
            Some(pixels) => Ok(Image::gray(self.width, self.height, pixels.to_vec())),
            None => Err(DatasetError::Selection(
                format!("there is no image in row {row}").into(),
            )),
        }
    }
}

/// One IDX file of unsigned bytes.
struct Idx {
    path: PathBuf,
    dimensions: Vec<usize>,
    values: Vec<u8>,
}

impl Idx {
    /// Reads `stem.gz`, or `stem` where only that is there.
    fn read(root: &Path, stem: &str, rank: usize) -> Result<Self, DatasetError> {
        let compressed = root.join(format!("{stem}.gz"));
        let plain = root.join(stem);
        let (path, bytes) = if compressed.exists() || !plain.exists() {
            let file = File::open(&compressed).map_err(|source| {
                DatasetError::io(
                    &compressed,
                    source,
                    "`root` must be the folder with the four IDX files of Fashion-MNIST; `repro data fetch fashion-mnist` downloads them",
                )
            })?;
            let failed = |source| DatasetError::io(&compressed, source, "the file is gone");
            let packed = file.metadata().map_err(failed)?.len();
            let mut content = Unpacked::new(GzDecoder::new(file), packed, WHOLE_FILE);
            let mut bytes = Vec::new();
            let read = content.read_to_end(&mut bytes);
            if let Err(source) = read {
                return Err(DatasetError::Malformed {
                    path: compressed,
                    problem: content.problem.unwrap_or_else(|| source.to_string()),
                    hint: "download the file again".to_owned(),
                });
            }
            (compressed, bytes)
        } else {
            let bytes = Location::file(&plain).read(WHOLE_FILE, "the file is gone")?;
            (plain, bytes)
        };
        Self::parse(path, bytes, rank)
    }

    fn parse(path: PathBuf, mut bytes: Vec<u8>, rank: usize) -> Result<Self, DatasetError> {
        let mut idx = Self {
            path,
            dimensions: Vec::new(),
            values: Vec::new(),
        };
        let expected = [0, 0, 8, u8::try_from(rank).unwrap_or(u8::MAX)];
        let header = 4 + 4 * rank;
        if bytes.get(..4) != Some(&expected[..]) {
            let found: Vec<String> = bytes
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            return Err(idx.malformed(format!(
                "it begins with the bytes `{}`, not with the IDX magic `00 00 08 {rank:02x}`",
                found.join(" ")
            )));
        }
        let Some(sizes) = bytes.get(4..header) else {
            return Err(idx.malformed("it ends inside its header".to_owned()));
        };
        for size in sizes.chunks_exact(4) {
            let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
            idx.dimensions.push(size as usize);
        }
        if idx
            .dimensions
            .iter()
            .skip(1)
            .any(|&side| side > LONGEST_SIDE)
        {
            let found = format!("its header claims images of {:?}", &idx.dimensions[1..]);
            return Err(idx.malformed(found));
        }
        let wanted = idx
            .dimensions
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        let found = bytes.len() - header;
        if wanted != Some(found) {
            let wanted = wanted.map_or_else(
                || "more than any memory holds".to_owned(),
                |wanted| wanted.to_string(),
            );
            return Err(idx.malformed(format!(
                "its header announces {wanted} values, but {found} follow"
            )));
        }
        bytes.drain(..header);
        idx.values = bytes;
        Ok(idx)
    }

    fn malformed(&self, problem: String) -> DatasetError {
        DatasetError::Malformed {
            path: self.path.clone(),
            problem,
            hint: "is this the IDX file that the name says? Download it again if in doubt"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    fn parse(bytes: &[u8], rank: usize) -> Result<Idx, String> {
        Idx::parse(PathBuf::from("x-idx"), bytes.to_vec(), rank)
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn reads_images_and_refuses_what_is_none() {
        let good = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9];
        let idx = parse(&good, 3).unwrap();
        assert_eq!((idx.dimensions, idx.values), (vec![1, 1, 2], vec![7, 9]));
        for (bytes, message) in [
            (&good[..17], "announces 2 values, but 1 follow"),
            (&good[..9], "ends inside its header"),
            (&[1, 2, 3, 4][..], "begins with the bytes `01 02 03 04`"),
            (&[][..], "begins with the bytes ``"),
        ] {
            let error = parse(bytes, 3).err().unwrap();
            assert!(error.contains(message), "{error}");
        }
        let huge = [
            0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2,
        ];
        assert!(parse(&huge, 3).err().unwrap().contains("claims images"));
    }
}
