//! A network as dense matrices of doubles: forward and back by loops over all pairs of values.

use features::network::{Layer, Network, Pool};
use features::tensor::{Tensor, to_vec};

/// Channels, rows, columns.
pub type Shape = [usize; 3];

/// A layer on all values of a map at once.
pub enum Step {
    /// `W x + b`.
    Linear {
        weight: Vec<Vec<f64>>,
        bias: Vec<f64>,
    },
    Relu,
    /// The largest of each window.
    Largest(Vec<Vec<usize>>),
    /// A branch and what it began with.
    Residual(Vec<Step>),
    /// A B-cos convolution: rows of norm 1, the values under each output, its exponent.
    Aligned {
        weight: Vec<Vec<f64>>,
        patches: Vec<Vec<usize>>,
        b: f64,
    },
}

/// What a ReLU hands back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Guide {
    /// The gradient.
    No,
    /// Positive cotangents of positive inputs.
    Guided,
    /// Positive cotangents.
    Deconvnet,
}

/// A network of steps.
pub struct Slow {
    pub steps: Vec<Step>,
    pub shape: Shape,
}

pub fn wide<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    to_vec(tensor.clone()).into_iter().map(f64::from).collect()
}

impl Slow {
    /// The steps of `network` for an input of `shape`.
    pub fn of(network: &Network, shape: Shape) -> Self {
        let mut slow = Self { steps: vec![], shape };
        for layer in &network.layers {
            let (step, shape) = step(layer, slow.shape);
            slow.steps.push(step);
            slow.shape = shape;
        }
        slow
    }

    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        self.steps.iter().fold(x.to_vec(), |x, step| step.forward(&x))
    }

    /// The cotangent at `x` of `given` behind the last step.
    pub fn back(&self, x: &[f64], given: &[f64], guide: Guide) -> Vec<f64> {
        back(&self.steps, x, given, guide)
    }
}

fn back(steps: &[Step], x: &[f64], given: &[f64], guide: Guide) -> Vec<f64> {
    let Some((first, rest)) = steps.split_first() else { return given.to_vec() };
    let given = back(rest, &first.forward(x), given, guide);
    first.back(x, &given, guide)
}

impl Step {
    fn forward(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Linear { weight, bias } => weight.iter().zip(bias).map(|(row, bias)| dot(row, x) + bias).collect(),
            Self::Relu => x.iter().map(|x| x.max(0.0)).collect(),
            Self::Largest(windows) => windows.iter().map(|window| x[winner(window, x)]).collect(),
            Self::Residual(branch) => {
                let made = branch.iter().fold(x.to_vec(), |x, step| step.forward(&x));
                made.iter().zip(x).map(|(made, x)| made + x).collect()
            }
            Self::Aligned { weight, patches, b } => {
                let one = |(row, patch): (&Vec<f64>, &Vec<usize>)| {
                    let response = dot(row, x);
                    scale(response, norm(patch, x), *b) * response
                };
                weight.iter().zip(patches).map(one).collect()
            }
        }
    }

    fn back(&self, x: &[f64], given: &[f64], guide: Guide) -> Vec<f64> {
        match self {
            Self::Linear { weight, .. } => transposed(weight, given, x.len()),
            Self::Relu => {
                let passes = |(x, g): (&f64, &f64)| match guide {
                    Guide::No => *x > 0.0,
                    Guide::Guided => *x > 0.0 && *g > 0.0,
                    Guide::Deconvnet => *g > 0.0,
                };
                x.iter().zip(given).map(|pair| if passes(pair) { *pair.1 } else { 0.0 }).collect()
            }
            Self::Largest(windows) => {
                let mut made = vec![0.0; x.len()];
                windows.iter().zip(given).for_each(|(window, g)| made[winner(window, x)] += g);
                made
            }
            Self::Residual(branch) => {
                back(branch, x, given, guide).iter().zip(given).map(|(made, given)| made + given).collect()
            }
            // METHOD: the scale is held constant: explanation mode.
            Self::Aligned { weight, patches, b } => {
                let scaled: Vec<f64> = weight
                    .iter()
                    .zip(patches)
                    .zip(given)
                    .map(|((row, patch), g)| g * scale(dot(row, x), norm(patch, x), *b))
                    .collect();
                transposed(weight, &scaled, x.len())
            }
        }
    }
}

/// |cos|^(B-1); the bcos package adds 1e-6 to the squared norm, and to the cosine where B is not 2.
fn scale(response: f64, norm: f64, b: f64) -> f64 {
    let cosine = response.abs() / norm;
    if b == 2.0 { cosine } else { (cosine + 1e-6).powf(b - 1.0) }
}

fn norm(patch: &[usize], x: &[f64]) -> f64 {
    (patch.iter().map(|&at| x[at] * x[at]).sum::<f64>() + 1e-6).sqrt()
}

fn dot(row: &[f64], x: &[f64]) -> f64 {
    row.iter().zip(x).map(|(w, x)| w * x).sum()
}

