//! Attribution methods on a photograph: ResNet-18 and -50 against captum, zennit and pytorch-grad-cam, B-cos ResNet-50
//! against the bcos package.

use std::collections::BTreeMap;

use attribute::{
    explain::{Explainer, Head, Settings},
    method::Method,
};

use crate::{
    bcos, expected,
    peers::{self, Case, Frame, Sampled},
};

#[derive(serde::Deserialize)]
struct Expected {
    photograph: String,
    /// Top, bottom, left, right.
    crop: [usize; 4],
    #[serde(flatten)]
    frame: Frame,
    resnet18: Case,
    resnet50: Case,
    bcos_resnet50: Aligned,
}

#[derive(serde::Deserialize)]
struct Aligned {
    offset: f32,
    targets: Vec<usize>,
    float32_gaps: BTreeMap<String, f32>,
    tensors: Vec<(String, Vec<usize>)>,
    variance_factors: BTreeMap<String, f32>,
    logits: Vec<f32>,
    maps: BTreeMap<String, Sampled>,
}

/// The part of a photograph (top, bottom, left, right) in [0, 1], channel by channel, and its shape.
pub fn pixels(photograph: &str, [top, bottom, left, right]: [usize; 4]) -> (Vec<f32>, [usize; 4]) {
    let picture = expected::photograph(photograph);
    let pixel = |c: usize, y: usize, x: usize| f32::from(picture.data[(y * picture.width + x) * 3 + c]) / 255.0;
    let row = |(c, y)| (left..right).map(move |x| pixel(c, y, x));
    let values = (0..3).flat_map(|c| (top..bottom).map(move |y| (c, y))).flat_map(row);
    (values.collect(), [1, 3, bottom - top, right - left])
}

#[test]
fn methods_on_resnet18_match_their_peers_on_a_photograph() {
    let stored: Expected = expected::read("photograph_maps");
    let (pixels, shape) = pixels(&stored.photograph, stored.crop);
    peers::check(&stored.frame, &stored.resnet18, 18, pixels, shape);
}

#[test]
fn methods_on_resnet50_match_their_peers_on_a_photograph() {
    let stored: Expected = expected::read("photograph_maps");
    let (pixels, shape) = pixels(&stored.photograph, stored.crop);
    peers::check(&stored.frame, &stored.resnet50, 50, pixels, shape);
}

#[test]
fn contributions_of_a_bcos_resnet50_match_the_package_on_a_photograph() {
    let stored: Expected = expected::read("photograph_maps");
    let Expected { frame, bcos_resnet50: case, .. } = &stored;
    let tensors = expected::checkpoint(&case.tensors, &case.variance_factors);
    let (backbone, network) = bcos::networks(&tensors, 50, case.offset, &expected::device());
    let (pixels, shape) = pixels(&stored.photograph, stored.crop);
    let image = bcos::six_channels(pixels, shape, &expected::device());
    let heads = vec![Head { id: "head".into(), network, methods: vec![Method::Bcos, Method::InputXGradient] }];
    let explainer = Explainer::with_bounds(backbone, (vec![0.0; 6], vec![1.0; 6]), heads, Settings::default())
        .expect("every layer has its rules");
    let maps = explainer.explain(&image, &case.targets, "").expect("the target is a class");
    assert_eq!((maps.len(), case.maps.len()), (2, 2));
    for map in maps {
        let target = case.targets[map.target];
        let name = format!("{}/{target}", map.method);
        let tolerance = frame.tolerance.max(case.float32_gaps[&name]);
        case.maps[&name].check(&name, &map.values, frame.stride, tolerance);
        let logit = case.logits[target];
        let allowed = expected::forward(1e-4) * (1.0 + logit.abs());
        assert!((map.logit - logit).abs() < allowed, "{name}: logit {} is not {logit}", map.logit);
        if map.method == Method::Bcos {
            let explained = f64::from(map.logit - case.offset);
            let allowed = f64::from(expected::pulled(1e-4)) * explained.abs().max(1.0);
            assert!((map.relevance_sum() - explained).abs() < allowed, "{explained}");
        }
    }
}
