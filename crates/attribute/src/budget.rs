//! Room on disk: how much a run may take, and how much there is.

use std::path::Path;

use features::{
    error::{Error, Result},
    stage::Bytes,
};

/// Bytes that can still be written below `path`, by the file system of its nearest directory that exists.
///
/// # Errors
/// [`Error::CannotWrite`] when the file system does not say.
pub fn free(path: &Path) -> Result<Bytes> {
    let existing = path.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(existing)
        .map_err(|error| Error::CannotWrite(format!("{}: free space is not known ({error})", existing.display())))?;
    Ok(Bytes(found.f_bavail as f64 * found.f_frsize as f64))
}

/// Refuses to begin what cannot be finished.
///
/// # Errors
/// [`Error::CannotWrite`] with what is needed and what is free.
pub fn check(path: &Path, needed: Bytes, free: Bytes) -> Result<()> {
    if needed.0 <= free.0 {
        return Ok(());
    }
    Err(Error::CannotWrite(format!(
        "{}: maps take about {needed}, {free} are free there; make room, choose another place with --out, or keep less \
         ([attribute.storage])",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_fit_is_refused() {
        let place = std::env::temp_dir().join("attribute-budget/not/there");
        let free = free(&place).unwrap();
        assert!(free.0 > 0.0);
        check(&place, Bytes(1.0), Bytes(1.0)).unwrap();
        let error = check(&place, Bytes(2e9), Bytes(1e9)).unwrap_err();
        assert_eq!(error.exit_code(), 73);
        assert!(error.to_string().contains("about 2 GB, 1 GB are free there"), "{error}");
    }
}
