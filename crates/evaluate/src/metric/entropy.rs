//! Entropy (complexity): over how many pixels the positive mass spreads, in bits.
//!
//! Source: Bhatt et al., IJCAI 2020; reference: base 2, positive part after the 5x5 mean, not normalised.
//! Range 0 to log2(pixels), lower is simpler. It has no chance level: a uniform map is its maximum.

use crate::map::Positive;

/// Added inside the logarithm by the reference; lowers the result by at most 1.5e-10 bits a pixel.
const LOG_GUARD: f64 = 1e-10;

/// Entropy of the positive mass in bits.
// METHOD: H = -sum of p log2(p + 1e-10), p = P / (sum of P). The reference also adds 1e-10 to the divisor, which would
// make tiny maps score differently from the same map scaled up; left out.
pub fn score(positive: &Positive) -> f64 {
    let share = |value: f32| f64::from(value) / positive.total();
    let bits = |p: f64| p * (p + LOG_GUARD).log2();
    -positive.values().iter().filter(|&&value| value > 0.0).map(|&value| bits(share(value))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{random_map, wave};
    use crate::map::Map;
    use crate::smooth::Smoothing;

    fn of(side: usize, values: &[f32], smoothing: Smoothing) -> f64 {
        score(&Positive::of(Map::new(side, side, values), smoothing).expect("positive mass"))
    }

    #[test]
    fn golden_values() {
        let mut single = vec![0.0; 96 * 96];
        single[10 * 96 + 10] = 1.0;
        let cases = [(wave(96), 11.013635), (vec![1.0; 96 * 96], 13.163149), (single, 4.643856)];
        for (values, expected) in cases {
            let value = of(96, &values, Smoothing::Avg5);
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }

    /// The reference's formula with both guards; 0 for an empty map.
    fn slow(smoothed: &[f32]) -> f64 {
        let clamped: Vec<f64> = smoothed.iter().map(|&v| if v < 0.0 { 0.0 } else { f64::from(v) }).collect();
        let total = clamped.iter().sum::<f64>() + 1e-10;
        -clamped.iter().map(|v| v / total).map(|p| p * (p + 1e-10).log2()).sum::<f64>()
    }

    #[test]
    fn equals_the_formula_on_random_maps() {
        for seed in 0..30 {
            let side = 5 + seed as usize;
            let values = random_map(seed, side * side);
            for smoothing in [Smoothing::None, Smoothing::Avg5] {
                let smoothed = smoothing.apply(Map::new(side, side, &values));
                assert!((of(side, &values, smoothing) - slow(&smoothed)).abs() < 1e-7);
            }
        }
        assert_eq!(slow(&[0.0; 25]), 0.0);
    }

    #[test]
    fn stays_between_zero_and_the_uniform_map_and_ignores_scale() {
        assert!((of(16, &[2.0; 256], Smoothing::None) - 8.0).abs() < 1e-6);
        let values = wave(96);
        let expected = of(96, &values, Smoothing::Avg5);
        for factor in [1e-20f32, 1e-3, 1e6] {
            let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
            assert!((of(96, &scaled, Smoothing::Avg5) - expected).abs() < 1e-6);
        }
    }
}
