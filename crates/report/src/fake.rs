//! A made-up experiment for tests: numbers of plausible size from a seeded generator, gains and failures included.

use crate::accuracy::{Prediction, Predictions};
use crate::aggregate::{self, Aggregate, Bin, Seen};
use crate::findings::{Findings, Inputs, Source, Training};
use crate::gallery::{Example, Shown};
use crate::heatmap;
use crate::roles::{Metric, Roles};
use crate::scores::{Cell, Key, Raw, Scores};
use crate::summary::Resampling;
use evaluate::controls::RANDOM;
use evaluate::randomisation::Test;
use features::random::{normal, stream, uniform};

/// Resamples enough for stable verdicts.
pub const RESAMPLING: Resampling = Resampling { resamples: 400, seed: 0 };

/// Key of a 3x3 grid score.
pub fn key(experiment: &str, method: &str, probe: &str) -> Key {
    key_of(experiment, experiment, method, probe, Metric::GridPointingGame)
}

fn key_of(experiment: &str, backbone: &str, method: &str, probe: &str, metric: Metric) -> Key {
    let (head, loss) = probe.split_once('-').unwrap_or((probe, ""));
    Key {
        experiment: experiment.into(),
        backbone: backbone.into(),
        item_kind: metric.item_kind().into(),
        grid_size: (!["scene", "tile"].contains(&metric.item_kind())).then_some(3),
        metric: metric.name().into(),
        variant: metric.variant().into(),
        method: method.into(),
        probe: probe.into(),
        head: head.trim_end_matches("_offset").into(),
        loss: loss.into(),
        offset: if head.ends_with("_offset") { "log_classes" } else { "none" }.into(),
    }
}

const PROBES: [&str; 7] = [
    "linear-ce",
    "linear-bce",
    "linear_offset-bce",
    "bcos3_offset-bce",
    "shift_up-ce",
    "shift_down-ce",
    "shift_fit-ce",
];

/// GridPG in percent by probe, in the order of `PROBES`.
fn level(backbone: &str, method: &str) -> [f64; 7] {
    match (backbone, method) {
        ("resnet", "lrp") => [55.6, 69.0, 69.6, 91.9, 19.2, 11.3, 52.2],
        ("resnet", "integrated_gradients") => [46.7, 77.9, 76.0, 86.2, 30.0, 41.0, 55.2],
        ("resnet", "grad_cam") => [57.6, 96.9, 70.0, 58.2, 19.8, 74.7, 97.9],
        ("resnet", "input_x_gradient") => [17.1, 17.5, 18.9, 58.8, 17.9, 7.6, 10.6],
        ("resnet", _) => [24.5, 17.2, 18.0, 69.7, 24.0, 20.0, 22.0],
        (_, "bcos") => [50.9, 96.9, 68.5, 85.8, 20.4, 90.0, 92.2],
        (_, "grad_cam") => [50.2, 92.8, 66.0, 70.0, 20.0, 83.0, 80.0],
        _ => [30.0, 68.2, 50.0, 60.0, 19.0, 60.0, 62.0],
    }
}

/// Scores of two backbones.
pub fn scores() -> Scores {
    Scores::new(raw_scores())
}

fn raw_scores() -> Vec<Raw> {
    let mut rows = Vec::new();
    for (experiment, backbone, methods) in [
        (
            "shapes-resnet",
            "resnet",
            &["lrp", "integrated_gradients", "grad_cam", "input_x_gradient", "guided_backprop"][..],
        ),
        ("shapes-bcos", "bcos-resnet", &["bcos", "grad_cam", "input_x_gradient"][..]),
    ] {
        for method in methods {
            for (at, probe) in PROBES.iter().enumerate() {
                for metric in Metric::SCORED {
                    rows.push(cells(
                        key_of(experiment, backbone, method, probe, metric),
                        metric,
                        at,
                        level(backbone, method),
                    ));
                }
            }
            rows.extend(sanity(experiment, backbone, method));
        }
    }
    rows
}

/// Randomisation tests of both linear probes: guided backpropagation does not see the weights.
fn sanity(experiment: &str, backbone: &str, method: &str) -> Vec<Raw> {
    let variants = ["head:normal", "last1:normal", "last2:normal", "all:normal", "other_class"];
    let mut rows = Vec::new();
    for (at, variant) in variants.iter().enumerate() {
        for probe in ["linear-ce", "linear-bce"] {
            let metric = if *variant == "other_class" { Test::LOGIT } else { Test::PARAMETERS };
            let key = Key {
                metric: metric.into(),
                variant: format!("{variant}:pearson"),
                ..key_of(experiment, backbone, method, probe, Metric::GridPointingGame)
            };
            let center = if method == "guided_backprop" { 0.95 } else { 0.5 - 0.12 * at as f64 };
            let cell = |item: u32| {
                let mut rng = stream(6, &[experiment, method, probe, variant, &item.to_string()]);
                let value = Some(center + 0.04 * normal(&mut rng));
                (format!("grid3/{item:04}"), Cell { value, ..Cell::default() })
            };
            rows.push(Raw { key, higher_is_better: false, cells: (0..8).map(cell).collect() });
        }
    }
    rows
}

