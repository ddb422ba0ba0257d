//! Conventional residual networks against torchvision.

use std::collections::BTreeMap;

use features::{
    backbone::{Checkpoint, Family, ResNet},
    network::{Conv, Layer, Network},
    tensor::{from_vec, to_vec},
};

use crate::{expected, formula};

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    image: [usize; 4],
    tensors: Vec<(String, Vec<usize>)>,
    logits: Vec<f32>,
    pooled: Vec<f32>,
    layer_sums: BTreeMap<String, Vec<f32>>,
}

fn check(depth: usize, blocks: [usize; 4]) {
    let case = format!("resnet{depth}");
    let stored: Expected = expected::read(&case);
    let device = expected::device();
    let tensors = expected::checkpoint(&stored.tensors, &BTreeMap::new());
    let mut checkpoint = Checkpoint::new(&tensors, &device);
    let network = ResNet::imagenet(Family::Resnet, depth).expect("a known depth").lower(&mut checkpoint);
    checkpoint.check(&case).expect("torchvision's names fit");

    // Cut where torchvision has its named children: four stem layers, then a sum and a ReLU a block.
    let mut rest = network.layers.into_iter();
    let mut activation = from_vec(formula::image(stored.image), stored.image, &device);
    let [one, two, three, four] = blocks.map(|n| 2 * n);
    for (name, layers) in [("maxpool", 4), ("layer1", one), ("layer2", two), ("layer3", three), ("layer4", four)] {
        activation = Network::new(rest.by_ref().take(layers).collect()).forward(activation);
        let found = expected::sums(activation.clone());
        expected::check(&format!("{case} {name}"), &found, &stored.layer_sums[name], stored.tolerance);
    }
    assert_eq!(rest.count(), 0, "layers after layer4");

    let pooled = Layer::GlobalAvgPool.forward(activation);
    expected::check(&format!("{case} pooled"), &to_vec(pooled.clone()), &stored.pooled, stored.tolerance);
    let head = Conv::pointwise(
        expected::pointwise(&tensors, "fc.weight", &device),
        Some(expected::vector(&tensors, "fc.bias", &device)),
    );
    expected::check(&format!("{case} logits"), &to_vec(head.forward(pooled)), &stored.logits, stored.tolerance);
}

#[test]
fn resnet18_with_basic_blocks() {
    check(18, [2, 2, 2, 2]);
}

#[test]
fn resnet50_with_bottlenecks() {
    check(50, [3, 4, 6, 3]);
}
