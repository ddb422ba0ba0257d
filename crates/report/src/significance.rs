//! Tests of differences: effect size, permutation p-value, and Holm's correction for many of them.
//!
//! An item (grid, scene, image) is the unit: maps of one item move together, so they are not separate evidence. Seeds
//! are averaged within an item, so a p-value speaks of the seeds at hand; the bootstrap interval covers new ones too.

use crate::bootstrap::Sample;
use features::random::{Stream, below, uniform};
use std::collections::BTreeMap;

/// Random permutations, at least, where there are too many to try all.
pub const PERMUTATIONS: u32 = 9999;
/// Items up to which all sign patterns are tried.
const EXACT: usize = 13;
/// Sign patterns that one uniform number gives.
const BITS: usize = 52;

/// How large a difference is in units of its spread, and how surprising it is without an effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// The difference over the standard deviation of the items' values (Cohen's d); none if they do not vary. Of pairs the
    /// values are differences, of two sets the root of the mean of both variances is taken.
    pub effect_size: Option<f64>,
    /// Two-sided p-value of no effect.
    pub p_value: f64,
}

/// Tests whether the mean of paired differences is 0; none with fewer than two items.
// METHOD: without an effect, both sides of a pair are exchangeable, so each item's sum of differences may change its
// sign, all of an item together. p = share of sign patterns with |sum| at least the observed one; over all 2^n patterns
// for few items, else of random ones.
pub fn paired(samples: &[Sample], rng: &mut Stream) -> Option<Significance> {
    let items = items(samples);
    if items.len() < 2 {
        return None;
    }
    let means: Vec<f64> = items.iter().map(mean).collect();
    let n = means.len() as f64;
    let centre = means.iter().sum::<f64>() / n;
    let deviation = (means.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // Items without any difference change nothing by their sign.
    let sums: Vec<f64> = items.iter().map(|(sum, _)| *sum).filter(|sum| *sum != 0.0).collect();
    Some(Significance { effect_size: (deviation > 0.0).then(|| centre / deviation), p_value: p_value(&sums, rng) })
}

/// Tests whether two sets of values without common items have one mean; none with fewer than two items in either.
// METHOD: Chung & Romano 2013: items change places between the sets at random, p = share of such permutations with |t| at
// least the observed one, t = (m1 - m2) / sqrt(v1 + v2). Without the division the test would also find a difference in
// spread. As an item counts with all its values, m = sum s / sum c for sums s and numbers c of values, and
// v = n / (n - 1) sum (s - c m)^2 / (sum c)^2.
pub fn unpaired(one: &[Sample], other: &[Sample], rng: &mut Stream) -> Option<Significance> {
    let (first, second) = (items(one), items(other));
    let (n, all) = (first.len(), first.len() + second.len());
    if n < 2 || all - n < 2 {
        return None;
    }
    let mut items = [first, second].concat();
    // Squares about the common mean lose no digits to it.
    let centre = mean(&items.iter().fold((0.0, 0.0), |sum, item| (sum.0 + item.0, sum.1 + item.1)));
    items.iter_mut().for_each(|(sum, count)| *sum -= *count * centre);
    let (first, second) = (Moments::of(&items[..n]), Moments::of(&items[n..]));
    let observed = first.welch(second).abs();
    let spread = ((first.n * first.variance() + second.n * second.variance()) / 2.0).sqrt();
    let (total, few) = (Moments::of(&items), n.min(all - n));
    let reached = |rng: &mut Stream| {
        for at in 0..few {
            items.swap(at, at + below(rng, all - at));
        }
        let drawn = Moments::of(&items[..few]);
        drawn.welch(total.without(drawn)).abs() >= observed * (1.0 - 1e-12)
    };
    Some(Significance {
        effect_size: (spread > 0.0).then(|| (first.mean() - second.mean()) / spread),
        p_value: drawn_p_value(few, rng, reached),
    })
}

/// Sum and number of each item's values.
fn items(samples: &[Sample]) -> Vec<(f64, f64)> {
    let mut items: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        let (sum, count) = items.entry(sample.item).or_default();
        (*sum, *count) = (*sum + sample.value, *count + 1.0);
    }
    items.into_values().collect()
}

fn mean((sum, count): &(f64, f64)) -> f64 {
    sum / count
}

/// Sums over items: their number, and first and second moments of their sums and numbers of values.
#[derive(Clone, Copy, Default)]
struct Moments {
    n: f64,
    sum: f64,
    count: f64,
    sum_sum: f64,
    sum_count: f64,
    count_count: f64,
}

impl Moments {
    fn of(items: &[(f64, f64)]) -> Self {
        items.iter().fold(Self::default(), |all, (sum, count)| Self {
            n: all.n + 1.0,
            sum: all.sum + sum,
            count: all.count + count,
            sum_sum: all.sum_sum + sum * sum,
            sum_count: all.sum_count + sum * count,
            count_count: all.count_count + count * count,
        })
    }

