//! The rows that an item gives: its maps, each kept as the section `[attribute.storage]` says.

use features::{
    artifact::round_mantissa,
    error::{Error, Result},
};

use crate::{
    explain::{Head, Map},
    item::Item,
    method::Method,
    storage::{Kept, Short, digest},
    table::{CompactRows, MapRows, SegmentRows},
};

/// Rows of the map tables.
#[derive(Debug, Default)]
pub(crate) struct ItemRows {
    pub(crate) maps: MapRows,
    pub(crate) compact: CompactRows,
    pub(crate) segments: SegmentRows,
}

impl ItemRows {
    /// Number of maps.
    pub(crate) fn len(&self) -> usize {
        self.maps.len() + self.compact.about.len()
    }

    /// Adds a map of `item`.
    ///
    /// # Errors
    /// `BadData` for a map that is not finite.
    pub(crate) fn push(&mut self, item: &Item, head: &Head, mut map: Map, kept: Kept, keep_bits: u32) -> Result<()> {
        if map.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::BadData(format!(
                "{}: {} of probe {} is not finite; check the weights of probe and backbone",
                item.name,
                map.name(),
                head.id
            )));
        }
        match kept {
            Kept::Full => about(&mut self.maps, item, head, &map),
            Kept::Compact | Kept::Digest => about(&mut self.compact.about, item, head, &map),
        }
        let size = [item.picture.height, item.picture.width];
        match (kept, map.short.take()) {
            (Kept::Full, _) => {
                round_mantissa(&mut map.values, keep_bits);
                self.maps.map.append(&mut map.values);
            }
            (Kept::Digest, _) => {
                round_mantissa(&mut map.values, keep_bits);
                let side = item.grid.as_ref().map_or(1, |cells| cells.size);
                self.short("digest", [2, side * side], None, digest(&map.values, size, side));
            }
            (Kept::Compact, Some(Short::Coarse { size, values })) => self.short("native", size, None, values),
            (Kept::Compact, Some(Short::Segments { weights, segments })) => {
                let cut = cut(map.method);
                if !self.segments.cut.iter().any(|known| known == cut) {
                    self.segments.item.push(item.name.clone());
                    self.segments.cut.push(cut.to_string());
                    self.segments.count.push(segments.count as i32);
                    self.segments.labels.push(segments.labels.iter().map(|&label| label as i32).collect());
                }
                self.short("segments", [1, weights.len()], Some(cut), weights);
            }
            (Kept::Compact, None) => {
                return Err(Error::Bug(format!(
                    "{} has no compact form; the configuration was not checked",
                    map.method
                )));
            }
        }
        Ok(())
    }

    fn short(&mut self, storage: &str, [rows, columns]: [usize; 2], cut: Option<&str>, values: Vec<f32>) {
        self.compact.storage.push(storage.to_string());
        self.compact.rows.push(rows as i32);
        self.compact.columns.push(columns as i32);
        self.compact.cut.push(cut.map(str::to_string));
        self.compact.values.push(values);
    }
}

/// Methods of one name here stand on the same segments.
fn cut(method: Method) -> &'static str {
    match method {
        Method::KernelShap => Method::KernelShap.name(),
        _ => Method::Lime.name(),
    }
}

/// All columns but the map.
fn about(rows: &mut MapRows, item: &Item, head: &Head, map: &Map) {
    let (index, class) = item.targets[map.target];
    rows.item.push(item.name.clone());
    rows.item_kind.push(item.kind.name().to_string());
    rows.grid_size.push(item.kind.grid_size());
    rows.image_id.push(item.image_id);
    rows.target_index.push(index);
    rows.target_class.push(class);
    rows.probe_id.push(head.id.clone());
    rows.method.push(map.name());
    rows.logit.push(map.logit);
    rows.relevance_sum.push(map.relevance_sum() as f32);
    rows.explained.push(map.check.explained);
    rows.completeness_error.push(map.check.completeness_error);
    rows.absorbed_fraction.push(map.check.absorbed_fraction);
    rows.degenerate.push(map.check.degenerate.map(|method| method.to_string()));
    rows.height.push(item.picture.height as i32);
    rows.width.push(item.picture.width as i32);
}
