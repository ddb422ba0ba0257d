//! Residual networks of any depth and width, conventional and B-cos, with torchvision's key names.
//!
//! Sources: He et al. 2016 in torchvision's form (stride on the 3x3 convolution); B-cos form of the `bcos`
//! package: no activations, uncentred bias-free norms, average instead of max pooling in the stem.

use serde::{Deserialize, Serialize};

use super::lower::{Builder, Parameters, Style};
use crate::network::{Layer, Network, Pool};

/// The kind of layers a residual network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Convolution, BatchNorm, ReLU.
    Resnet,
    /// B-cos convolution with B = 2, uncentred norm, no activation, six input channels.
    BcosResnet,
}

/// The kind of residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1 with four times the width at the end.
    Bottleneck,
    /// The same with twice the width inside (Zagoruyko & Komodakis 2016 in torchvision's form, `wide_resnet50_2`).
    WideBottleneck,
    /// The same as a bottleneck, but strides are average pools (Radford et al. 2021, OpenAI's ModifiedResNet); the stem
    /// has three 3x3 convolutions.
    ClipBottleneck,
}

/// The first convolution and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stem {
    /// Output channels.
    pub channels: usize,
    /// Side of the kernel; padding is half of it.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Whether a 3x3 pool with stride 2 follows, as on ImageNet.
    pub pool: bool,
}

/// A run of blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Width before expansion.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Stride of the first block.
    pub stride: usize,
}

/// A residual network without its classifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// Conventional or B-cos.
    pub family: Family,
    /// Kind of block.
    pub block: Block,
    /// First convolution.
    pub stem: Stem,
    /// `layer1`, `layer2`, …
    pub stages: Vec<Stage>,
}

impl Family {
    /// What the layers are.
    pub fn style(self) -> Style {
        match self {
            Self::Resnet => Style::Conventional,
            Self::BcosResnet => Style::Bcos,
        }
    }
}

impl ResNet {
    /// Torchvision's ResNet with this depth: 18, 34, 50, 101 or 152.
    pub fn imagenet(family: Family, depth: usize) -> Option<Self> {
        let (block, blocks) = match depth {
            18 => (Block::Basic, [2, 2, 2, 2]),
            34 => (Block::Basic, [3, 4, 6, 3]),
            50 => (Block::Bottleneck, [3, 4, 6, 3]),
            101 => (Block::Bottleneck, [3, 4, 23, 3]),
            152 => (Block::Bottleneck, [3, 8, 36, 3]),
            _ => return None,
        };
        let stages = blocks
            .iter()
            .enumerate()
            .map(|(i, &blocks)| Stage { width: 64 << i, blocks, stride: if i == 0 { 1 } else { 2 } })
            .collect();
        Some(Self { family, block, stem: Stem { channels: 64, kernel: 7, stride: 2, pool: true }, stages })
    }

    /// The small network of the embedded data set: stride 8, 128 channels, about 0.6 million weights.
    pub fn shapes(family: Family) -> Self {
        let stage = |width, blocks, stride| Stage { width, blocks, stride };
        Self {
            family,
            block: Block::Basic,
            stem: Stem { channels: 32, kernel: 5, stride: 2, pool: false },
            stages: vec![stage(48, 1, 2), stage(96, 2, 2), stage(128, 1, 1)],
        }
    }

    /// Input channels: 3, or 6 for B-cos.
    pub fn input_channels(&self) -> usize {
        self.family.style().input_channels()
    }

    /// Pixels on a side for one feature.
    pub fn stride(&self) -> usize {
        let pool = if self.stem.pool { 2 } else { 1 };
        self.stem.stride * pool * self.stages.iter().map(|stage| stage.stride).product::<usize>()
    }

    /// Feature channels.
    pub fn channels(&self) -> usize {
        self.stages.last().map_or(self.stem.channels, |stage| stage.width * self.expansion())
    }

    pub(super) fn expansion(&self) -> usize {
        match self.block {
            Block::Basic => 1,
            Block::Bottleneck | Block::WideBottleneck | Block::ClipBottleneck => 4,
        }
    }

    /// Builds the network, asking for each tensor by torchvision's name in forward order.
    pub fn lower(&self, parameters: &mut dyn Parameters) -> Network {
        let mut builder = Builder { style: self.family.style(), parameters };
        let mut layers = Vec::new();
        let Stem { channels, kernel, stride, pool } = self.stem;
        let (input, half) = (self.input_channels(), channels / 2);
        // (output, input, stride) of each convolution of the stem.
        let convolutions = match self.block {
            Block::ClipBottleneck => vec![(half, input, stride), (half, half, 1), (channels, half, 1)],
            Block::Basic | Block::Bottleneck | Block::WideBottleneck => vec![(channels, input, stride)],
        };
        for (k, (out, inp, stride)) in convolutions.into_iter().enumerate() {
            let (conv, norm) = (format!("conv{}", k + 1), format!("bn{}", k + 1));
            layers.extend(builder.conv_norm(&conv, &norm, [out, inp, kernel, kernel], stride));
            layers.extend(builder.activation());
        }
        if pool && self.block == Block::ClipBottleneck {
            layers.push(Layer::AvgPool(Pool { kernel: 2, stride: 2, padding: 0 }));
        } else if pool {
            layers.push(builder.stem_pool());
        }
        let mut channels = channels;
        for (i, stage) in self.stages.iter().enumerate() {
            for j in 0..stage.blocks {
                let prefix = format!("layer{}.{j}", i + 1);
                let stride = if j == 0 { stage.stride } else { 1 };
                layers.push(self.block(&mut builder, &prefix, channels, stage.width, stride));
                layers.extend(builder.activation());
                channels = stage.width * self.expansion();
            }
        }
        Network::new(layers)
    }

    fn block(&self, builder: &mut Builder, prefix: &str, input: usize, width: usize, stride: usize) -> Layer {
        let output = width * self.expansion();
        let inner = match self.block {
            Block::Basic | Block::Bottleneck | Block::ClipBottleneck => width,
            Block::WideBottleneck => 2 * width,
        };
        // (output, input, kernel, stride) of each convolution of the main branch.
        let convolutions = match self.block {
            Block::Basic => vec![(width, input, 3, stride), (width, width, 3, 1)],
            Block::Bottleneck | Block::WideBottleneck => {
                vec![(inner, input, 1, 1), (inner, inner, 3, stride), (output, inner, 1, 1)]
            }
            Block::ClipBottleneck => vec![(inner, input, 1, 1), (inner, inner, 3, 1), (output, inner, 1, 1)],
        };
        let pool = (self.block == Block::ClipBottleneck && stride > 1).then_some(Layer::AvgPool(Pool {
            kernel: stride,
            stride,
            padding: 0,
        }));
        let last = convolutions.len() - 1;
        let mut main = Vec::new();
        for (k, (out, inp, kernel, stride)) in convolutions.into_iter().enumerate() {
            if k == last {
                main.extend(pool.clone());
            }
            let (conv, norm) = (format!("{prefix}.conv{}", k + 1), format!("{prefix}.bn{}", k + 1));
            main.extend(builder.conv_norm(&conv, &norm, [out, inp, kernel, kernel], stride));
            if k < last {
                main.extend(builder.activation());
            }
        }
        let shortcut = if stride != 1 || input != output {
            let (conv, norm) = (format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"));
            let stride = if pool.is_some() { 1 } else { stride };
            pool.into_iter().chain(builder.conv_norm(&conv, &norm, [output, input, 1, 1], stride)).collect()
        } else {
            Vec::new()
        };
        Layer::Sum(vec![Network::new(main), Network::new(shortcut)])
    }
}
