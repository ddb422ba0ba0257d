//! Guided Grad-CAM.
//!
//! - What: the map of [`super::guided_backprop`] times the positive part of the map of [`super::grad_cam`].
//! - Source: Selvaraju et al. 2017, section 3.2.
//! - Here: Grad-CAM is taken at the backbone's output, enlarged and then clipped; captum clips first and enlarges by
//!   nearest neighbours.
//! - Cost: shares the pull-back of guided backpropagation; Grad-CAM needs the head only.

use features::tensor::Tensor;

/// Guided `[m, c, h, w]` and Grad-CAM `[m, h, w]` to maps `[m, h, w]`.
// METHOD: M = guided * max(0, grad_cam).
pub fn maps(guided: Tensor<4>, grad_cam: Tensor<3>) -> Tensor<3> {
    super::guided_backprop::maps(guided) * grad_cam.clamp_min(0.0)
}
