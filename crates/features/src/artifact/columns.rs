//! Typed access to the columns of a part that was read, in declared order.

use super::cells::{Box2, Cells, Rle};
use crate::error::{Error, Result};

/// A vector that some kind of cells holds.
pub trait FromCells: Sized {
    /// The vector itself; cells of another kind are a bug of the caller's table declaration.
    fn from_cells(cells: Cells) -> Result<Self>;
}

macro_rules! from_cells {
    ($($rows:ty: $($kind:ident)|+;)*) => {$(
        impl FromCells for Vec<$rows> {
            fn from_cells(cells: Cells) -> Result<Self> {
                match cells {
                    $(Cells::$kind(rows))|+ => Ok(rows),
                    other => Err(Error::Bug(format!(
                        concat!("cells of kind {} were taken as ", stringify!($rows)), other.kind()
                    ))),
                }
            }
        }
    )*};
}

from_cells! {
    bool: Bool;
    i32: I32;
    Option<i32>: I32Opt;
    i64: I64;
    f32: F32 | Tensor;
    Option<f32>: F32Opt;
    f64: F64;
    Option<f64>: F64Opt;
    String: Text;
    Option<String>: TextOpt;
    Vec<u8>: Bytes;
    Vec<i32>: I32List;
    Vec<f32>: F32List;
    Vec<String>: TextList;
    Vec<Box2>: Boxes;
    Vec<Rle>: Masks;
}

/// Hands out the columns of one part from first to last.
pub struct Columns(std::vec::IntoIter<Cells>);

impl Columns {
    /// All columns of a part, in declared order.
    pub fn new(cells: Vec<Cells>) -> Self {
        Self(cells.into_iter())
    }

    /// The next column; the wanted vector type must fit the declaration.
    #[allow(clippy::should_implement_trait, reason = "an iterator has one type of item, columns have many")]
    pub fn next<T: FromCells>(&mut self) -> Result<T> {
        T::from_cells(self.0.next().ok_or_else(|| Error::Bug("more columns were taken than the part has".into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_out_with_their_types() {
        let mut columns = Columns::new(vec![Cells::I64(vec![1]), Cells::Tensor(vec![0.5]), Cells::TextOpt(vec![None])]);
        assert_eq!(columns.next::<Vec<i64>>().unwrap(), [1]);
        assert_eq!(columns.next::<Vec<f32>>().unwrap(), [0.5]);
        assert!(columns.next::<Vec<String>>().is_err());
        assert!(columns.next::<Vec<String>>().is_err());
    }
}
