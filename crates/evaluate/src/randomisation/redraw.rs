//! Networks whose weights are drawn again, and the stages in which a cascade goes through a backbone.

use std::ops::Range;

use features::network::{Apart, AttentionPool, ChannelScale, Conv, Dense, Layer, Network};
use features::random::{Stream, normal, shuffle, stream};
use features::tensor::{Tensor, from_vec, to_vec};
use serde::{Deserialize, Serialize};

/// How weights are drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redraw {
    /// Independent normal numbers with mean 0 and the tensor's own root mean square.
    Normal,
    /// The tensor's own values in a random order.
    Shuffled,
}

impl Redraw {
    /// Name in settings and variants.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shuffled => "shuffled",
        }
    }

    // METHOD: Adebayo et al. draw from the initial distribution, which a checkpoint does not tell; a normal distribution of
    // the trained tensor's size keeps activations in range through all depths.
    fn values(self, values: &[f32], rng: &mut Stream) -> Vec<f32> {
        match self {
            Self::Normal => {
                let square: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
                let size = (square / values.len().max(1) as f64).sqrt();
                values.iter().map(|_| (size * normal(rng)) as f32).collect()
            }
            Self::Shuffled => {
                let mut shuffled = values.to_vec();
                shuffle(rng, &mut shuffled);
                shuffled
            }
        }
    }
}

/// `network` with all weights drawn again. A tensor's numbers depend on the seed, on `name` and on its place in the network
/// alone, so that a deeper step of a cascade keeps what the steps before it have drawn.
pub fn redrawn(network: &Network, how: Redraw, seed: u64, name: &str) -> Network {
    Drawing { how, seed }.network(network, name)
}

struct Drawing {
    how: Redraw,
    seed: u64,
}

impl Drawing {
    fn network(&self, network: &Network, place: &str) -> Network {
        let layers = network.layers.iter().enumerate();
        Network::new(layers.map(|(at, layer)| self.layer(layer, &format!("{place}.{at}"))).collect())
    }

    fn layer(&self, layer: &Layer, place: &str) -> Layer {
        let branches = |branches: &[Network]| {
            let numbered = branches.iter().enumerate();
            numbered.map(|(at, branch)| self.network(branch, &format!("{place}.{at}"))).collect()
        };
        match layer {
            Layer::Conv(conv) => Layer::Conv(Conv {
                weight: self.tensor(conv.weight.tensor(), place, "weight").into(),
                bias: conv.bias.as_ref().map(|bias| self.tensor(bias, place, "bias")),
                ..conv.clone()
            }),
            Layer::BcosConv(conv) => Layer::BcosConv(conv.with(self.tensor(conv.weight(), place, "weight"))),
            Layer::Scale(scale) => Layer::Scale(self.scale(scale, place)),
            Layer::Sum(all) => Layer::Sum(branches(all)),
            Layer::Concat(all) => Layer::Concat(branches(all)),
            Layer::Apart(apart) => {
                Layer::Apart(Box::new(Apart { network: self.network(&apart.network, place), grid: apart.grid }))
            }
            Layer::AttentionPool(pool) => Layer::AttentionPool(Box::new(self.attention(pool, place))),
            Layer::Relu | Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool | Layer::Offset(_) => {
                layer.clone()
            }
        }
    }

    fn attention(&self, pool: &AttentionPool, place: &str) -> AttentionPool {
        let dense = |dense: &Dense, name: &str| Dense {
            weight: self.tensor(&dense.weight, place, name),
            bias: self.tensor(&dense.bias, place, &format!("{name}.bias")),
        };
        AttentionPool {
            embedding: self.tensor(&pool.embedding, place, "embedding"),
            query: dense(&pool.query, "query"),
            key: self.tensor(&pool.key, place, "key"),
            value: self.tensor(&pool.value, place, "value"),
            value_bias: self.tensor(&pool.value_bias, place, "value.bias"),
            output: dense(&pool.output, "output"),
        }
    }

    /// Channels change places, factor and shift together.
    // Normal numbers would turn half of the factors negative and take away the scale that they give to activations.
    fn scale(&self, scale: &ChannelScale, place: &str) -> ChannelScale {
        let [channels] = scale.scale.dims();
        let mut order: Vec<usize> = (0..channels).collect();
        shuffle(&mut self.stream(place, "norm"), &mut order);
        let ordered = |tensor: &Tensor<1>| {
            let values = to_vec(tensor.clone());
            from_vec(order.iter().map(|&at| values[at]).collect(), [channels], &tensor.device())
        };
        ChannelScale { scale: ordered(&scale.scale), shift: scale.shift.as_ref().map(ordered) }
    }

    fn tensor<const D: usize>(&self, tensor: &Tensor<D>, place: &str, name: &str) -> Tensor<D> {
        let values = self.how.values(&to_vec(tensor.clone()), &mut self.stream(place, name));
        from_vec(values, tensor.dims(), &tensor.device())
    }

    fn stream(&self, place: &str, name: &str) -> Stream {
        stream(self.seed, &["randomisation", "weights", place, name])
    }
}

/// The stages of a backbone, first to last, as ranges of its layers: one begins where the map becomes smaller. Each has
/// weights.
pub fn stages(backbone: &Network) -> Vec<Range<usize>> {
    let mut stages: Vec<Range<usize>> = Vec::new();
    let mut weighted = true;
    for (at, layer) in backbone.layers.iter().enumerate() {
        match stages.last_mut() {
            Some(last) if !(shrinks(layer) && weighted) => last.end = at + 1,
            _ => {
                stages.push(at..at + 1);
                weighted = false;
            }
        }
        weighted |= has_weights(layer);
    }
    // A pool at the very end begins nothing.
    if !weighted && let Some(rest) = stages.pop() {
        match stages.last_mut() {
            Some(last) => last.end = rest.end,
            None => stages.push(rest),
        }
    }
    stages
}

fn shrinks(layer: &Layer) -> bool {
    any(layer, &|layer| match layer {
        Layer::Conv(conv) => conv.stride != [1, 1],
        Layer::BcosConv(conv) => conv.stride != [1, 1],
        Layer::MaxPool(pool) | Layer::AvgPool(pool) => pool.stride > 1,
        Layer::AttentionPool(_) => true,
        _ => false,
    })
}

fn has_weights(layer: &Layer) -> bool {
    any(layer, &|layer| matches!(layer, Layer::Conv(_) | Layer::BcosConv(_) | Layer::AttentionPool(_)))
}

fn any(layer: &Layer, test: &dyn Fn(&Layer) -> bool) -> bool {
    Network::new(vec![layer.clone()]).any(test)
}
