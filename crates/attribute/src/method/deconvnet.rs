//! The deconvnet.
//!
//! - What: the gradient of the logit with every ReLU's cotangent `g` replaced by `max(0, g)`, wherever its input was
//!   positive or not, summed over input channels.
//! - Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
//! - Here: ReLUs of heads too; maximum pools route to their winners ("switches"); a network without ReLU is refused.
//! - Cost: as [`super::input_x_gradient`], with a composite of its own.

use features::tensor::Tensor;

/// Pulled back `[m, c, h, w]` to maps `[m, h, w]`.
pub fn maps(gradients: Tensor<4>) -> Tensor<3> {
    super::gradient::maps(gradients)
}
