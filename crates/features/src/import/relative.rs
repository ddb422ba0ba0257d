//! Paths that a file names: they must stay below the directory they begin at.

use std::path::{Component, Path};

use crate::error::{Error, Result};

/// The path `text` that `origin` names, if it goes down only.
///
/// # Errors
/// [`Error::BadData`] for an absolute path, or one with `..` that could reach any file of this machine.
pub fn below<'a>(text: &'a str, origin: &Path) -> Result<&'a str> {
    let parts = || Path::new(text).components();
    if !text.is_empty() && parts().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(text);
    }
    Err(Error::BadData(format!(
        "{}: names the file `{}`, which is not below the directory of the images; correct the entry",
        origin.display(),
        text.escape_debug()
    )))
}
