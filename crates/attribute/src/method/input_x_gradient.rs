//! Input times gradient.
//!
//! - What: `M(p) = sum over channels c of x_c(p) * d logit / d x_c(p)`, sign kept, `x` the network's input
//!   (normalised, or six channels).
//! - Source: Shrikumar et al., "Not just a black box", 2016.
//! - Here: the full gradient also for B-cos networks, whose scales are differentiated; holding them constant is
//!   the method [`super::bcos`].
//! - Cost: one pull-back through head and backbone for each target and probe.

use features::tensor::Tensor;

use crate::batch::times;

/// `input` `[1, c, h, w]` and `gradients` `[m, c, h, w]` to maps `[m, h, w]`.
// METHOD: sum_c x_c * g_c.
pub fn maps(input: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    times(gradients, input.clone()).sum_dim(1).squeeze_dim(1)
}
