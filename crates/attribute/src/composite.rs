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
    /// Constant logit offset.
    Offset,
}

/// Where the layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first convolution, which sees the pixels.
    First,
    /// Any other layer.
    Later,
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
            Layer::Offset(_) => Self::Offset,
        }
    }
}

impl Composite {
    /// The table.
    pub fn rule(&self, kind: Kind, place: Place) -> Rule {
        match (self, kind) {
            // A cotangent of a sum is a cotangent of each branch.
            (Self::Gradient | Self::GuidedBackprop | Self::Bcos, Kind::Sum) => Rule::Duplicate,
            (Self::GuidedBackprop, Kind::Relu) => Rule::Guided,
            (Self::Bcos, Kind::BcosConv) => Rule::DetachedScale,
            (
                Self::Gradient | Self::GuidedBackprop | Self::Bcos,
                Kind::Conv
                | Kind::BcosConv
                | Kind::Scale
                | Kind::Relu
                | Kind::MaxPool
                | Kind::AvgPool
                | Kind::GlobalAvgPool
                | Kind::Offset,
            ) => Rule::Gradient,
            (Self::EpsilonGammaBox { low, high, .. }, Kind::Conv) => match place {
                Place::First => Rule::ZBox { low: low.clone(), high: high.clone() },
                Place::Later => Rule::Gamma { gamma: GAMMA },
            },
            // Heads of B-cos layers on a conventional backbone: see `BcosRule`.
            (Self::EpsilonGammaBox { .. }, Kind::BcosConv) => Rule::Epsilon { epsilon: STABILISER },
            (Self::EpsilonGammaBox { .. }, Kind::Scale | Kind::Relu) => Rule::Pass,
            // The logit offset is a bias and keeps its share. Passing all of it on, as the reference does, turns the
            // whole map round wherever the offset alone makes the logit negative.
            (Self::EpsilonGammaBox { sum, .. }, Kind::Offset) => match sum {
                ResidualSum::Proportional => Rule::Proportional,
                ResidualSum::Duplicate => Rule::Pass,
            },
            // A maximum has no linear part: relevance goes where the gradient goes.
            (Self::EpsilonGammaBox { .. }, Kind::MaxPool) => Rule::Gradient,
            (Self::EpsilonGammaBox { .. }, Kind::AvgPool | Kind::GlobalAvgPool) => Rule::Proportional,
            (Self::EpsilonGammaBox { sum, .. }, Kind::Sum) => match sum {
                ResidualSum::Proportional => Rule::Proportional,
                ResidualSum::Duplicate => Rule::Duplicate,
            },
        }
    }
}

impl fmt::Display for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "gradient",
            Self::GuidedBackprop => "guided_backprop",
            Self::Bcos => "bcos",
            Self::EpsilonGammaBox { sum: ResidualSum::Proportional, .. } => "epsilon_gamma_box",
            Self::EpsilonGammaBox { sum: ResidualSum::Duplicate, .. } => "epsilon_gamma_box:reference",
        })
    }
}
