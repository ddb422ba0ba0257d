//! Tables of images in Parquet files, as Hugging Face's hub ships ImageNet: a struct of bytes and path, and a label.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::classes::Classes;
use super::{FILE_BYTES, Found, Masks, PART, PART_BYTES, Source};
use crate::error::{Error, Result};

/// Rows decoded at a time.
const ROWS: usize = 64;

/// Parquet files of one table.
pub struct Tables {
    image: String,
    label: String,
    files: Vec<(PathBuf, ArrowReaderMetadata)>,
    slices: Vec<Slice>,
    classes: Classes,
}

/// Some rows of a row group.
struct Slice {
    file: usize,
    group: usize,
    /// Rows of the file in front of the group.
    before: usize,
    first: usize,
    rows: usize,
}

/// The rows of the file `path`, or of all `.parquet` files in it.
pub fn index(path: &Path, image: &str, label: &str) -> Result<Tables> {
    let mut paths = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| Error::io(path, error))?;
        paths = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|file| file.extension().is_some_and(|ending| ending == "parquet"));
        paths.sort();
    }
    let mut files = Vec::new();
    for path in paths {
        let file = File::open(&path).map_err(|error| Error::io(&path, error))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| bad(&path, &format!("not a whole Parquet file ({error})")))?;
        check(&path, &metadata, image, label)?;
        files.push((path, metadata));
    }
    let Some((first, metadata)) = files.first() else {
        return Err(bad(path, "there is no .parquet file"));
    };
    let classes = match names(metadata, label) {
        Some(names) => Classes::Named(names),
        None => return Err(bad(first, &format!("names no classes for the column `{label}`"))),
    };
    let slices = files.iter().enumerate().flat_map(|(file, (_, metadata))| slices(file, metadata)).collect();
    Ok(Tables { image: image.to_string(), label: label.to_string(), files, slices, classes })
}

fn bad(path: &Path, problem: &str) -> Error {
    Error::BadData(format!(
        "{}: {problem}; give a table as the Hugging Face hub has them, or name its columns with image and label",
        path.display()
    ))
}

fn check(path: &Path, metadata: &ArrowReaderMetadata, image: &str, label: &str) -> Result<()> {
    let field = |name: &str| {
        let found = metadata.schema().fields().find(name).map(|(_, field)| field.data_type());
        found.ok_or_else(|| bad(path, &format!("has no column `{name}`")))
    };
    let is_image = match field(image)? {
        DataType::Struct(fields) => {
            fields.find("bytes").is_some_and(|(_, bytes)| *bytes.data_type() == DataType::Binary)
        }
        other => *other == DataType::Binary,
    };
    if !is_image {
        return Err(bad(path, &format!("its column `{image}` has no bytes of images")));
    }
    match field(label)? {
        DataType::Int64 | DataType::Int32 => Ok(()),
        other => Err(bad(path, &format!("its column `{label}` is {other}, not an integer"))),
    }
}

/// Names of the classes from the note that Hugging Face's `datasets` leaves in the footer.
fn names(metadata: &ArrowReaderMetadata, label: &str) -> Option<Vec<String>> {
    let mut entries = metadata.metadata().file_metadata().key_value_metadata()?.iter();
    let note = entries.find(|entry| entry.key == "huggingface")?.value.as_ref()?;
    let note: serde_json::Value = serde_json::from_str(note).ok()?;
    let names = note.get("info")?.get("features")?.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_string)).collect()
}

/// Row ranges of about [`PART_BYTES`] bytes.
fn slices(file: usize, metadata: &ArrowReaderMetadata) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut before = 0;
    for (group, about) in metadata.metadata().row_groups().iter().enumerate() {
        let total = about.num_rows().max(0) as usize;
        let bytes = (about.total_byte_size().max(1) as u64).div_ceil(total.max(1) as u64);
        let rows = ((PART_BYTES / bytes) as usize).clamp(1, PART);
        let starts = (0..total).step_by(rows);
        slices.extend(starts.map(|first| Slice { file, group, before, first, rows: rows.min(total - first) }));
        before += total;
    }
    slices
}

impl Source for Tables {
    fn parts(&self) -> Vec<usize> {
        self.slices.iter().map(|slice| slice.rows).collect()
    }

    fn classes(&self) -> Classes {
        self.classes.clone()
    }

    fn identity(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (path, metadata) in &self.files {
            let name = path.file_name().unwrap_or_default();
            let size = std::fs::metadata(path).map_or(0, |found| found.len());
            let rows = metadata.metadata().file_metadata().num_rows();
            hasher.update(format!("{name:?} {size} {rows} {} {}\n", self.image, self.label).as_bytes());
        }
        hasher.finalize()
    }

    fn read(&self, part: usize) -> Result<Vec<Found>> {
        let slice = &self.slices[part];
        let (path, metadata) = &self.files[slice.file];
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let damaged = |error: &dyn std::fmt::Display| bad(path, &format!("damaged ({error})"));
        let fields = metadata.schema().fields();
        let wanted = [&self.image, &self.label].into_iter().filter_map(|name| fields.find(name)).map(|(at, _)| at);
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
            .with_projection(ProjectionMask::roots(metadata.parquet_schema(), wanted))
            .with_row_groups(vec![slice.group])
            .with_offset(slice.first)
            .with_limit(slice.rows)
            .with_batch_size(ROWS)
            .build()
            .map_err(|error| damaged(&error))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut found = Vec::with_capacity(slice.rows);
        for batch in batches {
            let batch = batch.map_err(|error| damaged(&error))?;
            let column = |name: &str| batch.column_by_name(name).cloned().ok_or_else(|| damaged(&"a column is gone"));
            let (images, labels) = (column(&self.image)?, column(&self.label)?);
            for row in 0..batch.num_rows() {
                let label = label(&labels, row);
                found.push(Found {
                    key: format!("{stem}/{:08}", slice.before + slice.first + found.len()),
                    label,
                    labels: label.into_iter().collect(),
                    boxes: vec![],
                    set_aside: vec![],
                    masks: Masks::default(),
                    bytes: bytes(&images, row),
                });
            }
        }
        Ok(found)
    }
}

/// The class index; none where it is absent or negative, as the hub's unlabelled test sets have it.
fn label(labels: &dyn Array, row: usize) -> Option<i32> {
    if labels.is_null(row) {
        return None;
    }
    let label = match labels.data_type() {
        DataType::Int32 => i64::from(labels.as_primitive::<Int32Type>().value(row)),
        _ => labels.as_primitive::<Int64Type>().value(row),
    };
    i32::try_from(label).ok().filter(|&label| label >= 0)
}

fn bytes(images: &dyn Array, row: usize) -> std::result::Result<Vec<u8>, String> {
    let within = images.as_struct_opt().and_then(|image| image.column_by_name("bytes"));
    let bytes = within.map_or(images, |bytes| bytes.as_ref()).as_binary::<i32>();
    if images.is_null(row) || bytes.is_null(row) {
        return Err("the table has no bytes of it, only a path at most".to_string());
    }
    let bytes = bytes.value(row);
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("{} bytes are too many for a picture", bytes.len()));
    }
    Ok(bytes.to_vec())
}