    fn without(self, part: Self) -> Self {
        Self {
            n: self.n - part.n,
            sum: self.sum - part.sum,
            count: self.count - part.count,
            sum_sum: self.sum_sum - part.sum_sum,
            sum_count: self.sum_count - part.sum_count,
            count_count: self.count_count - part.count_count,
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.count
    }

    /// Of the mean.
    fn variance(self) -> f64 {
        let mean = self.mean();
        let squares = self.sum_sum - 2.0 * mean * self.sum_count + mean * mean * self.count_count;
        squares.max(0.0) * self.n / (self.n - 1.0) / (self.count * self.count)
    }

    /// Welch's t; 0 of equal means, whatever the spread.
    fn welch(self, other: Self) -> f64 {
        let difference = self.mean() - other.mean();
        if difference == 0.0 { 0.0 } else { difference / (self.variance() + other.variance()).sqrt() }
    }
}

/// Permutations that reach what was observed after which no more are drawn: p is known well enough.
const ENOUGH: u32 = 100;
/// Values that permutations may look at: of few items many more can be drawn, so that a small p stays below its limit when it
/// is corrected for many tests.
const WORK: usize = 1 << 22;
/// Permutations at most.
const MOST: u32 = 49_999;

/// The share of permutations of `size` values that reach what was observed.
// METHOD: Besag & Clifford 1991: draw until so many have reached it, p = how many of those drawn; else (1 + count) / (1 + draws).
fn drawn_p_value(size: usize, rng: &mut Stream, mut reached: impl FnMut(&mut Stream) -> bool) -> f64 {
    let draws = u32::try_from(WORK / size.max(1)).unwrap_or(MOST).clamp(PERMUTATIONS, MOST);
    let mut count = 0;
    for drawn in 1..=draws {
        count += u32::from(reached(rng));
        if count == ENOUGH {
            return f64::from(count) / f64::from(drawn);
        }
    }
    f64::from(1 + count) / f64::from(1 + draws)
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
    drawn_p_value(sums.len(), rng, |rng| reached(draw(rng)))
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

    /// Share of the splits of items, each a list of values, into `n` and the rest whose |t| reaches that of the first `n`.
    fn by_splits(items: &[Vec<f64>], n: usize) -> f64 {
        let t = |chosen: u32| {
            let [(mean, error), (other, other_error)] = [1, 0].map(|bit| {
                let part: Vec<&Vec<f64>> =
                    (0..items.len()).filter(|at| chosen >> at & 1 == bit).map(|at| &items[at]).collect();
                let values: f64 = part.iter().map(|item| item.len() as f64).sum();
                let mean = part.iter().copied().flatten().sum::<f64>() / values;
                let off = |item: &&Vec<f64>| item.iter().map(|value| value - mean).sum::<f64>().powi(2);
                let n = part.len() as f64;
                (mean, part.iter().map(off).sum::<f64>() * n / (n - 1.0) / values.powi(2))
            });
            (mean - other).abs() / (error + other_error).sqrt()
        };
        let observed = t((1 << n) - 1);
        let splits: Vec<u32> = (0..1u32 << items.len()).filter(|chosen| chosen.count_ones() as usize == n).collect();
        splits.iter().filter(|&&chosen| t(chosen) >= observed * (1.0 - 1e-12)).count() as f64 / splits.len() as f64
    }

    #[test]
    fn sets_without_common_items_are_compared_by_who_is_in_which() {
        let single = |values: &[f64]| -> Vec<Vec<f64>> { values.iter().map(|value| vec![*value]).collect() };
        let several =
            vec![vec![5.0, 4.0], vec![3.5], vec![4.0, 1.0, 3.0], vec![0.5], vec![1.0, 2.0], vec![0.1, 0.2, 2.0]];
        for (items, n) in [
            (single(&[5.0, 3.0, 4.5, 0.5, 1.0, 2.0, 0.1, 0.7, 2.5]), 3),
            (single(&[1.0, 4.0, 2.0, 8.0, 5.0]), 3),
            (several, 3),
        ] {
            let samples = |items: &[Vec<f64>]| -> Vec<Sample> {
                let all =
                    items.iter().enumerate().flat_map(|(item, values)| values.iter().map(move |value| (item, *value)));
                all.map(|(item, value)| Sample { item: item as u32, seed: 0, value }).collect()
            };
            let (one, other) = items.split_at(n);
            let found = unpaired(&samples(one), &samples(other), &mut stream(0, &["splits"])).expect("items");
            // Until 100 have reached it: the deviation is a tenth of p.
            let (p, expected) = (found.p_value, by_splits(&items, n));
            assert!((p - expected).abs() < 0.3 * expected + 0.001, "{p} {expected}");
        }
        let one = |values: &[f64]| unpaired(&samples(values), &samples(&[1.0, 1.0]), &mut stream(0, &["equal"]));
        assert_eq!(one(&[1.0]), None);
        assert_eq!(one(&[1.0, 1.0]), Some(Significance { effect_size: None, p_value: 1.0 }));
        let found = one(&[2.0, 4.0]).expect("items");
        assert!((found.effect_size.expect("they vary") - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_small_p_is_told_as_far_as_there_is_time() {
        let values: Vec<f64> = (0..40).map(|item| 1.0 + 0.01 * f64::from(item)).collect();
        let found = paired(&samples(&values), &mut stream(0, &["small"])).expect("items");
        assert_eq!(found.p_value, 1.0 / f64::from(1 + MOST));
    }

    #[test]
    fn unequal_spread_is_no_effect() {
        // Few items of large spread against many of small: the plain difference of means would be found far too often.
        let trial = |effect: f64, trial: usize| {
            let mut rng = stream(2, &["spread", &trial.to_string(), &effect.to_string()]);
            let mut draw = |n: usize, spread: f64| -> Vec<f64> { (0..n).map(|_| spread * normal(&mut rng)).collect() };
            let (few, many) = (draw(12, 5.0), draw(60, 1.0));
            let few: Vec<f64> = few.into_iter().map(|value| value + effect).collect();
            unpaired(&samples(&few), &samples(&many), &mut rng).expect("items").p_value
        };
        let below = |effect: f64| (0..200).filter(|&at| trial(effect, at) < 0.05).count();
        assert!((3..=22).contains(&below(0.0)), "{}", below(0.0));
        assert!(below(10.0) > 190, "{}", below(10.0));
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
