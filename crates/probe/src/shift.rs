//! Shifted copies of a trained linear probe: other weights, the same predictions.
//!
//! Softmax does not see a vector added to all classes' weights, but an attribution does. Cross entropy leaves that
//! vector where it began; these copies choose it, up, down, or where a sigmoid loss would put it, without training
//! a class weight. They separate what a loss does to the common vector from all else it does.

use features::error::{Error, Result};

use crate::data::Split;
use crate::linear::root_mean_square_norm;
use crate::loss::Loss;
use crate::minimise::{Curved, minimise_newton};
use crate::optimiser::{Method, Optimiser};
use crate::spec::{Head, Kind};
use crate::trained::{LogEntry, Trained};

/// The copy of `source` that `head` names, fitted on the pooled features and labels of `train`.
///
/// `deviations` is how many standard deviations of the source's logits (over tiles and classes) `shift_up` and
/// `shift_down` move the mean logit.
pub fn shifted(source: &Trained, head: Head, deviations: f64, train: &Split) -> Result<Trained> {
    if source.spec.head != Head::Linear || head.kind() != Kind::Shift {
        return Err(Error::Bug(format!("{} cannot be made from {}", head.name(), source.spec.id())));
    }
    let problem = Problem::new(source, train)?;
    let (common, mut log) = match head {
        Head::ShiftUp => problem.along_mean(deviations),
        Head::ShiftDown => problem.along_mean(-deviations),
        _ => problem.fitted(source.spec.loss),
    };
    let mut probe = source.clone();
    probe.spec.head = head;
    // The copy has an optimiser of its own, so its id could not tell sources apart by theirs.
    if !matches!(source.spec.optimiser.method, Method::Sgd | Method::None) {
        let tag = &source.spec.tag;
        let space = if tag.is_empty() { "" } else { "-" };
        probe.spec.tag = format!("{}{space}{tag}", source.spec.optimiser.method.name());
    }
    let method = if head == Head::ShiftFit { Method::Newton } else { Method::None };
    probe.spec.optimiser = Optimiser::plain(method);
    if let Some(weight) = probe.weights.0.get_mut("fc.weight") {
        for row in weight.values.chunks_mut(train.channels) {
            row.iter_mut().zip(&common).for_each(|(w, d)| *w = (f64::from(*w) + d) as f32);
        }
    }
    // A common vector changes neither softmax nor its loss, so both figures of the source stand.
    probe.log.clear();
    probe.log.append(&mut log);
    Ok(probe)
}

struct Problem<'a> {
    train: &'a Split,
    classes: usize,
    /// Logits of the source without its offset `[n, classes]`.
    logits: Vec<f64>,
    offset: f64,
    /// Features scaled to root mean square norm 1 `[n, channels]`.
    inputs: Vec<f64>,
    scale: f64,
}

impl<'a> Problem<'a> {
    fn new(source: &Trained, train: &'a Split) -> Result<Self> {
        let weight = source.weights.get("fc.weight")?;
        let classes = weight.shape[0];
        let bias = source.weights.get("fc.bias").ok().map(|bias| &bias.values);
        let scale = 1.0 / root_mean_square_norm(train);
        let inputs: Vec<f64> = train.pooled.iter().map(|&x| f64::from(x) * scale).collect();
        let mut logits = Vec::with_capacity(train.len() * classes);
        for row in train.pooled.chunks(train.channels) {
            for (class, weight) in weight.values.chunks(train.channels).enumerate() {
                let sum: f64 = row.iter().zip(weight).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                logits.push(sum + bias.map_or(0.0, |bias| f64::from(bias[class])));
            }
        }
        Ok(Self { train, classes, logits, offset: f64::from(source.spec.offset.value(classes)), inputs, scale })
    }

