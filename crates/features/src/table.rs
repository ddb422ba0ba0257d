//! Declarations of the tables this crate writes: the data set's images, what could not be read, and frozen features.

use std::collections::BTreeSet;

use crate::artifact::{Box2, Cells, Column, Columns, Reader, Rle, Table, Values, Version};
use crate::error::{Error, Result};
use crate::views::View;

/// Pictures with labels and boxes.
pub const IMAGES: Table = Table {
    name: "images",
    version: Version { major: 1, minor: 2 },
    row: "one image; key image_id",
    columns: &[
        Column::new("image_id", Values::I64, "running number over all splits, from 0"),
        Column::new("image_key", Values::Text, "name of the image, like test/00012; unique"),
        Column::new(
            "split",
            Values::Text,
            "part of the data set: train, validation, test, scenes, or as section [data] names it",
        ),
        Column::nullable("label", Values::I32, "class index from 0; null where an image has no single class"),
        Column::new("width", Values::I32, "pixels"),
        Column::new("height", Values::I32, "pixels"),
        Column::new("bytes", Values::Bytes, "the image as a PNG or JPEG file, as the source has it"),
        Column::new("boxes", Values::Boxes, "objects: class index and pixel box, xmax and ymax not included"),
        Column::new(
            "labels",
            Values::I32List,
            "classes the image counts as, ascending: its label, or those of its objects",
        ),
        Column::new(
            "set_aside",
            Values::Boxes,
            "objects that the source marks as difficult or crowd, left out of boxes",
        ),
        Column::new(
            "masks",
            Values::Masks,
            "pixels of each of boxes, in their order: counts outside and inside by turns, column by column, as COCO's \
             uncompressed RLE; empty where the source has no masks",
        ),
    ],
};

/// Images of a source that could not be read.
pub const BAD_IMAGES: Table = Table {
    name: "bad_images",
    version: Version { major: 1, minor: 0 },
    row: "one image that was left out; key image_key",
    columns: &[
        Column::new("image_key", Values::Text, "name the image would have in the image table"),
        Column::new("reason", Values::Text, "what is wrong with it"),
    ],
};

/// Directory of [`FEATURES`] in an experiment's output.
pub const FEATURES_DIR: &str = "features";

/// What a frozen backbone makes of each image.
pub const FEATURES: Table = Table {
    name: "features",
    version: Version { major: 1, minor: 3 },
    row: "one view of one image under one backbone; key image_id, view",
    columns: &[
        Column::new("image_id", Values::I64, "image_id of the image table"),
        Column::new("image_key", Values::Text, "name of the image"),
        Column::new("split", Values::Text, "split of the image"),
        Column::nullable("label", Values::I32, "class index from 0; null where an image has no single class"),
        Column::new("embedding", Values::Tensor, "mean of the map over positions, shape [channels]"),
        Column::new("map", Values::Tensor, "last feature map, shape [channels, rows, columns]"),
        Column::new("labels", Values::I32List, "classes the image counts as, ascending"),
        Column::new(
            "set_aside",
            Values::I32List,
            "classes the image has only in objects that are set aside, ascending; they count as absent, and metrics look away",
        ),
        Column::new("view", Values::I32, "0: the picture as in evaluation; from 1: a random crop, perhaps mirrored"),
        Column::new("crop_left", Values::F32, "first column of what is seen, in pixels of the stored picture"),
        Column::new("crop_top", Values::F32, "first row of it"),
        Column::new("crop_width", Values::F32, "columns of it"),
        Column::new("crop_height", Values::F32, "rows of it"),
        Column::new("flipped", Values::Bool, "whether left and right are exchanged"),
    ],
};

/// Columns of [`IMAGES`], an entry a row.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct ImageRows {
    pub image_id: Vec<i64>,
    pub image_key: Vec<String>,
    pub split: Vec<String>,
    pub label: Vec<Option<i32>>,
    pub width: Vec<i32>,
    pub height: Vec<i32>,
    pub bytes: Vec<Vec<u8>>,
    pub boxes: Vec<Vec<Box2>>,
    pub labels: Vec<Vec<i32>>,
    pub set_aside: Vec<Vec<Box2>>,
    pub masks: Vec<Vec<Rle>>,
}

impl ImageRows {
    /// Position of the column `image_id`, to look at without reading the images.
    pub const ID: usize = 0;
    /// Position of the column `split`.
    pub const SPLIT: usize = 2;
    /// Position of the column `label`.
    pub const LABEL: usize = 3;

    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![
            Cells::I64(self.image_id),
            Cells::Text(self.image_key),
            Cells::Text(self.split),
            Cells::I32Opt(self.label),
            Cells::I32(self.width),
            Cells::I32(self.height),
            Cells::Bytes(self.bytes),
            Cells::Boxes(self.boxes),
            Cells::I32List(self.labels),
            Cells::Boxes(self.set_aside),
            Cells::Masks(self.masks),
        ]
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            image_id: columns.next()?,
            image_key: columns.next()?,
            split: columns.next()?,
            label: columns.next()?,
            width: columns.next()?,
            height: columns.next()?,
            bytes: columns.next()?,
            boxes: columns.next()?,
            labels: columns.next()?,
            set_aside: columns.next()?,
            masks: columns.next()?,
        })
    }

    /// Classes that a row has in objects that are set aside only, ascending.
    pub fn set_aside_classes(&self, row: usize) -> Vec<i32> {
        let classes: BTreeSet<i32> = self.set_aside[row].iter().map(|object| object.class).collect();
        classes.into_iter().filter(|class| !self.labels[row].contains(class)).collect()
    }

    /// These rows, then those of `more`.
    pub fn append(mut self, more: Self) -> Self {
        self.image_id.extend(more.image_id);
        self.image_key.extend(more.image_key);
        self.split.extend(more.split);
        self.label.extend(more.label);
        self.width.extend(more.width);
        self.height.extend(more.height);
        self.bytes.extend(more.bytes);
        self.boxes.extend(more.boxes);
        self.labels.extend(more.labels);
        self.set_aside.extend(more.set_aside);
        self.masks.extend(more.masks);
        self
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.image_id.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.image_id.is_empty()
    }
}

