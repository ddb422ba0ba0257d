//! Heads beside PyTorch's: one pass, and trainings of 30 epochs; and a head that PyTorch stored, taken as a probe.

use std::collections::BTreeMap;

use features::weights::WeightFile;
use probe::data::Split;
use probe::import::Import;
use probe::job::Job;
use probe::optimiser::{Method, Optimiser};
use probe::reference::{Suite, reference};
use probe::schedule::{Decay, Schedule, WarmUp};
use probe::spec::{Head, Kind, Norm, Offset, ProbeSpec, Scaling};
use probe::trained::{Context, Trained, initial};
use probe::weights::Weights;
use probe::{Loss, linear, lower, mlp};

use crate::expected;
use crate::probes::{CHANNELS, CLASSES, TILES, maps};

#[derive(serde::Deserialize)]
struct Stored {
    tolerance: f64,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    kind: String,
    layers: usize,
    loss: String,
    learning_rate: f64,
    bias: bool,
    offset: bool,
    smoothing: f64,
    several: bool,
    seed: u64,
    names: BTreeMap<String, Vec<usize>>,
    first_loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
    losses: Vec<f64>,
    final_loss: f64,
    gradient_norm: f64,
    logits: Vec<f64>,
}

impl Case {
    fn spec(&self) -> ProbeSpec {
        let name = if self.kind == "linear" { "linear".to_string() } else { format!("{}{}", self.kind, self.layers) };
        let head = Head::from_name(&name).expect("the case names one that exists");
        ProbeSpec {
            smoothing: self.smoothing,
            offset: if self.offset { Offset::LogClasses } else { Offset::None },
            bias: self.bias,
            norm: match (self.layers, head.kind()) {
                (1, _) => Norm::None,
                (_, Kind::Mlp) => Norm::Batch,
                _ => Norm::Uncentred,
            },
            scaling: Scaling::None,
            schedule: Schedule { warm_up: WarmUp::None, decay: Decay::Constant },
            learning_rate: self.learning_rate,
            epochs: self.losses.len(),
            batch: 32,
            hidden: 7,
            seed: self.seed,
            ..ProbeSpec::plain(head, Loss::from_name(&self.loss).expect("a known loss"))
        }
    }

    fn data(&self) -> Split {
        let mut data = maps();
        if self.several {
            for (labels, row) in data.labels.iter_mut().zip(data.pooled.chunks(CHANNELS)) {
                labels.extend((0..CLASSES).filter(|&class| row[class] > 0.7));
                labels.sort_unstable();
                labels.dedup();
            }
        }
        data
    }

    /// Under the names of the reference's heads.
    fn named(&self, weights: &Weights, head: Head) -> Weights {
        let suite = if self.several { Suite::MultiLabel } else { Suite::SingleLabel };
        reference(head, weights, suite).expect("features are not scaled")
    }
}

fn train(spec: &ProbeSpec, data: &Split) -> Trained {
    let context = Context { device: expected::device(), seed: 3, classes: CLASSES };
    let (specs, job) = (std::slice::from_ref(spec), Job::new(data, data, &context));
    let trained = match spec.head.kind() {
        Kind::Linear => linear::train(specs, &job, "linear"),
        _ => mlp::train(specs, &job),
    };
    trained.expect("nothing is kept").into_iter().next().expect("a probe")
}

/// Largest distance of some numbers from others, as a share of the largest of these.
fn distance(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    // The bias in front of a norm has gradient 0, so its rounding is measured against a floor.
    let largest = want.iter().fold(1e-2f64, |largest, x| largest.max(x.abs()));
    got.iter().zip(want).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f64::max)
}

fn losses(probe: &Trained) -> Vec<f64> {
    probe.log.iter().filter(|entry| entry.metric == "batch_loss").map(|entry| entry.value).collect()
}

