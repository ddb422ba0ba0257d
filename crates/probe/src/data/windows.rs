//! Features in windows: a few parts of the feature table that are mixed, and that memory holds at a time where the whole
//! does not fit.
//!
//! A window is read by a thread of its own while the one before it is in use, so memory holds two, and the part that is
//! being decoded. Whether features are read or held changes no number: the order of the rows does not know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use features::artifact::{Columns, Reader};
use features::error::{Error, Result};
use features::random;
use features::table::FeatureRows;

use super::{Batch, Form, Split};

/// Where a row of a split lies in the feature table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Part.
    pub part: u32,
    /// Row of the part.
    pub row: u32,
}

/// How the rows of a split lie in parts, and how many parts make a window.
#[derive(Debug, Clone)]
pub struct Windows {
    places: Vec<Place>,
    size: usize,
    /// Rows whose maps are looked at.
    pub mapped: usize,
    /// The table, where features are read from it instead of held.
    reader: Option<Arc<Reader>>,
}

impl Windows {
    /// Windows of `size` parts over rows that lie so; `reader` where features are read.
    pub fn new(places: Vec<Place>, size: usize, mapped: usize, reader: Option<Arc<Reader>>) -> Self {
        Self { places, size: size.max(1), mapped, reader }
    }

    /// Whether features are read from disk.
    pub fn are_read(&self) -> bool {
        self.reader.is_some()
    }

    /// The rows that epoch `epoch` takes of the first `rows` rows, in its order: one view of each image, in turn.
    // METHOD: parts in an order drawn for the epoch, cut into windows; the images of a window in an order drawn for the
    // epoch, window after window from one stream. One window over all parts is the order of `trained::order`.
    pub fn order(&self, seed: u64, epoch: usize, rows: usize, views: usize) -> Vec<i32> {
        let mut parts: BTreeMap<u32, Vec<i32>> = BTreeMap::new();
        for image in 0..rows / views {
            let row = image * views + epoch % views;
            parts.entry(self.places[row].part).or_default().push(row as i32);
        }
        let mut parts: Vec<Vec<i32>> = parts.into_values().collect();
        random::shuffle(&mut random::stream(seed, &["probe", "parts", &epoch.to_string()]), &mut parts);
        let mut stream = random::stream(seed, &["probe", "order", &epoch.to_string()]);
        let mut order = Vec::with_capacity(rows / views);
        for window in parts.chunks(self.size) {
            let mut window = window.concat();
            window.sort_unstable();
            random::shuffle(&mut stream, &mut window);
            order.extend(window);
        }
        order
    }

    /// The windows of some rows, in their order: each the longest run that touches no more parts than a window has.
    fn cut(&self, rows: &[i32]) -> Vec<Range<usize>> {
        let (mut found, mut start, mut parts) = (Vec::new(), 0, BTreeSet::new());
        for (at, &row) in rows.iter().enumerate() {
            let part = self.places[row as usize].part;
            if !parts.contains(&part) && parts.len() == self.size {
                found.push(start..at);
                start = at;
                parts.clear();
            }
            parts.insert(part);
        }
        found.push(start..rows.len());
        found
    }

    /// Rows are handed over as [`Split::visit`] says, while the next window is read.
    pub(super) fn visit(
        &self,
        split: &Split,
        form: Form,
        rows: &[i32],
        batch: usize,
        mut look: impl FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let floats = batch * split.width(form);
        let windows = self.cut(rows);
        std::thread::scope(|scope| {
            // Nothing waits in between: a window is handed over when it is asked for, and only then the next one is read.
            let (hand, take) = sync_channel(0);
            scope.spawn(move || {
                for window in windows {
                    let values = self.read(form, &rows[window], split.width(form));
                    let failed = values.is_err();
                    // Who looks may have given up.
                    if hand.send(values).is_err() || failed {
                        return;
                    }
                }
            });
            let mut batches = rows.chunks(batch);
            let mut next = || batches.next().unwrap_or_default();
            // What the end of a window leaves for the first batch of the next one.
            let mut begun: Vec<f32> = Vec::with_capacity(floats);
            for values in take {
                let values = values?;
                let mut rest = values.as_slice();
                if !begun.is_empty() {
                    let missing = rest.len().min(floats - begun.len());
                    begun.extend_from_slice(&rest[..missing]);
                    rest = &rest[missing..];
                    if begun.len() == floats {
                        look(Batch::read(split, form, next(), &begun))?;
                        begun.clear();
                    }
                }
                let whole = rest.chunks_exact(floats);
                let left = whole.remainder();
                for values in whole {
                    look(Batch::read(split, form, next(), values))?;
                }
                begun.extend_from_slice(left);
            }
            if begun.is_empty() { Ok(()) } else { look(Batch::read(split, form, next(), &begun)) }
        })
    }

    /// Features of the rows of a window, one behind the other.
    fn read(&self, form: Form, rows: &[i32], width: usize) -> Result<Vec<f32>> {
        let reader = self.reader.as_ref().ok_or_else(|| Error::Bug("features in memory are not read".into()))?;
        let column = match form {
            Form::Pooled => FeatureRows::EMBEDDING,
            Form::Maps => FeatureRows::MAP,
        };
        let mut wanted: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, &row) in rows.iter().enumerate() {
            let place = self.places[row as usize];
            wanted.entry(place.part).or_default().push((at, place.row as usize));
        }
        let mut values = vec![0.0; rows.len() * width];
        for (part, wanted) in wanted {
            let cells: Vec<f32> = Columns::new(reader.read_columns(part as usize, &[column])?).next()?;
            for (at, row) in wanted {
                values[at * width..(at + 1) * width].copy_from_slice(&cells[row * width..(row + 1) * width]);
            }
        }
        finite(&values)?;
        Ok(values)
    }
}

/// Refuses features that are not numbers.
///
/// # Errors
/// [`Error::BadData`] with what to check.
pub fn finite(values: &[f32]) -> Result<()> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::BadData("the features of some images are not all finite; check the backbone".into()))
}
