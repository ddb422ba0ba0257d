//! LIME over segments.
//!
//! - What: pictures with random segments switched to their mean colour are classified; a ridge regression on which
//!   segments were on, nearer pictures counting more, gives each segment its coefficient.
//! - Source: Ribeiro et al. 2016 with the settings of the `lime` package: each segment on with probability 1/2, the
//!   first picture whole, cosine distance `d`, weights `sqrt(exp(-d² / 0.25²))`, ridge 1 with an intercept.
//! - Here: the logit is regressed on; `lime:softmax` and `lime:sigmoid` take the probability as the published code does
//!   for probes trained with CE and for all others. Segments are cut from the picture itself and not from the
//!   normalised input, by SLIC, a grid, or the package's quickshift. Draws are keyed by seed, item and number.
//! - Cost: `samples` forward passes, shared by all targets and probes; no pull-back.

use features::random::{stream, uniform};
use serde::{Deserialize, Serialize};

use crate::{regression::ridge_with_intercept, segment::Segmentation};

/// Settings of the section `[attribute.lime]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lime {
    /// Pictures classified.
    pub samples: usize,
    /// About how many segments; quickshift takes no count.
    pub segments: usize,
    /// How the picture is cut.
    pub segmentation: Segmentation,
}

impl Default for Lime {
    fn default() -> Self {
        Self { samples: 500, segments: 100, segmentation: Segmentation::Slic }
    }
}

/// Width of the distance kernel.
const KERNEL: f64 = 0.25;
/// Penalty of the regression.
const ALPHA: f64 = 1.0;

/// Which of `count` segments are on (1 or 0) in picture number `draw`.
pub fn sample(count: usize, seed: u64, key: &str, draw: usize) -> Vec<f64> {
    if draw == 0 {
        return vec![1.0; count];
    }
    let mut rng = stream(seed, &["attribute", "lime", key, &draw.to_string()]);
    (0..count).map(|_| if uniform(&mut rng) < 0.5 { 1.0 } else { 0.0 }).collect()
}

/// The probability of `class` by the softmax of all logits.
pub fn softmax(logits: &[f32], class: usize) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|value| f64::from(value - most).exp()).sum();
    (f64::from(logits[class] - most).exp() / total) as f32
}

/// The probability of a logit's class by the sigmoid.
pub fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

// METHOD: d = 1 - cos(z, 1) = 1 - sqrt(on / all), w = sqrt(exp(-d² / 0.25²)); nothing on is at distance 1.
fn weight(sample: &[f64]) -> f64 {
    let distance = 1.0 - (sample.iter().sum::<f64>() / sample.len() as f64).sqrt();
    (-(distance / KERNEL).powi(2)).exp().sqrt()
}

/// Each segment's coefficient.
pub fn coefficients(samples: &[Vec<f64>], answers: &[f32]) -> Vec<f64> {
    let values: Vec<f64> = answers.iter().map(|value| f64::from(*value)).collect();
    let weights: Vec<f64> = samples.iter().map(|sample| weight(sample)).collect();
    ridge_with_intercept(samples, &values, &weights, ALPHA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_over_segments_is_found() {
        let samples: Vec<Vec<f64>> = (0..400).map(|draw| sample(10, 1, "a", draw)).collect();
        let truth: Vec<f64> = (0..10).map(|i| f64::from(i) - 4.0).collect();
        let logit = |sample: &Vec<f64>| sample.iter().zip(&truth).map(|(z, t)| z * t).sum::<f64>() as f32 + 7.0;
        let found = coefficients(&samples, &samples.iter().map(logit).collect::<Vec<_>>());
        // The ridge shrinks a little: 1 against about 400 weights of 0.5 on average and a variance of 1/4.
        for (found, truth) in found.iter().zip(&truth) {
            assert!((found - truth).abs() < 0.05 * (1.0 + truth.abs()), "{found} {truth}");
        }
        assert_eq!(samples[0], vec![1.0; 10]);
        assert_ne!(samples[1], samples[2]);
    }

    #[test]
    fn probabilities_are_of_their_kind() {
        assert!((softmax(&[1.0, 1.0 + 3f32.ln()], 1) - 0.75).abs() < 1e-6);
        assert_eq!(softmax(&[1000.0, 0.0], 0), 1.0);
        assert!((sigmoid(3f32.ln()) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn weights_are_the_packages() {
        // Half of the segments: d = 1 - sqrt(0.5) = 0.29289, w = exp(-d² / 0.125) = 0.50347.
        assert!((weight(&[1.0, 0.0]) - 0.503_47).abs() < 1e-4);
        assert_eq!(weight(&[1.0, 1.0]), 1.0);
    }
}
