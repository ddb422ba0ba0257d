//! Integrated gradients.
//!
//! - What: `M(p) = sum over c of (x - x0)_c(p) * integral over a in [0, 1] of d logit / d x_c(p) at x0 + a (x - x0)`.
//! - Source: Sundararajan et al. 2017.
//! - Here: the baseline `x0` has a name (see [`crate::baseline::Baseline`]); the default is `zero`, zeros in the
//!   network's input as in the published code: the mean colour for normalised inputs, and for six channels a vector
//!   that no picture has. The integral is a sum over `steps` points of a named quadrature, `gauss_legendre` (the
//!   published code's) or `midpoint`. Default 16 points: the method's error is the column `completeness_error`.
//! - Cost: `steps` forward passes for each image, shared by all targets and probes, and as many pull-backs.

use features::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::batch::times;

/// Where the gradient is looked at and with what weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quadrature {
    /// Exact for polynomials of degree `2 * steps - 1`.
    #[default]
    GaussLegendre,
    /// Centres of equal intervals.
    Midpoint,
}

impl Quadrature {
    /// Points in (0, 1) and their weights, which sum to 1.
    pub fn points(self, steps: usize) -> Vec<(f64, f64)> {
        match self {
            Self::Midpoint => {
                let n = steps as f64;
                (0..steps).map(|i| ((i as f64 + 0.5) / n, 1.0 / n)).collect()
            }
            Self::GaussLegendre => gauss_legendre(steps),
        }
    }
}

/// Roots of the Legendre polynomial by Newton's method, moved from [-1, 1] to [0, 1].
fn gauss_legendre(steps: usize) -> Vec<(f64, f64)> {
    let n = steps as f64;
    (0..steps)
        .map(|i| {
            let mut x = -(std::f64::consts::PI * (i as f64 + 0.75) / (n + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (mut value, mut previous) = (1.0, 0.0);
                for k in 0..steps {
                    let k = k as f64;
                    (value, previous) = (((2.0 * k + 1.0) * x * value - k * previous) / (k + 1.0), value);
                }
                slope = n * (x * value - previous) / (x * x - 1.0);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            ((x + 1.0) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

/// `path` `[1, c, h, w]`, the input less its baseline, and the integral of the gradients `[m, c, h, w]` to maps
/// `[m, h, w]`.
// METHOD: sum_c (x - x0)_c * integral_c.
pub fn maps(path: &Tensor<4>, integral: Tensor<4>) -> Tensor<3> {
    times(integral, path.clone()).sum_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integrate(quadrature: Quadrature, steps: usize, f: impl Fn(f64) -> f64) -> f64 {
        quadrature.points(steps).iter().map(|(at, weight)| weight * f(*at)).sum()
    }

    #[test]
    fn quadratures_have_their_order() {
        for steps in [1, 2, 5, 16, 50] {
            for rule in [Quadrature::GaussLegendre, Quadrature::Midpoint] {
                assert!((integrate(rule, steps, |_| 1.0) - 1.0).abs() < 1e-13);
                assert!((integrate(rule, steps, |a| a) - 0.5).abs() < 1e-13);
            }
            let degree = 2 * steps as i32 - 1;
            let exact = 1.0 / f64::from(degree + 1);
            let got = integrate(Quadrature::GaussLegendre, steps, |a| a.powi(degree));
            assert!((got - exact).abs() < 1e-13, "{steps} {got} {exact}");
        }
        // Midpoint rule on a^2: 1/3 - 1/(12 n^2).
        let got = integrate(Quadrature::Midpoint, 4, |a| a * a);
        assert!((got - (1.0 / 3.0 - 1.0 / 192.0)).abs() < 1e-14);
    }
}
