//! B-cos residual networks against the bcos package.

use std::collections::BTreeMap;

use features::{
    backbone::{Checkpoint, Family, NamedTensors, ResNet},
    network::{BcosConv, Layer, Network},
    tensor::{Device, Tensor, from_vec, to_vec},
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
    pub pictures: Pictures,
}

/// Coloured pictures, in 1e-5 of full colour.
#[derive(serde::Deserialize)]
pub struct Pictures {
    size: [usize; 3],
    drawn: Vec<i32>,
    stride: usize,
    network: Vec<i32>,
}

impl Pictures {
    /// Whether all but 1 in 500 of the stored numbers of the network's picture are found, see the generator.
    pub fn check_network(&self, found: &[[f32; 4]]) {
        let found: Vec<f32> = found.as_flattened().iter().step_by(self.stride).copied().collect();
        assert_eq!(found.len(), self.network.len());
        let apart = found.iter().zip(&self.network).filter(|(f, e)| (**f - **e as f32 / 1e5).abs() > 1e-3).count();
        assert!(apart * 500 <= found.len(), "{apart} of {} numbers of the picture differ", found.len());
    }
}

#[test]
fn coloured_pictures_are_the_packages() {
    let Pictures { size, drawn, .. } = expected::read::<Expected>("bcos").pictures;
    let count = size.iter().product();
    let image: Vec<f32> = formula::unit("picture.image", count).map(|u| (0.5 + 0.5 * u) as f32).collect();
    let weights: Vec<f32> = formula::unit("picture.weights", count).map(|u| u.powi(3) as f32).collect();
    let found = attribute::method::bcos::picture(&image, &weights, size[2]);
    let drawn: Vec<f32> = drawn.iter().map(|value| *value as f32 / 1e5).collect();
    expected::check("the coloured picture", found.as_flattened(), &drawn, 2e-5);
    assert!(drawn.iter().skip(3).step_by(4).any(|opacity| *opacity < 0.9), "opacities differ");
}

/// What the package's generator ran: backbone, head at every position, mean, offset; and its six-channel images.
pub fn case(device: &Device) -> (Expected, Network, Tensor<4>) {
    let stored: Expected = expected::read("bcos");
    let tensors = expected::checkpoint(&stored.tensors, &stored.variance_factors);
    let (mut network, head) = networks(&tensors, 18, stored.offset, device);
    network.layers.extend(head.layers);
    let [images, _, rows, columns] = stored.image;
    let image = six_channels(formula::image([images, 3, rows, columns]), [images, 3, rows, columns], device);
    (stored, network, image)
}

/// The package's network of some depth, and its head.
pub fn networks(tensors: &NamedTensors, depth: usize, offset: f32, device: &Device) -> (Network, Network) {
    let mut checkpoint = Checkpoint::new(tensors, device);
    let network = ResNet::imagenet(Family::BcosResnet, depth).expect("a known depth").lower(&mut checkpoint);
    checkpoint.check("bcos").expect("the package's names fit");
    let dense = BcosConv::new(expected::pointwise(tensors, "fc.linear.weight", device), 2.0, [1, 1], [0, 0]);
    let head = Network::new(vec![Layer::BcosConv(dense), Layer::GlobalAvgPool, Layer::Offset(offset)]);
    (network, head)
}

/// Pixels in [0, 1] and what they lack to 1.
pub fn six_channels(pixels: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let rgb = from_vec(pixels, shape, device);
    let inverse = rgb.clone().neg().add_scalar(1.0);
    Tensor::cat(vec![rgb, inverse], 1)
}

#[test]
fn logits_match_the_package() {
    let (stored, network, image) = case(&expected::device());
    expected::check("bcos logits", &to_vec(network.forward(image)), &stored.logits, stored.tolerance);
}
