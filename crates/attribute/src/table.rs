//! Declarations of the tables this crate writes: the grids that were built, and the maps.

mod compact;

pub use compact::{CompactRows, SegmentRows};
use features::artifact::{Cells, Column, Columns, Table, Values, Version};
use features::error::Result;

/// Grids of confidently classified tiles.
pub const GRIDS: Table = Table {
    name: "grids",
    version: Version { major: 1, minor: 0 },
    row: "one grid; key grid_size and grid_id",
    columns: &[
        Column::new("grid_id", Values::I64, "running number among the grids of its size, from 0"),
        Column::new("grid_size", Values::I32, "cells on a side"),
        Column::new("cells", Values::TextList, "image_key of each cell, row by row from the top left"),
        Column::new("labels", Values::I32List, "class of each cell, in the order of cells; all distinct"),
        Column::new("cell_px", Values::I32, "side of a cell, pixels"),
    ],
};

/// The columns of a map's identity and checks, and then others.
macro_rules! about_a_map {
    ($($more:expr),+ $(,)?) => {
        &[
            Column::new(
                "item",
                Values::Text,
                "what was explained, like grid3/0012, difull3/0012, scenes/00007 or test/00012; unique",
            ),
            Column::new(
                "item_kind",
                Values::Text,
                "grid, scene or tile; difull or dipart for grids whose cells have a classification of their own, of their \
                 pixels or of their features alone",
            ),
            Column::nullable("grid_size", Values::I32, "cells on a side; null for scenes and tiles"),
            Column::new("image_id", Values::I64, "image_id of the scene or tile, grid_id of the grid"),
            Column::new(
                "target_index",
                Values::I32,
                "grids: cell, row by row; scenes: position among its classes; tiles: 0",
            ),
            Column::new("target_class", Values::I32, "class whose logit is explained"),
            Column::new("probe_id", Values::Text, "probe whose logit is explained"),
            Column::new("method", Values::Text, "attribution method"),
            Column::new("logit", Values::F32, "the explained logit with its offset, for the whole item"),
            Column::new(
                "relevance_sum",
                Values::F32,
                "sum of the map before rounding: what the method accounts for of the logit",
            ),
            Column::nullable(
                "explained",
                Values::F32,
                "what the map should sum to: the logit, without its offset for bcos, or its change from a baseline; \
                 null where the method promises no sum",
            ),
            Column::nullable(
                "completeness_error",
                Values::F32,
                "(relevance_sum - explained) / |explained|; null where no sum is promised or constants may keep a share",
            ),
            Column::nullable(
                "absorbed_fraction",
                Values::F32,
                "share of explained that biases, shifts, offsets and stabilisers kept: 1 - relevance_sum / explained",
            ),
            Column::nullable(
                "degenerate",
                Values::Text,
                "method that gives the same map on this backbone and head, so that this one is no evidence of its own",
            ),
            $($more),+
        ]
    };
}

/// Attribution maps.
pub const MAPS: Table = Table {
    name: "maps",
    version: Version { major: 1, minor: 1 },
    row: "one map; key item, target_index, probe_id and method",
    columns: about_a_map![
        Column::new("height", Values::I32, "rows of the map"),
        Column::new("width", Values::I32, "columns of the map"),
        Column::new("map", Values::Tensor, "attribution of each pixel, sign kept, shape [height, width], rounded"),
    ],
};

