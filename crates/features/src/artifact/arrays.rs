//! Cells to Arrow arrays and back; the only code that knows both.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};

use super::cells::{Box2, Cells, Rle};
use super::table::{Column, Values, box_fields, element, mask_fields};
use crate::error::{Error, Result};

/// Arrow array of `cells`, which must be of the column's kind; `width` is the number of floats in a tensor row.
pub(super) fn to_array(cells: Cells, column: &Column, width: usize) -> Result<ArrayRef> {
    if cells.kind() != Cells::empty(column).kind() {
        let (wanted, given) = (Cells::empty(column).kind(), cells.kind());
        return Err(Error::Bug(format!("column `{}` takes cells of kind {wanted}, not {given}", column.name)));
    }
    let bug = |error: arrow::error::ArrowError| Error::Bug(format!("column `{}`: {error}", column.name));
    Ok(match cells {
        Cells::Bool(rows) => Arc::new(BooleanArray::from(rows)),
        Cells::I32(rows) => Arc::new(Int32Array::from(rows)),
        Cells::I32Opt(rows) => Arc::new(Int32Array::from(rows)),
        Cells::I64(rows) => Arc::new(Int64Array::from(rows)),
        Cells::F32(rows) => Arc::new(Float32Array::from(rows)),
        Cells::F32Opt(rows) => Arc::new(Float32Array::from(rows)),
        Cells::F64(rows) => Arc::new(Float64Array::from(rows)),
        Cells::F64Opt(rows) => Arc::new(Float64Array::from(rows)),
        Cells::Text(rows) => {
            fits(column, rows.iter().map(String::len))?;
            Arc::new(StringArray::from_iter_values(rows))
        }
        Cells::TextOpt(rows) => {
            fits(column, rows.iter().flatten().map(String::len))?;
            Arc::new(StringArray::from(rows))
        }
        Cells::Bytes(rows) => {
            fits(column, rows.iter().map(Vec::len))?;
            Arc::new(BinaryArray::from_iter_values(rows))
        }
        Cells::Tensor(floats) => {
            let floats = Arc::new(Float32Array::from(floats));
            let rows = FixedSizeListArray::try_new(element(DataType::Float32), width as i32, floats, None);
            Arc::new(rows.map_err(bug)?)
        }
        Cells::I32List(rows) => list(column, DataType::Int32, &rows, |flat| Arc::new(Int32Array::from(flat)))?,
        Cells::F32List(rows) => list(column, DataType::Float32, &rows, |flat| Arc::new(Float32Array::from(flat)))?,
        Cells::TextList(rows) => {
            fits(column, rows.iter().flatten().map(String::len))?;
            list(column, DataType::Utf8, &rows, |flat| Arc::new(StringArray::from(flat)))?
        }
        Cells::Boxes(rows) => list(column, DataType::Struct(box_fields()), &rows, |flat| Arc::new(box_array(&flat)))?,
        Cells::Masks(rows) => {
            fits(column, rows.iter().flatten().map(|mask| mask.counts.len()))?;
            list(column, DataType::Struct(mask_fields()), &rows, |flat| Arc::new(mask_array(&flat)))?
        }
    })
}

/// Arrow's 32-bit offsets bound what one part can hold in one column.
fn fits(column: &Column, lengths: impl Iterator<Item = usize>) -> Result<()> {
    if i32::try_from(lengths.sum::<usize>()).is_ok() {
        return Ok(());
    }
    Err(Error::Bug(format!("column `{}` has more than 2 GiB in one part; make more parts", column.name)))
}

fn list<T: Clone>(
    column: &Column,
    item: DataType,
    rows: &[Vec<T>],
    array: impl Fn(Vec<T>) -> ArrayRef,
) -> Result<ArrayRef> {
    fits(column, rows.iter().map(Vec::len))?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    let list = ListArray::try_new(element(item), offsets, array(rows.concat()), None);
    Ok(Arc::new(list.map_err(|error| Error::Bug(format!("column `{}`: {error}", column.name)))?))
}

fn box_array(boxes: &[Box2]) -> StructArray {
    let child = |of: fn(&Box2) -> i32| Arc::new(Int32Array::from_iter_values(boxes.iter().map(of))) as ArrayRef;
    let children = vec![child(|b| b.class), child(|b| b.xmin), child(|b| b.ymin), child(|b| b.xmax), child(|b| b.ymax)];
    StructArray::new(box_fields(), children, None)
}

