//! Oracles: small random networks whose maps are known from autodiff, from dense matrices, or from identities.

mod deep_lift;
mod gradient;
mod maps;
mod methods;
mod relevance;
mod resnet50;

use features::{
    network::{BcosConv, ChannelScale, Conv, Layer, Network, Pool},
    random::{Stream, normal, stream, uniform},
    tensor::{Device, Tensor, cpu, from_vec, to_vec},
};

/// Draws the weights of a small network.
struct Draw {
    rng: Stream,
    device: Device,
    /// What biases and shifts are multiplied by: 0 for networks without them.
    bias: f32,
}

impl Draw {
    fn new(key: &str, bias: f32) -> Self {
        Self { rng: stream(7, &["test", key]), device: cpu(), bias }
    }

    fn on(key: &str, device: &Device) -> Self {
        Self { device: device.clone(), ..Self::new(key, 1.0) }
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D], scale: f32) -> Tensor<D> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| normal(&mut self.rng) as f32 * scale).collect();
        from_vec(values, shape, &self.device)
    }

    fn pixels(&mut self, shape: [usize; 4]) -> Tensor<4> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| uniform(&mut self.rng) as f32).collect();
        from_vec(values, shape, &self.device)
    }

    fn conv(&mut self, sizes: [usize; 2], kernel: usize, stride: usize) -> Layer {
        let weight = self.tensor([sizes[1], sizes[0], kernel, kernel], 0.4);
        let bias = (self.bias != 0.0).then(|| self.tensor([sizes[1]], 0.2 * self.bias));
        Layer::Conv(Conv { weight, bias, stride: [stride; 2], padding: [kernel / 2; 2] })
    }

    fn bcos(&mut self, sizes: [usize; 2], kernel: usize, stride: usize, b: f32) -> Layer {
        let weight = self.tensor([sizes[1], sizes[0], kernel, kernel], 0.4);
        Layer::BcosConv(BcosConv { weight, b, stride: [stride; 2], padding: [kernel / 2; 2] })
    }

    fn scale(&mut self, channels: usize) -> Layer {
        let scale = self.tensor([channels], 0.2).add_scalar(1.0);
        let shift = (self.bias != 0.0).then(|| self.tensor([channels], 0.2 * self.bias));
        Layer::Scale(ChannelScale { scale, shift })
    }

    /// 3 channels to 6, with every kind of conventional layer that a backbone has.
    fn conventional(&mut self) -> Network {
        let main = vec![self.conv([4, 6], 3, 2), self.scale(6), Layer::Relu, self.conv([6, 6], 3, 1), self.scale(6)];
        let shortcut = vec![self.conv([4, 6], 1, 2), self.scale(6)];
        Network::new(vec![
            self.conv([3, 4], 3, 1),
            self.scale(4),
            Layer::Relu,
            Layer::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 }),
            Layer::Sum(vec![Network::new(main), Network::new(shortcut)]),
            Layer::Relu,
            Layer::AvgPool(Pool { kernel: 3, stride: 2, padding: 1 }),
        ])
    }

    /// 6 channels to 7, with every kind of layer of a B-cos backbone.
    fn aligned(&mut self, b: f32) -> Network {
        self.bias = 0.0;
        let main = vec![self.bcos([5, 7], 3, 1, b), self.scale(7), self.bcos([7, 7], 3, 1, b)];
        let shortcut = vec![self.bcos([5, 7], 1, 1, b)];
        Network::new(vec![
            self.bcos([6, 5], 3, 2, b),
            self.scale(5),
            Layer::AvgPool(Pool { kernel: 3, stride: 2, padding: 1 }),
            Layer::Sum(vec![Network::new(main), Network::new(shortcut)]),
            self.scale(7),
        ])
    }

    /// A convolutional head from `channels` to 4 classes.
    fn head(&mut self, channels: usize) -> Network {
        Network::new(vec![
            self.conv([channels, 5], 1, 1),
            self.scale(5),
            Layer::Relu,
            self.conv([5, 4], 1, 1),
            Layer::GlobalAvgPool,
        ])
    }

    /// A B-cos head from `channels` to 4 classes with a logit offset.
    fn aligned_head(&mut self, channels: usize) -> Network {
        self.bias = 0.0;
        Network::new(vec![
            self.bcos([channels, 5], 1, 1, 2.0),
            self.scale(5),
            self.bcos([5, 4], 1, 1, 2.0),
            Layer::GlobalAvgPool,
            Layer::Offset(-1.5),
        ])
    }
}

fn join(first: &Network, second: &Network) -> Network {
    Network::new(first.layers.iter().chain(&second.layers).cloned().collect())
}

/// Asserts that the largest difference is at most `tolerance` of the largest expected value.
#[track_caller]
fn check<const D: usize>(got: Tensor<D>, expected: Tensor<D>, tolerance: f32) {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (to_vec(got), to_vec(expected));
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    let error = got.iter().zip(&expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(largest > 0.0 && error <= tolerance * largest, "error {error} of {largest}");
}
