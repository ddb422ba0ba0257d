//! The losses of the paper and some neighbours, as values and closed-form gradients on plain tensors.
//!
//! The gradients are written out because a linear probe needs nothing else: no tape, no stored activations. Labels are
//! rows of 0 and 1; more than one 1 makes every loss its multi-label form.

mod columns;
mod row;

use burn::tensor::activation::{log_softmax, sigmoid, softmax};
use features::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What a probe is trained to minimise. Losses of single classes are averaged over the classes, or summed where the
/// name says so; all are averaged over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Softmax cross entropy; several labels share the target equally.
    Ce,
    /// Sigmoid cross entropy with off-targets 1/C: the paper's BCE.
    Bce,
    /// Sigmoid cross entropy with off-targets 0.
    BcePlain,
    /// [`Loss::Bce`] summed over classes.
    BceSum,
    /// [`Loss::BcePlain`] summed over classes.
    BcePlainSum,
    /// Sigmoid focal loss.
    Focal,
    /// [`Loss::Focal`] summed over classes.
    FocalSum,
}

/// Weight of a present class in the focal loss; an absent one has the rest of 1.
const FOCAL_ALPHA: f64 = 0.25;

impl Loss {
    /// All losses.
    pub const ALL: [Self; 7] =
        [Self::Ce, Self::Bce, Self::BcePlain, Self::BceSum, Self::BcePlainSum, Self::Focal, Self::FocalSum];

    /// The name used in files, flags and probe ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ce => "ce",
            Self::Bce => "bce",
            Self::BcePlain => "bce_plain",
            Self::BceSum => "bce_sum",
            Self::BcePlainSum => "bce_plain_sum",
            Self::Focal => "focal",
            Self::FocalSum => "focal_sum",
        }
    }

    /// The loss of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loss| loss.name() == name)
    }

    /// What a class that is not a label should get, before the link function.
    pub fn off_target(self, classes: usize) -> f64 {
        match self {
            Self::Bce | Self::BceSum => 1.0 / classes as f64,
            _ => 0.0,
        }
    }

    /// Whether the mean over classes makes gradients smaller by their number.
    pub fn averages_classes(self) -> bool {
        matches!(self, Self::Bce | Self::BcePlain | Self::Focal)
    }

    /// What the summed loss of `n` rows is divided by.
    fn count(self, n: usize, classes: usize) -> f32 {
        (if self.averages_classes() { n * classes } else { n }) as f32
    }
}

/// A loss and the smoothing of its labels.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Objective {
    /// The loss.
    pub loss: Loss,
    /// Share of a label that is spread over all classes; cross entropy only.
    pub smoothing: f64,
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Self { loss, smoothing: 0.0 }
    }
}

impl Objective {
    /// What each class should get, from labels `[n, 1, classes]`.
    // METHOD: CE t = (1 - e) y / sum(y) + e / C (torch's label smoothing; rows without a label stay 0); BCE t = max(y, 1/C)
    // or y.
    fn targets(self, labels: Tensor<3>) -> Tensor<3> {
        let [_, _, classes] = labels.dims();
        match self.loss {
            Loss::Ce => {
                let count = labels.clone().sum_dim(2);
                let shares = labels / count.clone().clamp_min(1.0);
                if self.smoothing == 0.0 {
                    return shares;
                }
                let spread = count.clamp_max(1.0).mul_scalar((self.smoothing / classes as f64) as f32);
                shares.mul_scalar((1.0 - self.smoothing) as f32) + spread
            }
            loss => match loss.off_target(classes) {
                0.0 => labels,
                off => labels.clamp_min(off as f32),
            },
        }
    }

