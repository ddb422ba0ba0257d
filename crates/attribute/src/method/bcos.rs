//! The B-cos explanation.
//!
//! - What: `M(p) = sum over channels of x_c(p) * W(x)_c(p)`, where `W(x)` is the one linear map that the network is
//!   at `x`: the gradient with all B-cos scales held constant.
//! - Source: Böhle, Fritz, Schiele, "B-cos Networks", 2022.
//! - Here: explanation mode is a composite, never a state of the network, so no later map can be affected by it.
//!   The sum of a map is the logit less its offset and less what biases and ReLU-free norms with shifts add; for
//!   bias-free heads it is exact up to the patch norm's 1e-6.
//! - Cost: as [`super::input_x_gradient`], with a composite of its own.

use features::tensor::Tensor;

use crate::batch::times;

/// `input` `[1, c, h, w]` and rows of `W(x)` `[m, c, h, w]` to maps `[m, h, w]`.
// METHOD: W(x) x, summed over channels only.
pub fn maps(input: &Tensor<4>, rows: Tensor<4>) -> Tensor<3> {
    times(rows, input.clone()).sum_dim(1).squeeze_dim(1)
}
