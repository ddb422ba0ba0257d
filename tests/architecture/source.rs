//! The workspace's own source files as text.

use std::path::{Path, PathBuf};

/// The workspace's directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is inside the workspace").to_owned()
}

/// One file.
pub struct Source {
    /// From the workspace's directory, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Numbered lines that are neither comments nor unit tests, which sit at a file's end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole_file_is_a_test = self.name() == "tests.rs" || self.path.contains("/tests/");
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(move |(_, line)| !whole_file_is_a_test && *line != "mod tests {")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file of `crates` and `tests`, in path order.
pub fn rust_files() -> impl Iterator<Item = Source> {
    let mut found = Vec::new();
    for directory in ["crates", "tests"] {
        collect(&root().join(directory), &mut found);
    }
    found.sort();
    found.into_iter().map(|path| Source {
        text: std::fs::read_to_string(&path).expect("a source file can be read"),
        path: path.strip_prefix(root()).expect("it was found there").to_string_lossy().replace('\\', "/"),
    })
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a source directory can be read") {
        let path = entry.expect("a directory entry can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
