//! SmoothGrad.
//!
//! - What: the mean over `samples` noisy inputs `x + n` of the gradient, summed over input channels.
//! - Source: Smilkov et al. 2017.
//! - Here: `n` is Gaussian with a deviation of `noise` times the range of the picture's values, as in the paper and
//!   in Zennit (captum's is absolute). Six channels stay a picture and its inverse: the inverse gets minus the noise.
//!   Draws are keyed by seed, item and sample, so a map does not depend on what else is computed.
//! - Cost: `samples` forward passes for each image, shared by all targets and probes, and as many pull-backs.

use features::{
    random::{normal, stream},
    tensor::{Tensor, from_vec, to_vec},
};
use serde::{Deserialize, Serialize};

/// Settings of the section `[attribute.smooth_grad]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothGrad {
    /// Noisy inputs.
    pub samples: usize,
    /// Deviation of the noise in units of the range of the picture's values.
    pub noise: f32,
}

impl Default for SmoothGrad {
    fn default() -> Self {
        Self { samples: 16, noise: 0.15 }
    }
}

/// The deviation of the noise that `image` gets: `noise` times the range of its values.
pub fn deviation(image: &Tensor<4>, noise: f32) -> f64 {
    let range = |(low, high): (f32, f32), value: f32| (low.min(value), high.max(value));
    let (low, high) = to_vec(image.clone()).into_iter().fold((f32::INFINITY, f32::NEG_INFINITY), range);
    f64::from(noise * (high - low))
}

/// Noisy input number `draw` of `image` `[1, 3|6, h, w]`, for the item called `key`.
pub fn noisy(image: &Tensor<4>, deviation: f64, seed: u64, key: &str, draw: usize) -> Tensor<4> {
    let shape @ [_, channels, height, width] = image.dims();
    let mut rng = stream(seed, &["attribute", "smooth_grad", key, &draw.to_string()]);
    let colours = channels.min(3) * height * width;
    let mut noise: Vec<f32> = (0..colours).map(|_| (deviation * normal(&mut rng)) as f32).collect();
    if channels == 6 {
        noise.extend_from_within(..);
        noise[colours..].iter_mut().for_each(|value| *value = -*value);
    }
    image.clone() + from_vec(noise, shape, &image.device())
}

/// The mean of the gradients `[m, c, h, w]` to maps `[m, h, w]`.
pub fn maps(mean: Tensor<4>) -> Tensor<3> {
    super::gradient::maps(mean)
}

#[cfg(test)]
mod tests {
    use features::tensor::cpu;

    use super::*;

    #[test]
    fn noise_has_its_deviation_and_keeps_pairs() {
        let values: Vec<f32> = (0..2 * 3 * 400).map(|i| (i % 400) as f32 / 399.0).collect();
        let image = from_vec(values.clone(), [1, 6, 20, 20], &cpu());
        let draw = |key, draw| to_vec(noisy(&image, deviation(&image, 0.2), 1, key, draw));
        let drawn = draw("a", 0);
        let added: Vec<f64> = drawn.iter().zip(&values).map(|(a, b)| f64::from(a - b)).collect();
        let variance = added[..1200].iter().map(|n| n * n).sum::<f64>() / 1200.0;
        // 1200 draws: the deviation of the estimate is 0.2 / sqrt(2400).
        assert!((variance.sqrt() - 0.2).abs() < 0.02, "{}", variance.sqrt());
        for i in 0..1200 {
            assert!((added[i] + added[1200 + i]).abs() < 1e-6);
        }
        assert_eq!(drawn, draw("a", 0));
        assert_ne!(drawn, draw("a", 1));
        assert_ne!(drawn, draw("b", 0));
    }
}
