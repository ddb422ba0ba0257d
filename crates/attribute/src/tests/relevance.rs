//! LRP against a slow copy of its formulas on a dense matrix in f64, and its conservation.

use features::{
    network::{Conv, Layer, Network},
    tensor::{Tensor, cpu, from_vec, to_vec},
};

use super::{Draw, check, join};
use crate::{
    composite::{Composite, First, ResidualSum},
    linear::LinearMap,
    plan::{Entry, Plan, Step},
    rule::{Bound, BoxRule, Carrier, ShareRule, Sign, SplitRule},
    tape::Tape,
};

pub(super) const GAMMA: f64 = 0.25;
const EPSILON: f64 = 1e-6;

fn stabilise(value: f64) -> f64 {
    value + if value >= 0.0 { EPSILON } else { -EPSILON }
}

/// The convolution as a matrix `[outputs][inputs]`: column by column, from its action on unit vectors.
pub(super) fn dense(conv: &Conv, shape: [usize; 3]) -> Vec<Vec<f64>> {
    let inputs: usize = shape.iter().product();
    let columns: Vec<Vec<f32>> = (0..inputs)
        .map(|i| {
            let mut unit = vec![0.0; inputs];
            unit[i] = 1.0;
            let unit = from_vec(unit, [1, shape[0], shape[1], shape[2]], &cpu());
            to_vec(Conv { bias: None, ..conv.clone() }.forward(unit))
        })
        .collect();
    (0..columns[0].len()).map(|o| columns.iter().map(|column| f64::from(column[o])).collect()).collect()
}

/// Relevance by the dense matrix: `part(contribution, weight, input)` is what a term counts, `z` picks the case.
pub(super) fn by_matrix(
    matrix: &[Vec<f64>],
    bias: &[f64],
    input: &[f64],
    relevance: &[f64],
    part: impl Fn(f64, f64, usize) -> f64,
    bias_part: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let mut shares = vec![0.0; input.len()];
    for (o, row) in matrix.iter().enumerate() {
        let z: f64 = row.iter().zip(input).map(|(w, x)| w * x).sum::<f64>() + bias[o];
        let parts: Vec<f64> = (0..input.len()).map(|i| part(z, row[i], i)).collect();
        let whole = stabilise(parts.iter().sum::<f64>() + bias_part(z, bias[o]));
        for (share, part) in shares.iter_mut().zip(&parts) {
            *share += relevance[o] * part / whole;
        }
    }
    shares
}

fn layer() -> (Conv, Tensor<4>, Tensor<4>) {
    let mut draw = Draw::new("dense", 1.0);
    let Layer::Conv(conv) = draw.conv([2, 3], 3, 2) else { unreachable!() };
    let input = draw.tensor([1, 2, 6, 5], 1.0);
    let relevance = draw.tensor(conv.forward(input.clone()).dims(), 1.0);
    (conv, input, relevance)
}

fn pulled(conv: &Conv, input: &Tensor<4>, relevance: &Tensor<4>, bound: Bound) -> Tensor<4> {
    let network = Network::new(vec![Layer::Conv(conv.clone())]);
    let plan = Plan { steps: vec![Step { first: 0, last: 0, bound }] };
    Tape::record(&network, input.clone()).1.pull_back(&plan, relevance.clone())
}

pub(super) fn wide(tensor: &Tensor<4>) -> Vec<f64> {
    to_vec(tensor.clone()).into_iter().map(f64::from).collect()
}

/// One bias an output position.
pub(super) fn biases(conv: &Conv, relevance: &Tensor<4>) -> Vec<f64> {
    let [_, _, rows, columns] = relevance.dims();
    let bias = to_vec(conv.bias.clone().unwrap());
    bias.iter().flat_map(|b| vec![f64::from(*b); rows * columns]).collect()
}

/// f32 against f64 with denominators that may be small: relative 1e-3 of the largest value.
pub(super) fn compare(got: Tensor<4>, expected: Vec<f64>) {
    let expected = expected.into_iter().map(|value| value as f32).collect();
    let shape = got.dims();
    check(got, from_vec(expected, shape, &cpu()), 1e-3);
}

