//! The B-cos explanation.
//!
//! - What: `M(p) = sum over channels of x_c(p) * W(x)_c(p)`, where `W(x)` is the one linear map that the network is
//!   at `x`: the gradient with all B-cos scales held constant.
//! - Source: Böhle, Fritz, Schiele, "B-cos Networks", 2022.
//! - Here: explanation mode is a composite, never a state of the network, so no later map can be affected by it.
//!   The sum of a map is the logit less its offset and less what biases and ReLU-free norms with shifts add; for
//!   bias-free heads it is exact up to the patch norm's 1e-6.
//! - Cost: as [`super::input_x_gradient`], with a composite of its own.
//! - The coloured picture shows `W(x)` itself: the colour that each pixel's weights point to, as opaque as they are
//!   long, where the pixel speaks for the class. For people to look at, in `attribute show`.

use features::tensor::Tensor;

use crate::batch::times;

/// `input` `[1, c, h, w]` and rows of `W(x)` `[m, c, h, w]` to maps `[m, h, w]`.
// METHOD: W(x) x, summed over channels only.
pub fn maps(input: &Tensor<4>, rows: Tensor<4>) -> Tensor<3> {
    times(rows, input.clone()).sum_dim(1).squeeze_dim(1)
}

/// Side of the window over which opacity is averaged.
const WINDOW: usize = 15;
/// The quantile of opacities that is full.
const FULL: f64 = 0.995;
/// Keeps quotients of zeros 0, and is the opacity of pixels that speak against the class, as in the `bcos` package.
const TINY: f32 = 1e-12;

/// Red, green, blue and opacity of each pixel, 0 to 1, from an `input` `[6, h, w]` of so many `columns` and its row of
/// `W(x)`, both row-major.
// METHOD: colour = w+ / (w+ + inverse w+) of weights in units of the pixel's largest; opacity = mean over 15 x 15 pixels
// of |W(p)| where W(p) x(p) >= 0, zeros outside counted, over its 99.5 % quantile, at most 1 (bcos.gradient_to_image).
pub fn picture(input: &[f32], weights: &[f32], columns: usize) -> Vec<[f32; 4]> {
    let area = input.len() / 6;
    let pixel = |values: &[f32], p: usize| -> [f32; 6] { std::array::from_fn(|c| values[c * area + p]) };
    let strengths: Vec<f64> = (0..area)
        .map(|p| {
            let (x, w) = (pixel(input, p), pixel(weights, p));
            let contribution: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            if contribution < 0.0 { TINY } else { w.iter().map(|w| w * w).sum::<f32>().sqrt() }
        })
        .map(f64::from)
        .collect();
    let opacities = averaged(&strengths, columns);
    let full = quantile(&opacities);
    let colour = |p: usize| {
        let weights = pixel(weights, p);
        let largest = weights.iter().fold(0.0f32, |largest, w| largest.max(w.abs())) + TINY;
        let [r, g, b, not_r, not_g, not_b] = weights.map(|w| (w / largest).max(0.0));
        let [r, g, b] = [(r, not_r), (g, not_g), (b, not_b)].map(|(w, not)| w / (w + not + TINY));
        [r, g, b, (opacities[p] / full).clamp(0.0, 1.0) as f32]
    };
    (0..area).map(colour).collect()
}

/// The mean over the window around each pixel; outside counts as 0.
fn averaged(values: &[f64], columns: usize) -> Vec<f64> {
    let rows = values.len() / columns;
    let near = |at: usize, length: usize| at.saturating_sub(WINDOW / 2)..(at + WINDOW / 2 + 1).min(length);
    let mean = |p: usize| {
        let window = near(p / columns, rows).map(|y| &values[y * columns..][near(p % columns, columns)]);
        window.map(|row| row.iter().sum::<f64>()).sum::<f64>() / (WINDOW * WINDOW) as f64
    };
    (0..values.len()).map(mean).collect()
}

/// The quantile [`FULL`], linear between values.
fn quantile(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = FULL * (sorted.len() - 1) as f64;
    let [low, high] = [place.floor(), place.ceil()].map(|place| sorted[place as usize]);
    low + (high - low) * place.fract()
}
