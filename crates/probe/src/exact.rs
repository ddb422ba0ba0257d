//! The optimum of a linear probe to many digits, for losses that are convex: no step size, no batches, no luck.

use features::error::{Error, Result};
use rayon::prelude::*;

use crate::data::{Split, argmax};
use crate::linear::feature_scale;
use crate::minimise::minimise;
use crate::spec::{ProbeSpec, Scaling};
use crate::trained::{Context, LogEntry, Status, Trained, initial};
use crate::weights::Weights;

/// Norm of the gradient, features scaled to a common norm, at which the search ends.
const TOLERANCE: f64 = 1e-9;
/// Pieces the tiles are cut into, whatever the number of threads, so that sums have one order.
const PIECES: usize = 16;

/// Solves one linear probe on pooled features; `epochs` bounds the number of steps.
// METHOD: L-BFGS in double precision on the mean loss plus weight_decay / 2 |W|^2, W as in the files, biases free: with
// weight_decay = 1 / (C n) the minimiser of scikit-learn's LogisticRegression(C). Starts from the seed's initial
// weights, which matters only where the optimum is not unique, as along the common vector of CE without weight decay.
pub fn train(spec: &ProbeSpec, train: &Split, validation: &Split, context: &Context) -> Result<Trained> {
    let problem = Problem::new(spec, train, context.classes);
    let (classes, channels) = (context.classes, train.channels);
    let mut start: Vec<f64> =
        initial(spec, "fc.weight", classes * channels, channels).into_iter().map(f64::from).collect();
    if spec.bias {
        start.extend(initial(spec, "fc.bias", classes, channels).into_iter().map(f64::from));
    }
    let minimum = minimise(|point| problem.at(point, spec.optimiser.weight_decay), start, TOLERANCE, spec.epochs);
    if !minimum.value.is_finite() {
        return Err(Error::Bug(format!("probe {}: the exact solver left the numbers", spec.id())));
    }
    let (train_loss, _) = problem.at(&minimum.point, 0.0);
    let single = |values: &[f64], factor: f64| values.iter().map(|x| (x * factor) as f32).collect::<Vec<f32>>();
    let (weight, bias) = minimum.point.split_at(classes * channels);
    let mut weights = Weights::default();
    weights.insert("fc.weight", &[classes, channels, 1, 1], single(weight, problem.scale));
    if spec.bias {
        weights.insert("fc.bias", &[classes], single(bias, 1.0));
    }
    let mut log = vec![
        LogEntry::new(minimum.steps, "train", "fit_loss", minimum.value, 0.0),
        LogEntry::new(minimum.steps, "train", "fit_gradient_norm", minimum.gradient_norm, 0.0),
    ];
    if !validation.is_empty() {
        let accuracy = Problem::new(spec, validation, classes).accuracy(&weights)?;
        log.push(LogEntry::new(minimum.steps, "validation", "accuracy", accuracy, 0.0));
    }
    let (gradient_norm, kept_epoch) = (minimum.gradient_norm, spec.epochs);
    Ok(Trained { spec: spec.clone(), weights, status: Status::Trained, train_loss, gradient_norm, kept_epoch, log })
}

