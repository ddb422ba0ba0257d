//! Weights from the formula for every tensor that a network asks for, for programs that write backbones.

use features::{
    backbone::{NamedTensor, NamedTensors, Norm, Parameters},
    network::ChannelScale,
    tensor::{Tensor, cpu, from_vec},
};

#[path = "formula.rs"]
#[allow(dead_code, reason = "only weights are needed here")]
mod formula;

/// Notes every tensor that a network asks for and fills it from the formula.
#[derive(Default)]
pub struct Filled(pub NamedTensors);

impl Filled {
    fn note<const D: usize>(&mut self, name: String, shape: [usize; D]) -> Tensor<D> {
        let values = formula::tensor(&name, &shape);
        self.0.insert(name, NamedTensor { shape: shape.to_vec(), values: values.clone() });
        from_vec(values, shape, &cpu())
    }
}

impl Parameters for Filled {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.note(name.to_owned(), shape)
    }

    fn norm(&mut self, name: &str, channels: usize, _norm: Norm) -> ChannelScale {
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|field| self.note(format!("{name}.{field}"), [channels]));
        ChannelScale::batch_norm(gamma, beta, mean, variance)
    }
}
