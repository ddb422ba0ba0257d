//! Tests of paired differences: effect size, permutation p-value, and Holm's correction for many of them.
//!
//! An item (grid, scene, image) is the unit: maps of one item move together, so they are not separate evidence. Seeds
//! are averaged within an item, so a p-value speaks of the seeds at hand; the bootstrap interval covers new ones too.

use crate::bootstrap::Sample;
use features::random::{Stream, uniform};
use std::collections::BTreeMap;

/// Random sign patterns, where there are too many to try all.
pub const PERMUTATIONS: u32 = 9999;
/// Items up to which all sign patterns are tried.
const EXACT: usize = 13;
/// Sign patterns that one uniform number gives.
const BITS: usize = 52;

/// How large a paired difference is in units of its spread, and how surprising it is without an effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// Mean of the items' differences over their standard deviation (Cohen's d of pairs); none if they do not vary.
    pub effect_size: Option<f64>,
    /// Two-sided p-value of no effect.
    pub p_value: f64,
}

/// Tests whether the mean of paired differences is 0; none with fewer than two items.
// METHOD: without an effect, both sides of a pair are exchangeable, so each item's sum of differences may change its
// sign, all of an item together. p = share of sign patterns with |sum| at least the observed one; over all 2^n patterns
// for few items, else (1 + count) / (1 + draws).
pub fn paired(samples: &[Sample], rng: &mut Stream) -> Option<Significance> {
    let mut items: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        let (sum, count) = items.entry(sample.item).or_default();
        (*sum, *count) = (*sum + sample.value, *count + 1.0);
    }
    if items.len() < 2 {
        return None;
    }
    let means: Vec<f64> = items.values().map(|(sum, count)| sum / count).collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let deviation = (means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // Items without any difference change nothing by their sign.
    let sums: Vec<f64> = items.values().map(|(sum, _)| *sum).filter(|sum| *sum != 0.0).collect();
    Some(Significance { effect_size: (deviation > 0.0).then(|| mean / deviation), p_value: p_value(&sums, rng) })
}

fn p_value(sums: &[f64], rng: &mut Stream) -> f64 {
    let observed = sums.iter().sum::<f64>().abs();
    // Equal sums in another order differ by rounding.
    let reached = |sum: f64| sum.abs() >= observed * (1.0 - 1e-12);
    if sums.len() <= EXACT {
        let patterns = 1u64 << sums.len();
        let count = (0..patterns).filter(|signs| reached(signed(sums, *signs))).count();
        return count as f64 / patterns as f64;
    }
    let draw = |rng: &mut Stream| {
        sums.chunks(BITS).map(|sums| signed(sums, (uniform(rng) * (1u64 << BITS) as f64) as u64)).sum::<f64>()
    };
    let count = (0..PERMUTATIONS).filter(|_| reached(draw(rng))).count();
    (1 + count) as f64 / f64::from(1 + PERMUTATIONS)
}

/// Sum of at most 64 values, those at bits of `signs` with their sign changed.
// Four sums side by side, because one would wait for each addition.
fn signed(values: &[f64], signs: u64) -> f64 {
    let turned = |value: f64, at: usize| f64::from_bits(value.to_bits() ^ ((signs >> at & 1) << 63));
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (four, values) in fours.iter().enumerate() {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += turned(values[lane], 4 * four + lane);
        }
    }
    let rest: f64 = rest.iter().enumerate().map(|(at, value)| turned(*value, 4 * fours.len() + at)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Adjusted p-values in the order given: the chance of any false discovery among all of them stays below each.
// METHOD: Holm 1979: sorted ascending, the i-th of m (from 0) times m - i, made monotone, at most 1.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[at]).min(1.0);
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::random::{normal, stream};

    fn samples(values: &[f64]) -> Vec<Sample> {
        values.iter().enumerate().map(|(item, &value)| Sample { item: item as u32, seed: 0, value }).collect()
    }

    #[test]
    fn few_items_are_counted_exactly() {
        let mut rng = stream(0, &["exact"]);
        for (values, expected) in [
            (vec![1.0, 1.0, 1.0], 2.0 / 8.0),
            (vec![1.0, 2.0, 4.0, 8.0], 2.0 / 16.0),
            (vec![1.0, -1.0], 1.0),
            (vec![3.0, -1.0], 1.0),
            (vec![0.0, 0.0], 1.0),
        ] {
            let found = paired(&samples(&values), &mut rng).expect("two items");
            assert_eq!(found.p_value, expected, "{values:?}");
        }
        assert_eq!(paired(&samples(&[1.0]), &mut rng), None);
    }

    #[test]
    fn the_effect_size_is_mean_over_deviation_of_items() {
        let mut rng = stream(0, &["effect"]);
        let found = paired(&samples(&[1.0, 2.0, 3.0]), &mut rng).expect("three items");
        assert!((found.effect_size.expect("they vary") - 2.0).abs() < 1e-12);
        // A second, equal map of each item is no further evidence.
        let double: Vec<Sample> = samples(&[1.0, 2.0, 3.0]).into_iter().flat_map(|s| [s, s]).collect();
        assert_eq!(paired(&double, &mut rng), Some(found));
    }

    #[test]
    fn p_values_are_uniform_without_an_effect_and_small_with_one() {
        let trial = |effect: f64, trial: usize| {
            let mut rng = stream(1, &["null", &trial.to_string(), &effect.to_string()]);
            let values: Vec<f64> = (0..20).map(|_| effect + normal(&mut rng)).collect();
            paired(&samples(&values), &mut rng).expect("items").p_value
        };
        let below = |effect: f64| (0..200).filter(|&at| trial(effect, at) < 0.05).count();
        assert!((3..=19).contains(&below(0.0)), "{}", below(0.0));
        assert!(below(1.0) > 190, "{}", below(1.0));
    }

    #[test]
    fn holm_gives_the_textbook_values() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