    /// Loss of each probe `[p]`, in nats, from logits `[n, p, classes]` and labels `[n, 1, classes]`.
    // METHOD: CE = -mean_n sum_c t log softmax(z)_c; BCE = mean_{n,c} softplus(z) - t z; focal (Lin et al. 2017, g = 2)
    // = -mean_{n,c} a (1 - q)^2 log q with q the probability of what is so, a = 1/4 for present and 3/4 for absent classes.
    pub fn value(self, logits: Tensor<3>, labels: Tensor<3>) -> Tensor<1> {
        let [n, probes, classes] = logits.dims();
        let targets = self.targets(labels);
        let terms = match self.loss {
            Loss::Ce => log_softmax(logits, 2).neg() * targets,
            Loss::Focal | Loss::FocalSum => {
                let sign = targets.clone().mul_scalar(2.0).sub_scalar(1.0);
                let missing = softplus((logits * sign).neg());
                // 1 - q = 1 - exp(-missing).
                let doubt = missing.clone().neg().exp().neg().add_scalar(1.0);
                doubt.powi_scalar(2) * missing * focal_weight(targets)
            }
            _ => softplus(logits.clone()) - logits * targets,
        };
        terms.sum_dim(2).sum_dim(0).reshape([probes]).div_scalar(self.loss.count(n, classes))
    }

    /// Gradient of [`Objective::value`] with respect to the logits: `[n, p, classes]`.
    // METHOD: CE (softmax(z) sum(t) - t) / n, whose rows sum to 0; BCE (sigmoid(z) - t) / (n C); focal
    // s a (2 q (1 - q)^2 log q - (1 - q)^3) / (n C), s = 1 for present and -1 for absent classes.
    pub fn gradient(self, logits: Tensor<3>, labels: Tensor<3>) -> Tensor<3> {
        let [n, _, classes] = logits.dims();
        let targets = self.targets(labels);
        let gradient = match self.loss {
            Loss::Ce => softmax(logits, 2) * targets.clone().sum_dim(2) - targets,
            Loss::Focal | Loss::FocalSum => {
                let sign = targets.clone().mul_scalar(2.0).sub_scalar(1.0);
                let logits = logits * sign.clone();
                let sure = sigmoid(logits.clone());
                let doubt = sigmoid(logits.clone().neg());
                let inner = sure * softplus(logits.neg()).mul_scalar(2.0) + doubt.clone();
                (inner * doubt.powi_scalar(2)).neg() * (sign * focal_weight(targets))
            }
            _ => sigmoid(logits) - targets,
        };
        gradient.div_scalar(self.loss.count(n, classes))
    }
}

fn softplus(values: Tensor<3>) -> Tensor<3> {
    values.clone().clamp_min(0.0) + values.abs().neg().exp().log1p()
}

