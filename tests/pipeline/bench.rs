//! A throw-away project: a directory with a tiny experiment, and the built programs run in it.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use evaluate::table::{SCORES, ScoreRows};
use features::{
    artifact::Reader,
    backbone::{Architecture, Block, Description, Family, ResNet, Stage, Stem, named},
    preprocess::{Encoding, Fit},
};

#[path = "../parity/filled.rs"]
mod filled;

use filled::Filled;

/// The stages in order, as (program, what its artifact is called).
pub const STAGES: [&str; 4] = ["features", "probe", "attribute", "evaluate"];

/// A directory with `shapes.toml`, `tiny.toml` and a random backbone.
pub struct Bench {
    root: PathBuf,
    /// Removes the directory in the end.
    _guard: Option<tempfile::TempDir>,
}

/// The five stages, run once for all tests of this program; they read it and copy it, and leave it as it is.
pub fn complete() -> &'static Bench {
    static COMPLETE: OnceLock<Bench> = OnceLock::new();
    COMPLETE.get_or_init(|| {
        let root = own_directory();
        Bench::run_in(Bench { root, _guard: None })
    })
}

/// A directory of this process alone. A static is never dropped, so its process holds a lock that ends with it, and
/// whoever comes later removes what nobody holds: two test runs at once must not take each other's files away.
fn own_directory() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(parent).expect("cargo made it").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("complete-") && name.ends_with(".lock") {
            let free = File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok());
            if free {
                let _ = std::fs::remove_dir_all(path.with_extension("d"));
                let _ = std::fs::remove_file(&path);
            }
        }
    }
    let lock = parent.join(format!("complete-{}.lock", std::process::id()));
    let held = File::create(&lock).expect("a lock file can be made");
    held.lock().expect("a lock file can be locked");
    std::mem::forget(held);
    let root = lock.with_extension("d");
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).expect("a directory can be made");
    root
}

impl Bench {
    /// The tiny experiment with all five stages run, gone when dropped.
    pub fn complete() -> Self {
        Self::run_in(Self::temporary())
    }

    /// In cargo's directory for such things, where `cargo clean` finds what a killed test left.
    fn temporary() -> Self {
        let guard = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        Self { root: guard.path().to_owned(), _guard: Some(guard) }
    }

    /// A random backbone and nothing else, gone when dropped.
    pub fn with_backbone(fit: Fit) -> Self {
        let bench = Self::temporary();
        write_backbone(&bench.path("random.safetensors"), residual(), fit);
        bench
    }

    fn run_in(bench: Self) -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline");
        for name in ["shapes.toml", "tiny.toml", "report.toml"] {
            std::fs::copy(shipped.join(name), bench.path(name)).expect("the experiment can be copied");
        }
        write_backbone(&bench.path("random.safetensors"), residual(), Fit::Exact);
        bench.ok(&["features", "shapes", "--config", "shapes.toml"]);
        for stage in STAGES {
            bench.ok(&[stage, "--config", "tiny.toml"]);
        }
        bench.ok(&["report", "--config", "report.toml"]);
        bench
    }

    /// A copy whose files may be damaged.
    pub fn copy(&self) -> Self {
        let copy = Self::temporary();
        collect(&self.root, &mut |path| {
            let to = copy.root.join(path.strip_prefix(&self.root).expect("it was found there"));
            std::fs::create_dir_all(to.parent().expect("it is in a directory")).expect("a directory can be made");
            std::fs::copy(path, to).expect("a file can be copied");
        });
        copy
    }

    /// A path in the directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A program with its arguments, ready to start in the directory.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program(words[0]));
        command.args(&words[1..]).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Runs to the end, whatever the end is.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap_or_else(|e| panic!("{}: {e}", words[0]))
    }

    /// Runs to a good end.
    pub fn ok(&self, words: &[&str]) -> Output {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}\n{}", output.status, stderr(&output));
        output
    }

    /// The scores of `tiny.toml`.
    pub fn scores(&self) -> ScoreRows {
        let reader = Reader::open(&self.path("out/tiny/evaluate"), &SCORES).expect("a table");
        ScoreRows::from_cells(reader.read_all().expect("rows")).expect("columns")
    }

    /// Runs to this exit code; the message must hold all of `parts`.
    pub fn fails(&self, words: &[&str], code: i32, parts: &[&str]) {
        let output = self.run(words);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{words:?}: the message lacks {part:?}: {message}");
        }
        assert!(!message.contains("panicked"), "{words:?}: {message}");
        assert!(output.stdout.is_empty(), "{words:?}: data on standard output of a failed run");
    }

    /// Every Parquet part, manifest and report file by path, with its content.
    pub fn results(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.path("out"), &mut |path| {
            let name = path.file_name().expect("files have names").to_string_lossy();
            // Times and hosts are the only things that may differ.
            if !name.ends_with(".run.json") {
                let relative = path.strip_prefix(&self.root).expect("it was found there");
                found.insert(relative.to_owned(), std::fs::read(path).expect("a result can be read"));
            }
        });
        found
    }

    /// Parts of one table directory, in order.
    pub fn parts(&self, directory: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path(directory), &mut |path| {
            if path.extension().is_some_and(|e| e == "parquet") {
                found.push(path.to_owned());
            }
        });
        found.sort();
        assert!(!found.is_empty(), "{directory}: no parts");
        found
    }
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether any Parquet file lies under `directory`, which may change or vanish meanwhile.
pub fn has_parquet(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries
        .flatten()
        .map(|entry| entry.path())
        .any(|path| path.extension().is_some_and(|e| e == "parquet") || (path.is_dir() && has_parquet(&path)))
}

/// Fails with the names of what differs, not with its bytes.
pub fn assert_same(one: &BTreeMap<PathBuf, Vec<u8>>, other: &BTreeMap<PathBuf, Vec<u8>>) {
    let names = |results: &BTreeMap<PathBuf, Vec<u8>>| results.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "different files");
    let differ: Vec<_> = one.iter().filter(|(path, bytes)| other[*path] != **bytes).map(|(path, _)| path).collect();
    assert!(differ.is_empty(), "different bytes: {differ:?}");
}

/// Test programs run from target/PROFILE/deps, the stages are one up.
fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("the test knows its path");
    let profile = here.parent().and_then(Path::parent).expect("it is in target/PROFILE/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not built; `make test` builds it first", path.display());
    path
}

fn collect(directory: &Path, found: &mut dyn FnMut(&Path)) {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory entry can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found(&path);
        }
    }
}

/// A residual network of the shipped kind, small.
fn residual() -> Architecture {
    let network = ResNet {
        family: Family::Resnet,
        block: Block::Basic,
        stem: Stem { channels: 8, kernel: 5, stride: 2, pool: false },
        stages: vec![Stage { width: 8, blocks: 1, stride: 2 }, Stage { width: 16, blocks: 1, stride: 2 }],
    };
    network.into()
}

/// A network for pictures of Shapes with weights from the parity tests' formula.
pub fn write_backbone(path: &Path, architecture: Architecture, fit: Fit) {
    let mut named = Filled::default();
    architecture.lower(&mut named);
    let bytes = named::write(&named.0, BTreeMap::new()).expect("tensors can be serialised");
    std::fs::write(path, bytes).expect("the backbone can be written");
    let description = Description {
        name: "tiny".into(),
        input_size: 64,
        encoding: Encoding::Normalised { mean: [0.5; 3], std: [0.25; 3] },
        fit,
        architecture,
        provenance: toml::Table::new(),
    };
    let text = toml::to_string(&description).expect("a description is TOML");
    std::fs::write(path.with_extension("toml"), text).expect("the description can be written");
}
