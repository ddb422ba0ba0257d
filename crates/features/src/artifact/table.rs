//! Declaration of a table as data; its Arrow schema, the checks on reading and its documentation follow from it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};

use super::version::Version;
use crate::error::{Error, Result};

/// One kind of table: what a row is and which columns it has.
#[derive(Debug)]
pub struct Table {
    /// Name of the kind, in files and messages.
    pub name: &'static str,
    /// Version of this declaration.
    pub version: Version,
    /// What one row is, and what its key is.
    pub row: &'static str,
    /// The columns in file order.
    pub columns: &'static [Column],
}

/// One declared column.
#[derive(Debug)]
pub struct Column {
    /// Name in the file.
    pub name: &'static str,
    /// Type of a value.
    pub values: Values,
    /// Whether a value may be absent (null); `I32`, `F32`, `F64` and `Text` only.
    pub nullable: bool,
    /// What a value means, with its unit.
    pub meaning: &'static str,
}

impl Column {
    /// A column whose values are all present.
    pub const fn new(name: &'static str, values: Values, meaning: &'static str) -> Self {
        Self { name, values, nullable: false, meaning }
    }

    /// A column whose values may be absent.
    pub const fn nullable(name: &'static str, values: Values, meaning: &'static str) -> Self {
        Self { name, values, nullable: true, meaning }
    }
}

/// Type of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// True or false.
    Bool,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// UTF-8 text.
    Text,
    /// Bytes of a file format, stored as they are.
    Bytes,
    /// Floats of one shape for all rows, row-major: `FixedSizeList<f32>`.
    Tensor,
    /// Any number of 32-bit integers.
    I32List,
    /// Any number of 32-bit floats.
    F32List,
    /// Any number of texts.
    TextList,
    /// Any number of boxes: struct of class, xmin, ymin, xmax, ymax, all 32-bit integers.
    Boxes,
    /// Any number of masks: struct of class and runs, all 32-bit integers.
    Masks,
}

impl Values {
    /// The type's name in documentation and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Tensor => "fixed_size_list<float32>",
            Self::I32List => "list<int32>",
            Self::F32List => "list<float32>",
            Self::TextList => "list<text>",
            Self::Boxes => "list<struct<class, xmin, ymin, xmax, ymax: int32>>",
            Self::Masks => "list<struct<class: int32, counts: list<int32>>>",
        }
    }

    /// Arrow type; `width` is the number of floats of a tensor and unused for other types.
    pub(super) fn data_type(self, width: usize) -> DataType {
        let list = |item: DataType| DataType::List(element(item));
        match self {
            Self::Bool => DataType::Boolean,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Tensor => DataType::FixedSizeList(element(DataType::Float32), width as i32),
            Self::I32List => list(DataType::Int32),
            Self::F32List => list(DataType::Float32),
            Self::TextList => list(DataType::Utf8),
            Self::Boxes => list(DataType::Struct(box_fields())),
            Self::Masks => list(DataType::Struct(mask_fields())),
        }
    }

    fn can_be_absent(self) -> bool {
        matches!(self, Self::I32 | Self::F32 | Self::F64 | Self::Text)
    }
}

/// The one child of every list type, required and named as the Parquet standard names it.
pub(super) fn element(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", item, false))
}

/// Fields of a box, in the order of [`super::Box2`].
pub(super) fn box_fields() -> Fields {
    ["class", "xmin", "ymin", "xmax", "ymax"].into_iter().map(|name| Field::new(name, DataType::Int32, false)).collect()
}

/// Fields of a mask, in the order of [`super::Rle`].
pub(super) fn mask_fields() -> Fields {
    let counts = DataType::List(element(DataType::Int32));
    [Field::new("class", DataType::Int32, false), Field::new("counts", counts, false)].into_iter().collect()
}

impl Table {
    /// Positions of the tensor columns, in order.
    pub(super) fn tensors(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|&column| self.columns[column].values == Values::Tensor)
    }

    /// Number of floats in a row of each column, 0 where it is no tensor; `shapes` has one entry a tensor column.
    pub(super) fn widths(&self, shapes: &[Vec<usize>]) -> Result<Vec<usize>> {
        let count = self.tensors().count();
        if shapes.len() != count {
            let message = format!("table `{}`: {count} tensor columns, {} shapes given", self.name, shapes.len());
            return Err(Error::Bug(message));
        }
        let mut widths = vec![0; self.columns.len()];
        for (column, shape) in self.tensors().zip(shapes) {
            let width = shape.iter().product::<usize>();
            if width == 0 || i32::try_from(width).is_err() {
                let name = self.columns[column].name;
                return Err(Error::Bug(format!("table `{}`: column `{name}` cannot have shape {shape:?}", self.name)));
            }
            widths[column] = width;
        }
        Ok(widths)
    }

    /// Arrow schema for these widths, each field with its meaning.
    pub(super) fn schema(&self, widths: &[usize]) -> Schema {
        let fields = self.columns.iter().zip(widths).map(|(column, &width)| {
            let meaning = HashMap::from([("meaning".to_string(), column.meaning.to_string())]);
            Field::new(column.name, column.values.data_type(width), column.nullable).with_metadata(meaning)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// A declaration that no file could follow is a bug of the crate that declares it.
    pub(super) fn check(&self) -> Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            let wrong = if column.nullable && !column.values.can_be_absent() {
                "cannot be nullable"
            } else if self.columns[..index].iter().any(|other| other.name == column.name) {
                "is declared twice"
            } else {
                continue;
            };
            return Err(Error::Bug(format!("table `{}`: column `{}` {wrong}", self.name, column.name)));
        }
        Ok(())
    }
}
