//! A layered head on the CPU: matrix products, and everything between them fused over rows.
//!
//! Autodiff walks the same maps some thirty times a layer, and memory is what the CPU waits for; the closed form walks
//! them four times. Tests hold it equal to autodiff, which other devices use.

use features::network::{Matrix, NORM_EPSILON, PATCH_NORM_EPSILON};

use super::columns::{Moments, product_sums, sums};
use super::layers::{COSINE_EPSILON, Mode};
use super::product::{times, transposed_times};
use crate::spec::Kind;

/// One layer's parameters as plain numbers.
#[derive(Debug, Clone)]
pub struct Layer {
    /// `[outputs, inputs]`, of any length.
    pub weight: Vec<f32>,
    /// Width of a row that comes in.
    pub inputs: usize,
    /// Width of a row that goes out.
    pub outputs: usize,
    /// Added to each output.
    pub bias: Option<Vec<f32>>,
    /// Follows all layers but the last.
    pub norm: Option<Norm>,
}

/// Parameters and running statistics of one norm.
#[derive(Debug, Clone)]
pub struct Norm {
    /// Factor of each channel.
    pub gamma: Vec<f32>,
    /// Shift of each channel; a norm without one does not centre either.
    pub beta: Option<Vec<f32>>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance.
    pub variance: Vec<f32>,
}

/// Gradients of one layer's parameters.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Of the weight.
    pub weight: Vec<f32>,
    /// Of the bias, where there is one.
    pub bias: Option<Vec<f32>>,
    /// Of gamma and, where there is one, beta.
    pub norm: Option<(Vec<f32>, Option<Vec<f32>>)>,
}

/// What a layer's forward pass leaves for its backward pass.
struct Kept {
    /// `[rows, inputs]`.
    input: Vec<f32>,
    /// Of B-cos layers: the linear response `[rows, outputs]`.
    response: Vec<f32>,
    /// Of B-cos layers: norm of each input row.
    lengths: Vec<f32>,
    /// What enters the norm, `[rows, outputs]`.
    value: Vec<f32>,
    /// Statistics the norm used.
    moments: Option<Moments>,
}

/// How the layers of a head compute.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Kind of its layers.
    pub kind: Kind,
    /// Exponent of B-cos layers.
    pub b: f32,
}

impl Shape {
    /// What a B-cos layer makes of a response, divided by it, where the input has this length.
    // METHOD: (|z| / L + e)^(B-1), e = 1e-6, as in the bcos package; it has |z| / L where B = 2.
    fn factor(self, response: f32, length: f32) -> f32 {
        match self.b {
            2.0 => response.abs() / length,
            b => (response.abs() / length + COSINE_EPSILON).powf(b - 1.0),
        }
    }

    /// The slope of the layer's value in its response.
    // METHOD: with c = |z| / L + e, y = c^(B-1) z: dy/dz = c^(B-2) (c + (B-1) |z| / L).
    fn slope(self, response: f32, length: f32) -> f32 {
        let cosine = response.abs() / length;
        let moved = cosine + COSINE_EPSILON;
        moved.powf(self.b - 2.0) * (moved + (self.b - 1.0) * cosine)
    }

    /// The slope of the layer's value in the input's length, times the length, times minus 1.
    // METHOD: -L dy/dL = (B-1) c^(B-2) z |z| / L.
    fn pull(self, response: f32, length: f32) -> f32 {
        let cosine = response.abs() / length;
        (self.b - 1.0) * (cosine + COSINE_EPSILON).powf(self.b - 2.0) * response * cosine
    }
}

/// A head's forward pass over some rows, kept.
pub struct Pass<'a> {
    shape: Shape,
    kind: Kind,
    layers: &'a [Layer],
    /// Length of each weight row, 1 where it does not count.
    weight_lengths: Vec<Vec<f32>>,
    /// Weights as used: unit rows in B-cos layers.
    weights: Vec<Vec<f32>>,
    kept: Vec<Kept>,
    rows: usize,
}

impl<'a> Pass<'a> {
    /// Runs the head on `[rows, inputs]`; the second value is `[rows, classes]`.
    pub fn forward(shape: Shape, layers: &'a [Layer], cells: Vec<f32>, mode: Mode) -> (Self, Vec<f32>) {
        let kind = shape.kind;
        let rows = cells.len() / layers[0].inputs;
        let (mut weights, mut weight_lengths) = (Vec::new(), Vec::new());
        for layer in layers {
            let lengths: Vec<f32> = match kind {
                Kind::Bcos => layer.weight.chunks(layer.inputs).map(|row| dot(row, row).sqrt()).collect(),
                _ => vec![1.0; layer.outputs],
            };
            let mut weight = layer.weight.clone();
            for (row, length) in weight.chunks_mut(layer.inputs).zip(&lengths) {
                row.iter_mut().for_each(|w| *w /= length);
            }
            weights.push(weight);
            weight_lengths.push(lengths);
        }
        let mut pass = Self { shape, kind, layers, weight_lengths, weights, kept: Vec::new(), rows };
        let mut values = cells;
        for index in 0..layers.len() {
            values = pass.layer_forward(index, values, mode);
        }
        (pass, values)
    }

