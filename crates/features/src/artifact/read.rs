//! Reading a finished table part by part, after checking that it is what its declaration says.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::cells::Cells;
use super::fingerprint::Input;
use super::manifest::{Manifest, TableEntry, damaged};
use super::part::{Footer, PartFile, bad, check_version};
use super::table::Table;
use crate::error::{Error, Result};

/// An open table. Parts are read on demand, so memory holds one part at a time.
#[derive(Debug)]
pub struct Reader {
    pub(super) dir: PathBuf,
    table: &'static Table,
    pub(super) manifest: Manifest,
    pub(super) entry: TableEntry,
    shapes: Vec<Vec<usize>>,
    footer: Footer,
    /// Which parts have been found to hold what was written.
    pub(super) whole: Vec<AtomicBool>,
}

impl Reader {
    /// Opens the table in directory `dir`. The manifest must be there, name this table in a version that can be read,
    /// every part must have its size, and the first part the declared columns (the others when they are read).
    pub fn open(dir: &Path, table: &'static Table) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let place = dir.display().to_string();
        let Some(entry) = manifest.tables.get(name).cloned() else {
            let known = manifest.tables.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::BadData(format!(
                "{place}: the manifest beside it lists only {known}; correct the path"
            )));
        };
        if entry.table != table.name {
            let problem = format!("{place}: holds table `{}`, not `{}`; correct the path", entry.table, table.name);
            return Err(Error::BadData(problem));
        }
        check_version(&place, table, entry.version.parse().map_err(|problem: String| bad(&place, &problem))?)?;
        for part in &entry.parts {
            if let Some(damage) = damaged(&dir.join(&part.file), part.bytes) {
                let stage = &manifest.stage;
                return Err(Error::BadData(format!("{damage}; run the `{stage}` stage again")));
            }
        }
        let first = entry.parts.first().ok_or_else(|| bad(&place, "the manifest lists no part"))?;
        let part = PartFile::open(&dir.join(&first.file), table)?;
        let (shapes, footer) = (part.shapes, part.footer);
        let whole = entry.parts.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { dir: dir.to_path_buf(), table, manifest, entry, shapes, footer, whole })
    }

    /// Number of parts, at least 1.
    pub fn parts(&self) -> usize {
        self.entry.parts.len()
    }

    /// Number of rows of all parts.
    pub fn rows(&self) -> usize {
        self.entry.rows as usize
    }

    /// All columns of part `part`, in declared order.
    pub fn read_part(&self, part: usize) -> Result<Vec<Cells>> {
        self.read_columns(part, &(0..self.table.columns.len()).collect::<Vec<_>>())
    }

    /// The columns at these positions of the declaration, of part `part`; others are not even decoded.
    pub fn read_columns(&self, part: usize, columns: &[usize]) -> Result<Vec<Cells>> {
        let path = self.dir.join(&self.entry.parts[part].file);
        self.verify_part(part)?;
        let file = PartFile::open(&path, self.table)?;
        let fingerprint = file.footer.get("fingerprint");
        if file.shapes != self.shapes || fingerprint != Some(&self.manifest.fingerprint) {
            return Err(bad(&path.display().to_string(), "belongs to another run than the manifest"));
        }
        file.read(self.table, columns)
    }

    /// All columns of all parts, in declared order.
    pub fn read_all(&self) -> Result<Vec<Cells>> {
        let mut all = self.read_part(0)?;
        for part in 1..self.parts() {
            for (cells, more) in all.iter_mut().zip(self.read_part(part)?) {
                cells.append(more)?;
            }
        }
        Ok(all)
    }

    /// Shape of a row of the column at this position of the declaration; empty where it is no tensor.
    pub fn shape(&self, column: usize) -> &[usize] {
        &self.shapes[column]
    }

    /// What the writing stage noted under `key`.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.footer.get(&format!("meta.{key}")).map(String::as_str)
    }

    /// The manifest of the artifact this table belongs to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The whole artifact as an input of another: its name and the hash of its manifest.
    pub fn input(&self) -> Input {
        let name = self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let artifact = name.split('.').next().unwrap_or_default();
        Input { name: artifact.to_string(), fingerprint: self.manifest.content() }
    }
}
