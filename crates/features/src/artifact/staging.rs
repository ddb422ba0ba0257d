//! Work in progress beside an artifact, and the change from the old result to the new one.
//!
//! The directory `.NAME.new-FINGERPRINT` holds finished parts, one state file a part, side files, and at the end the
//! manifest. The manifest in there is the commit: from then on every step of the change is a rename that can be
//! repeated, so whoever comes next finishes a change that was cut short.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::manifest::Manifest;
use crate::error::{Error, Result};

const NEW: &str = ".new-";
const OLD: &str = ".old-";
const MANIFEST: &str = "manifest.json";
const RUN: &str = "run.json";
/// Directories inside a staging directory that hold no table; the names cannot be those of tables.
const STATES: &str = ".states";
const FILES: &str = ".files";
const PARTIAL: &str = ".partial";
const CHECKPOINTS: &str = ".checkpoints";
const REPLACED: &str = ".replaced";

/// Paths of one artifact: `parent` is the output directory, `name` the artifact's name.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: PathBuf,
    pub(super) name: String,
}

impl Place {
    pub(super) fn manifest(&self) -> PathBuf {
        self.parent.join(format!("{}.manifest.json", self.name))
    }

    fn run(&self) -> PathBuf {
        self.parent.join(format!("{}.run.json", self.name))
    }

    /// The staging directory for a fingerprint.
    pub(super) fn staging(&self, fingerprint: &str) -> Staging {
        let short = &fingerprint[..12.min(fingerprint.len())];
        Staging { place: self.clone(), root: self.parent.join(format!(".{}{NEW}{short}", self.name)) }
    }

    /// Finishes changes that were cut short, and removes what a finished one left.
    pub(super) fn repair(&self) -> Result<()> {
        for root in siblings(&self.parent, &format!(".{}{NEW}", self.name)) {
            let staging = Staging { place: self.clone(), root };
            if !staging.is_changing() {
                continue;
            }
            let Some(_lock) = staging.lock()? else { continue };
            if staging.root.join(MANIFEST).exists() {
                staging.replace()?;
            } else {
                staging.remove()?;
            }
        }
        self.remove_old();
        Ok(())
    }

    fn remove_old(&self) {
        for old in siblings(&self.parent, &format!(".{}{OLD}", self.name)) {
            // What cannot be removed now is found again by the next run.
            let _ = fs::remove_dir_all(old);
        }
    }
}

/// Whether the artifact `name` in `parent` has work in progress.
pub(super) fn any(parent: &Path, name: &str) -> bool {
    !siblings(parent, &format!(".{name}{NEW}")).is_empty()
}

/// Entries of `parent` whose names begin so, sorted.
fn siblings(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Work in progress for one fingerprint.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    place: Place,
    pub(super) root: PathBuf,
}

