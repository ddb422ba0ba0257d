//! Energy pointing game: how much of a map's positive mass lies inside the boxes, or the pixels, of the target class.
//!
//! Source: Wang et al., CVPRW 2020 (Score-CAM); reference: `evaluate_attributions` EPG scripts.
//! Range 0 to 1, higher is better. Chance is the share of the map that the boxes cover: a uniform map's score.

use std::ops::Range;

use features::artifact::Box2;
use serde::{Deserialize, Serialize};

use crate::map::{Positive, Score, Undefined, sum};

/// Whether the value is kept as computed or rounded as the reference does before it averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// As computed.
    Unrounded,
    /// To 2 decimals, halves to even.
    Reference,
}

impl Rounding {
    /// `value`, rounded or not.
    pub fn of(self, value: f64) -> f64 {
        match self {
            Self::Unrounded => value,
            Self::Reference => (value * 100.0).round_ties_even() / 100.0,
        }
    }
}

/// What counts as the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// The boxes around its objects.
    Boxes(Rounding),
    /// Its objects' own pixels, where the data set has masks.
    Masks,
}

impl Region {
    /// What a score is rounded to.
    pub fn rounding(self) -> Rounding {
        match self {
            Self::Boxes(rounding) => rounding,
            Self::Masks => Rounding::Unrounded,
        }
    }
}

/// Where the target class is in a scene.
#[derive(Clone, Debug)]
pub struct Target {
    /// In its boxes.
    pub boxes: Mask,
    /// In its objects' pixels; `None` where the scene has no masks.
    pub masks: Option<Mask>,
}

impl Target {
    /// What `region` means in this scene.
    pub fn mask(&self, region: Region) -> Option<&Mask> {
        match region {
            Region::Boxes(_) => Some(&self.boxes),
            Region::Masks => self.masks.as_ref(),
        }
    }
}

/// The pixels of a map that belong to a target.
#[derive(Clone, Debug)]
pub struct Mask {
    inside: Vec<bool>,
    /// Row-major stretches of pixels inside, so that sums need no test at each pixel.
    runs: Vec<Range<usize>>,
    pixels: usize,
}

impl Mask {
    /// Union of `boxes`, given in pixels of an image of `image` = (width, height), on a map of `map` = (width, height).
    // METHOD: x' = (map width * x) div (image width), likewise y, floor division; rows ymin'..ymax', columns
    // xmin'..xmax', end exclusive. Parts outside the image are cut off.
    pub fn union(boxes: &[Box2], image: (usize, usize), map: (usize, usize)) -> Self {
        let mut inside = vec![false; map.0 * map.1];
        let scale = |at: i32, from: usize, to: usize| (at.max(0) as usize * to / from.max(1)).min(to);
        for b in boxes {
            let [left, right] = [b.xmin, b.xmax].map(|x| scale(x, image.0, map.0));
            let [top, bottom] = [b.ymin, b.ymax].map(|y| scale(y, image.1, map.1));
            for row in inside.chunks_exact_mut(map.0).take(bottom).skip(top) {
                row[left..right.max(left)].fill(true);
            }
        }
        Self::of(inside)
    }

    /// The pixels that are inside, row-major.
    pub fn of(inside: Vec<bool>) -> Self {
        let runs: Vec<Range<usize>> = inside
            .chunk_by(|a, b| a == b)
            .scan(0, |start, run| {
                let range = *start..*start + run.len();
                *start = range.end;
                Some((run[0], range))
            })
            .filter_map(|(inside, range)| inside.then_some(range))
            .collect();
        let pixels = runs.iter().map(ExactSizeIterator::len).sum();
        Self { inside, runs, pixels }
    }

    /// Whether each pixel of the map is inside, row-major.
    pub fn inside(&self) -> &[bool] {
        &self.inside
    }

    /// Pixels inside.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// Expected score of a map that knows nothing; undefined without a pixel inside.
    pub fn chance(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.pixels as f64 / self.inside.len() as f64)
    }
}