fn cells(key: Key, metric: Metric, at: usize, levels: [f64; 7]) -> Raw {
    let gain = (levels[at] - levels[0]) / 100.0;
    let lrp = key.method == "lrp";
    let (center, spread) = match metric {
        Metric::GridPointingGame => (levels[at] / 100.0, 0.1),
        Metric::EnergyPointingGame if lrp => (0.73 - 0.8 * gain, 0.12),
        Metric::EnergyPointingGame => (0.27 + 0.4 * gain, 0.12),
        Metric::Entropy => (11.0 - 2.5 * gain, 0.4),
        _ => (0.93 + 0.05 * gain, 0.01),
    };
    let chance = match metric {
        Metric::GridPointingGame => Some(1.0 / 9.0),
        Metric::EnergyPointingGame => Some(0.038),
        _ => None,
    };
    let mut found = Vec::new();
    for item in 0..40 {
        let name = format!("{}/{item:04}", if key.grid_size.is_some() { "grid3" } else { "scenes" });
        let hard = normal(&mut stream(5, &["item", &name])) * 0.06;
        for target in 0..2 {
            for seed in 0..3i64 {
                let mut rng = stream(
                    5,
                    &[
                        &key.experiment,
                        &key.metric,
                        &key.method,
                        &key.probe,
                        &name,
                        &target.to_string(),
                        &seed.to_string(),
                    ],
                );
                let value = center + hard * f64::from(u8::from(chance.is_some())) + spread * normal(&mut rng);
                let value = if chance.is_some() { value.clamp(0.0, 1.0) } else { value };
                let undefined = lrp && uniform(&mut rng) < 0.01 && key.probe == "shift_down-ce";
                found.push((
                    name.clone(),
                    Cell {
                        target,
                        seed,
                        value: (!undefined).then_some(value),
                        empty: undefined,
                        chance,
                        ..Cell::default()
                    },
                ));
            }
        }
    }
    Raw { key, higher_is_better: metric.higher_is_better(), cells: found }
}

fn predictions(experiment: &str) -> Predictions {
    let mut found = Predictions { experiment: experiment.into(), ..Predictions::default() };
    for probe in PROBES {
        // Shifted probes predict what their source predicts.
        let source = if probe.starts_with("shift") { "linear-ce" } else { probe };
        let rows = (0..3).flat_map(|seed| {
            (0..500).map(move |image| {
                let ease = normal(&mut stream(9, &[experiment, &image.to_string()]));
                let noise = 0.15 * normal(&mut stream(9, &[experiment, source, &image.to_string(), &seed.to_string()]));
                let right = ease + noise > -1.1;
                Prediction { image, seed, label: 1, predicted: i32::from(right), probability: 0.9 }
            })
        });
        found.probes.insert(probe.to_string(), rows.collect());
    }
    found
}

fn trainings(experiment: &str) -> Vec<Training> {
    let of = |probe: &&str| Training {
        experiment: experiment.into(),
        probe_id: format!("{probe}-s0"),
        optimiser: "sgd".into(),
        learning_rate: if probe.ends_with("bce") { 40.0 } else { 2.0 },
        epochs: 60,
        train_loss: 0.2286,
        gradient_norm: 0.000_31,
        test_accuracy: 0.868,
        mean_logit: if probe.ends_with("bce") { -2.7 } else { -0.003 },
        common_norm_ratio: if probe.ends_with("bce") { 0.28 } else { 0.006 },
    };
    PROBES.iter().map(of).collect()
}

/// A grid and a map of it, as PNG.
struct Picture {
    photograph: Vec<u8>,
    map: Vec<u8>,
}

/// A picture of noise with a map that has a blob in one cell.
fn picture(index: u32, strength: f32) -> Picture {
    let (size, cell) = (96usize, (index as usize * 5 + 1) % 9);
    let mut rng = stream(3, &["picture", &index.to_string()]);
    let data: Vec<u8> = (0..size * size)
        .flat_map(|_| {
            let v = (90.0 + 120.0 * uniform(&mut rng)) as u8;
            [v, v / 2, 255 - v]
        })
        .collect();
    let photograph = features::images::Rgb { width: size, height: size, data };
    let centre = ((cell % 3 * 32 + 16) as f32, (cell / 3 * 32 + 16) as f32);
    let values: Vec<f32> = (0..size * size)
        .map(|at| {
            let (x, y) = ((at % size) as f32, (at / size) as f32);
            let near = (-((x - centre.0).powi(2) + (y - centre.1).powi(2)) / 120.0).exp();
            near - strength * ((x / 9.0).sin() * (y / 7.0).cos()).max(-0.3)
        })
        .collect();
    let frame = Some((cell % 3 * 32, cell / 3 * 32, 32, 32));
    let map = heatmap::Map { width: size, height: size, values: &values };
    Picture {
        photograph: heatmap::photograph(&photograph, frame).expect("a picture"),
        map: heatmap::overlay(map, Some(&photograph), frame).expect("a picture"),
    }
}