/// Maps that are not kept at every pixel.
pub const COMPACT: Table = Table {
    name: "compact",
    version: Version { major: 1, minor: 0 },
    row: "one map that is kept in fewer numbers than it has pixels, of any kind of item; key item, target_index, \
          probe_id and method",
    columns: about_a_map![
        Column::new("height", Values::I32, "rows of the whole map, at the item's size"),
        Column::new("width", Values::I32, "columns of the whole map"),
        Column::new(
            "storage",
            Values::Text,
            "native: the map at the features' size; segments: a value for all pixels of a segment; digest: sums, from \
             which the map cannot be had",
        ),
        Column::new("rows", Values::I32, "rows of values; segments: 1; digest: 2"),
        Column::new("columns", Values::I32, "columns of values; segments: their number; digest: cells"),
        Column::nullable("cut", Values::Text, "segments: cut of the table segments, lime or kernel_shap"),
        Column::new(
            "values",
            Values::F32List,
            "row-major, sign kept, not rounded; native: the whole map is their bilinear enlargement with half-pixel \
             centres; digest: sum of the positive values of the whole, rounded map in each cell of a grid (the item, if \
             it is none), row by row, then of the negative ones; the whole map of native and segments is rounded to the \
             footer's keep_bits",
        ),
    ],
};

/// The segments of items, where maps are kept as a value for each.
pub const SEGMENTS: Table = Table {
    name: "segments",
    version: Version { major: 1, minor: 0 },
    row: "one item cut in one way; key item and cut",
    columns: &[
        Column::new("item", Values::Text, "what was cut"),
        Column::new("cut", Values::Text, "the methods it was cut for: lime (its variants too) or kernel_shap"),
        Column::new("count", Values::I32, "number of segments"),
        Column::new("labels", Values::I32List, "segment of each pixel of the item, row-major, from 0"),
    ],
};

/// Columns of [`GRIDS`], an entry a row.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct GridRows {
    pub grid_id: Vec<i64>,
    pub grid_size: Vec<i32>,
    pub cells: Vec<Vec<String>>,
    pub labels: Vec<Vec<i32>>,
    pub cell_px: Vec<i32>,
}

impl GridRows {
    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![
            Cells::I64(self.grid_id),
            Cells::I32(self.grid_size),
            Cells::TextList(self.cells),
            Cells::I32List(self.labels),
            Cells::I32(self.cell_px),
        ]
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            grid_id: columns.next()?,
            grid_size: columns.next()?,
            cells: columns.next()?,
            labels: columns.next()?,
            cell_px: columns.next()?,
        })
    }
}

/// Columns of [`MAPS`], an entry a row; maps one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented as a column of the table")]
pub struct MapRows {
    pub item: Vec<String>,
    pub item_kind: Vec<String>,
    pub grid_size: Vec<Option<i32>>,
    pub image_id: Vec<i64>,
    pub target_index: Vec<i32>,
    pub target_class: Vec<i32>,
    pub probe_id: Vec<String>,
    pub method: Vec<String>,
    pub logit: Vec<f32>,
    pub relevance_sum: Vec<f32>,
    pub explained: Vec<Option<f32>>,
    pub completeness_error: Vec<Option<f32>>,
    pub absorbed_fraction: Vec<Option<f32>>,
    pub degenerate: Vec<Option<String>>,
    pub height: Vec<i32>,
    pub width: Vec<i32>,
    pub map: Vec<f32>,
}

impl MapRows {
    /// Position of the column `item`, to look at without reading maps.
    pub const ITEM: usize = 0;
    /// Position of the column `map`, for its shape.
    pub const MAP: usize = 16;

    /// The columns in declared order.
    pub fn cells(mut self) -> Vec<Cells> {
        let map = std::mem::take(&mut self.map);
        let mut cells = self.about();
        cells.push(Cells::Tensor(map));
        cells
    }

    /// All columns but the map.
    pub(crate) fn about(self) -> Vec<Cells> {
        vec![
            Cells::Text(self.item),
            Cells::Text(self.item_kind),
            Cells::I32Opt(self.grid_size),
            Cells::I64(self.image_id),
            Cells::I32(self.target_index),
            Cells::I32(self.target_class),
            Cells::Text(self.probe_id),
            Cells::Text(self.method),
            Cells::F32(self.logit),
            Cells::F32(self.relevance_sum),
            Cells::F32Opt(self.explained),
            Cells::F32Opt(self.completeness_error),
            Cells::F32Opt(self.absorbed_fraction),
            Cells::TextOpt(self.degenerate),
            Cells::I32(self.height),
            Cells::I32(self.width),
        ]
    }

