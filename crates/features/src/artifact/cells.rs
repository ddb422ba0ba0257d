//! Values of one column of one part in memory, and the rounding that makes floats compress.

use super::table::{Column, Values};
use crate::error::{Error, Result};

/// An axis-aligned box in pixels; `xmin..xmax` and `ymin..ymax` are half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Box2 {
    /// Class of what is in the box.
    pub class: i32,
    /// First column inside.
    pub xmin: i32,
    /// First row inside.
    pub ymin: i32,
    /// First column behind.
    pub xmax: i32,
    /// First row below.
    pub ymax: i32,
}

/// The pixels of one object, in a picture whose size is known otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rle {
    /// Class of the object.
    pub class: i32,
    /// Pixels outside and inside by turns, column by column; see `features::mask`.
    pub counts: Vec<i32>,
}

/// Values of one column, a row an entry (except `Tensor`). `...Opt` is for nullable columns.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is named after its column type in `Values`")]
pub enum Cells {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I32Opt(Vec<Option<i32>>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F32Opt(Vec<Option<f32>>),
    F64(Vec<f64>),
    F64Opt(Vec<Option<f64>>),
    Text(Vec<String>),
    TextOpt(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
    /// Rows one after the other, each of the column's shape, row-major.
    Tensor(Vec<f32>),
    I32List(Vec<Vec<i32>>),
    F32List(Vec<Vec<f32>>),
    TextList(Vec<Vec<String>>),
    Boxes(Vec<Vec<Box2>>),
    Masks(Vec<Vec<Rle>>),
}

impl Cells {
    /// No rows, of the kind that `column` takes.
    pub(super) fn empty(column: &Column) -> Self {
        match (column.values, column.nullable) {
            (Values::Bool, _) => Self::Bool(vec![]),
            (Values::I32, false) => Self::I32(vec![]),
            (Values::I32, true) => Self::I32Opt(vec![]),
            (Values::I64, _) => Self::I64(vec![]),
            (Values::F32, false) => Self::F32(vec![]),
            (Values::F32, true) => Self::F32Opt(vec![]),
            (Values::F64, false) => Self::F64(vec![]),
            (Values::F64, true) => Self::F64Opt(vec![]),
            (Values::Text, false) => Self::Text(vec![]),
            (Values::Text, true) => Self::TextOpt(vec![]),
            (Values::Bytes, _) => Self::Bytes(vec![]),
            (Values::Tensor, _) => Self::Tensor(vec![]),
            (Values::I32List, _) => Self::I32List(vec![]),
            (Values::F32List, _) => Self::F32List(vec![]),
            (Values::TextList, _) => Self::TextList(vec![]),
            (Values::Boxes, _) => Self::Boxes(vec![]),
            (Values::Masks, _) => Self::Masks(vec![]),
        }
    }

    /// Moves the rows of `more` behind these; both must be of one kind.
    pub(super) fn append(&mut self, more: Self) -> Result<()> {
        match (self, more) {
            (Self::Bool(rows), Self::Bool(more)) => rows.extend(more),
            (Self::I32(rows), Self::I32(more)) => rows.extend(more),
            (Self::I32Opt(rows), Self::I32Opt(more)) => rows.extend(more),
            (Self::I64(rows), Self::I64(more)) => rows.extend(more),
            (Self::F32(rows), Self::F32(more)) | (Self::Tensor(rows), Self::Tensor(more)) => rows.extend(more),
            (Self::F32Opt(rows), Self::F32Opt(more)) => rows.extend(more),
            (Self::F64(rows), Self::F64(more)) => rows.extend(more),
            (Self::F64Opt(rows), Self::F64Opt(more)) => rows.extend(more),
            (Self::Text(rows), Self::Text(more)) => rows.extend(more),
            (Self::TextOpt(rows), Self::TextOpt(more)) => rows.extend(more),
            (Self::Bytes(rows), Self::Bytes(more)) => rows.extend(more),
            (Self::I32List(rows), Self::I32List(more)) => rows.extend(more),
            (Self::F32List(rows), Self::F32List(more)) => rows.extend(more),
            (Self::TextList(rows), Self::TextList(more)) => rows.extend(more),
            (Self::Boxes(rows), Self::Boxes(more)) => rows.extend(more),
            (Self::Masks(rows), Self::Masks(more)) => rows.extend(more),
            (rows, more) => {
                let (rows, more) = (rows.kind(), more.kind());
                return Err(Error::Bug(format!("cells of kind {more} cannot follow cells of kind {rows}")));
            }
        }
        Ok(())
    }

    /// Number of rows; `width` is the number of floats in a tensor row.
    pub(super) fn rows(&self, width: usize) -> usize {
        match self {
            Self::Bool(rows) => rows.len(),
            Self::I32(rows) => rows.len(),
            Self::I32Opt(rows) => rows.len(),
            Self::I64(rows) => rows.len(),
            Self::F32(rows) => rows.len(),
            Self::F32Opt(rows) => rows.len(),
            Self::F64(rows) => rows.len(),
            Self::F64Opt(rows) => rows.len(),
            Self::Text(rows) => rows.len(),
            Self::TextOpt(rows) => rows.len(),
            Self::Bytes(rows) => rows.len(),
            Self::Tensor(floats) => floats.len() / width.max(1),
            Self::I32List(rows) => rows.len(),
            Self::F32List(rows) => rows.len(),
            Self::TextList(rows) => rows.len(),
            Self::Boxes(rows) => rows.len(),
            Self::Masks(rows) => rows.len(),
        }
    }

    /// Name of the variant, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "Bool",
            Self::I32(_) => "I32",
            Self::I32Opt(_) => "I32Opt",
            Self::I64(_) => "I64",
            Self::F32(_) => "F32",
            Self::F32Opt(_) => "F32Opt",
            Self::F64(_) => "F64",
            Self::F64Opt(_) => "F64Opt",
            Self::Text(_) => "Text",
            Self::TextOpt(_) => "TextOpt",
            Self::Bytes(_) => "Bytes",
            Self::Tensor(_) => "Tensor",
            Self::I32List(_) => "I32List",
            Self::F32List(_) => "F32List",
            Self::TextList(_) => "TextList",
            Self::Boxes(_) => "Boxes",
            Self::Masks(_) => "Masks",
        }
    }
}

