//! Networks at full size from photographs to features and logits, against the packages that they come from.
//!
//! The checkpoint is written as a file, so names, layout, architecture, preprocessing, network and features are all
//! found by the programs' own stages; only the classifier stands here.

use std::collections::BTreeMap;

use features::{
    backbone::NamedTensors,
    network::{BcosConv, Conv, Layer, Network},
    tensor::{from_vec, to_vec},
};

use crate::{expected, files};

const FILES: [&str; 3] = ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"];

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    step: usize,
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    tensors: serde_json::Value,
    variance_factors: BTreeMap<String, f32>,
    features: Stored,
    logits: Vec<Vec<f32>>,
}

#[derive(serde::Deserialize)]
struct Stored {
    shape: [usize; 3],
    norms: Vec<f32>,
    samples: Vec<Vec<f32>>,
}

/// Names and shapes from a tree of the parts of names.
fn flat(tree: &serde_json::Value, name: &str, found: &mut Vec<(String, Vec<usize>)>) {
    match tree {
        serde_json::Value::Object(parts) => {
            for (part, below) in parts {
                let name = if name.is_empty() { part.clone() } else { format!("{name}.{part}") };
                flat(below, &name, found);
            }
        }
        shape => found.push((name.to_string(), serde_json::from_value(shape.clone()).expect("a shape"))),
    }
}

impl Case {
    fn checkpoint(&self) -> NamedTensors {
        let mut listed = Vec::new();
        flat(&self.tensors, "", &mut listed);
        expected::checkpoint(&listed, &self.variance_factors)
    }
}

/// The stored checkpoint of a network, which other cases use too.
pub fn checkpoint(name: &str) -> NamedTensors {
    let stored: Expected = expected::read("photographs");
    stored.cases[name].checkpoint()
}

fn check(name: &str, classifier: &str, more: &str) {
    let stored: Expected = expected::read("photographs");
    let case = &stored.cases[name];
    let tensors = case.checkpoint();
    let rows = files::features(&tensors, "photographs", &FILES, "", more);
    let Stored { shape: [channels, height, width], norms, samples } = &case.features;
    let values = channels * height * width;
    assert_eq!(rows.map.len(), FILES.len() * values, "{name}");
    for (i, file) in FILES.iter().enumerate() {
        let map = &rows.map[i * values..(i + 1) * values];
        let norm = map.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
        expected::check(&format!("{name} {file} norm"), &[norm], &norms[i..=i], stored.tolerance);
        let found: Vec<f32> = (0..samples[i].len()).map(|k| map[k * stored.step % values]).collect();
        expected::check(&format!("{name} {file} features"), &found, &samples[i], stored.tolerance);
    }
    if classifier.is_empty() {
        return;
    }
    let device = expected::device();
    let dense = match classifier.ends_with(".linear") {
        true => Layer::BcosConv(BcosConv::new(
            expected::pointwise(&tensors, &format!("{classifier}.weight"), &device),
            2.0,
            [1, 1],
            [0, 0],
        )),
        false => Layer::Conv(Conv::pointwise(
            expected::pointwise(&tensors, &format!("{classifier}.weight"), &device),
            Some(expected::vector(&tensors, &format!("{classifier}.bias"), &device)),
        )),
    };
    let head = Network::new(vec![dense, Layer::GlobalAvgPool]);
    let maps = from_vec(rows.map, [FILES.len(), *channels, *height, *width], &device);
    expected::check(&format!("{name} logits"), &to_vec(head.forward(maps)), &case.logits.concat(), stored.tolerance);
}

#[test]
fn resnet18_is_torchvisions() {
    check("resnet18", "fc", "");
}

#[test]
fn resnet50_is_timms() {
    check("resnet50", "fc", "");
}

#[test]
fn densenet121_is_torchvisions() {
    check("densenet121", "classifier", "");
}

#[test]
fn bcos_resnet50_is_the_packages() {
    check("bcos_resnet50", "fc.linear", "");
}

#[test]
fn bcos_densenet121_is_the_packages() {
    check("bcos_densenet121", "classifier.linear", "");
}

#[test]
fn clips_trunk_and_its_attention_pool_are_open_clips() {
    check("clip", "", "");
    let stored: Expected = expected::read("photographs");
    let case = &stored.cases["clip"];
    let rows = files::features(&case.checkpoint(), "photographs", &FILES, "", "layout = \"clip_attention_pool\"\n");
    assert_eq!(rows.map, rows.embedding);
    expected::check("clip embedding", &rows.embedding, &case.logits.concat(), stored.tolerance);
}
