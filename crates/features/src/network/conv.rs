//! Convolution as plain data: what a checkpoint stores, plus stride and padding.

use super::convolution::{Filter, Finish, Geometry, Spare, convolve, convolve_maps};
use super::cpu::{Maps, plus};
use crate::tensor::Tensor;

/// A 2-D convolution with dilation 1 and one group.
#[derive(Debug, Clone)]
pub struct Conv {
    /// `[out, in, kernel rows, kernel columns]`.
    pub weight: Filter,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros added on each side: rows, columns.
    pub padding: [usize; 2],
}

impl Conv {
    /// A 1x1 convolution: the same linear map at every position.
    pub fn pointwise(weight: Tensor<4>, bias: Option<Tensor<1>>) -> Self {
        Self { weight: weight.into(), bias, stride: [1, 1], padding: [0, 0] }
    }

    /// `[n, in, rows, columns]` to `[n, out, rows', columns']`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, Finish::default())
    }

    /// The convolution and what follows it; its own bias comes first.
    pub fn forward_then<'a>(&'a self, input: Tensor<4>, then: Finish<'a>) -> Tensor<4> {
        let geometry = Geometry { stride: self.stride, padding: self.padding };
        convolve(input, &self.weight, geometry, &Finish { bias: self.bias.as_ref(), ..then })
    }

    /// The same over plain maps, a shortcut being added in front of the floor.
    pub(super) fn on_maps(&self, input: &Maps, then: Finish<'_>, shortcut: Option<&Maps>, spare: &mut Spare) -> Maps {
        let geometry = Geometry { stride: self.stride, padding: self.padding };
        let then = Finish { bias: self.bias.as_ref(), ..then };
        convolve_maps(input, &self.weight, geometry, &then.steps(plus(shortcut)), spare)
    }
}
