//! Time of training linear probes on features from a file, for `tests/bench/probes.py`, which runs PyTorch beside it.
//!
//! Reads lines `read FILE IMAGES CHANNELS CLASSES` (float32 features, then int32 labels) and `PROBES BATCH EPOCHS` of
//! standard input, and `product M K N`, for GFLOP a CPU second of that matrix product on one thread; answers with wall and
//! CPU seconds of an epoch and the mean loss of the last one. PROBESCOPE_DEVICE names the device; without it, the CPU.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement program")]

use std::io::BufRead;
use std::sync::Mutex;
use std::time::Instant;

use features::network::{Matrix, Onto, product};
use features::stage::{Stage, StageArgs};
use probe::data::Split;
use probe::job::Job;
use probe::linear;
use probe::loss::Loss;
use probe::schedule::{Decay, Schedule, WarmUp};
use probe::spec::{Head, ProbeSpec, Scaling};
use probe::trained::Context;

/// CPU seconds of all threads so far, in hundredths; not a number where the system does not tell.
fn spent() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = told.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    if let [user, system] = ticks.as_slice() { (user + system) / 100.0 } else { f64::NAN }
}

fn read(words: &[&str]) -> (Split, usize) {
    let [file, images, channels, classes] = words else { panic!("FILE IMAGES CHANNELS CLASSES, not {words:?}") };
    let [images, channels, classes] = [images, channels, classes].map(|word| word.parse::<usize>().unwrap());
    let bytes = std::fs::read(file).unwrap();
    let (features, labels) = bytes.split_at(4 * images * channels);
    let split = Split {
        image_ids: (0..images as i64).collect(),
        labels: labels.as_chunks().0.iter().map(|b| vec![i32::from_le_bytes(*b) as usize]).collect(),
        set_aside: vec![vec![]; images],
        pooled: features.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        channels,
        ..Split::empty(channels, [1, 1])
    };
    (split, classes)
}

/// GFLOP a CPU second of a product of these sizes, the right side transposed as features are.
fn multiply(words: &[&str]) -> f64 {
    let [m, k, n] = words else { panic!("product M K N, not {words:?}") };
    let [m, k, n] = [m, k, n].map(|word| word.parse::<usize>().unwrap());
    let (left, right, mut out) = (vec![0.5; m * k], vec![0.25; k * n], vec![0.0; m * n]);
    let mut once = || {
        product([m, k, n], Matrix::rows(&left, k), Matrix::rows(&right, k).transposed(), &mut out, Onto::Nothing);
    };
    once();
    let (since, mut count) = (spent(), 0.0);
    while spent() - since < 2.0 {
        once();
        count += 1.0;
    }
    2e-9 * (m * k * n) as f64 * count / (spent() - since)
}

fn main() {
    // `cargo test` passes other flags; only a real `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let name = std::env::var("PROBESCOPE_DEVICE").unwrap_or("cpu".to_string());
    let args = StageArgs { device: name, out: Some("unused".into()), ..StageArgs::default() };
    let device = Stage::new(args).and_then(|stage| stage.device()).unwrap();
    let mut data: Option<(Split, usize)> = None;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["read", rest @ ..] = words.as_slice() {
            data = Some(read(rest));
            println!("ready");
            continue;
        }
        if let ["product", rest @ ..] = words.as_slice() {
            println!("{}", multiply(rest));
            continue;
        }
        let [probes, batch, epochs] = words.as_slice() else { panic!("PROBES BATCH EPOCHS, not {line:?}") };
        let [probes, batch, epochs] = [probes, batch, epochs].map(|word| word.parse::<usize>().unwrap());
        let (train, classes) = data.as_ref().unwrap();
        let spec = |probe: usize| ProbeSpec {
            learning_rate: 0.1 / (1 + probe) as f64,
            scaling: Scaling::None,
            schedule: Schedule { warm_up: WarmUp::None, decay: Decay::Constant },
            epochs,
            batch,
            ..ProbeSpec::plain(Head::Linear, if probe.is_multiple_of(2) { Loss::Ce } else { Loss::Bce })
        };
        let specs: Vec<ProbeSpec> = (0..probes).map(spec).collect();
        let context = Context { device: device.clone(), seed: 0, classes: *classes };
        // What is timed is from the first epoch's end to the last's: the set-up and the last look at all tiles are not in.
        let marks = Mutex::new(Vec::new());
        let mark = |_: usize| marks.lock().unwrap().push((Instant::now(), spent()));
        let empty = Split::empty(train.channels, [1, 1]);
        let job = Job { after_epoch: &mark, ..Job::new(train, &empty, &context) };
        let trained = linear::train(&specs, &job, "bench").unwrap();
        let marks = marks.into_inner().unwrap();
        let (first, last, count) = (marks[0], marks[marks.len() - 1], (marks.len() - 1) as f64);
        let entry = trained[0].log.iter().rfind(|entry| entry.metric == "batch_loss");
        let loss = entry.map_or(f64::NAN, |entry| entry.value);
        println!("{} {} {loss}", (last.0 - first.0).as_secs_f64() / count, (last.1 - first.1) / count);
    }
}
