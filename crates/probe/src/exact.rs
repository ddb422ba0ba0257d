//! The optimum of a linear probe to many digits, for losses that are convex: no step size, no batches, no luck.

use features::error::{Error, Result};
use features::tensor::cpu;
use rayon::prelude::*;

use crate::checkpoint::State;
use crate::data::{Batch, Form, Split};
use crate::job::Job;
use crate::linear::feature_scale;
use crate::lower::scores;
use crate::minimise::{Search, dot};
use crate::score::Score;
use crate::spec::{ProbeSpec, Scaling};
use crate::trained::{LogEntry, Status, Trained, initial};
use crate::weights::Weights;

/// Norm of the gradient, features scaled to a common norm, at which the search ends.
const TOLERANCE: f64 = 1e-9;
/// Images looked at together.
const IMAGES: usize = 256;
/// Classes whose gradients one thread adds up.
const CLASSES: usize = 4;

/// Solves one linear probe on pooled features; `epochs` bounds the number of steps, `name` is that of its checkpoint.
///
/// # Errors
/// A checkpoint that cannot be read or written, features that cannot be read.
// METHOD: L-BFGS in double precision on the mean loss plus weight_decay / 2 |W|^2, W as in the files, biases free: with
// weight_decay = 1 / (C n) the minimiser of scikit-learn's LogisticRegression(C). Starts from the seed's initial
// weights, which matters only where the optimum is not unique, as along the common vector of CE without weight decay.
pub fn train(spec: &ProbeSpec, job: &Job, name: &str) -> Result<Trained> {
    let problem = Problem::new(spec, job.train, job.context.classes)?;
    let (classes, channels) = (job.context.classes, job.train.channels);
    let decay = spec.optimiser.weight_decay;
    let function = |point: &[f64]| problem.at(point, decay);
    let mut search = match job.checkpoints.load(name)? {
        Some(state) => restored(state)?,
        None => {
            let initial = |part: &str, count| initial(spec, part, count, channels).into_iter().map(f64::from);
            let mut start: Vec<f64> = initial("fc.weight", classes * channels).collect();
            if spec.bias {
                start.extend(initial("fc.bias", classes));
            }
            Search::begin(function, start)?
        }
    };
    // A step looks once or twice at everything.
    let every = job.checkpoints.epochs(4.0 * (classes * channels) as f64 * job.train.len() as f64);
    (0..search.steps).for_each(|_| (job.after_epoch)(1));
    while search.steps < spec.epochs && search.gradient_norm() > TOLERANCE && search.step(function)? {
        if search.steps.is_multiple_of(every) {
            job.checkpoints.save(name, &state_of(&search))?;
        }
        (job.after_epoch)(1);
    }
    (job.after_epoch)(spec.epochs - search.steps);
    if !search.value.is_finite() {
        return Err(Error::Bug(format!("probe {}: the exact solver left the numbers", spec.id())));
    }
    let (train_loss, _) = problem.at(&search.point, 0.0)?;
    let single = |values: &[f64], factor: f64| values.iter().map(|x| (x * factor) as f32).collect::<Vec<f32>>();
    let (weight, bias) = search.point.split_at(classes * channels);
    let mut weights = Weights::default();
    weights.insert("fc.weight", &[classes, channels, 1, 1], single(weight, problem.scale));
    if spec.bias {
        weights.insert("fc.bias", &[classes], single(bias, 1.0));
    }
    let (gradient_norm, kept_epoch, status) = (search.gradient_norm(), spec.epochs, Status::Trained);
    let mut log = vec![
        LogEntry::new(search.steps, "train", "fit_loss", search.value, 0.0),
        LogEntry::new(search.steps, "train", "fit_gradient_norm", gradient_norm, 0.0),
    ];
    if !job.validation.is_empty() {
        let by = Score::of(job.validation);
        let value = scores(by, &[(spec, &weights)], job.validation, &cpu())?[0];
        log.push(LogEntry::new(search.steps, "validation", by.name(), value, 0.0));
    }
    Ok(Trained { spec: spec.clone(), weights, status, train_loss, gradient_norm, kept_epoch, log })
}

