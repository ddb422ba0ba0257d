//! Weight files as researchers have them: what tensors they hold, and reading one tensor at a time.
//!
//! Opening a file reads its index only, so a checkpoint with an optimiser costs no more memory than the network that
//! is taken from it. Pickles are read as data; nothing in a file is ever run.

mod element;
mod globals;
mod pickle;
mod safetensors;
mod source;
#[cfg(test)]
mod tests;
mod torch;
mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use element::Element;

use crate::error::{Error, Result};
use source::Parsed;

/// Kind of weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A header and numbers.
    Safetensors,
    /// `torch.save` since PyTorch 1.6.
    TorchZip,
    /// `torch.save` before.
    TorchLegacy,
}

impl Container {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "torch.save",
            Self::TorchLegacy => "torch.save before PyTorch 1.6",
        }
    }
}

/// Where a tensor lies in its file. Strides count numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Type of its numbers.
    pub element: Element,
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    strides: Vec<usize>,
    /// First byte in the file.
    at: u64,
}

/// An open weight file.
#[derive(Debug)]
pub struct WeightFile {
    /// Its path, for messages.
    pub path: PathBuf,
    /// What kind of file it is.
    pub container: Container,
    /// Its tensors by name; in a nested checkpoint the name is the path of keys, as `state_dict.conv1.weight`.
    pub tensors: BTreeMap<String, Stored>,
    file: Mutex<File>,
}

impl WeightFile {
    /// Opens `path`; what it is, is told from its first bytes.
    ///
    /// # Errors
    /// [`Error::InputMissing`] without such a file, [`Error::BadData`] when it is none of [`Container`], is damaged, or
    /// holds objects that are not known.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
        let index = || -> Parsed<(Container, BTreeMap<String, Stored>)> {
            let length = file.metadata().map_err(|error| error.to_string())?.len();
            let start = zip::bytes(&mut file, 0, length.min(16))?;
            Ok(if start.starts_with(b"PK\x03\x04") {
                (Container::TorchZip, torch::open_zip(&mut file)?)
            } else if start.starts_with(torch::LEGACY) {
                (Container::TorchLegacy, torch::open_legacy(&mut file)?)
            } else if start.get(8) == Some(&b'{') || path.extension().is_some_and(|e| e == "safetensors") {
                (Container::Safetensors, safetensors::open(&mut file)?)
            } else {
                let start = String::from_utf8_lossy(&start[..start.len().min(8)]).escape_debug().to_string();
                return Err(format!("it starts with \"{start}\""));
            })
        };
        let mut index = index;
        let (container, tensors) = index().map_err(|problem| bad(path, &problem))?;
        Ok(Self { path: path.to_path_buf(), container, tensors, file: Mutex::new(file) })
    }

    /// The values of the tensor called `name`, row-major.
    ///
    /// # Errors
    /// [`Error::BadData`] when there is no such tensor, or it holds NaN or infinities.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.tensors.get(name).ok_or_else(|| bad(&self.path, &format!("it has no tensor `{name}`")))?;
        let count: usize = stored.shape.iter().product();
        let far = stored.shape.iter().zip(&stored.strides).map(|(&extent, &stride)| extent.saturating_sub(1) * stride);
        let span = if count == 0 { 0 } else { 1 + far.sum::<usize>() };
        let bytes = {
            let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            zip::bytes(&mut file, stored.at, (span * stored.element.size()) as u64)
        };
        let values = stored.element.widen(&bytes.map_err(|problem| bad(&self.path, &problem))?);
        if values.iter().any(|value| !value.is_finite()) {
            return Err(bad(&self.path, &format!("its tensor `{name}` holds NaN or infinite values")));
        }
        Ok(if stored.strides == row_major(&stored.shape) { values } else { gather(&values, stored, count) })
    }

    /// BLAKE3 hash of the file, computed in pieces.
    pub fn hash(&self) -> Result<blake3::Hasher> {
        let file = File::open(&self.path).map_err(|error| Error::io(&self.path, error))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(|error| Error::io(&self.path, error))?;
        Ok(hasher)
    }
}

fn bad(path: &Path, problem: &str) -> Error {
    Error::BadData(format!(
        "{}: {problem}; give a .safetensors file, or a .pth, .pt or .tar file of torch.save that holds a state_dict",
        path.display()
    ))
}

/// Strides of a dense tensor with the last axis fastest.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// Row-major values of a tensor with any strides, from the numbers it spans.
fn gather(numbers: &[f32], stored: &Stored, count: usize) -> Vec<f32> {
    let mut index = vec![0; stored.shape.len()];
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(numbers[index.iter().zip(&stored.strides).map(|(i, stride)| i * stride).sum::<usize>()]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < stored.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    values
}
