//! Linear probes: all of them trained at once on pooled features, as one matrix.
//!
//! A linear head commutes with the average pool, so pooled features are enough, and the classes of all probes can be
//! rows of one weight matrix: a batch costs one product forward and one back, whatever the number of probes.

use features::error::Result;
use features::tensor::{Tensor, from_vec, to_vec};

use crate::data::{Split, batches, one_hot, select};
use crate::loss::Loss;
use crate::spec::ProbeSpec;
use crate::trained::{Context, LogEntry, Trained, check_progress, initial, order};
use crate::weights::Weights;

const MOMENTUM: f32 = 0.9;

/// Trains linear probes together. All must have the same number of epochs and the same batch; the result is in the
/// order of `specs`.
// METHOD: SGD, momentum 0.9, no weight decay, step size x0.1 at 60 % and at 80 % of the epochs, features scaled to
// root mean square norm 1; the scale is folded back into the weights.
pub fn train(
    specs: &[ProbeSpec],
    train: &Split,
    validation: &Split,
    context: &Context,
    mut after_epoch: impl FnMut(),
) -> Result<Vec<Trained>> {
    let Some(first) = specs.first() else { return Ok(Vec::new()) };
    let (epochs, batch) = (first.epochs, first.batch);
    debug_assert!(specs.iter().all(|spec| (spec.epochs, spec.batch) == (epochs, batch)));
    let mut sorted: Vec<usize> = (0..specs.len()).collect();
    sorted.sort_by_key(|&index| (specs[index].loss, index));
    let probes: Vec<&ProbeSpec> = sorted.iter().map(|&index| &specs[index]).collect();

    let scale = 1.0 / root_mean_square_norm(train);
    let mut stack = Stack::new(&probes, train.channels, context);
    let inputs = train.pooled(&context.device).mul_scalar(scale as f32);
    let labels = one_hot(&train.labels, context.classes, &context.device);
    let mut logs = vec![Vec::new(); probes.len()];
    let first_loss = stack.losses(&inputs, &labels);
    for epoch in 0..epochs {
        let factor = step_factor(epoch, epochs);
        let rates = stack.rates(&probes, factor, context);
        for rows in batches(&order(context.seed, epoch, train.len()), batch) {
            let rows = select(rows, &context.device);
            stack.step(inputs.clone().select(0, rows.clone()), labels.clone().select(0, rows), &rates);
        }
        let losses = stack.losses(&inputs, &labels);
        let accuracies = stack.accuracies(validation, scale);
        for (index, spec) in probes.iter().enumerate() {
            check_progress(spec, epoch + 1, first_loss[index], losses[index])?;
            let entry = |split, metric, value| LogEntry {
                epoch: epoch + 1,
                split,
                metric,
                value,
                learning_rate: spec.learning_rate * factor,
            };
            logs[index].push(entry("train", "loss", losses[index]));
            logs[index].push(entry("validation", "accuracy", accuracies[index]));
        }
        after_epoch();
    }

    let (losses, gradients) = (stack.losses(&inputs, &labels), stack.gradient_norms(&inputs, &labels));
    let mut trained = Vec::new();
    for (index, weights) in stack.weights(scale).into_iter().enumerate() {
        trained.push((
            sorted[index],
            Trained {
                spec: probes[index].clone(),
                weights,
                train_loss: losses[index],
                gradient_norm: gradients[index],
                log: std::mem::take(&mut logs[index]),
            },
        ));
    }
    trained.sort_by_key(|(index, _)| *index);
    Ok(trained.into_iter().map(|(_, probe)| probe).collect())
}

/// Square root of the mean squared norm of the pooled features.
pub fn root_mean_square_norm(split: &Split) -> f64 {
    let sum: f64 = split.pooled.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / split.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE)
}

fn step_factor(epoch: usize, epochs: usize) -> f64 {
    let passed = |percent: usize| usize::from(epoch * 100 >= epochs * percent && epoch > 0);
    0.1f64.powi((passed(60) + passed(80)) as i32)
}

