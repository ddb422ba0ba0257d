//! KernelSHAP over segments.
//!
//! - What: the Shapley values of the segments, by the weighted regression whose weights make it so, under the
//!   condition that they sum to the logit less that of the picture without any segment.
//! - Source: Lundberg & Lee 2017.
//! - Here: coalitions are drawn by the kernel itself, so that each counts once: first their size with probability
//!   proportional to `1 / (s (n - s))`, then its members; each second one is the complement of the one before, which
//!   removes the odd part of the sampling error. A segment that is off shows its mean colour; its
//!   value is shared by its pixels, so that the map keeps the sum.
//! - Cost: `samples` forward passes and one more, shared by all targets and probes; no pull-back.

use features::random::{shuffle, stream, uniform};
use serde::{Deserialize, Serialize};

use crate::{regression::ridge, segment::Segmentation};

/// Settings of the section `[attribute.kernel_shap]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KernelShap {
    /// Coalitions classified.
    pub samples: usize,
    /// About how many segments (quickshift takes no count); with fewer pairs of coalitions than segments the values are
    /// not determined.
    pub segments: usize,
    /// How the picture is cut.
    pub segmentation: Segmentation,
}

impl Default for KernelShap {
    fn default() -> Self {
        Self { samples: 512, segments: 50, segmentation: Segmentation::Slic }
    }
}

/// Which of `count` segments are on (1 or 0) in coalition number `draw`; number 0 has none.
pub fn sample(count: usize, seed: u64, key: &str, draw: usize) -> Vec<f64> {
    if draw == 0 || count < 2 {
        return vec![0.0; count];
    }
    let pair = (draw - 1) / 2;
    let mut rng = stream(seed, &["attribute", "kernel_shap", key, &pair.to_string()]);
    // METHOD: the Shapley kernel (n - 1) / (C(n, s) s (n - s)), summed over the C(n, s) coalitions of size s.
    let weight = |size: usize| 1.0 / (size * (count - size)) as f64;
    let total: f64 = (1..count).map(weight).sum();
    let mut left = uniform(&mut rng) * total;
    let size = (1..count).find(|&size| {
        left -= weight(size);
        left <= 0.0
    });
    let mut order: Vec<usize> = (0..count).collect();
    shuffle(&mut rng, &mut order);
    let mut kept = vec![0.0; count];
    order[..size.unwrap_or(count - 1)].iter().for_each(|&segment| kept[segment] = 1.0);
    if draw.is_multiple_of(2) {
        kept.iter_mut().for_each(|value| *value = 1.0 - *value);
    }
    kept
}

/// Each segment's Shapley value from the logit and those of coalitions 0, 1, ...
// METHOD: the condition sum b = f(x) - f(none) takes out the last value: y - f(none) - z_n (f(x) - f(none)) on z_i - z_n.
pub fn values(samples: &[Vec<f64>], logit: f32, logits: &[f32]) -> Vec<f64> {
    let none = f64::from(logits[0]);
    let whole = f64::from(logit) - none;
    let last = samples[0].len() - 1;
    let rows: Vec<Vec<f64>> =
        samples[1..].iter().map(|kept| kept[..last].iter().map(|z| z - kept[last]).collect()).collect();
    let right: Vec<f64> = samples[1..]
        .iter()
        .zip(&logits[1..])
        .map(|(kept, value)| f64::from(*value) - none - kept[last] * whole)
        .collect();
    let mut values = ridge(&rows, &right, &vec![1.0; rows.len()], 0.0);
    values.push(whole - values.iter().sum::<f64>());
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: the mean gain of a segment over all orders.
    fn shapley(n: usize, f: &dyn Fn(usize) -> f64) -> Vec<f64> {
        let factorial = |k: usize| (1..=k).map(|i| i as f64).product::<f64>();
        let share = |s: usize| factorial(s) * factorial(n - s - 1) / factorial(n);
        (0..n)
            .map(|i| {
                let without = (0..1usize << n).filter(|set| set >> i & 1 == 0);
                without.map(|set| share(set.count_ones() as usize) * (f(set | 1 << i) - f(set))).sum()
            })
            .collect()
    }

    #[test]
    fn many_coalitions_give_shapley_values() {
        let n = 5;
        // A game with pairs and a triple.
        let f = |set: usize| {
            let on = |i: usize| (set >> i & 1) as f64;
            1.0 + 2.0 * on(0) - on(1) + 3.0 * on(0) * on(2) - 2.0 * on(3) * on(4) + 1.5 * on(1) * on(2) * on(4)
        };
        let samples: Vec<Vec<f64>> = (0..20_001).map(|draw| sample(n, 1, "a", draw)).collect();
        let set = |kept: &Vec<f64>| kept.iter().enumerate().map(|(i, z)| (*z as usize) << i).sum::<usize>();
        let logits: Vec<f32> = samples.iter().map(|kept| f(set(kept)) as f32).collect();
        let found = values(&samples, f(31) as f32, &logits);
        for (found, expected) in found.iter().zip(shapley(n, &f)) {
            assert!((found - expected).abs() < 0.03, "{found} {expected}");
        }
        assert!((found.iter().sum::<f64>() - (f(31) - f(0))).abs() < 1e-6);
        for pair in samples[1..].chunks_exact(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| a + b == 1.0));
        }
    }
}