/// Share of the positive mass inside `mask`, which has the map's size.
// METHOD: EPG = (sum of P over the mask) / (sum of P), P = max(0, smooth(M)). The reference adds 1e-12 to the divisor.
pub fn score(positive: &Positive, mask: &Mask, rounding: Rounding) -> Score {
    assert_eq!(mask.inside.len(), positive.values().len(), "mask and map have the same size");
    if mask.pixels == 0 {
        return Err(Undefined::NoBox);
    }
    let runs = mask.runs.iter().map(|run| sum(&positive.values()[run.clone()]));
    let share = runs.sum::<f64>() / positive.total();
    Ok(rounding.of(share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{random_map, wave};
    use crate::map::Map;
    use crate::smooth::Smoothing;

    fn pixel_box(xmin: i32, ymin: i32, xmax: i32, ymax: i32) -> Box2 {
        Box2 { class: 0, xmin, ymin, xmax, ymax }
    }

    #[test]
    fn golden_value() {
        let values = wave(96);
        let positive = Positive::of(Map::new(96, 96, &values), Smoothing::Avg5).unwrap();
        let mask = Mask::union(&[pixel_box(50, 100, 300, 260), pixel_box(10, 10, 60, 60)], (500, 375), (96, 96));
        assert_eq!(mask.pixels(), 2098);
        assert!((score(&positive, &mask, Rounding::Unrounded).unwrap() - 0.190893).abs() < 1e-5);
        assert_eq!(score(&positive, &mask, Rounding::Reference), Ok(0.19));
        assert!((mask.chance().unwrap() - 2098.0 / 9216.0).abs() < 1e-12);
    }

    #[test]
    fn boxes_scale_by_floor_division_and_end_exclusively() {
        // 3 * 10 div 7 = 4, 5 * 10 div 7 = 7, 2 * 8 div 9 = 1, 4 * 8 div 9 = 3
        let mask = Mask::union(&[pixel_box(3, 2, 5, 4)], (7, 9), (10, 8));
        let expected: Vec<usize> = (1..3).flat_map(|y| (4..7).map(move |x| y * 10 + x)).collect();
        let inside: Vec<usize> =
            mask.inside.iter().enumerate().filter(|(_, inside)| **inside).map(|(i, _)| i).collect();
        assert_eq!(inside, expected);
        let same_size = Mask::union(&[pixel_box(0, 0, 4, 4), pixel_box(2, 2, 6, 6)], (8, 8), (8, 8));
        assert_eq!(same_size.pixels(), 16 + 16 - 4, "a union counts shared pixels once");
        assert_eq!(Mask::union(&[pixel_box(-3, -3, 99, 99)], (8, 8), (8, 8)).pixels(), 64);
    }

    #[test]
    fn a_class_without_a_visible_box_has_no_score() {
        let positive = Positive::of(Map::new(4, 4, &[1.0; 16]), Smoothing::None).unwrap();
        for boxes in [vec![], vec![pixel_box(5, 5, 5, 9)], vec![pixel_box(6, 1, 2, 3)]] {
            let mask = Mask::union(&boxes, (40, 40), (4, 4));
            assert_eq!(score(&positive, &mask, Rounding::Unrounded), Err(Undefined::NoBox));
            assert_eq!(mask.chance(), None);
        }
    }

    /// The reference's formula, pixel by pixel.
    fn slow(clamped: &[f32], side: usize, boxes: &[Box2]) -> f64 {
        let inside = |i: usize| {
            let (x, y) = ((i % side) as i32, (i / side) as i32);
            boxes.iter().any(|b| (b.xmin..b.xmax).contains(&x) && (b.ymin..b.ymax).contains(&y))
        };
        let total: f64 = clamped.iter().map(|&v| f64::from(v)).sum();
        clamped.iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, &v)| f64::from(v)).sum::<f64>()
            / (total + 1e-12)
    }

    #[test]
    fn equals_the_formula_on_random_maps_and_ignores_scale() {
        for seed in 0..20 {
            let side = 10 + seed as usize;
            let values = random_map(seed, side * side);
            let boxes = [pixel_box(1, 2, 7, 5), pixel_box(3, 0, 9, 4)];
            let mask = Mask::union(&boxes, (side, side), (side, side));
            for factor in [1.0f32, 1e-6, 1e6] {
                let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
                let positive = Positive::of(Map::new(side, side, &scaled), Smoothing::Avg5).unwrap();
                let value = score(&positive, &mask, Rounding::Unrounded).unwrap();
                assert!((value - slow(positive.values(), side, &boxes)).abs() < 1e-6);
            }
        }
    }
}
