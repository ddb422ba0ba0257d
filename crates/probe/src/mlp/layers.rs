//! The trainable layers of a head, on rows of cells.

use features::error::Result;
use features::network::NORM_EPSILON;
use features::network::PATCH_NORM_EPSILON;
use features::tensor::{Device, Tensor, from_vec, to_vec};

use super::columns::Moments;
use super::fused;
use crate::checkpoint::State;
use crate::optimiser::Memory;
use crate::spec::{Kind, Norm as NormKind, ProbeSpec};
use crate::trained::{Context, initial};
use crate::weights::Weights;

/// Added to the cosine where B is not 2, so that its power has a slope.
pub const COSINE_EPSILON: f32 = 1e-6;
/// Share of a batch in the running statistics.
const NORM_MOMENTUM: f32 = 0.1;

/// Which statistics the norms use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The batch's; they also enter the running ones.
    Train,
    /// The running ones.
    Evaluate,
}

/// Where the factor on the features goes.
#[derive(Debug, Clone, Copy)]
pub enum InputScale {
    /// Into the first weights.
    Fold(f32),
    /// Into a tensor of its own.
    Keep(f32),
}

/// Layers of a head with their running statistics and momenta. All tensors are of rank 2.
pub struct Layers {
    kind: Kind,
    /// Exponent of B-cos layers.
    b: f32,
    /// Tracked parameters, in a fixed order; `slots` says whose they are.
    parameters: Vec<Tensor<2>>,
    memory: Memory,
    slots: Vec<Slots>,
    device: Device,
}

/// Places of one layer's parameters, and its norm's running statistics.
struct Slots {
    weight: usize,
    bias: Option<usize>,
    norm: Option<Norm>,
}

struct Norm {
    gamma: usize,
    beta: Option<usize>,
    /// `[1, channels]`, not tracked.
    mean: Tensor<2>,
    /// `[1, channels]`, not tracked.
    variance: Tensor<2>,
}

impl Layers {
    /// Layers with initial weights for features of `channels` channels.
    pub fn new(spec: &ProbeSpec, channels: usize, context: &Context) -> Self {
        let kind = spec.head.kind();
        let device = &context.device;
        let mut layers = Self {
            kind,
            b: spec.b as f32,
            parameters: Vec::new(),
            memory: Memory::new(spec.optimiser, &[]),
            slots: Vec::new(),
            device: device.clone(),
        };
        let count = spec.head.layers();
        for index in 0..count {
            let inputs = if index == 0 { channels } else { spec.hidden };
            let last = index + 1 == count;
            let outputs = if last { context.classes } else { spec.hidden };
            let values = initial(spec, &format!("fc{index}.weight"), outputs * inputs, inputs);
            let weight = layers.add(values, [outputs, inputs], device);
            let bias = (spec.bias && kind == Kind::Mlp)
                .then(|| layers.add(initial(spec, &format!("fc{index}.bias"), outputs, inputs), [1, outputs], device));
            let norm = (!last).then(|| Norm {
                gamma: layers.add(vec![1.0; outputs], [1, outputs], device),
                beta: (spec.norm == NormKind::Batch).then(|| layers.add(vec![0.0; outputs], [1, outputs], device)),
                mean: from_vec(vec![0.0; outputs], [1, outputs], device),
                variance: from_vec(vec![1.0; outputs], [1, outputs], device),
            });
            layers.slots.push(Slots { weight, bias, norm });
        }
        let parameters: Vec<Tensor<2>> = layers.parameters.iter().map(|p| p.clone().inner()).collect();
        layers.memory = Memory::new(spec.optimiser, &parameters);
        layers
    }

    fn add(&mut self, values: Vec<f32>, shape: [usize; 2], device: &Device) -> usize {
        let tensor = from_vec(values, shape, device);
        self.parameters.push(Tensor::from_inner(tensor).require_grad());
        self.parameters.len() - 1
    }

    /// Class values of each cell: `[rows, channels]` to `[rows, classes]`.
    pub fn forward(&mut self, cells: Tensor<2>, mode: Mode) -> Tensor<2> {
        let mut values = cells;
        for index in 0..self.slots.len() {
            let weight = self.parameters[self.slots[index].weight].clone();
            values = match self.kind {
                Kind::Bcos => bcos(values, weight, self.b),
                _ => values.matmul(weight.transpose()),
            };
            if let Some(bias) = self.slots[index].bias {
                values = values + self.parameters[bias].clone();
            }
            if let Some(norm) = &mut self.slots[index].norm {
                values = norm.forward(&self.parameters, values, mode);
                if self.kind == Kind::Mlp {
                    values = burn::tensor::activation::relu(values);
                }
            }
        }
        values
    }

