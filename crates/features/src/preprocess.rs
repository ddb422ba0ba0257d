//! How pixels become a backbone's input.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::{Box2, Reader};
use crate::error::{Error, Result};
use crate::images::Rgb;
use crate::resize::{Filter, resize};
use crate::tensor::{Device, Tensor, from_vec};

/// The input encoding a backbone was trained with; part of its description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// Three channels `(x - mean) / std` with x in [0, 1].
    Normalised {
        /// Mean of red, green, blue.
        mean: [f32; 3],
        /// Standard deviation of red, green, blue.
        std: [f32; 3],
    },
    /// Six channels `[x, 1 - x]` with x in [0, 1], for B-cos networks (Böhle et al., CVPR 2022).
    SixChannel,
}

impl Encoding {
    /// The encoding as an operation.
    pub fn preprocess(&self) -> Preprocess {
        match *self {
            Self::Normalised { mean, std } => Preprocess { channels: 3, mean, std },
            Self::SixChannel => Preprocess { channels: 6, mean: [0.0; 3], std: [1.0; 3] },
        }
    }
}

/// How a picture becomes one of the backbone's input size; part of its description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It must have the size; another one is an error.
    #[default]
    Exact,
    /// Its short side is resized to this many pixels (Pillow, bilinear), and the middle is cut out.
    ShortSide(usize),
    /// The same with Pillow's bicubic filter, as CLIP, DINO's evaluation and many of timm's networks.
    ShortSideBicubic(usize),
    /// Both sides are resized to the input size (Pillow, bilinear), whatever the ratio: the reference's VOC and COCO.
    Stretch,
}

impl Fit {
    /// How pixels are weighed when a picture gets another size.
    pub fn filter(self) -> Filter {
        match self {
            Self::Exact | Self::ShortSide(_) | Self::Stretch => Filter::Bilinear,
            Self::ShortSideBicubic(_) => Filter::Bicubic,
        }
    }
}

/// What happens to a picture before its pixels are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// How it gets its size.
    pub fit: Fit,
    /// Side of the square it becomes, pixels.
    pub size: usize,
}

/// All that happens between a decoded picture and the network. It is noted in every table that was computed through it,
/// because two stages that disagree on it would explain another network than was probed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Its size.
    pub geometry: Geometry,
    /// Its values.
    pub encoding: Encoding,
}

impl Preprocessing {
    /// Key of the note.
    pub const NOTE: &str = "preprocessing";

    /// The note: JSON.
    pub fn note(&self) -> String {
        serde_json::to_string(self).expect("all keys are strings")
    }

    /// The preprocessing that the table in `dir` notes, if it notes one.
    ///
    /// # Errors
    /// [`Error::BadData`] where the note cannot be read.
    pub fn of(table: &Reader, dir: &Path) -> Result<Option<Self>> {
        let read = |note: &str| {
            serde_json::from_str(note).map_err(|error| {
                Error::BadData(format!("{}: note `{}`: {error}; make the table again", dir.display(), Self::NOTE))
            })
        };
        table.meta(Self::NOTE).map(read).transpose()
    }

    /// Refuses a table in `dir` that was computed through another preprocessing than this one.
    ///
    /// # Errors
    /// [`Error::BadData`] naming both.
    pub fn check(&self, table: &Reader, dir: &Path) -> Result<()> {
        match Self::of(table, dir)? {
            Some(other) if other == *self => Ok(()),
            Some(other) => Err(Error::BadData(format!(
                "{}: computed with {other}, but the backbone now takes {self}; run the `features` stage and those after \
                 it again, or give the backbone it was made with",
                dir.display()
            ))),
            None => {
                tracing::warn!("{}: does not say how its images were preprocessed; taken as {self}", dir.display());
                Ok(())
            }
        }
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}; {}", self.geometry, self.encoding)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Normalised { mean, std } => write!(f, "3 channels, mean {mean:?}, std {std:?}"),
            Self::SixChannel => write!(f, "6 channels, a picture and its inverse"),
        }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let size = self.size;
        match self.fit {
            Fit::Exact => write!(f, "pictures of {size} x {size} pixels as they are"),
            Fit::Stretch => write!(f, "stretched to {size} x {size} pixels (bilinear)"),
            Fit::ShortSide(side) => write!(f, "short side to {side} pixels (bilinear), middle {size} x {size}"),
            Fit::ShortSideBicubic(side) => write!(f, "short side to {side} pixels (bicubic), middle {size} x {size}"),
        }
    }
}

