//! The last convolution of a network, before its norm and before any residual sum: where the reference's Grad-CAM looks.

use features::{
    error::Result,
    network::{Layer, Network, cells, together},
    tensor::Tensor,
};

use crate::{
    composite::Composite,
    plan::{Entry, Plan},
    tape::Tape,
};

/// The way from a network's output to the output of its last convolution, level by level of branches within branches.
#[derive(Debug, Clone)]
pub(super) struct Site {
    levels: Vec<Level>,
    /// Cells on a side where the network runs on each cell of a grid by itself.
    grid: Option<usize>,
}

/// One level of the way.
#[derive(Debug, Clone)]
struct Level {
    /// The layer where the way goes on; the last level's is the convolution.
    layer: usize,
    /// The gradient's plan for the layers behind it.
    behind: Plan,
    into: Into,
}

/// Where the way goes on in a layer.
#[derive(Debug, Clone)]
enum Into {
    /// Nowhere: it is this convolution.
    Convolution(Box<Layer>),
    /// Into the main branch of a sum, whose output has the sum's gradient.
    Main,
    /// Into this branch of several side by side, whose output has the gradient of its own channels.
    Beside(usize),
}

impl Site {
    /// None for a network without a convolution.
    pub(super) fn find(network: &Network) -> Result<Option<Self>> {
        let (network, grid) = match network.layers.as_slice() {
            [Layer::Apart(apart)] => (&apart.network, Some(apart.grid)),
            _ => (network, None),
        };
        let mut levels = Vec::new();
        let found = Self::descend(network, &mut levels)?;
        Ok(found.then(|| {
            levels.reverse();
            Self { levels, grid }
        }))
    }

    /// Pushes the levels of the last convolution, innermost first, and says whether there is one.
    fn descend(network: &Network, levels: &mut Vec<Level>) -> Result<bool> {
        for (layer, of) in network.layers.iter().enumerate().rev() {
            let found = match of {
                Layer::Conv(_) | Layer::BcosConv(_) => Some(Into::Convolution(Box::new(of.clone()))),
                Layer::Sum(branches) => match branches.first() {
                    Some(main) if Self::descend(main, levels)? => Some(Into::Main),
                    _ => None,
                },
                Layer::Concat(branches) => Self::beside(branches, levels)?.map(Into::Beside),
                _ => None,
            };
            if let Some(into) = found {
                let behind = Network::new(network.layers[layer + 1..].to_vec());
                let behind = Plan::bind(&behind, &Composite::Gradient, Entry::Features)?;
                levels.push(Level { layer, behind, into });
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last branch with a convolution.
    fn beside(branches: &[Network], levels: &mut Vec<Level>) -> Result<Option<usize>> {
        for (i, branch) in branches.iter().enumerate().rev() {
            if Self::descend(branch, levels)? {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    /// The convolution's output `[n, ..]` and the gradients there of cotangents `[n * k, ..]` of the network's output.
    pub(super) fn look(&self, tape: &Tape, cotangents: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let Some(grid) = self.grid else { return self.look_at(tape, cotangents) };
        let cells = tape.branches(0).iter().zip(cells(&cotangents, grid));
        let (outputs, gradients) = cells.map(|(tape, cotangents)| self.look_at(tape, cotangents)).unzip();
        (together(outputs, grid), together(gradients, grid))
    }

    fn look_at(&self, tape: &Tape, cotangents: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let (mut tape, mut gradients) = (tape, cotangents);
        let mut output = tape.output().clone();
        for Level { layer, behind, into } in &self.levels {
            gradients = tape.after(*layer).pull_back(behind, gradients);
            let branches = tape.branches(*layer);
            match into {
                // The tape has it with the scale behind it.
                Into::Convolution(convolution) => output = convolution.forward(tape.input_of(*layer).clone()),
                Into::Main => tape = &branches[0],
                &Into::Beside(branch) => {
                    let channels = |tape: &Tape| tape.output().dims()[1];
                    let first = branches[..branch].iter().map(channels).sum();
                    tape = &branches[branch];
                    gradients = gradients.narrow(1, first, channels(tape));
                }
            }
        }
        (output, gradients)
    }
}
