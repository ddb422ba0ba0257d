//! Resizing 8-bit pictures exactly as Pillow does: bilinear or bicubic with antialias, in fixed point.
//!
//! Networks are trained on what Pillow makes of a photograph; other resizers differ from it by one to fifteen levels.

use crate::images::Rgb;

/// Fraction bits of a coefficient.
// METHOD: Pillow, src/libImaging/Resample.c: PRECISION_BITS = 32 - 8 - 2.
const PRECISION: u32 = 22;

/// How source pixels are weighed by their distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -1/2.
    Bicubic,
}

impl Filter {
    /// Distance at which the weight becomes 0.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    // METHOD: bilinear_filter and bicubic_filter of Resample.c.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Bicubic => 0.0,
        }
    }
}

/// The source pixels that make one target pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Taps of each of `target` pixels along an axis of `source` pixels.
// METHOD: precompute_coeffs and normalize_coeffs_8bpc of Resample.c.
fn taps(source: usize, target: usize, filter: Filter) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let one = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        // Casts cut towards zero, as in C, and a negative start becomes 0.
        let reach = filter.support() * stretch;
        let first = (centre - reach + 0.5) as usize;
        let last = ((centre + reach + 0.5) as usize).min(source);
        let raw: Vec<f64> = (first..last).map(|x| filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let total: f64 = raw.iter().sum();
        let fixed = |weight: f64| (0.5f64.copysign(weight) + weight / total * f64::from(1 << PRECISION)) as i32;
        Taps { first, weights: raw.into_iter().map(fixed).collect() }
    };
    (0..target).map(one).collect()
}

/// The weighted sum of bytes, rounded and held within a byte.
fn blend(weights: &[i32], bytes: impl Iterator<Item = u8>) -> u8 {
    let start = 1i64 << (PRECISION - 1);
    let sum = weights.iter().zip(bytes).fold(start, |sum, (&weight, byte)| sum + i64::from(weight) * i64::from(byte));
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// `picture` with `width` x `height` pixels: rows first, then columns, each rounded to bytes. An axis that keeps its
/// size is not touched.
pub fn resize(picture: &Rgb, width: usize, height: usize, filter: Filter) -> Rgb {
    let wide = if picture.width == width { None } else { Some(along_rows(picture, width, filter)) };
    let wide = wide.as_ref().unwrap_or(picture);
    if wide.height == height { wide.clone() } else { along_columns(wide, height, filter) }
}

fn along_rows(picture: &Rgb, width: usize, filter: Filter) -> Rgb {
    let taps = taps(picture.width, width, filter);
    let mut data = Vec::with_capacity(width * picture.height * 3);
    for row in picture.data.chunks_exact(picture.width * 3) {
        for tap in &taps {
            let pixels = &row[tap.first * 3..];
            data.extend((0..3).map(|colour| blend(&tap.weights, pixels.iter().skip(colour).step_by(3).copied())));
        }
    }
    Rgb { width, height: picture.height, data }
}

fn along_columns(picture: &Rgb, height: usize, filter: Filter) -> Rgb {
    let stride = picture.width * 3;
    let mut data = Vec::with_capacity(stride * height);
    let mut sums = vec![0i64; stride];
    for tap in taps(picture.height, height, filter) {
        sums.fill(1 << (PRECISION - 1));
        for (&weight, row) in tap.weights.iter().zip(picture.data[tap.first * stride..].chunks_exact(stride)) {
            let weight = i64::from(weight);
            sums.iter_mut().zip(row).for_each(|(sum, &byte)| *sum += weight * i64::from(byte));
        }
        data.extend(sums.iter().map(|sum| (sum >> PRECISION).clamp(0, 255) as u8));
    }
    Rgb { width: picture.width, height, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_stays_even_and_a_size_that_fits_is_not_touched() {
        let grey = Rgb { width: 7, height: 5, data: vec![93; 105] };
        assert_eq!(resize(&grey, 3, 9, Filter::Bilinear), Rgb { width: 3, height: 9, data: vec![93; 81] });
        let noise = Rgb { width: 7, height: 5, data: (0..105).map(|i| (i * 89 % 251) as u8).collect() };
        assert_eq!(resize(&noise, 7, 5, Filter::Bicubic), noise);
    }

    #[test]
    fn halving_weighs_four_pixels_by_their_distance() {
        let row = Rgb { width: 4, height: 1, data: [0u8, 0, 80, 160].iter().flat_map(|&v| [v; 3]).collect() };
        // Triangle of half-width 2 around 1 and 3: weights 3, 3, 1 of 7, and 1, 3, 3 of 7.
        let expected = [80.0 / 7.0, (3.0 * 80.0 + 3.0 * 160.0) / 7.0].map(|v: f64| v.round() as u8);
        assert_eq!(
            resize(&row, 2, 1, Filter::Bilinear).data,
            expected.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>()
        );
    }
}
