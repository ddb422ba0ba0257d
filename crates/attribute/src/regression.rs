//! Small weighted least squares, as LIME and KernelSHAP fit them.

/// Minimises `sum_j w_j (y_j - x_j b)² + alpha |b|²` by the normal equations and Cholesky's method.
///
/// A column that the rows do not determine gets the smallest value, through a ridge of 1e-10 of the mean diagonal.
pub fn ridge(rows: &[Vec<f64>], values: &[f64], weights: &[f64], alpha: f64) -> Vec<f64> {
    let n = rows.first().map_or(0, Vec::len);
    let mut matrix = vec![0.0; n * n];
    let mut right = vec![0.0; n];
    for ((row, value), weight) in rows.iter().zip(values).zip(weights) {
        for (i, x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            right[i] += weight * x * value;
            let line = &mut matrix[i * n..=i * n + i];
            line.iter_mut().zip(row).for_each(|(entry, other)| *entry += weight * x * other);
        }
    }
    let mean = (0..n).map(|i| matrix[i * n + i]).sum::<f64>() / n.max(1) as f64;
    for i in 0..n {
        matrix[i * n + i] += alpha + 1e-10 * mean.max(f64::MIN_POSITIVE);
    }
    // Cholesky: the lower triangle becomes L with L Lᵀ the matrix.
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let rest = matrix[i * n + j] - dot;
            matrix[i * n + j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / matrix[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| matrix[i * n + k] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| matrix[k * n + i] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i * n + i];
    }
    right
}

/// The same with an intercept that has no penalty: rows and values are first freed of their weighted means.
pub fn ridge_with_intercept(rows: &[Vec<f64>], values: &[f64], weights: &[f64], alpha: f64) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let n = rows.first().map_or(0, Vec::len);
    let mean = |of: &dyn Fn(usize) -> f64| weights.iter().enumerate().map(|(j, w)| w * of(j)).sum::<f64>() / total;
    let column_means: Vec<f64> = (0..n).map(|i| mean(&|j| rows[j][i])).collect();
    let value_mean = mean(&|j| values[j]);
    let centred: Vec<Vec<f64>> =
        rows.iter().map(|row| row.iter().zip(&column_means).map(|(x, m)| x - m).collect()).collect();
    let values: Vec<f64> = values.iter().map(|y| y - value_mean).collect();
    ridge(&centred, &values, weights, alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_a_ridge_shrinks_it() {
        // y = 3 + 2 a - b, exactly; weights do not matter then.
        let rows: Vec<Vec<f64>> = (0..6).map(|i| vec![f64::from(i % 3), f64::from(i / 2)]).collect();
        let values: Vec<f64> = rows.iter().map(|row| 3.0 + 2.0 * row[0] - row[1]).collect();
        let weights = [1.0, 0.5, 2.0, 1.0, 0.1, 3.0];
        let found = ridge_with_intercept(&rows, &values, &weights, 0.0);
        assert!((found[0] - 2.0).abs() < 1e-8 && (found[1] + 1.0).abs() < 1e-8, "{found:?}");
        // One column, by hand: b = sum w x y / (sum w x² + alpha) = 11 / (5 + 1).
        let found = ridge(&[vec![1.0], vec![2.0]], &[3.0, 4.0], &[1.0, 1.0], 1.0);
        assert!((found[0] - 11.0 / 6.0).abs() < 1e-8, "{found:?}");
    }
}