impl Geometry {
    /// Pictures of any size, left as they are.
    pub const AS_IS: Self = Self { fit: Fit::Exact, size: 0 };

    /// The picture the network sees; as it is where [`Fit::Exact`] says so, whatever its size.
    pub fn apply(&self, picture: Rgb) -> Rgb {
        let filter = self.fit.filter();
        let side = match self.fit {
            Fit::Exact => return picture,
            Fit::Stretch => return resize(&picture, self.size, self.size, filter),
            Fit::ShortSide(side) | Fit::ShortSideBicubic(side) => side,
        };
        let (width, height) = scaled(picture.width, picture.height, side);
        let picture = resize(&picture, width, height, filter);
        let (left, top) = (margin(width, self.size), margin(height, self.size));
        let stride = width * 3;
        let rows = picture.data.chunks_exact(stride).skip(top).take(self.size);
        let data = rows.flat_map(|row| &row[left * 3..(left + self.size) * 3]).copied().collect();
        Rgb { width: self.size, height: self.size, data }
    }

    /// Width and height of what becomes of a `width` x `height` picture.
    pub fn size_of(&self, width: usize, height: usize) -> (usize, usize) {
        match self.fit {
            Fit::Exact => (width, height),
            Fit::ShortSide(_) | Fit::ShortSideBicubic(_) | Fit::Stretch => (self.size, self.size),
        }
    }

    /// The mask that the network sees of a mask of a `width` x `height` picture, both row by row.
    // METHOD: the pixel in whose area the middle of a seen pixel lies, Pillow's nearest.
    pub fn apply_to_mask(&self, inside: &[bool], width: usize, height: usize) -> Vec<bool> {
        let (new_width, new_height) = self.size_of(width, height);
        let [left, top, wide, high] = self.seen(width, height);
        let source = |index: usize, start: f64, length: f64, new: usize, old: usize| {
            ((start + (index as f64 + 0.5) * length / new as f64) as usize).min(old.saturating_sub(1))
        };
        let columns: Vec<usize> = (0..new_width).map(|x| source(x, left, wide, new_width, width)).collect();
        let rows = (0..new_height).map(|y| source(y, top, high, new_height, height));
        rows.flat_map(|row| columns.iter().map(move |&column| inside[row * width + column])).collect()
    }

    /// Left, top, width and height of what the network sees of a `width` x `height` picture, in its pixels.
    pub fn seen(&self, width: usize, height: usize) -> [f64; 4] {
        let side = match self.fit {
            Fit::Exact | Fit::Stretch => return [0.0, 0.0, width as f64, height as f64],
            Fit::ShortSide(side) | Fit::ShortSideBicubic(side) => side,
        };
        let (new_width, new_height) = scaled(width, height, side);
        let (across, down) = (width as f64 / new_width as f64, height as f64 / new_height as f64);
        let (left, top, size) = (margin(new_width, self.size), margin(new_height, self.size), self.size as f64);
        [left as f64 * across, top as f64 * down, size * across, size * down]
    }