/// The probes as one matrix; the probes of a loss are neighbours.
struct Stack {
    /// `[probes * classes, channels]`.
    weight: Tensor<2>,
    /// `[1, probes * classes]`; zero where a probe has no bias.
    bias: Tensor<2>,
    /// 1 where a probe has a bias: `[1, probes * classes]`.
    has_bias: Tensor<2>,
    /// `[1, probes * classes]`.
    offset: Tensor<2>,
    weight_velocity: Tensor<2>,
    bias_velocity: Tensor<2>,
    /// Loss and number of probes of each run of neighbours.
    groups: Vec<(Loss, usize)>,
    biased: Vec<bool>,
    classes: usize,
}

/// Step sizes of each row, as a column and as a row.
struct Rates {
    column: Tensor<2>,
    row: Tensor<2>,
}

impl Stack {
    fn new(probes: &[&ProbeSpec], channels: usize, context: &Context) -> Self {
        let (classes, device) = (context.classes, &context.device);
        let rows = probes.len() * classes;
        let mut groups: Vec<(Loss, usize)> = Vec::new();
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for spec in probes {
            match groups.last_mut() {
                Some((loss, count)) if *loss == spec.loss => *count += 1,
                _ => groups.push((spec.loss, 1)),
            }
            weight.extend(initial(spec, "fc.weight", classes * channels, channels));
            bias.extend(if spec.bias { initial(spec, "fc.bias", classes, channels) } else { vec![0.0; classes] });
        }
        let per_row = |value: &dyn Fn(&ProbeSpec) -> f32| {
            let values = probes.iter().flat_map(|spec| vec![value(spec); classes]).collect();
            from_vec(values, [1, rows], device)
        };
        let weight = from_vec(weight, [rows, channels], device);
        let bias = from_vec(bias, [1, rows], device);
        Self {
            weight_velocity: weight.zeros_like(),
            bias_velocity: bias.zeros_like(),
            has_bias: per_row(&|spec| if spec.bias { 1.0 } else { 0.0 }),
            offset: per_row(&|spec| spec.offset.value(classes)),
            weight,
            bias,
            groups,
            biased: probes.iter().map(|spec| spec.bias).collect(),
            classes,
        }
    }

    fn rates(&self, probes: &[&ProbeSpec], factor: f64, context: &Context) -> Rates {
        let values: Vec<f32> =
            probes.iter().flat_map(|spec| vec![(spec.learning_rate * factor) as f32; self.classes]).collect();
        let row = from_vec(values, [1, probes.len() * self.classes], &context.device);
        Rates { column: row.clone().transpose(), row }
    }

    /// Logits of all probes: `[n, probes * classes]`.
    fn logits(&self, inputs: Tensor<2>) -> Tensor<2> {
        inputs.matmul(self.weight.clone().transpose()) + (self.bias.clone() + self.offset.clone())
    }

    /// Applies `each` to the logits `[n, probes of a loss, classes]` of each loss.
    fn by_loss<T>(&self, logits: &Tensor<2>, mut each: impl FnMut(Loss, Tensor<3>) -> T) -> Vec<T> {
        let [n, _] = logits.dims();
        let mut start = 0;
        let mut results = Vec::new();
        for &(loss, probes) in &self.groups {
            let width = probes * self.classes;
            let part = logits.clone().narrow(1, start, width).reshape([n, probes, self.classes]);
            results.push(each(loss, part));
            start += width;
        }
        results
    }

    /// Gradients with respect to weights and biases, over the given tiles.
    fn gradients(&self, inputs: Tensor<2>, labels: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [n, classes] = labels.dims();
        let labels = labels.reshape([n, 1, classes]);
        let logits = self.logits(inputs.clone());
        let parts = self.by_loss(&logits, |loss, part| {
            let [_, probes, _] = part.dims();
            loss.gradient(part, labels.clone()).reshape([n, probes * classes])
        });
        let gradient = Tensor::cat(parts, 1);
        let bias = gradient.clone().sum_dim(0) * self.has_bias.clone();
        (gradient.transpose().matmul(inputs), bias)
    }

    fn step(&mut self, inputs: Tensor<2>, labels: Tensor<2>, rates: &Rates) {
        let (weight, bias) = self.gradients(inputs, labels);
        self.weight_velocity = self.weight_velocity.clone().mul_scalar(MOMENTUM) + weight;
        self.bias_velocity = self.bias_velocity.clone().mul_scalar(MOMENTUM) + bias;
        self.weight = self.weight.clone() - self.weight_velocity.clone() * rates.column.clone();
        self.bias = self.bias.clone() - self.bias_velocity.clone() * rates.row.clone();
    }

