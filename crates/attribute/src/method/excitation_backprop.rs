//! Excitation backpropagation.
//!
//! - What: the z+ rule in all convolutions, proportional averages and sums; the map is the sum over input channels.
//! - Source: Zhang et al., "Top-down neural attention by excitation backprop", 2016; rules as in Zennit.
//! - Here: it starts with 1, the probability that the walk begins at the target, not with the logit, so a negative
//!   logit does not turn the map round. Biases take their share.
//! - Cost: as LRP's epsilon-plus.

use features::tensor::Tensor;

/// Relevance of the input `[m, c, h, w]` to maps `[m, h, w]`.
pub fn maps(relevance: Tensor<4>) -> Tensor<3> {
    super::lrp::maps(relevance)
}
