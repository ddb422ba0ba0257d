//! Guided backpropagation.
//!
//! - What: the gradient of the logit with every ReLU's cotangent `g` replaced by `max(0, g) * [x > 0]`, summed over
//!   input channels. It is the gradient only; `guided_backprop:times_input` multiplies it by the input first.
//! - Source: Springenberg et al., "Striving for simplicity", 2015.
//! - Here: ReLUs of heads are guided too; a network without ReLU is refused, because the map would be the gradient.
//! - Cost: as [`super::input_x_gradient`], with a composite of its own.

use features::tensor::Tensor;

/// Pulled back `[m, c, h, w]` to maps `[m, h, w]`.
pub fn maps(gradients: Tensor<4>) -> Tensor<3> {
    super::gradient::maps(gradients)
}
