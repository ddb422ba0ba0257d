//! Table versions: a reader accepts its own major version only; a minor version may add columns.

use std::fmt;
use std::str::FromStr;

/// Version of a table's declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Changes when a column is removed, renamed or gets another meaning.
    pub major: u32,
    /// Changes when a column is added.
    pub minor: u32,
}

impl Version {
    /// Version `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.split_once('.').and_then(|(major, minor)| Some(Self::new(major.parse().ok()?, minor.parse().ok()?)));
        parsed.ok_or_else(|| format!("`{text}` is not a table version like 1.0"))
    }
}
