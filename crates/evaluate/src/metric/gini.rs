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

/// Gini index of the unsmoothed positive part.
// METHOD: v = P + floor, ascending; G = sum of (2i - n - 1) v_i / (n sum of v), i = 1..n, in f64. Zeros need no
// sorting: they come first, and the sum of their weights (2i - n - 1) over i = 1..z is z (z - n).
pub fn score(positive: &Positive, floor: Floor) -> f64 {
    let mut sorted: Vec<f32> = positive.values().iter().copied().filter(|&value| value > 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let largest = sorted.last().copied().map_or(0.0, f64::from);
    let floor = match floor {
        Floor::Relative => FLOOR * largest,
        Floor::Reference => FLOOR,
    };
    let n = positive.values().len() as f64;
    let zeros = n - sorted.len() as f64;
    let weighted = |(i, &value): (usize, &f32)| (2.0 * (zeros + i as f64 + 1.0) - n - 1.0) * (f64::from(value) + floor);
    let above: f64 = sorted.iter().enumerate().map(weighted).sum();
    (zeros * (zeros - n) * floor + above) / (n * (positive.total() + n * floor))
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
