//! Linear probes on accelerators: all of them rows of one matrix of burn's, so that a batch costs one product forward
//! and one back, whatever the number of probes.

use features::error::Result;
use features::memory;
use features::tensor::{Device, Tensor, from_vec, to_vec};

use super::engine::{Engine, Raw};
use crate::checkpoint::State;
use crate::data::{Batch, Split, multi_hot, select};
use crate::loss::Objective;
use crate::optimiser::Memory;
use crate::score::Tally;
use crate::spec::ProbeSpec;

/// The probes as one matrix; the probes of a loss are neighbours.
pub struct Tensors {
    probes: Vec<ProbeSpec>,
    /// `[probes * classes, channels]`; then `[1, probes * classes]`, zero where a probe has no bias.
    parameters: [Tensor<2>; 2],
    memory: Memory,
    /// 1 where a probe has a bias: `[1, probes * classes]`.
    has_bias: Tensor<2>,
    /// `[1, probes * classes]`.
    offset: Tensor<2>,
    /// Loss and number of probes of each run of neighbours.
    groups: Vec<(Objective, usize)>,
    /// Scaled training features, where they are held and the device has room for them.
    inputs: Option<Tensor<2>>,
    scale: f32,
    /// Summed losses since they were asked for: `[probes]`.
    losses: Tensor<1>,
    classes: usize,
    /// Losses and gradients of weights and biases that are being tallied.
    tallied: Option<(Tensor<1>, [Tensor<2>; 2])>,
}

impl Tensors {
    /// The probes with these initial weights, on a device.
    pub fn new(
        probes: &[ProbeSpec],
        train: &Split,
        scale: f32,
        classes: usize,
        start: Vec<Raw>,
        device: &Device,
    ) -> Self {
        let rows = probes.len() * classes;
        let mut groups: Vec<(Objective, usize)> = Vec::new();
        for spec in probes {
            match groups.last_mut() {
                Some((objective, count)) if *objective == spec.objective() => *count += 1,
                _ => groups.push((spec.objective(), 1)),
            }
        }
        let per_row = |value: &dyn Fn(&ProbeSpec) -> f32| {
            let values = probes.iter().flat_map(|spec| vec![value(spec); classes]).collect();
            from_vec(values, [1, rows], device)
        };
        let (weights, biases): (Vec<Vec<f32>>, Vec<Vec<f32>>) =
            start.into_iter().map(|raw| (raw.weight, raw.bias)).unzip();
        let fits = train.is_held() && memory::holds(device, 4.0 * (train.len() * train.channels) as f64);
        let parameters =
            [from_vec(weights.concat(), [rows, train.channels], device), from_vec(biases.concat(), [1, rows], device)];
        Self {
            memory: Memory::new(probes[0].optimiser, &parameters),
            has_bias: per_row(&|spec| if spec.bias { 1.0 } else { 0.0 }),
            offset: per_row(&|spec| spec.offset.value(classes)),
            inputs: fits.then(|| train.pooled(device).mul_scalar(scale)),
            losses: from_vec(vec![0.0; probes.len()], [probes.len()], device),
            probes: probes.to_vec(),
            parameters,
            groups,
            scale,
            classes,
            tallied: None,
        }
    }

    /// Scaled features of some rows of the training split, and their labels.
    fn look(&self, batch: &Batch<'_>) -> (Tensor<2>, Tensor<2>) {
        let device = self.device();
        let inputs = match &self.inputs {
            Some(inputs) => inputs.clone().select(0, select(batch.rows, &device)),
            None => self.upload(batch),
        };
        (inputs, multi_hot(&batch.labels(), self.classes, &device))
    }

    /// Scaled features of some rows of any split.
    fn upload(&self, batch: &Batch<'_>) -> Tensor<2> {
        let values: Vec<f32> = batch.all_features().flatten().copied().collect();
        let channels = values.len() / batch.len().max(1);
        from_vec(values, [batch.len(), channels], &self.device()).mul_scalar(self.scale)
    }

    fn device(&self) -> Device {
        self.offset.device()
    }

    /// Logits of all probes: `[n, probes * classes]`.
    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let [weight, bias] = self.parameters.clone();
        inputs.matmul(weight.transpose()) + (bias + self.offset.clone())
    }

    /// Losses `[probes]` of some rows, and gradients with respect to weights and biases.
    fn gradients(&self, inputs: Tensor<2>, labels: Tensor<2>) -> (Tensor<1>, [Tensor<2>; 2]) {
        let [n, classes] = labels.dims();
        let labels = labels.reshape([n, 1, classes]);
        let logits = self.forward(inputs.clone());
        let (mut losses, mut parts, mut start) = (Vec::new(), Vec::new(), 0);
        for &(objective, probes) in &self.groups {
            let part = logits.clone().narrow(1, start, probes * classes).reshape([n, probes, classes]);
            losses.push(objective.value(part.clone(), labels.clone()));
            parts.push(objective.gradient(part, labels.clone()).reshape([n, probes * classes]));
            start += probes * classes;
        }
        let gradient = Tensor::cat(parts, 1);
        let bias = gradient.clone().sum_dim(0) * self.has_bias.clone();
        (Tensor::cat(losses, 0), [gradient.transpose().matmul(inputs), bias])
    }

    /// Logits of all probes on some rows of any split: `[n, probes * classes]`.
    pub fn logits(&self, batch: &Batch<'_>) -> Vec<f32> {
        to_vec(self.forward(self.upload(batch)))
    }
}