    /// A box of a `width` x `height` picture in the picture the network sees; `None` where nothing of it is left.
    // METHOD: edges are scaled with the axis, rounded outwards, and cut at the edge of the crop; stretching takes the
    // reference's integer division (eval_voc_epg.py: x * S // W).
    pub fn apply_to_box(&self, object: Box2, width: usize, height: usize) -> Option<Box2> {
        let side = match self.fit {
            Fit::Exact => return Some(object),
            Fit::Stretch => {
                let cut = |edge: i32, old: usize| (i64::from(edge) * self.size as i64 / old.max(1) as i64) as i32;
                let Box2 { class, xmin, ymin, xmax, ymax } = object;
                let (xmin, ymin) = (cut(xmin, width), cut(ymin, height));
                let moved = Box2 { class, xmin, ymin, xmax: cut(xmax, width), ymax: cut(ymax, height) };
                return (moved.xmin < moved.xmax && moved.ymin < moved.ymax).then_some(moved);
            }
            Fit::ShortSide(side) | Fit::ShortSideBicubic(side) => side,
        };
        let (new_width, new_height) = scaled(width, height, side);
        let place = |edge: i32, old: usize, new: usize, round: fn(f64) -> f64| {
            let scaled = round(f64::from(edge) * new as f64 / old as f64);
            (scaled as i32 - margin(new, self.size) as i32).clamp(0, self.size as i32)
        };
        let moved = Box2 {
            class: object.class,
            xmin: place(object.xmin, width, new_width, f64::floor),
            ymin: place(object.ymin, height, new_height, f64::floor),
            xmax: place(object.xmax, width, new_width, f64::ceil),
            ymax: place(object.ymax, height, new_height, f64::ceil),
        };
        (moved.xmin < moved.xmax && moved.ymin < moved.ymax).then_some(moved)
    }
}

/// Size with the short side at `side` pixels.
// METHOD: torchvision's Resize(side) and mmpretrain's ResizeEdge: the long side is cut to an integer.
fn scaled(width: usize, height: usize, side: usize) -> (usize, usize) {
    if width <= height { (side, side * height / width) } else { (side * width / height, side) }
}

/// Pixels left out in front of the middle `size` of `extent`.
// METHOD: torchvision's CenterCrop: Python's round, which takes halves to the even number.
fn margin(extent: usize, size: usize) -> usize {
    ((extent - size) as f64 / 2.0).round_ties_even() as usize
}

