//! Linear probes on invented features.

use features::tensor::cpu;

use super::engine::{Engine, Raw};
use super::plain::Plain;
use super::tensors::Tensors;
use super::*;
use crate::data::Batch;
use crate::data::tests::blobs;
use crate::loss::Loss;
use crate::optimiser::{Method, Optimiser};
use crate::schedule::{Decay, Schedule, WarmUp};
use crate::spec::{Head, Offset, Select, default_schedule};
use crate::trained::{Context, Status, initial, order};

fn spec(loss: Loss, seed: u64) -> ProbeSpec {
    ProbeSpec {
        learning_rate: if loss == Loss::Ce { 2.0 } else { 8.0 },
        epochs: 8,
        schedule: default_schedule(Head::Linear, 8),
        batch: 16,
        seed,
        ..ProbeSpec::plain(Head::Linear, loss)
    }
}

fn context() -> Context {
    Context { device: cpu(), seed: 5, classes: 4 }
}

fn run(specs: &[ProbeSpec]) -> Vec<Trained> {
    train(specs, &Job::new(&blobs(160, 0), &blobs(80, 1), &context()), "linear").unwrap()
}

#[test]
fn separable_features_are_learned_and_a_rerun_is_equal_to_the_bit() {
    let specs = [spec(Loss::Bce, 0), spec(Loss::Ce, 0), spec(Loss::Bce, 1)];
    let trained = run(&specs);
    for (probe, spec) in trained.iter().zip(&specs) {
        assert_eq!(&probe.spec, spec);
        let last = probe.log.iter().rfind(|entry| entry.metric == "accuracy").unwrap();
        assert!(last.value > 0.97, "{} {}", spec.id(), last.value);
        assert!(probe.train_loss.is_finite() && probe.gradient_norm < 0.5, "{probe:?}");
    }
    for (a, b) in trained.iter().zip(run(&specs)) {
        assert_eq!(a.weights, b.weights);
        assert_eq!(a.log, b.log);
    }
}

#[test]
fn a_probe_does_not_depend_on_its_company() {
    let together = run(&[spec(Loss::Bce, 0), spec(Loss::Ce, 0)]);
    let alone = run(&[spec(Loss::Ce, 0)]);
    let (a, b) =
        (&together[1].weights.get("fc.weight").unwrap().values, &alone[0].weights.get("fc.weight").unwrap().values);
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs().max(1.0)));
}

#[test]
fn the_mean_weight_of_a_softmax_probe_never_moves() {
    let data = blobs(160, 0);
    let scale = 1.0 / root_mean_square_norm(&data).unwrap();
    for (loss, moves) in [(Loss::Ce, false), (Loss::Bce, true)] {
        let spec = spec(loss, 3);
        let start = initial(&spec, "fc.weight", 4 * data.channels, data.channels);
        let end = &run(&[spec])[0].weights.get("fc.weight").unwrap().values.clone();
        let mean = |values: &[f32], factor: f64, channel: usize| {
            (0..4).map(|c| f64::from(values[c * data.channels + channel]) * factor).sum::<f64>() / 4.0
        };
        let change = (0..data.channels)
            .map(|channel| (mean(&start, scale, channel) - mean(end, 1.0, channel)).abs())
            .fold(0.0, f64::max);
        assert_eq!(change > 1e-4 * scale, moves, "{loss:?} {change}");
    }
}

#[test]
fn one_probe_diverges_and_the_others_go_on() {
    let wild = ProbeSpec { learning_rate: 1e30, ..spec(Loss::Ce, 0) };
    let trained = run(&[spec(Loss::Ce, 1), wild, spec(Loss::Bce, 0)]);
    let states: Vec<Status> = trained.iter().map(|probe| probe.status).collect();
    assert_eq!(states, [Status::Trained, Status::Diverged, Status::Trained]);
    let alone = run(&[spec(Loss::Ce, 1)]);
    assert!((trained[0].train_loss - alone[0].train_loss).abs() < 1e-6);
    assert!(trained[0].log.len() == 16 && trained[1].log.len() < 16);
}

#[test]
fn adaptive_steps_and_other_losses_learn_too() {
    for method in [Method::Adam, Method::AdamW] {
        for loss in Loss::ALL {
            let optimiser = Optimiser { weight_decay: 1e-3, ..Optimiser::plain(method) };
            let spec = ProbeSpec { optimiser, learning_rate: 0.05, ..spec(loss, 0) };
            let trained = run(&[spec.clone(), ProbeSpec { smoothing: 0.1, loss: Loss::Ce, ..spec }]);
            for probe in &trained {
                let last = probe.log.iter().rfind(|entry| entry.metric == "accuracy").unwrap();
                assert!(last.value > 0.97, "{method:?} {loss:?} {}", last.value);
            }
        }
    }
}

#[test]
fn a_killed_training_goes_on_from_its_last_state() {
    let (data, validation) = (blobs(160, 0), blobs(80, 1));
    let best = ProbeSpec { select: Select::BestEpoch, bias: true, ..spec(Loss::Ce, 0) };
    let wild = ProbeSpec { learning_rate: 1e30, ..spec(Loss::BcePlain, 0) };
    for method in [Method::Sgd, Method::AdamW] {
        let mut specs = [spec(Loss::Bce, 0), best.clone(), wild.clone()];
        if method == Method::AdamW {
            specs.iter_mut().for_each(|spec| (spec.optimiser, spec.learning_rate) = (Optimiser::plain(method), 0.01));
        }
        let (context, epochs) = (context(), specs[0].epochs);
        assert_eq!(epochs, 8);
        let job = Job::new(&data, &validation, &context);
        crate::checkpoint::tests::check_resume(&job, "linear", |job| train(&specs, job, "linear"));
    }
}

