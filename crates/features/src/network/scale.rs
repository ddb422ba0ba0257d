//! BatchNorm in evaluation is one factor and one shift a channel; so is any other channel-wise affine step.

use super::broadcast::{plus_channels, times_channels};
use crate::tensor::Tensor;

/// Added to the variance under the root, as in torch.
pub const NORM_EPSILON: f32 = 1e-5;

/// `y = x * scale + shift`, channel by channel.
#[derive(Debug, Clone)]
pub struct ChannelScale {
    /// `[channels]`.
    pub scale: Tensor<1>,
    /// `[channels]`; none for the uncentred, bias-free norms of B-cos networks.
    pub shift: Option<Tensor<1>>,
}

impl ChannelScale {
    /// Centred BatchNorm with running statistics, each of shape `[channels]`.
    // METHOD: Ioffe & Szegedy 2015: y = (x - mean) / sqrt(var + eps) * gamma + beta.
    pub fn batch_norm(gamma: Tensor<1>, beta: Tensor<1>, mean: Tensor<1>, variance: Tensor<1>) -> Self {
        let scale = gamma / variance.add_scalar(NORM_EPSILON).sqrt();
        let shift = beta - mean * scale.clone();
        Self { scale, shift: Some(shift) }
    }

    /// Uncentred BatchNorm of B-cos networks: the mean is not subtracted, there is no bias.
    pub fn uncentred(gamma: Tensor<1>, variance: Tensor<1>) -> Self {
        Self { scale: gamma / variance.add_scalar(NORM_EPSILON).sqrt(), shift: None }
    }

    /// `[n, channels, rows, columns]`, same shape out.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let scaled = times_channels(input, &self.scale);
        match &self.shift {
            Some(shift) => plus_channels(scaled, shift),
            None => scaled,
        }
    }
}
