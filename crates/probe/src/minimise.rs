//! Small smooth minimisers, for problems whose exact optimum is wanted.

use features::error::Result;

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

/// A step and the change of the gradient along it.
type Pair = (Vec<f64>, Vec<f64>);

/// A search for the minimum of a convex smooth function by L-BFGS: all that one step hands to the next.
// METHOD: Nocedal & Wright, algorithm 7.5, 20 pairs kept, backtracking with the Armijo condition; pairs of
// non-positive curvature are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The best point so far.
    pub point: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// The gradient there.
    pub gradient: Vec<f64>,
    /// The last steps and changes.
    pub pairs: Vec<Pair>,
    /// Steps taken.
    pub steps: usize,
}

impl Search {
    /// Looks at the start; `function` gives value and gradient.
    ///
    /// # Errors
    /// Those of the function.
    pub fn begin(function: impl Fn(&[f64]) -> Result<(f64, Vec<f64>)>, start: Vec<f64>) -> Result<Self> {
        let (value, gradient) = function(&start)?;
        Ok(Self { point: start, value, gradient, pairs: Vec::new(), steps: 0 })
    }

    /// Takes a step; whether the line search found a lower point.
    ///
    /// # Errors
    /// Those of the function.
    pub fn step(&mut self, function: impl Fn(&[f64]) -> Result<(f64, Vec<f64>)>) -> Result<bool> {
        let mut direction = descent(&self.gradient, &self.pairs);
        let mut slope = dot(&direction, &self.gradient);
        if slope >= 0.0 {
            self.pairs.clear();
            direction = self.gradient.iter().map(|g| -g).collect();
            slope = -dot(&self.gradient, &self.gradient);
        }
        let mut length = if self.pairs.is_empty() { (1.0 / norm(&self.gradient)).min(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..60 {
            let next: Vec<f64> = self.point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (next_value, next_gradient) = function(&next)?;
            if next_value <= self.value + 1e-4 * length * slope {
                found = Some((next, next_value, next_gradient));
                break;
            }
            length *= 0.5;
        }
        let Some((next, next_value, next_gradient)) = found else { return Ok(false) };
        let step: Vec<f64> = next.iter().zip(&self.point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&self.gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 1e-12 * norm(&step) * norm(&change) {
            if self.pairs.len() == MEMORY {
                self.pairs.remove(0);
            }
            self.pairs.push((step, change));
        }
        (self.point, self.value, self.gradient) = (next, next_value, next_gradient);
        self.steps += 1;
        Ok(true)
    }

    /// Euclidean norm of the gradient.
    pub fn gradient_norm(&self) -> f64 {
        norm(&self.gradient)
    }
}

/// Value, gradient and Hessian (row-major, symmetric) of a function at a point.
#[derive(Debug, Clone)]
pub struct Curved {
    /// The value.
    pub value: f64,
    /// The gradient.
    pub gradient: Vec<f64>,
    /// The matrix of second derivatives.
    pub hessian: Vec<f64>,
}

/// Minimises a convex smooth function whose Hessian is cheap, until the gradient's norm is at most `tolerance`, no
/// lower point is found, or `most_steps` have been taken.
///
/// # Errors
/// Those of the function.
// METHOD: Newton's method with backtracking (Armijo). A ridge of 1e-12 of the mean curvature stands in for directions
// along which the function is flat, such as channels that are always zero; it moves steps, not the optimum.
pub fn minimise_newton(
    function: impl Fn(&[f64]) -> Result<Curved>,
    start: Vec<f64>,
    tolerance: f64,
    most_steps: usize,
) -> Result<Minimum> {
    let mut point = start;
    let mut here = function(&point)?;
    let mut steps = 0;
    'steps: while steps < most_steps && norm(&here.gradient) > tolerance {
        let direction: Vec<f64> = solve(&here.hessian, &here.gradient).into_iter().map(|d| -d).collect();
        let slope = dot(&direction, &here.gradient);
        let mut length = 1.0;
        loop {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let there = function(&next)?;
            // Close to the minimum the value cannot tell points apart any more; the gradient still can.
            let rounding = 1e-13 * here.value.abs();
            let nearer = norm(&there.gradient) < norm(&here.gradient);
            let descent = 1e-4 * length * slope;
            if there.value <= here.value + descent || (nearer && there.value <= here.value + rounding) {
                (point, here) = (next, there);
                steps += 1;
                continue 'steps;
            }
            length *= 0.5;
            if length < 1e-6 {
                break 'steps;
            }
        }
    }
    Ok(Minimum { gradient_norm: norm(&here.gradient), point, value: here.value, steps })
}

/// `x` with `(matrix + ridge) x = right`, by Cholesky; a pivot that is not positive raises the ridge tenfold.
fn solve(matrix: &[f64], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let mut ridge = 1e-12 * (0..n).map(|i| matrix[i * n + i]).sum::<f64>() / n as f64;
    ridge = ridge.max(f64::MIN_POSITIVE);
    let lower = loop {
        match cholesky(matrix, n, ridge) {
            Some(lower) => break lower,
            None => ridge *= 10.0,
        }
    };
    let mut x = right.to_vec();
    for i in 0..n {
        x[i] = (x[i] - dot(&lower[i * n..i * n + i], &x[..i])) / lower[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| lower[j * n + i] * x[j]).sum();
        x[i] = (x[i] - known) / lower[i * n + i];
    }
    x
}

/// The lower triangle L with `L L^T = matrix + ridge`, if that is positive definite.
fn cholesky(matrix: &[f64], n: usize, ridge: f64) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let left = matrix[i * n + j] - dot(&lower[i * n..i * n + j], &lower[j * n..j * n + j]);
            if i == j {
                let pivot = left + ridge;
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return None;
                }
                lower[i * n + i] = pivot.sqrt();
            } else {
                lower[i * n + j] = left / lower[j * n + j];
            }
        }
    }
    Some(lower)
}

