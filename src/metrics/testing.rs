//! What tests of metrics share: features in memory, and the golden values of `tests/golden/generative`.

use std::ops::Range;
use std::path::Path;

use super::FeatureSource;
use crate::random::Stream;

/// Features in memory, `[count, width]`.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    pub(super) fn new(width: usize, values: Vec<f32>) -> Self {
        Self { width, values }
    }

    /// Sums of uniform numbers, so that no two rows are equal.
    pub(super) fn random(count: usize, width: usize, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "rows");
        let mut next = || (0..4).map(|_| stream.next_unit()).sum::<f32>() - 2.0;
        Self {
            width,
            values: (0..count * width).map(|_| next()).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.values.len() / self.width
    }

    pub(super) fn chosen(&self, rows: &[usize]) -> Self {
        let rows = rows.iter();
        let values = rows.flat_map(|row| self.values[row * self.width..][..self.width].to_vec());
        Self {
            width: self.width,
            values: values.collect(),
        }
    }

    pub(super) fn times(&self, factor: f32) -> Self {
        Self {
            width: self.width,
            values: self.values.iter().map(|value| value * factor).collect(),
        }
    }

    /// Overwrites as many rows at the end by those at the beginning.
    pub(super) fn repeat_first_rows(&mut self, count: usize) {
        let start = self.values.len() - count * self.width;
        self.values.copy_within(..count * self.width, start);
    }
}

impl FeatureSource for Rows {
    fn name(&self) -> String {
        format!("{} rows", self.count())
    }

    fn rows(&self) -> usize {
        self.count()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<(), String> {
        into.copy_from_slice(&self.values[rows.start * self.width..rows.end * self.width]);
        Ok(())
    }
}

/// The golden values of generated images.
pub(super) struct Golden {
    tensors: Vec<u8>,
    values: serde_json::Value,
}

impl Golden {
    pub(super) fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/generative");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        Self {
            tensors: read("values.safetensors"),
            values: serde_json::from_slice(&read("values.json")).unwrap(),
        }
    }

    /// A number, by its path with slashes.
    pub(super) fn number(&self, path: &str) -> f64 {
        let value = self.values.pointer(path);
        value.and_then(serde_json::Value::as_f64).expect(path)
    }

    pub(super) fn numbers(&self, path: &str) -> Vec<f64> {
        let values = self.values.pointer(path);
        let values = values.and_then(serde_json::Value::as_array).expect(path);
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }

    fn bytes<const N: usize>(&self, name: &str) -> (Vec<usize>, Vec<[u8; N]>) {
        let tensors = safetensors::SafeTensors::deserialize(&self.tensors).unwrap();
        let view = tensors.tensor(name).unwrap();
        let words = view.data().chunks_exact(N);
        let words = words.map(|word| <[u8; N]>::try_from(word).unwrap());
        (view.shape().to_vec(), words.collect())
    }

    /// Features in f32, all axes but the first as one.
    pub(super) fn rows(&self, name: &str) -> Rows {
        let (shape, words) = self.bytes(name);
        let values = words.into_iter().map(f32::from_le_bytes).collect();
        Rows::new(shape[1..].iter().product(), values)
    }

    pub(super) fn doubles(&self, name: &str) -> Vec<f64> {
        let (_, words) = self.bytes(name);
        words.into_iter().map(f64::from_le_bytes).collect()
    }

    pub(super) fn indices(&self, name: &str) -> Vec<usize> {
        let (_, words) = self.bytes(name);
        let indices = words.into_iter().map(i32::from_le_bytes);
        indices
            .map(|index| usize::try_from(index).unwrap())
            .collect()
    }
}
