//! RISE.
//!
//! - What: `M(p) = sum over masks of f(x * m) m(p) / (masks * probability)`, masks being coarse random grids, enlarged
//!   bilinearly and shifted at random.
//! - Source: Petsiuk et al. 2018.
//! - Here: `f` is the logit; where a mask is not 1 the input goes over to a baseline, by default zeros of the network's
//!   input as in the paper. Masks are keyed by seed, item and number; all targets and probes see the same ones.
//! - Cost: `masks` forward passes, shared by all targets and probes; no pull-back.

use features::random::{below, stream, uniform};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;

/// Settings of the section `[attribute.rise]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rise {
    /// Number of masks.
    pub masks: usize,
    /// Cells on a side of the coarse grid.
    pub cells: usize,
    /// Probability that a cell is kept.
    pub probability: f64,
    /// What is seen where a mask is 0.
    pub baseline: Baseline,
}

impl Default for Rise {
    fn default() -> Self {
        Self { masks: 500, cells: 8, probability: 0.5, baseline: Baseline::Zero }
    }
}

/// Mask number `draw` for a picture of `size` `[rows, columns]`, row-major, values from 0 to 1.
// METHOD: a grid of cells x cells, enlarged by one cell's pixels more than the picture has, cut out at a random offset
// within one cell.
pub fn mask(settings: &Rise, size: [usize; 2], seed: u64, key: &str, draw: usize) -> Vec<f32> {
    let mut rng = stream(seed, &["attribute", "rise", key, &draw.to_string()]);
    let cells = settings.cells;
    let grid: Vec<f64> =
        (0..cells * cells).map(|_| f64::from(u8::from(uniform(&mut rng) < settings.probability))).collect();
    // For each axis: the two cells next to each pixel and the share of the second.
    let mut axis = |length: usize| -> Vec<(usize, usize, f64)> {
        let cell = length.div_ceil(cells);
        let enlarged = ((cells + 1) * cell) as f64;
        let offset = below(&mut rng, cell);
        let place = |pixel: usize| {
            let at = ((pixel + offset) as f64 + 0.5) * cells as f64 / enlarged - 0.5;
            let at = at.clamp(0.0, (cells - 1) as f64);
            (at as usize, (at as usize + 1).min(cells - 1), at.fract())
        };
        (0..length).map(place).collect()
    };
    let (rows, columns) = (axis(size[0]), axis(size[1]));
    let mut mask = Vec::with_capacity(size[0] * size[1]);
    for (top, bottom, down) in &rows {
        for (left, right, across) in &columns {
            let row = |y: usize| grid[y * cells + left] * (1.0 - across) + grid[y * cells + right] * across;
            mask.push((row(*top) * (1.0 - down) + row(*bottom) * down) as f32);
        }
    }
    mask
}

/// The map from the logits under each mask.
pub fn map(settings: &Rise, size: [usize; 2], masked: &[f32], mask: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
    let mut sums = vec![0.0f64; size[0] * size[1]];
    for (draw, value) in masked.iter().enumerate() {
        for (sum, kept) in sums.iter_mut().zip(mask(draw)) {
            *sum += f64::from(*value) * f64::from(kept);
        }
    }
    let all = masked.len() as f64 * settings.probability;
    sums.iter().map(|sum| (sum / all) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_their_mean_and_their_own_draws() {
        let settings = Rise { masks: 400, cells: 4, probability: 0.3, ..Rise::default() };
        let size = [20, 24];
        let masks: Vec<Vec<f32>> = (0..400).map(|draw| mask(&settings, size, 1, "a", draw)).collect();
        assert!(masks.iter().flatten().all(|value| (0.0..=1.0).contains(value)));
        let mean = masks.iter().flatten().map(|value| f64::from(*value)).sum::<f64>() / (400.0 * 480.0);
        // 6400 independent cells, smoothed: the deviation of the mean is about 0.006.
        assert!((mean - 0.3).abs() < 0.02, "{mean}");
        assert_ne!(masks[0], masks[1]);
        assert_ne!(masks[0], mask(&settings, size, 1, "b", 0));
        // All masks the same and the logit 2: M = 2 m / probability.
        let map = map(&settings, size, &[2.0; 400], |_| masks[3].clone());
        for (got, value) in map.iter().zip(&masks[3]) {
            assert!((got - 2.0 * value / 0.3).abs() < 1e-4);
        }
    }
}
