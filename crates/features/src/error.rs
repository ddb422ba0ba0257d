//! The one error type of all stages, because the exit code of a process must follow from the error alone.
//!
//! A message says what is wrong, where, and what to do about it, in one sentence.

use std::io;
use std::path::Path;

/// Result of everything in this workspace that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What stopped a stage; each variant has its own exit code, so that schedulers can tell a retry from a mistake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A wrong flag or configuration value: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A file that does not hold what its name or table promises: exit code 65.
    #[error("{0}")]
    BadData(String),
    /// A file or artifact that an earlier stage should have made: exit code 66.
    #[error("{0}")]
    InputMissing(String),
    /// A compute device that is absent or not compiled in: exit code 69.
    #[error("{0}")]
    Device(String),
    /// An output that cannot be written: exit code 73.
    #[error("{0}")]
    CannotWrite(String),
    /// Work left unfinished that a second run completes: exit code 75.
    #[error("{0}")]
    Interrupted(String),
    /// A broken invariant of this program: exit code 1.
    #[error("{0}")]
    Bug(String),
}

impl Error {
    /// Process exit code of this error (sysexits.h where it has a fitting one).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bug(_) => 1,
            Self::Usage(_) => 2,
            Self::BadData(_) => 65,
            Self::InputMissing(_) => 66,
            Self::Device(_) => 69,
            Self::CannotWrite(_) => 73,
            Self::Interrupted(_) => 75,
        }
    }

    /// A failed read of `path`: an absent file is a missing input, everything else is bad data.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().display();
        match source.kind() {
            io::ErrorKind::NotFound => {
                Self::InputMissing(format!("{path}: no such file; run the stage that makes it, or correct the path"))
            }
            _ => Self::BadData(format!("{path}: cannot be read ({source}); check the file and its permissions")),
        }
    }

    /// A failed write of `path`.
    pub fn cannot_write(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().display();
        Self::CannotWrite(format!(
            "{path}: cannot be written ({source}); check space and permissions, or choose another --out"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_documented_exit_code() {
        let text = || "x".to_string();
        let codes = [
            (Error::Bug(text()), 1),
            (Error::Usage(text()), 2),
            (Error::BadData(text()), 65),
            (Error::InputMissing(text()), 66),
            (Error::Device(text()), 69),
            (Error::CannotWrite(text()), 73),
            (Error::Interrupted(text()), 75),
            (Error::io("a", io::ErrorKind::NotFound.into()), 66),
            (Error::io("a", io::ErrorKind::PermissionDenied.into()), 65),
            (Error::cannot_write("a", io::ErrorKind::PermissionDenied.into()), 73),
        ];
        for (error, code) in codes {
            assert_eq!(error.exit_code(), code, "{error:?}");
        }
    }
}