    /// The columns of a part that was read.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        let about = Self::about_from(&mut columns)?;
        Ok(Self { map: columns.next()?, ..about })
    }

    /// All columns but the map.
    pub(crate) fn about_from(columns: &mut Columns) -> Result<Self> {
        Ok(Self {
            item: columns.next()?,
            item_kind: columns.next()?,
            grid_size: columns.next()?,
            image_id: columns.next()?,
            target_index: columns.next()?,
            target_class: columns.next()?,
            probe_id: columns.next()?,
            method: columns.next()?,
            logit: columns.next()?,
            relevance_sum: columns.next()?,
            explained: columns.next()?,
            completeness_error: columns.next()?,
            absorbed_fraction: columns.next()?,
            degenerate: columns.next()?,
            height: columns.next()?,
            width: columns.next()?,
            map: Vec::new(),
        })
    }

    /// A copy of row number `row`, with this map.
    pub fn row(&self, row: usize, map: Vec<f32>) -> Self {
        Self {
            item: vec![self.item[row].clone()],
            item_kind: vec![self.item_kind[row].clone()],
            grid_size: vec![self.grid_size[row]],
            image_id: vec![self.image_id[row]],
            target_index: vec![self.target_index[row]],
            target_class: vec![self.target_class[row]],
            probe_id: vec![self.probe_id[row].clone()],
            method: vec![self.method[row].clone()],
            logit: vec![self.logit[row]],
            relevance_sum: vec![self.relevance_sum[row]],
            explained: vec![self.explained[row]],
            completeness_error: vec![self.completeness_error[row]],
            absorbed_fraction: vec![self.absorbed_fraction[row]],
            degenerate: vec![self.degenerate[row].clone()],
            height: vec![self.height[row]],
            width: vec![self.width[row]],
            map,
        }
    }

    /// Moves the rows of `more` behind these.
    pub fn append(&mut self, mut more: Self) {
        self.item.append(&mut more.item);
        self.item_kind.append(&mut more.item_kind);
        self.grid_size.append(&mut more.grid_size);
        self.image_id.append(&mut more.image_id);
        self.target_index.append(&mut more.target_index);
        self.target_class.append(&mut more.target_class);
        self.probe_id.append(&mut more.probe_id);
        self.method.append(&mut more.method);
        self.logit.append(&mut more.logit);
        self.relevance_sum.append(&mut more.relevance_sum);
        self.explained.append(&mut more.explained);
        self.completeness_error.append(&mut more.completeness_error);
        self.absorbed_fraction.append(&mut more.absorbed_fraction);
        self.degenerate.append(&mut more.degenerate);
        self.height.append(&mut more.height);
        self.width.append(&mut more.width);
        self.map.append(&mut more.map);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.item.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_declared_columns() {
        assert_eq!(MAPS.columns[MapRows::MAP].name, "map");
        assert_eq!(MAPS.columns[MapRows::ITEM].name, "item");
        assert_eq!(MapRows::default().cells().len(), MAPS.columns.len());
        assert_eq!(GridRows::default().cells().len(), GRIDS.columns.len());
        assert_eq!(CompactRows::default().cells().len(), COMPACT.columns.len());
        assert_eq!(COMPACT.columns[CompactRows::ITEM_KIND].name, "item_kind");
        assert_eq!(COMPACT.columns[CompactRows::GRID_SIZE].name, "grid_size");
        assert_eq!(SegmentRows::default().cells().len(), SEGMENTS.columns.len());
        let rows = GridRows {
            grid_id: vec![4],
            grid_size: vec![2],
            cells: vec![vec!["a".into(); 4]],
            labels: vec![vec![1, 2, 3, 0]],
            cell_px: vec![64],
        };
        assert_eq!(GridRows::from_cells(rows.clone().cells()).unwrap(), rows);
    }
}
