//! What a generator stored, and how close is close.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use features::{
    backbone::{NamedTensor, NamedTensors},
    images::{Rgb, decode},
    stage::{Stage, StageArgs},
    tensor::{Device, Tensor, from_vec, to_vec},
};
use serde::de::DeserializeOwned;

use crate::formula;

/// A map as its largest magnitude and integers in millionths of it.
#[derive(serde::Deserialize)]
pub struct StoredMap {
    largest: f64,
    millionths: Vec<i32>,
}

impl StoredMap {
    pub fn values(&self) -> Vec<f32> {
        self.millionths.iter().map(|&m| (f64::from(m) * self.largest / 1e6) as f32).collect()
    }
}

/// The folder of all cases: where it was when this was compiled, or, for a program that was carried to another machine,
/// below the current directory.
pub fn folder() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity");
    if built.is_dir() { built } else { PathBuf::from("tests/parity") }
}

/// What `--device` would be: `PROBESCOPE_DEVICE`, so that the same cases run on a GPU, else the CPU.
pub fn device_name() -> String {
    std::env::var("PROBESCOPE_DEVICE").unwrap_or_else(|_| "cpu".to_string())
}

/// That device.
pub fn device() -> Device {
    let args = StageArgs { device: device_name(), out: Some("unused".into()), ..StageArgs::default() };
    Stage::new(args).and_then(|stage| stage.device()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads `tests/parity/CASE/expected.json`.
pub fn read<T: DeserializeOwned>(case: &str) -> T {
    let path = folder().join(case).join("expected.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One of `tests/parity/small_photographs`.
pub fn photograph(name: &str) -> Rgb {
    let path = folder().join("small_photographs").join(format!("{name}.jpg"));
    decode(&std::fs::read(&path).expect("the photograph is there")).expect("it is a JPEG file")
}

/// The formula's checkpoint; running variances are multiplied by their factor where one is stored.
pub fn checkpoint(listed: &[(String, Vec<usize>)], factors: &BTreeMap<String, f32>) -> NamedTensors {
    listed
        .iter()
        .map(|(name, shape)| {
            let factor = factors.get(name).copied().unwrap_or(1.0);
            let values = formula::tensor(name, shape).into_iter().map(|v| v * factor).collect();
            (name.clone(), NamedTensor { shape: shape.clone(), values })
        })
        .collect()
}

/// One checkpoint tensor as a 1x1 convolution's weight `[out, in, 1, 1]`.
pub fn pointwise(tensors: &NamedTensors, name: &str, device: &Device) -> Tensor<4> {
    let NamedTensor { shape, values } = &tensors[name];
    from_vec(values.clone(), [shape[0], shape[1], 1, 1], device)
}

/// One checkpoint tensor of rank 1.
pub fn vector(tensors: &NamedTensors, name: &str, device: &Device) -> Tensor<1> {
    let NamedTensor { shape, values } = &tensors[name];
    from_vec(values.clone(), [shape[0]], device)
}

/// Sum over everything but the first axis, in f64.
pub fn sums(tensor: Tensor<4>) -> Vec<f32> {
    let images = tensor.dims()[0];
    let values = to_vec(tensor);
    values
        .chunks_exact(values.len() / images)
        .map(|image| image.iter().map(|&v| f64::from(v)).sum::<f64>() as f32)
        .collect()
}

/// Largest difference over the largest expected magnitude must not exceed `tolerance`, or what a GPU is allowed.
pub fn check(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    let worst = worst(found.iter().zip(expected).map(|(f, e)| (f - e).abs())) / largest;
    let tolerance = forward(tolerance);
    eprintln!("{what}: {worst:.1e} of {tolerance:.0e} allowed");
    assert!(worst <= tolerance, "{what}: off by {worst:.2e} of the largest magnitude {largest}");
}

/// [`check`] for what was pulled back to the pixels; on a GPU the norm of the difference over the norm counts.
pub fn check_pulled(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    if device() == features::tensor::cpu() {
        return check(what, found, expected, tolerance);
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e)) / norm(&mut expected.iter().copied());
    eprintln!("{what}: {apart:.1e} of {GPU_PULLED:.0e} allowed");
    assert!(apart <= GPU_PULLED, "{what}: off by {apart:.2e} in norm");
}

/// The largest of some differences, infinite if one is no number.
pub fn worst(differences: impl Iterator<Item = f32>) -> f32 {
    differences.fold(0f32, |worst, one| if one.is_nan() { f32::INFINITY } else { worst.max(one) })
}

/// A GPU multiplies float32 numbers of 11 bits of mantissa (TF32) where that is faster, so it may be off by more: by so
/// much of the largest value in what only went forward. Emulated in torch on ResNet-50 with the weights of these tests,
/// features are off by 8e-4; on the way back ReLUs near 0 change sides, and gradients are off by 6 % of their norm.
const GPU_FORWARD: f32 = 5e-3;
const GPU_PULLED: f64 = 0.15;

/// What may be off of a sum of what was pulled back: `tolerance`, or more on a GPU.
pub fn pulled(tolerance: f32) -> f32 {
    if device() == features::tensor::cpu() { tolerance } else { tolerance.max(GPU_PULLED as f32) }
}

/// What may be off of a value that only went forward: `tolerance`, or more on a GPU.
pub fn forward(tolerance: f32) -> f32 {
    if device() == features::tensor::cpu() { tolerance } else { tolerance.max(GPU_FORWARD) }
}
