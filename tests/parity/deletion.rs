//! Pixel deletion against Quantus' PixelFlipping, through the engine that the stage uses.

use std::collections::BTreeMap;

use evaluate::perturbation::engine::{Asked, Picture, logits};
use evaluate::perturbation::ranking::{First, Ranking, ties};
use evaluate::perturbation::unit::Pieces;
use evaluate::perturbation::{Confidence, Curve};
use features::network::{Conv, Layer, Network};
use features::stage::Batches;
use features::tensor::{Tensor, from_vec};

use crate::{expected, formula};

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    side: usize,
    steps: usize,
    baseline: f32,
    target: usize,
    tensors: Vec<(String, Vec<usize>)>,
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    curve: Vec<f32>,
    area: f32,
}

#[test]
fn curves_and_areas_match_quantus() {
    let stored: Expected = expected::read("deletion");
    let (side, device) = (stored.side, expected::device());
    let tensors = expected::checkpoint(&stored.tensors, &BTreeMap::new());
    let conv = |name: &str, padding: usize, factor: f32| {
        let shape: [usize; 4] = tensors[name].shape.as_slice().try_into().expect("rank 4");
        let weight: Tensor<4> = from_vec(tensors[name].values.clone(), shape, &device);
        Layer::Conv(Conv {
            weight: weight.mul_scalar(factor).into(),
            bias: None,
            stride: [1, 1],
            padding: [padding; 2],
        })
    };
    let backbone = Network::new(vec![conv("trunk.weight", 1, 1.0), Layer::Relu]);
    let head = Network::new(vec![conv("head.weight", 0, 4.0)]);
    let image = from_vec(formula::image([1, 1, side, side]), [1, 1, side, side], &device);
    let baseline = image.zeros_like().add_scalar(stored.baseline);
    let pieces = Pieces { labels: (0..side * side).collect(), count: side * side };
    let map: Vec<f32> = formula::unit("map", side * side).map(|value| value as f32).collect();
    let ranking = Ranking::of(&map, &pieces, &ties(pieces.count, 0, "")).expect("a finite map");
    let chunk = Batches::new(device, 4);
    let picture = Picture { backbone: &backbone, image, baseline, chunk: &chunk };
    for (name, first) in [("most_first", First::Most), ("least_first", First::Least)] {
        let cuts = ranking.steps(first, stored.steps);
        let asked = [Asked { heads: vec![&head], ranking: &ranking, cuts: cuts.clone() }];
        let found = logits(&picture, &asked).expect("room for four pictures");
        let value = |logits: &Vec<f32>| Confidence::Softmax.of(logits, stored.target);
        let points: Vec<(f64, f64)> =
            cuts.iter().zip(&found[0][0]).map(|(cut, logits)| (ranking.share(*cut), value(logits))).collect();
        let Case { curve, area } = &stored.cases[name];
        let values: Vec<f32> = points.iter().map(|point| point.1 as f32).collect();
        expected::check(&format!("{name} curve"), &values, curve, stored.tolerance);
        expected::check(&format!("{name} area"), &[Curve::new(points).area() as f32], &[*area], stored.tolerance);
    }
}
