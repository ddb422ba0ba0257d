//! Quickshift (Vedaldi & Soatto 2008) as scikit-image computes it, with the settings of the `lime` package: each pixel
//! hangs on the nearest one of higher density, and trees are segments.
//!
//! Pixels of equal density are told apart by noise. scikit-image draws it from a generator of its own that is always
//! seeded with 42; here it comes from one stream of this workspace, the same for every picture. With equal noise the
//! labels are equal (`tests/parity/quickshift`); where noise decides nothing, they are so anyway.

use features::random::{normal, stream};
use rayon::prelude::*;

use super::{Segments, lab};

/// Width of the density's kernel, in pixels and in Lab units times [`RATIO`].
const KERNEL: f64 = 4.0;
/// The window reaches three widths.
const REACH: usize = 12;
/// Weight of colour against place. No link is longer than 0.2 x 260 Lab units and 17 pixels together, so that the
/// settings' longest link of 200 cuts none.
const RATIO: f64 = 0.2;
/// Deviation of the noise that breaks ties.
const NOISE: f64 = 1e-5;

/// A picture as planes of scaled Lab values.
struct Picture {
    planes: [Vec<f64>; 3],
    rows: usize,
    columns: usize,
}

/// Cuts a picture of `size` with these colours in [0, 1], channel by channel. Colours go to the nearest of 256 levels
/// first, which undoes the rounding of an input that was normalised and brought back.
pub(super) fn quickshift(colours: &[f32], [rows, columns]: [usize; 2]) -> Segments {
    let area = rows * columns;
    let level = |c: usize, p: usize| f64::from((colours[c * area + p] * 255.0).round()) / 255.0;
    let points: Vec<[f64; 3]> = (0..area).map(|p| lab([level(0, p), level(1, p), level(2, p)])).collect();
    let planes = [0, 1, 2].map(|c| points.iter().map(|point| point[c] * RATIO).collect());
    let picture = Picture { planes, rows, columns };
    let mut densities = picture.densities();
    let mut rng = stream(0, &["attribute", "quickshift"]);
    densities.iter_mut().for_each(|density| *density += NOISE * normal(&mut rng));
    numbered(roots(picture.parents(&densities)))
}

impl Picture {
    /// Rows of the window around row `y`.
    fn window(&self, y: usize) -> std::ops::Range<usize> {
        y.saturating_sub(REACH)..(y + REACH + 1).min(self.rows)
    }

    /// Asks about all pairs of a pixel of row `y` and one of row `other`, a column step at a time: `pairs` gets the first
    /// column of the row, the first pixel opposite to it, and the squared distances.
    fn pairs(&self, y: usize, other: usize, mut pairs: impl FnMut(usize, usize, &[f64])) {
        let columns = self.columns;
        let down = (y.abs_diff(other) as f64).powi(2);
        let mut distances = vec![0.0; columns];
        for step in 0..=2 * REACH {
            let first = REACH.saturating_sub(step);
            let last = (columns + REACH).saturating_sub(step).min(columns);
            if first >= last {
                continue;
            }
            let (here, there, length) = (y * columns + first, other * columns + first + step - REACH, last - first);
            let [[l, a, b], [l2, a2, b2]] =
                [here, there].map(|start| [0, 1, 2].map(|plane: usize| &self.planes[plane][start..][..length]));
            let across = (step.abs_diff(REACH) as f64).powi(2);
            // The order of additions is scikit-image's: colours, rows, columns.
            for (i, distance) in distances[..length].iter_mut().enumerate() {
                let [l, a, b] = [l[i] - l2[i], a[i] - a2[i], b[i] - b2[i]];
                *distance = l * l + a * a + b * b + down + across;
            }
            pairs(first, there, &distances[..length]);
        }
    }

    // METHOD: E(p) = sum over the window of exp(-|p - q|² / (2 kernel²)), q in (ratio Lab, row, column).
    fn densities(&self) -> Vec<f64> {
        let mut densities = vec![0.0; self.rows * self.columns];
        densities.par_chunks_exact_mut(self.columns).enumerate().for_each(|(y, densities)| {
            for other in self.window(y) {
                self.pairs(y, other, |first, _, distances| {
                    for (density, distance) in densities[first..].iter_mut().zip(distances) {
                        *density += exp(distance * (-0.5 / (KERNEL * KERNEL)));
                    }
                });
            }
        });
        densities
    }

    // METHOD: the parent of p is the nearest q of the window with E(q) > E(p), the first of equals, or p itself.
    fn parents(&self, densities: &[f64]) -> Vec<usize> {
        let mut parents: Vec<usize> = (0..densities.len()).collect();
        parents.par_chunks_exact_mut(self.columns).enumerate().for_each(|(y, parents)| {
            let own = &densities[y * self.columns..][..self.columns];
            let mut nearest = vec![f64::INFINITY; self.columns];
            for other in self.window(y) {
                self.pairs(y, other, |first, there, distances| {
                    let denser = &densities[there..][..distances.len()];
                    let (own, nearest) = (&own[first..], &mut nearest[first..]);
                    let parents = &mut parents[first..];
                    for (i, &distance) in distances.iter().enumerate() {
                        if denser[i] > own[i] && distance < nearest[i] {
                            nearest[i] = distance;
                            parents[i] = there + i;
                        }
                    }
                });
            }
        });
        parents
    }
}

