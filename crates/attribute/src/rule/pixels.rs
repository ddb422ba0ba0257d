//! LRP's rules for the convolution that sees the pixels, with their changed weights made once.

use features::tensor::{Tensor, from_vec};

use super::{STABILISER, reciprocal};
use crate::{
    batch::{negative_part, positive_part},
    linear::LinearMap,
    program::{Op, Program},
    tape::Seen,
};

/// The box rule, for inputs with known bounds.
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
        let bound = |values: &[f32]| from_vec(values.to_vec(), [1, values.len(), 1, 1], &map.weight.tensor().device());
        let weight = map.weight.tensor().clone();
        let parts = vec![weight.clone(), positive_part(weight.clone()), negative_part(weight)];
        Self { parts: map.with(Tensor::cat(parts, 1), None), low: bound(low), high: bound(high) }
    }

    // METHOD: box rule (z^B): s = R / stab(W x - W⁺ l - W⁻ h), R_i = x Wᵀs - l (W⁺)ᵀs - h (W⁻)ᵀs.
    // The bias cancels, because b = b⁺ + b⁻. Zero padding stays zero in l and h.
    pub(super) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let shape = seen.input.dims();
        let image = |bound: &Tensor<4>| bound.clone().expand(shape).mul_scalar(-1.0);
        let bounded = Tensor::cat(vec![seen.input.clone(), image(&self.low), image(&self.high)], 1);
        let denominator = self.parts.apply(bounded.clone());
        program.push(Op::Times(reciprocal(denominator, STABILISER)));
        program.push(Op::Transpose(self.parts.clone(), seen.size()));
        program.push(Op::Times(bounded));
        program.push(Op::Fold(3));
    }
}

/// Rules that do not look at the input: each weight's share is the same for every picture.
#[derive(Debug, Clone)]
pub struct ShareRule {
    /// What a weight counts, and what the bias counts.
    counts: LinearMap,
}

impl ShareRule {
    /// The w-square rule.
    // METHOD: w² rule (Montavon et al. 2017): R_i = sum_o w_oi² R_o / stab(sum_i w_oi² + b_o²).
    pub fn squares(map: &LinearMap) -> Self {
        let square = |bias: Tensor<1>| bias.clone() * bias;
        Self {
            counts: map.with(map.weight.tensor().clone() * map.weight.tensor().clone(), map.bias.clone().map(square)),
        }
    }

    /// The flat rule.
    // METHOD: flat rule (Lapuschkin et al. 2019): the w² rule with all weights 1 and no bias.
    pub fn flat(map: &LinearMap) -> Self {
        Self { counts: map.with(map.weight.tensor().ones_like(), None) }
    }

    pub(super) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let [_, channels, rows, columns] = seen.input.dims();
        let [images, ..] = seen.output.dims();
        let ones = Tensor::ones([images, channels, rows, columns], &seen.input.device());
        program.push(Op::Times(reciprocal(self.counts.apply(ones), STABILISER)));
        program.push(Op::Transpose(self.counts.clone(), seen.size()));
    }
}
