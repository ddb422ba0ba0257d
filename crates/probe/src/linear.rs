//! Linear probes: all of them trained at once on pooled features.
//!
//! A linear head commutes with the average pool, so pooled features are enough. Probes that take the same batches are
//! trained side by side: on the CPU over plain rows (`plain`), on accelerators as rows of one matrix (`tensors`).

mod engine;
mod plain;
mod tensors;

use features::error::Result;
use features::tensor::cpu;
use rayon::prelude::*;

use crate::checkpoint::State;
use crate::data::{Split, batches};
use crate::job::Job;
use crate::schedule::Length;
use crate::score::{Score, better};
use crate::spec::{ProbeSpec, Scaling, Select};
use crate::trained::{LogEntry, Status, Trained, diverged, initial, order};
use crate::weights::Weights;
use engine::{Engine, Raw};
use plain::Plain;
use tensors::Tensors;

/// Whether two probes can be trained side by side: they take the same batches and steps of one kind.
pub fn together(a: &ProbeSpec, b: &ProbeSpec) -> bool {
    let key = |spec: &ProbeSpec| (spec.epochs, spec.batch, spec.optimiser, spec.scaling);
    key(a) == key(b) && a.schedule == b.schedule
}

/// Trains linear probes that go [`together`]; the result is in the order of `specs`. `name` is that of their checkpoint.
///
/// # Errors
/// A checkpoint that cannot be read or written.
// METHOD: features may be scaled to root mean square norm 1; the scale is folded back into the weights.
pub fn train(specs: &[ProbeSpec], job: &Job, name: &str) -> Result<Vec<Trained>> {
    let Some(first) = specs.first() else { return Ok(Vec::new()) };
    debug_assert!(specs.iter().all(|spec| together(spec, first)));
    let mut sorted: Vec<usize> = (0..specs.len()).collect();
    sorted.sort_by(|&a, &b| {
        let (x, y) = (&specs[a], &specs[b]);
        x.loss.cmp(&y.loss).then(x.smoothing.total_cmp(&y.smoothing)).then(a.cmp(&b))
    });
    let probes: Vec<&ProbeSpec> = sorted.iter().map(|&index| &specs[index]).collect();
    let scale = feature_scale(first.scaling, job.train) as f32;
    let mut engine = engine(&probes, job, scale);
    let courses = run(engine.as_mut(), &probes, job, name)?;

    for (index, course) in courses.iter().enumerate() {
        if let Some(best) = &course.best {
            engine.put(index, &best.raw);
        }
    }
    let figures = engine.finish();
    let mut trained: Vec<Option<Trained>> = vec![None; probes.len()];
    for (index, course) in courses.into_iter().enumerate() {
        let spec = probes[index].clone();
        let [train_loss, gradient_norm] = figures[index];
        let weights = weights(&spec, engine.raw(index), scale, job.context.classes);
        let kept_epoch = course.best.map_or(spec.epochs, |best| best.epoch);
        let (status, log) = (course.status, course.log);
        trained[sorted[index]] = Some(Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log });
    }
    Ok(trained.into_iter().flatten().collect())
}

/// What one probe's training has come to, besides its numbers.
struct Course {
    status: Status,
    log: Vec<LogEntry>,
    /// Of probes whose best epoch is kept: that so far.
    best: Option<Best>,
}

struct Best {
    score: f64,
    epoch: usize,
    raw: Raw,
}

fn run(engine: &mut dyn Engine, probes: &[&ProbeSpec], job: &Job, name: &str) -> Result<Vec<Course>> {
    let (first, train) = (probes[0], job.train);
    let images = train.images();
    let length = Length { epochs: first.epochs, steps: images.div_ceil(first.batch) };
    let score = Score::of(job.validation);
    let work = 3.0 * (probes.len() * job.context.classes * train.channels) as f64 * images as f64;
    let every = job.checkpoints.epochs(work);
    let course = |_| Course { status: Status::Trained, log: Vec::new(), best: None };
    let mut courses: Vec<Course> = (0..probes.len()).map(course).collect();
    let (mut begun, mut first_losses) = (0, Vec::new());
    if let Some(state) = job.checkpoints.load(name)? {
        (begun, first_losses) = restore(state, engine, &mut courses)?;
        (0..begun).for_each(|_| (job.after_epoch)(probes.len()));
    }
    for epoch in begun..first.epochs {
        let mut sums = vec![0.0; probes.len()];
        let mut factor = 0.0;
        for (number, rows) in
            batches(&order(job.context.seed, epoch, train.len(), train.views), first.batch).enumerate()
        {
            factor = first.schedule.factor(epoch * length.steps + number, length);
            engine.step(rows, factor);
            if first_losses.is_empty() {
                sums = engine.losses();
                first_losses = sums.iter().map(|sum| sum / rows.len() as f64).collect();
            }
        }
        sums.iter_mut().zip(engine.losses()).for_each(|(sum, more)| *sum += more);
        let scores: Vec<f64> = scores(engine, score, job.validation, &courses);
        for (index, (course, spec)) in courses.iter_mut().zip(probes).enumerate() {
            if course.status == Status::Diverged {
                continue;
            }
            let (rate, loss) = (spec.learning_rate * factor, sums[index] / images as f64);
            course.log.push(LogEntry::new(epoch + 1, "train", "batch_loss", loss, rate));
            if diverged(first_losses[index], loss) {
                // Its rows touch no other probe's, so the rest goes on undisturbed.
                course.status = Status::Diverged;
                continue;
            }
            course.log.push(LogEntry::new(epoch + 1, "validation", score.name(), scores[index], rate));
            let best = course.best.as_ref().map(|best| best.score);
            if spec.select == Select::BestEpoch && better(scores[index], best) {
                course.best = Some(Best { score: scores[index], epoch: epoch + 1, raw: engine.raw(index) });
            }
        }
        if (epoch + 1).is_multiple_of(every) {
            job.checkpoints.save(name, &save(epoch + 1, &first_losses, engine, &courses)?)?;
        }
        (job.after_epoch)(probes.len());
    }
    Ok(courses)
}