    /// A vector along the mean feature that moves the mean logit by `deviations` standard deviations.
    // METHOD: delta = k sd(z) mu / |mu|^2, so that mu . delta = k sd(z).
    fn along_mean(&self, deviations: f64) -> (Vec<f64>, Vec<LogEntry>) {
        let channels = self.train.channels;
        let mut mean = vec![0.0; channels];
        for row in self.train.pooled.chunks(channels) {
            mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / self.train.len() as f64);
        }
        let count = self.logits.len() as f64;
        let centre = self.logits.iter().sum::<f64>() / count;
        let deviation = (self.logits.iter().map(|z| (z - centre).powi(2)).sum::<f64>() / count).sqrt();
        let square: f64 = mean.iter().map(|m| m * m).sum();
        let kappa = deviations * deviation;
        let common = mean.iter().map(|m| m * kappa / square.max(f64::MIN_POSITIVE)).collect();
        (common, vec![entry(0, "kappa", kappa)])
    }

    /// The vector that lets the source's logits, at one temperature, fit the paper's BCE best.
    // METHOD: minimise BCE(a z + d . x + offset) over the number a and the vector d, which is convex; the probe keeps
    // the source's logit scale, so d / a is added to its weights.
    fn fitted(&self, source_loss: Loss) -> (Vec<f64>, Vec<LogEntry>) {
        let loss = if source_loss == Loss::BcePlain { Loss::BcePlain } else { Loss::Bce };
        let mut start = vec![0.0; self.train.channels + 1];
        start[self.train.channels] = 1.0;
        let minimum = minimise_newton(|point| self.sigmoid_loss(loss, point), start, 1e-10, 100);
        let temperature = minimum.point[self.train.channels];
        let common = minimum.point[..self.train.channels].iter().map(|d| d * self.scale / temperature).collect();
        let log = vec![
            entry(minimum.steps, "fit_loss", minimum.value),
            entry(minimum.steps, "fit_gradient_norm", minimum.gradient_norm),
            entry(minimum.steps, "fit_temperature", temperature),
        ];
        (common, log)
    }

    /// Value, gradient and Hessian at `[d, a]`.
    // METHOD: with p the sigmoid, t the target and w = p (1 - p): gradient sum (p - t) (x, z), Hessian sum w (x, z)(x, z)^T,
    // over tiles and classes. The x part of a tile is common to its classes, so one outer product a tile does for all.
    fn sigmoid_loss(&self, loss: Loss, point: &[f64]) -> Curved {
        let channels = self.train.channels;
        let off = loss.off_target(self.classes);
        let (common, temperature) = (&point[..channels], point[channels]);
        let unknowns = channels + 1;
        let (mut value, mut gradient, mut hessian) = (0.0, vec![0.0; unknowns], vec![0.0; unknowns * unknowns]);
        let rows = self.inputs.chunks(channels).zip(self.logits.chunks(self.classes));
        for ((input, logits), labels) in rows.zip(&self.train.labels) {
            let shift = input.iter().zip(common).map(|(x, d)| x * d).sum::<f64>() + self.offset;
            let (mut slope, mut curve, mut mixed) = (0.0, 0.0, 0.0);
            for (class, source) in logits.iter().enumerate() {
                let target = if labels.contains(&class) { 1.0 } else { off };
                let logit = temperature * source + shift;
                let small = (-logit.abs()).exp();
                value += logit.max(0.0) + small.ln_1p() - target * logit;
                let probability = if logit >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
                let weight = small / ((1.0 + small) * (1.0 + small));
                slope += probability - target;
                gradient[channels] += (probability - target) * source;
                curve += weight;
                mixed += weight * source;
                hessian[unknowns * unknowns - 1] += weight * source * source;
            }
            gradient.iter_mut().zip(input).for_each(|(g, x)| *g += slope * x);
            for (i, x) in input.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                let (row, factor) = (&mut hessian[i * unknowns..i * unknowns + i + 1], curve * x);
                row.iter_mut().zip(input).for_each(|(h, y)| *h += factor * y);
            }
            hessian[channels * unknowns..].iter_mut().zip(input).for_each(|(h, x)| *h += mixed * x);
        }
        for i in 0..unknowns {
            for j in 0..i {
                hessian[j * unknowns + i] = hessian[i * unknowns + j];
            }
        }
        let count = self.logits.len() as f64;
        gradient.iter_mut().chain(&mut hessian).for_each(|x| *x /= count);
        Curved { value: value / count, gradient, hessian }
    }
}

