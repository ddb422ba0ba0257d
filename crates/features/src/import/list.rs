//! A text file with a path and a class index a line, as Caffe's and mmpretrain's lists.

use std::collections::HashSet;
use std::path::Path;

use super::classes::Classes;
use super::files::{Entry, Files};
use super::relative::below;
use crate::error::{Error, Result};

/// The images that `path` lists, in its order; paths begin at `root`.
pub fn index(path: &Path, root: &Path) -> Result<Files> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // File names may have spaces, so the label is the last word.
        let parts = line.trim().rsplit_once(char::is_whitespace);
        let parsed = parts.and_then(|(file, label)| Some((file.trim_end(), label.parse::<u16>().ok()?)));
        let Some((file, label)) = parsed else {
            return Err(Error::BadData(format!(
                "{}: line {}: `{}` is not a path and a class index from 0; correct the line",
                path.display(),
                number + 1,
                line.escape_debug()
            )));
        };
        let label = i32::from(label);
        entries.push(Entry {
            path: below(file, path)?.to_string(),
            label: Some(label),
            labels: vec![label],
            ..Entry::default()
        });
    }
    let mut seen = HashSet::new();
    if let Some(twice) = entries.iter().find(|entry| !seen.insert(entry.path.as_str())) {
        return Err(Error::BadData(format!("{}: lists {} twice; remove one line", path.display(), twice.path)));
    }
    let largest = entries.iter().filter_map(|entry| entry.label).max();
    let largest = largest.ok_or_else(|| Error::BadData(format!("{}: lists no image; correct it", path.display())))?;
    Ok(Files::new(root, entries, Classes::Counted(largest as usize + 1)))
}
