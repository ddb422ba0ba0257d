//! Pull-backs through dense connections and attention at full size, against PyTorch and the bcos package.

use std::collections::BTreeMap;

use attribute::{
    composite::Composite,
    plan::{Entry, Plan},
    tape::Tape,
};
use features::{
    backbone::{
        Architecture, AttentionFamily, AttentionPooled, Block, Checkpoint, DenseFamily, DenseNet, Family, NamedTensors,
        ResNet, Stem,
    },
    network::{BcosConv, Conv, Layer, Network},
    tensor::{Tensor, from_vec, to_vec},
};

use crate::{expected, formula, photographs};

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    step: usize,
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    shape: [usize; 4],
    target: usize,
    norm: f32,
    samples: Vec<f32>,
}

fn lower(architecture: &Architecture, tensors: &NamedTensors) -> Network {
    let device = expected::device();
    let mut checkpoint = Checkpoint::new(tensors, &device);
    let network = architecture.lower(&mut checkpoint);
    checkpoint.check("gradients").expect("the names fit");
    network
}

/// The formula's image, with its inverse behind it where there are six channels.
fn image([images, channels, rows, columns]: [usize; 4]) -> Tensor<4> {
    let make = |channels: usize| {
        let shape = [images, channels, rows, columns];
        from_vec(formula::image(shape), shape, &expected::device())
    };
    if channels != 6 {
        return make(channels);
    }
    let rgb = make(3);
    Tensor::cat(vec![rgb.clone(), rgb.neg().add_scalar(1.0)], 1)
}

fn check(name: &str, network: &Network, composite: &Composite) {
    let stored: Expected = expected::read("gradients");
    let case = &stored.cases[name];
    let input = image(case.shape);
    let (output, tape) = Tape::record(network, input.clone());
    let mut one = vec![0.0; output.dims()[1]];
    one[case.target] = 1.0;
    let plan = Plan::bind(network, composite, Entry::Pixels).expect("a gradient");
    let found = to_vec(tape.pull_back(&plan, from_vec(one, output.dims(), &expected::device())) * input);
    let norm = found.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
    expected::check_pulled(&format!("{name} norm"), &[norm], &[case.norm], stored.tolerance);
    let samples: Vec<f32> = (0..case.samples.len()).map(|k| found[k * stored.step % found.len()]).collect();
    expected::check_pulled(&format!("{name} samples"), &samples, &case.samples, stored.tolerance);
}

#[test]
fn dense_networks_have_the_gradients_of_torch() {
    let tensors = photographs::checkpoint("densenet121");
    let network = DenseNet::imagenet(DenseFamily::Densenet, 121).expect("a known depth");
    let mut network = lower(&network.into(), &tensors);
    let weight = expected::pointwise(&tensors, "classifier.weight", &expected::device());
    network.layers.extend([Layer::Conv(Conv::pointwise(weight, None)), Layer::GlobalAvgPool]);
    check("densenet121", &network, &Composite::Gradient);
}

#[test]
fn dense_bcos_networks_have_the_explanations_of_the_package() {
    let tensors = photographs::checkpoint("bcos_densenet121");
    let network = DenseNet::imagenet(DenseFamily::BcosDensenet, 121).expect("a known depth");
    let mut network = lower(&network.into(), &tensors);
    let weight = expected::pointwise(&tensors, "classifier.linear.weight", &expected::device());
    let dense = BcosConv::new(weight, 2.0, [1, 1], [0, 0]);
    network.layers.extend([Layer::BcosConv(dense), Layer::GlobalAvgPool]);
    check("bcos_densenet121", &network, &Composite::Gradient);
    check("bcos_densenet121 explained", &network, &Composite::Bcos);
}

#[test]
fn clips_attention_pool_has_the_gradient_of_open_clip() {
    let visual = |(name, tensor): (String, _)| Some((name.strip_prefix("visual.")?.to_string(), tensor));
    let tensors: NamedTensors = photographs::checkpoint("clip").into_iter().filter_map(visual).collect();
    let usual = ResNet::imagenet(Family::Resnet, 50).expect("a known depth");
    let trunk = ResNet { block: Block::ClipBottleneck, stem: Stem { kernel: 3, ..usual.stem }, ..usual };
    let family = AttentionFamily::ClipAttentionPool;
    let network = AttentionPooled { family, side: 7, heads: 32, embedding: 1024, trunk };
    let mut network = lower(&Architecture::AttentionPooled(network), &tensors);
    let pool = network.layers.pop().expect("the pool is the last layer");
    check("clip", &Network::new(vec![pool]), &Composite::Gradient);
}
