//! LRP's rules that look at signs, gamma and alpha-beta: one form with other weights and other denominators.

use features::tensor::Tensor;

use super::{STABILISER, stabilise};
use crate::{
    batch::{negative_part, positive, positive_part},
    linear::LinearMap,
    program::{Op, Program},
    tape::Seen,
};

/// Which inputs a layer can see; a map that only sees values >= 0 needs half the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Any value.
    Any,
    /// Values >= 0: what a ReLU gives.
    NonNegative,
}

/// Which outputs of a layer can have relevance; where only those > 0 can, half the work is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Any output.
    All,
    /// Outputs > 0: a ReLU follows, and behind it a rule that gives an input of 0 no relevance.
    Positive,
}

/// Two changed maps `P` and `N` of one convolution, each with weights of its own for `x⁺` and for `x⁻`.
#[derive(Debug, Clone)]
pub struct SplitRule {
    /// Weights of `P` and, behind them, of `N`, with biases, for the positive part of the input.
    positive: LinearMap,
    /// The same for the negative part, without biases; none where there is no negative part.
    negative: Option<LinearMap>,
    gates: Gates,
}

/// What relevance is multiplied by before it is shared through `P` and through `N`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gates {
    /// `[z > 0]` and `[z < 0]`.
    Signs,
    /// `[z > 0]`; there is no `N`.
    Risen,
    /// `alpha` and `-beta`.
    Constants(f32, f32),
    /// 1; there is no `N`.
    One,
}

impl SplitRule {
    /// The gamma rule.
    // METHOD: generalised LRP-gamma. With x = x⁺ + x⁻ and z the layer's output,
    //   A = (W + γW⁺) x⁺ + (W + γW⁻) x⁻ + b + γb⁺ where z > 0,
    //   B = (W + γW⁻) x⁺ + (W + γW⁺) x⁻ + b + γb⁻ where z < 0,
    //   R_i = x⁺ [(W + γW⁺)ᵀ s⁺ + (W + γW⁻)ᵀ s⁻] + x⁻ [(W + γW⁻)ᵀ s⁺ + (W + γW⁺)ᵀ s⁻],
    //   s⁺ = [z > 0] R / stab(A), s⁻ = [z < 0] R / stab(B); z = 0 passes nothing.
    pub fn gamma(map: &LinearMap, gamma: f32, sign: Sign, carrier: Carrier) -> Self {
        let raised = map.with(
            map.weight.clone() + positive_part(map.weight.clone()) * gamma,
            map.bias.clone().map(|bias| bias.clone() + positive_part(bias) * gamma),
        );
        let lowered = map.with(
            map.weight.clone() + negative_part(map.weight.clone()) * gamma,
            map.bias.clone().map(|bias| bias.clone() + negative_part(bias) * gamma),
        );
        let gates = match carrier {
            Carrier::All => Gates::Signs,
            Carrier::Positive => Gates::Risen,
        };
        Self::new(raised, lowered, sign, gates)
    }

    /// The alpha-beta rule; beta = 0 is the z+ rule.
    // METHOD: LRP-alpha-beta (Bach et al. 2015) for inputs of any sign, as in Zennit:
    //   P = W⁺ x⁺ + W⁻ x⁻ + b⁺, N = W⁻ x⁺ + W⁺ x⁻ + b⁻,
    //   R_i = alpha (x⁺ W⁺ᵀ + x⁻ W⁻ᵀ) (R / stab(P)) - beta (x⁺ W⁻ᵀ + x⁻ W⁺ᵀ) (R / stab(N)).
    pub fn alpha_beta(map: &LinearMap, alpha: f32, beta: f32, sign: Sign) -> Self {
        let gates = if beta == 0.0 && alpha == 1.0 { Gates::One } else { Gates::Constants(alpha, -beta) };
        let plus = map.with(positive_part(map.weight.clone()), map.bias.clone().map(positive_part));
        let minus = map.with(negative_part(map.weight.clone()), map.bias.clone().map(negative_part));
        Self::new(plus, minus, sign, gates)
    }

    /// `first` is `P` for `x⁺` and `N` for `x⁻`, `second` the other way round.
    fn new(first: LinearMap, second: LinearMap, sign: Sign, gates: Gates) -> Self {
        let (mut above, mut below) = (vec![first.clone(), second.clone()], vec![second, first]);
        if matches!(gates, Gates::Risen | Gates::One) {
            above.truncate(1);
            below.truncate(1);
        }
        let negative = (sign == Sign::Any).then(|| {
            let below = LinearMap::stacked(&below);
            below.with(below.weight.clone(), None)
        });
        Self { positive: LinearMap::stacked(&above), negative, gates }
    }

    pub(super) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let size = seen.size();
        let above = positive_part(seen.input.clone());
        let below = negative_part(seen.input.clone());
        let mut denominator = self.positive.apply(above.clone());
        if let Some(map) = &self.negative {
            denominator = denominator + map.apply(below.clone());
        }
        let share = stabilise(denominator, STABILISER).recip();
        let [_, channels, ..] = seen.output.dims();
        let half = |first: usize| share.clone().narrow(1, first, channels);
        program.push(match self.gates {
            Gates::Signs => {
                Op::Split(half(0) * positive(seen.output.clone()), half(channels) * positive(seen.output.clone().neg()))
            }
            Gates::Risen => Op::Times(share * positive(seen.output.clone())),
            Gates::Constants(first, second) => Op::Split(half(0) * first, half(channels) * second),
            Gates::One => Op::Times(share),
        });
        let term = |map: &LinearMap, input: Tensor<4>| {
            let mut term = Program::default();
            term.push(Op::Transpose(map.clone(), size));
            term.push(Op::Times(input));
            term
        };
        match &self.negative {
            None => program.extend(term(&self.positive, above)),
            Some(map) => program.push(Op::Sum(vec![term(&self.positive, above), term(map, below)])),
        }
    }
}
