//! LRP's gamma and box rules, with their changed weights made once.

use features::tensor::Tensor;

use super::STABILISER;
use crate::{
    batch::{negative_part, positive, positive_part, times},
    linear::LinearMap,
    tape::Seen,
};

/// `z + epsilon * sign(z)`, where the sign of 0 is +1: no denominator is smaller than `epsilon`.
pub fn stabilise(values: Tensor<4>, epsilon: f32) -> Tensor<4> {
    let sign = values.clone().greater_equal_elem(0.0).float() * (2.0 * epsilon) - epsilon;
    values + sign
}

/// Which inputs a layer can see; a map that only sees values >= 0 needs half the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Any value.
    Any,
    /// Values >= 0: what a ReLU gives.
    NonNegative,
}

/// The gamma rule of one convolution.
#[derive(Debug, Clone)]
pub struct GammaRule {
    /// `[W + γW⁺; W + γW⁻]` with biases, for the positive part of the input.
    positive: LinearMap,
    /// `[W + γW⁻; W + γW⁺]` without bias, for the negative part; none where there is no negative part.
    negative: Option<LinearMap>,
}

impl GammaRule {
    /// Makes the changed weights.
    pub fn new(map: &LinearMap, gamma: f32, sign: Sign) -> Self {
        let raised = map.with(
            map.weight.clone() + positive_part(map.weight.clone()) * gamma,
            map.bias.clone().map(|bias| bias.clone() + positive_part(bias) * gamma),
        );
        let lowered = map.with(
            map.weight.clone() + negative_part(map.weight.clone()) * gamma,
            map.bias.clone().map(|bias| bias.clone() + negative_part(bias) * gamma),
        );
        let negative = (sign == Sign::Any).then(|| {
            LinearMap::stacked(&[lowered.with(lowered.weight.clone(), None), raised.with(raised.weight.clone(), None)])
        });
        Self { positive: LinearMap::stacked(&[raised, lowered]), negative }
    }

    // METHOD: generalised LRP-gamma. With x = x⁺ + x⁻ and z the layer's output,
    //   A = (W + γW⁺) x⁺ + (W + γW⁻) x⁻ + b + γb⁺ where z > 0,
    //   B = (W + γW⁻) x⁺ + (W + γW⁺) x⁻ + b + γb⁻ where z < 0,
    //   R_i = x⁺ [(W + γW⁺)ᵀ s⁺ + (W + γW⁻)ᵀ s⁻] + x⁻ [(W + γW⁻)ᵀ s⁺ + (W + γW⁺)ᵀ s⁻],
    //   s⁺ = [z > 0] R / stab(A), s⁻ = [z < 0] R / stab(B); z = 0 passes nothing.
    pub(super) fn pull_back(&self, seen: &Seen<'_>, relevance: Tensor<4>) -> Tensor<4> {
        let size = seen.size();
        let above = positive_part(seen.input.clone());
        let below = negative_part(seen.input.clone());
        let mut denominator = self.positive.apply(above.clone());
        if let Some(map) = &self.negative {
            denominator = denominator + map.apply(below.clone());
        }
        let gates = Tensor::cat(vec![positive(seen.output.clone()), positive(seen.output.clone().neg())], 1);
        let factor = gates / stabilise(denominator, STABILISER);
        let ratio = times(Tensor::cat(vec![relevance.clone(), relevance], 1), factor);
        match &self.negative {
            None => times(self.positive.transpose(ratio, size), above),
            Some(map) => {
                times(self.positive.transpose(ratio.clone(), size), above) + times(map.transpose(ratio, size), below)
            }
        }
    }
}

/// The box rule of the convolution that sees the pixels.
#[derive(Debug, Clone)]
pub struct BoxRule {
    /// `[W, W⁺, W⁻]`, stacked along input channels: one transpose serves the three terms.
    parts: LinearMap,
    /// `[1, in, 1, 1]`.
    low: Tensor<4>,
    /// `[1, in, 1, 1]`.
    high: Tensor<4>,
}

impl BoxRule {
    /// Makes the changed weights; `low` and `high` have one value for each input channel.
    pub fn new(map: &LinearMap, low: &[f32], high: &[f32]) -> Self {
        let bound =
            |values: &[f32]| features::tensor::from_vec(values.to_vec(), [1, values.len(), 1, 1], &map.weight.device());
        let weight = map.weight.clone();
        let parts = vec![weight.clone(), positive_part(weight.clone()), negative_part(weight)];
        Self { parts: map.with(Tensor::cat(parts, 1), None), low: bound(low), high: bound(high) }
    }

    // METHOD: box rule (z^B): s = R / stab(W x - W⁺ l - W⁻ h), R_i = x Wᵀs - l (W⁺)ᵀs - h (W⁻)ᵀs.
    // The bias cancels, because b = b⁺ + b⁻. Zero padding stays zero in l and h.
    pub(super) fn pull_back(&self, seen: &Seen<'_>, relevance: Tensor<4>) -> Tensor<4> {
        let [images, channels, rows, columns] = seen.input.dims();
        let [all, ..] = relevance.dims();
        let image = |bound: &Tensor<4>| bound.clone().expand([images, channels, rows, columns]).mul_scalar(-1.0);
        let bounded = Tensor::cat(vec![seen.input.clone(), image(&self.low), image(&self.high)], 1);
        let denominator = self.parts.apply(bounded.clone());
        let ratio = times(relevance, stabilise(denominator, STABILISER).recip());
        let parts = self.parts.transpose(ratio, seen.size());
        times(parts, bounded)
            .reshape([all, 3, channels * rows, columns])
            .sum_dim(1)
            .reshape([all, channels, rows, columns])
    }
}
