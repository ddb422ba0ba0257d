//! Score-CAM.
//!
//! - What: `M = sum_k a_k A_k`; `a` is the softmax over channels of how much the logit rises over that of nothing when
//!   only what channel `k` lights up is seen: the picture times `A_k`, enlarged and brought to [0, 1].
//! - Source: Wang et al. 2020.
//! - Here: `A` is the backbone's output, nothing is zeros of the network's input as in the paper, there is no last
//!   ReLU. A channel that is the same everywhere shows nothing.
//! - Cost: one forward pass for each channel and one more, shared by all targets and probes; no pull-back.

use features::tensor::{Tensor, to_vec};

use super::grad_cam::enlarge;

/// Masks of the channels of `features` `[1, c, h', w']` for a picture of `size`, and one that hides all.
pub fn masks(features: &Tensor<4>, size: [usize; 2]) -> Vec<Vec<f32>> {
    let channels = features.dims()[1];
    let area = size[0] * size[1];
    let mut masks: Vec<Vec<f32>> =
        to_vec(enlarge(features.clone(), size)).chunks_exact(area).map(<[f32]>::to_vec).collect();
    for mask in &mut masks {
        let (low, high) =
            mask.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        let range = high - low;
        mask.iter_mut().for_each(|value| *value = if range > 0.0 { (*value - low) / range } else { 0.0 });
    }
    debug_assert_eq!(masks.len(), channels);
    masks.push(vec![0.0; area]);
    masks
}

/// The map at the features' size from the logits behind each mask, that of nothing last.
// METHOD: a = softmax over k of f(x * H_k) - f(0), M = sum_k a_k A_k.
pub fn map(features: &Tensor<4>, masked: &[f32]) -> Vec<f32> {
    let [_, channels, rows, columns] = features.dims();
    let rises: Vec<f64> =
        masked[..channels].iter().map(|value| f64::from(*value) - f64::from(masked[channels])).collect();
    let most = rises.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = rises.iter().map(|rise| (rise - most).exp()).sum();
    let mut sums = vec![0.0f64; rows * columns];
    for (plane, rise) in to_vec(features.clone()).chunks_exact(rows * columns).zip(&rises) {
        let weight = (rise - most).exp() / total;
        sums.iter_mut().zip(plane).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use features::tensor::{cpu, from_vec};

    use super::*;

    #[test]
    fn channels_count_by_the_softmax_of_their_rise() {
        let features = from_vec(vec![0.0, 2.0, 1.0, 1.0, 4.0, 2.0], [1, 3, 1, 2], &cpu());
        assert_eq!(masks(&features, [1, 2]), [vec![0.0, 1.0], vec![0.0; 2], vec![1.0, 0.0], vec![0.0; 2]]);
        // Rises ln 3, 0, 0 over the logit of nothing, 5: weights 3/5, 1/5, 1/5.
        let map = map(&features, &[5.0 + 3f32.ln(), 5.0, 5.0, 5.0]);
        for (got, expected) in map.iter().zip([0.2 + 0.8, 1.2 + 0.2 + 0.4]) {
            assert!((got - expected).abs() < 1e-5, "{map:?}");
        }
    }
}
