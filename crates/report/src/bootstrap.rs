//! Bootstrap intervals of means and of paired differences, over items and probe seeds at once.
//!
//! Maps of one item (a grid's targets) and maps of one probe seed are not independent, so items and seeds are what is
//! resampled, never single maps. With few seeds the interval covers seed variation only roughly.

use crate::scores::Cell;
use features::random::{Stream, below};
use std::collections::BTreeMap;

/// One value with the item and the seed that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Item (grid, scene, image).
    pub item: u32,
    /// Probe seed.
    pub seed: i64,
    /// Value or difference.
    pub value: f64,
}

/// A mean with its 95 % percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Mean of all values.
    pub mean: f64,
    /// 2.5 % quantile of the bootstrap means.
    pub low: f64,
    /// 97.5 % quantile of the bootstrap means.
    pub high: f64,
    /// Values.
    pub n: usize,
    /// Distinct items among them.
    pub items: usize,
    /// Distinct seeds among them.
    pub seeds: usize,
}

/// Sums and counts of the values per (item, seed): all that resampling needs.
struct Crossed {
    items: usize,
    seeds: usize,
    sums: Vec<f64>,
    counts: Vec<f64>,
}

impl Crossed {
    fn new(samples: &[Sample]) -> Self {
        let mut items: BTreeMap<u32, usize> = samples.iter().map(|s| (s.item, 0)).collect();
        let mut seeds: BTreeMap<i64, usize> = samples.iter().map(|s| (s.seed, 0)).collect();
        items.values_mut().enumerate().for_each(|(at, slot)| *slot = at);
        seeds.values_mut().enumerate().for_each(|(at, slot)| *slot = at);
        let size = items.len() * seeds.len();
        let mut crossed =
            Self { items: items.len(), seeds: seeds.len(), sums: vec![0.0; size], counts: vec![0.0; size] };
        for sample in samples {
            let at = items[&sample.item] * crossed.seeds + seeds[&sample.seed];
            crossed.sums[at] += sample.value;
            crossed.counts[at] += 1.0;
        }
        crossed
    }

    /// Mean of one resample; none if it holds no value.
    // METHOD: crossed two-level bootstrap: items and seeds are drawn with replacement, independently of each other;
    // a value weighs (times its item was drawn) x (times its seed was drawn).
    fn draw(&self, rng: &mut Stream) -> Option<f64> {
        let mut weights = vec![0.0; self.seeds];
        (0..self.seeds).for_each(|_| weights[below(rng, self.seeds)] += 1.0);
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..self.items {
            let row = below(rng, self.items) * self.seeds;
            for (seed, weight) in weights.iter().enumerate() {
                sum += weight * self.sums[row + seed];
                count += weight * self.counts[row + seed];
            }
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// Bootstrap means of `samples` in the order drawn (empty if there are none).
pub fn draws(samples: &[Sample], resamples: usize, rng: &mut Stream) -> Vec<f64> {
    if samples.is_empty() {
        return Vec::new();
    }
    let crossed = Crossed::new(samples);
    (0..resamples).filter_map(|_| crossed.draw(rng)).collect()
}

/// Mean and interval of `samples`; none if there are none.
pub fn estimate(samples: &[Sample], resamples: usize, rng: &mut Stream) -> Option<Estimate> {
    if samples.is_empty() {
        return None;
    }
    let crossed = Crossed::new(samples);
    let mean = samples.iter().map(|s| s.value).sum::<f64>() / samples.len() as f64;
    let (low, high) = interval(draws(samples, resamples, rng)).unwrap_or((mean, mean));
    Some(Estimate { mean, low, high, n: samples.len(), items: crossed.items, seeds: crossed.seeds })
}

/// Mean of `one` minus mean of `other`, two sets of samples without common items; none if either is empty.
// METHOD: the sets are resampled independently of each other.
pub fn gap(one: &[Sample], other: &[Sample], resamples: usize, rng: &mut Stream) -> Option<Estimate> {
    let (first, second) = (estimate(one, 1, rng)?, estimate(other, 1, rng)?);
    let means = draws(one, resamples, rng).iter().zip(draws(other, resamples, rng)).map(|(a, b)| a - b).collect();
    let mean = first.mean - second.mean;
    let (low, high) = interval(means).unwrap_or((mean, mean));
    Some(Estimate {
        mean,
        low,
        high,
        n: first.n.min(second.n),
        items: first.items.min(second.items),
        seeds: first.seeds.min(second.seeds),
    })
}

/// 2.5 % and 97.5 % quantiles.
fn interval(mut means: Vec<f64>) -> Option<(f64, f64)> {
    means.sort_by(f64::total_cmp);
    Some((quantile(&means, 0.025)?, quantile(&means, 0.975)?))
}

/// Quantile `q` of sorted values, linear between neighbours; none if there are none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// Defined values of a group as samples.
pub fn values(cells: &[Cell]) -> Vec<Sample> {
    cells.iter().filter_map(|c| Some(Sample { item: c.item, seed: c.seed, value: c.value? })).collect()
}

/// Differences `treatment - baseline` of maps with equal item, target and seed, and how many such pairs were left out
/// because one side is undefined. Cells without a partner are not pairs and count nowhere.
pub fn paired(baseline: &[Cell], treatment: &[Cell]) -> (Vec<Sample>, usize) {
    let before: BTreeMap<(u32, i32, i64), Option<f64>> =
        baseline.iter().map(|c| ((c.item, c.target, c.seed), c.value)).collect();
    let (mut samples, mut skipped) = (Vec::new(), 0);
    for cell in treatment {
        match before.get(&(cell.item, cell.target, cell.seed)) {
            Some(Some(before)) if cell.value.is_some() => {
                let value = cell.value.unwrap_or_default() - before;
                samples.push(Sample { item: cell.item, seed: cell.seed, value });
            }
            Some(_) => skipped += 1,
            None => {}
        }
    }
    (samples, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::random::{normal, stream};

    fn rng(key: &str) -> Stream {
        stream(7, &["bootstrap", key])
    }

    fn sample(item: u32, seed: i64, value: f64) -> Sample {
        Sample { item, seed, value }
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        for (q, expected) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.25, 1.75), (-1.0, 1.0), (2.0, 4.0)] {
            assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], q), Some(expected));
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        let samples: Vec<Sample> = (0..6).map(|i| sample(i, i64::from(i % 2), 0.3)).collect();
        let found = estimate(&samples, 200, &mut rng("equal")).expect("six values");
        assert!([found.mean, found.low, found.high].iter().all(|v| (v - 0.3).abs() < 1e-12), "{found:?}");
        assert_eq!((found.n, found.items, found.seeds), (6, 6, 2));
    }