#[test]
fn gamma_rule_is_its_formula() {
    let (conv, input, relevance) = layer();
    let (x, r) = (wide(&input), wide(&relevance));
    // A contribution c = w x grows by gamma where it has the sign of z.
    let raise = |z: f64, c: f64| if z * c > 0.0 { c * (1.0 + GAMMA) } else { c };
    let matrix = dense(&conv, [2, 6, 5]);
    let expected = by_matrix(&matrix, &biases(&conv, &relevance), &x, &r, |z, w, i| raise(z, w * x[i]), raise);
    let rule = SplitRule::gamma(&LinearMap::conv(&conv), GAMMA as f32, Sign::Any, Carrier::All);
    compare(pulled(&conv, &input, &relevance, Bound::Split(Box::new(rule))), expected);
    let input = input.clamp_min(0.0);
    let rules = [Sign::Any, Sign::NonNegative]
        .map(|sign| SplitRule::gamma(&LinearMap::conv(&conv), GAMMA as f32, sign, Carrier::All))
        .map(|rule| pulled(&conv, &input, &relevance, Bound::Split(Box::new(rule))));
    let [any, positive] = rules;
    check(any, positive, 1e-5);
}

#[test]
fn epsilon_rule_is_its_formula() {
    let (conv, input, relevance) = layer();
    let (x, r) = (wide(&input), wide(&relevance));
    let matrix = dense(&conv, [2, 6, 5]);
    let expected = by_matrix(&matrix, &biases(&conv, &relevance), &x, &r, |_, w, i| w * x[i], |_, b| b);
    let bound = Bound::Epsilon(LinearMap::conv(&conv), EPSILON as f32);
    compare(pulled(&conv, &input, &relevance, bound), expected);
}

#[test]
fn box_rule_is_its_formula() {
    let (conv, input, relevance) = layer();
    let (x, r) = (wide(&input), wide(&relevance));
    let (low, high) = ([-3.0, -2.0], [2.5, 3.5]);
    let part = |_: f64, w: f64, i: usize| {
        let channel = i / 30;
        w * x[i] - w.max(0.0) * low[channel] - w.min(0.0) * high[channel]
    };
    let matrix = dense(&conv, [2, 6, 5]);
    let expected = by_matrix(&matrix, &biases(&conv, &relevance), &x, &r, part, |_, _| 0.0);
    let rule = BoxRule::new(&LinearMap::conv(&conv), &low.map(|v| v as f32), &high.map(|v| v as f32));
    compare(pulled(&conv, &input, &relevance, Bound::Box(Box::new(rule))), expected);
}

#[test]
fn alpha_beta_and_z_plus_are_their_formulas() {
    let (conv, input, relevance) = layer();
    let (x, r) = (wide(&input), wide(&relevance));
    let matrix = dense(&conv, [2, 6, 5]);
    let bias = biases(&conv, &relevance);
    let positive = by_matrix(&matrix, &bias, &x, &r, |_, w, i| (w * x[i]).max(0.0), |_, b| b.max(0.0));
    let negative = by_matrix(&matrix, &bias, &x, &r, |_, w, i| (w * x[i]).min(0.0), |_, b| b.min(0.0));
    for (alpha, beta) in [(1.0, 0.0), (2.0, 1.0), (1.5, 0.5)] {
        let expected = positive.iter().zip(&negative).map(|(p, n)| alpha * p - beta * n).collect();
        let rule = SplitRule::alpha_beta(&LinearMap::conv(&conv), alpha as f32, beta as f32, Sign::Any);
        compare(pulled(&conv, &input, &relevance, Bound::Split(Box::new(rule))), expected);
    }
}

