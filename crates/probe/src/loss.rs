//! The losses of the paper, as values and closed-form gradients on plain tensors.
//!
//! The gradients are written out because a linear probe needs nothing else: no tape, no stored activations.

use burn::tensor::activation::{log_softmax, sigmoid, softmax};
use features::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What a probe is trained to minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Softmax cross entropy, mean over the batch.
    Ce,
    /// Sigmoid cross entropy with off-targets 1/C, mean over batch and classes: the paper's BCE.
    Bce,
    /// Sigmoid cross entropy with off-targets 0, mean over batch and classes.
    BcePlain,
}

impl Loss {
    /// The name used in files, flags and probe ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ce => "ce",
            Self::Bce => "bce",
            Self::BcePlain => "bce_plain",
        }
    }

    /// The loss of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ce, Self::Bce, Self::BcePlain].into_iter().find(|loss| loss.name() == name)
    }

    /// What a class that is not the label should get, before the link function.
    pub fn off_target(self, classes: usize) -> f64 {
        match self {
            Self::Bce => 1.0 / classes as f64,
            Self::Ce | Self::BcePlain => 0.0,
        }
    }

    /// Loss of each probe `[p]`, in nats, from logits `[n, p, classes]` and one-hot labels `[n, 1, classes]`.
    // METHOD: CE = -mean_n log softmax(z)_y; BCE = mean_{n,c} softplus(z) - t z, with t the softened label.
    pub fn value(self, logits: Tensor<3>, labels: Tensor<3>) -> Tensor<1> {
        let [n, probes, classes] = logits.dims();
        let (terms, count) = match self {
            Self::Ce => (log_softmax(logits, 2).neg() * labels, n),
            Self::Bce | Self::BcePlain => {
                let targets = self.targets(labels, classes);
                let softplus = logits.clone().clamp_min(0.0) + logits.clone().abs().neg().exp().log1p();
                (softplus - logits * targets, n * classes)
            }
        };
        terms.sum_dim(2).sum_dim(0).reshape([probes]).div_scalar(count as f32)
    }

    /// Gradient of [`Loss::value`] with respect to the logits: `[n, p, classes]`.
    // METHOD: CE (softmax(z) - onehot) / n, whose rows sum to 0; BCE (sigmoid(z) - t) / (n classes).
    pub fn gradient(self, logits: Tensor<3>, labels: Tensor<3>) -> Tensor<3> {
        let [n, _, classes] = logits.dims();
        match self {
            Self::Ce => (softmax(logits, 2) - labels).div_scalar(n as f32),
            Self::Bce | Self::BcePlain => {
                (sigmoid(logits) - self.targets(labels, classes)).div_scalar((n * classes) as f32)
            }
        }
    }

    fn targets(self, labels: Tensor<3>, classes: usize) -> Tensor<3> {
        match self {
            Self::Bce => labels.clamp_min(self.off_target(classes) as f32),
            Self::Ce | Self::BcePlain => labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::random;
    use features::tensor::{cpu, from_vec, to_vec};

    const N: usize = 5;
    const C: usize = 4;

    fn slow(loss: Loss, logits: &[f64], labels: &[usize]) -> f64 {
        let mut total = 0.0;
        for (row, &label) in logits.chunks(C).zip(labels) {
            let log_sum = row.iter().map(|z| z.exp()).sum::<f64>().ln();
            for (class, z) in row.iter().enumerate() {
                let hit = class == label;
                total += match loss {
                    Loss::Ce => {
                        if hit {
                            log_sum - z
                        } else {
                            0.0
                        }
                    }
                    Loss::Bce | Loss::BcePlain => {
                        let t = if hit { 1.0 } else { loss.off_target(C) };
                        let p = 1.0 / (1.0 + (-z).exp());
                        -(t * p.ln() + (1.0 - t) * (1.0 - p).ln()) / C as f64
                    }
                };
            }
        }
        total / labels.len() as f64
    }

    fn case() -> (Vec<f64>, Vec<usize>, Tensor<3>, Tensor<3>) {
        let mut rng = random::stream(7, &["loss"]);
        let logits: Vec<f64> = (0..N * C).map(|_| f64::from((3.0 * random::normal(&mut rng)) as f32)).collect();
        let labels: Vec<usize> = (0..N).map(|_| random::below(&mut rng, C)).collect();
        let mut hot = vec![0.0; N * C];
        labels.iter().enumerate().for_each(|(i, label)| hot[i * C + label] = 1.0);
        let z = from_vec(logits.iter().map(|&z| z as f32).collect(), [N, 1, C], &cpu());
        (logits, labels, z, from_vec(hot, [N, 1, C], &cpu()))
    }

    #[test]
    fn values_and_gradients_equal_the_formulas_in_f64() {
        let (logits, labels, z, hot) = case();
        for loss in [Loss::Ce, Loss::Bce, Loss::BcePlain] {
            let value = f64::from(to_vec(loss.value(z.clone(), hot.clone()))[0]);
            assert!((value - slow(loss, &logits, &labels)).abs() < 1e-6, "{loss:?} {value}");
            let gradient = to_vec(loss.gradient(z.clone(), hot.clone()));
            for (i, got) in gradient.iter().enumerate() {
                let step = 1e-5;
                let mut moved = logits.clone();
                moved[i] += step;
                let up = slow(loss, &moved, &labels);
                moved[i] -= 2.0 * step;
                let want = (up - slow(loss, &moved, &labels)) / (2.0 * step);
                assert!((f64::from(*got) - want).abs() < 1e-6, "{loss:?} {i} {got} {want}");
            }
        }
    }

    #[test]
    fn the_softmax_gradient_sums_to_zero_over_classes_and_the_sigmoid_one_does_not() {
        let (_, _, z, hot) = case();
        let sums = |loss: Loss| to_vec(loss.gradient(z.clone(), hot.clone()).sum_dim(2));
        assert!(sums(Loss::Ce).iter().all(|sum| sum.abs() < 1e-7));
        assert!(sums(Loss::Bce).iter().any(|sum| sum.abs() > 1e-3));
    }

    #[test]
    fn huge_logits_stay_finite() {
        let z = from_vec(vec![300.0, -300.0, 90.0, 0.0], [1, 1, C], &cpu());
        let hot = from_vec(vec![0.0, 1.0, 0.0, 0.0], [1, 1, C], &cpu());
        for loss in [Loss::Ce, Loss::Bce, Loss::BcePlain] {
            assert!(to_vec(loss.value(z.clone(), hot.clone()))[0].is_finite());
            assert!(to_vec(loss.gradient(z.clone(), hot.clone())).iter().all(|g| g.is_finite()));
        }
    }
}
