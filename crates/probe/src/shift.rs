//! Shifted copies of a trained linear probe: other weights, the same predictions.
//!
//! Softmax does not see a vector added to all classes' weights, but an attribution does. Cross entropy leaves that
//! vector where it began; these copies choose it, up, down, or where a sigmoid loss would put it, without training
//! a class weight. They separate what a loss does to the common vector from all else it does.

use features::error::{Error, Result};
use rayon::prelude::*;

use crate::data::{Batch, Form, Split};
use crate::linear::root_mean_square_norm;
use crate::loss::Loss;
use crate::minimise::{Curved, dot, minimise_newton};
use crate::optimiser::{Method, Optimiser};
use crate::spec::{Head, Kind};
use crate::trained::{LogEntry, Trained};

/// Images looked at together.
const IMAGES: usize = 256;
/// Rows of the Hessian that are worth a thread.
const ROWS: usize = 16;

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
        Head::ShiftUp => problem.along_mean(deviations)?,
        Head::ShiftDown => problem.along_mean(-deviations)?,
        _ => problem.fitted(source.spec.loss)?,
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
    source: &'a Trained,
    classes: usize,
    /// Logits of the source without its offset `[n, classes]`, where features are in memory too.
    logits: Option<Vec<f64>>,
    offset: f64,
    /// What features are multiplied by: to root mean square norm 1.
    scale: f64,
}

impl<'a> Problem<'a> {
    fn new(source: &'a Trained, train: &'a Split) -> Result<Self> {
        let classes = source.weights.get("fc.weight")?.shape[0];
        let scale = 1.0 / root_mean_square_norm(train)?;
        let offset = f64::from(source.spec.offset.value(classes));
        let mut problem = Self { train, source, classes, logits: None, offset, scale };
        if train.is_held() {
            let mut logits = Vec::with_capacity(train.len() * classes);
            problem.each(|_, values| logits.extend_from_slice(values))?;
            problem.logits = Some(logits);
        }
        Ok(problem)
    }

    /// Hands over batches of the training rows, in their order, with their logits.
    fn each(&self, mut look: impl FnMut(&Batch<'_>, &[f64])) -> Result<()> {
        let (classes, channels) = (self.classes, self.train.channels);
        let weights: Vec<f64> = self.source.weights.get("fc.weight")?.values.iter().map(|&w| f64::from(w)).collect();
        let bias = self.source.weights.get("fc.bias").ok().map(|bias| &bias.values);
        let mut first = 0;
        self.train.visit(Form::Pooled, &self.train.all_rows(), IMAGES, |batch| {
            let count = batch.len() * classes;
            if let Some(logits) = &self.logits {
                look(&batch, &logits[first..first + count]);
                first += count;
                return Ok(());
            }
            let mut logits = vec![0.0; count];
            logits.par_chunks_mut(classes).enumerate().for_each(|(place, logits)| {
                let row: Vec<f64> = batch.features(place).iter().map(|&x| f64::from(x)).collect();
                for (class, (logit, weight)) in logits.iter_mut().zip(weights.chunks(channels)).enumerate() {
                    *logit = dot(&row, weight) + bias.map_or(0.0, |bias| f64::from(bias[class]));
                }
            });
            look(&batch, &logits);
            Ok(())
        })
    }

    /// A vector along the mean feature that moves the mean logit by `deviations` standard deviations.
    // METHOD: delta = k sd(z) mu / |mu|^2, so that mu . delta = k sd(z).
    fn along_mean(&self, deviations: f64) -> Result<(Vec<f64>, Vec<LogEntry>)> {
        let rows = self.train.len() as f64;
        let (mut mean, mut sum) = (vec![0.0; self.train.channels], 0.0);
        self.each(|batch, logits| {
            for row in batch.all_features() {
                mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / rows);
            }
            sum = logits.iter().fold(sum, |sum, z| sum + z);
        })?;
        let count = rows * self.classes as f64;
        let (centre, mut squares) = (sum / count, 0.0);
        self.each(|_, logits| squares = logits.iter().fold(squares, |sum, z| sum + (z - centre).powi(2)))?;
        let square: f64 = mean.iter().map(|m| m * m).sum();
        let kappa = deviations * (squares / count).sqrt();
        let common = mean.iter().map(|m| m * kappa / square.max(f64::MIN_POSITIVE)).collect();
        Ok((common, vec![entry(0, "kappa", kappa)]))
    }