/// 1/4 for targets 1, 3/4 for targets 0.
fn focal_weight(targets: Tensor<3>) -> Tensor<3> {
    targets.mul_scalar(2.0 * FOCAL_ALPHA as f32 - 1.0).add_scalar(1.0 - FOCAL_ALPHA as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::random;
    use features::tensor::{cpu, from_vec, to_vec};

    const N: usize = 5;
    const C: usize = 4;

    /// The published formulas, with logarithms of probabilities, in double precision.
    fn slow(objective: Objective, logits: &[f64], labels: &[f64]) -> f64 {
        let mut total = 0.0;
        for (row, labels) in logits.chunks(C).zip(labels.chunks(C)) {
            let sum: f64 = row.iter().map(|z| z.exp()).sum();
            let count: f64 = labels.iter().sum();
            for (z, y) in row.iter().zip(labels) {
                let p = 1.0 / (1.0 + (-z).exp());
                let bce = |t: f64| -(t * p.ln() + (1.0 - t) * (1.0 - p).ln());
                let focal = if *y == 1.0 { -0.25 * (1.0 - p).powi(2) * p.ln() } else { -0.75 * p * p * (1.0 - p).ln() };
                total += match objective.loss {
                    Loss::Ce if count == 0.0 => 0.0,
                    Loss::Ce => {
                        let t = (1.0 - objective.smoothing) * y / count + objective.smoothing / C as f64;
                        -t * (z.exp() / sum).ln()
                    }
                    Loss::Bce => bce(y.max(0.25)) / C as f64,
                    Loss::BceSum => bce(y.max(0.25)),
                    Loss::BcePlain => bce(*y) / C as f64,
                    Loss::BcePlainSum => bce(*y),
                    Loss::Focal => focal / C as f64,
                    Loss::FocalSum => focal,
                };
            }
        }
        total / N as f64
    }

    fn objectives() -> impl Iterator<Item = Objective> {
        Loss::ALL.into_iter().map(Objective::from).chain([Objective { loss: Loss::Ce, smoothing: 0.1 }])
    }

    /// Logits, and labels with one 1 a row or with several and none.
    fn case(several: bool) -> (Vec<f64>, Vec<f64>, Tensor<3>, Tensor<3>) {
        let mut rng = random::stream(7, &["loss"]);
        let logits: Vec<f64> = (0..N * C).map(|_| f64::from((3.0 * random::normal(&mut rng)) as f32)).collect();
        let mut labels = vec![0.0; N * C];
        (0..N).for_each(|i| labels[i * C + random::below(&mut rng, C)] = 1.0);
        if several {
            (labels[1], labels[2], labels[3]) = (1.0, 1.0, 0.0);
            labels[C..2 * C].fill(0.0);
        }
        let single = |values: &[f64]| from_vec(values.iter().map(|&z| z as f32).collect(), [N, 1, C], &cpu());
        let tensors = (single(&logits), single(&labels));
        (logits, labels, tensors.0, tensors.1)
    }

    #[test]
    fn values_and_gradients_equal_the_formulas_in_f64() {
        for (several, objective) in [false, true].into_iter().flat_map(|s| objectives().map(move |o| (s, o))) {
            let (logits, labels, z, hot) = case(several);
            let value = f64::from(to_vec(objective.value(z.clone(), hot.clone()))[0]);
            let want = slow(objective, &logits, &labels);
            assert!((value - want).abs() < 1e-6 * want.max(1.0), "{objective:?} {value} {want}");
            let gradient = to_vec(objective.gradient(z.clone(), hot.clone()));
            let mut rows = [0.0; N * C];
            let mut row_value = 0.0;
            for (index, found) in rows.chunks_mut(C).enumerate() {
                let range = index * C..(index + 1) * C;
                row_value += objective.row(&logits[range.clone()], &labels[range], found) / N as f64;
            }
            assert!((row_value - want).abs() < 1e-12 * want.max(1.0), "{objective:?} {row_value} {want}");
            for (i, got) in gradient.iter().enumerate() {
                let step = 1e-5;
                let mut moved = logits.clone();
                moved[i] += step;
                let up = slow(objective, &moved, &labels);
                moved[i] -= 2.0 * step;
                let want = (up - slow(objective, &moved, &labels)) / (2.0 * step);
                assert!((f64::from(*got) - want).abs() < 1e-6, "{objective:?} {i} {got} {want}");
                assert!((rows[i] / N as f64 - want).abs() < 1e-9, "{objective:?} {i} {} {want}", rows[i] / N as f64);
            }
        }
    }

    #[test]
    fn the_softmax_gradient_sums_to_zero_over_classes_and_the_sigmoid_one_does_not() {
        let (_, _, z, hot) = case(false);
        let sums = |objective: Objective| to_vec(objective.gradient(z.clone(), hot.clone()).sum_dim(2));
        assert!(sums(Loss::Ce.into()).iter().all(|sum| sum.abs() < 1e-7));
        assert!(sums(Objective { loss: Loss::Ce, smoothing: 0.1 }).iter().all(|sum| sum.abs() < 1e-7));
        assert!(sums(Loss::Bce.into()).iter().any(|sum| sum.abs() > 1e-3));
    }

    #[test]
    fn huge_logits_stay_finite() {
        let z = from_vec(vec![300.0, -300.0, 90.0, 0.0], [1, 1, C], &cpu());
        let hot = from_vec(vec![0.0, 1.0, 0.0, 0.0], [1, 1, C], &cpu());
        for objective in objectives() {
            assert!(to_vec(objective.value(z.clone(), hot.clone()))[0].is_finite(), "{objective:?}");
            assert!(to_vec(objective.gradient(z.clone(), hot.clone())).iter().all(|g| g.is_finite()), "{objective:?}");
        }
    }

    #[test]
    fn names_are_those_of_serde() {
        for loss in Loss::ALL {
            assert_eq!(serde_json::to_value(loss).unwrap(), loss.name());
            assert_eq!(Loss::from_name(loss.name()), Some(loss));
        }
    }
}
