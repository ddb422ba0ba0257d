//! Linear probes: all of them trained at once on pooled features, as one matrix.
//!
//! A linear head commutes with the average pool, so pooled features are enough, and the classes of all probes can be
//! rows of one weight matrix: a batch costs one product forward and one back, whatever the number of probes.

use features::tensor::{Tensor, from_vec, to_vec};

use crate::data::{Split, batches, multi_hot, select};
use crate::loss::Objective;
use crate::optimiser::Memory;
use crate::schedule::Length;
use crate::spec::{ProbeSpec, Scaling};
use crate::trained::{Context, LogEntry, Status, Trained, diverged, initial, order};
use crate::weights::Weights;

/// Whether two probes can be rows of one matrix: they take the same batches and steps of one kind.
pub fn together(a: &ProbeSpec, b: &ProbeSpec) -> bool {
    let key = |spec: &ProbeSpec| (spec.epochs, spec.batch, spec.optimiser, spec.scaling);
    key(a) == key(b) && a.schedule == b.schedule
}

/// Trains linear probes that go [`together`]; the result is in the order of `specs`.
// METHOD: features may be scaled to root mean square norm 1; the scale is folded back into the weights.
pub fn train(
    specs: &[ProbeSpec],
    train: &Split,
    validation: &Split,
    context: &Context,
    mut after_epoch: impl FnMut(),
) -> Vec<Trained> {
    let Some(first) = specs.first() else { return Vec::new() };
    debug_assert!(specs.iter().all(|spec| together(spec, first)));
    let mut sorted: Vec<usize> = (0..specs.len()).collect();
    sorted.sort_by(|&a, &b| {
        let (x, y) = (&specs[a], &specs[b]);
        x.loss.cmp(&y.loss).then(x.smoothing.total_cmp(&y.smoothing)).then(a.cmp(&b))
    });
    let probes: Vec<&ProbeSpec> = sorted.iter().map(|&index| &specs[index]).collect();

    let scale = feature_scale(first.scaling, train);
    let mut stack = Stack::new(&probes, train.channels, context);
    let inputs = train.pooled(&context.device).mul_scalar(scale as f32);
    let labels = multi_hot(&train.labels, context.classes, &context.device);
    let length = Length { epochs: first.epochs, steps: train.images().div_ceil(first.batch) };
    let mut logs = vec![Vec::new(); probes.len()];
    let mut states = vec![Status::Trained; probes.len()];
    let first_loss = stack.losses(&inputs, &labels);
    let (mut step, mut factor) = (0, f64::NAN);
    for epoch in 0..first.epochs {
        for rows in batches(&order(context.seed, epoch, train.len(), train.views), first.batch) {
            let now = first.schedule.factor(step, length);
            if now != factor {
                factor = now;
                stack.set_rates(&probes, factor);
            }
            let rows = select(rows, &context.device);
            stack.step(inputs.clone().select(0, rows.clone()), labels.clone().select(0, rows));
            step += 1;
        }
        let losses = stack.losses(&inputs, &labels);
        let accuracies = stack.accuracies(validation, scale);
        for (index, spec) in probes.iter().enumerate() {
            if states[index] == Status::Diverged {
                continue;
            }
            let rate = spec.learning_rate * factor;
            logs[index].push(LogEntry::new(epoch + 1, "train", "loss", losses[index], rate));
            if diverged(first_loss[index], losses[index]) {
                // Its rows of the matrix touch no other probe's, so the rest goes on undisturbed.
                states[index] = Status::Diverged;
                continue;
            }
            logs[index].push(LogEntry::new(epoch + 1, "validation", "accuracy", accuracies[index], rate));
        }
        after_epoch();
    }

    let (losses, gradients) = (stack.losses(&inputs, &labels), stack.gradient_norms(&inputs, &labels));
    let mut trained: Vec<Option<Trained>> = vec![None; probes.len()];
    for (index, weights) in stack.weights(scale).into_iter().enumerate() {
        trained[sorted[index]] = Some(Trained {
            spec: probes[index].clone(),
            weights,
            status: states[index],
            train_loss: losses[index],
            gradient_norm: gradients[index],
            log: std::mem::take(&mut logs[index]),
        });
    }
    trained.into_iter().flatten().collect()
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

/// The probes as one matrix; the probes of a loss are neighbours.
struct Stack {
    /// `[probes * classes, channels]`; then `[1, probes * classes]`, zero where a probe has no bias.
    parameters: [Tensor<2>; 2],
    memory: Memory,
    /// Step size of each row, in the shapes of the parameters' first axes.
    rates: [Tensor<2>; 2],
    /// 1 where a probe has a bias: `[1, probes * classes]`.
    has_bias: Tensor<2>,
    /// `[1, probes * classes]`.
    offset: Tensor<2>,
    /// Loss and number of probes of each run of neighbours.
    groups: Vec<(Objective, usize)>,
    biased: Vec<bool>,
    classes: usize,
}

impl Stack {
    fn new(probes: &[&ProbeSpec], channels: usize, context: &Context) -> Self {
        let (classes, device) = (context.classes, &context.device);
        let rows = probes.len() * classes;
        let mut groups: Vec<(Objective, usize)> = Vec::new();
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for spec in probes {
            match groups.last_mut() {
                Some((objective, count)) if *objective == spec.objective() => *count += 1,
                _ => groups.push((spec.objective(), 1)),
            }
            weight.extend(initial(spec, "fc.weight", classes * channels, channels));
            bias.extend(if spec.bias { initial(spec, "fc.bias", classes, channels) } else { vec![0.0; classes] });
        }
        let per_row = |value: &dyn Fn(&ProbeSpec) -> f32| {
            let values = probes.iter().flat_map(|spec| vec![value(spec); classes]).collect();
            from_vec(values, [1, rows], device)
        };
        let parameters = [from_vec(weight, [rows, channels], device), from_vec(bias, [1, rows], device)];
        let row = parameters[1].zeros_like();
        Self {
            memory: Memory::new(probes[0].optimiser, &parameters),
            rates: [row.clone().transpose(), row],
            has_bias: per_row(&|spec| if spec.bias { 1.0 } else { 0.0 }),
            offset: per_row(&|spec| spec.offset.value(classes)),
            parameters,
            groups,
            biased: probes.iter().map(|spec| spec.bias).collect(),
            classes,
        }
    }

    fn set_rates(&mut self, probes: &[&ProbeSpec], factor: f64) {
        let values: Vec<f32> =
            probes.iter().flat_map(|spec| vec![(spec.learning_rate * factor) as f32; self.classes]).collect();
        let row = from_vec(values, [1, probes.len() * self.classes], &self.offset.device());
        self.rates = [row.clone().transpose(), row];
    }

    /// Logits of all probes: `[n, probes * classes]`.
    fn logits(&self, inputs: Tensor<2>) -> Tensor<2> {
        let [weight, bias] = self.parameters.clone();
        inputs.matmul(weight.transpose()) + (bias + self.offset.clone())
    }

    /// Applies `each` to the logits `[n, probes of a loss, classes]` of each loss.
    fn by_loss<T>(&self, logits: &Tensor<2>, mut each: impl FnMut(Objective, Tensor<3>) -> T) -> Vec<T> {
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

    fn step(&mut self, inputs: Tensor<2>, labels: Tensor<2>) {
        let (weight, bias) = self.gradients(inputs, labels);
        let directions = self.memory.directions(&self.parameters, vec![weight, bias]);
        for ((parameter, direction), rate) in self.parameters.iter_mut().zip(directions).zip(&self.rates) {
            *parameter = parameter.clone() - direction * rate.clone();
        }
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
        let inputs = split.pooled(&self.offset.device()).mul_scalar(scale as f32);
        let logits = to_vec(self.logits(inputs));
        let mut hits = vec![0usize; self.biased.len()];
        for (row, labels) in logits.chunks(self.biased.len() * self.classes).zip(&split.labels) {
            for (hits, logits) in hits.iter_mut().zip(row.chunks(self.classes)) {
                *hits += usize::from(labels.contains(&crate::data::argmax(logits)));
            }
        }
        hits.into_iter().map(|hits| hits as f64 / split.len() as f64).collect()
    }

    /// The weights of each probe, for features that are not scaled.
    fn weights(&self, scale: f64) -> Vec<Weights> {
        let [weight, bias] = self.parameters.clone();
        let [_, channels] = weight.dims();
        let (weight, bias) = (to_vec(weight.mul_scalar(scale as f32)), to_vec(bias));
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
    use crate::loss::Loss;
    use crate::optimiser::{Method, Optimiser};
    use crate::spec::{Head, default_schedule};
    use features::tensor::cpu;

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
        train(specs, &blobs(160, 0), &blobs(80, 1), &context(), || {})
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
}
