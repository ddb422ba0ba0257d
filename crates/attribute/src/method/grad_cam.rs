//! Grad-CAM.
//!
//! - What: `alpha_k` = mean over positions of `d logit / d A_k`, `M = sum over k of alpha_k A_k`, brought to the
//!   image's size by bilinear interpolation without aligned corners. No ReLU: metrics clip for themselves.
//! - Source: Selvaraju et al. 2017; clipping and size as in the published code.
//! - Here: `A` is the backbone's output, the last map after its ReLU. The published code reads the last convolution
//!   before its norm and residual sum, which can turn the sign of a comparison; that is `grad_cam:reference`.
//! - Cost: the head only, and for `grad_cam:reference` what stands behind the convolution; the backbone is not pulled
//!   through.

use burn::tensor::{
    module::interpolate,
    ops::{InterpolateMode, InterpolateOptions},
};
use features::tensor::Tensor;

use crate::batch::times;

/// `features` `[1, c, h', w']` and their `gradients` `[m, c, h', w']` to maps of their size, `[m, h', w']`.
// METHOD: M = sum_k mean_p(g_k) A_k.
pub fn maps(features: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    let shape = gradients.dims();
    let weights = gradients.mean_dim(3).mean_dim(2).expand(shape).mul_scalar(1.0);
    times(weights, features.clone()).sum_dim(1).squeeze_dim(1)
}

/// Bilinear interpolation with half-pixel centres, on the device, for what is multiplied there; maps that are written are
/// enlarged by [`crate::enlarge`].
///
/// burn aligns corners unless told otherwise, which would shift every cell of a grid.
pub fn enlarge(maps: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
    interpolate(maps, size, options)
}

#[cfg(test)]
mod tests {
    use features::tensor::{cpu, from_vec, to_vec};

    use super::*;

    #[test]
    fn enlarging_keeps_half_pixel_centres() {
        // By hand: output centre (i + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25 in input pixels, clamped at the ends.
        let map = from_vec(vec![0.0, 4.0], [1, 1, 1, 2], &cpu());
        assert_eq!(to_vec(enlarge(map, [1, 4])), [0.0, 1.0, 3.0, 4.0]);
        let square = from_vec(vec![0.0, 4.0, 8.0, 12.0], [1, 1, 2, 2], &cpu());
        #[rustfmt::skip]
        let expected = [
            0.0, 1.0, 3.0, 4.0,
            2.0, 3.0, 5.0, 6.0,
            6.0, 7.0, 9.0, 10.0,
            8.0, 9.0, 11.0, 12.0,
        ];
        assert_eq!(to_vec(enlarge(square, [4, 4])), expected);
    }

    #[test]
    fn weights_are_mean_gradients() {
        let features = from_vec(vec![1.0, 2.0, 10.0, 20.0], [1, 2, 1, 2], &cpu());
        // Means 2 and -0.5, so M = 2 * [1, 2] - 0.5 * [10, 20].
        let gradients = from_vec(vec![1.0, 3.0, 0.0, -1.0], [1, 2, 1, 2], &cpu());
        assert_eq!(to_vec(maps(&features, gradients)), [-3.0, -6.0]);
    }
}
