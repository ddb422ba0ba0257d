//! Rules of the B-cos convolution `y = s z`, `z = W x`, `s = |z / n|^(b - 1)`, `n` the norm of the patch.

use features::{
    network::{BcosConv, ChannelScale, Response, times_channels},
    tensor::Tensor,
};

use super::{STABILISER, stabilise};
use crate::{
    linear::LinearMap,
    program::{Op, Program},
    tape::Seen,
};

/// What counts as constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// Nothing: the full gradient.
    Differentiated,
    /// The scale `s`: explanation mode, the layer is the linear map `s W`.
    Constant,
    /// The scale, and the linear map `s W` is then given LRP's epsilon rule.
    ConstantEpsilon,
}

/// A B-cos convolution and what counts as constant in it.
#[derive(Debug, Clone)]
pub struct BcosRule {
    conv: BcosConv,
    map: LinearMap,
    /// `[out]`: the channel scale behind the convolution, which the rule covers too.
    after: Option<Tensor<1>>,
    scaling: Scaling,
}

impl BcosRule {
    /// Normalises the weights once. `after` is the channel scale that follows and is to be covered as well.
    pub fn new(conv: &BcosConv, after: Option<&ChannelScale>, scaling: Scaling) -> Self {
        Self { conv: conv.clone(), map: LinearMap::bcos(conv), after: after.map(|scale| scale.scale.clone()), scaling }
    }

    pub(super) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let size = seen.size();
        let scale = match seen.response {
            Some(Response { response, norm }) => self.conv.scale(response.clone(), norm.clone()),
            None => seen.output.ones_like(),
        };
        match self.scaling {
            Scaling::Constant => {
                program.push(Op::Times(self.followed(scale)));
                program.push(Op::Transpose(self.map.clone(), size));
            }
            // METHOD: LRP-epsilon of the map s W at constant s. Gamma is not defined here: it would favour positive
            // weights of a layer whose rows have norm 1 by definition.
            Scaling::ConstantEpsilon => {
                program.push(Op::Times(self.followed(scale) / stabilise(seen.output.clone(), STABILISER)));
                program.push(Op::Transpose(self.map.clone(), size));
                program.push(Op::Times(seen.input.clone()));
            }
            Scaling::Differentiated => self.gradient(seen, scale, program),
        }
    }

    fn followed(&self, factor: Tensor<4>) -> Tensor<4> {
        match &self.after {
            Some(after) => times_channels(factor, after),
            None => factor,
        }
    }

    // METHOD: dy/dz = s + z ds/dz and dy/dn = z ds/dn. For b = 2, s = |z| / n: dy/dz = 2 s, dy/dn = -s z / n.
    // Otherwise s = (|z| / n + 1e-6)^(b - 1), as the forward pass has it. dn/dx_i = x_i / n within the patch.
    fn gradient(&self, seen: &Seen<'_>, scale: Tensor<4>, program: &mut Program) {
        let (size, b) = (seen.size(), self.conv.b);
        let Some(Response { response, norm }) = seen.response else {
            program.push(Op::Times(self.followed(scale)));
            program.push(Op::Transpose(self.map.clone(), size));
            return;
        };
        // The CPU's backend walks a norm that meets all channels element by element.
        let norm = norm.clone().repeat_dim(1, response.dims()[1]);
        // (b - 1) * (cos + e)^(b - 2) * cos, the relative slope of the scale; equal to (b - 1) s without the 1e-6.
        let slope = if b == 2.0 {
            scale.clone()
        } else {
            let cosine = response.clone().abs() / norm.clone();
            cosine.clone().add_scalar(1e-6).powf_scalar(b - 2.0) * cosine * (b - 1.0)
        };
        let [_, channels, kernel_rows, kernel_columns] = self.conv.weight().dims();
        let mut along_response = Program::default();
        along_response.push(Op::Times(self.followed(scale + slope.clone())));
        along_response.push(Op::Transpose(self.map.clone(), size));
        let mut by_norm = Program::default();
        by_norm.push(Op::Times(self.followed(slope * response.clone()) / norm.powi_scalar(2)));
        let (kernel, stride, padding) = ([kernel_rows, kernel_columns], self.conv.stride, self.conv.padding);
        by_norm.push(Op::Patch { kernel, stride, padding, size, channels });
        by_norm.push(Op::Times(seen.input.clone().neg()));
        program.push(Op::Sum(vec![along_response, by_norm]));
    }
}
