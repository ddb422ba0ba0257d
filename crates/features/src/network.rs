//! The one network of the workspace: layers in order, rank 4 from image to logits.
//!
//! Backbones and probe heads are lowered to this shape, so extraction, attribution and the tests run the same
//! forward pass. A sum of branches is a layer, and so are branches side by side: residual and dense connections are
//! plain data and no graph is needed.

mod apart;
mod attention;
mod bcos;
mod broadcast;
mod cast;
mod conv;
mod convolution;
mod cpu;
mod footprint;
mod pool;
mod scale;

pub use apart::{Apart, cells, together};
pub use attention::{Attention, AttentionPool, Dense};
pub use bcos::{BcosConv, PATCH_NORM_EPSILON, Response};
pub use broadcast::{plus_channels, spread, times_channels, times_images, times_outputs, times_positions};
pub use conv::Conv;
pub use convolution::{
    Filter, Finish, Finisher, Floor, Geometry, Given, Hands, Matrix, Onto, Reader, Transposed, convolve,
    convolve_transposed, product,
};
pub use cpu::Maps;
pub use footprint::Footprint;
pub use pool::{Pool, global_average};
pub use scale::{ChannelScale, NORM_EPSILON};

use crate::tensor::{Device, Tensor};

/// Layers applied one after another. An empty network is the identity.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// First layer first.
    pub layers: Vec<Layer>,
}

/// One step of a network. Activations are `[n, channels, rows, columns]`.
#[derive(Debug, Clone)]
pub enum Layer {
    /// 2-D convolution.
    Conv(Conv),
    /// B-cos convolution: unit-norm rows, output scaled by the alignment with the patch.
    BcosConv(BcosConv),
    /// One factor and one optional shift a channel: BatchNorm in evaluation.
    Scale(ChannelScale),
    /// `max(x, 0)`.
    Relu,
    /// Maximum over windows; padding never wins.
    MaxPool(Pool),
    /// Mean over windows; padding counts as zeros in the divisor, as in torch.
    AvgPool(Pool),
    /// Mean over all positions, giving `[n, channels, 1, 1]`.
    GlobalAvgPool,
    /// Sum of branches that read the same input: main branch first, shortcut second.
    Sum(Vec<Network>),
    /// Outputs of branches that read the same input, side by side along channels: first branch first.
    Concat(Vec<Network>),
    /// A network on each cell of a grid by itself, its outputs laid in the same grid.
    Apart(Box<Apart>),
    /// CLIP's attention pool, giving `[n, outputs, 1, 1]`.
    AttentionPool(Box<AttentionPool>),
    /// A constant added to every value: the logit offset of B-cos heads.
    Offset(f32),
}

impl Layer {
    /// Applies the layer.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(input),
            Self::BcosConv(conv) => conv.forward(input),
            Self::Scale(scale) => scale.forward(input),
            Self::Relu => burn::tensor::activation::relu(input),
            Self::MaxPool(pool) => pool.max(input),
            Self::AvgPool(pool) => pool.average(input),
            Self::GlobalAvgPool => global_average(input),
            Self::Sum(branches) => sum(branches, input, Network::forward),
            Self::Concat(branches) => concat(branches, input, Network::forward),
            Self::Apart(apart) => apart.forward(input),
            Self::AttentionPool(pool) => pool.forward(input),
            Self::Offset(offset) => input.add_scalar(*offset),
        }
    }
}

impl Network {
    /// A network of these layers.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self { layers }
    }

    /// Runs the layers in order: `[n, channels, rows, columns]` in, the last layer's output out.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if let Device::Flex(_) = input.device() {
            return cpu::forward(self, input);
        }
        let (mut layers, mut activation) = (self.layers.as_slice(), input);
        while !layers.is_empty() {
            (activation, layers) = step(layers, activation);
        }
        activation
    }

    /// Whether any layer, at any depth, satisfies `test`.
    pub fn any(&self, test: &dyn Fn(&Layer) -> bool) -> bool {
        self.layers.iter().any(|layer| {
            let within = match layer {
                Layer::Sum(branches) | Layer::Concat(branches) => branches.iter().any(|branch| branch.any(test)),
                Layer::Apart(apart) => apart.network.any(test),
                _ => false,
            };
            within || test(layer)
        })
    }
}

/// Runs the first layer, together with a scale and a ReLU that follow a convolution; gives the layers that are left.
fn step(layers: &[Layer], input: Tensor<4>) -> (Tensor<4>, &[Layer]) {
    let (first, rest) = layers.split_first().expect("the caller has a layer left");
    let (then, rest) = followers(rest);
    match first {
        Layer::Conv(conv) => (conv.forward_then(input, then), rest),
        Layer::BcosConv(conv) => (conv.forward_then(input, then), rest),
        layer => (layer.forward(input), &layers[1..]),
    }
}

/// A scale and a ReLU at the front of `layers`, which a convolution before them does on its way out; and the rest.
fn followers(layers: &[Layer]) -> (Finish<'_>, &[Layer]) {
    let (scale, rest) = match layers {
        [Layer::Scale(scale), rest @ ..] => (Some(scale), rest),
        rest => (None, rest),
    };
    let (floor, rest) = match rest {
        [Layer::Relu, rest @ ..] => (Floor::Zero, rest),
        rest => (Floor::None, rest),
    };
    (Finish { scale, floor, ..Finish::default() }, rest)
}

/// Runs every branch on the same input by `run` and adds the outputs.
pub(crate) fn sum(
    branches: &[Network],
    input: Tensor<4>,
    mut run: impl FnMut(&Network, Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let (first, rest) = branches.split_first().expect("a sum has at least one branch");
    let total = run(first, input.clone());
    rest.iter().fold(total, |total, branch| total + run(branch, input.clone()))
}

/// Runs every branch on the same input by `run` and lays the outputs side by side along channels.
pub(crate) fn concat(
    branches: &[Network],
    input: Tensor<4>,
    mut run: impl FnMut(&Network, Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    Tensor::cat(branches.iter().map(|branch| run(branch, input.clone())).collect(), 1)
}
