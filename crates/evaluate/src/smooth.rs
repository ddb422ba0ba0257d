//! The smoothing that the reference's evaluation applies to a signed map before it clamps and scores it.
//!
//! Both filters are separable sums in f64 with f32 results. The 5x5 mean adds its five taps directly: a running sum
//! would leave rounding residue behind a steep peak, and residue counts as positive mass.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::map::Map;

/// Side of the map, in pixels, for which the reference's kernel of 129 was chosen: a 3x3 grid of 224-pixel tiles.
const REFERENCE_SIDE: usize = 672;
/// The reference's Gaussian kernel, in pixels.
const REFERENCE_KERNEL: usize = 129;
/// Standard deviations of the Gaussian that fit into its kernel.
const SIGMAS_IN_KERNEL: f64 = 4.0;

/// A filter over a map; the size stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Smoothing {
    /// The map as it is.
    None,
    /// Mean over 5x5 pixels; outside counts as 0 and the divisor is always 25, so borders darken.
    Avg5,
    /// Gaussian with sigma = kernel / 4 over an odd kernel, borders reflected without repeating the edge.
    Gauss {
        /// Width of the kernel in pixels, odd.
        kernel: usize,
    },
}

impl Smoothing {
    /// The Gaussian for a map whose longer side is `side` pixels.
    // METHOD: 129 pixels at 672, else the odd number nearest to 129/672 * side (the larger one on a tie), at least 1:
    // 192 -> 37, 128 -> 25, 448 -> 87. The reference keeps 129 on maps of every size.
    pub fn gauss_for(side: usize) -> Self {
        let half = (REFERENCE_KERNEL * side) as f64 / (2 * REFERENCE_SIDE) as f64;
        Self::Gauss { kernel: 2 * half.floor() as usize + 1 }
    }

    /// The smoothed signed map, row-major, of the same size.
    pub fn apply(self, map: Map<'_>) -> Cow<'_, [f32]> {
        match self {
            Self::None => Cow::Borrowed(map.values),
            Self::Avg5 => Cow::Owned(avg5(map)),
            Self::Gauss { kernel } => Cow::Owned(gaussian(map, kernel)),
        }
    }
}

// METHOD: y = (sum over the 5x5 window, zero outside) / 25 (torch avg_pool2d, stride 1, padding 2).
fn avg5(map: Map<'_>) -> Vec<f32> {
    let (height, width) = (map.height, map.width);
    let mut padded = vec![0.0f64; width + 4];
    // The row sums of the five rows at hand, row y in slot y mod 5; rows outside are 0.
    let mut rows = vec![0.0f64; 5 * width];
    let mut result = vec![0.0f32; height * width];
    for y in 0..height + 2 {
        let out = &mut rows[y % 5 * width..][..width];
        match map.values.get(y * width..(y + 1) * width) {
            Some(row) => widen(row, &mut padded[2..]),
            None => padded.fill(0.0),
        }
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|dx| &padded[dx..][..width]);
        for (x, out) in out.iter_mut().enumerate() {
            *out = (a[x] + e[x]) + (b[x] + d[x]) + c[x];
        }
        let Some(centre) = y.checked_sub(2) else { continue };
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|dy| &rows[(y + dy) % 5 * width..][..width]);
        for (x, out) in result[centre * width..][..width].iter_mut().enumerate() {
            *out = (((a[x] + e[x]) + (b[x] + d[x]) + c[x]) * (1.0 / 25.0)) as f32;
        }
    }
    result
}

