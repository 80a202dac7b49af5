//! The tensors of a network that is trained, by name.

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

use super::weights::WeightMap;

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
    pub(super) fn push(&mut self, name: &str, tensor: Tensor) {
        self.names.push(name.to_owned());
        self.tensors.push(tensor);
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The tensors: f32, leaves that require gradients.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors, for an optimiser to write into.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// The parameter of a name.
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
    /// sum may round otherwise elsewhere. Whoever calls this must call [`WeightMap::finish`] in the end.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn take_alike(&self, prefix: &str, weights: &mut WeightMap) -> Vec<Tensor> {
        let take = |(name, parameter): (&String, &Tensor)| {
            let size = parameter.size().into_iter();
            let shape: Vec<usize> = size
                .map(|side| usize::try_from(side).unwrap_or(0))
                .collect();
            let stored = weights.take(&format!("{prefix}{name}"), &shape).detach();
            let mut tensor = parameter.detach().zeros_like();
            tensor.copy_(&stored);
            tensor
        };
        self.names.iter().zip(&self.tensors).map(take).collect()
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
        let shape: Vec<usize> = size
            .map(|side| usize::try_from(side).unwrap_or(0))
            .collect();
        let values = super::extractor::to_vec(&tensor.detach().to_kind(Kind::Float));
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
