//! One attribution map as the metrics see it: a plain slice, and its smoothed positive part.
//!
//! The reference smooths the signed map and clamps afterwards; [`Positive`] is the only way from a map to a metric,
//! so the order cannot be swapped by mistake (clamping first moves the grid pointing game by up to 0.2).

use std::fmt;
use std::sync::OnceLock;

use crate::metric::gini;
use crate::smooth::Smoothing;

/// A signed attribution map: `height * width` values, row-major, borrowed and never changed.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major values, any sign, any scale.
    pub values: &'a [f32],
}

impl<'a> Map<'a> {
    /// A map over `values`; panics when their number is not `height * width`.
    pub fn new(height: usize, width: usize, values: &'a [f32]) -> Self {
        assert_eq!(values.len(), height * width, "a map holds height * width values");
        Self { height, width, values }
    }
}

/// Why a metric has no value for a map; written to the score table in place of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefined {
    /// Nothing is left after clamping at 0. The reference reports 0 here and averages it in; to get its mean, read
    /// such rows as 0.
    NoPositiveMass,
    /// The map holds a NaN or an infinity.
    NotFinite,
    /// No box of the target class covers a pixel of the map.
    NoBox,
    /// The metric compares maps, and there is no other map to compare with.
    NoPeer,
    /// The metric correlates maps, and all pixels of this one, or of all others, are equal.
    Constant,
    /// The score is relative to the confidence in the whole picture, and that is not above 0.
    NoConfidence,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPositiveMass => "no_positive_mass",
            Self::NotFinite => "not_finite",
            Self::NoBox => "no_box",
            Self::NoPeer => "no_peer",
            Self::Constant => "constant",
            Self::NoConfidence => "no_confidence",
        })
    }
}

/// A metric's value, or the reason why there is none.
pub type Score = Result<f64, Undefined>;

/// The positive part of a smoothed map, with at least one positive value.
#[derive(Clone, Debug)]
pub struct Positive {
    height: usize,
    width: usize,
    values: Vec<f32>,
    total: f64,
    rank_sum: OnceLock<f64>,
}

impl Positive {
    /// Smooths `map`, then clamps it at 0.
    // METHOD: P = max(0, smooth(M)); values in f32 as in the reference, their sum in f64.
    pub fn of(map: Map<'_>, smoothing: Smoothing) -> Result<Self, Undefined> {
        if !finite(map.values) {
            return Err(Undefined::NotFinite);
        }
        let mut values = smoothing.apply(map).into_owned();
        // Adding 0 makes 0 of -0, which orders by its bits like the others.
        values.iter_mut().for_each(|value| *value = value.max(0.0) + 0.0);
        let total = sum(&values);
        if total > 0.0 {
            Ok(Self { height: map.height, width: map.width, values, total, rank_sum: OnceLock::new() })
        } else {
            Err(Undefined::NoPositiveMass)
        }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row-major values, none negative.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Sum of all values, above 0.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The largest value, above 0.
    pub fn largest(&self) -> f32 {
        f32::from_bits(self.values.iter().fold(0, |largest, value| largest.max(value.to_bits())))
    }

    /// The smallest value, at least 0.
    pub fn smallest(&self) -> f32 {
        f32::from_bits(self.values.iter().fold(u32::MAX, |smallest, value| smallest.min(value.to_bits())))
    }

    /// What both variants of the Gini index divide, computed when first asked for ([`gini::rank_sum`]).
    pub fn rank_sum(&self) -> f64 {
        *self.rank_sum.get_or_init(|| gini::rank_sum(&self.values))
    }

    /// Share of the total inside rows `top..bottom` and columns `left..right`.
    pub fn share(&self, [top, bottom]: [usize; 2], [left, right]: [usize; 2]) -> f64 {
        let rows = self.values.chunks_exact(self.width).take(bottom).skip(top);
        rows.map(|row| sum(&row[left..right])).sum::<f64>() / self.total
    }
}

/// Whether no value is NaN or infinite. It looks at all values, because a loop that may stop early is not vectorised.
pub fn finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// Partial sums of [`sum`]: as many additions are in flight at once.
const LANES: usize = 8;

/// Sum in f64.
pub fn sum(values: &[f32]) -> f64 {
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|&value| f64::from(value)).sum();
    let mut lanes = [0.0f64; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += f64::from(value));
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamping_follows_smoothing() {
        let values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 25.0, -50.0, 0.0];
        let map = Map::new(3, 3, &values);
        assert_eq!(Positive::of(map, Smoothing::Avg5).expect_err("all windows sum to -1"), Undefined::NoPositiveMass);
        assert_eq!(Positive::of(map, Smoothing::None).expect("one positive value").total(), 25.0);
    }

    #[test]
    fn maps_without_a_score_say_why() {
        let reason =
            |values: &[f32]| Positive::of(Map::new(1, values.len(), values), Smoothing::Avg5).map(|p| p.total());
        assert_eq!(reason(&[0.0; 9]), Err(Undefined::NoPositiveMass));
        assert_eq!(reason(&[-1.0; 9]), Err(Undefined::NoPositiveMass));
        assert_eq!(reason(&[1.0, f32::NAN]), Err(Undefined::NotFinite));
        assert_eq!(reason(&[1.0, f32::NEG_INFINITY]), Err(Undefined::NotFinite));
    }

    #[test]
    fn shares_of_a_partition_sum_to_one() {
        let values: Vec<f32> = (0..35).map(|i| i as f32 - 3.0).collect();
        let positive = Positive::of(Map::new(5, 7, &values), Smoothing::None).expect("positive values");
        let parts = [([0, 2], [0, 7]), ([2, 5], [0, 3]), ([2, 5], [3, 7])];
        let total: f64 = parts.iter().map(|&(rows, columns)| positive.share(rows, columns)).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
}
