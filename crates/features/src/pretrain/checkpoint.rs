//! The state of an unfinished training run: parameters, moments, statistics and the step, in one safetensors file.

use std::{collections::BTreeMap, path::Path};

use super::{Config, adamw::AdamW, leaves::Leaves, put};
use crate::{
    backbone::{NamedTensor, NamedTensors, named},
    error::{Error, Result},
    tensor::{Tensor, from_vec, to_vec},
};

/// Writes the state whole or not at all.
pub fn save(path: &Path, config: &Config, seed: u64, step: usize, leaves: &Leaves, optimiser: &AdamW) -> Result<()> {
    let mut tensors = NamedTensors::new();
    let mut add = |name: String, values: Vec<f32>| {
        let shape = vec![values.len()];
        tensors.insert(name, NamedTensor { shape, values });
    };
    for (i, leaf) in leaves.leaves.iter().enumerate() {
        add(format!("value.{}", leaf.name), to_vec(leaf.value.clone()));
        add(format!("first.{}", leaf.name), to_vec(optimiser.first[i].clone()));
        add(format!("second.{}", leaf.name), to_vec(optimiser.second[i].clone()));
    }
    for running in &leaves.running {
        add(format!("mean.{}", running.name), running.mean.clone());
        add(format!("variance.{}", running.name), running.variance.clone());
    }
    // Steps stay far below 2^24, so a float holds them exactly; the optimiser's count is the same number.
    add("step".into(), vec![step as f32]);
    // The fingerprint goes into a tensor's name because the reader of this module keeps tensors only.
    add(format!("run.{}", fingerprint(config, seed)), vec![1.0]);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::cannot_write(parent, e))?;
    }
    put(path, &named::write(&tensors, BTreeMap::new())?)
}

/// Restores a state of the same configuration and seed; returns the step to go on from, 0 without one.
pub fn restore(path: &Path, config: &Config, seed: u64, leaves: &mut Leaves, optimiser: &mut AdamW) -> Result<usize> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::io(path, e)),
    };
    let mut tensors = named::read(path, &bytes)?;
    if !tensors.contains_key(&format!("run.{}", fingerprint(config, seed))) {
        tracing::warn!("{}: of another configuration; starting again", path.display());
        return Ok(0);
    }
    let mut take = |name: String| {
        tensors
            .remove(&name)
            .map(|t| t.values)
            .ok_or_else(|| Error::BadData(format!("{}: {name} is missing; delete the file", path.display())))
    };
    for (i, leaf) in leaves.leaves.iter_mut().enumerate() {
        let device = leaf.value.device();
        let tensor = |values: Vec<f32>| -> Tensor<1> {
            let count = values.len();
            from_vec(values, [count], &device)
        };
        leaf.value = tensor(take(format!("value.{}", leaf.name))?);
        optimiser.first[i] = tensor(take(format!("first.{}", leaf.name))?);
        optimiser.second[i] = tensor(take(format!("second.{}", leaf.name))?);
    }
    for running in &mut leaves.running {
        running.mean = take(format!("mean.{}", running.name))?;
        running.variance = take(format!("variance.{}", running.name))?;
    }
    let step = take("step".into())?[0] as usize;
    optimiser.steps = step;
    Ok(step)
}

fn fingerprint(config: &Config, seed: u64) -> String {
    let text = serde_json::to_string(&(config, seed)).expect("a plain struct serialises");
    blake3::hash(text.as_bytes()).to_hex()[..16].to_string()
}
