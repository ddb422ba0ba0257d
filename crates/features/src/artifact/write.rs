//! Making an artifact: parts in any order, by any number of processes, and one change to the new result at the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cells::Cells;
use super::fingerprint::{Input, fingerprint, sorted};
use super::manifest::{FileEntry, MANIFEST_VERSION, Manifest, PartEntry, TableEntry, damaged};
use super::part::{Footer, PartFile, encode, file_name};
use super::shard::{Run, Shard};
use super::staging::{Place, Staging, belongs};
use super::table::Table;
use crate::error::{Error, Result};

/// Everything that determines an artifact, and where it goes.
#[derive(Clone, Debug)]
pub struct ArtifactSpec {
    /// Stage that makes it.
    pub stage: &'static str,
    /// Its place: output directory and name, like `out/E/features`. The name has no dot.
    pub path: PathBuf,
    /// Raised by hand whenever the same configuration would give other values.
    pub algorithm: u32,
    /// Resolved configuration: all that the values depend on besides the inputs.
    pub config: Value,
    /// What it is made from.
    pub inputs: Vec<Input>,
    /// Tables, all with the same parts.
    pub tables: Vec<TableSpec>,
    /// Number of parts, at least 1; they are the unit of resuming and of sharding.
    pub parts: usize,
}

/// One table of an artifact.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Its declaration.
    pub table: &'static Table,
    /// Name of its directory: the artifact's name, or that name, a dot and more.
    pub dir: String,
    /// Row shape of each tensor column, in order.
    pub shapes: Vec<Vec<usize>>,
    /// Notes for readers, like the names of axes; in the footer of every part as `probescope.meta.KEY`.
    pub meta: BTreeMap<String, String>,
}

/// What there is to do for an artifact.
#[derive(Debug)]
pub enum Begin {
    /// Nothing: it is there, made from the same inputs with the same configuration.
    UpToDate(Manifest),
    /// Some parts, at least.
    Work(Box<Artifact>),
}

/// An artifact being made. Parts can be written from several threads.
#[derive(Debug)]
pub struct Artifact {
    spec: ArtifactSpec,
    widths: Vec<Vec<usize>>,
    fingerprint: String,
    place: Place,
    staging: Staging,
    run: Run,
    since: Instant,
}

/// Record of a finished part; written after the part's files.
#[derive(Serialize, Deserialize)]
struct PartState {
    fingerprint: String,
    tables: BTreeMap<String, PartEntry>,
}

