//! The tensors of a network that is trained, by name.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView, View};
use tch::{Device, Kind, Tensor};

use super::weights::WeightMap;
use crate::numbers::from_i64;

/// The parameters of a network in the order in which it took them.
///
/// They share their memory with the network: what is written into them in place is what it computes with next.
#[derive(Debug, Default)]
pub struct Parameters {
    names: Vec<String>,
    tensors: Vec<Tensor>,
}

impl Parameters {
    /// Adds one.
    pub(in crate::models) fn push(&mut self, name: &str, tensor: Tensor) {
        self.names.push(name.to_owned());
        self.tensors.push(tensor);
    }

    /// Those whose names pass, and the others, each in their order.
    pub(in crate::models) fn partition(self, passes: impl Fn(&str) -> bool) -> (Self, Self) {
        let (mut those, mut others) = (Self::default(), Self::default());
        for (name, tensor) in self.names.iter().zip(self.tensors) {
            let side = if passes(name) {
                &mut those
            } else {
                &mut others
            };
            side.push(name, tensor);
        }
        (those, others)
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The tensors: f32, leaves that require gradients.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors, for an optimizer to write into.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// The parameter of this name; `None` where there is none.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let position = self.names.iter().position(|known| known == name)?;
        self.tensors.get(position)
    }

    /// Names for tensors that are one for each parameter, such as moments: the parameter's with `prefix` before it.
    pub fn name<'a>(
        &self,
        prefix: &str,
        tensors: &'a [Tensor],
    ) -> impl Iterator<Item = (String, &'a Tensor)> {
        let names = self.names.iter().map(move |name| format!("{prefix}{name}"));
        names.zip(tensors)
    }

    /// Takes what [`Parameters::name`] named: for each parameter a tensor of its shape, laid out in memory as it is, because a
    /// sum may round differently elsewhere. Whoever calls this must call [`WeightMap::finish`] in the end.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn take_alike(&self, prefix: &str, weights: &mut WeightMap) -> Vec<Tensor> {
        let take = |(name, parameter): (&String, &Tensor)| {
            let size = parameter.size().into_iter();
            let shape: Vec<usize> = size.map(from_i64).collect();
            let stored = weights.take(&format!("{prefix}{name}"), &shape).detach();
            let mut tensor = parameter.detach().zeros_like();
            tensor.copy_(&stored);
            tensor
        };
        self.names.iter().zip(&self.tensors).map(take).collect()
    }
}

/// One tensor on its way into a file, copied to the host when its turn comes.
struct Outgoing {
    dtype: Dtype,
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Outgoing {
    fn new(tensor: &Tensor) -> Self {
        let size = tensor.size().into_iter();
        Self {
            dtype: match tensor.kind() {
                Kind::Double => Dtype::F64,
                _ => Dtype::F32,
            },
            shape: size.map(from_i64).collect(),
            tensor: tensor.detach(),
        }
    }
}

impl View for Outgoing {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.tensor.to_device(Device::Cpu).contiguous();
        let count = tensor.numel();
        let bytes = if self.dtype == Dtype::F64 {
            let mut values = vec![0f64; count];
            tensor.copy_data(&mut values, count);
            values.into_iter().flat_map(f64::to_le_bytes).collect()
        } else {
            let mut values = vec![0f32; count];
            let tensor = tensor.to_kind(Kind::Float);
            tensor.copy_data(&mut values, count);
            values.into_iter().flat_map(f32::to_le_bytes).collect()
        };
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        let number = if self.dtype == Dtype::F64 { 8 } else { 4 };
        self.shape.iter().product::<usize>() * number
    }
}

/// Writes a safetensors file of these tensors, row-major: those of 64 bits in f64, all others in f32. Only one of them at a time is
/// copied, so that a network needs no memory for its file.
///
/// # Errors
/// The file cannot be written.
pub fn write_safetensors<N: AsRef<str> + Ord + Display>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, Tensor)>,
) -> io::Result<()> {
    let outgoing = tensors
        .into_iter()
        .map(|(name, tensor)| (name, Outgoing::new(&tensor)));
    match safetensors::serialize_to_file(outgoing, None, path) {
        Err(SafeTensorError::IoError(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
        Ok(()) => Ok(()),
    }
}

/// A safetensors file of these tensors, row-major and in f32.
///
/// # Errors
/// The format cannot hold them.
pub fn to_safetensors<'a, N: AsRef<str>>(
    tensors: impl IntoIterator<Item = (N, &'a Tensor)>,
) -> Result<Vec<u8>, SafeTensorError> {
    let mut buffers = Vec::new();
    for (name, tensor) in tensors {
        let size = tensor.size().into_iter();
        let shape: Vec<usize> = size.map(from_i64).collect();
        let values = crate::models::extractor::to_vec(&tensor.detach().to_kind(Kind::Float));
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        buffers.push((name, shape, bytes));
    }
    let mut views = Vec::new();
    for (name, shape, bytes) in &buffers {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
        views.push((name.as_ref(), view));
    }
    safetensors::serialize(views, None)
}