fn entry(epoch: usize, metric: &'static str, value: f64) -> LogEntry {
    LogEntry { epoch, split: "train", metric, value, learning_rate: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::job::Job;
    use crate::lower::{common_norm, lower};
    use crate::spec::ProbeSpec;
    use crate::trained::Context;
    use features::tensor::{cpu, to_vec};

    fn source() -> (Trained, Split) {
        let train = blobs(160, 0);
        let spec = ProbeSpec { learning_rate: 2.0, epochs: 4, batch: 16, ..ProbeSpec::plain(Head::Linear, Loss::Ce) };
        let context = Context { device: cpu(), seed: 0, classes: 4 };
        let trained = crate::linear::train(&[spec], &Job::new(&train, &blobs(40, 1), &context), "linear").unwrap();
        (trained.into_iter().next().unwrap(), train)
    }

    fn logits(probe: &Trained, split: &Split) -> Vec<f32> {
        let network = lower(&probe.spec, &probe.weights, &cpu()).unwrap();
        to_vec(network.forward(split.map_batch(0, split.len(), &cpu())))
    }

    fn softmax(row: &[f32]) -> Vec<f64> {
        let top = row.iter().fold(f32::MIN, |a, &b| a.max(b));
        let powers: Vec<f64> = row.iter().map(|&z| f64::from(z - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|p| p / sum).collect()
    }

    #[test]
    fn shifted_copies_predict_the_same_and_move_all_logits_together() {
        let (source, train) = source();
        let before = logits(&source, &train);
        for (head, sign) in [(Head::ShiftUp, 1.0), (Head::ShiftDown, -1.0), (Head::ShiftFit, 0.0)] {
            let probe = shifted(&source, head, 3.0, &train).unwrap();
            let after = logits(&probe, &train);
            let mut moved = 0.0;
            for (a, b) in before.chunks(4).zip(after.chunks(4)) {
                let (p, q) = (softmax(a), softmax(b));
                assert!(p.iter().zip(&q).all(|(p, q)| (p - q).abs() < 1e-5), "{head:?} {p:?} {q:?}");
                let change: Vec<f32> = a.iter().zip(b).map(|(a, b)| b - a).collect();
                assert!(change.iter().all(|c| (c - change[0]).abs() < 1e-4), "{change:?}");
                moved += f64::from(change[0]) / 160.0;
            }
            if head != Head::ShiftFit {
                assert!(moved * sign > 0.0, "{head:?} {moved}");
                let kappa = probe.log[0].value;
                assert!((moved - kappa).abs() < 1e-3 * kappa.abs(), "{moved} {kappa}");
                let ratio = |probe: &Trained| common_norm(probe.spec.head, &probe.weights).unwrap()[1];
                assert!(ratio(&probe) > ratio(&source));
            }
        }
    }

    #[test]
    fn the_fit_is_the_optimum_and_its_gradient_is_right() {
        let (source, train) = source();
        let problem = Problem::new(&source, &train).unwrap();
        let point: Vec<f64> = (0..7).map(|i| 0.3 * f64::from(i) - 1.0).collect();
        let here = problem.sigmoid_loss(Loss::Bce, &point);
        for i in 0..7 {
            let at = |step: f64| {
                let mut moved = point.clone();
                moved[i] += step;
                problem.sigmoid_loss(Loss::Bce, &moved)
            };
            let (up, down) = (at(1e-5), at(-1e-5));
            let want = (up.value - down.value) / 2e-5;
            assert!((here.gradient[i] - want).abs() < 1e-8, "{i} {} {want}", here.gradient[i]);
            for j in 0..7 {
                let want = (up.gradient[j] - down.gradient[j]) / 2e-5;
                assert!((here.hessian[i * 7 + j] - want).abs() < 1e-8, "{i} {j} {} {want}", here.hessian[i * 7 + j]);
            }
        }
        let probe = shifted(&source, Head::ShiftFit, 3.0, &train).unwrap();
        assert!(probe.log[1].value < 1e-9, "{:?}", probe.log);
        assert!(probe.log[2].value > 0.0);
    }

    #[test]
    fn only_linear_probes_are_shifted() {
        let (mut source, train) = source();
        source.spec.head = Head::Bcos(1);
        assert_eq!(shifted(&source, Head::ShiftUp, 3.0, &train).unwrap_err().exit_code(), 1);
    }
}
