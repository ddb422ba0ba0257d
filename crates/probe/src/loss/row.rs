//! The losses of one row in double precision, for solvers that want the optimum to more digits than tensors have.

use super::{FOCAL_ALPHA, Loss, Objective};

impl Objective {
    /// Loss of one row of logits under labels 0 and 1, and its gradient, which replaces what `gradient` holds.
    // METHOD: the formulas of `Objective::value` and `Objective::gradient`, with n = 1.
    pub fn row(self, logits: &[f64], labels: &[f64], gradient: &mut [f64]) -> f64 {
        let classes = logits.len() as f64;
        let mut value = 0.0;
        match self.loss {
            Loss::Ce => {
                let count: f64 = labels.iter().sum();
                if count == 0.0 {
                    gradient.fill(0.0);
                    return 0.0;
                }
                let largest = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                gradient.iter_mut().zip(logits).for_each(|(g, z)| *g = (z - largest).exp());
                let sum: f64 = gradient.iter().sum();
                let log_sum = largest + sum.ln();
                for ((g, z), y) in gradient.iter_mut().zip(logits).zip(labels) {
                    let target = (1.0 - self.smoothing) * y / count + self.smoothing / classes;
                    value += target * (log_sum - z);
                    *g = *g / sum - target;
                }
                return value;
            }
            Loss::Focal | Loss::FocalSum => {
                for ((g, z), y) in gradient.iter_mut().zip(logits).zip(labels) {
                    let (sign, weight) = if *y == 1.0 { (1.0, FOCAL_ALPHA) } else { (-1.0, 1.0 - FOCAL_ALPHA) };
                    let (missing, doubt) = (softplus(-sign * z), sigmoid(-sign * z));
                    value += weight * doubt * doubt * missing;
                    *g = -sign * weight * doubt * doubt * (2.0 * sigmoid(sign * z) * missing + doubt);
                }
            }
            _ => {
                let off = self.loss.off_target(logits.len());
                for ((g, z), y) in gradient.iter_mut().zip(logits).zip(labels) {
                    let target = y.max(off);
                    value += softplus(*z) - target * z;
                    *g = sigmoid(*z) - target;
                }
            }
        }
        if self.loss.averages_classes() {
            gradient.iter_mut().for_each(|g| *g /= classes);
            value /= classes;
        }
        value
    }
}

pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

pub(super) fn sigmoid(z: f64) -> f64 {
    let small = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}
