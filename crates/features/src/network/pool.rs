//! Pooling windows.

use burn::tensor::module::{avg_pool2d, max_pool2d};

use crate::tensor::Tensor;

/// A square window moved over the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Border on each side.
    pub padding: usize,
}

impl Pool {
    /// Largest value of each window.
    pub fn max(&self, input: Tensor<4>) -> Tensor<4> {
        max_pool2d(input, [self.kernel; 2], [self.stride; 2], [self.padding; 2], [1, 1], false)
    }

    /// Mean of each window, the border counted as zeros.
    pub fn average(&self, input: Tensor<4>) -> Tensor<4> {
        avg_pool2d(input, [self.kernel; 2], [self.stride; 2], [self.padding; 2], true, false)
    }
}

/// `[n, channels, rows, columns]` to `[n, channels, 1, 1]`.
pub fn global_average(input: Tensor<4>) -> Tensor<4> {
    input.mean_dim(3).mean_dim(2)
}
