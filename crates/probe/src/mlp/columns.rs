//! Sums down the columns of a matrix: single precision within a block of rows, double precision over blocks.

/// Rows summed in single precision before they enter the double-precision sum.
const BLOCK: usize = 64;

/// Mean and biased variance of each column.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean.
    pub mean: Vec<f32>,
    /// Mean square distance from the mean.
    pub variance: Vec<f32>,
}

impl Moments {
    /// The moments of `[rows, columns]`.
    // METHOD: one walk over the matrix: var = E[(x - x0)^2] - E[x - x0]^2 with x0 the first row, which keeps the
    // difference of two squares small where a column is far from zero.
    pub fn of(values: &[f32], columns: usize) -> Self {
        let origin = &values[..columns];
        let rows = (values.len() / columns) as f64;
        let (mut first, mut second) = (vec![0f64; columns], vec![0f64; columns]);
        let (mut sum, mut square) = (vec![0f32; columns], vec![0f32; columns]);
        for block in values.chunks(BLOCK * columns) {
            sum.fill(0.0);
            square.fill(0.0);
            for row in block.chunks(columns) {
                for (((x, o), sum), square) in row.iter().zip(origin).zip(&mut sum).zip(&mut square) {
                    let distance = x - o;
                    *sum += distance;
                    *square += distance * distance;
                }
            }
            first.iter_mut().zip(&sum).for_each(|(total, s)| *total += f64::from(*s));
            second.iter_mut().zip(&square).for_each(|(total, s)| *total += f64::from(*s));
        }
        let mean = first.iter().zip(origin).map(|(s, o)| (s / rows + f64::from(*o)) as f32).collect();
        let variance =
            first.iter().zip(&second).map(|(s, q)| (q / rows - (s / rows) * (s / rows)).max(0.0) as f32).collect();
        Self { mean, variance }
    }
}

/// Sum of each column of `[rows, columns]`.
pub fn sums(values: &[f32], columns: usize) -> Vec<f64> {
    blockwise(values, columns, |_, row, sum| row.iter().zip(sum).for_each(|(x, sum)| *sum += x))
}

/// Sum of each column of the elementwise product of two matrices.
pub fn product_sums(values: &[f32], others: &[f32], columns: usize) -> Vec<f64> {
    blockwise(values, columns, |start, row, sum| {
        let other = &others[start..start + columns];
        row.iter().zip(other).zip(sum).for_each(|((x, y), sum)| *sum += x * y);
    })
}

fn blockwise(values: &[f32], columns: usize, add: impl Fn(usize, &[f32], &mut [f32])) -> Vec<f64> {
    let mut total = vec![0f64; columns];
    let mut sum = vec![0f32; columns];
    for (number, block) in values.chunks(BLOCK * columns).enumerate() {
        sum.fill(0.0);
        for (row, values) in block.chunks(columns).enumerate() {
            add((number * BLOCK + row) * columns, values, &mut sum);
        }
        total.iter_mut().zip(&sum).for_each(|(total, s)| *total += f64::from(*s));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_far_from_zero_are_those_of_two_walks_in_double_precision() {
        let columns = 3;
        let values: Vec<f32> =
            (0..200 * columns).map(|i| 500.0 * (i % columns) as f32 + ((i * 7919) % 101) as f32 / 101.0).collect();
        let found = Moments::of(&values, columns);
        for column in 0..columns {
            let list: Vec<f64> = values.iter().skip(column).step_by(columns).map(|&x| f64::from(x)).collect();
            let mean = list.iter().sum::<f64>() / list.len() as f64;
            let variance = list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / list.len() as f64;
            assert!((f64::from(found.mean[column]) - mean).abs() < 1e-6 * mean.abs().max(1.0));
            assert!((f64::from(found.variance[column]) - variance).abs() < 1e-4 * variance);
            let sum: f64 = list.iter().sum();
            assert!((sums(&values, columns)[column] - sum).abs() < 1e-6 * sum);
            let squares: f64 = list.iter().map(|x| x * x).sum();
            assert!((product_sums(&values, &values, columns)[column] - squares).abs() < 1e-6 * squares);
        }
    }
}
