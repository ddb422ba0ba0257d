//! The manifest beside an artifact's directories: what the artifact consists of and what it was made from.
//!
//! It holds no time, host or path, so equal work gives equal bytes. It is written last: no manifest, no artifact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fingerprint::{Input, sorted};
use super::staging;
use crate::error::{Error, Result};

/// Version of the manifest's own format.
pub(super) const MANIFEST_VERSION: u32 = 1;

/// Contents and origin of a finished artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub manifest_version: u32,
    /// Stage that made it.
    pub stage: String,
    /// Version of the stage's algorithm.
    pub algorithm: u32,
    /// Hash of stage, algorithm, tables, parts, configuration and inputs, hexadecimal.
    pub fingerprint: String,
    /// Resolved configuration.
    pub config: Value,
    /// What it was made from.
    pub inputs: Vec<Input>,
    /// Tables by directory name.
    pub tables: BTreeMap<String, TableEntry>,
    /// Side files, by name.
    pub files: Vec<FileEntry>,
}

/// One table of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Name of the table's declaration.
    pub table: String,
    /// Version of the declaration, `major.minor`.
    pub version: String,
    /// Rows of all parts.
    pub rows: u64,
    /// Parts in order.
    pub parts: Vec<PartEntry>,
}

/// One Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// File name inside the table's directory.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Hash of its content, hexadecimal.
    pub blake3: String,
}

/// One side file, in the same directory as the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// File name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Hash of its content, hexadecimal.
    pub blake3: String,
}

impl Manifest {
    /// Reads the manifest of the artifact that table directory `dir` belongs to (`out/E/probe` or `out/E/probe.log`).
    pub fn read(dir: &Path) -> Result<Self> {
        let (path, artifact) = manifest_path(dir)?;
        match Self::load(&path) {
            Err(Error::InputMissing(_)) => {
                let parent = path.parent().unwrap_or(Path::new("."));
                let todo = if staging::any(parent, &artifact) {
                    format!("the stage that writes `{artifact}` was begun: run it again, finished parts are kept")
                } else {
                    format!("run the stage that writes `{artifact}` first")
                };
                Err(Error::InputMissing(format!("{}: not there; {todo}", path.display())))
            }
            other => other,
        }
    }

    /// Reads a manifest file.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            Error::BadData(format!("{}: not a manifest ({error}); run the stage again with --force", path.display()))
        })?;
        if manifest.manifest_version != MANIFEST_VERSION {
            let (found, path) = (manifest.manifest_version, path.display());
            return Err(Error::BadData(format!(
                "{path}: manifest version {found}, this program reads {MANIFEST_VERSION}; run the stage again"
            )));
        }
        Ok(manifest)
    }

    /// Hash of all of it, hexadecimal: the fingerprint of this artifact as an input. It covers the content of every
    /// part, so a later stage reruns exactly when what it reads, or where that came from, has changed.
    pub fn content(&self) -> String {
        blake3::hash(self.text().as_bytes()).to_hex().to_string()
    }

    /// The file's text, the same for equal manifests.
    pub(super) fn text(&self) -> String {
        let value = serde_json::to_value(self).expect("a manifest has only string keys");
        let mut text = serde_json::to_string_pretty(&sorted(&value)).expect("a JSON value can be printed");
        text.push('\n');
        text
    }

    /// First difference in presence or size between this manifest and the files beside it in `parent`.
    pub(super) fn damage(&self, parent: &Path) -> Option<String> {
        let parts = self.tables.iter().flat_map(|(dir, table)| {
            table.parts.iter().map(move |part| (parent.join(dir).join(&part.file), part.bytes))
        });
        let files = self.files.iter().map(|file| (parent.join(&file.file), file.bytes));
        parts.chain(files).find_map(|(path, bytes)| damaged(&path, bytes))
    }
}

/// How the file at `path` differs from one of `bytes` bytes, if it does.
pub(super) fn damaged(path: &Path, bytes: u64) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() == bytes => None,
        Ok(found) => {
            let found = found.len();
            Some(format!("{}: {found} bytes, the manifest says {bytes}; it was cut or changed", path.display()))
        }
        Err(error) => Some(format!("{}: the manifest lists it, but it cannot be opened ({error})", path.display())),
    }
}

/// Path of the manifest for a table directory, and the artifact's name: the part before the first dot.
fn manifest_path(dir: &Path) -> Result<(PathBuf, String)> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let artifact = name.split('.').next().unwrap_or_default().to_string();
    if artifact.is_empty() {
        return Err(Error::Usage(format!("{}: not a table directory; give one like out/NAME/features", dir.display())));
    }
    Ok((dir.with_file_name(format!("{artifact}.manifest.json")), artifact))
}
