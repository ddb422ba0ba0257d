//! Pictures in memory and as PNG or JPEG files, and reading them from the image table.

mod decode;

use std::collections::BTreeSet;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;

use crate::artifact::{Box2, Columns, FromCells, Reader};
use crate::error::{Error, Result};
use crate::preprocess::Geometry;
use crate::table::{IMAGES, ImageRows};

pub use decode::decode;

/// An 8-bit RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue of each pixel, row by row: `height * width * 3` bytes.
    pub data: Vec<u8>,
}

impl Rgb {
    /// The picture as a PNG file.
    ///
    /// # Errors
    /// [`Error::Bug`] when the sizes do not fit the data.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        if self.data.len() != self.width * self.height * 3 {
            let (width, height, bytes) = (self.width, self.height, self.data.len());
            return Err(Error::Bug(format!("a picture of {width} x {height} pixels has {bytes} bytes")));
        }
        let mut file = Vec::new();
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&self.data, self.width as u32, self.height as u32, ExtendedColorType::Rgb8)
            .map_err(|error| Error::Bug(format!("a picture cannot be written as PNG: {error}")))?;
        Ok(file)
    }
}

/// The picture of the image called `key`.
///
/// # Errors
/// As [`decode`], naming the image.
pub fn decode_named(key: &str, bytes: &[u8]) -> Result<Rgb> {
    decode(bytes).map_err(|error| {
        Error::BadData(format!("image {key}: {error}; make the image table again, or leave this image out"))
    })
}

/// An image with what is known of it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Running number over all splits.
    pub id: i64,
    /// Unique name, like `test/00012`.
    pub key: String,
    /// Split it belongs to.
    pub split: String,
    /// Its class, where it has a single one.
    pub label: Option<i32>,
    /// The classes it counts as, ascending.
    pub labels: Vec<i32>,
    /// The classes it has only in objects that are set aside, ascending.
    pub set_aside: Vec<i32>,
    /// The picture.
    pub rgb: Rgb,
    /// Objects in it.
    pub boxes: Vec<Box2>,
}

/// All images of `splits` (of every split where that is empty) in the image table `dir`, in table order.
///
/// # Errors
/// A missing or foreign table, a corrupt image (named), or a split that has no image.
pub fn load(dir: &Path, splits: &[&str]) -> Result<Vec<Image>> {
    let wanted = |split: &String| splits.is_empty() || splits.contains(&split.as_str());
    let images = load_where(dir, ImageRows::SPLIT, wanted, &Geometry::AS_IS)?;
    match splits.iter().find(|split| !images.iter().any(|image| image.split == **split)) {
        Some(split) => Err(no_image(dir, split)),
        None => Ok(images),
    }
}

/// The images with these ids, in table order, as a network of this geometry sees them, with their boxes moved likewise.
///
/// # Errors
/// A missing or foreign table, a corrupt image (named).
pub fn load_chosen(dir: &Path, ids: &BTreeSet<i64>, geometry: &Geometry) -> Result<Vec<Image>> {
    load_where(dir, ImageRows::ID, |id: &i64| ids.contains(id), geometry)
}

/// Ids and classes of the images of a split, in table order; no picture is read.
///
/// # Errors
/// A missing or foreign table, or a split that has no image.
pub fn known(dir: &Path, split: &str) -> Result<Vec<(i64, Option<i32>)>> {
    let reader = Reader::open(dir, &IMAGES)?;
    let mut known = Vec::new();
    for part in 0..reader.parts() {
        let mut columns =
            Columns::new(reader.read_columns(part, &[ImageRows::ID, ImageRows::SPLIT, ImageRows::LABEL])?);
        let (ids, splits, labels): (Vec<i64>, Vec<String>, Vec<Option<i32>>) =
            (columns.next()?, columns.next()?, columns.next()?);
        let rows = ids.into_iter().zip(labels).zip(splits);
        known.extend(rows.filter(|(_, of)| of == split).map(|(row, _)| row));
    }
    if known.is_empty() { Err(no_image(dir, split)) } else { Ok(known) }
}

fn no_image(dir: &Path, split: &str) -> Error {
    Error::BadData(format!("{}: no image of split `{split}`; add some, or name another split", dir.display()))
}