#[test]
fn rules_that_do_not_see_the_pixels_are_their_formulas() {
    let (conv, input, relevance) = layer();
    let (x, r) = (wide(&input), wide(&relevance));
    let matrix = dense(&conv, [2, 6, 5]);
    let bias = biases(&conv, &relevance);
    let squares = by_matrix(&matrix, &bias, &x, &r, |_, w, _| w * w, |_, b| b * b);
    let rule = ShareRule::squares(&LinearMap::conv(&conv));
    compare(pulled(&conv, &input, &relevance, Bound::Share(Box::new(rule))), squares);
    // Drawn weights are never 0: where the matrix is, the kernel does not reach.
    let reached = |_: f64, w: f64, _: usize| if w == 0.0 { 0.0 } else { 1.0 };
    let flat = by_matrix(&matrix, &bias, &x, &r, reached, |_, _| 0.0);
    let rule = ShareRule::flat(&LinearMap::conv(&conv));
    compare(pulled(&conv, &input, &relevance, Bound::Share(Box::new(rule))), flat);
}

#[test]
fn half_of_gamma_is_enough_behind_which_a_relu_stands() {
    let mut draw = Draw::new("half", 1.0);
    let network = Network::new(vec![draw.conv([3, 5], 3, 1), Layer::Relu, draw.conv([5, 4], 3, 2)]);
    let input = draw.tensor([2, 3, 8, 8], 1.0);
    let composite =
        Composite::EpsilonGammaBox { low: vec![-4.0; 3], high: vec![4.0; 3], sum: ResidualSum::Proportional };
    let (output, tape) = Tape::record(&network, input);
    let relevance = draw.tensor(output.dims(), 1.0);
    let mut plan = Plan::bind(&network, &composite, Entry::Features).unwrap();
    let half = tape.pull_back(&plan, relevance.clone());
    let Layer::Conv(first) = &network.layers[0] else { unreachable!() };
    let whole = SplitRule::gamma(&LinearMap::conv(first), GAMMA as f32, Sign::Any, Carrier::All);
    plan.steps[0].bound = Bound::Split(Box::new(whole));
    check(half, tape.pull_back(&plan, relevance), 1e-5);
}

#[test]
fn all_composites_conserve_relevance_without_biases() {
    let mut draw = Draw::new("composites", 0.0);
    let backbone = draw.conventional();
    let head = Network::new(vec![draw.conv([6, 4], 1, 1), Layer::GlobalAvgPool]);
    let input = draw.pixels([1, 3, 12, 12]).mul_scalar(4.0).add_scalar(-2.0);
    let firsts = || {
        let z_box = First::ZBox { low: vec![-2.0; 3], high: vec![2.0; 3] };
        [First::Same, First::Flat, First::WSquare, z_box]
    };
    let mut composites = vec![Composite::Epsilon, Composite::ExcitationBackprop];
    composites.extend(firsts().map(Composite::EpsilonPlus));
    composites.extend(firsts().map(Composite::EpsilonAlpha2Beta1));
    for composite in composites {
        let (features, tape) = Tape::record(&backbone, input.clone());
        let (logits, head_tape) = Tape::record(&head, features);
        let start = from_vec(vec![0.0, 1.0, 0.0, 0.0], [1, 4, 1, 1], &cpu()) * logits;
        let total = |tensor: &Tensor<4>| tensor.clone().sum().into_scalar();
        let logit = total(&start);
        let at_features = head_tape.pull_back(&Plan::bind(&head, &composite, Entry::Features).unwrap(), start);
        let at_pixels = tape.pull_back(&Plan::bind(&backbone, &composite, Entry::Pixels).unwrap(), at_features.clone());
        // z+ loses the relevance of an output without any positive contribution; the networks here have none.
        for (place, sum) in [("features", total(&at_features)), ("pixels", total(&at_pixels))] {
            assert!((sum / logit - 1.0).abs() < 2e-3, "{composite} at the {place}: {sum} of {logit}");
        }
    }
}

fn relevance_sum(network: &Network, input: &Tensor<4>, sum: ResidualSum) -> (f32, f32) {
    let composite = Composite::EpsilonGammaBox { low: vec![-2.0; 3], high: vec![2.0; 3], sum };
    let (logits, tape) = Tape::record(network, input.clone());
    let plan = Plan::bind(network, &composite, Entry::Pixels).unwrap();
    let target = from_vec(vec![0.0, 0.0, 1.0, 0.0], [1, 4, 1, 1], &cpu());
    let start = target * logits;
    let total = |tensor: Tensor<4>| tensor.sum().into_scalar();
    (total(start.clone()), total(tape.pull_back(&plan, start)))
}

