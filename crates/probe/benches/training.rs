//! Time of training the default probes at the size of the embedded experiment, on invented features.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement program")]

use std::time::Instant;

use features::random;
use features::tensor::cpu;
use probe::config::Config;
use probe::data::Split;
use probe::job::Job;
use probe::spec::{Head, Kind, ProbeSpec};
use probe::trained::Context;
use probe::{linear, mlp, shift};

const CLASSES: usize = 20;

fn invented(n: usize, maps: usize, seed: u64) -> Split {
    let (channels, positions) = (128, 64);
    let mut rng = random::stream(seed, &["bench"]);
    let mut split = Split::empty(channels, [8, 8]);
    for image in 0..n {
        let label = random::below(&mut rng, CLASSES);
        split.image_ids.push(image as i64);
        split.labels.push(vec![label]);
        split.set_aside.push(vec![]);
        for channel in 0..channels {
            let centre = if channel % CLASSES == label { 1.3 } else { 1.0 };
            let mean = centre + 0.4 * random::normal(&mut rng);
            split.pooled.push(mean.max(0.0) as f32);
            if image < maps {
                split.maps.extend((0..positions).map(|_| (mean * 2.0 * random::uniform(&mut rng)).max(0.0) as f32));
            }
        }
    }
    split
}

fn main() {
    // `cargo test` passes other flags; only a real `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") && std::env::var_os("PROBE_BENCH").is_none() {
        return;
    }
    let context = Context { device: cpu(), seed: 0, classes: CLASSES };
    let (train, validation) = (invented(8000, 4000, 0), invented(2000, 0, 1));
    let specs = Config::default().specs(CLASSES, None).unwrap().concat();
    let (linear, layered): (Vec<ProbeSpec>, Vec<ProbeSpec>) =
        specs.into_iter().partition(|spec| spec.head.kind() == Kind::Linear);
    let start = Instant::now();
    let trained = linear::train(&linear, &Job::new(&train, &validation, &context), "linear").unwrap();
    println!("{} linear probes, 60 epochs: {:.1} s", linear.len(), start.elapsed().as_secs_f64());
    for probe in &trained {
        println!(
            "  {} loss {:.4} gradient {:.5} accuracy {:?}",
            probe.spec.id(),
            probe.train_loss,
            probe.gradient_norm,
            probe.log.last().map(|e| e.value)
        );
    }
    let start = Instant::now();
    let fitted = shift::shifted(&trained[0], Head::ShiftFit, 3.0, &train).unwrap();
    println!(
        "one fitted shift: {:.1} s, {} steps, gradient {:.1e}",
        start.elapsed().as_secs_f64(),
        fitted.log[0].epoch,
        fitted.log[1].value
    );
    for spec in &layered {
        let start = Instant::now();
        let trained = mlp::train(std::slice::from_ref(spec), &Job::new(&train, &validation, &context)).unwrap();
        println!(
            "{}: {:.1} s, loss {:.4}, gradient {:.4}",
            spec.id(),
            start.elapsed().as_secs_f64(),
            trained[0].train_loss,
            trained[0].gradient_norm
        );
    }
}
