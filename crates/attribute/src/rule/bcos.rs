//! Rules of the B-cos convolution `y = s z`, `z = W x`, `s = |z / n|^(b - 1)`, `n` the norm of the patch.

use features::{
    network::{BcosConv, ChannelScale, per_channel},
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
    /// `[1, out, 1, 1]`: the channel scale behind the convolution, which the rule covers too.
    after: Option<Tensor<4>>,
    scaling: Scaling,
}

impl BcosRule {
    /// Normalises the weights once. `after` is the channel scale that follows and is to be covered as well.
    pub fn new(conv: &BcosConv, after: Option<&ChannelScale>, scaling: Scaling) -> Self {
        Self {
            conv: conv.clone(),
            map: LinearMap::bcos(conv),
            after: after.map(|scale| per_channel(&scale.scale)),
            scaling,
        }
    }

    pub(super) fn fasten(&self, seen: &Seen<'_>, program: &mut Program) {
        let size = seen.size();
        let response = self.map.apply(seen.input.clone());
        let norm = self.conv.patch_norm(seen.input.clone());
        let scale =
            if self.conv.b == 1.0 { response.ones_like() } else { self.conv.scale(response.clone(), norm.clone()) };
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
            Scaling::Differentiated => self.gradient(seen, response, norm, scale, program),
        }
    }

    fn followed(&self, factor: Tensor<4>) -> Tensor<4> {
        match &self.after {
            Some(after) => factor * after.clone(),
            None => factor,
        }
    }

    // METHOD: dy/dz = s + z ds/dz and dy/dn = z ds/dn. For b = 2, s = |z| / n: dy/dz = 2 s, dy/dn = -s z / n.
    // Otherwise s = (|z| / n + 1e-6)^(b - 1), as the forward pass has it. dn/dx_i = x_i / n within the patch.
    fn gradient(&self, seen: &Seen<'_>, response: Tensor<4>, norm: Tensor<4>, scale: Tensor<4>, program: &mut Program) {
        let size = seen.size();
        let b = self.conv.b;
        if b == 1.0 {
            program.push(Op::Times(self.followed(scale)));
            program.push(Op::Transpose(self.map.clone(), size));
            return;
        }
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
        by_norm.push(Op::Times(self.followed(slope * response) / norm.powi_scalar(2)));
        let (kernel, stride, padding) = ([kernel_rows, kernel_columns], self.conv.stride, self.conv.padding);
        by_norm.push(Op::Patch { kernel, stride, padding, size, channels });
        by_norm.push(Op::Times(seen.input.clone().neg()));
        program.push(Op::Sum(vec![along_response, by_norm]));
    }
}
