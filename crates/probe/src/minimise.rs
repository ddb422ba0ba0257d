//! A small smooth minimiser, for problems with some hundred unknowns whose exact optimum is wanted.

/// Where a minimisation ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The point.
    pub point: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// Euclidean norm of the gradient there.
    pub gradient_norm: f64,
    /// Steps taken.
    pub steps: usize,
}

const MEMORY: usize = 20;

/// Minimises a convex smooth function by L-BFGS from `start`, until the gradient's norm is at most `tolerance`, the
/// line search finds no lower point, or `most_steps` have been taken. `function` gives value and gradient.
// METHOD: Nocedal & Wright, algorithm 7.5, 20 pairs kept, backtracking with the Armijo condition; pairs of
// non-positive curvature are left out.
pub fn minimise(
    function: impl Fn(&[f64]) -> (f64, Vec<f64>),
    start: Vec<f64>,
    tolerance: f64,
    most_steps: usize,
) -> Minimum {
    let mut point = start;
    let (mut value, mut gradient) = function(&point);
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    let mut steps = 0;
    while steps < most_steps && norm(&gradient) > tolerance {
        let mut direction = descent(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let mut length = if pairs.is_empty() { (1.0 / norm(&gradient)).min(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..60 {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (next_value, next_gradient) = function(&next);
            if next_value <= value + 1e-4 * length * slope {
                found = Some((next, next_value, next_gradient));
                break;
            }
            length *= 0.5;
        }
        let Some((next, next_value, next_gradient)) = found else { break };
        let step: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 1e-12 * norm(&step) * norm(&change) {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((step, change));
        }
        (point, value, gradient) = (next, next_value, next_gradient);
        steps += 1;
    }
    Minimum { gradient_norm: norm(&gradient), point, value, steps }
}

/// Minus the inverse Hessian estimate times the gradient (two-loop recursion).
fn descent(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (step, change) in pairs.iter().rev() {
        let share = dot(step, &direction) / dot(step, change);
        add(&mut direction, change, -share);
        shares.push(share);
    }
    if let Some((step, change)) = pairs.last() {
        let factor = dot(step, change) / dot(change, change);
        direction.iter_mut().for_each(|d| *d *= factor);
    }
    for ((step, change), share) in pairs.iter().zip(shares.into_iter().rev()) {
        let correction = share - dot(change, &direction) / dot(step, change);
        add(&mut direction, step, correction);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    to.iter_mut().zip(what).for_each(|(a, b)| *a += times * b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ill_conditioned_quadratic_is_solved() {
        let centre: Vec<f64> = (0..50).map(|i| f64::from(i) - 20.0).collect();
        let weight = |i: usize| 10f64.powf(i as f64 / 12.0);
        let function = |x: &[f64]| {
            let gradient: Vec<f64> = (0..50).map(|i| weight(i) * (x[i] - centre[i])).collect();
            (0.5 * (0..50).map(|i| gradient[i] * (x[i] - centre[i])).sum::<f64>(), gradient)
        };
        let minimum = minimise(function, vec![0.0; 50], 1e-8, 2000);
        assert!(minimum.gradient_norm <= 1e-6, "{} {}", minimum.gradient_norm, minimum.steps);
        assert!(minimum.point.iter().zip(&centre).all(|(a, b)| (a - b).abs() < 1e-7));
    }
}