/// A step of size 1 without momentum, on all tiles at once, moves the weights by their gradient.
#[test]
fn forward_loss_and_gradient_are_those_of_pytorch() {
    let stored: Stored = expected::read("probe_torch");
    for case in &stored.cases {
        let data = case.data();
        let optimiser = Optimiser { momentum: 0.0, ..Optimiser::plain(Method::Sgd) };
        let spec = ProbeSpec { optimiser, learning_rate: 1.0, epochs: 1, batch: TILES, ..case.spec() };
        let found = train(&spec, &data);
        let first = losses(&found)[0];
        let loss = (first - case.first_loss).abs() / case.first_loss;
        let moved = case.named(&found.weights, spec.head);
        let names: BTreeMap<String, Vec<usize>> =
            moved.0.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
        assert_eq!(names, case.names, "{}", spec.id());
        let mut worst = 0f64;
        for (name, want) in &case.gradients {
            let array = moved.get(name).expect("names are equal");
            // `head.fc0.linear.weight` is drawn as `fc0.weight`.
            let (layer, part) = name.trim_start_matches("head.").split_once('.').expect("a layer and its part");
            let part = part.trim_start_matches("linear.");
            let start = match (layer.starts_with("bn"), part) {
                (true, "weight") => vec![1.0; want.len()],
                (true, _) => vec![0.0; want.len()],
                _ => {
                    let layer = if spec.head.kind() == Kind::Linear { "fc" } else { layer };
                    let fan_in = if matches!(layer, "fc" | "fc0") { CHANNELS } else { spec.hidden };
                    initial(&spec, &format!("{layer}.{part}"), want.len(), fan_in)
                }
            };
            let got: Vec<f64> = start.iter().zip(&array.values).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
            worst = worst.max(distance(&got, want));
        }
        eprintln!("{}: loss {loss:.1e}, gradient {worst:.1e} of {:.0e}", spec.id(), stored.tolerance);
        assert!(loss < 1e-6 && worst < stored.tolerance, "{}: {first} {}", spec.id(), case.first_loss);
    }
}

#[test]
fn thirty_epochs_of_sgd_follow_the_losses_of_pytorch() {
    let stored: Stored = expected::read("probe_torch");
    for case in &stored.cases {
        let (data, spec) = (case.data(), case.spec());
        let found = train(&spec, &data);
        let curve = losses(&found);
        assert_eq!(curve.len(), case.losses.len());
        let gaps = curve.iter().zip(&case.losses).map(|(got, want)| (got - want).abs() / want);
        let gap = gaps.fold(0.0, f64::max);
        let logits = lower::logits(&[(&spec, &found.weights)], &data, &expected::device()).expect("a probe").remove(0);
        let logits: Vec<f64> = logits[..case.logits.len()].iter().map(|&z| f64::from(z)).collect();
        let far = distance(&logits, &case.logits);
        let loss = (found.train_loss - case.final_loss).abs() / case.final_loss;
        let slope = (found.gradient_norm - case.gradient_norm).abs() / case.gradient_norm.max(0.1);
        eprintln!("{}: curve {gap:.1e}, then loss {loss:.1e}, slope {slope:.1e}, logits {far:.1e}", spec.id());
        let worst = gap.max(far).max(loss).max(slope);
        assert!(worst < stored.tolerance, "{}: {curve:?}, not {:?}", spec.id(), case.losses);
    }
}

/// A file of `torch.save` with the keys of torchvision's ResNet-18.
#[test]
fn the_classifier_of_torchvision_becomes_a_probe() {
    let path = expected::folder().join("checkpoints/torchvision.pth");
    let import = serde_json::json!({ "file": path, "loss": "ce" });
    let import: Import = serde_json::from_value(import).expect("a section");
    let (classes, channels) = (3, 4);
    let split = Split {
        image_ids: vec![0, 1],
        labels: vec![vec![0], vec![2]],
        set_aside: vec![vec![]; 2],
        pooled: (0..8).map(|i| i as f32 / 8.0).collect(),
        ..Split::empty(channels, [1, 1])
    };
    let file = WeightFile::open(&path).expect("a checkpoint");
    let probe = import.read(&file, &split, classes).expect("a head");
    assert_eq!(probe.spec.id(), "linear_bias-ce-s0-imported");
    assert_eq!(probe.weights.get("fc.weight").expect("weights").shape, [classes, channels, 1, 1]);
    for (part, shape) in [("weight", &[classes, channels][..]), ("bias", &[classes])] {
        let name = format!("fc.{part}");
        // What `checkpoints/generate.py` fills its files with.
        let bytes: usize = name.bytes().map(usize::from).sum();
        let want = (0..shape.iter().product()).map(|i: usize| (((i + bytes) % 13) as f32 - 6.0) / 8.0);
        assert_eq!(probe.weights.get(&name).expect("it is there").values, want.collect::<Vec<f32>>(), "{name}");
    }
    let elsewhere: Import =
        serde_json::from_value(serde_json::json!({ "file": path, "loss": "ce", "layer": "head" })).expect("a section");
    let error = elsewhere.read(&file, &split, classes).expect_err("no such layer").to_string();
    assert!(error.contains("no tensor head.weight") && error.contains("fc would fit"), "{error}");
}