impl Staging {
    /// Makes the directories for these tables.
    pub(super) fn create<'a>(&self, tables: impl Iterator<Item = &'a str>) -> Result<()> {
        for dir in [STATES, FILES, PARTIAL, CHECKPOINTS].into_iter().chain(tables) {
            let path = self.root.join(dir);
            fs::create_dir_all(&path).map_err(|error| Error::cannot_write(&path, error))?;
        }
        Ok(())
    }

    /// Path of the state file of a part.
    pub(super) fn state(&self, part: usize) -> PathBuf {
        self.root.join(STATES).join(format!("{part:05}.json"))
    }

    /// Path of a part.
    pub(super) fn part(&self, dir: &str, file: &str) -> PathBuf {
        self.root.join(dir).join(file)
    }

    /// Path of what is kept of a part in the making.
    pub(super) fn checkpoint(&self, name: &str) -> PathBuf {
        self.root.join(CHECKPOINTS).join(name)
    }

    /// Forgets everything that is kept of parts in the making.
    pub(super) fn forget_checkpoints(&self) -> Result<()> {
        for path in siblings(&self.root.join(CHECKPOINTS), "") {
            fs::remove_file(&path).map_err(|error| Error::cannot_write(&path, error))?;
        }
        Ok(())
    }

    /// Path of a side file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.join(FILES).join(name)
    }

    /// Names of the side files written so far, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let paths = siblings(&self.root.join(FILES), "");
        paths.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_string())).collect()
    }

    /// Writes a file so that `target`, somewhere in this directory, is whole or absent at any moment.
    pub(super) fn write(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let partial = self.root.join(PARTIAL).join(format!("{}-{nanos}-{count}", process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, target)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&partial);
            Error::cannot_write(target, error)
        })
    }

    /// Waits until no other process finishes this work; `None` if one has.
    pub(super) fn lock(&self) -> Result<Option<File>> {
        let path = self.root.join("lock");
        let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::cannot_write(&path, error)),
        };
        match file.lock() {
            // A file system without locks: finishing is then safe for one process at a time only.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(Error::cannot_write(&path, error)),
            _ => Ok(path.exists().then_some(file)),
        }
    }

    /// Whether this work is complete and its change to the current result has begun, or only its removal is left.
    fn is_changing(&self) -> bool {
        self.root.join(MANIFEST).exists() || self.root.join(REPLACED).exists()
    }

    /// Declares this work complete. From here on the old result is no longer needed.
    pub(super) fn commit(&self, manifest: &Manifest, run: &str) -> Result<()> {
        for dir in manifest.tables.keys() {
            sync_dir(&self.root.join(dir));
        }
        sync_dir(&self.root.join(FILES));
        self.write(&self.root.join(RUN), run.as_bytes())?;
        self.write(&self.root.join(MANIFEST), manifest.text().as_bytes())?;
        sync_dir(&self.root);
        Ok(())
    }

    /// Puts the committed result in the place of the old one. Every step may find itself done already.
    pub(super) fn replace(&self) -> Result<()> {
        let replaced = self.root.join(REPLACED);
        fs::create_dir_all(&replaced).map_err(|error| Error::cannot_write(&replaced, error))?;
        let manifest = Manifest::load(&self.root.join(MANIFEST))?;
        self.move_to(&self.place.manifest(), &replaced.join(MANIFEST))?;
        // A damaged old manifest names nothing that could be cleaned up.
        if let Ok(old) = Manifest::load(&replaced.join(MANIFEST)) {
            self.set_aside(&old, &manifest)?;
        }
        for dir in manifest.tables.keys().filter(|dir| self.root.join(dir).exists()) {
            self.move_to(&self.place.parent.join(dir), &replaced.join(dir))?;
            self.move_to(&self.root.join(dir), &self.place.parent.join(dir))?;
        }
        for file in &manifest.files {
            self.move_to(&self.file(&file.file), &self.place.parent.join(&file.file))?;
        }
        self.move_to(&self.root.join(RUN), &self.place.run())?;
        sync_dir(&self.place.parent);
        self.move_to(&self.root.join(MANIFEST), &self.place.manifest())?;
        sync_dir(&self.place.parent);
        self.remove()
    }

    /// Moves away what the old result had and the new one has not.
    fn set_aside(&self, old: &Manifest, new: &Manifest) -> Result<()> {
        let dirs = old.tables.keys().filter(|dir| !new.tables.contains_key(*dir));
        let files = old.files.iter().map(|file| &file.file).filter(|old| new.files.iter().all(|new| new.file != **old));
        for name in dirs.chain(files).filter(|name| belongs(&self.place.name, name)) {
            self.move_to(&self.place.parent.join(name), &self.root.join(REPLACED).join(name))?;
        }
        Ok(())
    }

    /// Renames, if there is something to rename; a directory in the way was set aside earlier and is dropped.
    fn move_to(&self, from: &Path, to: &Path) -> Result<()> {
        if !from.exists() {
            return Ok(());
        }
        if to.is_dir() {
            fs::remove_dir_all(to).map_err(|error| Error::cannot_write(to, error))?;
        }
        match fs::rename(from, to) {
            Err(error) if from.exists() => Err(Error::cannot_write(to, error)),
            _ => Ok(()),
        }
    }

    /// Removes this directory and every other work in progress of the artifact, which its new result has outdated.
    fn remove(&self) -> Result<()> {
        for root in siblings(&self.place.parent, &format!(".{}{NEW}", self.place.name)) {
            let Some(name) = root.file_name().and_then(|name| name.to_str()) else { continue };
            self.move_to(&root, &root.with_file_name(name.replacen(NEW, OLD, 1)))?;
        }
        self.place.remove_old();
        Ok(())
    }
}

/// Whether `name` may be a directory or side file of the artifact: its name, or its name, a dot and more.
pub(super) fn belongs(artifact: &str, name: &str) -> bool {
    let rest = name.strip_prefix(artifact);
    rest.is_some_and(|rest| rest.is_empty() || (rest.len() > 1 && rest.starts_with('.')))
        && !name.contains(['/', '\\'])
        && ![".manifest.json", ".run.json"].contains(&&name[artifact.len()..])
}

/// Makes renames in `dir` survive a power cut, where the system can.
fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}
