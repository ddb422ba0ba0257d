//! How alike two maps of one picture are, signs included and whatever their scale.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::map::{Map, Score, Undefined, finite};
use crate::metric::agreement::{Moments, scores};

/// A measure of similarity, 1 for equal maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Pearson correlation of values.
    Pearson,
    /// Pearson correlation of ranks; equal values share the mean of their ranks.
    Spearman,
    /// Mean structural similarity of maps that are divided by their largest magnitude.
    Ssim,
}

/// Side of the windows of [`Similarity::Ssim`], as in scikit-image; smaller maps are one window across.
const WINDOW: usize = 7;
/// From the smallest to the largest value that a divided map may have.
const RANGE: f64 = 2.0;

impl Similarity {
    /// All measures, in the order of variants.
    pub const ALL: [Self; 3] = [Self::Pearson, Self::Spearman, Self::Ssim];

    /// Name in settings and variants.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Ssim => "ssim",
        }
    }

    /// Similarity of two maps of one size; panics where sizes differ.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`], or [`Undefined::Constant`] where all pixels of a map are equal; for [`Self::Ssim`] only where
    /// all are 0.
    pub fn of(self, a: Map<'_>, b: Map<'_>) -> Score {
        assert_eq!((a.height, a.width), (b.height, b.width), "two maps of one picture");
        if !finite(a.values) || !finite(b.values) {
            return Err(Undefined::NotFinite);
        }
        match self {
            Self::Pearson => pearson(a.values, b.values),
            Self::Spearman => pearson(&ranks(a.values), &ranks(b.values)),
            Self::Ssim => ssim(a, b),
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn pearson(a: &[f32], b: &[f32]) -> Score {
    // What a random network gives may be too small to be squared.
    let (a, b) = (divided(a)?, divided(b)?);
    let both = [a.as_slice(), b.as_slice()].map(|map| (map, Moments::of(map)));
    scores(&both)[0]
}

/// A map divided by its largest magnitude.
fn divided(map: &[f32]) -> Result<Vec<f32>, Undefined> {
    let largest = map.iter().fold(0f32, |most, value| most.max(value.abs()));
    if largest > 0.0 { Ok(map.iter().map(|value| value / largest).collect()) } else { Err(Undefined::Constant) }
}

/// Rank of each value from 1.
// METHOD: scipy.stats.rankdata(method="average"). Halves of ranks are exact in f32 up to 2^23 pixels.
fn ranks(map: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_unstable_by(|&a, &b| map[a].total_cmp(&map[b]));
    let mut ranks = vec![0.0; map.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| map[a] == map[b]) {
        let rank = before as f32 + (equal.len() as f32 + 1.0) / 2.0;
        equal.iter().for_each(|&at| ranks[at] = rank);
        before += equal.len();
    }
    ranks
}

/// Sums of a table over all rectangles from its corner; one row and column more than the table.
struct Sums {
    width: usize,
    sums: Vec<f64>,
}

impl Sums {
    fn of(width: usize, values: impl Iterator<Item = f64>) -> Self {
        let mut sums = vec![0.0; width + 1];
        let mut row = 0.0;
        for (at, value) in values.enumerate() {
            if at % width == 0 {
                sums.push(0.0);
                row = 0.0;
            }
            row += value;
            sums.push(sums[sums.len() - width - 1] + row);
        }
        Self { width: width + 1, sums }
    }

    fn window(&self, (top, left): (usize, usize), (rows, columns): (usize, usize)) -> f64 {
        let at = |y: usize, x: usize| self.sums[y * self.width + x];
        let (bottom, right) = (top + rows, left + columns);
        at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    }
}

// METHOD: Wang et al. 2004 as scikit-image computes it by default: a uniform window, K1 0.01, K2 0.03, covariances of
// samples (n - 1), mean over all windows that lie inside. Adebayo et al. bring maps to one range, signs kept, before.
fn ssim(a: Map<'_>, b: Map<'_>) -> Score {
    let (c1, c2) = ((0.01 * RANGE).powi(2), (0.03 * RANGE).powi(2));
    let (x, y) = (divided(a.values)?, divided(b.values)?);
    let sums =
        |f: &dyn Fn(f64, f64) -> f64| Sums::of(a.width, x.iter().zip(&y).map(|(&x, &y)| f(f64::from(x), f64::from(y))));
    let all = [sums(&|x, _| x), sums(&|_, y| y), sums(&|x, _| x * x), sums(&|_, y| y * y), sums(&|x, y| x * y)];
    let size = (WINDOW.min(a.height), WINDOW.min(a.width));
    let n = (size.0 * size.1) as f64;
    let sample = n / (n - 1.0).max(1.0);
    let (mut total, mut count) = (0.0, 0.0);
    for top in 0..=a.height - size.0 {
        for left in 0..=a.width - size.1 {
            let [x, y, xx, yy, xy] = all.each_ref().map(|sums| sums.window((top, left), size) / n);
            let [vx, vy, vxy] = [xx - x * x, yy - y * y, xy - x * y].map(|value| sample * value);
            total += (2.0 * x * y + c1) * (2.0 * vxy + c2) / ((x * x + y * y + c1) * (vx + vy + c2));
            count += 1.0;
        }
    }
    Ok(total / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::random_map;

    const SIDE: usize = 16;

    fn similar(how: Similarity, a: &[f32], b: &[f32]) -> Score {
        how.of(Map::new(SIDE, a.len() / SIDE, a), Map::new(SIDE, b.len() / SIDE, b))
    }

    #[test]
    fn equal_maps_are_alike_whatever_their_scale() {
        let map = random_map(1, SIDE * SIDE);
        let faint: Vec<f32> = map.iter().map(|value| 1e-30 * value).collect();
        let other = random_map(2, SIDE * SIDE);
        for how in Similarity::ALL {
            assert!((similar(how, &map, &faint).unwrap() - 1.0).abs() < 1e-6, "{how}");
            assert!(similar(how, &map, &other).unwrap().abs() < 0.3, "{how}");
        }
    }

    #[test]
    fn ranks_ignore_what_keeps_the_order() {
        let map = random_map(3, SIDE * SIDE);
        let cubes: Vec<f32> = map.iter().map(|value| value.powi(3)).collect();
        assert!((similar(Similarity::Spearman, &map, &cubes).unwrap() - 1.0).abs() < 1e-9);
        assert!(similar(Similarity::Pearson, &map, &cubes).unwrap() < 0.95);
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
    }

    #[test]
    fn structure_is_that_of_every_window() {
        let (a, b) = (random_map(4, SIDE * SIDE), random_map(5, SIDE * SIDE));
        let (x, y) = (divided(&a).unwrap(), divided(&b).unwrap());
        let mut scores = Vec::new();
        for corner in (0..10).flat_map(|top| (0..10).map(move |left| top * SIDE + left)) {
            let pixels: Vec<(f64, f64)> = (0..49)
                .map(|at| corner + at / 7 * SIDE + at % 7)
                .map(|at| (f64::from(x[at]), f64::from(y[at])))
                .collect();
            let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pixels.iter().map(f).sum::<f64>();
            let (mx, my) = (mean(&|p| p.0) / 49.0, mean(&|p| p.1) / 49.0);
            let vx = mean(&|p| (p.0 - mx).powi(2)) / 48.0;
            let vy = mean(&|p| (p.1 - my).powi(2)) / 48.0;
            let vxy = mean(&|p| (p.0 - mx) * (p.1 - my)) / 48.0;
            let (c1, c2) = (0.0004, 0.0036);
            scores.push((2.0 * mx * my + c1) * (2.0 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2)));
        }
        let expected = scores.iter().sum::<f64>() / 100.0;
        assert!((similar(Similarity::Ssim, &a, &b).unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn what_has_no_structure_says_so() {
        let map = random_map(6, SIDE * SIDE);
        for how in Similarity::ALL {
            assert_eq!(similar(how, &map, &[0.0; SIDE * SIDE]), Err(Undefined::Constant), "{how}");
            assert_eq!(similar(how, &map, &[f32::NAN; SIDE * SIDE]), Err(Undefined::NotFinite), "{how}");
        }
    }
}
