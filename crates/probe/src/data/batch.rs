//! Rows of a split, looked at batch by batch, wherever its features are.

use features::error::Result;

use super::Split;

/// Which features of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The mean over the map: `[channels]`.
    Pooled,
    /// The map: `[channels, height * width]`.
    Maps,
}

/// Some rows of a split with their features.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Which rows, in the order of the batch.
    pub rows: &'a [i32],
    split: &'a Split,
    width: usize,
    source: Source<'a>,
}

/// Where the features of a batch are.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// Among those of all rows.
    All(&'a [f32]),
    /// One behind the other.
    Own(&'a [f32]),
}

impl<'a> Batch<'a> {
    /// Rows of a split whose features are in memory.
    pub fn held(split: &'a Split, form: Form, rows: &'a [i32]) -> Self {
        let all = match form {
            Form::Pooled => &split.pooled,
            Form::Maps => &split.maps,
        };
        Self { rows, split, width: split.width(form), source: Source::All(all) }
    }

    /// Rows of a split whose features were read into `values`.
    pub(super) fn read(split: &'a Split, form: Form, rows: &'a [i32], values: &'a [f32]) -> Self {
        Self { rows, split, width: split.width(form), source: Source::Own(values) }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Features of the row at this place of the batch.
    pub fn features(&self, place: usize) -> &'a [f32] {
        let (values, at) = match self.source {
            Source::All(values) => (values, self.rows[place] as usize),
            Source::Own(values) => (values, place),
        };
        &values[at * self.width..(at + 1) * self.width]
    }

    /// Features of all rows.
    pub fn all_features(&self) -> impl Iterator<Item = &'a [f32]> + use<'a, '_> {
        (0..self.len()).map(|place| self.features(place))
    }

    /// Labels of each row.
    pub fn labels(&self) -> Vec<&'a [usize]> {
        self.rows.iter().map(|&row| self.split.labels[row as usize].as_slice()).collect()
    }
}

impl Split {
    /// Hands rows over, `batch` at a time and in this order, the last batch smaller where that does not divide them.
    ///
    /// # Errors
    /// Those of `look`, and a part of the feature table that cannot be read.
    pub fn visit(
        &self,
        form: Form,
        rows: &[i32],
        batch: usize,
        mut look: impl FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        match &self.windows {
            Some(windows) if windows.are_read() => windows.visit(self, form, rows, batch.max(1), look),
            _ => rows.chunks(batch.max(1)).try_for_each(|rows| look(Batch::held(self, form, rows))),
        }
    }
}
