//! CLIP's residual network with the attention pool behind it, which makes one embedding of a picture.

use serde::{Deserialize, Serialize};

use super::{lower::Parameters, resnet::ResNet};
use crate::{
    network::{AttentionPool, Dense, Layer, Network},
    tensor::Tensor,
};

/// A residual network and its attention pool. The embedding of positions fits pictures of one size only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionPooled {
    /// `clip_attention_pool`.
    pub family: AttentionFamily,
    /// Positions on a side of the trunk's map.
    pub side: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Numbers in the embedding of a picture, which is that of texts too.
    pub embedding: usize,
    /// The network in front.
    pub trunk: ResNet,
}

/// The kind of pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionFamily {
    /// Radford et al. 2021, `AttentionPool2d`.
    ClipAttentionPool,
}

impl AttentionPooled {
    /// Side of the pictures that it takes, pixels.
    pub fn picture_side(&self) -> usize {
        self.side * self.trunk.stride()
    }

    /// Builds the network, asking for each tensor by OpenAI's name in forward order.
    pub fn lower(&self, parameters: &mut dyn Parameters) -> Network {
        let mut network = self.trunk.lower(parameters);
        network.layers.push(Layer::AttentionPool(Box::new(self.pool(parameters))));
        network
    }

    fn pool(&self, parameters: &mut dyn Parameters) -> AttentionPool {
        let channels = self.trunk.channels();
        let mut matrix = |name: &str, rows: usize, columns: usize| -> Tensor<2> {
            parameters.weight(&format!("attnpool.{name}"), [rows, columns, 1, 1]).reshape([rows, columns])
        };
        let embedding = matrix("positional_embedding", 1 + self.side * self.side, channels);
        let mut projection = |name: &str, outputs: usize| Dense {
            weight: matrix(&format!("{name}.weight"), outputs, channels),
            bias: matrix(&format!("{name}.bias"), outputs, 1),
        };
        let [query, key, value] = ["q_proj", "k_proj", "v_proj"].map(|name| projection(name, channels));
        let output = projection("c_proj", self.embedding);
        let by_head = |weight: Tensor<2>| weight.reshape([self.heads, channels / self.heads, channels]);
        AttentionPool {
            embedding,
            query,
            key: by_head(key.weight),
            value: by_head(value.weight),
            value_bias: value.bias,
            output,
        }
    }
}
