//! Bootstrap intervals of means and of paired differences, over items and probe seeds at once.
//!
//! Maps of one item (a grid's targets) and maps of one probe seed are not independent, so items and seeds are what is
//! resampled, never single maps. The percentile interval of few clusters is too narrow (with 3 seeds it covers the truth
//! in 73 to 95 % of cases instead of 95 %), so it is widened as a t interval is wider than a normal one (`Spread`).

use crate::spread::Spread;
use features::random::{Stream, binomial, uniform};
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

/// A mean with its 95 % interval: percentiles of resampled means, widened for few clusters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Mean of all values.
    pub mean: f64,
    /// Lower end; the mean where there is no [`Estimate::interval`].
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Values.
    pub n: usize,
    /// Distinct items among them.
    pub items: usize,
    /// Distinct seeds among them.
    pub seeds: usize,
}

impl Estimate {
    /// The interval; none of a single item, which says nothing of others.
    pub fn interval(&self) -> Option<(f64, f64)> {
        (self.items > 1).then_some((self.low, self.high))
    }

    /// The estimate with its interval cut to what is possible.
    pub fn within(self, bounds: Option<(f64, f64)>) -> Self {
        let Some((least, most)) = bounds else { return self };
        Self { low: self.low.max(least).min(self.mean), high: self.high.min(most).max(self.mean), ..self }
    }
}

/// Sums and counts of the values per (item, seed): all that resampling needs.
struct Crossed {
    items: usize,
    seeds: usize,
    sums: Vec<f64>,
    counts: Vec<f64>,
    /// Items with equal rows: the first of them, and how many there are.
    kinds: Vec<(usize, usize)>,
}

/// Items a kind on average from which kinds are drawn, not items: a binomial number costs about as much as so many.
const DRAW_KINDS_FROM: usize = 16;

impl Crossed {
    fn new(samples: &[Sample]) -> Self {
        let mut items: BTreeMap<u32, usize> = samples.iter().map(|s| (s.item, 0)).collect();
        let mut seeds: BTreeMap<i64, usize> = samples.iter().map(|s| (s.seed, 0)).collect();
        items.values_mut().enumerate().for_each(|(at, slot)| *slot = at);
        seeds.values_mut().enumerate().for_each(|(at, slot)| *slot = at);
        let size = items.len() * seeds.len();
        let mut crossed = Self {
            items: items.len(),
            seeds: seeds.len(),
            sums: vec![0.0; size],
            counts: vec![0.0; size],
            kinds: vec![],
        };
        for sample in samples {
            let at = items[&sample.item] * crossed.seeds + seeds[&sample.seed];
            crossed.sums[at] += sample.value;
            crossed.counts[at] += 1.0;
        }
        let mut kinds: BTreeMap<Vec<u64>, (usize, usize)> = BTreeMap::new();
        for item in 0..crossed.items {
            let row = item * crossed.seeds..(item + 1) * crossed.seeds;
            let values = crossed.sums[row.clone()].iter().chain(&crossed.counts[row]);
            kinds.entry(values.map(|value| value.to_bits()).collect()).or_insert((item, 0)).1 += 1;
        }
        crossed.kinds = kinds.into_values().collect();
        crossed
    }

    /// Variance of the mean, from the spread of items, of seeds, and of what they leave over.
    // METHOD: crossed random effects: u_I + max(u_S - u_E, 0) with u_I = MS of item means / I and so on, because both u_I
    // and u_S hold the left-over variance u_E once.
    fn spread(&self) -> Spread {
        let (items, seeds) = (self.items as f64, self.seeds as f64);
        let total: f64 = self.counts.iter().sum();
        let mean = self.sums.iter().sum::<f64>() / total;
        let mut of_items = vec![(0.0, 0.0); self.items];
        let mut of_seeds = vec![(0.0, 0.0); self.seeds];
        for (at, (sum, count)) in self.sums.iter().zip(&self.counts).enumerate() {
            for group in [&mut of_items[at / self.seeds], &mut of_seeds[at % self.seeds]] {
                *group = (group.0 + sum, group.1 + count);
            }
        }
        let square = |groups: &[(f64, f64)]| -> f64 {
            groups.iter().map(|(sum, count)| ((sum - count * mean) / total).powi(2)).sum()
        };
        let scaled =
            |square: f64, clusters: f64| if clusters < 2.0 { 0.0 } else { square * clusters / (clusters - 1.0) };
        let (u_items, u_seeds) = (scaled(square(&of_items), items), scaled(square(&of_seeds), seeds));
        if self.seeds < 2 || self.items < 2 {
            return if self.seeds < 2 { Spread::of(u_items, self.items) } else { Spread::of(u_seeds, self.seeds) };
        }
        let left_over = |(at, (sum, count)): (usize, (&f64, &f64))| {
            let of = |(sum, count): (f64, f64)| sum / count;
            let fitted = of(of_items[at / self.seeds]) + of(of_seeds[at % self.seeds]) - mean;
            ((sum - count * fitted) / total).powi(2)
        };
        let df = (items - 1.0) * (seeds - 1.0);
        let u_rest = self.sums.iter().zip(&self.counts).enumerate().map(left_over).sum::<f64>() * items * seeds / df;
        Spread::of(u_items, self.items).and(Spread::of((u_seeds - u_rest).max(0.0), self.seeds))
    }