fn mask_array(masks: &[Rle]) -> StructArray {
    let offsets = OffsetBuffer::from_lengths(masks.iter().map(|mask| mask.counts.len()));
    let counts = Int32Array::from_iter_values(masks.iter().flat_map(|mask| mask.counts.iter().copied()));
    let counts = ListArray::new(element(DataType::Int32), offsets, Arc::new(counts), None);
    let class = Int32Array::from_iter_values(masks.iter().map(|mask| mask.class));
    StructArray::new(mask_fields(), vec![Arc::new(class), Arc::new(counts)], None)
}

/// Cells of `column` from an array of exactly the column's Arrow type.
pub(super) fn from_array(array: &dyn Array, column: &Column) -> Cells {
    match (column.values, column.nullable) {
        (Values::Bool, _) => Cells::Bool(array.as_boolean().values().iter().collect()),
        (Values::I32, false) => Cells::I32(array.as_primitive::<Int32Type>().values().to_vec()),
        (Values::I32, true) => Cells::I32Opt(array.as_primitive::<Int32Type>().iter().collect()),
        (Values::I64, _) => Cells::I64(array.as_primitive::<Int64Type>().values().to_vec()),
        (Values::F32, false) => Cells::F32(array.as_primitive::<Float32Type>().values().to_vec()),
        (Values::F32, true) => Cells::F32Opt(array.as_primitive::<Float32Type>().iter().collect()),
        (Values::F64, false) => Cells::F64(array.as_primitive::<Float64Type>().values().to_vec()),
        (Values::F64, true) => Cells::F64Opt(array.as_primitive::<Float64Type>().iter().collect()),
        (Values::Text, false) => Cells::Text(texts(array)),
        (Values::Text, true) => {
            Cells::TextOpt(array.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect())
        }
        (Values::Bytes, _) => {
            let bytes = array.as_binary::<i32>();
            Cells::Bytes((0..bytes.len()).map(|row| bytes.value(row).to_vec()).collect())
        }
        (Values::Tensor, _) => {
            let rows = array.as_fixed_size_list();
            let width = rows.value_length() as usize;
            let floats = rows.values().as_primitive::<Float32Type>().values();
            let start = rows.offset() * width;
            Cells::Tensor(floats[start..start + rows.len() * width].to_vec())
        }
        (Values::I32List, _) => {
            Cells::I32List(unlist(array, |items| items.as_primitive::<Int32Type>().values().to_vec()))
        }
        (Values::F32List, _) => {
            Cells::F32List(unlist(array, |items| items.as_primitive::<Float32Type>().values().to_vec()))
        }
        (Values::TextList, _) => Cells::TextList(unlist(array, texts)),
        (Values::Boxes, _) => Cells::Boxes(unlist(array, boxes)),
        (Values::Masks, _) => Cells::Masks(unlist(array, masks)),
    }
}

fn texts(array: &dyn Array) -> Vec<String> {
    let texts = array.as_string::<i32>();
    (0..texts.len()).map(|row| texts.value(row).to_string()).collect()
}

fn boxes(array: &dyn Array) -> Vec<Box2> {
    let children = array.as_struct().columns();
    let [class, xmin, ymin, xmax, ymax] = [0, 1, 2, 3, 4].map(|child| children[child].as_primitive::<Int32Type>());
    let one = |row| Box2 {
        class: class.value(row),
        xmin: xmin.value(row),
        ymin: ymin.value(row),
        xmax: xmax.value(row),
        ymax: ymax.value(row),
    };
    (0..array.len()).map(one).collect()
}

fn masks(array: &dyn Array) -> Vec<Rle> {
    let children = array.as_struct().columns();
    let class = children[0].as_primitive::<Int32Type>();
    let counts = unlist(&children[1], |items| items.as_primitive::<Int32Type>().values().to_vec());
    counts.into_iter().enumerate().map(|(row, counts)| Rle { class: class.value(row), counts }).collect()
}

fn unlist<T>(array: &dyn Array, items: impl Fn(&dyn Array) -> Vec<T>) -> Vec<Vec<T>> {
    let list = array.as_list::<i32>();
    (0..list.len()).map(|row| items(&list.value(row))).collect()
}