fn transposed(weight: &[Vec<f64>], given: &[f64], inputs: usize) -> Vec<f64> {
    (0..inputs).map(|at| weight.iter().zip(given).map(|(row, g)| row[at] * g).sum()).collect()
}

/// The first of the largest.
fn winner(window: &[usize], x: &[f64]) -> usize {
    window.iter().copied().reduce(|best, at| if x[at] > x[best] { at } else { best }).expect("a window is not empty")
}

fn step(layer: &Layer, shape: Shape) -> (Step, Shape) {
    let [channels, height, width] = shape;
    match layer {
        Layer::Conv(conv) => {
            let (weight, _, to) = dense(conv.weight.tensor(), conv.stride, conv.padding, shape);
            let bias = conv.bias.as_ref().map_or(vec![0.0; to[0]], wide);
            let bias = bias.iter().flat_map(|bias| vec![*bias; to[1] * to[2]]).collect();
            (Step::Linear { weight, bias }, to)
        }
        Layer::BcosConv(conv) => {
            let (mut weight, patches, to) = dense(conv.weight(), conv.stride, conv.padding, shape);
            let kernels = wide(conv.weight());
            let size = kernels.len() / to[0];
            for (row, at) in weight.iter_mut().zip(0..) {
                let kernel: &[f64] = &kernels[at / (to[1] * to[2]) * size..][..size];
                let length = dot(kernel, kernel).sqrt();
                row.iter_mut().for_each(|w| *w /= length);
            }
            (Step::Aligned { weight, patches, b: f64::from(conv.b) }, to)
        }
        Layer::Relu => (Step::Relu, shape),
        Layer::MaxPool(pool) => {
            let [rows, columns] = [height, width].map(|size| (size + 2 * pool.padding - pool.kernel) / pool.stride + 1);
            let window = |c: usize, i: usize, j: usize| -> Vec<usize> {
                let (ys, xs) = (covered(pool, i, height), covered(pool, j, width));
                ys.iter().flat_map(|y| xs.iter().map(move |x| (c * height + y) * width + x)).collect()
            };
            let places = (0..channels).flat_map(|c| (0..rows).flat_map(move |i| (0..columns).map(move |j| (c, i, j))));
            (Step::Largest(places.map(|(c, i, j)| window(c, i, j)).collect()), [channels, rows, columns])
        }
        Layer::GlobalAvgPool => {
            let area = height * width;
            let row = |c: usize| {
                (0..channels * area).map(|at| if at / area == c { 1.0 / area as f64 } else { 0.0 }).collect()
            };
            let weight = (0..channels).map(row).collect();
            (Step::Linear { weight, bias: vec![0.0; channels] }, [channels, 1, 1])
        }
        Layer::Offset(offset) => {
            let size = channels * height * width;
            let row = |i: usize| (0..size).map(|at| f64::from(u8::from(at == i))).collect();
            (Step::Linear { weight: (0..size).map(row).collect(), bias: vec![f64::from(*offset); size] }, shape)
        }
        Layer::Sum(branches) => {
            assert!(branches.len() == 2 && branches[1].layers.is_empty(), "the shortcut is the identity");
            let branch = Slow::of(&branches[0], shape);
            (Step::Residual(branch.steps), branch.shape)
        }
        other => panic!("{other:?} is not in these networks"),
    }
}

/// Indices of an axis under window `index`.
fn covered(pool: &Pool, index: usize, size: usize) -> Vec<usize> {
    (0..pool.kernel)
        .filter_map(|k| (index * pool.stride + k).checked_sub(pool.padding))
        .filter(|&at| at < size)
        .collect()
}

/// A convolution's matrix, the values under each output, and the output's shape.
fn dense(
    weight: &Tensor<4>,
    stride: [usize; 2],
    padding: [usize; 2],
    [channels, height, width]: Shape,
) -> (Vec<Vec<f64>>, Vec<Vec<usize>>, Shape) {
    let [outputs, inputs, kernel_rows, kernel_columns] = weight.dims();
    let values = wide(weight);
    let rows = (height + 2 * padding[0] - kernel_rows) / stride[0] + 1;
    let columns = (width + 2 * padding[1] - kernel_columns) / stride[1] + 1;
    let (mut matrix, mut patches) = (Vec::new(), Vec::new());
    for o in 0..outputs {
        for i in 0..rows {
            for j in 0..columns {
                let (mut row, mut patch) = (vec![0.0; channels * height * width], Vec::new());
                for c in 0..inputs {
                    for a in 0..kernel_rows {
                        for b in 0..kernel_columns {
                            let (y, x) = (i * stride[0] + a, j * stride[1] + b);
                            if y < padding[0] || x < padding[1] || y - padding[0] >= height || x - padding[1] >= width {
                                continue;
                            }
                            let at = (c * height + y - padding[0]) * width + x - padding[1];
                            row[at] = values[((o * inputs + c) * kernel_rows + a) * kernel_columns + b];
                            patch.push(at);
                        }
                    }
                }
                matrix.push(row);
                patches.push(patch);
            }
        }
    }
    (matrix, patches, [outputs, rows, columns])
}
