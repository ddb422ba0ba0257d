//! Directories named after classes, with images in them: torchvision's ImageFolder, and how ImageNet comes.

use std::path::Path;

use super::classes::{Classes, numbered};
use super::files::{Entry, Files};
use crate::error::{Error, Result};

/// Endings that torchvision takes for images; what is not PNG or JPEG is listed as bad instead of left out silently.
const ENDINGS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];
/// Directories inside a class directory; deeper is a loop of links.
const DEPTH: usize = 8;

/// The images below `path`, by class and name.
// METHOD: torchvision.datasets.ImageFolder: classes are the sorted names of the directories.
pub fn index(path: &Path) -> Result<Files> {
    let directories: Vec<String> =
        list(path)?.into_iter().filter(|(_, is_directory)| *is_directory).map(|(name, _)| name).collect();
    let classes = numbered(directories.iter().cloned());
    let mut entries = Vec::new();
    for (name, &class) in &classes {
        walk(path, name, class, 0, &mut entries)?;
    }
    if entries.is_empty() {
        let message = format!("{}: has no directories with images; give the directory of the classes", path.display());
        return Err(Error::BadData(message));
    }
    Ok(Files::new(path, entries, Classes::Named(classes.into_keys().collect())))
}

/// Sorted names in a directory, and whether each is a directory.
fn list(path: &Path) -> Result<Vec<(String, bool)>> {
    let read = || -> std::io::Result<Vec<(String, bool)>> {
        let one = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()))
        };
        std::fs::read_dir(path)?.map(one).collect()
    };
    let mut names = read().map_err(|error| Error::io(path, error))?;
    names.sort();
    Ok(names)
}

fn walk(root: &Path, below: &str, class: i32, depth: usize, entries: &mut Vec<Entry>) -> Result<()> {
    if depth > DEPTH {
        let message = format!("{}: {below} goes too deep; is there a link to a directory above it?", root.display());
        return Err(Error::BadData(message));
    }
    for (name, is_directory) in list(&root.join(below))? {
        let path = format!("{below}/{name}");
        let ending = Path::new(&name).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if is_directory {
            walk(root, &path, class, depth + 1, entries)?;
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            entries.push(Entry { path, label: Some(class), labels: vec![class], ..Entry::default() });
        }
    }
    Ok(())
}
