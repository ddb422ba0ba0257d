//! Trainings of probes, step by step, and the exact optimum of linear ones.

use std::collections::BTreeMap;

use features::artifact::round_mantissa;
use features::backbone::{Backbone, Choice};
use features::images::Rgb;
use features::shapes::{Tile, tile};
use features::tensor::{cpu, to_vec};
use probe::data::{Split, argmax};
use probe::job::Job;
use probe::optimiser::{Method, Optimiser};
use probe::schedule::{Decay, Schedule, WarmUp};
use probe::spec::{Head, Kind, Norm, Offset, ProbeSpec, Scaling};
use probe::trained::{Context, Trained};
use probe::{Loss, exact, linear, mlp};

use crate::{expected, formula};

#[derive(serde::Deserialize)]
struct Trainings {
    tolerance: f64,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    kind: String,
    layers: usize,
    loss: String,
    optimiser: String,
    learning_rate: f64,
    schedule: String,
    bias: bool,
    norm: String,
    offset: bool,
    b: f64,
    smoothing: f64,
    weight_decay: f64,
    seed: u64,
    losses: Vec<f64>,
    norms: BTreeMap<String, f64>,
}

/// Of the features of the formula.
pub const CHANNELS: usize = 12;
/// The largest of so many channels is the label.
pub const CLASSES: usize = 5;
/// Maps of the formula.
pub const TILES: usize = 160;

impl Case {
    fn spec(&self) -> ProbeSpec {
        let name = if self.kind == "linear" { "linear".to_string() } else { format!("{}{}", self.kind, self.layers) };
        let method = Method::from_name(&self.optimiser).expect("a known optimiser");
        let momentum = if method == Method::Sgd { 0.9 } else { 0.0 };
        let schedule = match self.schedule.rsplit_once(' ') {
            Some((warm_up, decay)) => Schedule {
                warm_up: warm_up.parse().expect("the case names one that exists"),
                decay: decay.parse().expect("the case names one that exists"),
            },
            None => Schedule {
                warm_up: WarmUp::None,
                decay: self.schedule.parse().expect("the case names one that exists"),
            },
        };
        ProbeSpec {
            b: self.b,
            smoothing: self.smoothing,
            offset: if self.offset { Offset::LogClasses } else { Offset::None },
            bias: self.bias,
            norm: Norm::from_name(&self.norm).expect("a known norm"),
            scaling: Scaling::None,
            optimiser: Optimiser { method, momentum, weight_decay: self.weight_decay },
            learning_rate: self.learning_rate,
            schedule,
            epochs: self.losses.len(),
            batch: 32,
            hidden: 7,
            seed: self.seed,
            ..ProbeSpec::plain(
                Head::from_name(&name).expect("the case names one that exists"),
                Loss::from_name(&self.loss).expect("the case names one that exists"),
            )
        }
    }
}

/// Maps of the formula, not scaled.
pub fn maps() -> Split {
    let maps: Vec<f32> = formula::unit("maps", TILES * CHANNELS * 4).map(|u| (0.5 + 0.5 * u) as f32).collect();
    let pooled: Vec<f32> =
        maps.chunks(4).map(|cells| (cells.iter().map(|&x| f64::from(x)).sum::<f64>() / 4.0) as f32).collect();
    let labels = pooled.chunks(CHANNELS).map(|row| vec![argmax(&row[..CLASSES])]).collect();
    Split {
        image_ids: (0..TILES as i64).collect(),
        labels,
        set_aside: vec![vec![]; TILES],
        pooled,
        maps,
        channels: CHANNELS,
        size: [2, 2],
        ..Split::empty(0, [0, 0])
    }
}

#[test]
fn short_trainings_follow_the_formulas_in_double_precision() {
    let stored: Trainings = expected::read("probe_sgd");
    let data = maps();
    let context = Context { device: expected::device(), seed: 3, classes: CLASSES };
    for case in &stored.cases {
        let spec = case.spec();
        let train = |specs: &[ProbeSpec]| -> Trained {
            let trained = match spec.head.kind() {
                Kind::Linear => linear::train(specs, &Job::new(&data, &data, &context), "linear"),
                _ => mlp::train(specs, &Job::new(&data, &data, &context)),
            };
            trained.expect("nothing is kept").into_iter().next().expect("a probe")
        };
        let found = train(std::slice::from_ref(&spec));
        let losses: Vec<f64> =
            found.log.iter().filter(|entry| entry.metric.ends_with("loss")).map(|entry| entry.value).collect();
        assert_eq!(losses.len(), case.losses.len());
        let mut worst = 0f64;
        for (got, want) in losses.iter().zip(&case.losses) {
            worst = worst.max((got - want).abs() / want);
        }
        for (name, want) in &case.norms {
            let values = &found.weights.get(name).unwrap().values;
            let got = values.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
            worst = worst.max((got - want).abs() / want.max(0.1));
        }
        let tolerance = f64::from(expected::forward(stored.tolerance as f32));
        eprintln!("{} ({}): {worst:.1e} of {tolerance:.0e} allowed", spec.id(), case.schedule);
        assert!(worst <= tolerance, "{}: {losses:?}, not {:?}", spec.id(), case.losses);
    }
}

