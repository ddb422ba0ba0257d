//! Segments: the pieces of a picture that LIME and KernelSHAP switch on and off.

mod quickshift;

use features::tensor::{Tensor, from_vec, to_vec};
use serde::{Deserialize, Serialize};

/// How a picture is cut, the number of pieces apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segmentation {
    /// Equal rectangles, as near to squares as the count allows.
    Grid,
    /// SLIC: pieces of one colour that follow edges (Achanta et al. 2012).
    Slic,
    /// Quickshift with the settings of the `lime` package, as the published code has it; the picture alone decides how
    /// many pieces there are.
    Quickshift,
}

/// A picture cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The piece of each pixel, row-major, from 0.
    pub labels: Vec<usize>,
    /// Number of pieces.
    pub count: usize,
}

/// Weight of place against colour, in Lab units: scikit-image's default.
const COMPACTNESS: f64 = 10.0;
/// Rounds of SLIC; it hardly moves after that.
const ROUNDS: usize = 10;

impl Segments {
    /// Cuts a picture of `size` `[rows, columns]` with these colours in [0, 1], channel by channel, into about `count`
    /// pieces; quickshift takes no count.
    pub fn cut(how: Segmentation, colours: &[f32], size: [usize; 2], count: usize) -> Self {
        match how {
            Segmentation::Grid => Self::grid(size, count),
            Segmentation::Slic => slic(colours, size, count),
            Segmentation::Quickshift => quickshift::quickshift(colours, size),
        }
    }

    /// Equal rectangles: as many rows and columns of them as make about `count`.
    fn grid([rows, columns]: [usize; 2], count: usize) -> Self {
        let across = (count as f64 * columns as f64 / rows as f64).sqrt().round().clamp(1.0, columns as f64) as usize;
        let down = (count as f64 / across as f64).round().clamp(1.0, rows as f64) as usize;
        let labels =
            (0..rows * columns).map(|p| p / columns * down / rows * across + p % columns * across / columns).collect();
        Self { labels, count: down * across }
    }

    /// 1 in the pieces that are kept, 0 elsewhere, row-major.
    pub fn mask(&self, kept: &[f64]) -> Vec<f32> {
        self.labels.iter().map(|&label| kept[label] as f32).collect()
    }

    /// The image `[1, c, h, w]` with every piece in its mean colour, which is a valid input for six channels too.
    pub fn means(&self, image: &Tensor<4>) -> Tensor<4> {
        let shape = image.dims();
        let plane = |plane: &[f32]| -> Vec<f32> {
            let (mut sums, mut sizes) = (vec![0.0f64; self.count], vec![0usize; self.count]);
            for (value, &label) in plane.iter().zip(&self.labels) {
                sums[label] += f64::from(*value);
                sizes[label] += 1;
            }
            self.labels.iter().map(|&label| (sums[label] / sizes[label] as f64) as f32).collect()
        };
        let values = to_vec(image.clone()).chunks_exact(self.labels.len()).flat_map(plane).collect();
        from_vec(values, shape, &image.device())
    }
}

/// A place in colour and picture: L, a, b, row, column.
type Point = [f64; 5];

// METHOD: k-means in (Lab, row, column) with place weighed by compactness / step, each centre looking two steps far;
// then pieces that are not connected, or smaller than a quarter of a cell, go to a neighbour.
fn slic(colours: &[f32], size: [usize; 2], count: usize) -> Segments {
    let [rows, columns] = size;
    let area = rows * columns;
    let channel = |c: usize, p: usize| f64::from(colours[c * area + p]);
    let points: Vec<Point> = (0..area)
        .map(|p| {
            let [l, a, b] = lab([channel(0, p), channel(1, p), channel(2, p)]);
            [l, a, b, (p / columns) as f64, (p % columns) as f64]
        })
        .collect();
    let start = Segments::grid(size, count);
    let step = (area as f64 / start.count as f64).sqrt();
    let mut labels = start.labels;
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0; 5], 0.0f64); start.count];
        for (point, &label) in points.iter().zip(&labels) {
            sums[label].0.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
            sums[label].1 += 1.0;
        }
        let mut nearest = vec![f64::INFINITY; area];
        let reach = |at: f64, length: usize| {
            let near = (at - 2.0 * step).max(0.0) as usize;
            near..((at + 2.0 * step) as usize + 1).min(length)
        };
        for (label, (sum, size)) in sums.iter().enumerate().filter(|(_, (_, size))| *size > 0.0) {
            let centre = sum.map(|value| value / size);
            for y in reach(centre[3], rows) {
                for x in reach(centre[4], columns) {
                    let p = y * columns + x;
                    let distance = distance(&points[p], &centre, COMPACTNESS / step);
                    if distance < nearest[p] {
                        nearest[p] = distance;
                        labels[p] = label;
                    }
                }
            }
        }
    }
    connected(&labels, columns, (step * step / 4.0) as usize)
}

