//! A curve over the share of pixels removed, and its area.

use crate::map::{Score, Undefined};

/// Confidence over the share of pixels removed, from the whole picture (0) to the baseline (1).
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// A curve through `points` (share removed, confidence), which begin at 0, end at 1 and ascend.
    ///
    /// Panics when they do not.
    pub fn new(points: Vec<(f64, f64)>) -> Self {
        let ends = points.first().zip(points.last()).map(|(first, last)| (first.0, last.0));
        assert_eq!(ends, Some((0.0, 1.0)), "a curve has both its ends");
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "shares ascend");
        Self { points }
    }

    /// Share removed and confidence, ascending.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// Confidence in the whole picture.
    pub fn start(&self) -> f64 {
        self.points[0].1
    }

    /// The curve with values divided by the first one.
    ///
    /// # Errors
    /// [`Undefined::NoConfidence`] where that is not above 0, [`Undefined::NotFinite`] where a value is not finite.
    pub fn relative(&self) -> Result<Self, Undefined> {
        let start = self.start();
        let points = self.points.iter().map(|&(share, value)| Ok((share, relative(value, start)?)));
        Ok(Self { points: points.collect::<Result<_, Undefined>>()? })
    }

    /// Area under the curve.
    // METHOD: sum of (x_i+1 - x_i) (y_i + y_i+1) / 2 over the true shares x, so it depends neither on the number of steps
    // nor on equal ones; Quantus sums with steps of 1 and leaves out the first point.
    pub fn area(&self) -> f64 {
        self.points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
    }
}

/// A confidence as a share of that in the whole picture.
///
/// # Errors
/// As [`Curve::relative`].
pub fn relative(value: f64, start: f64) -> Score {
    match (value.is_finite() && start.is_finite(), start > 0.0) {
        (false, _) => Err(Undefined::NotFinite),
        (true, false) => Err(Undefined::NoConfidence),
        (true, true) => Ok(value / start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_trapezia() {
        // By hand, with unequal steps: 0.25 * (1 + 0.5) / 2 + 0.75 * (0.5 + 0) / 2.
        let curve = Curve::new(vec![(0.0, 1.0), (0.25, 0.5), (1.0, 0.0)]);
        assert_eq!(curve.area(), 0.375);
        // A straight line has one area, however many points it has.
        for steps in [1, 2, 7, 100] {
            let line = |at: usize| at as f64 / steps as f64;
            let curve = Curve::new((0..=steps).map(|at| (line(at), 1.0 - line(at))).collect());
            assert!((curve.area() - 0.5).abs() < 1e-12);
        }
    }

    #[test]
    fn a_relative_curve_starts_at_one_or_says_why_not() {
        let curve = |start: f64| Curve::new(vec![(0.0, start), (1.0, 0.25)]);
        assert_eq!(curve(0.5).relative().unwrap().points(), [(0.0, 1.0), (1.0, 0.5)]);
        assert_eq!(curve(0.5).relative().unwrap().area(), 0.75);
        assert_eq!(curve(0.0).relative(), Err(Undefined::NoConfidence));
        assert_eq!(curve(-1.0).relative(), Err(Undefined::NoConfidence));
        assert_eq!(curve(f64::INFINITY).relative(), Err(Undefined::NotFinite));
    }

    #[test]
    #[should_panic(expected = "both its ends")]
    fn a_curve_without_its_start_is_refused() {
        Curve::new(vec![(0.5, 1.0), (1.0, 0.0)]);
    }
}
