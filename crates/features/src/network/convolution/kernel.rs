//! Weights of a convolution as matrices, one a kernel position.

use crate::tensor::{Tensor, to_vec};

/// Which side of the weights is the product's destination.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Output,
    Input,
}

/// The weights as one matrix a kernel position, destination by source channels.
#[derive(Debug)]
pub(super) struct Kernel {
    /// `[positions, to, from]`.
    pub(super) values: Vec<f32>,
    pub(super) to: usize,
    pub(super) from: usize,
}

impl Kernel {
    pub(super) fn new(weight: &Tensor<4>, side: Side) -> Self {
        let [outputs, inputs, rows, columns] = weight.dims();
        let positions = rows * columns;
        let weights = to_vec(weight.clone());
        let (to, from) = match side {
            Side::Output => (outputs, inputs),
            Side::Input => (inputs, outputs),
        };
        if let (Side::Output, 1) = (side, positions) {
            return Self { values: weights, to, from };
        }
        let mut values = vec![0.0; weights.len()];
        for (pair, kernel) in weights.chunks_exact(positions).enumerate() {
            let place = match side {
                Side::Output => pair,
                Side::Input => pair % inputs * outputs + pair / inputs,
            };
            let matrices = values.chunks_exact_mut(outputs * inputs);
            matrices.zip(kernel).for_each(|(matrix, value)| matrix[place] = *value);
        }
        Self { values, to, from }
    }

    /// The same with its positions in reverse, which turns a transpose into a correlation.
    pub(super) fn flipped(&self) -> Self {
        let values = self.values.chunks_exact(self.to * self.from).rev().flatten().copied().collect();
        Self { values, ..*self }
    }
}
