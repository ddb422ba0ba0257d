//! Attribution maps against captum, zennit and the bcos package, through the same `Explainer` as the stage.

use std::collections::BTreeMap;

use attribute::{
    explain::{Explainer, Head, Settings},
    method::Method,
};
use features::{
    backbone::{Checkpoint, Family, ResNet},
    network::{Conv, Layer, Network},
    tensor::{Tensor, from_vec},
};

use crate::{
    bcos,
    expected::{self, StoredMap},
    formula,
};

/// 50 points are captum's default; the chunk is smaller than the batch on purpose.
fn settings() -> Settings {
    Settings { chunk: 3, steps: 50, ..Settings::default() }
}

const TARGETS: [usize; 2] = [1, 7];

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    image: [usize; 4],
    mean: [f32; 3],
    std: [f32; 3],
    tensors: Vec<(String, Vec<usize>)>,
    logits: Vec<f32>,
    maps: BTreeMap<String, StoredMap>,
}

#[test]
fn maps_of_a_conventional_network_match_captum_and_zennit() {
    let stored: Expected = expected::read("attribution");
    let device = expected::device();
    let tensors = expected::checkpoint(&stored.tensors, &BTreeMap::new());
    let mut checkpoint = Checkpoint::new(&tensors, &device);
    let backbone = ResNet::imagenet(Family::Resnet, 18).expect("a known depth").lower(&mut checkpoint);
    checkpoint.check("attribution").expect("torchvision's names fit");
    let head = Network::new(vec![
        Layer::Conv(Conv::pointwise(
            expected::pointwise(&tensors, "head.weight", &device),
            Some(expected::vector(&tensors, "head.bias", &device)),
        )),
        Layer::GlobalAvgPool,
    ]);

    let [_, _, rows, columns] = stored.image;
    let mut pixels = formula::image(stored.image);
    for (channel, plane) in pixels.chunks_exact_mut(rows * columns).enumerate() {
        plane.iter_mut().for_each(|v| *v = (*v - stored.mean[channel]) / stored.std[channel]);
    }
    let image = from_vec(pixels, stored.image, &device);
    let bound = |pixel: f32| (0..3).map(|c| (pixel - stored.mean[c]) / stored.std[c]).collect::<Vec<_>>();

    let stored_for = |method: &Method| stored.maps.contains_key(&format!("{method}/{}", TARGETS[0]));
    let methods: Vec<Method> = Method::ALL.into_iter().filter(stored_for).collect();
    assert_eq!(stored.maps.len(), methods.len() * TARGETS.len(), "each stored map belongs to a method");
    let heads = vec![Head { id: "head".into(), network: head, methods: methods.clone() }];
    let explainer = Explainer::with_bounds(backbone, (bound(0.0), bound(1.0)), heads, settings())
        .expect("every layer has its rules");
    let maps = explainer.explain(&image, &TARGETS, "").expect("the targets are classes");
    assert_eq!(maps.len(), methods.len() * TARGETS.len());
    for map in maps {
        let target = TARGETS[map.target];
        let name = format!("{}/{target}", map.method);
        expected::check_pulled(&name, &map.values, &stored.maps[&name].values(), stored.tolerance);
        let logit = stored.logits[target];
        expected::check(&format!("{name} logit"), &[map.logit], &[logit], 1e-4);
    }
}

#[test]
fn maps_of_a_bcos_network_match_the_package() {
    let (stored, network, images) = bcos::case(&expected::device());
    // The head is the last three layers: B-cos convolution, mean, offset.
    let mut backbone = network;
    let head = Network::new(backbone.layers.split_off(backbone.layers.len() - 3));
    let methods = vec![Method::InputXGradient, Method::Bcos];
    let heads = vec![Head { id: "head".into(), network: head, methods }];
    let explainer = Explainer::with_bounds(backbone, (vec![0.0; 6], vec![1.0; 6]), heads, settings())
        .expect("every layer has its rules");

    let [count, _, rows, columns] = images.dims();
    let pictures = explainer.pictures(&images.clone().narrow(0, 0, 1), &TARGETS);
    assert_eq!(pictures.iter().map(|picture| (picture.head, picture.target)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
    stored.pictures.check_network(&pictures[0].pixels);
    let mut found: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for image in images.chunk(count, 0) {
        let image: Tensor<4> = image;
        for map in explainer.explain(&image, &TARGETS, "").expect("the targets are classes") {
            found.entry(format!("{}/{}", map.method, TARGETS[map.target])).or_default().extend(map.values);
        }
    }
    assert_eq!(found.len(), stored.maps.len());
    for (name, map) in &stored.maps {
        assert_eq!(found[name].len(), count * rows * columns);
        expected::check_pulled(name, &found[name], &map.values(), stored.tolerance);
    }
}