    /// Mean of one resample; none if it holds no value. `rows` is room to work in.
    // METHOD: crossed two-level bootstrap: items and seeds are drawn with replacement, independently of each other;
    // a value weighs (times its item was drawn) x (times its seed was drawn).
    fn draw(&self, rng: &mut Stream, rows: &mut Vec<(f64, f64)>) -> Option<f64> {
        let mut weights = vec![0.0; self.seeds];
        draw_below(rng, self.seeds, self.seeds, |seed| weights[seed] += 1.0);
        let row = |item: usize| {
            let row = item * self.seeds..(item + 1) * self.seeds;
            let weighted =
                |values: &[f64]| values.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>();
            (weighted(&self.sums[row.clone()]), weighted(&self.counts[row]))
        };
        let (mut sum, mut count) = (0.0, 0.0);
        if self.kinds.len() * DRAW_KINDS_FROM < self.items {
            // METHOD: how often each kind is drawn is multinomial, which is a binomial number for one kind after another.
            let (mut draws, mut items) = (self.items, self.items);
            for &(first, of_kind) in &self.kinds {
                let drawn = binomial(rng, draws as u64, of_kind as f64 / items as f64);
                let (kind_sum, kind_count) = row(first);
                (sum, count) = (sum + drawn as f64 * kind_sum, count + drawn as f64 * kind_count);
                (draws, items) = (draws - drawn as usize, items - of_kind);
            }
        } else {
            rows.clear();
            rows.extend((0..self.items).map(row));
            draw_below(rng, self.items, self.items, |item| (sum, count) = (sum + rows[item].0, count + rows[item].1));
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// Gives `count` whole numbers below `n` to `use_it`, two from each uniform number: drawing is most of the work.
// METHOD: high half of a product with 26 random bits, so a number is off its chance of 1/n by at most n / 2^26 of it.
fn draw_below(rng: &mut Stream, n: usize, count: usize, mut use_it: impl FnMut(usize)) {
    const HALF: u32 = 26;
    for at in (0..count).step_by(2) {
        let bits = (uniform(rng) * (1u64 << (2 * HALF)) as f64) as u64;
        use_it((((bits >> HALF) * n as u64) >> HALF) as usize);
        if at + 1 < count {
            use_it((((bits & ((1 << HALF) - 1)) * n as u64) >> HALF) as usize);
        }
    }
}

/// Bootstrap means of `samples` in the order drawn (empty if there are none).
pub fn draws(samples: &[Sample], resamples: usize, rng: &mut Stream) -> Vec<f64> {
    if samples.is_empty() {
        return Vec::new();
    }
    let crossed = Crossed::new(samples);
    let mut rows = Vec::new();
    (0..resamples).filter_map(|_| crossed.draw(rng, &mut rows)).collect()
}

/// Mean and interval of `samples`; none if there are none.
pub fn estimate(samples: &[Sample], resamples: usize, rng: &mut Stream) -> Option<Estimate> {
    if samples.is_empty() {
        return None;
    }
    let crossed = Crossed::new(samples);
    let mean = samples.iter().map(|s| s.value).sum::<f64>() / samples.len() as f64;
    let (low, high) = crossed.spread().widen(mean, percentiles(mean, draws(samples, resamples, rng)));
    Some(Estimate { mean, low, high, n: samples.len(), items: crossed.items, seeds: crossed.seeds })
}

/// Mean of `one` minus mean of `other`, two sets of samples without common items; none if either is empty.
// METHOD: the sets are resampled independently of each other.
pub fn gap(one: &[Sample], other: &[Sample], resamples: usize, rng: &mut Stream) -> Option<Estimate> {
    let (first, second) = (estimate(one, 1, rng)?, estimate(other, 1, rng)?);
    let means = draws(one, resamples, rng).iter().zip(draws(other, resamples, rng)).map(|(a, b)| a - b).collect();
    let mean = first.mean - second.mean;
    let (low, high) =
        Crossed::new(one).spread().and(Crossed::new(other).spread()).widen(mean, percentiles(mean, means));
    Some(Estimate {
        mean,
        low,
        high,
        n: first.n.min(second.n),
        items: first.items.min(second.items),
        seeds: first.seeds.min(second.seeds),
    })
}

/// The interval of resampled means; of none, the mean itself.
fn percentiles(mean: f64, means: Vec<f64>) -> (f64, f64) {
    interval(means).unwrap_or((mean, mean))
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

#[cfg(test)]
mod tests {
    use super::*;
    use features::random::{normal, stream};
    use rayon::prelude::*;

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
    fn one_item_has_no_interval() {
        for seed in [0, 1] {
            let found = estimate(&[sample(0, 0, 2.0), sample(0, seed, 4.0)], 100, &mut rng("one")).expect("two values");
            assert_eq!((found.mean, found.interval()), (3.0, None));
        }
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

    /// Share of 1,000 simulated experiments whose interval holds the truth (0): `items` items of two maps under `seeds`
    /// seeds, with spreads of items, seeds and single maps. Gives the widened interval's share and the plain one's.
    fn coverage(items: u32, seeds: i64, [of_item, of_seed, of_map]: [f64; 3]) -> (f64, f64) {
        const TRIALS: usize = 1000;
        let trial = |trial: usize| {
            let mut noise = rng(&format!("trial {trial} {items} {seeds} {of_seed}"));
            let shifts: Vec<f64> = (0..seeds).map(|_| of_seed * normal(&mut noise)).collect();
            let mut samples = Vec::new();
            for item in 0..items {
                let shift = of_item * normal(&mut noise);
                for (seed, of_seed) in shifts.iter().enumerate() {
                    for _ in 0..2 {
                        samples.push(sample(item, seed as i64, shift + of_seed + of_map * normal(&mut noise)));
                    }
                }
            }
            let found = estimate(&samples, 400, &mut noise).expect("values");
            let plain = interval(draws(&samples, 400, &mut noise)).expect("values");
            [(found.low, found.high), plain].map(|(low, high)| low <= 0.0 && 0.0 <= high)
        };
        let covered: Vec<[bool; 2]> = (0..TRIALS).into_par_iter().map(trial).collect();
        let share = |at: usize| covered.iter().filter(|covered| covered[at]).count() as f64 / TRIALS as f64;
        (share(0), share(1))
    }

    #[test]
    fn intervals_cover_the_truth_on_clustered_data() {
        for (items, seeds, spreads) in [
            (40, 1, [1.0, 0.0, 1.0]),
            (40, 3, [1.0, 0.05, 1.0]),
            (40, 3, [1.0, 0.2, 1.0]),
            (20, 5, [1.0, 0.3, 1.0]),
            (40, 3, [1.0, 0.4, 1.0]),
            (40, 3, [0.3, 1.0, 0.5]),
            (30, 3, [1.0, 1.0, 1.0]),
        ] {
            let (widened, _) = coverage(items, seeds, spreads);
            assert!((0.93..=0.97).contains(&widened), "{items} items, {seeds} seeds, {spreads:?}: {widened}");
        }
    }

    /// Few kinds of items, as right and wrong predictions are: the means must scatter as those of drawn items do.
    #[test]
    fn kinds_of_items_are_drawn_like_items() {
        let share = |values: &[f64]| -> Vec<Sample> {
            values.iter().enumerate().map(|(item, value)| sample(item as u32, 0, *value)).collect()
        };
        let few: Vec<f64> = (0..400).map(|item| if item % 10 == 0 { 0.0 } else { 1.0 }).collect();
        // So little that only the way of drawing changes.
        let many: Vec<f64> = few.iter().enumerate().map(|(item, value)| value + 1e-9 * item as f64).collect();
        let [of_kinds, of_items] = [few, many].map(|values| {
            let means = draws(&share(&values), 20_000, &mut rng("kinds"));
            let mean = means.iter().sum::<f64>() / means.len() as f64;
            let deviation = (means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / means.len() as f64).sqrt();
            let (low, high) = interval(means).expect("means");
            [mean, deviation, low, high]
        });
        let expected = (0.9f64 * 0.1 / 400.0).sqrt();
        assert!(
            (of_kinds[0] - 0.9).abs() < 0.02 * expected && (of_kinds[1] / expected - 1.0).abs() < 0.02,
            "{of_kinds:?}"
        );
        for (a, b) in of_kinds.iter().zip(of_items) {
            assert!((a - b).abs() < 0.2 * expected, "{of_kinds:?} {of_items:?}");
        }
    }

    #[test]
    fn a_plain_percentile_interval_would_not_cover_it() {
        let (widened, plain) = coverage(40, 3, [0.3, 1.0, 0.5]);
        assert!(plain < 0.85 && widened > 0.93, "plain {plain}, widened {widened}");
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
    fn the_same_stream_gives_the_same_interval() {
        let samples: Vec<Sample> = (0..20).map(|i| sample(i, i64::from(i % 3), f64::from(i).sin())).collect();
        assert_eq!(estimate(&samples, 300, &mut rng("same")), estimate(&samples, 300, &mut rng("same")));
    }
}
