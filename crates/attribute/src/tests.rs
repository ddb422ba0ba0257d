//! Oracles: small random networks whose maps are known from autodiff, from dense matrices, or from identities.

mod apart;
mod branches;
mod deep_lift;
mod gradient;
mod maps;
mod methods;
mod relevance;
mod resnet50;

use features::{
    network::{AttentionPool, BcosConv, ChannelScale, Conv, Dense, Layer, Network, Pool},
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
        Layer::Conv(Conv { weight: weight.into(), bias, stride: [stride; 2], padding: [kernel / 2; 2] })
    }

    fn bcos(&mut self, sizes: [usize; 2], kernel: usize, stride: usize, b: f32) -> Layer {
        let weight = self.tensor([sizes[1], sizes[0], kernel, kernel], 0.4);
        Layer::BcosConv(BcosConv::new(weight, b, [stride; 2], [kernel / 2; 2]))
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

    /// 3 channels to 8, densely connected: norms in front of convolutions, outputs beside inputs.
    fn dense(&mut self) -> Network {
        Network::new(vec![
            self.conv([3, 4], 3, 1),
            self.scale(4),
            Layer::Relu,
            Layer::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 }),
            self.dense_layer(4),
            self.dense_layer(7),
            self.scale(10),
            Layer::Relu,
            self.conv([10, 5], 1, 1),
            Layer::AvgPool(Pool { kernel: 2, stride: 2, padding: 0 }),
            self.dense_layer(5),
            self.scale(8),
            Layer::Relu,
        ])
    }

    /// `channels` to three more.
    fn dense_layer(&mut self, channels: usize) -> Layer {
        let made = vec![
            self.scale(channels),
            Layer::Relu,
            self.conv([channels, 6], 1, 1),
            self.scale(6),
            Layer::Relu,
            self.conv([6, 3], 3, 1),
        ];
        Layer::Concat(vec![Network::default(), Network::new(made)])
    }

    /// The same in B-cos layers, 6 channels to 8.
    fn dense_aligned(&mut self) -> Network {
        self.bias = 0.0;
        let made = vec![self.scale(5), self.bcos([5, 6], 1, 1, 2.0), self.scale(6), self.bcos([6, 3], 3, 1, 2.0)];
        Network::new(vec![
            self.bcos([6, 5], 3, 2, 2.0),
            self.scale(5),
            Layer::Concat(vec![Network::default(), Network::new(made)]),
            self.scale(8),
        ])
    }

    /// An attention pool of 3 heads over a map of 6 channels and `positions`, to 5 numbers.
    fn attention(&mut self, positions: usize) -> Layer {
        let mut dense =
            |outputs: usize| Dense { weight: self.tensor([outputs, 6], 0.8), bias: self.tensor([outputs, 1], 0.2) };
        let (query, output) = (dense(6), dense(5));
        Layer::AttentionPool(Box::new(AttentionPool {
            embedding: self.tensor([positions + 1, 6], 0.5),
            query,
            key: self.tensor([3, 2, 6], 0.8),
            value: self.tensor([3, 2, 6], 0.8),
            value_bias: self.tensor([6, 1], 0.2),
            output,
        }))
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
