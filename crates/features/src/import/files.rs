//! Images that are files below one directory, whatever lists them.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::classes::Classes;
use super::outline::Outline;
use super::{FILE_BYTES, Found, Masks, PART, PART_BYTES, Source};
use crate::artifact::{Box2, Rle};
use crate::error::Result;

/// One listed image.
#[derive(Default)]
pub struct Entry {
    /// Path below the directory; also the name of the image in its split.
    pub path: String,
    /// Its class, where it has a single one.
    pub label: Option<i32>,
    /// Its classes, ascending.
    pub labels: Vec<i32>,
    /// Its objects.
    pub boxes: Vec<Box2>,
    /// Objects that do not count.
    pub set_aside: Vec<Box2>,
    /// Outlines of its objects in the order of boxes, or none.
    pub outlines: Vec<Outline>,
    /// Width and height of the picture that the outlines are of.
    pub size: [usize; 2],
}

impl Entry {
    /// Masks are made when the image is read: outlines take less room.
    fn masks(&self) -> std::result::Result<Masks, String> {
        let [width, height] = self.size;
        let classes = self.boxes.iter().map(|object| object.class);
        let masks = classes.zip(&self.outlines).map(|(class, outline)| {
            let counts = outline.runs(width, height).map_err(|problem| format!("an object of it: {problem}"))?;
            Ok(Rle { class, counts })
        });
        Ok(Masks { size: self.size, masks: masks.collect::<std::result::Result<_, String>>()? })
    }
}

/// Files below `root`, cut into parts of bounded size.
pub struct Files {
    root: PathBuf,
    entries: Vec<Entry>,
    /// Size of each file; none where it is missing.
    sizes: Vec<Option<u64>>,
    /// End of each part.
    ends: Vec<usize>,
    classes: Classes,
}

impl Files {
    /// Looks at the size of every file.
    pub fn new(root: &Path, entries: Vec<Entry>, classes: Classes) -> Self {
        let size = |entry: &Entry| {
            let found = std::fs::metadata(root.join(&entry.path)).ok()?;
            found.is_file().then_some(found.len())
        };
        let sizes: Vec<Option<u64>> = entries.iter().map(size).collect();
        Self { root: root.to_path_buf(), ends: ends(&sizes), entries, sizes, classes }
    }
}

/// Ends of parts of at most [`PART`] files and about [`PART_BYTES`] bytes.
fn ends(sizes: &[Option<u64>]) -> Vec<usize> {
    let (mut ends, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, size) in sizes.iter().enumerate() {
        let size = size.unwrap_or(0);
        if index > start && (index - start == PART || bytes + size > PART_BYTES) {
            ends.push(index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        ends.push(sizes.len());
    }
    ends
}

impl Source for Files {
    fn parts(&self) -> Vec<usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| end - start).collect()
    }

    fn classes(&self) -> Classes {
        self.classes.clone()
    }

    fn identity(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (entry, size) in self.entries.iter().zip(&self.sizes) {
            let Entry { path, label, labels, boxes, set_aside, outlines, size: pixels } = entry;
            let line =
                format!("{path:?} {size:?} {label:?} {labels:?} {boxes:?} {set_aside:?} {outlines:?} {pixels:?}\n");
            hasher.update(line.as_bytes());
        }
        hasher.finalize()
    }

    fn read(&self, part: usize) -> Result<Vec<Found>> {
        let start = if part == 0 { 0 } else { self.ends[part - 1] };
        let found = (start..self.ends[part]).into_par_iter().map(|index| {
            let entry = &self.entries[index];
            let path = self.root.join(&entry.path);
            let bytes = match self.sizes[index] {
                None => Err("there is no such file".to_string()),
                Some(size) if size > FILE_BYTES => Err(format!("{size} bytes are too many for a picture")),
                Some(_) => std::fs::read(&path).map_err(|error| error.to_string()),
            };
            let (masks, bytes) = match entry.masks() {
                Ok(masks) => (masks, bytes),
                Err(problem) => (Masks::default(), Err(problem)),
            };
            Found {
                key: entry.path.clone(),
                label: entry.label,
                labels: entry.labels.clone(),
                boxes: entry.boxes.clone(),
                set_aside: entry.set_aside.clone(),
                masks,
                bytes,
            }
        });
        Ok(found.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_in_files_and_bytes() {
        let small = vec![Some(1000); 2 * PART + 1];
        assert_eq!(ends(&small), [PART, 2 * PART, 2 * PART + 1]);
        let large = [Some(PART_BYTES), Some(1), None, Some(PART_BYTES - 1), Some(3 * PART_BYTES), Some(1)];
        assert_eq!(ends(&large), [1, 4, 5, 6]);
        assert!(ends(&[]).is_empty());
    }
}
