//! The rules by which one layer hands cotangents or relevance back, each a printed formula.
//!
//! [`Rule`] is the name of a rule with its constants; `Bound` is a rule fastened to one layer, with every changed
//! weight already made. What comes in belongs to the layer's output, what goes out to its input.

mod attention;
mod bcos;
mod pixels;
mod rescale;
mod split;
mod window;

pub(crate) use attention::Looks;
pub use bcos::{BcosRule, Scaling};
pub use pixels::{BoxRule, ShareRule};
pub use split::{Carrier, Sign, SplitRule};
pub(crate) use window::Routes;
pub use window::Winners;

use features::{
    network::{AttentionPool, Maps, Pool, times_channels},
    tensor::{Device, Tensor},
};
use rayon::prelude::*;

use crate::{
    linear::LinearMap,
    plan::Plan,
    program::{Op, Program},
    tape::Seen,
};

/// The stabiliser of every LRP denominator, in units of the activation.
pub const STABILISER: f32 = 1e-6;

/// Values that are worth a thread of their own.
const LEAST_VALUES: usize = 1 << 15;

/// `z + epsilon * sign(z)`, where the sign of 0 is +1: no denominator is smaller than `epsilon`.
pub fn stabilise(values: Tensor<4>, epsilon: f32) -> Tensor<4> {
    let sign = values.clone().greater_equal_elem(0.0).float() * (2.0 * epsilon) - epsilon;
    values + sign
}

/// [`stabilise`] of one value.
fn stable(value: f32, epsilon: f32) -> f32 {
    value + if value >= 0.0 { epsilon } else { -epsilon }
}

/// `1 / (z + epsilon * sign(z))`, see [`stabilise`].
pub(crate) fn reciprocal(values: Tensor<4>, epsilon: f32) -> Tensor<4> {
    match values.device() {
        // One pass over values that nobody shares, instead of six.
        device @ Device::Flex(_) => {
            let mut maps = Maps::of(values);
            let each = maps.values.par_iter_mut().with_min_len(LEAST_VALUES);
            each.for_each(|value| *value = stable(*value, epsilon).recip());
            maps.into_tensor(&device)
        }
        _ => stabilise(values, epsilon).recip(),
    }
}

/// How one kind of layer hands back what it gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The transpose of the layer's Jacobian.
    Gradient,
    /// ReLU of guided backpropagation: `max(0, g) * [x > 0]` (Springenberg et al. 2015).
    Guided,
    /// ReLU of the deconvnet: `max(0, g)`, whatever the input was (Zeiler & Fergus 2014).
    Deconvolved,
    /// B-cos explanation mode: the scale counts as a constant, so the layer is linear (Böhle et al. 2022).
    DetachedScale,
    /// LRP-gamma for inputs of any sign, with biases (Montavon et al. 2019; Andéol et al. 2023).
    Gamma {
        /// How much positive contributions are favoured.
        gamma: f32,
    },
    /// LRP-alpha-beta for inputs of any sign, with biases; alpha - beta = 1 (Bach et al. 2015).
    AlphaBeta {
        /// Weight of the positive contributions.
        alpha: f32,
        /// Weight of the negative contributions; 0 gives the z+ rule.
        beta: f32,
    },
    /// LRP-epsilon (Bach et al. 2015).
    Epsilon {
        /// The stabiliser.
        epsilon: f32,
    },
    /// LRP box rule for bounded pixels (Montavon et al. 2017).
    ZBox {
        /// Smallest input of each channel.
        low: Vec<f32>,
        /// Largest input of each channel.
        high: Vec<f32>,
    },
    /// LRP w-square rule for unbounded pixels (Montavon et al. 2017).
    WSquare,
    /// LRP flat rule: all pixels under a kernel share alike (Lapuschkin et al. 2019).
    Flat,
    /// Unchanged.
    Pass,
    /// Shared in proportion to the contributions: `x * Wᵀ(R / (W x))`, for averages and for sums of branches.
    Proportional,
    /// Every branch of a sum gets all of it.
    Duplicate,
    /// Every branch gets what belongs to its own channels, where branches stand side by side.
    ByChannel,
    /// Every cell of a grid gets what belongs to its own place, where a network runs on each of them.
    ByCell,
    /// The composite's method says nothing about such a layer: binding it is an error.
    Undefined,
    /// DeepLIFT's rescale rule at a layer without weights: the finite difference from a baseline (Shrikumar et al.
    /// 2017). The tape holds a picture and its baseline.
    Rescale,
}