// METHOD: y = sum of g(dx) g(dy) x, g(d) = exp(-d^2 / (2 sigma^2)) normalised over the kernel, sigma = kernel / 4,
// reflected borders (torchvision GaussianBlur).
fn gaussian(map: Map<'_>, kernel: usize) -> Vec<f32> {
    let (height, width) = (map.height, map.width);
    let radius = kernel / 2;
    let taps = half_taps(kernel);
    let mut rows = vec![0.0f64; height * width];
    let mut padded = vec![0.0f64; width + 2 * radius];
    for (row, out) in map.values.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (i, value) in padded.iter_mut().enumerate() {
            *value = f64::from(row[reflect(i as isize - radius as isize, width)]);
        }
        accumulate(out, &taps, |d| (&padded[radius - d..][..width], &padded[radius + d..][..width]));
    }
    let mut sums = vec![0.0f64; width];
    let mut result = vec![0.0f32; height * width];
    for (y, out) in result.chunks_exact_mut(width).enumerate() {
        let row = |y: isize| &rows[reflect(y, height) * width..][..width];
        sums.fill(0.0);
        accumulate(&mut sums, &taps, |d| (row(y as isize - d as isize), row(y as isize + d as isize)));
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
    }
    result
}

/// Adds `taps[d] * (before + after)` for each distance `d`, four distances a pass; the centre (`d` = 0) counts once.
fn accumulate<'a>(out: &mut [f64], taps: &[f64], at: impl Fn(usize) -> (&'a [f64], &'a [f64])) {
    let (centre, _) = at(0);
    out.iter_mut().zip(centre).for_each(|(out, &value)| *out += taps[0] * value);
    let mut distance = 1;
    while distance + 3 < taps.len() {
        let [(a, b), (c, d), (e, f), (g, h)] = [0, 1, 2, 3].map(|more| at(distance + more));
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|more| taps[distance + more]);
        let length = out.len();
        let [a, b, c, d, e, f, g, h] = [a, b, c, d, e, f, g, h].map(|row| &row[..length]);
        for (x, out) in out.iter_mut().enumerate() {
            *out += (first * (a[x] + b[x]) + second * (c[x] + d[x])) + (third * (e[x] + f[x]) + fourth * (g[x] + h[x]));
        }
        distance += 4;
    }
    while distance < taps.len() {
        let (a, b) = at(distance);
        out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out += taps[distance] * (a + b));
        distance += 1;
    }
}

/// The normalised Gaussian at distances 0, 1, ..., kernel / 2.
fn half_taps(kernel: usize) -> Vec<f64> {
    let sigma = kernel as f64 / SIGMAS_IN_KERNEL;
    let raw: Vec<f64> = (0..=kernel / 2).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect();
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.into_iter().map(|tap| tap / sum).collect()
}

/// Mirrors an index at both ends without repeating the edge, as often as needed for kernels wider than the map.
fn reflect(index: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let last = length - 1;
    let folded = index.unsigned_abs() % (2 * last);
    folded.min(2 * last - folded)
}

fn widen(from: &[f32], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = f64::from(from));
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Avg5 => f.write_str("avg5"),
            Self::Gauss { kernel } => write!(f, "gauss{kernel}"),
        }
    }
}

impl FromStr for Smoothing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let gauss = || text.strip_prefix("gauss")?.parse().ok().filter(|kernel| kernel % 2 == 1);
        match text {
            "none" => Ok(Self::None),
            "avg5" => Ok(Self::Avg5),
            _ => gauss().map(|kernel| Self::Gauss { kernel }).ok_or_else(|| {
                Error::Usage(format!(
                    "smoothing `{text}` is not known; use none, avg5 or gauss with an odd kernel, such as gauss129"
                ))
            }),
        }
    }
}