    fn layer_forward(&mut self, index: usize, cells: Vec<f32>, mode: Mode) -> Vec<f32> {
        let layer = &self.layers[index];
        let input = cells;
        let mut value = times(&input, layer.inputs, self.used(index).transposed(), layer.outputs);
        let (mut response, mut lengths) = (Vec::new(), Vec::new());
        if self.kind == Kind::Bcos {
            // METHOD: B-cos layer: with B = 2 y = |z| z / L, L = sqrt(|x|^2 + 1e-6), z = W x with unit rows of W.
            lengths = input.chunks(layer.inputs).map(|row| (dot(row, row) + PATCH_NORM_EPSILON).sqrt()).collect();
            response = value;
            value = Vec::with_capacity(response.len());
            for (row, length) in response.chunks(layer.outputs).zip(&lengths) {
                if self.shape.b == 2.0 {
                    let factor = 1.0 / length;
                    value.extend(row.iter().map(|z| z.abs() * z * factor));
                } else {
                    value.extend(row.iter().map(|&z| self.shape.factor(z, *length) * z));
                }
            }
        }
        if let Some(bias) = &layer.bias {
            value.chunks_mut(layer.outputs).for_each(|row| row.iter_mut().zip(bias).for_each(|(v, b)| *v += b));
        }
        let Some(norm) = &layer.norm else {
            let output = value.clone();
            self.kept.push(Kept { input, response, lengths, value, moments: None });
            return output;
        };
        let moments = match mode {
            Mode::Train => Moments::of(&value, layer.outputs),
            Mode::Evaluate => Moments { mean: norm.mean.clone(), variance: norm.variance.clone() },
        };
        let (scale, shift) = norm.affine(&moments);
        let floor = if self.kind == Kind::Mlp { 0.0 } else { f32::NEG_INFINITY };
        let mut output = Vec::with_capacity(value.len());
        for row in value.chunks(layer.outputs) {
            output.extend(row.iter().zip(&scale).zip(&shift).map(|((v, k), s)| (v * k + s).max(floor)));
        }
        self.kept.push(Kept { input, response, lengths, value, moments: Some(moments) });
        output
    }

    /// A layer's weight as used: `[outputs, inputs]`.
    fn used(&self, index: usize) -> Matrix<'_> {
        Matrix::rows(&self.weights[index], self.layers[index].inputs)
    }

    /// Mean and biased variance that each norm used, in the order of the layers that have one.
    pub fn moments(&self) -> impl Iterator<Item = &Moments> {
        self.kept.iter().filter_map(|kept| kept.moments.as_ref())
    }

    /// Gradients of every layer, from the gradient `[rows, classes]` of a loss.
    pub fn backward(mut self, gradient: Vec<f32>, mode: Mode) -> Vec<Gradients> {
        let mut gradient = gradient;
        let mut found = Vec::with_capacity(self.layers.len());
        for index in (0..self.layers.len()).rev() {
            let Some(kept) = self.kept.pop() else { break };
            let (gradients, below) = self.layer_backward(index, kept, gradient, mode);
            found.push(gradients);
            gradient = below;
        }
        found.reverse();
        found
    }

    fn layer_backward(&self, index: usize, kept: Kept, mut gradient: Vec<f32>, mode: Mode) -> (Gradients, Vec<f32>) {
        let layer = &self.layers[index];
        let norm = match (&layer.norm, &kept.moments) {
            (Some(norm), Some(moments)) => {
                Some(norm.backward(moments, &kept.value, &mut gradient, mode, self.kind == Kind::Mlp))
            }
            _ => None,
        };
        let bias = layer.bias.as_ref().map(|_| sums(&gradient, layer.outputs).into_iter().map(|s| s as f32).collect());
        // Of B-cos layers: -(sum over outputs of gradient times value) / |x|^2, the share of the input's norm.
        let mut pull = Vec::new();
        if self.kind == Kind::Bcos {
            pull.reserve(self.rows);
            let outputs = layer.outputs;
            let rows = gradient.chunks_mut(outputs).zip(kept.response.chunks(outputs)).zip(kept.value.chunks(outputs));
            for (((gradient, response), value), length) in rows.zip(&kept.lengths) {
                if self.shape.b == 2.0 {
                    pull.push(-dot(gradient, value) / (length * length));
                    let factor = 2.0 / length;
                    gradient.iter_mut().zip(response).for_each(|(g, z)| *g *= z.abs() * factor);
                } else {
                    let shape = self.shape;
                    let lost: f32 = gradient.iter().zip(response).map(|(g, &z)| g * shape.pull(z, *length)).sum();
                    pull.push(-lost / (length * length));
                    gradient.iter_mut().zip(response).for_each(|(g, &z)| *g *= shape.slope(z, *length));
                }
            }
        }
        let mut weight = transposed_times(&gradient, layer.outputs, &kept.input, layer.inputs);
        if self.kind == Kind::Bcos {
            // The gradient through the division by a row's length has no part along the row.
            let rows = weight.chunks_mut(layer.inputs).zip(self.weights[index].chunks(layer.inputs));
            for ((gradient, unit), length) in rows.zip(&self.weight_lengths[index]) {
                let along = dot(gradient, unit);
                gradient.iter_mut().zip(unit).for_each(|(g, u)| *g = (*g - along * u) / length);
            }
        }
        let gradients = Gradients { weight, bias, norm };
        if index == 0 {
            return (gradients, Vec::new());
        }
        let mut below = times(&gradient, layer.outputs, self.used(index), layer.inputs);
        if self.kind == Kind::Bcos {
            let input = &kept.input;
            for ((below, input), pull) in below.chunks_mut(layer.inputs).zip(input.chunks(layer.inputs)).zip(&pull) {
                below.iter_mut().zip(input).for_each(|(g, x)| *g += pull * x);
            }
        }
        (gradients, below)
    }
}

