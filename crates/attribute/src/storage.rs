//! How maps are kept: at every pixel, in the few numbers that give them back, or not at all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    enlarge::enlarge,
    explain::After,
    method::{Family, Method},
    segment::Segments,
};

/// What is written of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Its value at every pixel.
    #[default]
    Full,
    /// The numbers it was made from; readers get the same map from them.
    Compact,
    /// Its checks, and its positive and its negative sum in each cell. The map itself is lost.
    Digest,
}

/// The section `[attribute.storage]`: what is kept, by what a map is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Class activation maps; compact is the map at the features' size.
    pub class_activation: Kept,
    /// LIME and KernelSHAP; compact is a weight for each segment, and the segments once an item.
    pub segments: Kept,
    /// All other methods, and maps after a competition of the targets; they cannot be compact.
    pub pixels: Kept,
}

impl Storage {
    /// What is kept of a method's maps.
    pub fn kept(&self, method: Method, after: After) -> Kept {
        let kept = match method {
            Method::ScoreCam => self.class_activation,
            Method::Lime | Method::LimeSoftmax | Method::LimeSigmoid | Method::KernelShap => self.segments,
            method if method.family() == Family::Features => self.class_activation,
            _ => self.pixels,
        };
        match after {
            After::Nothing => kept,
            After::Var => self.pixels,
        }
    }

    /// Whether all maps are kept at every pixel.
    pub fn is_full(&self) -> bool {
        *self == Self::default()
    }
}

/// The numbers a map is made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Short {
    /// A map at the features' size, to be enlarged.
    Coarse {
        /// Its rows and columns.
        size: [usize; 2],
        /// Row-major.
        values: Vec<f32>,
    },
    /// One value for all pixels of a segment.
    Segments {
        /// In the order of the segments' numbers.
        weights: Vec<f32>,
        /// The pieces of the picture.
        segments: Arc<Segments>,
    },
}

impl Short {
    /// The value of each pixel of a map of `size` `[rows, columns]`, row-major.
    pub fn spread(&self, size: [usize; 2]) -> Vec<f32> {
        match self {
            Self::Coarse { size: coarse, values } => enlarge(values, *coarse, size),
            Self::Segments { weights, segments } => segments.labels.iter().map(|&label| weights[label]).collect(),
        }
    }
}

/// The sums of the positive values in each of `side` x `side` cells, row by row, and then those of the negative ones.
// METHOD: cells are cut where the grid pointing game cuts them; sums in f64, each rounded to f32 once.
pub fn digest(values: &[f32], [rows, columns]: [usize; 2], side: usize) -> Vec<f32> {
    let span = |length: usize, index: usize| index * length / side..(index + 1) * length / side;
    let sum = |cell: usize, sign: f32| {
        let rows = span(rows, cell / side).map(|row| &values[row * columns..(row + 1) * columns]);
        let values = rows.flat_map(|row| &row[span(columns, cell % side)]);
        values.map(|value| f64::from((value * sign).max(0.0) * sign)).sum::<f64>() as f32
    };
    [1.0, -1.0]
        .into_iter()
        .flat_map(|sign| (0..side * side).map(move |cell| (cell, sign)))
        .map(|(c, s)| sum(c, s))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_kept_by_what_they_are_made_of() {
        let storage = Storage { class_activation: Kept::Compact, segments: Kept::Digest, pixels: Kept::Full };
        for (method, kept) in [
            (Method::GradCamReference, Kept::Compact),
            (Method::ScoreCam, Kept::Compact),
            (Method::LimeSoftmax, Kept::Digest),
            (Method::GuidedGradCam, Kept::Full),
            (Method::Rise, Kept::Full),
        ] {
            assert_eq!(storage.kept(method, After::Nothing), kept, "{method}");
            assert_eq!(storage.kept(method, After::Var), Kept::Full, "{method}");
        }
        assert!(Storage::default().is_full() && !storage.is_full());
    }

    #[test]
    fn a_digest_has_each_sign_of_each_cell() {
        let values = [1.0, 2.0, -3.0, 4.0, -5.0, 6.0, 7.0, -8.0];
        assert_eq!(digest(&values, [2, 4], 2), [3.0, 4.0, 6.0, 7.0, 0.0, -3.0, -5.0, -8.0]);
        assert_eq!(digest(&values, [2, 4], 1), [20.0, -16.0]);
    }

    #[test]
    fn segments_spread_their_weights() {
        let segments = Arc::new(Segments { labels: vec![1, 0, 0, 1], count: 2 });
        assert_eq!(Short::Segments { weights: vec![2.0, -1.0], segments }.spread([2, 2]), [-1.0, 2.0, 2.0, -1.0]);
    }
}
