//! What the backbone is shown: the wanted views of the wanted images, decoded batch by batch.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::FeaturesConfig;
use crate::artifact::{Columns, Reader};
use crate::error::{Error, Result};
use crate::images::{self, Rgb};
use crate::preprocess::Geometry;
use crate::table::ImageRows;
use crate::views::{View, Views};

/// Images in a part of the feature table, at most about: a part is made of whole parts of the image table.
const PART: usize = 1000;
/// Bytes of maps in a part, about: what a thread holds until the part is written.
const PART_BYTES: usize = 64 << 20;

/// Pictures for one forward pass.
pub(super) struct Pictures {
    /// A part of the image table.
    pub images: Arc<ImageRows>,
    /// What is seen of some of its rows.
    pub seen: Vec<Seen>,
}

/// A view of one image.
pub(super) struct Seen {
    /// The image.
    pub row: usize,
    /// What of it.
    pub view: View,
    /// The pixels.
    pub picture: Rgb,
}

/// All views of a run, in parts.
pub(super) struct Sights {
    pub images: Reader,
    pub views: Views,
    geometry: Geometry,
    splits: Vec<String>,
    /// Wanted images of each split in each part of the image table.
    counts: Vec<Vec<usize>>,
    /// Parts of the image table that make up a part of the feature table.
    size: usize,
}

impl Sights {
    /// Counts the images; `map` is the number of floats in a map. A split without any image is an error.
    pub fn of(images: Reader, config: &FeaturesConfig, views: Views, geometry: Geometry, map: usize) -> Result<Self> {
        let splits = config.splits.clone();
        let counts = counts(&images, &splits)?;
        if let Some(index) = (0..splits.len()).find(|&split| counts.iter().all(|part| part[split] == 0)) {
            let (table, split) = (config.images.display(), &splits[index]);
            return Err(Error::BadData(format!(
                "{table}: no image of split `{split}`; add some, or take it out of [features] splits"
            )));
        }
        let mut all = Self { images, views, geometry, splits, counts, size: 1 };
        // A whole split is never larger than the table, so this is at most the size wanted.
        let wanted = (PART_BYTES / (4 * map)).min(PART);
        let seen = all.range_count(0..all.images.parts()).max(all.images.rows());
        all.size = (wanted * all.images.parts() / seen.max(1)).max(1);
        Ok(all)
    }

    /// Parts of the feature table.
    pub fn groups(&self) -> usize {
        self.images.parts().div_ceil(self.size)
    }

    /// Wanted images.
    pub fn images_count(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    /// Views in part `group`.
    pub fn count(&self, group: usize) -> usize {
        self.range_count(self.range(group))
    }

    fn range_count(&self, parts: Range<usize>) -> usize {
        let views = self.splits.iter().map(|split| self.views.count_of(split));
        let of_part =
            |part: &Vec<usize>| part.iter().zip(views.clone()).map(|(images, views)| images * views).sum::<usize>();
        self.counts[parts].iter().map(of_part).sum()
    }

    fn range(&self, group: usize) -> Range<usize> {
        group * self.size..self.images.parts().min((group + 1) * self.size)
    }

    /// The views of part `group`, at most about `batch` at a time; those of an image stay together, as it is decoded once.
    pub fn batches(&self, group: usize, batch: usize) -> impl Iterator<Item = Result<Pictures>> + '_ {
        let parts = self.range(group).filter(|&part| self.counts[part].iter().any(|&images| images > 0));
        parts.flat_map(move |part| {
            // Decoded batch by batch: photographs may be a hundred times the size of what the network sees.
            let mut left = match self.open(part, batch) {
                Ok((images, chunks)) => Ok((images, chunks.into_iter())),
                Err(error) => Err(Some(error)),
            };
            std::iter::from_fn(move || match &mut left {
                Ok((images, chunks)) => chunks.next().map(|rows| self.see(images, &rows)),
                Err(error) => error.take().map(Err),
            })
        })
    }

    /// A part of the image table, and the rows of it that make up each batch.
    fn open(&self, part: usize, batch: usize) -> Result<(Arc<ImageRows>, Vec<Vec<usize>>)> {
        let images = ImageRows::from_cells(self.images.read_part(part)?)?;
        let mut chunks: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for row in (0..images.len()).filter(|&row| self.splits.contains(&images.split[row])) {
            let views = self.views.count_of(&images.split[row]);
            match chunks.last_mut() {
                Some(chunk) if views <= room => chunk.push(row),
                _ => {
                    chunks.push(vec![row]);
                    room = batch;
                }
            }
            room = room.saturating_sub(views);
        }
        Ok((Arc::new(images), chunks))
    }

    fn see(&self, images: &Arc<ImageRows>, rows: &[usize]) -> Result<Pictures> {
        let seen: Vec<Result<Vec<Seen>>> = rows.par_iter().map(|&row| self.see_image(images, row)).collect();
        let seen: Vec<Vec<Seen>> = seen.into_iter().collect::<Result<_>>()?;
        Ok(Pictures { images: images.clone(), seen: seen.into_iter().flatten().collect() })
    }

    fn see_image(&self, images: &ImageRows, row: usize) -> Result<Vec<Seen>> {
        let picture = images::picture(images, row)?;
        let size = (picture.width, picture.height);
        let views = self.views.of(&images.image_key[row], &images.split[row], size, &self.geometry);
        let see = |view: View| Seen { row, view, picture: view.of(&picture, &self.geometry) };
        Ok(views.into_par_iter().map(see).collect())
    }
}

/// Images of each of `splits` in each part of the image table.
fn counts(images: &Reader, splits: &[String]) -> Result<Vec<Vec<usize>>> {
    let part = |part| -> Result<Vec<usize>> {
        let names: Vec<String> = Columns::new(images.read_columns(part, &[ImageRows::SPLIT])?).next()?;
        Ok(splits.iter().map(|split| names.iter().filter(|name| *name == split).count()).collect())
    };
    (0..images.parts()).map(part).collect()
}