impl TryFrom<String> for Smoothing {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Smoothing> for String {
    fn from(smoothing: Smoothing) -> Self {
        smoothing.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::random_map;

    /// The definition, one output pixel at a time.
    fn slow(map: Map<'_>, smoothing: Smoothing) -> Vec<f64> {
        let (h, w) = (map.height as isize, map.width as isize);
        let at = |y: isize, x: isize| f64::from(map.values[(y * w + x) as usize]);
        let pixel = |y: isize, x: isize| -> f64 {
            match smoothing {
                Smoothing::None => at(y, x),
                Smoothing::Avg5 => {
                    let window = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (y + dy, x + dx)));
                    window
                        .filter(|&(y, x)| (0..h).contains(&y) && (0..w).contains(&x))
                        .map(|(y, x)| at(y, x))
                        .sum::<f64>()
                        / 25.0
                }
                Smoothing::Gauss { kernel } => {
                    let (radius, sigma) = (kernel as isize / 2, kernel as f64 / 4.0);
                    let mirror = |i: isize, n: isize| {
                        if i < 0 {
                            -i
                        } else if i >= n {
                            2 * (n - 1) - i
                        } else {
                            i
                        }
                    };
                    let (mut sum, mut weights) = (0.0, 0.0);
                    for dy in -radius..=radius {
                        for dx in -radius..=radius {
                            let weight = (-((dy * dy + dx * dx) as f64) / (2.0 * sigma * sigma)).exp();
                            sum += weight * at(mirror(y + dy, h), mirror(x + dx, w));
                            weights += weight;
                        }
                    }
                    sum / weights
                }
            }
        };
        (0..h).flat_map(|y| (0..w).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
    }

    #[test]
    fn fast_filters_equal_their_definitions() {
        for (case, (h, w)) in [(9, 9), (12, 17), (20, 8), (1, 30), (30, 1)].into_iter().enumerate() {
            let values = random_map(case as u64, h * w);
            let map = Map::new(h, w, &values);
            let widest = (2 * h.min(w)).saturating_sub(1);
            let gausses = [1, 3, 5, 7, 13]
                .into_iter()
                .filter(|&kernel| kernel <= widest)
                .map(|kernel| Smoothing::Gauss { kernel });
            for smoothing in [Smoothing::None, Smoothing::Avg5].into_iter().chain(gausses) {
                for (fast, slow) in smoothing.apply(map).iter().zip(slow(map, smoothing)) {
                    assert!((f64::from(*fast) - slow).abs() < 1e-6, "{smoothing} {h}x{w}: {fast} {slow}");
                }
            }
            assert_eq!(values, random_map(case as u64, h * w), "the caller's map must not change");
        }
    }

    #[test]
    fn a_constant_stays_constant_under_the_gaussian_and_darkens_at_the_border_under_avg5() {
        let map = Map::new(20, 20, &[1.0; 400]);
        assert!(Smoothing::Gauss { kernel: 37 }.apply(map).iter().all(|value| (value - 1.0).abs() < 1e-6));
        let mean = Smoothing::Avg5.apply(map);
        assert_eq!([mean[0], mean[1], mean[2], mean[42]], [9.0 / 25.0, 12.0 / 25.0, 15.0 / 25.0, 1.0]);
    }

    #[test]
    fn avg5_leaves_no_residue_beyond_its_window() {
        let mut values = vec![0.0f32; 400];
        values[0] = 1e20;
        values[1] = 1.1e-7;
        assert!(Smoothing::Avg5.apply(Map::new(20, 20, &values)).iter().skip(4).step_by(20).all(|&value| value == 0.0));
    }

    #[test]
    fn the_kernel_follows_the_side() {
        for (side, kernel) in [(672, 129), (192, 37), (128, 25), (448, 87), (224, 43), (96, 19), (1, 1)] {
            assert_eq!(Smoothing::gauss_for(side), Smoothing::Gauss { kernel }, "side {side}");
            let exact = 129.0 / 672.0 * side as f64;
            assert!((kernel as f64 - exact).abs() <= 1.0, "{kernel} is not the odd number nearest to {exact}");
        }
    }

    #[test]
    fn names_round_trip() {
        for smoothing in [Smoothing::None, Smoothing::Avg5, Smoothing::Gauss { kernel: 129 }, Smoothing::gauss_for(192)]
        {
            assert_eq!(smoothing.to_string().parse::<Smoothing>().unwrap(), smoothing);
        }
        assert_eq!(Smoothing::gauss_for(192).to_string(), "gauss37");
        for wrong in ["gauss", "gauss128", "avg", "avg3", ""] {
            assert!(wrong.parse::<Smoothing>().is_err(), "{wrong}");
        }
    }
}
