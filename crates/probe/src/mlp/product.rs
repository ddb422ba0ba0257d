//! Matrix products over plain rows, which are neither copied nor rearranged.

use features::network::{Matrix, Onto, product};

/// `[rows, inputs]` times `right` `[inputs, outputs]`.
pub fn times(values: &[f32], inputs: usize, right: Matrix<'_>, outputs: usize) -> Vec<f32> {
    let rows = values.len() / inputs;
    let mut made = vec![0.0; rows * outputs];
    product([rows, inputs, outputs], Matrix::rows(values, inputs), right, &mut made, Onto::Nothing);
    made
}

/// The transpose of `[rows, columns]` times `[rows, inputs]`: `[columns, inputs]`.
pub fn transposed_times(values: &[f32], columns: usize, others: &[f32], inputs: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let mut made = vec![0.0; columns * inputs];
    let left = Matrix::rows(values, columns).transposed();
    product([columns, rows, inputs], left, Matrix::rows(others, inputs), &mut made, Onto::Nothing);
    made
}