    /// How the layers compute.
    pub fn shape(&self) -> fused::Shape {
        fused::Shape { kind: self.kind, b: self.b }
    }

    /// The layers as plain numbers.
    pub fn plain(&self) -> Vec<fused::Layer> {
        let values = |slot: usize| to_vec(self.parameters[slot].clone().inner());
        let layer = |slots: &Slots| {
            let [outputs, inputs] = self.parameters[slots.weight].dims();
            let norm = slots.norm.as_ref().map(|norm| fused::Norm {
                gamma: values(norm.gamma),
                beta: norm.beta.map(values),
                mean: to_vec(norm.mean.clone()),
                variance: to_vec(norm.variance.clone()),
            });
            fused::Layer { weight: values(slots.weight), inputs, outputs, bias: slots.bias.map(values), norm }
        };
        self.slots.iter().map(layer).collect()
    }

    /// Lets a batch's statistics, one for each norm, enter the running ones.
    pub fn observe<'a>(&mut self, moments: impl Iterator<Item = &'a Moments>, rows: usize) {
        let norms = self.slots.iter_mut().filter_map(|slots| slots.norm.as_mut());
        for (norm, moments) in norms.zip(moments) {
            let device = norm.mean.device();
            let row = |values: &Vec<f32>| from_vec(values.clone(), [1, values.len()], &device);
            norm.observe(row(&moments.mean), row(&moments.variance), rows);
        }
    }

    /// Gradients of the layers as tensors, one a parameter.
    pub fn ordered(&self, gradients: Vec<fused::Gradients>, device: &Device) -> Vec<Tensor<2>> {
        let mut ordered: Vec<Option<Tensor<2>>> = vec![None; self.parameters.len()];
        for (slots, found) in self.slots.iter().zip(gradients) {
            let (gamma, beta) = found.norm.map_or((None, None), |(gamma, beta)| (Some(gamma), beta));
            let norm = slots.norm.as_ref();
            let places = [
                (Some(slots.weight), Some(found.weight)),
                (slots.bias, found.bias),
                (norm.map(|norm| norm.gamma), gamma),
                (norm.and_then(|norm| norm.beta), beta),
            ];
            for (place, values) in places {
                if let (Some(place), Some(values)) = (place, values) {
                    ordered[place] = Some(from_vec(values, self.parameters[place].dims(), device));
                }
            }
        }
        ordered.into_iter().flatten().collect()
    }

    /// Gradients of a tracked scalar, one a parameter.
    pub fn gradients(&self, scalar: Tensor<1>) -> Vec<Tensor<2>> {
        let mut gradients = scalar.backward();
        self.parameters
            .iter()
            .map(|parameter| {
                parameter.grad_remove(&mut gradients).unwrap_or_else(|| parameter.clone().inner().zeros_like())
            })
            .collect()
    }

    /// One step of the optimiser.
    pub fn descend(&mut self, gradients: Vec<Tensor<2>>, rate: f32) {
        let parameters: Vec<Tensor<2>> = self.parameters.iter().map(|p| p.clone().inner()).collect();
        let directions = self.memory.directions(&parameters, gradients);
        let moved = parameters.into_iter().zip(directions).map(|(p, d)| p - d.mul_scalar(rate));
        self.parameters = moved.map(|p| Tensor::from_inner(p).require_grad()).collect();
    }

    /// The weights under the names of the paper's checkpoints.
    pub fn weights(&self, scale: InputScale) -> Weights {
        let mut weights = Weights::default();
        let values = |slot: usize| to_vec(self.parameters[slot].clone().inner());
        for (index, slots) in self.slots.iter().enumerate() {
            let [outputs, inputs] = self.parameters[slots.weight].dims();
            let mut weight = values(slots.weight);
            if let (0, InputScale::Fold(scale)) = (index, scale) {
                weight.iter_mut().for_each(|w| *w *= scale);
            }
            let name = if self.kind == Kind::Bcos { "linear.weight" } else { "weight" };
            weights.insert(format!("fc{index}.{name}"), &[outputs, inputs, 1, 1], weight);
            if let Some(bias) = slots.bias {
                weights.insert(format!("fc{index}.bias"), &[outputs], values(bias));
            }
            if let Some(norm) = &slots.norm {
                weights.insert(format!("bn{index}.weight"), &[outputs], values(norm.gamma));
                weights.insert(format!("bn{index}.running_var"), &[outputs], to_vec(norm.variance.clone()));
                if let Some(beta) = norm.beta {
                    weights.insert(format!("bn{index}.bias"), &[outputs], values(beta));
                    weights.insert(format!("bn{index}.running_mean"), &[outputs], to_vec(norm.mean.clone()));
                }
            }
        }
        if let InputScale::Keep(scale) = scale {
            weights.insert("input_scale", &[1], vec![scale]);
        }
        weights
    }

    /// Adds everything that training changes to a state.
    pub fn save(&self, state: &mut State) {
        for (index, parameter) in self.parameters.iter().enumerate() {
            state.put(format!("parameter{index}"), to_vec(parameter.clone().inner()));
        }
        for (index, norm) in
            self.slots.iter().enumerate().filter_map(|(index, slots)| Some((index, slots.norm.as_ref()?)))
        {
            state.put(format!("mean{index}"), to_vec(norm.mean.clone()));
            state.put(format!("variance{index}"), to_vec(norm.variance.clone()));
        }
        self.memory.save(state);
    }

    /// Takes it out of a state.
    pub fn restore(&mut self, state: &mut State) -> Result<()> {
        for (index, parameter) in self.parameters.iter_mut().enumerate() {
            let values = state.take(&format!("parameter{index}"))?;
            *parameter = Tensor::from_inner(from_vec(values, parameter.dims(), &self.device)).require_grad();
        }
        for (index, slots) in self.slots.iter_mut().enumerate() {
            let Some(norm) = &mut slots.norm else { continue };
            for (name, tensor) in [("mean", &mut norm.mean), ("variance", &mut norm.variance)] {
                *tensor = from_vec(state.take(&format!("{name}{index}"))?, tensor.dims(), &self.device);
            }
        }
        self.memory.restore(state)
    }

    /// Adds `by` to one number of one parameter.
    #[cfg(test)]
    pub fn nudge(&mut self, parameter: usize, place: usize, by: f32) {
        let tensor = self.parameters[parameter].clone().inner();
        let (shape, device) = (tensor.dims(), tensor.device());
        let mut values = to_vec(tensor);
        values[place] += by;
        self.parameters[parameter] = Tensor::from_inner(from_vec(values, shape, &device)).require_grad();
    }
}