fn gallery() -> Vec<Example> {
    let mut examples = Vec::new();
    for (backbone, methods) in
        [("resnet", &["lrp", "integrated_gradients", "grad_cam"][..]), ("bcos-resnet", &["bcos", "grad_cam"][..])]
    {
        for (at, quantile) in [0.05, 0.5, 0.95].into_iter().enumerate() {
            let source = picture(at as u32, 0.2);
            let mut shown = Vec::new();
            for method in methods {
                for (index, probe) in ["linear-ce", "linear-bce", "bcos3_offset-bce"].iter().enumerate() {
                    let map = picture(at as u32, 0.5 - 0.2 * index as f32).map;
                    shown.push(Shown {
                        method: method.to_string(),
                        probe: probe.to_string(),
                        score: Some(0.4 + 0.2 * index as f64),
                        map,
                    });
                }
            }
            let item = format!("grid3/{:04}", 7 * at + 3);
            examples.push(Example {
                backbone: backbone.into(),
                quantile,
                item,
                target: 4,
                difference: -0.1 + 0.25 * at as f64,
                photograph: source.photograph,
                shown,
            });
        }
    }
    examples
}

fn aggregates() -> Vec<Aggregate> {
    let probe = |(at, probe): (usize, &&str)| {
        let bin = |bin: usize| Bin {
            range: (aggregate::BINS[bin], aggregate::BINS[bin + 1]),
            maps: [4, 6, 108, 108, 8, 6][bin],
            score: 0.9 - 0.15 * bin as f64,
            map: picture(7 * at as u32, 0.1 * bin as f32).map,
        };
        Seen { probe: probe.to_string(), maps: 240, bins: (0..6).map(bin).collect(), cells: picture(1, 0.3).map }
    };
    let of = |(backbone, method): (&str, &str)| Aggregate {
        backbone: backbone.into(),
        method: method.into(),
        probes: ["linear-ce", "linear-bce", "bcos3_offset-bce"].iter().enumerate().map(probe).collect(),
    };
    [("resnet", "lrp"), ("bcos-resnet", "bcos")].map(of).into()
}

/// What a reader of files would have read.
pub fn inputs() -> Inputs {
    let experiments = ["shapes-resnet", "shapes-bcos"];
    Inputs {
        scores: scores(),
        predictions: experiments.map(predictions).into(),
        trainings: experiments.iter().flat_map(|name| trainings(name)).collect(),
        curves: [
            crate::curves::made_up("shapes-resnet", "resnet", RANDOM),
            crate::curves::made_up("shapes-resnet", "resnet", "lrp"),
            crate::curves::made_up("shapes-bcos", "bcos-resnet", "bcos"),
            crate::curves::made_up("shapes-bcos", "bcos-resnet", RANDOM),
        ]
        .concat(),
        sources: experiments
            .iter()
            .map(|name| Source { name: format!("{name}/evaluate"), fingerprint: "3f9ac1d2".repeat(8) })
            .collect(),
    }
}

/// All findings when each backbone has so many probes more, scored by the main metrics under its main method.
pub fn findings_of_many(more: usize) -> Findings {
    let mut inputs = inputs();
    let mut rows = raw_scores();
    let experiments = [("shapes-resnet", "resnet", "lrp"), ("shapes-bcos", "bcos-resnet", "bcos")];
    for (at, (experiment, backbone, method)) in experiments.into_iter().enumerate() {
        for index in 0..more {
            let head = ["linear", "mlp2_bias", "mlp3", "bcos2_offset"][index % 4];
            let probe = format!("{head}-{}-row{index}", ["ce", "bce", "bce_plain"][index % 3]);
            for (metric, spread) in [(Metric::GridPointingGame, 0.4), (Metric::EnergyPointingGame, 0.2)] {
                let key = key_of(experiment, backbone, method, &probe, metric);
                let value = |item: u32| {
                    let mut rng = stream(8, &[experiment, &probe, metric.name(), &item.to_string()]);
                    Some((0.5 + spread * (uniform(&mut rng) - 0.5)).clamp(0.0, 1.0))
                };
                let cell = |item: u32| (format!("grid3/{item:04}"), Cell { value: value(item), ..Cell::default() });
                rows.push(Raw { key, higher_is_better: true, cells: (0..8).map(cell).collect() });
            }
            let known = inputs.predictions[at].probes["linear-bce"].iter().take(60).cloned().collect();
            inputs.predictions[at].probes.insert(probe.clone(), known);
            let training = Training { probe_id: format!("{probe}-s0"), ..inputs.trainings[at * PROBES.len()].clone() };
            inputs.trainings.push(training);
        }
    }
    inputs.scores = Scores::new(rows);
    let resampling = Resampling { resamples: 50, seed: 0 };
    let found = Findings::new(&inputs, &Roles::default(), resampling);
    Findings { gallery: gallery(), aggregates: aggregates(), ..found }
}

/// All findings of the made-up experiment, with a gallery.
pub fn findings() -> Findings {
    Findings { gallery: gallery(), aggregates: aggregates(), ..Findings::new(&inputs(), &Roles::default(), RESAMPLING) }
}
