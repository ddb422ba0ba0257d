//! The gradient.
//!
//! - What: `M(p) = sum over channels c of d logit / d x_c(p)`, sign kept.
//! - Source: Simonyan et al. 2014; they take the largest magnitude of the channels, which loses the sign.
//! - Here: the full gradient also for B-cos networks. Six channels: the derivative by a colour and by its inverse
//!   are both added, as everywhere in this program.
//! - Cost: shares its pull-back with [`super::input_x_gradient`].

use features::tensor::Tensor;

/// Pulled back `[m, c, h, w]` to maps `[m, h, w]`.
// METHOD: sum_c g_c.
pub fn maps(gradients: Tensor<4>) -> Tensor<3> {
    gradients.sum_dim(1).squeeze_dim(1)
}