fn state_of(search: &Search) -> State {
    let mut state = State::default();
    state.put_doubles("epochs", vec![search.steps as f64]);
    state.put_doubles("value", vec![search.value]);
    state.put_doubles("point", search.point.clone());
    state.put_doubles("gradient", search.gradient.clone());
    for (number, (step, change)) in search.pairs.iter().enumerate() {
        state.put_doubles(format!("{number}.step"), step.clone());
        state.put_doubles(format!("{number}.change"), change.clone());
    }
    state
}

fn restored(mut state: State) -> Result<Search> {
    let (steps, value) = (state.take_doubles("epochs")?[0] as usize, state.take_doubles("value")?[0]);
    let (point, gradient) = (state.take_doubles("point")?, state.take_doubles("gradient")?);
    let mut pairs = Vec::new();
    while let Ok(step) = state.take_doubles(&format!("{}.step", pairs.len())) {
        pairs.push((step, state.take_doubles(&format!("{}.change", pairs.len()))?));
    }
    Ok(Search { point, value, gradient, pairs, steps })
}

/// Loss and the norm of its gradient, features scaled to a common norm, of given weights of a linear head.
///
/// # Errors
/// Weights that are no linear head, features that cannot be read.
pub fn state(spec: &ProbeSpec, weights: &Weights, train: &Split, classes: usize) -> Result<(f64, f64)> {
    let spec = ProbeSpec { scaling: Scaling::Common, ..spec.clone() };
    let problem = Problem::new(&spec, train, classes)?;
    let mut point: Vec<f64> = weights.get("fc.weight")?.values.iter().map(|&w| f64::from(w) / problem.scale).collect();
    if spec.bias {
        point.extend(weights.get("fc.bias")?.values.iter().map(|&b| f64::from(b)));
    }
    let (value, gradient) = problem.at(&point, 0.0)?;
    Ok((value, gradient.iter().map(|g| g * g).sum::<f64>().sqrt()))
}

struct Problem<'a> {
    spec: &'a ProbeSpec,
    split: &'a Split,
    classes: usize,
    /// What the features are multiplied by; weights in files are the point's times it.
    scale: f64,
}

impl<'a> Problem<'a> {
    fn new(spec: &'a ProbeSpec, split: &'a Split, classes: usize) -> Result<Self> {
        Ok(Self { spec, split, classes, scale: feature_scale(spec.scaling, split)? })
    }

    /// Value and gradient at weights for scaled features `[classes, channels]`, then biases. Every sum is over the rows in
    /// their order, whatever the batches, threads, and where the features are.
    fn at(&self, point: &[f64], weight_decay: f64) -> Result<(f64, Vec<f64>)> {
        let n = self.split.len() as f64;
        let (mut value, mut gradient) = (0.0, vec![0.0; point.len()]);
        self.split.visit(Form::Pooled, &self.split.all_rows(), IMAGES, |batch| {
            self.add(point, &batch, &mut value, &mut gradient);
            Ok(())
        })?;
        value /= n;
        gradient.iter_mut().for_each(|g| *g /= n);
        // Weights in the files are the point's times the scale.
        let decay = weight_decay * self.scale * self.scale;
        let weights = self.classes * self.split.channels;
        for (g, w) in gradient.iter_mut().zip(&point[..weights]) {
            value += 0.5 * decay * w * w;
            *g += decay * w;
        }
        Ok((value, gradient))
    }