    #[test]
    fn nothing_has_no_estimate() {
        assert_eq!(estimate(&[], 100, &mut rng("nothing")), None);
    }

    #[test]
    fn one_item_with_one_seed_has_an_interval_of_no_width() {
        let found = estimate(&[sample(0, 0, 2.0), sample(0, 0, 4.0)], 100, &mut rng("one")).expect("two values");
        assert_eq!((found.low, found.mean, found.high), (3.0, 3.0, 3.0));
    }

    #[test]
    fn the_interval_of_independent_items_has_the_width_of_the_normal_one() {
        let mut noise = rng("noise");
        let samples: Vec<Sample> = (0..400).map(|i| sample(i, 0, normal(&mut noise))).collect();
        let found = estimate(&samples, 2000, &mut rng("width")).expect("values");
        let expected = 2.0 * 1.96 / 20.0;
        assert!(((found.high - found.low) / expected - 1.0).abs() < 0.12, "{found:?}");
    }

    /// Two maps an item that move together must not count as two items.
    #[test]
    fn copies_of_a_map_do_not_narrow_the_interval() {
        let mut noise = rng("noise");
        let single: Vec<Sample> = (0..60).map(|i| sample(i, 0, normal(&mut noise))).collect();
        let double: Vec<Sample> = single.iter().flat_map(|s| [*s, *s]).collect();
        let width = |samples: &[Sample]| {
            let found = estimate(samples, 2000, &mut rng("copies")).expect("values");
            found.high - found.low
        };
        assert!((width(&single) - width(&double)).abs() < 1e-9);
    }

    #[test]
    fn coverage_of_the_true_mean_is_near_nominal() {
        let trials = 200;
        let covered = (0..trials)
            .filter(|trial| {
                let mut noise = rng(&format!("trial {trial}"));
                let samples: Vec<Sample> = (0..50).map(|i| sample(i, 0, 1.0 + normal(&mut noise))).collect();
                let found = estimate(&samples, 400, &mut noise).expect("values");
                found.low <= 1.0 && 1.0 <= found.high
            })
            .count();
        assert!((175..=199).contains(&covered), "{covered} of {trials}");
    }

    #[test]
    fn a_gap_adds_the_variances_of_its_sides() {
        let mut noise = rng("noise");
        let mut of = |mean: f64| -> Vec<Sample> { (0..200).map(|i| sample(i, 0, mean + normal(&mut noise))).collect() };
        let (one, other) = (of(3.0), of(1.0));
        let found = gap(&one, &other, 2000, &mut rng("gap")).expect("values");
        let expected = 2.0 * 1.96 * (2.0f64 / 200.0).sqrt();
        assert!((found.mean - 2.0).abs() < 0.4 && ((found.high - found.low) / expected - 1.0).abs() < 0.2, "{found:?}");
    }

    #[test]
    fn pairs_need_equal_item_target_and_seed() {
        let cell = |item, target, seed, value| Cell { item, target, seed, value, chance: None };
        let baseline =
            [cell(0, 0, 0, Some(1.0)), cell(0, 1, 0, None), cell(1, 0, 0, Some(2.0)), cell(1, 0, 1, Some(9.0))];
        let treatment =
            [cell(0, 0, 0, Some(1.5)), cell(0, 1, 0, Some(3.0)), cell(1, 0, 0, None), cell(2, 0, 0, Some(5.0))];
        let (samples, skipped) = paired(&baseline, &treatment);
        assert_eq!(samples, [sample(0, 0, 0.5)]);
        assert_eq!(skipped, 2);
    }

    #[test]
    fn the_same_stream_gives_the_same_interval() {
        let samples: Vec<Sample> = (0..20).map(|i| sample(i, i64::from(i % 3), f64::from(i).sin())).collect();
        assert_eq!(estimate(&samples, 300, &mut rng("same")), estimate(&samples, 300, &mut rng("same")));
    }
}
