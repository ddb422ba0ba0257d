//! Quantiles of Student's t distribution, for intervals from few clusters.

use std::f64::consts::FRAC_PI_2;
use std::sync::LazyLock;

/// 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// Degrees of freedom from which the series is exact to six digits.
const SERIES_FROM: usize = 12;
/// Intervals of Simpson's rule.
const STEPS: usize = 400;

/// 97.5 % quantile of t with `df` degrees of freedom, at least 1.
// METHOD: the Cornish-Fisher series in 1/df to the third order, where it is exact enough.
pub fn upper(df: usize) -> f64 {
    static FEW: LazyLock<[f64; SERIES_FROM]> =
        LazyLock::new(|| std::array::from_fn(|df| by_bisection(df.max(1) as f64)));
    if let Some(quantile) = FEW.get(df) {
        return *quantile;
    }
    let (df, power) = (df as f64, |n: i32| Z.powi(n));
    Z + (power(3) + Z) / (4.0 * df)
        + (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / (96.0 * df.powi(2))
        + (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / (384.0 * df.powi(3))
}

// METHOD: P(|T| < tan(a) sqrt(df)) = (integral of cos^(df - 1) from 0 to a) / (the same to pi/2) = 0.95.
fn by_bisection(df: f64) -> f64 {
    let whole = area(FRAC_PI_2, df);
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if area(middle, df) < 0.95 * whole { low = middle } else { high = middle }
    }
    (0.5 * (low + high)).tan() * df.sqrt()
}

fn area(to: f64, df: f64) -> f64 {
    let width = to / STEPS as f64;
    let value = |at: usize| {
        let weight = if at == 0 || at == STEPS { 1.0 } else { 2.0 + 2.0 * (at % 2) as f64 };
        weight * (width * at as f64).cos().max(0.0).powf(df - 1.0)
    };
    (0..=STEPS).map(value).sum::<f64>() * width / 3.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantiles_are_those_of_printed_tables() {
        for (df, expected) in
            [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (11, 2.201), (12, 2.179), (39, 2.023), (1_000_000, 1.960)]
        {
            let found = super::upper(df);
            assert!((found - expected).abs() < 2e-3, "{df}: {found}");
        }
    }
}