    /// Adds the loss of some rows and its gradient.
    fn add(&self, point: &[f64], batch: &Batch<'_>, value: &mut f64, gradient: &mut [f64]) {
        let (channels, classes) = (self.split.channels, self.classes);
        let (weights, biases) = point.split_at(classes * channels);
        let offset = f64::from(self.spec.offset.value(classes));
        let objective = self.spec.objective();
        let inputs: Vec<f64> = batch.all_features().flatten().map(|&x| f64::from(x) * self.scale).collect();
        let row = |(input, labels): (&[f64], &[usize])| {
            let logit = |(class, weight): (usize, &[f64])| {
                dot(weight, input) + offset + biases.get(class).copied().unwrap_or(0.0)
            };
            let logits: Vec<f64> = weights.chunks(channels).enumerate().map(logit).collect();
            let (mut hot, mut slopes) = (vec![0.0; classes], vec![0.0; classes]);
            labels.iter().for_each(|&label| hot[label] = 1.0);
            (objective.row(&logits, &hot, &mut slopes), slopes)
        };
        let rows: Vec<(f64, Vec<f64>)> = inputs.par_chunks(channels).zip(batch.labels()).map(row).collect();
        *value = rows.iter().fold(*value, |sum, (loss, _)| sum + loss);
        let (weight_gradient, bias_gradient) = gradient.split_at_mut(classes * channels);
        // A class's gradient is added up by one thread, row after row.
        weight_gradient.par_chunks_mut(CLASSES * channels).enumerate().for_each(|(block, gradients)| {
            for (class, gradient) in (block * CLASSES..).zip(gradients.chunks_mut(channels)) {
                for (input, (_, slopes)) in inputs.chunks(channels).zip(&rows) {
                    let slope = slopes[class];
                    gradient.iter_mut().zip(input).for_each(|(g, x)| *g += slope * x);
                }
            }
        });
        for (_, slopes) in &rows {
            bias_gradient.iter_mut().zip(slopes).for_each(|(g, slope)| *g += slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::loss::Loss;
    use crate::optimiser::{Method, Optimiser};
    use crate::spec::{Head, Offset};
    use crate::trained::Context;

    fn context() -> Context {
        Context { device: cpu(), seed: 0, classes: 4 }
    }

    fn spec(loss: Loss, bias: bool) -> ProbeSpec {
        let optimiser = Optimiser { weight_decay: 1e-3, ..Optimiser::plain(Method::Lbfgs) };
        ProbeSpec { optimiser, bias, epochs: 1000, ..ProbeSpec::plain(Head::Linear, loss) }
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let train = blobs(30, 0);
        for loss in [Loss::Ce, Loss::Bce, Loss::BcePlainSum] {
            let spec = ProbeSpec { offset: Offset::LogClasses, ..spec(loss, true) };
            let problem = Problem::new(&spec, &train, 4).unwrap();
            let point: Vec<f64> = (0..28).map(|i| (f64::from(i) * 0.7).sin()).collect();
            let (_, gradient) = problem.at(&point, 0.3).unwrap();
            for i in 0..28 {
                let at = |step: f64| {
                    let mut moved = point.clone();
                    moved[i] += step;
                    problem.at(&moved, 0.3).unwrap().0
                };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((gradient[i] - want).abs() < 1e-8, "{loss:?} {i} {} {want}", gradient[i]);
            }
        }
    }

    #[test]
    fn the_optimum_does_not_depend_on_the_start_or_the_scale() {
        let (train, validation) = (blobs(160, 0), blobs(80, 1));
        // The biases of CE have a free direction: a number common to all.
        for (loss, bias) in [(Loss::Ce, false), (Loss::Bce, true)] {
            let context = context();
            let job = Job::new(&train, &validation, &context);
            let solve = |spec: &ProbeSpec| super::train(spec, &job, "exact").unwrap();
            let one = solve(&spec(loss, bias));
            assert!(one.gradient_norm <= TOLERANCE, "{}", one.gradient_norm);
            let others =
                [ProbeSpec { seed: 7, ..spec(loss, bias) }, ProbeSpec { scaling: Scaling::None, ..spec(loss, bias) }];
            for other in others.map(|spec| solve(&spec)) {
                for (name, array) in &one.weights.0 {
                    for (a, b) in array.values.iter().zip(&other.weights.get(name).unwrap().values) {
                        assert!((a - b).abs() < 1e-4, "{loss:?} {name} {a} {b}");
                    }
                }
            }
            let (loss_again, _) = state(&one.spec, &one.weights, &train, 4).unwrap();
            assert!((loss_again - one.train_loss).abs() < 1e-6);
            assert!(one.log.iter().any(|entry| entry.metric == "accuracy" && entry.value > 0.97));
        }
    }
    #[test]
    fn a_killed_search_goes_on_from_its_last_state() {
        let (train, validation) = (blobs(160, 0), blobs(80, 1));
        let context = context();
        let spec = spec(Loss::Bce, true);
        crate::checkpoint::tests::check_resume(&Job::new(&train, &validation, &context), "exact", |job| {
            Ok(vec![super::train(&spec, job, "exact")?])
        });
    }
}
