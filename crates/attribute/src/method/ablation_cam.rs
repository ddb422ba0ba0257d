//! Ablation-CAM.
//!
//! - What: `M = sum_k w_k A_k`; `w_k` is how much the logit falls when channel `k` of the features is 0 everywhere.
//! - Source: Ramaswamy et al. 2020.
//! - Here: the fall is not divided by the logit, which the paper does: it would only change the map's scale, and its
//!   sign where the logit is negative. `A` is the backbone's output, there is no last ReLU.
//! - Cost: one forward pass of the head for each channel; the backbone is not run again.

use features::tensor::{Tensor, from_vec, to_vec};

/// `features` `[1, c, h', w']` with channels `first..first + count` left out one by one: `[count, c, h', w']`.
pub fn without(features: &Tensor<4>, first: usize, count: usize) -> Tensor<4> {
    let [_, channels, rows, columns] = features.dims();
    let area = rows * columns;
    let mut values = to_vec(features.clone()).repeat(count);
    for i in 0..count {
        values[(i * channels + first + i) * area..][..area].fill(0.0);
    }
    from_vec(values, [count, channels, rows, columns], &features.device())
}

/// The map at the features' size from the logit and the logits without each channel.
// METHOD: M = sum_k (f - f without k) A_k.
pub fn map(features: &Tensor<4>, logit: f32, ablated: &[f32]) -> Vec<f32> {
    let [_, _, rows, columns] = features.dims();
    let mut sums = vec![0.0f64; rows * columns];
    for (plane, value) in to_vec(features.clone()).chunks_exact(rows * columns).zip(ablated) {
        let fall = f64::from(logit) - f64::from(*value);
        sums.iter_mut().zip(plane).for_each(|(sum, value)| *sum += fall * f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use features::tensor::cpu;

    use super::*;

    #[test]
    fn channels_count_by_what_is_lost_without_them() {
        let features = from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 3, 1, 2], &cpu());
        assert_eq!(to_vec(without(&features, 1, 2)), [1., 2., 0., 0., 5., 6., 1., 2., 3., 4., 0., 0.]);
        // Falls 1, 0 and -2.
        assert_eq!(map(&features, 3.0, &[2.0, 3.0, 5.0]), [1.0 - 10.0, 2.0 - 12.0]);
    }
}
