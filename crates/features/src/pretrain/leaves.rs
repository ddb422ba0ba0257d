//! The parameters of a training network: flat leaves, their running statistics, and their names in the file.

use crate::{
    backbone::{NamedTensor, NamedTensors, Norm, Parameters, ResNet},
    network::ChannelScale,
    random,
    tensor::{Device, Tensor, from_vec, to_vec},
};

use super::forward::BatchStatistics;

/// Key of the classifier used during training, `[classes, channels]`.
pub const CLASSIFIER: &str = "fc.weight";

/// One trained tensor, kept flat.
pub struct Leaf {
    /// Key in the file.
    pub name: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Values, outside of autodiff.
    pub value: Tensor<1>,
    /// The same values as this step's autodiff leaf.
    pub tracked: Option<Tensor<1>>,
}

/// Running mean and variance of one norm.
pub struct Running {
    /// Prefix of the norm's keys.
    pub name: String,
    /// Whether the mean is subtracted.
    pub norm: Norm,
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// `[channels]`.
    pub variance: Vec<f32>,
}

/// All parameters in forward order.
pub struct Leaves {
    /// Trained tensors; the classifier is last.
    pub leaves: Vec<Leaf>,
    /// Statistics of the norms.
    pub running: Vec<Running>,
    next: usize,
}

/// Momentum of running statistics, as in torch.
const MOMENTUM: f32 = 0.1;

impl Leaves {
    /// Kaiming-normal convolutions (fan out), γ = 1, β = 0, classifier uniform ±1/√channels.
    pub fn initialise(architecture: &ResNet, classes: usize, seed: u64, device: &Device) -> Self {
        let mut first = Initialise { seed, device, leaves: Vec::new(), running: Vec::new() };
        architecture.lower(&mut first);
        let channels = architecture.channels();
        let bound = 1.0 / (channels as f64).sqrt();
        let mut rng = random::stream(seed, &["pretrain", CLASSIFIER]);
        let values = (0..classes * channels).map(|_| random::between(&mut rng, -bound, bound) as f32).collect();
        first.push(CLASSIFIER.into(), vec![classes, channels], values);
        Self { leaves: first.leaves, running: first.running, next: 0 }
    }

    /// Starts a step: fresh autodiff leaves.
    pub fn track(&mut self) {
        self.next = 0;
        for leaf in &mut self.leaves {
            leaf.tracked = Some(Tensor::from_inner(leaf.value.clone()).require_grad());
        }
    }

    /// The classifier's leaf, `[classes, channels]`; ask after lowering the network.
    pub fn classifier(&mut self, channels: usize, classes: usize) -> Tensor<2> {
        self.take().reshape([classes, channels])
    }

    fn take(&mut self) -> Tensor<1> {
        let leaf = &self.leaves[self.next];
        self.next += 1;
        leaf.tracked.clone().expect("track() is called first")
    }

    /// Moves the running statistics towards a batch's.
    // METHOD: torch updates with the unbiased variance, the B-cos package with the biased one (protocol 1.3).
    pub fn update_statistics(&mut self, batch: &[BatchStatistics]) {
        assert_eq!(batch.len(), self.running.len(), "one statistic a norm");
        // Read together: the device has to finish what came before each reading.
        let all = batch.iter().flat_map(|batch| [batch.mean.clone(), batch.variance.clone()]);
        let mut values = to_vec(Tensor::cat(all.collect(), 0)).into_iter();
        for (running, batch) in self.running.iter_mut().zip(batch) {
            let n = batch.count as f32;
            let correction = match running.norm {
                Norm::Centred => n / (n - 1.0),
                Norm::Uncentred => 1.0,
            };
            blend(&mut running.mean, &mut values, 1.0);
            blend(&mut running.variance, &mut values, correction);
        }
    }

    /// Everything under the names of the file.
    pub fn export(&self) -> NamedTensors {
        let mut tensors: NamedTensors = self
            .leaves
            .iter()
            .map(|leaf| {
                let tensor = NamedTensor { shape: leaf.shape.clone(), values: to_vec(leaf.value.clone()) };
                (leaf.name.clone(), tensor)
            })
            .collect();
        for running in &self.running {
            let shape = vec![running.mean.len()];
            let mut put = |field: &str, values: &[f32]| {
                let tensor = NamedTensor { shape: shape.clone(), values: values.to_vec() };
                tensors.insert(format!("{}.{field}", running.name), tensor);
            };
            put("running_var", &running.variance);
            if running.norm == Norm::Centred {
                put("running_mean", &running.mean);
            }
        }
        tensors
    }
}

fn blend(running: &mut [f32], batch: &mut impl Iterator<Item = f32>, factor: f32) {
    for (running, batch) in running.iter_mut().zip(batch) {
        *running += MOMENTUM * (batch * factor - *running);
    }
}

impl Parameters for Leaves {
    fn weight(&mut self, _name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.take().reshape(shape)
    }

    fn norm(&mut self, _name: &str, _channels: usize, norm: Norm) -> ChannelScale {
        let scale = self.take();
        let shift = (norm == Norm::Centred).then(|| self.take());
        ChannelScale { scale, shift }
    }
}

struct Initialise<'a> {
    seed: u64,
    device: &'a Device,
    leaves: Vec<Leaf>,
    running: Vec<Running>,
}

impl Initialise<'_> {
    fn push(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) -> Tensor<1> {
        let count = values.len();
        let value = from_vec(values, [count], self.device);
        self.leaves.push(Leaf { name, shape, value: value.clone(), tracked: None });
        value
    }
}

impl Parameters for Initialise<'_> {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        // METHOD: He et al. 2015: variance 2 / fan out.
        let deviation = (2.0 / (shape[0] * shape[2] * shape[3]) as f64).sqrt();
        let mut rng = random::stream(self.seed, &["pretrain", name]);
        let values = (0..shape.iter().product()).map(|_| (random::normal(&mut rng) * deviation) as f32).collect();
        self.push(name.into(), shape.to_vec(), values).reshape(shape)
    }

    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale {
        self.running.push(Running {
            name: name.into(),
            norm,
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        });
        let scale = self.push(format!("{name}.weight"), vec![channels], vec![1.0; channels]);
        let shift =
            (norm == Norm::Centred).then(|| self.push(format!("{name}.bias"), vec![channels], vec![0.0; channels]));
        ChannelScale { scale, shift }
    }
}