impl Artifact {
    /// Compares `spec` with what is there. Without `force`, equal work is not done again: neither a finished artifact
    /// (its manifest gets a new modification time, for make) nor parts that a killed run left.
    pub fn begin(run: &Run, spec: ArtifactSpec) -> Result<Begin> {
        let place = place(&spec)?;
        let widths = check(&spec, &place)?;
        fs::create_dir_all(&place.parent).map_err(|error| Error::cannot_write(&place.parent, error))?;
        place.repair()?;
        let fingerprint = fingerprint(&spec);
        if !run.force
            && let Ok(manifest) = Manifest::load(&place.manifest())
            && manifest.fingerprint == fingerprint
            && manifest.damage(&place.parent).is_none()
        {
            // In a directory that may only be read, the result is just as good with its old time.
            let file = File::options().append(true).open(place.manifest());
            let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Begin::UpToDate(manifest));
        }
        let staging = place.staging(&fingerprint);
        staging.create(spec.tables.iter().map(|table| table.dir.as_str()))?;
        let since = Instant::now();
        let artifact = Self { spec, widths, fingerprint, place, staging, run: run.clone(), since };
        if run.force {
            artifact.staging.forget_checkpoints()?;
            for part in artifact.parts_for(run.shard) {
                let state = artifact.staging.state(part);
                if state.exists() {
                    fs::remove_file(&state).map_err(|error| Error::cannot_write(&state, error))?;
                }
            }
        }
        Ok(Begin::Work(Box::new(artifact)))
    }

    /// Hash of all that determines this artifact, hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// All rows of the table at this position of the specification, of the parts that are there: for small tables that
    /// decide whether to finish.
    pub fn staged(&self, table: usize) -> Result<Vec<Cells>> {
        let spec = &self.spec.tables[table];
        let mut all: Vec<Cells> = spec.table.columns.iter().map(Cells::empty).collect();
        let columns: Vec<usize> = (0..all.len()).collect();
        for part in (0..self.spec.parts).filter(|&part| self.has_part(part)) {
            let path = self.staging.part(&spec.dir, &file_name(part, self.spec.parts));
            for (cells, more) in all.iter_mut().zip(PartFile::open(&path, spec.table)?.read(spec.table, &columns)?) {
                cells.append(more)?;
            }
        }
        Ok(all)
    }

    /// The parts that a shard makes.
    pub fn parts_for(&self, shard: Shard) -> Range<usize> {
        shard.range(self.spec.parts)
    }

    /// The parts of this process's shard that are still to be made.
    pub fn pending(&self) -> Vec<usize> {
        self.parts_for(self.run.shard).filter(|&part| !self.has_part(part)).collect()
    }

    /// Parts of any shard that are still to be made.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.spec.parts).filter(|&part| !self.has_part(part)).collect()
    }

    /// Whether the part is there for all tables.
    pub fn has_part(&self, part: usize) -> bool {
        self.state(part).is_some()
    }

    /// State of a part whose files are all there in full.
    fn state(&self, part: usize) -> Option<PartState> {
        let state: PartState = serde_json::from_slice(&fs::read(self.staging.state(part)).ok()?).ok()?;
        let whole = state.fingerprint == self.fingerprint
            && self.spec.tables.iter().all(|table| {
                let entry = state.tables.get(&table.dir);
                entry.is_some_and(|entry| damaged(&self.staging.part(&table.dir, &entry.file), entry.bytes).is_none())
            });
        whole.then_some(state)
    }

    /// Writes a part: columns in declared order for each table, named by its position in the specification. A table
    /// that is not given has no rows in this part.
    pub fn write_part(&self, part: usize, tables: Vec<(usize, Vec<Cells>)>) -> Result<()> {
        if part >= self.spec.parts {
            return Err(self.bug(&format!("part {part} was written, there are {}", self.spec.parts)));
        }
        let mut given = BTreeMap::new();
        for (index, cells) in tables {
            if index >= self.spec.tables.len() || given.insert(index, cells).is_some() {
                return Err(self.bug(&format!("part {part}: table {index} was given twice or does not exist")));
            }
        }
        let file = file_name(part, self.spec.parts);
        let mut state = PartState { fingerprint: self.fingerprint.clone(), tables: BTreeMap::new() };
        for (index, spec) in self.spec.tables.iter().enumerate() {
            let none = || spec.table.columns.iter().map(Cells::empty).collect();
            let cells = given.remove(&index).unwrap_or_else(none);
            let (bytes, rows) = encode(spec.table, &self.widths[index], &self.footer(spec), cells)?;
            self.staging.write(&self.staging.part(&spec.dir, &file), &bytes)?;
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            let entry = PartEntry { file: file.clone(), rows: rows as u64, bytes: bytes.len() as u64, blake3 };
            state.tables.insert(spec.dir.clone(), entry);
        }
        let state = serde_json::to_vec(&state).expect("a part state has only string keys");
        self.staging.write(&self.staging.state(part), &state)
    }

    /// Keeps bytes under a name while the artifact is made, in the place of the last ones: what a long part has come to, so
    /// that a killed run need not make it from the start. Nothing of it reaches the artifact.
    pub fn write_checkpoint(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.staging.write(&self.staging.checkpoint(name), bytes)
    }

    /// What was last kept under this name, by this run or a killed one of equal work.
    pub fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.staging.checkpoint(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, error)),
        }
    }

    /// Writes a side file, `NAME.` and more where `NAME` is the artifact's name. It has no state like a part: write it
    /// in every run before [`Self::finish`]. What depends on all parts is written when [`Self::missing`] is empty.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let taken = name == self.place.name || self.spec.tables.iter().any(|table| table.dir == name);
        if taken || !belongs(&self.place.name, name) {
            return Err(self.bug(&format!("a side file must be called `{}.SOMETHING`, not `{name}`", self.place.name)));
        }
        match self.staging.lock()? {
            Some(_lock) => self.staging.write(&self.staging.file(name), bytes),
            None => self.finished_elsewhere().map(|_| ()),
        }
    }

    /// Makes the new result current, if every part of every shard is there; otherwise `None`, and the artifact stays
    /// as it was. Shards may call this in any order and at the same time.
    pub fn finish(self) -> Result<Option<Manifest>> {
        let lock = self.staging.lock()?;
        if lock.is_none() {
            return self.finished_elsewhere().map(Some);
        }
        let states: Option<Vec<PartState>> = (0..self.spec.parts).map(|part| self.state(part)).collect();
        let Some(states) = states else { return Ok(None) };
        self.staging.commit(&self.manifest(states)?, &self.run_record())?;
        self.staging.replace()?;
        Manifest::load(&self.place.manifest()).map(Some)
    }

    /// The result, where another shard has finished it between this one's last part and now.
    fn finished_elsewhere(&self) -> Result<Manifest> {
        match Manifest::load(&self.place.manifest()) {
            Ok(manifest) if manifest.fingerprint == self.fingerprint => Ok(manifest),
            _ => {
                let name = &self.place.name;
                let problem = format!("`{name}` was replaced by a run with another configuration; run this one again");
                Err(Error::Interrupted(problem))
            }
        }
    }

    /// Stops a finish right after its point of no return.
    #[cfg(test)]
    pub(super) fn commit_only(self) -> Result<()> {
        let states = (0..self.spec.parts).filter_map(|part| self.state(part)).collect();
        self.staging.commit(&self.manifest(states)?, &self.run_record())
    }

    fn manifest(&self, states: Vec<PartState>) -> Result<Manifest> {
        let mut tables = BTreeMap::new();
        for spec in &self.spec.tables {
            let parts: Vec<_> = states.iter().map(|state| state.tables[&spec.dir].clone()).collect();
            let rows = parts.iter().map(|part| part.rows).sum();
            let (table, version) = (spec.table.name.to_string(), spec.table.version.to_string());
            tables.insert(spec.dir.clone(), TableEntry { table, version, rows, parts });
        }
        let mut files = Vec::new();
        for file in self.staging.files() {
            let path = self.staging.file(&file);
            let bytes = fs::read(&path).map_err(|error| Error::io(&path, error))?;
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            files.push(FileEntry { file, bytes: bytes.len() as u64, blake3 });
        }
        Ok(Manifest {
            manifest_version: MANIFEST_VERSION,
            stage: self.spec.stage.to_string(),
            algorithm: self.spec.algorithm,
            fingerprint: self.fingerprint.clone(),
            config: self.spec.config.clone(),
            inputs: self.spec.inputs.clone(),
            tables,
            files,
        })
    }

    fn footer(&self, spec: &TableSpec) -> Footer {
        let mut footer: Footer = spec.meta.iter().map(|(key, value)| (format!("meta.{key}"), value.clone())).collect();
        for (column, shape) in spec.table.tensors().zip(&spec.shapes) {
            footer.insert(format!("shape.{}", spec.table.columns[column].name), json!(shape).to_string());
        }
        let entries = [
            ("table", spec.table.name.to_string()),
            ("version", spec.table.version.to_string()),
            ("row", spec.table.row.to_string()),
            ("stage", self.spec.stage.to_string()),
            ("algorithm", self.spec.algorithm.to_string()),
            ("fingerprint", self.fingerprint.clone()),
            ("config", sorted(&self.spec.config).to_string()),
            ("inputs", sorted(&json!(self.spec.inputs)).to_string()),
        ];
        footer.extend(entries.map(|(key, value)| (key.to_string(), value)));
        footer
    }

    /// What is true of this run only: when, where, how long.
    fn run_record(&self) -> String {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let record = json!({
            "argv": self.run.argv,
            "fingerprint": self.fingerprint,
            "finished_unix": SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            "host": host.trim(),
            "program": env!("CARGO_PKG_VERSION"),
            "seconds": self.since.elapsed().as_secs_f64(),
            "shard": self.run.shard.to_string(),
        });
        format!("{:#}\n", sorted(&record))
    }

    fn bug(&self, problem: &str) -> Error {
        Error::Bug(format!("artifact `{}`: {problem}", self.place.name))
    }
}

fn place(spec: &ArtifactSpec) -> Result<Place> {
    let name = spec.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.is_empty() || name.contains('.') {
        let path = spec.path.display();
        return Err(Error::Bug(format!("{path}: the last part of an artifact's path is a name without a dot")));
    }
    let parent = match spec.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok(Place { parent, name: name.to_string() })
}

/// Checks the specification and gives the tensor widths of each table.
fn check(spec: &ArtifactSpec, place: &Place) -> Result<Vec<Vec<usize>>> {
    let bug = |problem: String| Err(Error::Bug(format!("artifact `{}`: {problem}", place.name)));
    if spec.parts == 0 || spec.tables.is_empty() {
        return bug("it needs a part and a table".into());
    }
    for (index, table) in spec.tables.iter().enumerate() {
        let twice = spec.tables[..index].iter().any(|other| other.dir == table.dir);
        if twice || !belongs(&place.name, &table.dir) {
            return bug(format!("directory `{}` is used twice or does not begin with the artifact's name", table.dir));
        }
        table.table.check()?;
    }
    spec.tables.iter().map(|table| table.table.widths(&table.shapes)).collect()
}