/// A rule fastened to a layer.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Identity,
    Linear(LinearMap),
    Scale(Tensor<1>),
    Bcos(Box<BcosRule>),
    ReluGradient,
    ReluGuided,
    ReluDeconvolved,
    ReluRescale,
    MaxPool(Pool),
    MaxPoolRescale(Pool),
    AvgPool(Pool),
    AvgPoolShare(Pool),
    GlobalAverage,
    GlobalAverageShare,
    OffsetShare,
    Split(Box<SplitRule>),
    Epsilon(LinearMap, f32),
    Box(Box<BoxRule>),
    Share(Box<ShareRule>),
    Attention(Box<AttentionPool>),
    SumDuplicate(Vec<Plan>),
    SumShare(Vec<Plan>),
    Concat(Vec<Plan>),
    Apart(Box<Plan>, usize),
}

impl Bound {
    /// What the rule does to cotangents of the output, added to a program that brings them to the output.
    pub(crate) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let size = seen.size();
        match self {
            Self::Identity => {}
            Self::Linear(map) => program.push(Op::Transpose(map.clone(), size)),
            // The same for all images, so one of them is enough.
            Self::Scale(scale) => {
                let ones = seen.output.clone().narrow(0, 0, 1).ones_like();
                program.push(Op::Times(times_channels(ones, scale)));
            }
            Self::Bcos(rule) => rule.fasten(seen, program),
            Self::ReluGradient => program.push(Op::Gate(seen.input.clone())),
            // METHOD: guided backpropagation, the gradient of a ReLU restricted to positive cotangents.
            Self::ReluGuided => {
                program.push(Op::Gate(seen.input.clone()));
                program.push(Op::PositivePart);
            }
            // METHOD: deconvnet, the ReLU applied to the cotangent.
            Self::ReluDeconvolved => program.push(Op::PositivePart),
            Self::ReluRescale => rescale::relu(seen, program),
            Self::MaxPool(pool) => program.push(Op::Route(Winners::find(pool, seen.input))),
            Self::MaxPoolRescale(pool) => rescale::max_pool(pool, seen, program),
            Self::AvgPool(pool) => program.push(Op::Average(*pool, size)),
            Self::AvgPoolShare(pool) => share(seen, Some(Op::Average(*pool, size)), program),
            Self::GlobalAverage => program.push(Op::GlobalAverage(size)),
            Self::GlobalAverageShare => share(seen, Some(Op::GlobalAverage(size)), program),
            // METHOD: R * z / stab(z + b): the constant b absorbs the rest.
            Self::OffsetShare => share(seen, None, program),
            Self::Split(rule) => rule.fasten(seen, program),
            // METHOD: LRP-epsilon: R_i = x_i * sum_o w_oi R_o / stab(z_o), the bias inside z.
            Self::Epsilon(map, epsilon) => {
                program.push(Op::Times(reciprocal(seen.output.clone(), *epsilon)));
                program.push(Op::Transpose(map.clone(), size));
                program.push(Op::Times(seen.input.clone()));
            }
            Self::Box(rule) => rule.fasten(seen, program),
            Self::Share(rule) => rule.fasten(seen, program),
            Self::Attention(pool) => program.push(Op::Attend(Box::new(Looks::of(pool, seen.input)))),
            Self::SumDuplicate(plans) => program.push(Op::Sum(branches(seen, plans, |_| None))),
            Self::Concat(plans) => {
                let channels = seen.branches.iter().map(|tape| tape.output().dims()[1]);
                program.push(Op::Concat(channels.zip(branches(seen, plans, |_| None)).collect()));
            }
            Self::Apart(plan, grid) => {
                let [_, channels, rows, columns] = seen.branches[0].input().dims();
                let cells = seen.branches.iter().map(|tape| tape.program(plan)).collect();
                program.push(Op::Apart { grid: *grid, cells, shape: [channels, rows, columns] });
            }
            // METHOD: the Norm rule on the stacked branches: R_b = R * y_b / stab(sum of y).
            Self::SumShare(plans) => {
                let ratio = reciprocal(seen.output.clone(), STABILISER);
                program.push(Op::Sum(branches(seen, plans, |output| Some(ratio.clone() * output.clone()))));
            }
        }
    }
}

/// `x * poolᵀ(R / stab(pool(x)))`.
fn share(seen: &Seen<'_>, transpose: Option<Op>, program: &mut Program) {
    program.push(Op::Times(reciprocal(seen.output.clone(), STABILISER)));
    transpose.into_iter().for_each(|op| program.push(op));
    program.push(Op::Times(seen.input.clone()));
}

/// Each branch's part, a product with values made of its output, goes back through its own tape.
fn branches(seen: &Seen<'_>, plans: &[Plan], part: impl Fn(&Tensor<4>) -> Option<Tensor<4>>) -> Vec<Program> {
    let programs = seen.branches.iter().zip(plans).map(|(tape, plan)| {
        let mut program = Program::default();
        part(tape.output()).into_iter().for_each(|values| program.push(Op::Times(values)));
        program.extend(tape.program(plan));
        program
    });
    programs.collect()
}