    fn losses(&self, inputs: &Tensor<2>, labels: &Tensor<2>) -> Vec<f64> {
        let [n, classes] = labels.dims();
        let labels = labels.clone().reshape([n, 1, classes]);
        let parts = self.by_loss(&self.logits(inputs.clone()), |loss, part| loss.value(part, labels.clone()));
        to_vec(Tensor::cat(parts, 0)).into_iter().map(f64::from).collect()
    }

    /// Norm of each probe's gradient over all given tiles.
    fn gradient_norms(&self, inputs: &Tensor<2>, labels: &Tensor<2>) -> Vec<f64> {
        let (weight, bias) = self.gradients(inputs.clone(), labels.clone());
        let [_, channels] = weight.dims();
        let (weight, bias) = (to_vec(weight), to_vec(bias));
        let square = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        weight
            .chunks(self.classes * channels)
            .zip(bias.chunks(self.classes))
            .map(|(weight, bias)| (square(weight) + square(bias)).sqrt())
            .collect()
    }

    fn accuracies(&self, split: &Split, scale: f64) -> Vec<f64> {
        if split.is_empty() {
            return vec![f64::NAN; self.biased.len()];
        }
        let inputs = split.pooled(&self.weight.device()).mul_scalar(scale as f32);
        let logits = to_vec(self.logits(inputs));
        let mut hits = vec![0usize; self.biased.len()];
        for (row, &label) in logits.chunks(self.biased.len() * self.classes).zip(&split.labels) {
            for (hits, logits) in hits.iter_mut().zip(row.chunks(self.classes)) {
                *hits += usize::from(crate::data::argmax(logits) == label);
            }
        }
        hits.into_iter().map(|hits| hits as f64 / split.len() as f64).collect()
    }

    /// The weights of each probe, for features that are not scaled.
    fn weights(&self, scale: f64) -> Vec<Weights> {
        let [_, channels] = self.weight.dims();
        let weight = to_vec(self.weight.clone().mul_scalar(scale as f32));
        let bias = to_vec(self.bias.clone());
        let per_probe = weight.chunks(self.classes * channels).zip(bias.chunks(self.classes));
        per_probe
            .zip(&self.biased)
            .map(|((weight, bias), &biased)| {
                let mut weights = Weights::default();
                weights.insert("fc.weight", &[self.classes, channels, 1, 1], weight.to_vec());
                if biased {
                    weights.insert("fc.bias", &[self.classes], bias.to_vec());
                }
                weights
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::spec::{Head, Offset};
    use features::tensor::cpu;

    fn spec(loss: Loss, seed: u64) -> ProbeSpec {
        ProbeSpec {
            head: Head::Linear,
            loss,
            offset: Offset::None,
            bias: false,
            learning_rate: if loss == Loss::Ce { 2.0 } else { 8.0 },
            epochs: 8,
            batch: 16,
            hidden: 0,
            seed,
            tag: String::new(),
        }
    }

    fn context() -> Context {
        Context { device: cpu(), seed: 5, classes: 4 }
    }

    fn run(specs: &[ProbeSpec]) -> Vec<Trained> {
        train(specs, &blobs(160, 0), &blobs(80, 1), &context(), || {}).unwrap()
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
        let scale = 1.0 / root_mean_square_norm(&data);
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
    fn a_step_size_that_is_too_large_is_named() {
        let mut wild = spec(Loss::Ce, 0);
        wild.learning_rate = 1e30;
        let error = train(&[wild], &blobs(160, 0), &blobs(80, 1), &context(), || {}).unwrap_err();
        assert!(error.to_string().contains("linear-ce-s0 diverged"), "{error}");
    }

    #[test]
    fn the_step_size_falls_twice() {
        let factors: Vec<f64> = [0, 35, 36, 47, 48, 59].map(|epoch| step_factor(epoch, 60)).to_vec();
        for (got, want) in factors.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((got - want).abs() < 1e-12, "{factors:?}");
        }
    }
}