/// Loss and the norm of its gradient, features scaled to a common norm, of given weights of a linear head.
pub fn state(spec: &ProbeSpec, weights: &Weights, train: &Split, classes: usize) -> Result<(f64, f64)> {
    let spec = ProbeSpec { scaling: Scaling::Common, ..spec.clone() };
    let problem = Problem::new(&spec, train, classes);
    let mut point: Vec<f64> = weights.get("fc.weight")?.values.iter().map(|&w| f64::from(w) / problem.scale).collect();
    if spec.bias {
        point.extend(weights.get("fc.bias")?.values.iter().map(|&b| f64::from(b)));
    }
    let (value, gradient) = problem.at(&point, 0.0);
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
    fn new(spec: &'a ProbeSpec, split: &'a Split, classes: usize) -> Self {
        Self { spec, split, classes, scale: feature_scale(spec.scaling, split) }
    }

    /// Value and gradient at weights for scaled features `[classes, channels]`, then biases.
    fn at(&self, point: &[f64], weight_decay: f64) -> (f64, Vec<f64>) {
        let n = self.split.len();
        let rows: Vec<usize> = (0..n).collect();
        let pieces: Vec<(f64, Vec<f64>)> =
            rows.par_chunks(n.div_ceil(PIECES).max(1)).map(|rows| self.piece(point, rows)).collect();
        let (mut value, mut gradient) = (0.0, vec![0.0; point.len()]);
        for (piece_value, piece) in pieces {
            value += piece_value;
            gradient.iter_mut().zip(piece).for_each(|(sum, g)| *sum += g);
        }
        value /= n as f64;
        gradient.iter_mut().for_each(|g| *g /= n as f64);
        // Weights in the files are the point's times the scale.
        let decay = weight_decay * self.scale * self.scale;
        let weights = self.classes * self.split.channels;
        for (g, w) in gradient.iter_mut().zip(&point[..weights]) {
            value += 0.5 * decay * w * w;
            *g += decay * w;
        }
        (value, gradient)
    }

    fn piece(&self, point: &[f64], rows: &[usize]) -> (f64, Vec<f64>) {
        let (channels, classes) = (self.split.channels, self.classes);
        let (weights, biases) = point.split_at(classes * channels);
        let offset = f64::from(self.spec.offset.value(classes));
        let objective = self.spec.objective();
        let (mut value, mut gradient) = (0.0, vec![0.0; point.len()]);
        let (mut logits, mut slopes, mut labels) = (vec![0.0; classes], vec![0.0; classes], vec![0.0; classes]);
        let mut input = vec![0.0; channels];
        for &row in rows {
            let pooled = &self.split.pooled[row * channels..(row + 1) * channels];
            input.iter_mut().zip(pooled).for_each(|(x, &p)| *x = f64::from(p) * self.scale);
            for (class, (logit, weight)) in logits.iter_mut().zip(weights.chunks(channels)).enumerate() {
                *logit = dot(weight, &input) + offset + biases.get(class).copied().unwrap_or(0.0);
            }
            self.split.labels[row].iter().for_each(|&label| labels[label] = 1.0);
            value += objective.row(&logits, &labels, &mut slopes);
            labels.fill(0.0);
            let (weight_gradient, bias_gradient) = gradient.split_at_mut(classes * channels);
            for (gradient, slope) in weight_gradient.chunks_mut(channels).zip(&slopes) {
                gradient.iter_mut().zip(&input).for_each(|(g, x)| *g += slope * x);
            }
            bias_gradient.iter_mut().zip(&slopes).for_each(|(g, slope)| *g += slope);
        }
        (value, gradient)
    }

    fn accuracy(&self, weights: &Weights) -> Result<f64> {
        let (weight, bias) = (weights.get("fc.weight")?, weights.get("fc.bias").ok());
        let mut hits = 0;
        for (row, labels) in self.split.pooled.chunks(self.split.channels).zip(&self.split.labels) {
            let logit = |(class, weight): (usize, &[f32])| {
                let sum: f64 = weight.iter().zip(row).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                (sum + bias.map_or(0.0, |bias| f64::from(bias.values[class]))) as f32
            };
            let logits: Vec<f32> = weight.values.chunks(self.split.channels).enumerate().map(logit).collect();
            hits += usize::from(labels.contains(&argmax(&logits)));
        }
        Ok(f64::from(hits as u32) / self.split.len() as f64)
    }
}

/// Four sums side by side, in a fixed order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 4];
    let (a_blocks, b_blocks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::loss::Loss;
    use crate::optimiser::{Method, Optimiser};
    use crate::spec::{Head, Offset};
    use features::tensor::cpu;

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
            let problem = Problem::new(&spec, &train, 4);
            let point: Vec<f64> = (0..28).map(|i| (f64::from(i) * 0.7).sin()).collect();
            let (_, gradient) = problem.at(&point, 0.3);
            for i in 0..28 {
                let at = |step: f64| {
                    let mut moved = point.clone();
                    moved[i] += step;
                    problem.at(&moved, 0.3).0
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
            let solve = |spec: &ProbeSpec| super::train(spec, &train, &validation, &context()).unwrap();
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
}