#[derive(serde::Deserialize)]
struct Optimum {
    loss: f64,
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
}

impl Optimum {
    /// Holds the exact solver to scikit-learn's optimum, from two starts and with features scaled and not.
    fn check(&self, split: &Split, classes: usize, weight_decay: f64) {
        let optimiser = Optimiser { weight_decay, ..Optimiser::plain(Method::Lbfgs) };
        for (seed, scaling) in [(0, Scaling::Common), (1, Scaling::None)] {
            let spec = ProbeSpec {
                bias: true,
                optimiser,
                scaling,
                schedule: Schedule { warm_up: WarmUp::None, decay: Decay::Constant },
                epochs: 1000,
                seed,
                ..ProbeSpec::plain(Head::Linear, Loss::Ce)
            };
            let context = Context { device: expected::device(), seed: 0, classes };
            let found = exact::train(&spec, &Job::new(split, split, &context), "exact").expect("an optimum");
            let gap = |name: &str, shift: f64, want: &[f64]| {
                let values = &found.weights.get(name).expect("a weight").values;
                assert_eq!(values.len(), want.len());
                values.iter().zip(want).map(|(&got, want)| (f64::from(got) - shift - want).abs()).fold(0.0, f64::max)
            };
            let biases = &found.weights.get("fc.bias").expect("biases").values;
            let mean = biases.iter().map(|&b| f64::from(b)).sum::<f64>() / biases.len() as f64;
            let gaps = [
                gap("fc.weight", 0.0, &self.coefficients),
                gap("fc.bias", mean, &self.intercepts),
                (found.train_loss - self.loss).abs(),
            ];
            eprintln!("coefficients {:.1e}, intercepts {:.1e} of 1e-3, loss {:.1e} of 1e-6", gaps[0], gaps[1], gaps[2]);
            assert!(gaps[0] < 1e-3 && gaps[1] < 1e-3 && gaps[2] < 1e-6, "{gaps:?} {}", found.gradient_norm);
        }
    }
}

#[derive(serde::Deserialize)]
struct Digits {
    rows: Vec<String>,
    labels: String,
    #[serde(flatten)]
    optimum: Optimum,
}

#[test]
fn the_exact_optimum_is_that_of_scikit_learn() {
    let stored: Digits = expected::read("probe_digits");
    let number = |symbol: char| symbol.to_digit(17).expect("a digit of base 17");
    let pooled: Vec<f32> = stored.rows.iter().flat_map(|row| row.chars().map(|c| number(c) as f32 / 16.0)).collect();
    let labels: Vec<Vec<usize>> = stored.labels.chars().map(|c| vec![number(c) as usize]).collect();
    let n = labels.len();
    let split = Split { image_ids: (0..n as i64).collect(), labels, pooled, ..Split::empty(64, [1, 1]) };
    // scikit-learn minimises C * (sum of losses) + |W|^2 / 2 with C = 1.
    stored.optimum.check(&split, 10, 1.0 / n as f64);
}

#[derive(serde::Deserialize)]
struct Shapes {
    weight_decay: f64,
    sum_of_features: f64,
    #[serde(flatten)]
    optimum: Optimum,
}

/// Pooled features of the first training tiles under seed 0, as the features stage makes them.
fn shapes(images: usize) -> Split {
    let weights = expected::folder().join("../../data/backbones/shapes-resnet.safetensors");
    // The case is about the solution, so its features are those of the CPU everywhere.
    let backbone = Backbone::load(&weights, Choice::default(), &cpu()).expect("the shipped backbone");
    let tiles: Vec<Tile> = (0..images).map(|index| tile(0, "train", index)).collect();
    let mut pooled = Vec::new();
    for tiles in tiles.chunks(50) {
        let pictures: Vec<&Rgb> = tiles.iter().map(|tile| &tile.rgb).collect();
        let maps = backbone.network.forward(backbone.encoding.preprocess().apply(&pictures, &cpu()));
        let [_, _, height, width] = maps.dims();
        let mut maps = to_vec(maps);
        round_mantissa(&mut maps, 10);
        let mean = |cells: &[f32]| cells.iter().map(|&x| f64::from(x)).sum::<f64>() / cells.len() as f64;
        pooled.extend(maps.chunks(height * width).map(|cells| mean(cells) as f32));
    }
    round_mantissa(&mut pooled, 10);
    let labels = tiles.iter().map(|tile| vec![tile.label as usize]).collect();
    Split { image_ids: (0..images as i64).collect(), labels, pooled, ..Split::empty(backbone.channels, [1, 1]) }
}

#[test]
fn so_it_is_on_features_of_shapes() {
    let stored: Shapes = expected::read("probe_shapes");
    let split = shapes(400);
    let sum: f64 = split.pooled.iter().map(|&x| f64::from(x)).sum();
    assert!((sum - stored.sum_of_features).abs() < 1e-5 * stored.sum_of_features, "{sum}, other features");
    stored.optimum.check(&split, 20, stored.weight_decay);
}
