//! Composites: which rule each kind of layer is pulled back by. A composite is a function, its `match` the table.
//!
//! The match is exhaustive, so a new kind of layer cannot fall back to the plain gradient unnoticed.

use std::fmt;

use features::network::Layer;

use crate::rule::{Rule, STABILISER};

/// The gamma of LRP in convolutions, as in Zennit's epsilon-gamma-box composite.
pub const GAMMA: f32 = 0.25;

/// A table of rules.
#[derive(Debug, Clone, PartialEq)]
pub enum Composite {
    /// The gradient of the logit.
    Gradient,
    /// Guided backpropagation: the gradient with guided ReLUs.
    GuidedBackprop,
    /// Deconvnet: the gradient with ReLUs applied to cotangents.
    Deconvnet,
    /// B-cos explanation mode: the gradient with constant B-cos scales.
    Bcos,
    /// LRP: box rule on pixels, gamma in convolutions, proportional averages.
    EpsilonGammaBox {
        /// Smallest value of each input channel, for the box rule.
        low: Vec<f32>,
        /// Largest value of each input channel.
        high: Vec<f32>,
        /// What a sum of branches does.
        sum: ResidualSum,
    },
    /// LRP: the epsilon rule in all convolutions.
    Epsilon,
    /// LRP: z+ in convolutions, epsilon in heads.
    EpsilonPlus(First),
    /// LRP: alpha 2, beta 1 in convolutions, epsilon in heads.
    EpsilonAlpha2Beta1(First),
    /// Excitation backpropagation: z+ in all convolutions.
    ExcitationBackprop,
    /// DeepLIFT: the gradient with finite differences from a baseline at ReLUs and maxima.
    DeepLift,
}

/// LRP in the first convolution.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// As in all others.
    Same,
    /// Every pixel under the kernel alike.
    Flat,
    /// In proportion to squared weights.
    WSquare,
    /// The box rule.
    ZBox {
        /// Smallest value of each input channel.
        low: Vec<f32>,
        /// Largest value of each input channel.
        high: Vec<f32>,
    },
}

/// LRP at the sum of a residual branch and its shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResidualSum {
    /// Shared in proportion to the branches: relevance is conserved. The default, method `lrp`.
    Proportional,
    /// All of it to every branch, as the published code does because Zennit's canoniser does not know its blocks:
    /// the sum of relevance grows about twofold a block. Method `lrp:reference`.
    Duplicate,
}

/// What a rule is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Convolution, the 1x1 ones of probe heads included.
    Conv,
    /// B-cos convolution.
    BcosConv,
    /// Channel scale that no rule of the convolution before it covers.
    Scale,
    /// ReLU.
    Relu,
    /// Maximum over windows.
    MaxPool,
    /// Mean over windows.
    AvgPool,
    /// Mean over all positions.
    GlobalAvgPool,
    /// Sum of branches.
    Sum,
    /// Branches side by side.
    Concat,
    /// A network on each cell of a grid.
    Apart,
    /// CLIP's attention pool.
    AttentionPool,
    /// Constant logit offset.
    Offset,
}

/// Where the layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first convolution, which sees the pixels.
    First,
    /// Any other layer of a backbone.
    Later,
    /// A layer of a probe head, whose 1x1 convolutions are what other networks have dense layers for.
    Head,
}

impl Kind {
    /// The kind of a layer.
    pub fn of(layer: &Layer) -> Self {
        match layer {
            Layer::Conv(_) => Self::Conv,
            Layer::BcosConv(_) => Self::BcosConv,
            Layer::Scale(_) => Self::Scale,
            Layer::Relu => Self::Relu,
            Layer::MaxPool(_) => Self::MaxPool,
            Layer::AvgPool(_) => Self::AvgPool,
            Layer::GlobalAvgPool => Self::GlobalAvgPool,
            Layer::Sum(_) => Self::Sum,
            Layer::Concat(_) => Self::Concat,
            Layer::Apart(_) => Self::Apart,
            Layer::AttentionPool(_) => Self::AttentionPool,
            Layer::Offset(_) => Self::Offset,
        }
    }
}

impl Composite {
    /// The table.
    pub fn rule(&self, kind: Kind, place: Place) -> Rule {
        match self {
            Self::Gradient | Self::GuidedBackprop | Self::Deconvnet | Self::Bcos => self.gradient(kind),
            Self::DeepLift => match kind {
                Kind::Relu | Kind::MaxPool | Kind::BcosConv => Rule::Rescale,
                Kind::Sum => Rule::Duplicate,
                Kind::Concat => Rule::ByChannel,
                Kind::Apart => Rule::ByCell,
                Kind::AttentionPool => Rule::Undefined,
                Kind::Conv | Kind::Scale | Kind::AvgPool | Kind::GlobalAvgPool | Kind::Offset => Rule::Gradient,
            },
            Self::EpsilonGammaBox { low, high, sum } => match kind {
                Kind::Conv => match place {
                    Place::First => Rule::ZBox { low: low.clone(), high: high.clone() },
                    // The 1x1 convolution of a linear head is a convolution in the published code too.
                    Place::Later | Place::Head => Rule::Gamma { gamma: GAMMA },
                },
                kind => relevance(kind, *sum),
            },
            Self::Epsilon => match kind {
                Kind::Conv => EPSILON,
                kind => relevance(kind, ResidualSum::Proportional),
            },
            Self::EpsilonPlus(first) => convolutions(kind, place, first, Z_PLUS),
            Self::EpsilonAlpha2Beta1(first) => {
                convolutions(kind, place, first, Rule::AlphaBeta { alpha: 2.0, beta: 1.0 })
            }
            Self::ExcitationBackprop => match kind {
                Kind::Conv => Z_PLUS,
                kind => relevance(kind, ResidualSum::Proportional),
            },
        }
    }

