//! Perturbation metrics: what a probe still says of a picture whose pixels are taken away in the order of a map.
//!
//! - What: pixels are put in the order of the map and replaced by a baseline, a growing share of them; the curve of the
//!   target's confidence over the share removed is kept, and its area is the score. With the least important pixels
//!   first a good map keeps the confidence (flat curve, large area), with the most important ones first it loses it
//!   (small area). Insertion of the most important pixels into the baseline is the first kind read backwards: the same
//!   pictures, hence the same area. Sufficiency is one point of it: what the best k percent of the pixels keep.
//! - Source: most important first by Bach et al. 2015 and Petsiuk et al. 2018 (RISE), least important first by Srinivas
//!   and Fleuret 2019 and the B-cos papers. The paper's own code has no such metric, its figure 2b has the second kind.
//! - Range: a curve is divided by the confidence in the whole picture, so it starts at 1; 0 upwards. No level of chance
//!   is known beforehand: random orders of the same picture, asked of the same probe, are it. All points of the axis count, both ends and the true shares between them.
//! - Cost: a forward pass a step, order and map; maps of one picture go through the backbone together.

pub mod confidence;
pub mod curve;
pub mod engine;
pub mod pictures;
pub mod ranking;
pub mod settings;
pub mod unit;

pub(crate) mod perturber;

pub use confidence::Confidence;
pub use curve::Curve;
pub use perturber::Perturber;
pub use settings::{Question, Settings};
pub use unit::Unit;

/// The variant that reports show: under the default settings, with the least important pixels first.
pub const SHOWN: &str = "least_first:pixels:mean:softmax";

#[cfg(test)]
mod tests;