/// Minus the inverse Hessian estimate times the gradient (two-loop recursion).
fn descent(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
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

/// The sum of products: four sums side by side, in a fixed order.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 4];
    let (a_blocks, b_blocks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
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
    fn newton_ends_at_the_minimum_of_a_smooth_function_that_is_flat_in_one_direction() {
        // log cosh of (x - y - 1) and of (x + y - 3); z does not count.
        let function = |p: &[f64]| {
            let (a, b) = (p[0] - p[1] - 1.0, p[0] + p[1] - 3.0);
            let (da, db) = (a.tanh(), b.tanh());
            let (ca, cb) = (1.0 - da * da, 1.0 - db * db);
            let hessian = vec![ca + cb, cb - ca, 0.0, cb - ca, ca + cb, 0.0, 0.0, 0.0, 0.0];
            Ok(Curved { value: a.cosh().ln() + b.cosh().ln(), gradient: vec![da + db, db - da, 0.0], hessian })
        };
        let minimum = minimise_newton(function, vec![6.0, -1.0, 5.0], 1e-10, 50).unwrap();
        assert!(minimum.gradient_norm <= 1e-10, "{minimum:?}");
        assert!((minimum.point[0] - 2.0).abs() < 1e-9 && (minimum.point[1] - 1.0).abs() < 1e-9, "{minimum:?}");
        assert_eq!(minimum.point[2], 5.0);
    }

    #[test]
    fn an_ill_conditioned_quadratic_is_solved() {
        let centre: Vec<f64> = (0..50).map(|i| f64::from(i) - 20.0).collect();
        let weight = |i: usize| 10f64.powf(i as f64 / 12.0);
        let function = |x: &[f64]| {
            let gradient: Vec<f64> = (0..50).map(|i| weight(i) * (x[i] - centre[i])).collect();
            (0.5 * (0..50).map(|i| gradient[i] * (x[i] - centre[i])).sum::<f64>(), gradient)
        };
        let curved = |x: &[f64]| {
            let (value, gradient) = function(x);
            let mut hessian = vec![0.0; 2500];
            (0..50).for_each(|i| hessian[i * 51] = weight(i));
            Ok(Curved { value, gradient, hessian })
        };
        let minimum = minimise_newton(curved, vec![0.0; 50], 1e-8, 20).unwrap();
        assert!(minimum.gradient_norm <= 1e-8 && minimum.steps <= 3, "{minimum:?}");
        let function = |x: &[f64]| Ok(function(x));
        let mut search = Search::begin(function, vec![0.0; 50]).unwrap();
        while search.steps < 2000 && search.gradient_norm() > 1e-8 && search.step(function).unwrap() {}
        assert!(search.gradient_norm() <= 1e-6, "{} {}", search.gradient_norm(), search.steps);
        assert!(search.point.iter().zip(&centre).all(|(a, b)| (a - b).abs() < 1e-7));
    }
}