impl Engine for Tensors {
    fn step(&mut self, batch: &Batch<'_>, factor: f64) {
        let (inputs, labels) = self.look(batch);
        let (losses, gradients) = self.gradients(inputs, labels);
        self.losses = self.losses.clone() + losses.mul_scalar(batch.len() as f32);
        let rate = |spec: &ProbeSpec| vec![(spec.learning_rate * factor) as f32; self.classes];
        let rates: Vec<f32> = self.probes.iter().flat_map(rate).collect();
        let row = from_vec(rates, [1, self.probes.len() * self.classes], &self.device());
        let rates = [row.clone().transpose(), row];
        let directions = self.memory.directions(&self.parameters, gradients.into());
        for ((parameter, direction), rate) in self.parameters.iter_mut().zip(directions).zip(rates) {
            *parameter = parameter.clone() - direction * rate;
        }
    }

    fn losses(&mut self) -> Vec<f64> {
        let zeros = self.losses.zeros_like();
        let sums = std::mem::replace(&mut self.losses, zeros);
        to_vec(sums).into_iter().map(f64::from).collect()
    }

    fn score(&self, batch: &Batch<'_>, tallies: Vec<(usize, &mut Tally)>) {
        let all = self.logits(batch);
        for (probe, tally) in tallies {
            let rows = all.chunks_exact(self.probes.len() * self.classes);
            let own = rows.flat_map(|row| &row[probe * self.classes..][..self.classes]).copied();
            tally.add(&own.collect::<Vec<f32>>(), batch.labels().into_iter());
        }
    }

    fn tally(&mut self, batch: &Batch<'_>, all: usize) {
        let (inputs, labels) = self.look(batch);
        let (losses, gradients) = self.gradients(inputs, labels);
        let share = batch.len() as f32 / all as f32;
        let (losses, [weight, bias]) = (losses.mul_scalar(share), gradients.map(|part| part.mul_scalar(share)));
        self.tallied = Some(match self.tallied.take() {
            Some((sums, [weights, biases])) => (sums + losses, [weights + weight, biases + bias]),
            None => (losses, [weight, bias]),
        });
    }

    fn figures(&mut self) -> Vec<[f64; 2]> {
        let Some((losses, [weight, bias])) = self.tallied.take() else { return Vec::new() };
        let [_, channels] = weight.dims();
        let (weight, bias) = (to_vec(weight), to_vec(bias));
        let square = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        let rows = weight.chunks(self.classes * channels).zip(bias.chunks(self.classes));
        let norms = rows.map(|(weight, bias)| (square(weight) + square(bias)).sqrt());
        to_vec(losses).into_iter().zip(norms).map(|(loss, norm)| [f64::from(loss), norm]).collect()
    }

    fn raw(&self, probe: usize) -> Raw {
        let [weight, bias] = self.parameters.clone();
        Raw {
            weight: to_vec(weight.narrow(0, probe * self.classes, self.classes)),
            bias: to_vec(bias.narrow(1, probe * self.classes, self.classes)),
        }
    }

    fn put(&mut self, probe: usize, raw: &Raw) {
        let (device, rows) = (self.device(), probe * self.classes..(probe + 1) * self.classes);
        let [weight, bias] = self.parameters.clone();
        let channels = weight.dims()[1];
        let own = [
            from_vec(raw.weight.clone(), [self.classes, channels], &device),
            from_vec(raw.bias.clone(), [1, self.classes], &device),
        ];
        let [own_weight, own_bias] = own;
        self.parameters =
            [weight.slice_assign([rows.clone(), 0..channels], own_weight), bias.slice_assign([0..1, rows], own_bias)];
    }

    fn save(&self, state: &mut State) {
        for (name, parameter) in ["weight", "bias"].into_iter().zip(&self.parameters) {
            state.put(name, to_vec(parameter.clone()));
        }
        self.memory.save(state);
    }

    fn restore(&mut self, state: &mut State) -> Result<()> {
        for (name, parameter) in ["weight", "bias"].into_iter().zip(&mut self.parameters) {
            *parameter = from_vec(state.take(name)?, parameter.dims(), &parameter.device());
        }
        self.memory.restore(state)
    }
}
