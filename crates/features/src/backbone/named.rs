//! Named tensors: what a checkpoint file holds, and filling a network from them.

use std::{collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::resnet::{Norm, Parameters};
use crate::{
    error::{Error, Result},
    network::ChannelScale,
    tensor::{Device, Tensor, from_vec},
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
    let data = view.data();
    let pairs = || data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    Some(match view.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::BF16 => pairs().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
        Dtype::F16 => pairs().map(half_to_f32).collect(),
        // Counters such as num_batches_tracked: kept as numbers, never asked for.
        Dtype::I64 => {
            data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("chunks of 8")) as f32).collect()
        }
        _ => return None,
    })
}

/// IEEE half precision: 1 sign, 5 exponent, 10 mantissa bits.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + mantissa / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// Fills a network from named tensors and remembers everything that does not fit.
pub struct Checkpoint<'a> {
    tensors: &'a NamedTensors,
    device: &'a Device,
    problems: Vec<String>,
}

impl<'a> Checkpoint<'a> {
    /// Reads from `tensors`, places on `device`.
    pub fn new(tensors: &'a NamedTensors, device: &'a Device) -> Self {
        Self { tensors, device, problems: Vec::new() }
    }

    /// Fails with the whole list if any tensor was missing or misshapen.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::BadData(format!(
            "{what}: {} tensors do not fit the architecture: {}; check that the description beside the weights names \
             the right architecture",
            self.problems.len(),
            self.problems.join(", ")
        )))
    }

    fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let count = shape.iter().product();
        let values = match self.tensors.get(name) {
            // A classifier stored as a matrix is the same numbers as a 1x1 convolution, hence the comparison of
            // extents without trailing ones.
            Some(t) if without_ones(&t.shape) == without_ones(&shape) => t.values.clone(),
            Some(t) => {
                self.problems.push(format!("{name} is {:?}, not {shape:?}", t.shape));
                vec![1.0; count]
            }
            None => {
                self.problems.push(format!("{name} is missing"));
                vec![1.0; count]
            }
        };
        from_vec(values, shape, self.device)
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