    /// The table of the composites that are gradients but for one kind of layer.
    fn gradient(&self, kind: Kind) -> Rule {
        match (self, kind) {
            // A cotangent of a sum is a cotangent of each branch.
            (_, Kind::Sum) => Rule::Duplicate,
            (_, Kind::Concat) => Rule::ByChannel,
            (_, Kind::Apart) => Rule::ByCell,
            (Self::GuidedBackprop, Kind::Relu) => Rule::Guided,
            (Self::Deconvnet, Kind::Relu) => Rule::Deconvolved,
            (Self::Bcos, Kind::BcosConv) => Rule::DetachedScale,
            (
                _,
                Kind::Conv
                | Kind::BcosConv
                | Kind::Scale
                | Kind::Relu
                | Kind::MaxPool
                | Kind::AvgPool
                | Kind::GlobalAvgPool
                | Kind::AttentionPool
                | Kind::Offset,
            ) => Rule::Gradient,
        }
    }
}

/// LRP's epsilon rule with the stabiliser of all others.
const EPSILON: Rule = Rule::Epsilon { epsilon: STABILISER };
/// LRP's z+ rule.
const Z_PLUS: Rule = Rule::AlphaBeta { alpha: 1.0, beta: 0.0 };

/// `rule` in convolutions but perhaps the first, epsilon in heads.
fn convolutions(kind: Kind, place: Place, first: &First, rule: Rule) -> Rule {
    match (kind, place, first) {
        (Kind::Conv, Place::Head, _) => EPSILON,
        (Kind::Conv, Place::First, First::Flat) => Rule::Flat,
        (Kind::Conv, Place::First, First::WSquare) => Rule::WSquare,
        (Kind::Conv, Place::First, First::ZBox { low, high }) => Rule::ZBox { low: low.clone(), high: high.clone() },
        (Kind::Conv, ..) => rule,
        (kind, ..) => relevance(kind, ResidualSum::Proportional),
    }
}

/// LRP in all layers that are not convolutions.
fn relevance(kind: Kind, sum: ResidualSum) -> Rule {
    match (kind, sum) {
        // Heads of B-cos layers on a conventional backbone: see `BcosRule`.
        (Kind::Conv | Kind::BcosConv, _) => EPSILON,
        // A scale in front of a ReLU, as in DenseNets, is in no convolution's map. It reads one value for each that it
        // makes, so all relevance is that value's: zennit's rule for BatchNorm.
        (Kind::Scale | Kind::Relu, _) => Rule::Pass,
        // Every channel comes from one branch, so nothing is shared and the sum is kept.
        (Kind::Concat, _) => Rule::ByChannel,
        (Kind::Apart, _) => Rule::ByCell,
        (Kind::AttentionPool, _) => Rule::Undefined,
        // A maximum has no linear part: relevance goes where the gradient goes.
        (Kind::MaxPool, _) => Rule::Gradient,
        (Kind::AvgPool | Kind::GlobalAvgPool, _) => Rule::Proportional,
        // The logit offset is a bias and keeps its share. Passing all of it on, as the reference does, turns the
        // whole map round wherever the offset alone makes the logit negative.
        (Kind::Sum | Kind::Offset, ResidualSum::Proportional) => Rule::Proportional,
        (Kind::Sum, ResidualSum::Duplicate) => Rule::Duplicate,
        (Kind::Offset, ResidualSum::Duplicate) => Rule::Pass,
    }
}

impl fmt::Display for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "gradient",
            Self::GuidedBackprop => "guided_backprop",
            Self::Deconvnet => "deconvnet",
            Self::Bcos => "bcos",
            Self::EpsilonGammaBox { sum: ResidualSum::Proportional, .. } => "epsilon_gamma_box",
            Self::EpsilonGammaBox { sum: ResidualSum::Duplicate, .. } => "epsilon_gamma_box:reference",
            Self::Epsilon => "epsilon",
            Self::EpsilonPlus(_) => "epsilon_plus",
            Self::EpsilonAlpha2Beta1(_) => "epsilon_alpha2_beta1",
            Self::ExcitationBackprop => "excitation_backprop",
            Self::DeepLift => "deep_lift",
        })
    }
}