/// The score of each probe on the validation split.
fn scores(engine: &dyn Engine, score: Score, validation: &Split, courses: &[Course]) -> Vec<f64> {
    let one = |(index, course): (usize, &Course)| match course.status {
        Status::Trained => score.value(&engine.logits(index, validation), validation),
        Status::Diverged => f64::NAN,
    };
    courses.par_iter().enumerate().map(one).collect()
}

fn save(epochs: usize, first_losses: &[f64], engine: &dyn Engine, courses: &[Course]) -> Result<State> {
    let mut state = State::default();
    state.put_doubles("epochs", vec![epochs as f64]);
    state.put_doubles("first_losses", first_losses.to_vec());
    engine.save(&mut state);
    let wild = courses.iter().map(|course| f64::from(u8::from(course.status == Status::Diverged)));
    state.put_doubles("diverged", wild.collect());
    for (index, course) in courses.iter().enumerate() {
        state.put_log(format!("{index}.log"), &course.log)?;
        if let Some(Best { score, epoch, raw }) = &course.best {
            state.put_doubles(format!("{index}.best"), vec![*score, *epoch as f64]);
            state.put(format!("{index}.best.weight"), raw.weight.clone());
            state.put(format!("{index}.best.bias"), raw.bias.clone());
        }
    }
    Ok(state)
}

/// Puts a state where it was; gives the epochs that are done and the losses of the first batch.
fn restore(mut state: State, engine: &mut dyn Engine, courses: &mut [Course]) -> Result<(usize, Vec<f64>)> {
    engine.restore(&mut state)?;
    let wild = state.take_doubles("diverged")?;
    for (index, course) in courses.iter_mut().enumerate() {
        course.log = state.take_log(&format!("{index}.log"))?;
        course.status = if wild.get(index) == Some(&1.0) { Status::Diverged } else { Status::Trained };
        if let Ok(best) = state.take_doubles(&format!("{index}.best")) {
            let (weight, bias) =
                (state.take(&format!("{index}.best.weight"))?, state.take(&format!("{index}.best.bias"))?);
            course.best = Some(Best { score: best[0], epoch: best[1] as usize, raw: Raw { weight, bias } });
        }
    }
    Ok((state.take_doubles("epochs")?[0] as usize, state.take_doubles("first_losses")?))
}

fn engine<'a>(probes: &'a [&'a ProbeSpec], job: &Job<'a>, scale: f32) -> Box<dyn Engine + 'a> {
    let (classes, channels, device) = (job.context.classes, job.train.channels, &job.context.device);
    let start = |spec: &&ProbeSpec| Raw {
        weight: initial(spec, "fc.weight", classes * channels, channels),
        bias: if spec.bias { initial(spec, "fc.bias", classes, channels) } else { vec![0.0; classes] },
    };
    let start = probes.iter().map(start).collect();
    if *device == cpu() {
        Box::new(Plain::new(probes, job.train, scale, classes, start))
    } else {
        Box::new(Tensors::new(probes, job.train, scale, classes, start, device))
    }
}

/// The weights of a probe, for features that are not scaled.
fn weights(spec: &ProbeSpec, raw: Raw, scale: f32, classes: usize) -> Weights {
    let mut weights = Weights::default();
    let channels = raw.weight.len() / classes;
    let weight = raw.weight.into_iter().map(|weight| weight * scale).collect();
    weights.insert("fc.weight", &[classes, channels, 1, 1], weight);
    if spec.bias {
        weights.insert("fc.bias", &[classes], raw.bias);
    }
    weights
}

/// What pooled features are multiplied by before training.
pub fn feature_scale(scaling: Scaling, split: &Split) -> f64 {
    match scaling {
        Scaling::Common => 1.0 / root_mean_square_norm(split),
        Scaling::None => 1.0,
    }
}

/// Square root of the mean squared norm of the pooled features.
pub fn root_mean_square_norm(split: &Split) -> f64 {
    let sum: f64 = split.pooled.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / split.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
