//! LRP's rules that look at signs, gamma and alpha-beta: one form with other weights and other denominators.

use features::{
    network::Maps,
    tensor::{Device, Tensor, cpu, from_vec},
};
use rayon::prelude::*;

use super::{LEAST_VALUES, STABILISER, reciprocal, stable};
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

impl Gates {
    /// One over the denominators `[n, P and N, ..]`, gated, as a step of a program.
    fn on_tensors(self, denominators: Tensor<4>, output: &Tensor<4>) -> Op {
        let [_, channels, ..] = output.dims();
        let share = reciprocal(denominators, STABILISER);
        let half = |first: usize| share.clone().narrow(1, first, channels);
        match self {
            Self::Signs => {
                Op::Split(half(0) * positive(output.clone()), half(channels) * positive(output.clone().neg()))
            }
            Self::Risen => Op::Times(share * positive(output.clone())),
            Self::Constants(first, second) => Op::Split(half(0) * first, half(channels) * second),
            Self::One => Op::Times(share),
        }
    }

    /// The same on the CPU, in one pass.
    fn on_maps(self, denominators: &Maps, output: &Maps) -> Op {
        let size: usize = output.dims[1..].iter().product();
        let parts = denominators.dims[1] / output.dims[1];
        let part = |part: usize, gate: &(dyn Fn(f32) -> f32 + Sync)| {
            let mut values = vec![0.0; output.values.len()];
            for (image, values) in values.chunks_exact_mut(size).enumerate() {
                let denominators = denominators.values[(image * parts + part) * size..].par_chunks(LEAST_VALUES);
                let output = output.values[image * size..][..size].par_chunks(LEAST_VALUES);
                let runs = values.par_chunks_mut(LEAST_VALUES).zip(denominators).zip(output);
                runs.for_each(|((values, denominators), output)| {
                    let given = denominators.iter().zip(output);
                    let made = given.map(|(value, output)| stable(*value, STABILISER).recip() * gate(*output));
                    values.iter_mut().zip(made).for_each(|(value, made)| *value = made);
                });
            }
            from_vec(values, output.dims, &cpu())
        };
        let above = |value: f32| if value > 0.0 { 1.0 } else { 0.0 };
        match self {
            Self::Signs => Op::Split(part(0, &above), part(1, &|value| above(-value))),
            Self::Risen => Op::Times(part(0, &above)),
            Self::Constants(first, second) => Op::Split(part(0, &|_| first), part(1, &|_| second)),
            Self::One => Op::Times(part(0, &|_| 1.0)),
        }
    }
}

impl SplitRule {
    /// The gamma rule.
    // METHOD: generalised LRP-gamma. With x = x⁺ + x⁻ and z the layer's output,
    //   A = (W + γW⁺) x⁺ + (W + γW⁻) x⁻ + b + γb⁺ where z > 0,
    //   B = (W + γW⁻) x⁺ + (W + γW⁺) x⁻ + b + γb⁻ where z < 0,
    //   R_i = x⁺ [(W + γW⁺)ᵀ s⁺ + (W + γW⁻)ᵀ s⁻] + x⁻ [(W + γW⁻)ᵀ s⁺ + (W + γW⁺)ᵀ s⁻],
    //   s⁺ = [z > 0] R / stab(A), s⁻ = [z < 0] R / stab(B); z = 0 passes nothing.
    pub fn gamma(map: &LinearMap, gamma: f32, sign: Sign, carrier: Carrier) -> Self {
        let weight = map.weight.tensor();
        let raised = map.with(
            weight.clone() + positive_part(weight.clone()) * gamma,
            map.bias.clone().map(|bias| bias.clone() + positive_part(bias) * gamma),
        );
        let lowered = map.with(
            weight.clone() + negative_part(weight.clone()) * gamma,
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
        let plus = map.with(positive_part(map.weight.tensor().clone()), map.bias.clone().map(positive_part));
        let minus = map.with(negative_part(map.weight.tensor().clone()), map.bias.clone().map(negative_part));
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
        // An input without a negative part is its positive part.
        let below = self.negative.as_ref().map(|map| (map, negative_part(seen.input.clone())));
        let above = match below {
            Some(_) => positive_part(seen.input.clone()),
            None => seen.input.clone(),
        };
        let mut denominator = self.positive.apply(above.clone());
        if let Some((map, below)) = &below {
            denominator = denominator + map.apply(below.clone());
        }
        program.push(match denominator.device() {
            Device::Flex(_) => self.gates.on_maps(&Maps::of(denominator), &Maps::of(seen.output.clone())),
            _ => self.gates.on_tensors(denominator, seen.output),
        });
        let term = |map: &LinearMap, input: Tensor<4>| {
            let mut term = Program::default();
            term.push(Op::Transpose(map.clone(), size));
            term.push(Op::Times(input));
            term
        };
        match below {
            None => program.extend(term(&self.positive, above)),
            Some((map, below)) => program.push(Op::Sum(vec![term(&self.positive, above), term(map, below)])),
        }
    }
}

#[cfg(test)]
mod tests {
    use features::{
        random::{normal, stream},
        tensor::to_vec,
    };

    use super::*;

    #[test]
    fn gates_are_the_same_on_maps_and_on_tensors() {
        let mut rng = stream(6, &["gates"]);
        let mut noise = |channels: usize| {
            // Zeros of both signs are among the values.
            let values = (0..2 * channels * 30).map(|i| if i % 7 == 0 { 0.0 } else { normal(&mut rng) as f32 });
            from_vec(values.map(|value| -value).collect(), [2, channels, 5, 6], &cpu())
        };
        for (gates, parts) in [(Gates::Signs, 2), (Gates::Risen, 1), (Gates::Constants(2.0, -1.0), 2), (Gates::One, 1)]
        {
            let (denominators, output) = (noise(3 * parts), noise(3));
            let want = gates.on_tensors(denominators.clone(), &output);
            let got = gates.on_maps(&Maps::of(denominators), &Maps::of(output));
            let values = |op: Op| match op {
                Op::Split(a, b) => vec![to_vec(a), to_vec(b)],
                Op::Times(a) => vec![to_vec(a)],
                op => panic!("{op:?} is no product"),
            };
            assert_eq!(values(got), values(want), "{gates:?}");
        }
    }
}