#[test]
fn relevance_is_conserved_by_shared_sums_and_doubled_by_copied_ones() {
    let mut draw = Draw::new("conserved", 0.0);
    let backbone = draw.conventional();
    let input = draw.pixels([1, 3, 12, 12]).mul_scalar(4.0).add_scalar(-2.0);
    for head in [draw.head(6), draw.aligned_head(6)] {
        // Offsets are biases: without them nothing absorbs relevance.
        let layers = head.layers.into_iter().filter(|layer| !matches!(layer, Layer::Offset(_)));
        let network = join(&backbone, &Network::new(layers.collect()));
        let (logit, shared) = relevance_sum(&network, &input, ResidualSum::Proportional);
        let (_, copied) = relevance_sum(&network, &input, ResidualSum::Duplicate);
        assert!((shared / logit - 1.0).abs() < 1e-3, "{shared} of {logit}");
        assert!((copied / logit - 2.0).abs() < 2e-3, "{copied} of {logit}");
    }
}

#[test]
fn heads_and_folds_have_the_rules_of_the_reference() {
    let mut draw = Draw::new("rules", 1.0);
    let composite =
        Composite::EpsilonGammaBox { low: vec![0.0; 3], high: vec![1.0; 3], sum: ResidualSum::Proportional };
    let linear = Network::new(vec![draw.conv([6, 4], 1, 1), Layer::GlobalAvgPool]);
    let plan = Plan::bind(&linear, &composite, Entry::Features).unwrap();
    assert!(matches!(plan.steps[0].bound, Bound::Split(_)));
    assert!(matches!(plan.steps[1].bound, Bound::GlobalAverageShare));
    let plan = Plan::bind(&draw.conventional(), &composite, Entry::Pixels).unwrap();
    assert!(matches!(plan.steps[0].bound, Bound::Box(_)));
    assert_eq!((plan.steps[0].first, plan.steps[0].last), (0, 1));
    let wrong = Composite::EpsilonGammaBox { low: vec![0.0; 6], high: vec![1.0; 6], sum: ResidualSum::Proportional };
    let error = Plan::bind(&draw.conventional(), &wrong, Entry::Pixels).unwrap_err();
    assert_eq!(error.exit_code(), 65);
}

#[test]
fn an_offset_that_makes_the_logit_negative_does_not_turn_the_map_round() {
    let mut draw = Draw::new("offset", 0.0);
    let input = draw.pixels([1, 3, 4, 4]);
    let conv = draw.conv([3, 4], 1, 1);
    let head = |offset: f32| Network::new(vec![conv.clone(), Layer::GlobalAvgPool, Layer::Offset(offset)]);
    let relevance = |offset: f32, sum: ResidualSum| {
        let composite = Composite::EpsilonGammaBox { low: vec![0.0; 3], high: vec![1.0; 3], sum };
        let (logits, tape) = Tape::record(&head(offset), input.clone());
        let plan = Plan::bind(&head(offset), &composite, Entry::Features).unwrap();
        let logit = to_vec(logits.clone())[0];
        let start = from_vec(vec![1.0, 0.0, 0.0, 0.0], [1, 4, 1, 1], &cpu()) * logits;
        (logit, to_vec(tape.pull_back(&plan, start)))
    };
    let (plain, expected) = relevance(0.0, ResidualSum::Proportional);
    let offset = -2.0 * plain;
    let (shifted, shared) = relevance(offset, ResidualSum::Proportional);
    assert!(plain * shifted < 0.0, "{plain} and {shifted} have opposite signs");
    let (_, passed) = relevance(offset, ResidualSum::Duplicate);
    for ((expected, shared), passed) in expected.iter().zip(shared).zip(passed) {
        assert!((expected - shared).abs() < 1e-4 * (1.0 + expected.abs()), "{shared} is not {expected}");
        assert!((expected + passed).abs() < 1e-3 * (1.0 + expected.abs()), "{passed} is not minus {expected}");
    }
}