fn distance(a: &Point, b: &Point, weight: f64) -> f64 {
    let square = |i: usize| (a[i] - b[i]).powi(2);
    square(0) + square(1) + square(2) + weight * weight * (square(3) + square(4))
}

/// Numbers connected pieces anew; those of less than `smallest` pixels join the piece before them.
fn connected(labels: &[usize], columns: usize, smallest: usize) -> Segments {
    let mut found = vec![usize::MAX; labels.len()];
    let mut count = 0;
    for start in 0..labels.len() {
        if found[start] != usize::MAX {
            continue;
        }
        let before = if start % columns > 0 { start - 1 } else { start.saturating_sub(columns) };
        let mut piece = vec![start];
        found[start] = count;
        let mut next = 0;
        while next < piece.len() {
            let p = piece[next];
            next += 1;
            let sides = [
                (p % columns > 0).then(|| p - 1),
                (p % columns + 1 < columns).then_some(p + 1),
                p.checked_sub(columns),
                (p + columns < labels.len()).then_some(p + columns),
            ];
            for q in sides.into_iter().flatten() {
                if found[q] == usize::MAX && labels[q] == labels[p] {
                    found[q] = count;
                    piece.push(q);
                }
            }
        }
        if piece.len() < smallest && start > 0 {
            let joined = found[before];
            piece.iter().for_each(|&p| found[p] = joined);
        } else {
            count += 1;
        }
    }
    Segments { labels: found, count }
}

/// sRGB in [0, 1] to CIE Lab, white point D65 of 2 degrees, with the constants of scikit-image.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| if v > 0.04045 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 });
    let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = f((0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047);
    let y = f(0.212671 * r + 0.715160 * g + 0.072169 * b);
    let z = f((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use features::tensor::cpu;

    use super::*;

    #[test]
    fn a_grid_has_equal_pieces() {
        let segments = Segments::grid([6, 9], 6);
        assert_eq!(segments.count, 6);
        for label in 0..6 {
            assert_eq!(segments.labels.iter().filter(|&&l| l == label).count(), 9);
        }
        assert_eq!(segments.labels[8], 2);
        assert_eq!(segments.mask(&[1.0, 0.0, 1.0, 0.0, 0.0, 0.0])[..9], [1., 1., 1., 0., 0., 0., 1., 1., 1.]);
    }

    #[test]
    fn slic_follows_an_edge() {
        let (rows, columns) = (40, 40);
        // A red disc on green that no grid line follows.
        let inside = |p: usize| (p / columns).abs_diff(17).pow(2) + (p % columns).abs_diff(22).pow(2) < 90;
        let colours: Vec<f32> = (0..3 * rows * columns)
            .map(|i| match (i / (rows * columns), inside(i % (rows * columns))) {
                (0, true) | (1, false) => 0.9,
                _ => 0.1,
            })
            .collect();
        let segments = Segments::cut(Segmentation::Slic, &colours, [rows, columns], 25);
        assert!((10..40).contains(&segments.count), "{}", segments.count);
        let mixed = (0..segments.count).filter(|&label| {
            let of = |red: bool| (0..rows * columns).any(|p| segments.labels[p] == label && inside(p) == red);
            of(true) && of(false)
        });
        assert_eq!(mixed.count(), 0);
        assert!(segments.labels.iter().all(|&label| label < segments.count));
        assert_eq!(segments, Segments::cut(Segmentation::Slic, &colours, [rows, columns], 25));
    }

    #[test]
    fn means_are_of_each_piece() {
        let segments = Segments { labels: vec![0, 0, 1, 1], count: 2 };
        let image = from_vec(vec![1.0, 3.0, 5.0, 5.0, 0.0, 1.0, 2.0, 4.0], [1, 2, 2, 2], &cpu());
        assert_eq!(to_vec(segments.means(&image)), [2.0, 2.0, 5.0, 5.0, 0.5, 0.5, 3.0, 3.0]);
    }

    #[test]
    fn white_and_red_have_their_known_places() {
        for (rgb, expected) in [([1.0; 3], [100.0, 0.0, 0.0]), ([1.0, 0.0, 0.0], [53.24, 80.09, 67.20])] {
            for (got, expected) in lab(rgb).iter().zip(expected) {
                assert!((got - expected).abs() < 0.02, "{got} {expected}");
            }
        }
    }
}
