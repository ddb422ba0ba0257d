//! Reading maps that are not kept at every pixel: as the rows that full storage would have had.

use std::{collections::HashMap, path::Path, sync::Arc};

use features::{
    artifact::{Columns, Manifest, Reader, round_mantissa},
    error::{Error, Result},
};

use crate::{
    item::ItemKind,
    segment::Segments,
    storage::Short,
    table::{COMPACT, CompactRows, MapRows, SEGMENTS, SegmentRows},
};

/// Directory of the table of compact maps.
pub const COMPACT_DIR: &str = "attribute.compact";
/// Directory of the table of segments.
pub const SEGMENTS_DIR: &str = "attribute.segments";
/// Note with the mantissa bits that are kept of a whole map.
pub(crate) const KEEP_BITS: &str = "keep_bits";

/// The open tables of compact maps and their segments; their parts are those of the other map tables.
#[derive(Debug)]
pub struct CompactMaps {
    maps: Reader,
    segments: Reader,
    keep_bits: u32,
    place: String,
}

/// Maps of one part.
#[derive(Debug, Default)]
pub struct Part {
    /// Whole maps, of each kind of item that has some.
    pub maps: Vec<MapRows>,
    /// Rows whose maps are lost.
    pub digests: Digests,
}

/// Rows without maps, and what there is of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digests {
    /// All columns but the map.
    pub about: MapRows,
    /// Sums of the positive values of each cell, row by row, and then of the negative ones.
    pub sums: Vec<Vec<f32>>,
}

impl CompactMaps {
    /// Opens the tables of the experiment in `out`; none where all maps are kept in full.
    ///
    /// # Errors
    /// A missing or damaged artifact.
    pub fn open(out: &Path) -> Result<Option<Self>> {
        let dir = out.join(COMPACT_DIR);
        if !Manifest::read(&dir)?.tables.contains_key(COMPACT_DIR) {
            return Ok(None);
        }
        let maps = Reader::open(&dir, &COMPACT)?;
        let segments = Reader::open(&out.join(SEGMENTS_DIR), &SEGMENTS)?;
        let place = dir.display().to_string();
        let keep_bits = maps.meta(KEEP_BITS).and_then(|bits| bits.parse().ok()).ok_or_else(|| {
            Error::BadData(format!("{place}: its footer has no {KEEP_BITS}; run the `attribute` stage again"))
        })?;
        Ok(Some(Self { maps, segments, keep_bits, place }))
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.maps.parts()
    }

    /// The items of kind `kind` in a part, an entry a row.
    ///
    /// # Errors
    /// A damaged part.
    pub fn items(&self, part: usize, kind: ItemKind) -> Result<Vec<String>> {
        let wanted = [MapRows::ITEM, CompactRows::ITEM_KIND, CompactRows::GRID_SIZE];
        let mut columns = Columns::new(self.maps.read_columns(part, &wanted)?);
        let (items, kinds): (Vec<String>, Vec<String>) = (columns.next()?, columns.next()?);
        let sizes: Vec<Option<i32>> = columns.next()?;
        let is_it = |at: &usize| kinds[*at] == kind.name() && sizes[*at] == kind.grid_size();
        Ok((0..items.len()).filter(is_it).map(|at| items[at].clone()).collect())
    }

    /// Whether there is a map of a kind of items.
    ///
    /// # Errors
    /// A damaged part.
    pub fn has(&self, kind: ItemKind) -> Result<bool> {
        for part in 0..self.parts() {
            if !self.items(part, kind)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The maps of a part, whole where they can be had.
    ///
    /// # Errors
    /// A damaged part, or rows that do not fit each other.
    pub fn read_part(&self, part: usize) -> Result<Part> {
        let rows = CompactRows::from_cells(self.maps.read_part(part)?)?;
        let cuts = cuts(SegmentRows::from_cells(self.segments.read_part(part)?)?);
        let mut by_kind: HashMap<(String, Option<i32>), MapRows> = HashMap::new();
        let mut found = Part::default();
        for (row, values) in rows.values.iter().enumerate() {
            let wrong = |what: &str| {
                let item = &rows.about.item[row];
                Error::BadData(format!("{}: {item}: {what}; run the `attribute` stage again", self.place))
            };
            let whole = |value: i32| value.max(0) as usize;
            let [stored_rows, stored_columns] = [whole(rows.rows[row]), whole(rows.columns[row])];
            if values.is_empty() || values.len() != stored_rows * stored_columns {
                return Err(wrong("its values are not as many as its rows and columns say"));
            }
            let short = match (rows.storage[row].as_str(), &rows.cut[row]) {
                ("native", None) => Short::Coarse { size: [stored_rows, stored_columns], values: values.clone() },
                ("segments", Some(cut)) => {
                    let segments = cuts.get(&(rows.about.item[row].clone(), cut.clone()));
                    let segments = segments.filter(|segments| segments.count == values.len());
                    let segments = Arc::clone(segments.ok_or_else(|| wrong("its segments are not there"))?);
                    Short::Segments { weights: values.clone(), segments }
                }
                ("digest", None) => {
                    found.digests.about.append(rows.about.row(row, vec![]));
                    found.digests.sums.push(values.clone());
                    continue;
                }
                (other, _) => return Err(wrong(&format!("it is stored as {other:?}, which is not known here"))),
            };
            let size = [whole(rows.about.height[row]), whole(rows.about.width[row])];
            let mut map = short.spread(size);
            if map.is_empty() || map.len() != size[0] * size[1] {
                return Err(wrong("its segments have not the size of its map"));
            }
            round_mantissa(&mut map, self.keep_bits);
            let kind = (rows.about.item_kind[row].clone(), rows.about.grid_size[row]);
            by_kind.entry(kind).or_default().append(rows.about.row(row, map));
        }
        let mut maps: Vec<_> = by_kind.into_iter().collect();
        maps.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.maps = maps.into_iter().map(|(_, rows)| rows).collect();
        Ok(found)
    }
}

/// Segments by item and cut.
fn cuts(rows: SegmentRows) -> HashMap<(String, String), Arc<Segments>> {
    let SegmentRows { item, cut, count, labels } = rows;
    let keys = item.into_iter().zip(cut);
    let cuts = count.into_iter().zip(labels).map(|(count, labels)| {
        let count = count.max(0) as usize;
        // A label beyond the count would be read beyond the weights; no weight is there for a cut of no segments.
        let fits = labels.iter().all(|&label| usize::try_from(label).is_ok_and(|label| label < count));
        let labels = labels.into_iter().map(|label| label.max(0) as usize).collect();
        Arc::new(Segments { labels, count: if fits { count } else { 0 } })
    });
    keys.zip(cuts).collect()
}