/// Turns pictures into network input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// 3, or 6 for a picture and its inverse.
    pub channels: usize,
    /// Subtracted from red, green, blue in [0, 1]; 0 with six channels.
    pub mean: [f32; 3],
    /// Divides red, green, blue; 1 with six channels.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Network input `[n, channels, height, width]` of pictures that all have the size of the first.
    ///
    /// Panics when there is no picture or sizes differ.
    pub fn apply<P: Borrow<Rgb> + Sync>(&self, pictures: &[P], device: &Device) -> Tensor<4> {
        let (width, height) = (pictures[0].borrow().width, pictures[0].borrow().height);
        let area = width * height;
        let mut values = vec![0f32; pictures.len() * self.channels * area];
        values.par_chunks_mut(self.channels * area).zip(pictures).for_each(|(planes, picture)| {
            let picture = picture.borrow();
            assert_eq!((picture.width, picture.height), (width, height), "the pictures of a batch have one size");
            for (channel, plane) in planes.chunks_mut(area).enumerate() {
                self.fill(plane, channel, &picture.data);
            }
        });
        from_vec(values, [pictures.len(), self.channels, height, width], device)
    }

    // METHOD: (x - mean) / std for the first three channels, then the same of 1 - x.
    fn fill(&self, plane: &mut [f32], channel: usize, data: &[u8]) {
        let colour = channel % 3;
        let (mean, std) = (self.mean[colour], self.std[colour]);
        for (value, &byte) in plane.iter_mut().zip(data.iter().skip(colour).step_by(3)) {
            let x = f32::from(byte) / 255.0;
            let x = if channel < 3 { x } else { 1.0 - x };
            *value = (x - mean) / std;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{cpu, to_vec};

    #[test]
    fn the_middle_of_the_short_side_is_taken_and_boxes_move_with_it() {
        let geometry = Geometry { fit: Fit::ShortSide(8), size: 5 };
        let ramp = Rgb { width: 16, height: 8, data: (0..8).flat_map(|_| (0..16).flat_map(|x| [x * 10; 3])).collect() };
        // Margins 5.5 and 1.5 go to the even numbers 6 and 2.
        let cut = geometry.apply(ramp);
        assert_eq!((cut.width, cut.height), (5, 5));
        assert_eq!(cut.data.iter().step_by(3).take(5).copied().collect::<Vec<u8>>(), [60, 70, 80, 90, 100]);
        let object = Box2 { class: 3, xmin: 4, ymin: 2, xmax: 20, ymax: 10 };
        let moved = Box2 { class: 3, xmin: 0, ymin: 0, xmax: 4, ymax: 3 };
        assert_eq!(geometry.apply_to_box(object, 32, 16), Some(moved));
        let outside = Box2 { class: 3, xmin: 0, ymin: 0, xmax: 10, ymax: 16 };
        assert_eq!(geometry.apply_to_box(outside, 32, 16), None);
        let stretch = Geometry { fit: Fit::Stretch, size: 10 };
        let stretched = Box2 { class: 3, xmin: 1, ymin: 1, xmax: 6, ymax: 6 };
        assert_eq!(stretch.apply_to_box(object, 32, 16), Some(stretched));
        assert_eq!(stretch.size_of(32, 16), (10, 10));
        assert_eq!(Geometry { fit: Fit::Exact, size: 5 }.apply_to_box(outside, 32, 16), Some(outside));
        // A mask moves with the picture: the columns 8 to 15 of 16 are 2 to 6 of the 5 behind the margin of 6.
        let right: Vec<bool> = (0..16 * 8).map(|at| at % 16 >= 8).collect();
        assert_eq!(geometry.apply_to_mask(&right, 16, 8)[..5], [false, false, true, true, true]);
        assert_eq!(Geometry { fit: Fit::Exact, size: 5 }.apply_to_mask(&right, 16, 8), right);
        let halved = Geometry { fit: Fit::Stretch, size: 4 }.apply_to_mask(&right, 16, 8);
        assert_eq!(halved, [false, false, true, true].repeat(4));
    }

    fn pictures() -> Vec<Rgb> {
        (0..2).map(|n| Rgb { width: 3, height: 2, data: (0..18).map(|i| (i * 13 + n * 5) as u8).collect() }).collect()
    }

    #[test]
    fn channels_are_planes_with_their_own_mean_and_deviation() {
        let encoding = Encoding::Normalised { mean: [0.5, 0.25, 0.0], std: [0.25, 0.5, 1.0] };
        let input = encoding.preprocess().apply(&pictures(), &cpu());
        assert_eq!(input.dims(), [2, 3, 2, 3]);
        let values = to_vec(input);
        let byte = |n: usize, pixel: usize, c: usize| f32::from(pictures()[n].data[pixel * 3 + c]) / 255.0;
        assert_eq!(values[0], (byte(0, 0, 0) - 0.5) / 0.25);
        assert_eq!(values[6 + 4], (byte(0, 4, 1) - 0.25) / 0.5);
        assert_eq!(values[18 + 12 + 5], byte(1, 5, 2));
    }

    #[test]
    fn six_channels_are_a_picture_and_its_inverse() {
        let input = Encoding::SixChannel.preprocess().apply(&pictures(), &cpu());
        assert_eq!(input.dims(), [2, 6, 2, 3]);
        let sums = to_vec(input.clone().slice([0..2, 0..3]) + input.slice([0..2, 3..6]));
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
    }

    #[test]
    fn an_encoding_is_the_same_after_a_file() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            encoding: Encoding,
        }
        for encoding in [Encoding::SixChannel, Encoding::Normalised { mean: [0.485, 0.456, 0.406], std: [0.25; 3] }] {
            let file = File { encoding };
            let text = toml::to_string(&file).expect("serializable");
            assert_eq!(toml::from_str::<File>(&text).expect(&text), file);
        }
    }
}