    /// The vector that lets the source's logits, at one temperature, fit the paper's BCE best.
    // METHOD: minimise BCE(a z + d . x + offset) over the number a and the vector d, which is convex; the probe keeps
    // the source's logit scale, so d / a is added to its weights.
    fn fitted(&self, source_loss: Loss) -> Result<(Vec<f64>, Vec<LogEntry>)> {
        let loss = if source_loss == Loss::BcePlain { Loss::BcePlain } else { Loss::Bce };
        let mut start = vec![0.0; self.train.channels + 1];
        start[self.train.channels] = 1.0;
        let minimum = minimise_newton(|point| self.sigmoid_loss(loss, point), start, 1e-10, 100)?;
        let temperature = minimum.point[self.train.channels];
        let common = minimum.point[..self.train.channels].iter().map(|d| d * self.scale / temperature).collect();
        let log = vec![
            entry(minimum.steps, "fit_loss", minimum.value),
            entry(minimum.steps, "fit_gradient_norm", minimum.gradient_norm),
            entry(minimum.steps, "fit_temperature", temperature),
        ];
        Ok((common, log))
    }

    /// Value, gradient and Hessian at `[d, a]`.
    // METHOD: with p the sigmoid, t the target and w = p (1 - p): gradient sum (p - t) (x, z), Hessian sum w (x, z)(x, z)^T,
    // over tiles and classes. The x part of a tile is common to its classes, so one outer product a tile does for all.
    fn sigmoid_loss(&self, loss: Loss, point: &[f64]) -> Result<Curved> {
        let unknowns = self.train.channels + 1;
        let mut sums = Curved { value: 0.0, gradient: vec![0.0; unknowns], hessian: vec![0.0; unknowns * unknowns] };
        self.each(|batch, logits| {
            let rows = batch.all_features().zip(logits.chunks(self.classes)).zip(batch.labels());
            let tiles: Vec<Tile> =
                rows.map(|((features, logits), labels)| self.tile(loss, point, features, logits, labels)).collect();
            add(&tiles, &mut sums);
        })?;
        let Curved { mut value, mut gradient, mut hessian } = sums;
        for i in 0..unknowns {
            for j in 0..i {
                hessian[j * unknowns + i] = hessian[i * unknowns + j];
            }
        }
        let count = (self.train.len() * self.classes) as f64;
        value /= count;
        gradient.iter_mut().chain(&mut hessian).for_each(|x| *x /= count);
        Ok(Curved { value, gradient, hessian })
    }

    /// What one tile adds.
    fn tile(&self, loss: Loss, point: &[f64], features: &[f32], logits: &[f64], labels: &[usize]) -> Tile {
        let (channels, off) = (self.train.channels, loss.off_target(self.classes));
        let (common, temperature) = (&point[..channels], point[channels]);
        let input: Vec<f64> = features.iter().map(|&x| f64::from(x) * self.scale).collect();
        let shift = input.iter().zip(common).map(|(x, d)| x * d).sum::<f64>() + self.offset;
        let mut tile = Tile { input, ..Tile::default() };
        for (class, source) in logits.iter().enumerate() {
            let target = if labels.contains(&class) { 1.0 } else { off };
            let logit = temperature * source + shift;
            let small = (-logit.abs()).exp();
            tile.value += logit.max(0.0) + small.ln_1p() - target * logit;
            let probability = if logit >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
            let weight = small / ((1.0 + small) * (1.0 + small));
            tile.slope += probability - target;
            tile.source_slope += (probability - target) * source;
            tile.curve += weight;
            tile.mixed += weight * source;
            tile.source_curve += weight * source * source;
        }
        tile
    }
}

/// A tile's features, and over its classes the sums of loss, slopes and curvatures along `d . x` and along `a`.
#[derive(Default)]
struct Tile {
    input: Vec<f64>,
    value: f64,
    slope: f64,
    source_slope: f64,
    curve: f64,
    mixed: f64,
    source_curve: f64,
}

/// Adds some tiles, of the Hessian to the lower triangle only; a row of it is added up by one thread, tile after tile.
fn add(tiles: &[Tile], sums: &mut Curved) {
    let Curved { value, gradient, hessian } = sums;
    let unknowns = gradient.len();
    let channels = unknowns - 1;
    for tile in tiles {
        *value += tile.value;
        gradient[channels] += tile.source_slope;
        gradient.iter_mut().zip(&tile.input).for_each(|(g, x)| *g += tile.slope * x);
    }
    hessian.par_chunks_mut(unknowns).with_min_len(ROWS).enumerate().for_each(|(i, row)| {
        for tile in tiles {
            if i == channels {
                row.iter_mut().zip(&tile.input).for_each(|(h, x)| *h += tile.mixed * x);
                row[channels] += tile.source_curve;
            } else if tile.input[i] != 0.0 {
                let factor = tile.curve * tile.input[i];
                row[..=i].iter_mut().zip(&tile.input).for_each(|(h, y)| *h += factor * y);
            }
        }
    });
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
        let here = problem.sigmoid_loss(Loss::Bce, &point).unwrap();
        for i in 0..7 {
            let at = |step: f64| {
                let mut moved = point.clone();
                moved[i] += step;
                problem.sigmoid_loss(Loss::Bce, &moved).unwrap()
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
