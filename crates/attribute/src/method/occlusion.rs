//! Occlusion.
//!
//! - What: a square window is moved over the picture and shows a baseline instead; a pixel's value is the mean, over
//!   the windows that cover it, of how much the logit falls.
//! - Source: Zeiler & Fergus 2014; the mean over windows as in captum.
//! - Here: windows stand every `stride` pixels and also at the far borders, so every pixel is covered. The baseline is
//!   the picture's mean colour by default, which is a valid input for six channels too.
//! - Cost: one forward pass a window, shared by all targets and probes; no pull-back.

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;

/// Settings of the section `[attribute.occlusion]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Occlusion {
    /// Side of the window in pixels.
    pub window: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// What the window shows.
    pub baseline: Baseline,
}

impl Default for Occlusion {
    fn default() -> Self {
        Self { window: 32, stride: 16, baseline: Baseline::Mean }
    }
}

/// Top and left of every window in a picture of `size` `[rows, columns]`.
pub fn windows(settings: &Occlusion, [rows, columns]: [usize; 2]) -> Vec<[usize; 2]> {
    let places = |length: usize| -> Vec<usize> {
        let last = length.saturating_sub(settings.window);
        let mut places: Vec<usize> = (0..last).step_by(settings.stride).collect();
        places.push(last);
        places
    };
    places(rows).iter().flat_map(|&top| places(columns).into_iter().map(move |left| [top, left])).collect()
}

/// 0 under the window and 1 elsewhere, row-major.
pub fn mask(settings: &Occlusion, [rows, columns]: [usize; 2], [top, left]: [usize; 2]) -> Vec<f32> {
    let mut mask = vec![1.0; rows * columns];
    for row in mask.chunks_exact_mut(columns).skip(top).take(settings.window) {
        row.iter_mut().skip(left).take(settings.window).for_each(|value| *value = 0.0);
    }
    mask
}

/// The map from the logit and the logits under each window.
// METHOD: M(p) = mean over windows that cover p of f(x) - f(x with the window).
pub fn map(settings: &Occlusion, size: [usize; 2], logit: f32, masked: &[f32]) -> Vec<f32> {
    let [rows, columns] = size;
    let (mut sums, mut counts) = (vec![0.0f64; rows * columns], vec![0u32; rows * columns]);
    for (window, value) in windows(settings, size).iter().zip(masked) {
        let fall = f64::from(logit) - f64::from(*value);
        for (p, keep) in mask(settings, size, *window).iter().enumerate() {
            if *keep == 0.0 {
                sums[p] += fall;
                counts[p] += 1;
            }
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_every_pixel() {
        let settings = Occlusion { window: 3, stride: 2, baseline: Baseline::Zero };
        assert_eq!(windows(&settings, [3, 6]), [[0, 0], [0, 2], [0, 3]]);
        // By hand on one row: windows over 0-2, 2-4, 3-5 with falls 1, 2, 6.
        let map = map(&settings, [1, 6], 10.0, &[9.0, 8.0, 4.0]);
        assert_eq!(map, [1.0, 1.0, 1.5, 4.0, 4.0, 6.0]);
    }
}