/// Columns of [`BAD_IMAGES`], an entry a row.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct BadRows {
    pub image_key: Vec<String>,
    pub reason: Vec<String>,
}

impl BadRows {
    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![Cells::Text(self.image_key), Cells::Text(self.reason)]
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self { image_key: columns.next()?, reason: columns.next()? })
    }
}

/// Columns of [`FEATURES`], an entry a row; tensors have their rows one after the other.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct FeatureRows {
    pub image_id: Vec<i64>,
    pub image_key: Vec<String>,
    pub split: Vec<String>,
    pub label: Vec<Option<i32>>,
    pub embedding: Vec<f32>,
    pub map: Vec<f32>,
    pub labels: Vec<Vec<i32>>,
    pub set_aside: Vec<Vec<i32>>,
    pub view: Vec<i32>,
    pub crop_left: Vec<f32>,
    pub crop_top: Vec<f32>,
    pub crop_width: Vec<f32>,
    pub crop_height: Vec<f32>,
    pub flipped: Vec<bool>,
}

impl FeatureRows {
    /// Position of the column `split`, to look at without reading tensors.
    pub const SPLIT: usize = 2;
    /// Position of the column `embedding`, for its shape.
    pub const EMBEDDING: usize = 4;
    /// Position of the column `map`, for its shape.
    pub const MAP: usize = 5;

    /// Shape of a map: channels, rows, columns.
    ///
    /// # Errors
    /// A table with maps of another rank.
    pub fn map_shape(table: &Reader) -> Result<[usize; 3]> {
        let wrong = |_| Error::BadData("features: maps are not of rank 3; run the features stage again".to_string());
        table.shape(Self::MAP).try_into().map_err(wrong)
    }

    /// Appends all but the tensors of what is seen of row `row` of `images`.
    pub fn push(&mut self, images: &ImageRows, row: usize, view: View) {
        self.image_id.push(images.image_id[row]);
        self.image_key.push(images.image_key[row].clone());
        self.split.push(images.split[row].clone());
        self.label.push(images.label[row]);
        self.labels.push(images.labels[row].clone());
        self.set_aside.push(images.set_aside_classes(row));
        self.view.push(view.number);
        self.crop_left.push(view.left);
        self.crop_top.push(view.top);
        self.crop_width.push(view.width);
        self.crop_height.push(view.height);
        self.flipped.push(view.flipped);
    }

    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![
            Cells::I64(self.image_id),
            Cells::Text(self.image_key),
            Cells::Text(self.split),
            Cells::I32Opt(self.label),
            Cells::Tensor(self.embedding),
            Cells::Tensor(self.map),
            Cells::I32List(self.labels),
            Cells::I32List(self.set_aside),
            Cells::I32(self.view),
            Cells::F32(self.crop_left),
            Cells::F32(self.crop_top),
            Cells::F32(self.crop_width),
            Cells::F32(self.crop_height),
            Cells::Bool(self.flipped),
        ]
    }

    /// The rows of a part without their tensors, which are nearly all of its bytes and stay empty.
    ///
    /// # Errors
    /// A part that cannot be read.
    pub fn read_images(table: &Reader, part: usize) -> Result<Self> {
        let tensors = [Self::EMBEDDING, Self::MAP];
        let wanted: Vec<usize> = (0..FEATURES.columns.len()).filter(|column| !tensors.contains(column)).collect();
        let mut cells = table.read_columns(part, &wanted)?;
        tensors.into_iter().for_each(|column| cells.insert(column, Cells::Tensor(vec![])));
        Self::from_cells(cells)
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            image_id: columns.next()?,
            image_key: columns.next()?,
            split: columns.next()?,
            label: columns.next()?,
            embedding: columns.next()?,
            map: columns.next()?,
            labels: columns.next()?,
            set_aside: columns.next()?,
            view: columns.next()?,
            crop_left: columns.next()?,
            crop_top: columns.next()?,
            crop_width: columns.next()?,
            crop_height: columns.next()?,
            flipped: columns.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_positions_are_those_of_the_declarations() {
        for (table, position, name) in [
            (&IMAGES, ImageRows::ID, "image_id"),
            (&IMAGES, ImageRows::SPLIT, "split"),
            (&IMAGES, ImageRows::LABEL, "label"),
            (&FEATURES, FeatureRows::SPLIT, "split"),
            (&FEATURES, FeatureRows::EMBEDDING, "embedding"),
            (&FEATURES, FeatureRows::MAP, "map"),
        ] {
            assert_eq!(table.columns[position].name, name);
        }
        assert_eq!(ImageRows::default().cells().len(), IMAGES.columns.len());
        assert_eq!(FeatureRows::default().cells().len(), FEATURES.columns.len());
    }
}
