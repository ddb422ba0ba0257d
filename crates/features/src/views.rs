//! Random views of training images: a crop and a flip each, drawn once and kept with its recipe.
//!
//! Augmentation is an image seen anew each epoch; a cache of features can hold as many sights of it as were asked for.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::images::Rgb;
use crate::preprocess::Geometry;
use crate::random::{Stream, below, between, stream, uniform};
use crate::resize::resize;

/// Width by height of a crop: from portrait to landscape.
// METHOD: RandomResizedCrop of torchvision and mmpretrain: ratio 3/4 to 4/3, ten attempts.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
const ATTEMPTS: usize = 10;
/// Chance that a view is mirrored.
const FLIP: f64 = 0.5;

/// Which views are made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Views {
    /// Random views of each image; 0 for the picture as in evaluation, once.
    pub count: usize,
    /// Splits whose images are seen in random views.
    pub splits: Vec<String>,
    /// Least and largest share of the picture's area in a crop.
    pub area: [f64; 2],
    /// Seed of all crops and flips.
    pub seed: u64,
}

/// What of a picture the network sees: numbers of the picture's own pixels, before it is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// 0 for the picture as in evaluation, from 1 for random views.
    pub number: i32,
    /// First column.
    pub left: f32,
    /// First row.
    pub top: f32,
    /// Columns.
    pub width: f32,
    /// Rows.
    pub height: f32,
    /// Whether left and right are exchanged.
    pub flipped: bool,
}

impl Views {
    /// Names what cannot be.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the key.
    pub fn check(&self) -> Result<()> {
        let [least, most] = self.area;
        if !(0.0 < least && least <= most && most <= 1.0) {
            return Err(Error::Usage(
                "section [features]: view_area must be two shares, 0 < least <= most <= 1".into(),
            ));
        }
        Ok(())
    }

    /// The views of an image of `split` whose picture is `width` x `height`.
    pub fn of(&self, key: &str, split: &str, size: (usize, usize), geometry: &Geometry) -> Vec<View> {
        if self.count == 0 || !self.splits.iter().any(|name| name == split) {
            return vec![whole(size, geometry)];
        }
        (1..=self.count).map(|number| self.draw(number, key, size)).collect()
    }

    /// How many views an image of `split` has.
    pub fn count_of(&self, split: &str) -> usize {
        if self.splits.iter().any(|name| name == split) { self.count.max(1) } else { 1 }
    }

    fn draw(&self, number: usize, key: &str, size: (usize, usize)) -> View {
        let mut rng = stream(self.seed, &["view", key, &number.to_string()]);
        let [left, top, width, height] = crop(&mut rng, size, self.area).map(|pixels| pixels as f32);
        View { number: number as i32, left, top, width, height, flipped: uniform(&mut rng) < FLIP }
    }
}

/// Left, top, width and height of a random crop.
// METHOD: torchvision, RandomResizedCrop.get_params: area uniform, ratio uniform in its logarithm, sides rounded; after
// ten crops that do not fit, the middle with the nearest ratio that is allowed.
fn crop(rng: &mut Stream, (width, height): (usize, usize), area: [f64; 2]) -> [usize; 4] {
    for _ in 0..ATTEMPTS {
        let target = (width * height) as f64 * between(rng, area[0], area[1]);
        let ratio = between(rng, RATIO[0].ln(), RATIO[1].ln()).exp();
        let wide = (target * ratio).sqrt().round_ties_even() as usize;
        let high = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&wide) && (1..=height).contains(&high) {
            let top = below(rng, height - high + 1);
            return [below(rng, width - wide + 1), top, wide, high];
        }
    }
    let ratio = width as f64 / height as f64;
    let wide = if ratio > RATIO[1] { (height as f64 * RATIO[1]).round_ties_even() as usize } else { width };
    let high = if ratio < RATIO[0] { (width as f64 / RATIO[0]).round_ties_even() as usize } else { height };
    [(width - wide) / 2, (height - high) / 2, wide.max(1), high.max(1)]
}

/// The picture as in evaluation.
fn whole(size: (usize, usize), geometry: &Geometry) -> View {
    let [left, top, width, height] = geometry.seen(size.0, size.1).map(|pixels| pixels as f32);
    View { number: 0, left, top, width, height, flipped: false }
}

