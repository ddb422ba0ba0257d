//! B-cos residual networks against the bcos package.

use std::collections::BTreeMap;

use features::{
    backbone::{Checkpoint, Family, ResNet},
    network::{BcosConv, Layer, Network},
    tensor::{Device, Tensor, cpu, from_vec, to_vec},
};

use crate::{
    expected::{self, StoredMap},
    formula,
};

#[derive(serde::Deserialize)]
pub struct Expected {
    pub tolerance: f32,
    image: [usize; 4],
    offset: f32,
    tensors: Vec<(String, Vec<usize>)>,
    variance_factors: BTreeMap<String, f32>,
    logits: Vec<f32>,
    pub maps: BTreeMap<String, StoredMap>,
}

/// What the package's generator ran: backbone, head at every position, mean, offset; and its six-channel images.
pub fn case(device: &Device) -> (Expected, Network, Tensor<4>) {
    let stored: Expected = expected::read("bcos");
    let tensors = expected::checkpoint(&stored.tensors, &stored.variance_factors);
    let mut checkpoint = Checkpoint::new(&tensors, device);
    let mut network = ResNet::imagenet(Family::BcosResnet, 18).expect("a known depth").lower(&mut checkpoint);
    checkpoint.check("bcos").expect("the package's names fit");
    network.layers.extend([
        Layer::BcosConv(BcosConv {
            weight: expected::pointwise(&tensors, "fc.linear.weight", device),
            b: 2.0,
            stride: [1, 1],
            padding: [0, 0],
        }),
        Layer::GlobalAvgPool,
        Layer::Offset(stored.offset),
    ]);
    let [images, _, rows, columns] = stored.image;
    let rgb = from_vec(formula::image([images, 3, rows, columns]), [images, 3, rows, columns], device);
    let inverse = rgb.clone().neg().add_scalar(1.0);
    let image = Tensor::cat(vec![rgb, inverse], 1);
    (stored, network, image)
}

#[test]
fn logits_match_the_package() {
    let (stored, network, image) = case(&cpu());
    expected::check("bcos logits", &to_vec(network.forward(image)), &stored.logits, stored.tolerance);
}
