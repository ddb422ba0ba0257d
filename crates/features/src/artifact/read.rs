//! Reading a finished table part by part, after checking that it is what its declaration says.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::cells::Cells;
use super::fingerprint::Input;
use super::manifest::{Manifest, TableEntry, damaged};
use super::part::{Footer, PartFile, bad, check_version};
use super::table::Table;
use crate::error::{Error, Result};

/// An open table. Parts are read on demand, so memory holds one part at a time.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    table: &'static Table,
    manifest: Manifest,
    entry: TableEntry,
    shapes: Vec<Vec<usize>>,
    footer: Footer,
    /// Which parts have been found to hold what was written.
    whole: Vec<AtomicBool>,
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

    /// The table's directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
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

    /// Whether all parts hold what was written, for readers that are not this one.
    ///
    /// # Errors
    /// [`Error::BadData`] naming the first part that does not.
    pub fn verify(&self) -> Result<()> {
        (0..self.parts()).try_for_each(|part| self.verify_part(part))
    }

    /// Compares a part's content with the manifest's hash, once. Decoding notices most damage, but not a changed number.
    fn verify_part(&self, part: usize) -> Result<()> {
        if self.whole[part].load(Ordering::Relaxed) {
            return Ok(());
        }
        let entry = &self.entry.parts[part];
        let path = self.dir.join(&entry.file);
        if Input::file("", &path)?.fingerprint != entry.blake3 {
            return Err(self.changed(&path));
        }
        self.whole[part].store(true, Ordering::Relaxed);
        Ok(())
    }

    fn changed(&self, path: &Path) -> Error {
        let stage = &self.manifest.stage;
        Error::BadData(format!(
            "{}: is not what was written; run the `{stage}` stage again with --force",
            path.display()
        ))
    }

    /// The content of one of the artifact's side files.
    ///
    /// # Errors
    /// A file that is not there, or that is not what was written.
    pub fn side_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.dir.with_file_name(name);
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        let entry = self.manifest.files.iter().find(|entry| entry.file == name);
        match entry.is_some_and(|entry| Input::bytes("", &bytes).fingerprint == entry.blake3) {
            true => Ok(bytes),
            false => Err(self.changed(&path)),
        }
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
