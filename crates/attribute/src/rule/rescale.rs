//! DeepLIFT's rescale rule: at a layer without weights, output over input as finite differences from a baseline.
//!
//! The tape holds pictures and, behind them, as many baselines. Only the values that a cotangent meets are made of
//! both, so a program is that of the pictures alone.

use features::{network::Pool, tensor::Tensor};

use super::Winners;
use crate::{
    batch::positive,
    program::{Op, Program},
    tape::Seen,
};

/// The pictures' half and the baselines'.
fn halves(values: &Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let pictures = values.dims()[0] / 2;
    (values.clone().narrow(0, 0, pictures), values.clone().narrow(0, pictures, pictures))
}

/// `1 / d`, and 0 where `d` is 0.
fn inverse_or_zero(differences: &Tensor<4>) -> Tensor<4> {
    let none = differences.clone().equal_elem(0.0);
    differences.clone().recip().mask_fill(none, 0.0)
}

/// A ReLU.
// METHOD: rescale rule: m = (y - y0) / (x - x0), and the gradient where x = x0.
pub(super) fn relu(seen: &Seen<'_>, program: &mut Program) {
    let ((input, from), (output, to)) = (halves(seen.input), halves(seen.output));
    let change = input.clone() - from;
    let gradient = positive(input) * change.clone().equal_elem(0.0).float();
    program.push(Op::Times((output - to) * inverse_or_zero(&change) + gradient));
}

/// A maximum over windows.
// METHOD: with t = max(y, y0), the rise t - y0 of a window is the doing of the picture's winner and the fall y - t that
// of the baseline's; each over its own x - x0 is a multiplier. A winner with x = x0 has no part in either and gets the
// gradient. Windows may overlap: what they give to one position is added.
pub(super) fn max_pool(pool: &Pool, seen: &Seen<'_>, program: &mut Program) {
    let ((input, from), (output, to)) = (halves(seen.input), halves(seen.output));
    let change = input.clone() - from.clone();
    let most = output.clone().max_pair(to.clone());
    let (winners, losers) = (Winners::find(pool, &input), Winners::find(pool, &from));
    let part = |share: Option<Tensor<4>>, winners: &Winners, over: Tensor<4>| {
        let mut part = Program::default();
        share.into_iter().for_each(|share| part.push(Op::Times(share)));
        part.push(Op::Route(winners.clone()));
        part.push(Op::Times(over));
        part
    };
    program.push(Op::Sum(vec![
        part(Some(most.clone() - to), &winners, inverse_or_zero(&change)),
        part(Some(output - most), &losers, inverse_or_zero(&change)),
        part(None, &winners, change.equal_elem(0.0).float()),
    ]));
}
