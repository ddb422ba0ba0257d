//! Attribution methods against slow copies of their published formulas, in f64 and in plain loops.
//!
//! The network is lowered a second time, by `slow`, to dense matrices of doubles. What is random (noise, masks, samples) is
//! drawn by the methods' own streams, because a draw is no formula. Rules of relevance have their dense oracles beside
//! them, in `attribute/src/tests/relevance.rs`, and DeepLIFT in `deep_lift.rs`.
#![recursion_limit = "256"]

mod bcos;
mod masked;
mod methods;
mod slow;

use attribute::explain::{Explainer, Head, Settings};
use attribute::method::Method;
use features::network::{BcosConv, Conv, Layer, Network, Pool};
use features::random::{normal, stream};
use features::tensor::{Tensor, cpu, from_vec};

/// Rows and columns of the pictures.
const SIZE: [usize; 2] = [8, 10];
const CLASSES: usize = 4;
const TARGET: usize = 2;
const SEED: u64 = 11;
const KEY: &str = "precision";

fn draw<const D: usize>(key: &str, shape: [usize; D], deviation: f64) -> Tensor<D> {
    let mut rng = stream(SEED, &["precision", key]);
    from_vec((0..shape.iter().product()).map(|_| (deviation * normal(&mut rng)) as f32).collect(), shape, &cpu())
}

fn conv(key: &str, outputs: usize, inputs: usize, kernel: usize, stride: usize) -> Layer {
    let deviation = (1.5 / (inputs * kernel * kernel) as f64).sqrt();
    let weight = draw(key, [outputs, inputs, kernel, kernel], deviation);
    let bias = Some(draw(&format!("{key} bias"), [outputs], 0.1));
    Layer::Conv(Conv { weight: weight.into(), bias, stride: [stride; 2], padding: [kernel / 2; 2] })
}

/// Convolutions, a maximum, a residual sum and ReLUs: 3 channels to 5, at half the size.
fn backbone() -> Network {
    let branch = Network::new(vec![conv("b", 4, 4, 3, 1), Layer::Relu, conv("c", 4, 4, 1, 1)]);
    Network::new(vec![
        conv("a", 4, 3, 3, 1),
        Layer::Relu,
        Layer::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 }),
        Layer::Sum(vec![branch, Network::default()]),
        Layer::Relu,
        conv("d", 5, 4, 3, 1),
        Layer::Relu,
    ])
}

/// Two layers at every position, the pool last.
fn head() -> Network {
    Network::new(vec![conv("e", 6, 5, 1, 1), Layer::Relu, conv("f", CLASSES, 6, 1, 1), Layer::GlobalAvgPool])
}

/// B-cos layers of several exponents.
fn aligned() -> (Network, Network) {
    let layer = |key: &str, outputs: usize, inputs: usize, kernel: usize, stride: usize, b: f32| {
        let weight = draw(key, [outputs, inputs, kernel, kernel], 1.0);
        Layer::BcosConv(BcosConv::new(weight, b, [stride; 2], [kernel / 2; 2]))
    };
    let shortcut = Network::default();
    let branch = Network::new(vec![layer("q", 5, 5, 3, 1, 1.5)]);
    let backbone = Network::new(vec![layer("p", 5, 6, 3, 2, 2.0), Layer::Sum(vec![branch, shortcut])]);
    (backbone, Network::new(vec![layer("r", CLASSES, 5, 1, 1, 2.0), Layer::GlobalAvgPool, Layer::Offset(-1.5)]))
}

/// The map of one method for the target.
fn explain(backbone: &Network, head: &Network, image: &Tensor<4>, method: Method, settings: &Settings) -> Vec<f32> {
    let [_, channels, ..] = image.dims();
    let heads = vec![Head { id: "head".into(), network: head.clone(), methods: vec![method] }];
    let bounds = (vec![-3.0; channels], vec![3.0; channels]);
    let settings = Settings { seed: SEED, chunk: 5, ..settings.clone() };
    let explainer =
        Explainer::with_bounds(backbone.clone(), bounds, heads, settings).expect("every layer has its rules");
    explainer.explain(image, &[TARGET], KEY).expect("the target is a class").remove(0).values
}

/// Largest difference over the largest expected magnitude must be what float32 loses.
fn check(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "{what}: nothing to compare");
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs() / largest;
        assert!(error <= 2e-5, "{what}: {found} {expected}, off by {error:.1e} of {largest}");
    }
}