/// Both engines after a few steps of the same batches.
#[test]
fn plain_rows_and_tensors_take_the_same_steps() {
    let (data, test) = (blobs(90, 0), blobs(30, 1));
    let smooth = |loss| ProbeSpec { smoothing: if loss == Loss::Ce { 0.1 } else { 0.0 }, ..spec(loss, 2) };
    let biased = |loss| ProbeSpec { bias: true, offset: Offset::LogClasses, learning_rate: 0.3, ..spec(loss, 1) };
    for optimiser in [
        Optimiser { weight_decay: 0.01, ..Optimiser::SGD },
        Optimiser { weight_decay: 0.1, ..Optimiser::plain(Method::Adam) },
        Optimiser { weight_decay: 0.1, ..Optimiser::plain(Method::AdamW) },
    ] {
        let mut specs: Vec<ProbeSpec> = Loss::ALL.into_iter().flat_map(|loss| [smooth(loss), biased(loss)]).collect();
        specs.iter_mut().for_each(|spec| spec.optimiser = optimiser);
        let probes = &specs;
        let raw = |spec: &ProbeSpec| Raw {
            weight: initial(spec, "fc.weight", 24, 6),
            bias: if spec.bias { initial(spec, "fc.bias", 4, 6) } else { vec![0.0; 4] },
        };
        let start = || probes.iter().map(raw).collect();
        let mut plain = Plain::new(probes, 6, 0.5, 4, start());
        let mut tensors = Tensors::new(probes, &data, 0.5, 4, start(), &cpu());
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-4 * b.abs().max(0.1), "{optimiser:?} {a} {b}");
        for epoch in 0..3 {
            for rows in order(1, epoch, 90, 1).chunks(16) {
                let batch = Batch::held(&data, Form::Pooled, rows);
                plain.step(&batch, 0.5);
                tensors.step(&batch, 0.5);
            }
            plain.losses().iter().zip(tensors.losses()).for_each(|(&a, b)| close(a / 90.0, b / 90.0));
        }
        let all = data.all_rows();
        for rows in all.chunks(32) {
            let batch = Batch::held(&data, Form::Pooled, rows);
            plain.tally(&batch, 90);
            tensors.tally(&batch, 90);
        }
        for (a, b) in plain.figures().into_iter().zip(tensors.figures()) {
            close(a[0], b[0]);
            close(a[1], b[1]);
        }
        for probe in 0..probes.len() {
            let (a, b) = (plain.raw(probe), tensors.raw(probe));
            let pairs = a.weight.iter().chain(&a.bias).zip(b.weight.iter().chain(&b.bias));
            pairs.for_each(|(&a, &b)| close(f64::from(a), f64::from(b)));
            let rows = test.all_rows();
            let batch = Batch::held(&test, Form::Pooled, &rows);
            let all = tensors.logits(&batch);
            let own = all.chunks_exact(4 * probes.len()).flat_map(|row| &row[4 * probe..][..4]).copied();
            let logits = plain.logits(probe, &batch).into_iter().zip(own);
            logits.for_each(|(a, b)| close(f64::from(a), f64::from(b)));
            let moved = Raw { weight: vec![0.5; 24], bias: vec![0.0; 4] };
            plain.put(probe, &moved);
            tensors.put(probe, &moved);
            assert_eq!((plain.raw(probe), tensors.raw(probe)), (moved.clone(), moved));
        }
    }
}

#[test]
fn the_best_epoch_is_kept_where_asked_and_nothing_else_changes() {
    // Steps that are too large wander about, so that the last epoch is not the best.
    let wild = ProbeSpec {
        learning_rate: 60.0,
        schedule: Schedule { warm_up: WarmUp::None, decay: Decay::Constant },
        ..spec(Loss::Ce, 4)
    };
    let best = ProbeSpec { select: Select::BestEpoch, ..wild.clone() };
    let hard = |n, seed| {
        let mut split = blobs(n, seed);
        split.pooled.iter_mut().enumerate().for_each(|(i, x)| *x += ((i * 7919) % 31) as f32 / 8.0);
        split
    };
    let (data, validation) = (hard(160, 0), hard(80, 1));
    let trained = train(&[wild.clone(), best], &Job::new(&data, &validation, &context()), "linear").unwrap();
    let alone = train(&[wild], &Job::new(&data, &validation, &context()), "linear").unwrap();
    assert_eq!((&trained[0].weights, &trained[0].log), (&alone[0].weights, &alone[0].log));
    assert_eq!((trained[0].kept_epoch, &trained[1].log), (8, &trained[0].log));
    let scores: Vec<f64> =
        trained[1].log.iter().filter(|entry| entry.metric == "accuracy").map(|entry| entry.value).collect();
    let most = scores.iter().fold(0.0, |a: f64, &b| a.max(b));
    let first = scores.iter().position(|&score| score == most).unwrap();
    assert!(first + 1 < 8, "the case shows nothing: {scores:?}");
    assert_eq!(trained[1].kept_epoch, first + 1);
    let scores = crate::lower::scores(Score::Accuracy, &[(&trained[1].spec, &trained[1].weights)], &validation, &cpu());
    assert!((scores.unwrap()[0] - most).abs() < 1e-9);
}
