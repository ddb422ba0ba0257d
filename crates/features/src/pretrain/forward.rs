//! The forward pass of training: as [`Network::forward`], with batch statistics in every norm.

use crate::{
    network::{ChannelScale, Layer, NORM_EPSILON, Network, concat, plus_channels, sum, times_channels},
    tensor::Tensor,
};

/// What one norm saw in one batch, in forward order.
pub struct BatchStatistics {
    /// `[channels]`.
    pub mean: Tensor<1>,
    /// Biased variance, `[channels]`.
    pub variance: Tensor<1>,
    /// Values a channel.
    pub count: usize,
}

/// Runs `network`, whose scales hold γ and β, and appends the statistics of each norm.
pub fn train_forward(network: &Network, input: Tensor<4>, statistics: &mut Vec<BatchStatistics>) -> Tensor<4> {
    network.layers.iter().fold(input, |input, layer| match layer {
        Layer::Scale(scale) => normalise(scale, input, statistics),
        Layer::Sum(branches) => sum(branches, input, |branch, input| train_forward(branch, input, statistics)),
        Layer::Concat(branches) => concat(branches, input, |branch, input| train_forward(branch, input, statistics)),
        other => other.forward(input),
    })
}

// METHOD: Ioffe & Szegedy 2015 with β; without β the uncentred norm of B-cos networks, which divides by the
// centred deviation and subtracts nothing.
fn normalise(affine: &ChannelScale, input: Tensor<4>, statistics: &mut Vec<BatchStatistics>) -> Tensor<4> {
    let [n, channels, rows, columns] = input.dims();
    let count = n * rows * columns;
    let per_map = 1.0 / count as f32;
    let channel_sum = |t: Tensor<4>| t.sum_dim(3).sum_dim(2).sum_dim(0) * per_map;
    let mean = channel_sum(input.clone());
    let centred = plus_channels(input.clone(), &mean.clone().neg().reshape([channels]));
    let variance = channel_sum(centred.clone().powi_scalar(2));
    statistics.push(BatchStatistics {
        mean: mean.inner().reshape([channels]),
        variance: variance.clone().inner().reshape([channels]),
        count,
    });
    let deviation = variance.reshape([channels]).add_scalar(NORM_EPSILON).sqrt();
    let factor = affine.scale.clone() / deviation;
    match &affine.shift {
        Some(shift) => plus_channels(times_channels(centred, &factor), shift),
        None => times_channels(input, &factor),
    }
}
