//! Matrix products over long matrices, a block of rows at a time, so that what goes in and out of a product stays in
//! the cache.

use features::tensor::{Device, Tensor, from_vec, to_vec};

/// Rows of a block: below the size from which the library would split one product over threads that are busy already.
const BLOCK: usize = 256;

/// `[rows, inputs]` times `[inputs, outputs]`.
pub fn times(values: &[f32], right: &Tensor<2>) -> Vec<f32> {
    let [inputs, outputs] = right.dims();
    let device = right.device();
    let mut product = Vec::with_capacity(values.len() / inputs * outputs);
    for block in values.chunks(BLOCK * inputs) {
        let left = from_vec(block.to_vec(), [block.len() / inputs, inputs], &device);
        product.extend(to_vec(left.matmul(right.clone())));
    }
    product
}

/// The transpose of `[rows, columns]` times `[rows, inputs]`: `[columns, inputs]`.
pub fn transposed_times(values: &[f32], columns: usize, others: &[f32], inputs: usize, device: &Device) -> Vec<f32> {
    let mut sum = vec![0f32; columns * inputs];
    for (values, others) in values.chunks(BLOCK * columns).zip(others.chunks(BLOCK * inputs)) {
        let rows = values.len() / columns;
        let left = from_vec(values.to_vec(), [rows, columns], device);
        let right = from_vec(others.to_vec(), [rows, inputs], device);
        sum.iter_mut().zip(to_vec(left.transpose().matmul(right))).for_each(|(sum, x)| *sum += x);
    }
    sum
}
