//! A probe's weights as named arrays, with the names of the paper's checkpoints, and the side file that holds them.

use std::collections::BTreeMap;

use features::error::{Error, Result};
use features::tensor::{Device, Tensor, from_vec};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Row-major values and their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Product-of-shape values.
    pub values: Vec<f32>,
}

/// Named arrays of one probe: `fc.weight` (linear), `fc{i}.linear.weight` (B-cos), `fc{i}.weight` (conventional),
/// `bn{i}.weight|bias|running_mean|running_var`, and `input_scale` where the features are scaled first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Array>);

impl Weights {
    /// Adds an array.
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        self.0.insert(name.into(), Array { shape: shape.to_vec(), values });
    }

    /// The array of this name, or an error that names it.
    pub fn get(&self, name: &str) -> Result<&Array> {
        self.0.get(name).ok_or_else(|| {
            Error::BadData(format!("probe weights have no tensor {name:?}; run the probe stage again with --force"))
        })
    }

    /// The tensor of this name; its rank must be `D`.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let array = self.get(name)?;
        let shape: [usize; D] =
            array.shape.as_slice().try_into().map_err(|_| {
                Error::BadData(format!("probe tensor {name:?} has shape {:?}, not rank {D}", array.shape))
            })?;
        Ok(from_vec(array.values.clone(), shape, device))
    }

    /// The tensor of this name where there is one.
    pub fn optional<const D: usize>(&self, name: &str, device: &Device) -> Result<Option<Tensor<D>>> {
        self.0.contains_key(name).then(|| self.tensor(name, device)).transpose()
    }
}

/// The bytes of a safetensors file with `<probe_id>.<tensor>` for every tensor of every probe.
pub fn to_safetensors(probes: &[(String, &Weights)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (id, weights) in probes {
        for (name, array) in &weights.0 {
            let raw: Vec<u8> = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes.push((format!("{id}.{name}"), array.shape.clone(), raw));
        }
    }
    let bug = |error| Error::Bug(format!("probe weights do not form a safetensors file ({error})"));
    let views = bytes
        .iter()
        .map(|(name, shape, raw)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), raw).map_err(bug)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(bug)
}

/// The weights of one probe out of such a file; `origin` names the file in errors.
pub fn from_safetensors(bytes: &[u8], id: &str, origin: &str) -> Result<Weights> {
    let weights = with_prefix(bytes, id, origin)?;
    if weights.0.is_empty() {
        return Err(Error::BadData(format!(
            "{origin}: no weights of probe {id}; run the probe stage again with --force"
        )));
    }
    Ok(weights)
}

/// All tensors `<prefix>.<tensor>` of a safetensors file, under the name behind the prefix.
pub fn with_prefix(bytes: &[u8], prefix: &str, origin: &str) -> Result<Weights> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| Error::BadData(format!("{origin}: not a safetensors file ({error})")))?;
    let prefix = format!("{prefix}.");
    let mut weights = Weights::default();
    for (name, view) in file.iter() {
        let Some(short) = name.strip_prefix(&prefix) else { continue };
        if view.dtype() != Dtype::F32 {
            return Err(Error::BadData(format!("{origin}: tensor {name} is {:?}; only F32 is read", view.dtype())));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        weights.insert(short, view.shape(), values);
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_the_file() {
        let mut a = Weights::default();
        a.insert("fc.weight", &[2, 3, 1, 1], vec![1.0, -2.5, f32::MIN_POSITIVE, 4.0, 0.1, 6.0]);
        a.insert("bn0.running_var", &[2], vec![0.5, 0.25]);
        let mut b = Weights::default();
        b.insert("fc.weight", &[1], vec![9.0]);
        let probes = [("p-s1".to_string(), &a), ("p-s10".to_string(), &b)];
        let bytes = to_safetensors(&probes).unwrap();
        assert_eq!(bytes, to_safetensors(&probes).unwrap());
        assert_eq!(from_safetensors(&bytes, "p-s1", "f").unwrap(), a);
        assert_eq!(from_safetensors(&bytes, "p-s10", "f").unwrap(), b);
        assert_eq!(from_safetensors(&bytes, "q", "f").unwrap_err().exit_code(), 65);
        assert_eq!(from_safetensors(b"nonsense", "q", "f").unwrap_err().exit_code(), 65);
    }
}
