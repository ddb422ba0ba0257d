//! The class activation maps that differ from Grad-CAM in how they weigh the features `A` by their gradients `g`.
//!
//! - Grad-CAM++ (Chattopadhay et al. 2018): `M = sum_k w_k A_k`, `w_k = sum_p a_k(p) max(0, g_k(p))`,
//!   `a = g² / (2 g² + (sum_p A) g³)` where `g` is not 0: the closed form that the paper gets from `exp(logit)`.
//! - LayerCAM (Jiang et al. 2021): `M = sum_k max(0, g_k) A_k`.
//! - XGrad-CAM (Fu et al. 2020): `M = sum_k w_k A_k`, `w_k = sum_p A_k g_k / sum_p A_k`.
//! - HiResCAM (Draelos & Carin 2020): `M = sum_k g_k A_k`.
//! - Here: `A` is the backbone's output; maps are enlarged as those of [`super::grad_cam`], without a last ReLU, because
//!   metrics clip for themselves, and without the division by the largest value that other programs add.
//! - Cost: the head only.

use features::tensor::Tensor;

use crate::batch::{positive_part, times};

/// `features` `[1, c, h', w']` and their `gradients` `[m, c, h', w']` to Grad-CAM++ maps `[m, h', w']`.
// METHOD: a = g² / (2 g² + S g³) = 1 / (2 + S g) with S = sum_p A_k; g = 0 has weight 0 through max(0, g).
pub fn grad_cam_plus_plus(features: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    let shape = gradients.dims();
    let sums = features.clone().sum_dim(3).sum_dim(2).expand(features.dims()).mul_scalar(1.0);
    // Features of either sign can bring the denominator to 0, where the weight is not defined: it counts as 0.
    let denominator = times(gradients.clone(), sums).add_scalar(2.0);
    let undefined = denominator.clone().equal_elem(0.0);
    let shares = denominator.recip().mask_fill(undefined, 0.0);
    let weights = (shares * positive_part(gradients)).sum_dim(3).sum_dim(2).expand(shape).mul_scalar(1.0);
    weighted(features, weights)
}

/// The same for LayerCAM.
// METHOD: sum_k max(0, g_k) A_k.
pub fn layer_cam(features: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    weighted(features, positive_part(gradients))
}

/// The same for XGrad-CAM.
// METHOD: w_k = sum_p A_k g_k / sum_p A_k; a channel whose sum is 0 has no weight.
pub fn xgrad_cam(features: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    let shape = gradients.dims();
    let sums = features.clone().sum_dim(3).sum_dim(2);
    let undefined = sums.clone().equal_elem(0.0);
    let shares = sums.recip().mask_fill(undefined, 0.0);
    let moments = times(gradients, features.clone()).sum_dim(3).sum_dim(2);
    weighted(features, times(moments, shares).expand(shape).mul_scalar(1.0))
}

/// The same for HiResCAM.
// METHOD: sum_k g_k A_k.
pub fn hires_cam(features: &Tensor<4>, gradients: Tensor<4>) -> Tensor<3> {
    weighted(features, gradients)
}

fn weighted(features: &Tensor<4>, weights: Tensor<4>) -> Tensor<3> {
    times(weights, features.clone()).sum_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use features::{
        random::{normal, stream},
        tensor::{cpu, from_vec, to_vec},
    };

    use super::*;

    const CHANNELS: usize = 3;
    const PIXELS: usize = 4;

    /// One map by the formula as it is printed, in f64, from `weight(channel, pixel)`.
    fn slow(features: &[f32], weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let pixel = |p: usize| (0..CHANNELS).map(|k| weight(k, p) * f64::from(features[k * PIXELS + p])).sum();
        (0..PIXELS).map(pixel).collect()
    }

    #[track_caller]
    fn compare(got: Tensor<3>, expected: &[Vec<f64>]) {
        let expected: Vec<f64> = expected.concat();
        for (got, expected) in to_vec(got).iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{got} is not {expected}");
        }
    }

    #[test]
    fn weights_are_their_formulas() {
        let mut rng = stream(3, &["cam"]);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| normal(&mut rng) as f32).collect() };
        // Features as after a ReLU, one channel without any.
        let mut a: Vec<f32> = draw(CHANNELS * PIXELS).iter().map(|v| v.max(0.0)).collect();
        a[2 * PIXELS..].fill(0.0);
        let g = draw(2 * CHANNELS * PIXELS);
        let features = from_vec(a.clone(), [1, CHANNELS, 2, 2], &cpu());
        let gradients = from_vec(g.clone(), [2, CHANNELS, 2, 2], &cpu());
        let at = |m: usize, k: usize, p: usize| f64::from(g[(m * CHANNELS + k) * PIXELS + p]);
        let feature = |k: usize, p: usize| f64::from(a[k * PIXELS + p]);
        let sum = |k: usize| (0..PIXELS).map(|p| feature(k, p)).sum::<f64>();
        let plus_plus = |m: usize, k: usize, _: usize| {
            let share = |g: f64| g.powi(2) / (2.0 * g.powi(2) + sum(k) * g.powi(3));
            (0..PIXELS).map(|p| share(at(m, k, p)) * at(m, k, p).max(0.0)).sum::<f64>()
        };
        let moment = |m: usize, k: usize, _: usize| match sum(k) {
            0.0 => 0.0,
            sum => (0..PIXELS).map(|p| feature(k, p) * at(m, k, p)).sum::<f64>() / sum,
        };
        let both = |weight: &dyn Fn(usize, usize, usize) -> f64| -> Vec<Vec<f64>> {
            (0..2).map(|m| slow(&a, |k, p| weight(m, k, p))).collect()
        };
        compare(grad_cam_plus_plus(&features, gradients.clone()), &both(&plus_plus));
        compare(layer_cam(&features, gradients.clone()), &both(&|m, k, p| at(m, k, p).max(0.0)));
        compare(xgrad_cam(&features, gradients.clone()), &both(&moment));
        compare(hires_cam(&features, gradients), &both(&|m, k, p| at(m, k, p)));
    }

    #[test]
    fn grad_cam_plus_plus_keeps_its_weights_where_gradients_are_small() {
        // One channel with A = (1, 2) and g = 1e-3: a = 1 / (2 + 3e-3), the weight 2 g a = 9.985e-4. pytorch-grad-cam
        // adds 1e-6 to 2 g² + S g³ = 2.003e-6 and gets 6.66e-4.
        let features = from_vec(vec![1.0, 2.0], [1, 1, 1, 2], &cpu());
        let gradients = from_vec(vec![1e-3; 2], [1, 1, 1, 2], &cpu());
        let map = to_vec(grad_cam_plus_plus(&features, gradients));
        for (found, expected) in map.iter().zip([9.985e-4, 1.997e-3]) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
        }
    }
}
