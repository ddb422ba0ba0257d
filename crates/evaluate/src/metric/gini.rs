//! Gini index (compactness): how unequally the positive mass is shared among pixels.
//!
//! Source: Chalasani et al., ICML 2020; reference: raw map without smoothing, clamped at 0.
//! Range 0 (uniform) to 1 - 1/pixels (one pixel), higher is more compact. It has no chance level.

use serde::{Deserialize, Serialize};

use crate::map::Positive;

/// What is added to every pixel before the index is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// 1e-7 of the map's maximum, so that the index does not depend on the map's scale.
    Relative,
    /// 1e-7 as the reference does: maps with values near 1e-7 look more uniform than they are.
    Reference,
}

/// The floor's size, relative or absolute.
const FLOOR: f64 = 1e-7;
/// Bits of an f32 below its sign, exponent and the 7 bits of mantissa that the map table keeps.
const KEY_BITS: u32 = 16;

/// Gini index of the unsmoothed positive part.
// METHOD: v = P + floor, ascending; G = sum of (2i - n - 1) v_i / (n sum of v), i = 1..n, in f64. The weights sum to 0,
// so the floor is in the divisor only.
pub fn score(positive: &Positive, floor: Floor) -> f64 {
    let n = positive.values().len() as f64;
    let floor = match floor {
        Floor::Relative => FLOOR * f64::from(positive.largest()),
        Floor::Reference => FLOOR,
    };
    positive.rank_sum() / (n * (positive.total() + n * floor))
}

/// Sum of (2i - n - 1) P_i over the ascending values, i = 1..n; `values` are not negative.
///
/// Not a sort: positive floats order like their bits, so values are counted by their upper 16 bits. Maps from the map
/// table carry nothing below those, so counting is all; only other maps have the inside of a bucket sorted.
pub fn rank_sum(values: &[f32]) -> f64 {
    let (mut low, mut high, mut rest) = (f32::INFINITY, 0u32, 0u32);
    for &value in values {
        let bits = value.to_bits();
        low = if value > 0.0 && value < low { value } else { low };
        (high, rest) = (high.max(bits), rest | bits << KEY_BITS);
    }
    if high == 0 {
        return 0.0;
    }
    let first = low.to_bits() >> KEY_BITS;
    // Bucket 0 takes the zeros: adding a value that may or may not be positive would cost a branch.
    let bucket = |value: f32| ((value.to_bits() >> KEY_BITS) + 1).saturating_sub(first) as usize;
    let mut counts = vec![0u32; bucket(f32::from_bits(high)) + 1];
    for &value in values {
        counts[bucket(value)] += 1;
    }
    let n = values.len() as f64;
    let mut rank = f64::from(counts[0]);
    let mut sum = 0.0;
    if rest == 0 {
        for (at, &count) in counts.iter().enumerate().skip(1).filter(|(_, count)| **count > 0) {
            let (count, value) = (f64::from(count), f32::from_bits((at as u32 - 1 + first) << KEY_BITS));
            // The ranks rank + 1 ..= rank + count share a value: their weights sum to count (2 rank + count - n).
            sum += count * (2.0 * rank + count - n) * f64::from(value);
            rank += count;
        }
        return sum;
    }
    let mut ends: Vec<usize> =
        counts.iter().scan(0, |end, &count| Some(std::mem::replace(end, *end + count as usize))).collect();
    let mut sorted = vec![0.0f32; values.len()];
    for &value in values {
        let end = &mut ends[bucket(value)];
        sorted[*end] = value;
        *end += 1;
    }
    let mut start = counts[0] as usize;
    for &count in &counts[1..] {
        let end = start + count as usize;
        sorted[start..end].sort_unstable_by_key(|value| value.to_bits());
        start = end;
    }
    for &value in &sorted[counts[0] as usize..] {
        rank += 1.0;
        sum += (2.0 * rank - n - 1.0) * f64::from(value);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{random_map, wave};
    use crate::map::Map;
    use crate::smooth::Smoothing;

    fn of(side: usize, values: &[f32], floor: Floor) -> f64 {
        score(&Positive::of(Map::new(side, side, values), Smoothing::None).expect("positive mass"), floor)
    }

    fn scaled(factor: f64) -> Vec<f32> {
        wave(96).iter().map(|&value| (f64::from(value) * factor) as f32).collect()
    }

    #[test]
    fn golden_values() {
        let mut single = vec![0.0; 96 * 96];
        single[10 * 96 + 10] = 1.0;
        let cases = [
            (wave(96), 0.832543),
            (scaled(1e-3), 0.831441),
            (scaled(1e-6), 0.357832),
            (vec![1.0; 96 * 96], 0.0),
            (single, 0.998971),
        ];
        for (values, expected) in cases {
            let value = of(96, &values, Floor::Reference);
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }

    #[test]
    fn only_the_reference_floor_depends_on_scale() {
        let expected = of(96, &wave(96), Floor::Relative);
        assert!((expected - 0.832543).abs() < 1e-4);
        for factor in [1e-20, 1e-6, 1e-3, 1e6] {
            assert!((of(96, &scaled(factor), Floor::Relative) - expected).abs() < 1e-6);
        }
        assert!(of(96, &scaled(1e-6), Floor::Reference) < 0.4);
    }

    /// The reference's formula on every pixel, zeros included; 0 for an empty map.
    fn slow(values: &[f32], floor: f64) -> f64 {
        let mut v: Vec<f64> = values.iter().map(|&v| if v < 0.0 { 0.0 } else { f64::from(v) } + floor).collect();
        v.sort_by(f64::total_cmp);
        let n = v.len() as f64;
        let top: f64 = v.iter().enumerate().map(|(i, v)| (2.0 * (i as f64 + 1.0) - n - 1.0) * v).sum();
        top / (n * v.iter().sum::<f64>())
    }

    #[test]
    fn equals_the_formula_on_random_maps() {
        for seed in 0..30 {
            let side = 5 + seed as usize;
            let values = random_map(seed, side * side);
            let largest = f64::from(values.iter().copied().fold(0.0, f32::max));
            assert!((of(side, &values, Floor::Reference) - slow(&values, 1e-7)).abs() < 1e-9);
            assert!((of(side, &values, Floor::Relative) - slow(&values, 1e-7 * largest)).abs() < 1e-9);
            // The map table's precision takes the path without a sort.
            let kept: Vec<f32> = values.iter().map(|value| f32::from_bits(value.to_bits() & !0xffff)).collect();
            assert!((of(side, &kept, Floor::Reference) - slow(&kept, 1e-7)).abs() < 1e-9);
        }
        assert!(slow(&[0.0; 25], 1e-7).abs() < 1e-12);
    }

    #[test]
    fn one_pixel_holds_everything_or_all_hold_the_same() {
        for floor in [Floor::Relative, Floor::Reference] {
            assert!(of(10, &[0.5; 100], floor).abs() < 1e-9);
            let mut one = vec![0.0; 100];
            one[7] = 1.0;
            assert!((of(10, &one, floor) - 0.99).abs() < 1e-4);
        }
    }
}
