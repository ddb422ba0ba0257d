//! The rules by which one layer hands cotangents or relevance back, each a printed formula.
//!
//! [`Rule`] is the name of a rule with its constants; `Bound` is a rule fastened to one layer, with every changed
//! weight already made. What comes in belongs to the layer's output, what goes out to its input.

mod bcos;
mod relevance;
mod window;

pub use bcos::{BcosRule, Scaling};
pub use relevance::{BoxRule, GammaRule, Sign, stabilise};

use features::{network::Pool, tensor::Tensor};

use crate::{
    batch::{positive, times},
    linear::{LinearMap, average_transpose, global_average_transpose},
    plan::Plan,
    tape::Seen,
};

/// The stabiliser of every LRP denominator, in units of the activation.
pub const STABILISER: f32 = 1e-6;

/// How one kind of layer hands back what it gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The transpose of the layer's Jacobian.
    Gradient,
    /// ReLU of guided backpropagation: `max(0, g) * [x > 0]` (Springenberg et al. 2015).
    Guided,
    /// B-cos explanation mode: the scale counts as a constant, so the layer is linear (Böhle et al. 2022).
    DetachedScale,
    /// LRP-gamma for inputs of any sign, with biases (Montavon et al. 2019; Andéol et al. 2023).
    Gamma {
        /// How much positive contributions are favoured.
        gamma: f32,
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
    /// Unchanged.
    Pass,
    /// Shared in proportion to the contributions: `x * Wᵀ(R / (W x))`, for averages and for sums of branches.
    Proportional,
    /// Every branch of a sum gets all of it.
    Duplicate,
}

/// A rule fastened to a layer.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Identity,
    Linear(LinearMap),
    Scale(Tensor<4>),
    Bcos(Box<BcosRule>),
    ReluGradient,
    ReluGuided,
    MaxPool(Pool),
    AvgPool(Pool),
    AvgPoolShare(Pool),
    GlobalAverage,
    GlobalAverageShare,
    OffsetShare,
    Gamma(Box<GammaRule>),
    Epsilon(LinearMap, f32),
    Box(Box<BoxRule>),
    SumDuplicate(Vec<Plan>),
    SumShare(Vec<Plan>),
}

impl Bound {
    /// `[n * k, ..]` of the output's shape to `[n * k, ..]` of the input's.
    pub(crate) fn pull_back(&self, seen: &Seen<'_>, given: Tensor<4>) -> Tensor<4> {
        let size = seen.size();
        match self {
            Self::Identity => given,
            Self::Linear(map) => map.transpose(given, size),
            Self::Scale(factor) => given * factor.clone(),
            Self::Bcos(rule) => rule.pull_back(seen, given),
            Self::ReluGradient => times(given, positive(seen.input.clone())),
            // METHOD: guided backpropagation, the gradient of a ReLU restricted to positive cotangents.
            Self::ReluGuided => times(given.clamp_min(0.0), positive(seen.input.clone())),
            Self::MaxPool(pool) => window::max_transpose(pool, seen.input, given),
            Self::AvgPool(pool) => average_transpose(pool, given, size),
            Self::AvgPoolShare(pool) => share(seen, given, |r| average_transpose(pool, r, size)),
            Self::GlobalAverage => global_average_transpose(given, size),
            Self::GlobalAverageShare => share(seen, given, |r| global_average_transpose(r, size)),
            // METHOD: R * z / stab(z + b): the constant b absorbs the rest.
            Self::OffsetShare => share(seen, given, |ratio| ratio),
            Self::Gamma(rule) => rule.pull_back(seen, given),
            // METHOD: LRP-epsilon: R_i = x_i * sum_o w_oi R_o / stab(z_o), the bias inside z.
            Self::Epsilon(map, epsilon) => {
                let ratio = times(given, stabilise(seen.output.clone(), *epsilon).recip());
                times(map.transpose(ratio, size), seen.input.clone())
            }
            Self::Box(rule) => rule.pull_back(seen, given),
            Self::SumDuplicate(plans) => branches(seen, plans, |_| given.clone()),
            // METHOD: the Norm rule on the stacked branches: R_b = R * y_b / stab(sum of y).
            Self::SumShare(plans) => {
                let ratio = times(given, stabilise(seen.output.clone(), STABILISER).recip());
                branches(seen, plans, |output| times(ratio.clone(), output.clone()))
            }
        }
    }
}

/// `x * poolᵀ(R / stab(pool(x)))`.
fn share(seen: &Seen<'_>, given: Tensor<4>, transpose: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let ratio = times(given, stabilise(seen.output.clone(), STABILISER).recip());
    times(transpose(ratio), seen.input.clone())
}

/// Pulls each branch's part back through its own tape and adds what arrives at the shared input.
fn branches(seen: &Seen<'_>, plans: &[Plan], part: impl Fn(&Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    seen.branches
        .iter()
        .zip(plans)
        .map(|(tape, plan)| tape.pull_back(plan, part(tape.output())))
        .reduce(|total, branch| total + branch)
        .expect("a sum has at least one branch")
}
