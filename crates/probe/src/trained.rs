//! What training gives back, and what every trainer is told.

use features::random;
use features::tensor::Device;

use crate::spec::ProbeSpec;
use crate::weights::Weights;

/// What a trainer needs besides specs and data.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where to compute.
    pub device: Device,
    /// The run's seed: shuffles depend on it alone, so that all probes see the same batches.
    pub seed: u64,
    /// Number of classes.
    pub classes: usize,
}

/// One measurement during training.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Passes over the training tiles so far.
    pub epoch: usize,
    /// Split it was measured on.
    pub split: &'static str,
    /// What was measured.
    pub metric: &'static str,
    /// The measurement.
    pub value: f64,
    /// Step size at that time.
    pub learning_rate: f64,
}

impl LogEntry {
    /// A measurement after so many epochs.
    pub fn new(epoch: usize, split: &'static str, metric: &'static str, value: f64, learning_rate: f64) -> Self {
        Self { epoch, split, metric, value, learning_rate }
    }
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As planned.
    Trained,
    /// Its loss left the numbers or grew without bound: its step size is too large.
    Diverged,
}

impl Status {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Diverged => "diverged",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Trained, Self::Diverged].into_iter().find(|status| status.name() == name)
    }
}

/// A probe with weights.
#[derive(Debug, Clone)]
pub struct Trained {
    /// What it is.
    pub spec: ProbeSpec,
    /// Its weights, for features as they are in the files.
    pub weights: Weights,
    /// How its training ended; after a divergence its weights and figures mean nothing.
    pub status: Status,
    /// Loss over all tiles it was trained on, after training.
    pub train_loss: f64,
    /// Euclidean norm of that loss's gradient with respect to all weights, in the units training used (features
    /// scaled to a common norm).
    pub gradient_norm: f64,
    /// Passes over the training tiles after which these weights were taken.
    pub kept_epoch: usize,
    /// The way there.
    pub log: Vec<LogEntry>,
}

/// The rows that epoch `epoch` takes of `rows` rows, in its order: one view of each image, in turn.
///
/// Keyed by the run's seed and the epoch only: every probe of a run, whatever its own seed, sees the same batches,
/// so that probes differ in loss, head and initial weights alone.
// METHOD: augmentation shows each image once an epoch, in another view each time.
pub fn order(seed: u64, epoch: usize, rows: usize, views: usize) -> Vec<i32> {
    let mut order: Vec<i32> = (0..(rows / views) as i32).collect();
    random::shuffle(&mut random::stream(seed, &["probe", "order", &epoch.to_string()]), &mut order);
    order.into_iter().map(|image| image * views as i32 + (epoch % views) as i32).collect()
}

/// `count` initial values of the tensor `name` of a probe, uniform in +-1/sqrt(fan_in).
// METHOD: PyTorch's default for convolutions and their biases, which the reference keeps.
pub fn initial(spec: &ProbeSpec, name: &str, count: usize, fan_in: usize) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    let mut rng = random::stream(spec.seed, &["probe", "weights", &spec.head.name(), name]);
    (0..count).map(|_| ((2.0 * random::uniform(&mut rng) - 1.0) * bound) as f32).collect()
}

/// Whether a loss has left the numbers or is 100 times that of the initial weights (`first`).
pub fn diverged(first: f64, now: f64) -> bool {
    !now.is_finite() || now > 100.0 * first.max(0.1)
}