/// Follows parents to the roots of all trees.
fn roots(mut parents: Vec<usize>) -> Vec<usize> {
    loop {
        let further: Vec<usize> = parents.iter().map(|&parent| parents[parent]).collect();
        if further == parents {
            return parents;
        }
        parents = further;
    }
}

/// Segments numbered in the order of their roots.
fn numbered(roots: Vec<usize>) -> Segments {
    let mut numbers = vec![0; roots.len()];
    let mut count = 0;
    for (pixel, &root) in roots.iter().enumerate() {
        if root == pixel {
            numbers[pixel] = count;
            count += 1;
        }
    }
    Segments { labels: roots.into_iter().map(|root| numbers[root]).collect(), count }
}

/// `exp(x)` for `x` from -700 to 0 within two units in the last place, without branches, so that loops over it are
/// vectorised: 290 million of them are a picture of 672 x 672 pixels.
// METHOD: x = n ln 2 + r, exp(r) by its Taylor polynomial of degree 12, times 2^n.
#[inline]
#[expect(clippy::excessive_precision, reason = "ln 2 in two pieces")]
fn exp(x: f64) -> f64 {
    /// 1.5 x 2^52: a sum with it has the integer next to the other summand in its low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2: [f64; 2] = [6.931_471_803_691_238_16e-1, 1.908_214_929_270_587_70e-10];
    const FACTORS: [f64; 11] = [
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        1.0 / 2.0,
        1.0,
    ];
    let shifted = x.max(-700.0) * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x.max(-700.0) - n * LN_2[0] - n * LN_2[1];
    let mut sum = 1.0 / 479_001_600.0;
    for factor in FACTORS {
        sum = sum * r + factor;
    }
    (sum * r + 1.0) * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact() {
        for i in 0..=7000 {
            let x = -0.1 * f64::from(i) * 0.999;
            assert!((exp(x) / x.exp() - 1.0).abs() < 5e-16, "{x}: {} {}", exp(x), x.exp());
        }
        assert_eq!(exp(0.0), 1.0);
    }

    /// The published formula, pixel by pixel.
    #[test]
    fn segments_are_the_trees_of_the_formula() {
        let (rows, columns) = (44, 71);
        let area = rows * columns;
        let mut rng = stream(3, &["quickshift"]);
        let blob = |p: usize| (p / columns / 15 + p % columns / 17) % 2;
        let colours: Vec<f32> = (0..3 * area)
            .map(|i| ((60 + 140 * blob(i % area)) as f64 + 4.0 * normal(&mut rng)).round() as f32 / 255.0)
            .collect();
        let point = |p: usize| {
            let [l, a, b] = lab([0, 1, 2].map(|c| f64::from((colours[c * area + p] * 255.0).round()) / 255.0));
            [0.2 * l, 0.2 * a, 0.2 * b, (p / columns) as f64, (p % columns) as f64]
        };
        let points: Vec<[f64; 5]> = (0..area).map(point).collect();
        let distance = |p: usize, q: usize| (0..5).map(|i| (points[p][i] - points[q][i]).powi(2)).sum::<f64>();
        let near = |p: usize, q: usize| (3..5).all(|place| (points[p][place] - points[q][place]).abs() <= 12.0);
        let mut noise = stream(0, &["attribute", "quickshift"]);
        let densities: Vec<f64> = (0..area)
            .map(|p| {
                let sum = (0..area).filter(|&q| near(p, q)).map(|q| (-distance(p, q) / 32.0).exp()).sum::<f64>();
                sum + 1e-5 * normal(&mut noise)
            })
            .collect();
        let parent = |p: usize| {
            let denser = (0..area).filter(|&q| near(p, q) && densities[q] > densities[p]);
            denser.min_by(|&a, &b| distance(p, a).total_cmp(&distance(p, b))).unwrap_or(p)
        };
        let parents: Vec<usize> = (0..area).map(parent).collect();
        let root = |mut p: usize| {
            while parents[p] != p {
                p = parents[p];
            }
            p
        };
        let roots: Vec<usize> = (0..area).map(root).collect();
        let found = quickshift(&colours, [rows, columns]);
        assert!((5..60).contains(&found.count), "{}", found.count);
        for p in 0..area {
            for q in [0, p.saturating_sub(1), p.saturating_sub(columns)] {
                assert_eq!(found.labels[p] == found.labels[q], roots[p] == roots[q], "{p} and {q}");
            }
        }
    }
}