impl Norm {
    /// Factor and shift of each channel under these statistics.
    fn affine(&self, moments: &Moments) -> (Vec<f32>, Vec<f32>) {
        let scale: Vec<f32> =
            self.gamma.iter().zip(&moments.variance).map(|(g, v)| g / (v + NORM_EPSILON).sqrt()).collect();
        let shift = match &self.beta {
            Some(beta) => beta.iter().zip(&moments.mean).zip(&scale).map(|((b, m), k)| b - m * k).collect(),
            None => vec![0.0; scale.len()],
        };
        (scale, shift)
    }

    /// Turns the gradient behind the norm (and the ReLU, where one follows) into that before it; gives the gradients
    /// of gamma and beta.
    // METHOD: with d the gradient behind the norm, u = (value - mean) / s, s = sqrt(var + 1e-5), m the mean over rows:
    // centred  gamma / s (d - m[d] - u m[d u]);  uncentred  gamma / s (d - u m[d value] / s), since the mean stays in.
    fn backward(
        &self,
        moments: &Moments,
        value: &[f32],
        gradient: &mut [f32],
        mode: Mode,
        relu: bool,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let channels = self.gamma.len();
        let (scale, shift) = self.affine(moments);
        if relu {
            for (gradient, value) in gradient.chunks_mut(channels).zip(value.chunks(channels)) {
                for (((g, v), k), s) in gradient.iter_mut().zip(value).zip(&scale).zip(&shift) {
                    *g = if v * k + s > 0.0 { *g } else { 0.0 };
                }
            }
        }
        let plain = sums(gradient, channels);
        let weighted = product_sums(gradient, value, channels);
        let rows = (value.len() / channels) as f64;
        let deviation: Vec<f64> = moments.variance.iter().map(|v| f64::from(v + NORM_EPSILON).sqrt()).collect();
        // Sum over rows of gradient times u.
        let aligned: Vec<f64> =
            (0..channels).map(|c| (weighted[c] - f64::from(moments.mean[c]) * plain[c]) / deviation[c]).collect();
        let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
        let gamma = match self.beta {
            Some(_) => aligned.clone(),
            None => (0..channels).map(|c| weighted[c] / deviation[c]).collect(),
        };
        // The gradient before the norm is scale gradient + slope value + constant, channel by channel.
        let (slope, constant): (Vec<f32>, Vec<f32>) = (0..channels)
            .map(|c| {
                let (k, s, mean) = (f64::from(scale[c]), deviation[c], f64::from(moments.mean[c]));
                let (slope, constant) = match (mode, &self.beta) {
                    (Mode::Evaluate, _) => (0.0, 0.0),
                    (Mode::Train, Some(_)) => {
                        let slope = -k * aligned[c] / (rows * s);
                        (slope, -k * plain[c] / rows - slope * mean)
                    }
                    (Mode::Train, None) => {
                        let slope = -k * weighted[c] / (rows * s * s);
                        (slope, -slope * mean)
                    }
                };
                (slope as f32, constant as f32)
            })
            .unzip();
        for (gradient, value) in gradient.chunks_mut(channels).zip(value.chunks(channels)) {
            for c in 0..channels {
                gradient[c] = gradient[c] * scale[c] + value[c] * slope[c] + constant[c];
            }
        }
        (single(gamma), self.beta.as_ref().map(|_| single(plain)))
    }
}

/// Eight sums side by side, which the compiler turns into vector instructions; the order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
