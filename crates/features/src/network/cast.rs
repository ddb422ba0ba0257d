//! A network whose numbers have fewer bits, for accelerators that multiply them faster.

use burn::tensor::FloatDType;

use super::{Apart, AttentionPool, ChannelScale, Conv, Dense, Layer, Network};
use crate::tensor::Tensor;

impl Network {
    /// The same network with weights of this type, which takes and gives maps of this type.
    pub fn cast(&self, to: FloatDType) -> Self {
        Self::new(self.layers.iter().map(|layer| layer.cast(to)).collect())
    }
}

impl Layer {
    fn cast(&self, to: FloatDType) -> Self {
        let all = |branches: &[Network]| branches.iter().map(|branch| branch.cast(to)).collect();
        match self {
            Self::Conv(conv) => Self::Conv(Conv {
                weight: conv.weight.tensor().clone().cast(to).into(),
                bias: conv.bias.clone().map(|bias| bias.cast(to)),
                ..conv.clone()
            }),
            Self::BcosConv(conv) => Self::BcosConv(conv.with(conv.weight().clone().cast(to))),
            Self::Scale(ChannelScale { scale, shift }) => Self::Scale(ChannelScale {
                scale: scale.clone().cast(to),
                shift: shift.clone().map(|shift| shift.cast(to)),
            }),
            Self::Sum(branches) => Self::Sum(all(branches)),
            Self::Concat(branches) => Self::Concat(all(branches)),
            Self::Apart(apart) => Self::Apart(Box::new(Apart { network: apart.network.cast(to), grid: apart.grid })),
            Self::AttentionPool(pool) => Self::AttentionPool(Box::new(pool.cast(to))),
            Self::Relu | Self::MaxPool(_) | Self::AvgPool(_) | Self::GlobalAvgPool | Self::Offset(_) => self.clone(),
        }
    }
}

impl AttentionPool {
    fn cast(&self, to: FloatDType) -> Self {
        let dense = |dense: &Dense| Dense { weight: dense.weight.clone().cast(to), bias: dense.bias.clone().cast(to) };
        let three = |tensor: &Tensor<3>| tensor.clone().cast(to);
        Self {
            embedding: self.embedding.clone().cast(to),
            query: dense(&self.query),
            key: three(&self.key),
            value: three(&self.value),
            value_bias: self.value_bias.clone().cast(to),
            output: dense(&self.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::BcosConv;
    use crate::random::{normal, stream};
    use crate::tensor::{cpu, from_vec, to_vec};

    fn noise<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let mut rng = stream(1, &["cast"]);
        from_vec((0..shape.iter().product()).map(|_| normal(&mut rng) as f32).collect(), shape, &cpu())
    }

    /// Nearest value with 8 bits of mantissa, ties to the even one.
    fn bfloat16(value: f32) -> f32 {
        let bits = value.to_bits();
        f32::from_bits((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF_0000)
    }

    #[test]
    fn every_weight_is_rounded_once() {
        let conv =
            || Conv { weight: noise([4, 3, 3, 3]).into(), bias: Some(noise([4])), stride: [2; 2], padding: [1; 2] };
        let scale = ChannelScale { scale: noise([4]), shift: Some(noise([4])) };
        let dense = || Dense { weight: noise([4, 4]), bias: noise([4, 1]) };
        let pool = AttentionPool {
            embedding: noise([5, 4]),
            query: dense(),
            key: noise([2, 2, 4]),
            value: noise([2, 2, 4]),
            value_bias: noise([4, 1]),
            output: dense(),
        };
        let branches = vec![Network::new(vec![Layer::Conv(conv()), Layer::Scale(scale)]), Network::default()];
        let network = Network::new(vec![
            Layer::Concat(branches),
            Layer::BcosConv(BcosConv::new(noise([4, 7, 1, 1]), 2.0, [1; 2], [0; 2])),
            Layer::AttentionPool(Box::new(pool)),
        ]);
        let there_and_back = network.cast(FloatDType::BF16).cast(FloatDType::F32);
        let (had, has) = (weights(&network), weights(&there_and_back));
        assert!(had.len() == 244 && had != has);
        assert_eq!(had.into_iter().map(bfloat16).collect::<Vec<_>>(), has);
    }

    /// All weights in order.
    fn weights(network: &Network) -> Vec<f32> {
        let of = |layer: &Layer| match layer {
            Layer::Conv(conv) => {
                [to_vec(conv.weight.tensor().clone()), conv.bias.clone().map(to_vec).unwrap_or_default()].concat()
            }
            Layer::BcosConv(conv) => to_vec(conv.weight().clone()),
            Layer::Scale(norm) => {
                [to_vec(norm.scale.clone()), norm.shift.clone().map(to_vec).unwrap_or_default()].concat()
            }
            Layer::Concat(branches) | Layer::Sum(branches) => branches.iter().flat_map(weights).collect(),
            Layer::AttentionPool(pool) => [
                to_vec(pool.embedding.clone()),
                to_vec(pool.query.weight.clone()),
                to_vec(pool.query.bias.clone()),
                to_vec(pool.key.clone()),
                to_vec(pool.value.clone()),
                to_vec(pool.value_bias.clone()),
                to_vec(pool.output.weight.clone()),
                to_vec(pool.output.bias.clone()),
            ]
            .concat(),
            _ => vec![],
        };
        network.layers.iter().flat_map(of).collect()
    }
}