impl View {
    /// What the network sees of `picture`.
    // METHOD: torchvision's resized_crop on a Pillow image: cut, then resize with antialias, then mirror.
    pub fn of(&self, picture: &Rgb, geometry: &Geometry) -> Rgb {
        if self.number == 0 {
            return geometry.apply(picture.clone());
        }
        let [left, top, width, height] = [self.left, self.top, self.width, self.height].map(|pixels| pixels as usize);
        let rows = picture.data.chunks_exact(picture.width * 3).skip(top).take(height);
        let data = rows.flat_map(|row| &row[left * 3..(left + width) * 3]).copied().collect();
        let seen = resize(&Rgb { width, height, data }, geometry.size, geometry.size, geometry.fit.filter());
        if self.flipped { mirrored(&seen) } else { seen }
    }
}

fn mirrored(picture: &Rgb) -> Rgb {
    let rows = picture.data.chunks_exact(picture.width * 3);
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
    Rgb { data, ..*picture }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Fit;

    fn views(count: usize, area: [f64; 2]) -> Views {
        Views { count, splits: vec!["train".to_string()], area, seed: 3 }
    }

    const GEOMETRY: Geometry = Geometry { fit: Fit::ShortSide(8), size: 6 };

    #[test]
    fn crops_lie_inside_have_the_wanted_area_and_depend_on_nothing_but_their_name() {
        let views = views(200, [0.25, 0.5]);
        let drawn = views.of("train/a", "train", (300, 200), &GEOMETRY);
        assert_eq!(drawn, views.of("train/a", "train", (300, 200), &GEOMETRY));
        assert_ne!(drawn, Views { seed: 4, ..views.clone() }.of("train/a", "train", (300, 200), &GEOMETRY));
        let (mut areas, mut flips) = (Vec::new(), 0);
        for (index, view) in drawn.iter().enumerate() {
            assert_eq!(view.number, index as i32 + 1);
            assert!(view.left >= 0.0 && view.left + view.width <= 300.0, "{view:?}");
            assert!(view.top >= 0.0 && view.top + view.height <= 200.0, "{view:?}");
            // Sides are rounded, so ratio and area are met to a pixel.
            assert!((0.74..1.35).contains(&(view.width / view.height)), "{view:?}");
            areas.push(f64::from(view.width * view.height) / 60_000.0);
            flips += usize::from(view.flipped);
        }
        assert!(areas.iter().all(|area| (0.245..0.505).contains(area)), "{areas:?}");
        let mean = areas.iter().sum::<f64>() / 200.0;
        assert!((mean - 0.375).abs() < 0.02 && (70..130).contains(&flips), "{mean} {flips}");
    }

    #[test]
    fn a_picture_that_no_crop_fits_gives_its_middle() {
        let drawn = views(1, [0.9, 1.0]).of("train/a", "train", (400, 40), &GEOMETRY)[0];
        assert_eq!((drawn.left, drawn.top, drawn.width, drawn.height), (173.0, 0.0, 53.0, 40.0));
    }

    #[test]
    fn other_splits_are_seen_as_in_evaluation() {
        let views = views(3, [0.08, 1.0]);
        let whole = views.of("test/a", "test", (32, 16), &GEOMETRY);
        assert_eq!((whole.len(), views.count_of("test"), views.count_of("train")), (1, 1, 3));
        // Twice as large as after resizing, and 5 of 16 columns and 1 of 8 rows in front of the crop there.
        let seen = View { number: 0, left: 10.0, top: 2.0, width: 12.0, height: 12.0, flipped: false };
        assert_eq!(whole[0], seen);
    }

    #[test]
    fn a_flipped_crop_is_cut_resized_and_mirrored() {
        let data: Vec<u8> = (0..6).flat_map(|y| (0..8).flat_map(move |x| [x * 10, y * 10, 7])).collect();
        let picture = Rgb { width: 8, height: 6, data };
        let view = View { number: 1, left: 2.0, top: 1.0, width: 3.0, height: 3.0, flipped: true };
        let seen = view.of(&picture, &Geometry { fit: Fit::Exact, size: 3 });
        assert_eq!(seen.data[..9], [40, 10, 7, 30, 10, 7, 20, 10, 7]);
        assert_eq!(seen.data[18..], [40, 30, 7, 30, 30, 7, 20, 30, 7]);
    }
}
