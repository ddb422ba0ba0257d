//! The last convolution of a network, before its norm and before any residual sum: where the reference's Grad-CAM looks.

use features::{
    error::Result,
    network::{Layer, Network},
    tensor::Tensor,
};

use crate::{
    composite::Composite,
    plan::{Entry, Plan},
    tape::Tape,
};

/// The way from a network's output to the output of its last convolution: at each level of sums within sums, the layer
/// where the way goes on and the gradient's plan for the layers behind it. The last level's layer is the convolution.
#[derive(Debug)]
pub(super) struct Site(Vec<(usize, Plan)>);

impl Site {
    /// None for a network without a convolution.
    pub(super) fn find(network: &Network) -> Result<Option<Self>> {
        let mut levels = Vec::new();
        let found = Self::descend(network, &mut levels)?;
        Ok(found.then(|| {
            levels.reverse();
            Self(levels)
        }))
    }

    /// Pushes the levels of the last convolution, innermost first, and says whether there is one.
    fn descend(network: &Network, levels: &mut Vec<(usize, Plan)>) -> Result<bool> {
        for (i, layer) in network.layers.iter().enumerate().rev() {
            let found = match layer {
                Layer::Conv(_) | Layer::BcosConv(_) => true,
                Layer::Sum(branches) => branches.first().map_or(Ok(false), |main| Self::descend(main, levels))?,
                _ => false,
            };
            if found {
                let behind = Network::new(network.layers[i + 1..].to_vec());
                levels.push((i, Plan::bind(&behind, &Composite::Gradient, Entry::Features)?));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The convolution's output `[n, ..]` and the gradients there of cotangents `[n * k, ..]` of the network's output.
    pub(super) fn look(&self, tape: &Tape, cotangents: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let (mut tape, mut gradients) = (tape, cotangents);
        let mut output = tape.output().clone();
        for (layer, plan) in &self.0 {
            gradients = tape.after(*layer).pull_back(plan, gradients);
            output = tape.output_of(*layer).clone();
            tape = tape.main_branch(*layer).unwrap_or(tape);
        }
        (output, gradients)
    }
}
