//! AdamW on flat leaves, written out so that its state is two plain vectors a leaf and resumes to the bit.

use super::leaves::Leaves;
use crate::tensor::{Gradients, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of every leaf.
pub struct AdamW {
    /// Mean gradient of each leaf.
    pub first: Vec<Tensor<1>>,
    /// Mean squared gradient of each leaf.
    pub second: Vec<Tensor<1>>,
    /// Steps taken.
    pub steps: usize,
    weight_decay: f64,
}

impl AdamW {
    /// Zero moments; `weight_decay` acts on convolution weights only.
    pub fn new(leaves: &Leaves, weight_decay: f64) -> Self {
        let zeros = || leaves.leaves.iter().map(|leaf| leaf.value.zeros_like()).collect();
        Self { first: zeros(), second: zeros(), steps: 0, weight_decay }
    }

    /// One update of every leaf.
    // METHOD: Loshchilov & Hutter 2019, algorithm 2.
    pub fn step(&mut self, leaves: &mut Leaves, gradients: &Gradients, learning_rate: f64) {
        self.steps += 1;
        let correction1 = 1.0 - BETA1.powi(self.steps as i32);
        let correction2 = 1.0 - BETA2.powi(self.steps as i32);
        for (i, leaf) in leaves.leaves.iter_mut().enumerate() {
            let tracked = leaf.tracked.take().expect("the step tracked every leaf");
            let gradient = tracked.grad(gradients).expect("every leaf takes part in the loss");
            let first = self.first[i].clone() * BETA1 + gradient.clone() * (1.0 - BETA1);
            let second = self.second[i].clone() * BETA2 + gradient.powi_scalar(2) * (1.0 - BETA2);
            let denominator = (second.clone() / correction2).sqrt().add_scalar(EPSILON);
            let update = first.clone() / correction1 / denominator;
            let decay = if leaf.shape.len() == 4 { 1.0 - learning_rate * self.weight_decay } else { 1.0 };
            leaf.value = leaf.value.clone() * decay - update * learning_rate;
            (self.first[i], self.second[i]) = (first, second);
        }
    }
}
