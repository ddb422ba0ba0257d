//! Named tensors: what a checkpoint file holds, and filling a network from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    lower::{Norm, Parameters},
    report::LoadReport,
};
use crate::{
    error::{Error, Result},
    network::ChannelScale,
    tensor::{Device, Tensor, from_vec},
    weights::{Element, WeightFile},
};

/// Shape and values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Vec<f32>,
}

/// Tensors by name, in name order so that files are deterministic.
pub type NamedTensors = BTreeMap<String, NamedTensor>;

/// Parses safetensors bytes; f16 and bf16 are widened to f32.
pub fn read(path: &Path, bytes: &[u8]) -> Result<NamedTensors> {
    let bad = |what: String| {
        Error::BadData(format!("{}: {what}; expected a safetensors file with f32, f16 or bf16 tensors", path.display()))
    };
    let file = SafeTensors::deserialize(bytes).map_err(|e| bad(e.to_string()))?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = widen(&view).ok_or_else(|| bad(format!("{name} is {:?}", view.dtype())))?;
            if values.iter().any(|v| !v.is_finite()) {
                return Err(bad(format!("{name} holds NaN or infinite values")));
            }
            Ok((name, NamedTensor { shape: view.shape().to_vec(), values }))
        })
        .collect()
}

/// Serialises as f32 safetensors with string metadata.
pub fn write(tensors: &NamedTensors, metadata: BTreeMap<String, String>) -> Result<Vec<u8>> {
    let bytes: BTreeMap<&String, Vec<u8>> =
        tensors.iter().map(|(name, t)| (name, t.values.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let views = tensors
        .iter()
        .map(|(name, t)| {
            TensorView::new(Dtype::F32, t.shape.clone(), &bytes[name])
                .map(|view| (name.clone(), view))
                .map_err(|e| Error::Bug(format!("{name}: {e}")))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    safetensors::serialize(views, metadata).map_err(|e| Error::Bug(e.to_string()))
}

fn widen(view: &TensorView) -> Option<Vec<f32>> {
    Element::of_safetensors(&view.dtype().to_string()).map(|element| element.widen(view.data()))
}

/// Tensors that can be asked for by name.
pub trait Tensors {
    /// Extents of the tensor called `name`, if there is one.
    fn shape(&self, name: &str) -> Option<&[usize]>;
    /// Its values, row-major.
    fn values(&self, name: &str) -> Result<Vec<f32>>;
}

impl Tensors for NamedTensors {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(|tensor| &tensor.shape[..])
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.get(name).ok_or_else(|| Error::Bug(format!("tensor {name} was not asked for first")))?;
        Ok(tensor.values.clone())
    }
}

/// Those tensors of a file whose names begin with a prefix, called by the rest of their names.
#[derive(Debug, Clone, Copy)]
pub struct Within<'a> {
    /// The file.
    pub file: &'a WeightFile,
    /// The beginning of the names.
    pub prefix: &'a str,
}

impl Tensors for Within<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.tensors.get(&format!("{}{name}", self.prefix)).map(|stored| &stored.shape[..])
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        self.file.values(&format!("{}{name}", self.prefix))
    }
}

/// Fills a network from named tensors and remembers what was asked for and everything that does not fit.
pub struct Checkpoint<'a> {
    tensors: &'a dyn Tensors,
    device: &'a Device,
    asked: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    failure: Option<Error>,
}

impl<'a> Checkpoint<'a> {
    /// Reads from `tensors`, places on `device`.
    pub fn new(tensors: &'a dyn Tensors, device: &'a Device) -> Self {
        let (asked, missing, misshapen) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { tensors, device, asked, missing, misshapen, failure: None }
    }

    /// Fails with the whole list if any tensor was missing, misshapen or unreadable.
    pub fn check(self, what: &str) -> Result<()> {
        self.finish()?.check(what)
    }

    /// What was asked for and what did not fit; an error only where the file could not be read.
    pub fn finish(self) -> Result<LoadReport> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(LoadReport {
                asked: self.asked,
                missing: self.missing,
                misshapen: self.misshapen,
                ..LoadReport::default()
            }),
        }
    }

    fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.asked.insert(name.to_string());
        let values = match self.tensors.shape(name) {
            // A classifier stored as a matrix is the same numbers as a 1x1 convolution, hence the comparison of
            // extents without trailing ones.
            Some(found) if without_ones(found) == without_ones(&shape) => {
                self.tensors.values(name).map_err(|error| self.failure = Some(error)).ok()
            }
            Some(found) => {
                self.misshapen.push(format!("{name} is {found:?}, not {shape:?}"));
                None
            }
            None => {
                self.missing.push(name.to_string());
                None
            }
        };
        // The network is dropped when anything did not fit; ones keep its arithmetic defined until then.
        from_vec(values.unwrap_or_else(|| vec![1.0; shape.iter().product()]), shape, self.device)
    }
}

fn without_ones(shape: &[usize]) -> &[usize] {
    let end = shape.iter().rposition(|&n| n != 1).map_or(0, |i| i + 1);
    &shape[..end]
}

impl Parameters for Checkpoint<'_> {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.take(name, shape)
    }

    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale {
        let mut field = |field: &str| self.take(&format!("{name}.{field}"), [channels]);
        let (gamma, variance) = (field("weight"), field("running_var"));
        match norm {
            Norm::Centred => ChannelScale::batch_norm(gamma, field("bias"), field("running_mean"), variance),
            Norm::Uncentred => ChannelScale::uncentred(gamma, variance),
        }
    }
}
