//! Layer-wise relevance propagation, composite epsilon-gamma-box.
//!
//! - What: relevance starts as the target's logit and is handed back by the table of
//!   [`crate::composite::Composite::EpsilonGammaBox`]; the map is its sum over input channels.
//! - Source: Bach et al. 2015; Montavon et al. 2019 for the composite; rules and constants as in Zennit.
//! - Here: norms are folded into their convolution, the 1x1 convolution of a linear head has the gamma rule (it is
//!   a convolution in the published code too), residual sums share relevance (`lrp`) or copy it (`lrp:reference`).
//!   B-cos layers of heads count as linear maps with a constant scale and have the epsilon rule.
//! - Cost: about twice the gradient's: every convolution runs twice forward for each image, once for z > 0 and once
//!   for z < 0, and hands back through both.

use features::{preprocess::Encoding, tensor::Tensor};

/// Relevance at the logits: `seeds` one-hot `[m, classes, 1, 1]`, `logits` `[1, classes, 1, 1]`.
// METHOD: R = logit at the target, 0 elsewhere, so that the relevance of the input sums to the logit.
pub fn start(logits: &Tensor<4>, seeds: Tensor<4>) -> Tensor<4> {
    crate::batch::times(seeds, logits.clone())
}

/// Relevance of the input `[m, c, h, w]` to maps `[m, h, w]`.
pub fn maps(relevance: Tensor<4>) -> Tensor<3> {
    relevance.sum_dim(1).squeeze_dim(1)
}

/// Smallest and largest value of each input channel: what all-black and all-white pixels become.
pub fn bounds(encoding: &Encoding) -> (Vec<f32>, Vec<f32>) {
    match encoding {
        Encoding::Normalised { mean, std } => {
            let of = |pixel: f32| (0..3).map(|c| (pixel - mean[c]) / std[c]).collect();
            (of(0.0), of(1.0))
        }
        Encoding::SixChannel => (vec![0.0; 6], vec![1.0; 6]),
    }
}
