//! Densely connected networks, conventional and B-cos, with torchvision's key names.
//!
//! Sources: Huang et al. 2017 in torchvision's form, whose features end with a norm and a ReLU; B-cos form of the
//! `bcos` package: no activations, uncentred bias-free norms, average instead of max pooling in the stem. Norms stand
//! in front of convolutions, and what a layer makes is laid beside all that it read.

use serde::{Deserialize, Serialize};

use super::{
    lower::{Builder, Parameters, Style},
    resnet::Stem,
};
use crate::network::{Layer, Network, Pool};

/// The kind of layers a densely connected network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenseFamily {
    /// BatchNorm, ReLU, convolution.
    Densenet,
    /// Uncentred norm, B-cos convolution with B = 2, no activation, six input channels.
    BcosDensenet,
}

impl DenseFamily {
    /// What the layers are.
    pub fn style(self) -> Style {
        match self {
            Self::Densenet => Style::Conventional,
            Self::BcosDensenet => Style::Bcos,
        }
    }
}

/// A densely connected network without its classifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseNet {
    /// Conventional or B-cos.
    pub family: DenseFamily,
    /// Channels that each layer adds.
    pub growth: usize,
    /// Channels between the two convolutions of a layer, in units of `growth`.
    pub bottleneck: usize,
    /// Layers of each block; between two blocks channels and sides are halved.
    pub blocks: Vec<usize>,
    /// First convolution.
    pub stem: Stem,
}

impl DenseNet {
    /// Torchvision's DenseNet with this depth: 121, 161, 169 or 201.
    pub fn imagenet(family: DenseFamily, depth: usize) -> Option<Self> {
        let (growth, channels, blocks) = match depth {
            121 => (32, 64, [6, 12, 24, 16]),
            161 => (48, 96, [6, 12, 36, 24]),
            169 => (32, 64, [6, 12, 32, 32]),
            201 => (32, 64, [6, 12, 48, 32]),
            _ => return None,
        };
        let stem = Stem { channels, kernel: 7, stride: 2, pool: true };
        Some(Self { family, growth, bottleneck: 4, blocks: blocks.to_vec(), stem })
    }

    /// Feature channels.
    pub fn channels(&self) -> usize {
        let last = self.blocks.len().saturating_sub(1);
        self.blocks.iter().enumerate().fold(self.stem.channels, |channels, (i, layers)| {
            let made = channels + layers * self.growth;
            if i < last { made / 2 } else { made }
        })
    }

    /// Builds the network, asking for each tensor by torchvision's name in forward order.
    pub fn lower(&self, parameters: &mut dyn Parameters) -> Network {
        let mut builder = Builder { style: self.family.style(), parameters };
        let Stem { mut channels, kernel, stride, pool } = self.stem;
        let input = self.family.style().input_channels();
        let stem = [channels, input, kernel, kernel];
        let mut layers = Vec::from(builder.conv_norm("features.conv0", "features.norm0", stem, stride));
        layers.extend(builder.activation());
        layers.extend(pool.then(|| builder.stem_pool()));
        for (i, &count) in self.blocks.iter().enumerate() {
            for j in 0..count {
                let prefix = format!("features.denseblock{}.denselayer{}", i + 1, j + 1);
                layers.push(self.layer(&mut builder, &prefix, channels));
                channels += self.growth;
            }
            if i + 1 < self.blocks.len() {
                let prefix = format!("features.transition{}", i + 1);
                layers.push(builder.norm(&format!("{prefix}.norm"), channels));
                layers.extend(builder.activation());
                layers.push(builder.conv(&format!("{prefix}.conv"), [channels / 2, channels, 1, 1], 1));
                layers.push(Layer::AvgPool(Pool { kernel: 2, stride: 2, padding: 0 }));
                channels /= 2;
            }
        }
        // torchvision has the last ReLU in `forward`, between features and classifier; probes read what it gives.
        layers.push(builder.norm(&format!("features.norm{}", self.blocks.len() + 1), channels));
        layers.extend(builder.activation());
        Network::new(layers)
    }

    fn layer(&self, builder: &mut Builder, prefix: &str, input: usize) -> Layer {
        let inner = self.bottleneck * self.growth;
        let mut made = vec![builder.norm(&format!("{prefix}.norm1"), input)];
        made.extend(builder.activation());
        let (conv, norm) = (format!("{prefix}.conv1"), format!("{prefix}.norm2"));
        made.extend(builder.conv_norm(&conv, &norm, [inner, input, 1, 1], 1));
        made.extend(builder.activation());
        made.push(builder.conv(&format!("{prefix}.conv2"), [self.growth, inner, 3, 3], 1));
        Layer::Concat(vec![Network::default(), Network::new(made)])
    }
}