/// The images with a value that is `wanted` in the column at `position`; parts without one are not read further.
fn load_where<T>(dir: &Path, position: usize, wanted: impl Fn(&T) -> bool, geometry: &Geometry) -> Result<Vec<Image>>
where
    Vec<T>: FromCells,
{
    let reader = Reader::open(dir, &IMAGES)?;
    let mut images = Vec::new();
    for part in 0..reader.parts() {
        let values: Vec<T> = Columns::new(reader.read_columns(part, &[position])?).next()?;
        let picked: Vec<usize> = (0..values.len()).filter(|&row| wanted(&values[row])).collect();
        if !picked.is_empty() {
            images.extend(fit_rows(&ImageRows::from_cells(reader.read_part(part)?)?, &picked, geometry)?);
        }
    }
    Ok(images)
}

/// The images of the rows `picked` as a network of this geometry sees them, decoded in parallel, in that order.
///
/// # Errors
/// [`Error::BadData`] naming the first image that cannot be read or has another size than its row says.
pub fn fit_rows(rows: &ImageRows, picked: &[usize], geometry: &Geometry) -> Result<Vec<Image>> {
    let decoded: Vec<Result<Image>> = picked.par_iter().map(|&row| decode_row(rows, row, geometry)).collect();
    decoded.into_iter().collect()
}

fn decode_row(rows: &ImageRows, row: usize, geometry: &Geometry) -> Result<Image> {
    let rgb = picture(rows, row)?;
    let (width, height) = (rgb.width, rgb.height);
    Ok(Image {
        id: rows.image_id[row],
        key: rows.image_key[row].clone(),
        split: rows.split[row].clone(),
        label: rows.label[row],
        labels: rows.labels[row].clone(),
        set_aside: rows.set_aside_classes(row),
        boxes: rows.boxes[row].iter().filter_map(|&object| geometry.apply_to_box(object, width, height)).collect(),
        rgb: geometry.apply(rgb),
    })
}

/// The picture of a row as it was imported.
///
/// # Errors
/// As [`fit_rows`].
pub fn picture(rows: &ImageRows, row: usize) -> Result<Rgb> {
    let key = &rows.image_key[row];
    let rgb = decode_named(key, &rows.bytes[row])?;
    let (width, height) = (rgb.width, rgb.height);
    let stated = (rows.width[row] as usize, rows.height[row] as usize);
    if stated != (width, height) {
        let (found, stated) = (format!("{width} x {height}"), format!("{} x {}", stated.0, stated.1));
        let message = format!("image {key}: is {found} pixels, its row says {stated}; make the image table again");
        return Err(Error::BadData(message));
    }
    Ok(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Rgb {
        Rgb { width: 5, height: 4, data: (0..60).map(|i| (i * 37 % 256) as u8).collect() }
    }

    #[test]
    fn a_png_gives_the_picture_back() {
        let file = picture().encode_png().expect("sizes fit");
        assert_eq!(decode(&file).expect("a PNG file"), picture());
        let wrong = Rgb { width: 6, ..picture() };
        assert_eq!(wrong.encode_png().expect_err("sizes do not fit").exit_code(), 1);
    }

    #[test]
    fn a_corrupt_image_is_named() {
        let whole = picture().encode_png().expect("sizes fit");
        for (bytes, told) in [(&b"<html>no"[..], "<html>no"), (&whole[..whole.len() / 2], "PNG"), (&[][..], "PNG")] {
            let error = decode_named("train/00007", bytes).expect_err("no image");
            assert_eq!(error.exit_code(), 65);
            let text = error.to_string();
            assert!(text.contains("train/00007") && text.contains(told), "{text}");
        }
    }

    #[test]
    fn a_size_that_differs_from_the_row_is_an_error() {
        let rows = ImageRows {
            image_id: vec![0],
            image_key: vec!["a".into()],
            split: vec!["train".into()],
            label: vec![None],
            width: vec![5],
            height: vec![5],
            bytes: vec![picture().encode_png().expect("sizes fit")],
            boxes: vec![vec![]],
            labels: vec![vec![]],
            set_aside: vec![vec![]],
            masks: vec![vec![]],
        };
        assert_eq!(fit_rows(&rows, &[0], &Geometry::AS_IS).expect_err("4 rows, not 5").exit_code(), 65);
        assert!(fit_rows(&rows, &[], &Geometry::AS_IS).expect("nothing read").is_empty());
    }
}
