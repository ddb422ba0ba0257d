//! Ablation-CAM.
//!
//! - What: `M = sum_k w_k A_k`; `w_k` is how much the logit falls when channel `k` of the features is 0 everywhere.
//! - Source: Ramaswamy et al. 2020.
//! - Here: the fall is not divided by the logit, which the paper does: it would only change the map's scale, and its
//!   sign where the logit is negative. `A` is the backbone's output, there is no last ReLU.
//! - Cost: one forward pass of the head for each channel; the backbone is not run again.

use features::tensor::{Tensor, from_vec};

/// `features` `[1, c, h', w']` with channels `first..first + count` left out one by one: `[count, c, h', w']`.
pub fn without(features: &Tensor<4>, first: usize, count: usize) -> Tensor<4> {
    let [_, channels, rows, columns] = features.dims();
    let mut left_out = vec![0.0; count * channels];
    (0..count).for_each(|i| left_out[i * channels + first + i] = 1.0);
    let left_out = from_vec(left_out, [count, channels, 1, 1], &features.device()).greater_elem(0.0);
    let left_out = left_out.expand([count, channels, rows, columns]);
    features.clone().repeat_dim(0, count).mask_fill(left_out, 0.0)
}

/// The map at the features' size from their planes, the logit and the logits without each channel.
// METHOD: M = sum_k (f - f without k) A_k.
pub fn map(planes: &[&[f32]], logit: f32, ablated: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0f64; planes.first().map_or(0, |plane| plane.len())];
    for (plane, value) in planes.iter().zip(ablated) {
        let fall = f64::from(logit) - f64::from(*value);
        sums.iter_mut().zip(*plane).for_each(|(sum, value)| *sum += fall * f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use features::tensor::{cpu, to_vec};

    use super::*;

    #[test]
    fn channels_count_by_what_is_lost_without_them() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let features = from_vec(values.clone(), [1, 3, 1, 2], &cpu());
        assert_eq!(to_vec(without(&features, 1, 2)), [1., 2., 0., 0., 5., 6., 1., 2., 3., 4., 0., 0.]);
        // Falls 1, 0 and -2.
        let planes: Vec<&[f32]> = values.chunks_exact(2).collect();
        assert_eq!(map(&planes, 3.0, &[2.0, 3.0, 5.0]), [1.0 - 10.0, 2.0 - 12.0]);
    }
}