/// Rounds each value to `keep_bits` bits after the leading one (23 or more: unchanged), so that the zeroed low bytes
/// compress away. NaN and infinities stay, and no finite value becomes infinite.
// METHOD: round half to even on the mantissa; a value that would round up to infinity is cut instead.
pub fn round_mantissa(values: &mut [f32], keep_bits: u32) {
    if keep_bits >= 23 {
        return;
    }
    let dropped = 23 - keep_bits;
    let mask = !0u32 << dropped;
    for value in values.iter_mut().filter(|value| value.is_finite()) {
        let bits = value.to_bits();
        let half_to_even = (1u32 << (dropped - 1)) - 1 + ((bits >> dropped) & 1);
        let rounded = f32::from_bits((bits + half_to_even) & mask);
        *value = if rounded.is_finite() { rounded } else { f32::from_bits(bits & mask) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_what_is_not_finite_and_makes_nothing_infinite() {
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0];
        round_mantissa(&mut values, 7);
        assert!(values[0].is_nan());
        assert_eq!(values[1..3], [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(values[3].is_finite() && values[3] > 3.3e38 && values[4] == -values[3], "{values:?}");
        assert_eq!(values[5].to_bits(), 0);
        assert_eq!(values[6].to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn rounding_goes_to_the_nearest_and_ties_to_even() {
        let ulp = 2f32.powi(-7);
        let cases = [
            (1.0, 1.0),
            (1.0 + 0.4 * ulp, 1.0),
            (1.0 + 0.6 * ulp, 1.0 + ulp),
            (1.0 + 0.5 * ulp, 1.0),
            (1.0 + 1.5 * ulp, 1.0 + 2.0 * ulp),
            (-1.0 - 0.6 * ulp, -1.0 - ulp),
            (2.0 - 0.1 * ulp, 2.0),
        ];
        for (value, expected) in cases {
            let mut values = [value];
            round_mantissa(&mut values, 7);
            assert_eq!(values[0], expected, "{value}");
        }
        let mut values = [0.1, 1e-40, -7.3];
        let before = values;
        round_mantissa(&mut values, 23);
        assert_eq!(values, before);
    }
}
