//! What is taken away at a time: single pixels, square patches, or segments that follow the picture's edges.

use std::fmt;
use std::str::FromStr;

use attribute::segment::{Segmentation, Segments};
use features::error::{Error, Result};
use features::images::Rgb;
use serde::{Deserialize, Serialize};

/// The pieces that a map puts in order; all channels of a pixel go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Unit {
    /// Single pixels: `pixels`.
    Pixels,
    /// Squares of so many pixels a side, cut off at the right and at the bottom: `patches8`.
    Patches(usize),
    /// About so many SLIC segments: `segments50`.
    Segments(usize),
}

/// The unit of each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Row-major, from 0.
    pub labels: Vec<usize>,
    /// Number of units, none of them empty.
    pub count: usize,
}

impl Unit {
    /// Cuts a picture.
    pub fn cut(self, picture: &Rgb) -> Pieces {
        let (rows, columns) = (picture.height, picture.width);
        match self {
            Self::Pixels => Pieces { labels: (0..rows * columns).collect(), count: rows * columns },
            Self::Patches(side) => {
                let across = columns.div_ceil(side);
                let patch = |pixel: usize| pixel / columns / side * across + pixel % columns / side;
                Pieces { labels: (0..rows * columns).map(patch).collect(), count: across * rows.div_ceil(side) }
            }
            Self::Segments(about) => {
                let channel = |colour: usize| picture.data.iter().skip(colour).step_by(3);
                let colours: Vec<f32> = (0..3).flat_map(channel).map(|&byte| f32::from(byte) / 255.0).collect();
                let Segments { labels, count } = Segments::cut(Segmentation::Slic, &colours, [rows, columns], about);
                Pieces { labels, count }
            }
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels => f.write_str("pixels"),
            Self::Patches(side) => write!(f, "patches{side}"),
            Self::Segments(about) => write!(f, "segments{about}"),
        }
    }
}

impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let size = |name: &str| text.strip_prefix(name)?.parse().ok().filter(|&size: &usize| size > 0);
        match (text, size("patches"), size("segments")) {
            ("pixels", ..) => Ok(Self::Pixels),
            (_, Some(side), _) => Ok(Self::Patches(side)),
            (_, _, Some(about)) => Ok(Self::Segments(about)),
            _ => Err(Error::Usage(format!(
                "unit `{text}` is not known; use pixels, patchesN (squares of N pixels a side) or segmentsN (about N)"
            ))),
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for unit in [Unit::Pixels, Unit::Patches(8), Unit::Segments(50)] {
            assert_eq!(unit.to_string().parse::<Unit>().unwrap(), unit);
        }
        for text in ["patches", "patches0", "pixel", "segments-3"] {
            assert!(text.parse::<Unit>().unwrap_err().to_string().contains("patchesN"), "{text}");
        }
    }

    #[test]
    fn every_pixel_is_in_one_piece() {
        let picture = Rgb { width: 7, height: 5, data: (0..105).map(|i| (i * 41 % 256) as u8).collect() };
        assert_eq!(Unit::Pixels.cut(&picture), Pieces { labels: (0..35).collect(), count: 35 });
        let patches = Unit::Patches(3).cut(&picture);
        assert_eq!(patches.count, 6);
        assert_eq!(patches.labels[..8], [0, 0, 0, 1, 1, 1, 2, 0]);
        assert_eq!(patches.labels[34], 5);
        for pieces in [patches, Unit::Segments(6).cut(&picture)] {
            assert_eq!(pieces.labels.len(), 35);
            assert!((0..pieces.count).all(|piece| pieces.labels.contains(&piece)), "no piece is empty");
        }
    }
}
