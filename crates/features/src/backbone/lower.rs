//! What all architectures are lowered with: tensors by name, and the two styles of layers.

use crate::{
    network::{BcosConv, ChannelScale, Conv, Layer, Pool},
    tensor::Tensor,
};

/// What the layers of a network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Convolutions, BatchNorm, ReLU.
    Conventional,
    /// B-cos convolutions with B = 2, uncentred norms, no activation, six input channels.
    Bcos,
}

/// Whether a norm subtracts its mean and has a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Mean, variance, factor and shift.
    Centred,
    /// Variance and factor only.
    Uncentred,
}

/// Where the tensors of a network come from: a checkpoint, an initialisation, an optimiser's leaves.
pub trait Parameters {
    /// The convolution weight called `name`, of this shape.
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4>;
    /// The norm called `name` over this many channels.
    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale;
}

impl Style {
    /// Input channels: 3, or 6 for B-cos.
    pub fn input_channels(self) -> usize {
        match self {
            Self::Conventional => 3,
            Self::Bcos => 6,
        }
    }
}

/// Makes layers of one style.
pub(super) struct Builder<'a> {
    pub(super) style: Style,
    pub(super) parameters: &'a mut dyn Parameters,
}

impl Builder<'_> {
    /// A convolution with half its kernel as padding.
    pub(super) fn conv(&mut self, name: &str, shape: [usize; 4], stride: usize) -> Layer {
        let (stride, padding) = ([stride; 2], [shape[2] / 2; 2]);
        match self.style {
            Style::Conventional => {
                let weight = self.parameters.weight(&format!("{name}.weight"), shape);
                Layer::Conv(Conv { weight: weight.into(), bias: None, stride, padding })
            }
            Style::Bcos => {
                let weight = self.parameters.weight(&format!("{name}.linear.weight"), shape);
                Layer::BcosConv(BcosConv::new(weight, 2.0, stride, padding))
            }
        }
    }

    /// A norm.
    pub(super) fn norm(&mut self, name: &str, channels: usize) -> Layer {
        let norm = match self.style {
            Style::Conventional => Norm::Centred,
            Style::Bcos => Norm::Uncentred,
        };
        Layer::Scale(self.parameters.norm(name, channels, norm))
    }

    /// A convolution and the norm behind it.
    pub(super) fn conv_norm(&mut self, conv: &str, norm: &str, shape: [usize; 4], stride: usize) -> [Layer; 2] {
        [self.conv(conv, shape, stride), self.norm(norm, shape[0])]
    }

    /// What stands behind a norm.
    pub(super) fn activation(&self) -> Option<Layer> {
        match self.style {
            Style::Conventional => Some(Layer::Relu),
            Style::Bcos => None,
        }
    }

    /// The pool of an ImageNet network's stem.
    pub(super) fn stem_pool(&self) -> Layer {
        let window = Pool { kernel: 3, stride: 2, padding: 1 };
        match self.style {
            Style::Conventional => Layer::MaxPool(window),
            Style::Bcos => Layer::AvgPool(window),
        }
    }
}
