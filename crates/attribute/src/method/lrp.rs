//! Layer-wise relevance propagation, by several composites.
//!
//! - What: relevance starts as the target's logit and is handed back by the tables of
//!   [`crate::composite::Composite`]; the map is its sum over input channels.
//!   - `lrp`: epsilon-gamma-box, box rule on pixels and gamma in convolutions.
//!   - `lrp_epsilon`: the epsilon rule in all convolutions (input times gradient, up to biases and averages).
//!   - `lrp_epsilon_plus`: z+ in convolutions, epsilon in heads; `lrp_epsilon_alpha2_beta1`: alpha 2, beta 1 in
//!     convolutions. With `:flat`, `:w_square` or `:z_box` the first convolution has that rule.
//! - Source: Bach et al. 2015; Montavon et al. 2017 and 2019 for rules and composites; constants as in Zennit.
//! - Here: norms are folded into their convolution. In `lrp` the 1x1 convolution of a linear head has the gamma rule
//!   (it is a convolution in the published code too), in the others heads count as dense layers. Residual sums share
//!   relevance, in `lrp:reference` they copy it. B-cos layers of heads count as linear maps with a constant scale and
//!   have the epsilon rule.
//! - Cost: gamma and alpha-beta take about twice the gradient's, less where a ReLU follows: every convolution hands
//!   back through two changed copies. Epsilon and z+ cost what the gradient costs.

use features::{preprocess::Encoding, tensor::Tensor};

/// What relevance starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The target's logit.
    Logit,
    /// 1 at the target.
    One,
}

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
