//! Whether an artifact's files hold what was written: their content against the manifest's hashes, as they are read.
//!
//! Decoding notices most damage to a part, but not a number that became another one.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::fingerprint::Input;
use super::read::Reader;
use crate::error::{Error, Result};

impl Reader {
    /// Compares all parts, for readers that are not this one.
    ///
    /// # Errors
    /// [`Error::BadData`] naming the first part that is not what was written.
    pub fn verify(&self) -> Result<()> {
        (0..self.parts()).try_for_each(|part| self.verify_part(part))
    }

    /// Compares a part, once.
    pub(super) fn verify_part(&self, part: usize) -> Result<()> {
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

    fn changed(&self, path: &Path) -> Error {
        let (path, stage) = (path.display(), &self.manifest.stage);
        Error::BadData(format!("{path}: is not what was written; run the `{stage}` stage again with --force"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Artifact, ArtifactSpec, Begin, Cells, Column, Run, Table, TableSpec, Values, Version};
    use super::*;

    const NUMBERS: Table = Table {
        name: "numbers",
        version: Version::new(1, 0),
        row: "One number.",
        columns: &[Column::new("number", Values::F64, "any")],
    };

    #[test]
    fn a_changed_bit_is_noticed_in_parts_and_side_files() {
        let dir = tempfile::tempdir().unwrap();
        let spec = ArtifactSpec {
            stage: "try",
            path: dir.path().join("try"),
            algorithm: 1,
            config: serde_json::Value::Null,
            inputs: vec![],
            tables: vec![TableSpec { table: &NUMBERS, dir: "try".into(), shapes: vec![], meta: Default::default() }],
            parts: 1,
        };
        let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("it is new") };
        let numbers: Vec<f64> = (0..4096).map(|number| f64::from(number).sin()).collect();
        artifact.write_part(0, vec![(0, vec![Cells::F64(numbers)])]).unwrap();
        artifact.write_file("try.weights", b"weights").unwrap();
        artifact.finish().unwrap();
        let open = || Reader::open(&dir.path().join("try"), &NUMBERS).unwrap();
        open().read_all().unwrap();
        open().verify().unwrap();
        assert_eq!(open().side_file("try.weights").unwrap(), b"weights");
        let turn = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        };
        turn(&dir.path().join("try/part-00000-of-00001.parquet"));
        turn(&dir.path().join("try.weights"));
        for error in
            [open().read_all().unwrap_err(), open().verify().unwrap_err(), open().side_file("try.weights").unwrap_err()]
        {
            assert_eq!(error.exit_code(), 65);
            assert!(error.to_string().contains("run the `try` stage again with --force"), "{error}");
        }
    }
}
