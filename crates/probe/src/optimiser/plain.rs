//! Steps over plain numbers, in one walk over weights, memory and gradient.

use super::{BETAS, EPSILON, Method, Optimiser};

/// One step's place in a training.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its number, from 1.
    pub number: i32,
    /// Its size.
    pub rate: f32,
}

impl Optimiser {
    /// Whether steps need a second memory, as of squares.
    pub fn has_squares(self) -> bool {
        matches!(self.method, Method::Adam | Method::AdamW)
    }

    /// Moves the parameters against their gradient. `second` is empty unless [`Optimiser::has_squares`].
    // METHOD: the formulas of `Memory::directions`.
    pub fn descend(self, step: Step, parameters: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let decay = self.weight_decay as f32;
        let rows = parameters.iter_mut().zip(first.iter_mut()).zip(gradient);
        if !self.has_squares() {
            let momentum = self.momentum as f32;
            for ((parameter, velocity), gradient) in rows {
                *velocity = *velocity * momentum + (gradient + decay * *parameter);
                *parameter -= step.rate * *velocity;
            }
            return;
        }
        let unbiased = |beta: f32| (1.0 - f64::from(beta).powi(step.number)) as f32;
        let [mean, square] = BETAS.map(unbiased);
        let (beside, within) = if self.method == Method::AdamW { (decay, 0.0) } else { (0.0, decay) };
        for (((parameter, first), gradient), second) in rows.zip(second) {
            let gradient = gradient + within * *parameter;
            *first = *first * BETAS[0] + gradient * (1.0 - BETAS[0]);
            *second = *second * BETAS[1] + gradient * gradient * (1.0 - BETAS[1]);
            let direction = (*first / mean) / ((*second / square).sqrt() + EPSILON) + beside * *parameter;
            *parameter -= step.rate * direction;
        }
    }
}