// METHOD: B-cos layer on rows x: z = x W^T with unit rows of W, y = (|z| / sqrt(|x|^2 + 1e-6) + e)^(B-1) z, where the
// bcos package has e = 1e-6, but e = 0 where B = 2.
fn bcos(cells: Tensor<2>, weight: Tensor<2>, b: f32) -> Tensor<2> {
    let length = weight.clone().powi_scalar(2).sum_dim(1).sqrt();
    let response = cells.clone().matmul((weight / length).transpose());
    let norm = cells.powi_scalar(2).sum_dim(1).add_scalar(PATCH_NORM_EPSILON).sqrt();
    if b == 2.0 {
        return response.clone().abs() * response / norm;
    }
    let cosine = (response.clone().abs() / norm).add_scalar(COSINE_EPSILON);
    cosine.powf_scalar(b - 1.0) * response
}

impl Norm {
    // METHOD: uncentred norm of B-cos networks: y = x / sqrt(var + 1e-5) gamma, var the ordinary biased variance,
    // whose running mean takes 0.1 of each batch; BatchNorm (with beta) also centres, and its running variance is
    // the unbiased one, as in PyTorch.
    fn forward(&mut self, parameters: &[Tensor<2>], values: Tensor<2>, mode: Mode) -> Tensor<2> {
        let gamma = parameters[self.gamma].clone();
        let [rows, _] = values.dims();
        let (centred, mean, variance) = match mode {
            Mode::Train => {
                let mean = values.clone().mean_dim(0);
                let centred = values.clone() - mean.clone();
                let variance = centred.clone().powi_scalar(2).mean_dim(0);
                self.observe(mean.clone().inner(), variance.clone().inner(), rows);
                (Some(centred), mean, variance)
            }
            Mode::Evaluate => (None, Tensor::from_inner(self.mean.clone()), Tensor::from_inner(self.variance.clone())),
        };
        let scale = gamma / variance.add_scalar(NORM_EPSILON).sqrt();
        match self.beta {
            Some(beta) => centred.unwrap_or_else(|| values - mean) * scale + parameters[beta].clone(),
            None => values * scale,
        }
    }
}

impl Norm {
    /// Lets mean and biased variance of a batch of `rows` enter the running statistics.
    fn observe(&mut self, mean: Tensor<2>, variance: Tensor<2>, rows: usize) {
        let correction = match self.beta {
            Some(_) if rows > 1 => rows as f32 / (rows - 1) as f32,
            _ => 1.0,
        };
        self.mean = running(&self.mean, mean);
        self.variance = running(&self.variance, variance.mul_scalar(correction));
    }
}

fn running(old: &Tensor<2>, new: Tensor<2>) -> Tensor<2> {
    old.clone().mul_scalar(1.0 - NORM_MOMENTUM) + new.mul_scalar(NORM_MOMENTUM)
}
