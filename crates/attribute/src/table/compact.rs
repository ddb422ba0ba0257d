//! Rows of maps that are not kept at every pixel, and of the segments that some of them stand on.

use features::artifact::{Cells, Columns};
use features::error::Result;

use super::MapRows;

/// Columns of [`super::COMPACT`], an entry a row.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct CompactRows {
    /// The columns that [`super::MAPS`] has too, without maps.
    pub about: MapRows,
    pub storage: Vec<String>,
    pub rows: Vec<i32>,
    pub columns: Vec<i32>,
    pub cut: Vec<Option<String>>,
    pub values: Vec<Vec<f32>>,
}

impl CompactRows {
    /// Position of the column `item_kind`, to look at without reading the rest.
    pub const ITEM_KIND: usize = 1;
    /// Position of the column `grid_size`.
    pub const GRID_SIZE: usize = 2;

    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        let mut cells = self.about.about();
        cells.extend([
            Cells::Text(self.storage),
            Cells::I32(self.rows),
            Cells::I32(self.columns),
            Cells::TextOpt(self.cut),
            Cells::F32List(self.values),
        ]);
        cells
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            about: MapRows::about_from(&mut columns)?,
            storage: columns.next()?,
            rows: columns.next()?,
            columns: columns.next()?,
            cut: columns.next()?,
            values: columns.next()?,
        })
    }

    /// Moves the rows of `more` behind these.
    pub fn append(&mut self, mut more: Self) {
        self.about.append(more.about);
        self.storage.append(&mut more.storage);
        self.rows.append(&mut more.rows);
        self.columns.append(&mut more.columns);
        self.cut.append(&mut more.cut);
        self.values.append(&mut more.values);
    }
}

/// Columns of [`super::SEGMENTS`], an entry a row.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct SegmentRows {
    pub item: Vec<String>,
    pub cut: Vec<String>,
    pub count: Vec<i32>,
    pub labels: Vec<Vec<i32>>,
}

impl SegmentRows {
    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![Cells::Text(self.item), Cells::Text(self.cut), Cells::I32(self.count), Cells::I32List(self.labels)]
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self { item: columns.next()?, cut: columns.next()?, count: columns.next()?, labels: columns.next()? })
    }

    /// Moves the rows of `more` behind these.
    pub fn append(&mut self, mut more: Self) {
        self.item.append(&mut more.item);
        self.cut.append(&mut more.cut);
        self.count.append(&mut more.count);
        self.labels.append(&mut more.labels);
    }
}
