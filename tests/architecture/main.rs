//! The invariants that ARCHITECTURE.md states, each as a test that names the file and line that breaks it.
#![allow(clippy::print_stderr, reason = "a test says what it did")]
#![recursion_limit = "256"]

mod source;

use std::collections::BTreeSet;

use features::artifact::{Table, markdown};
use source::{Source, root, rust_files};

/// Upstream first: a crate may use those before it and nothing else of ours.
const CRATES: [&str; 5] = ["features", "probe", "attribute", "evaluate", "report"];

const TABLES: [&Table; 14] = [
    &features::table::IMAGES,
    &features::table::BAD_IMAGES,
    &features::table::FEATURES,
    &probe::table::PROBES,
    &probe::table::WEIGHTS,
    &probe::table::LOG,
    &probe::table::PREDICTIONS,
    &attribute::table::GRIDS,
    &attribute::table::MAPS,
    &attribute::table::COMPACT,
    &attribute::table::SEGMENTS,
    &evaluate::table::SCORES,
    &evaluate::table::CURVES,
    &report::table::SUMMARY,
];

/// Fails with every line for which `wrong` is true.
fn forbid(rule: &str, files: impl Iterator<Item = Source>, wrong: impl Fn(&Source, &str) -> bool) {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.code() {
            if wrong(&file, line) {
                found.push(format!("  {}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

/// Whether `line` has `word` with no letter, digit or underscore around it.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(joins) && !line[at + word.len()..].starts_with(joins))
}

#[test]
fn dependencies_point_upstream() {
    for (place, name) in CRATES.iter().enumerate() {
        let path = root().join("crates").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).expect("a manifest can be read");
        let manifest: toml::Table = toml::from_str(&text).expect("a manifest is TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(section) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in section.keys().filter(|key| CRATES.contains(&key.as_str())) {
                assert!(
                    CRATES[..place].contains(&dependency.as_str()),
                    "{}: {name} may not depend on {dependency}; the order is {CRATES:?}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn artifacts_know_no_tensors() {
    forbid(
        "the hand-off machinery must stay free of burn, so that it can move to a crate of its own",
        rust_files().filter(|f| f.path.starts_with("crates/features/src/artifact")),
        |_, line| has_word(line, "burn") || line.contains("crate::tensor"),
    );
}

#[test]
fn the_report_names_no_tensor_library() {
    let manifest = std::fs::read_to_string(root().join("crates/report/Cargo.toml")).expect("a manifest can be read");
    assert!(!has_word(&manifest, "burn"), "crates/report/Cargo.toml depends on burn");
    forbid("the report reads tables only", rust_files().filter(|f| f.path.starts_with("crates/report/")), |_, line| {
        has_word(line, "burn")
    });
}

#[test]
fn one_file_names_the_backend() {
    forbid(
        "code is written against the aliases of features::tensor, and a device is always asked for by name",
        rust_files().filter(|f| f.path.starts_with("crates/") && f.path != "crates/features/src/tensor.rs"),
        |_, line| line.contains("Device::default()") || line.contains(": Backend") || line.contains("burn::Dispatch"),
    );
}

#[test]
fn two_functions_are_unsafe() {
    forbid(
        "pointers are handed to gemm in one place, which checks the bounds, and the allocator is set in one",
        rust_files().filter(|f| {
            let may = ["crates/features/src/network/convolution/product.rs", "crates/features/src/memory.rs"];
            f.path.starts_with("crates/") && !may.contains(&f.path.as_str())
        }),
        |_, line| line.contains("unsafe_code") || line.contains("unsafe {") || line.contains("unsafe fn"),
    );
}

#[test]
fn column_names_are_spelled_in_table_files_only() {
    // One-word names are also ordinary words; two words joined by an underscore are not. `pretrain` writes no table, its
    // description of a backbone is TOML and may use the same words.
    let names: BTreeSet<String> = TABLES
        .iter()
        .flat_map(|table| table.columns)
        .filter(|column| column.name.contains('_'))
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    assert!(names.len() > 10, "the tables declare few names: {names:?}");
    forbid(
        "columns are declared in table.rs and reached through it",
        rust_files().filter(|f| {
            f.path.starts_with("crates/")
                && !f.path.ends_with("/table.rs")
                && !f.path.starts_with("crates/features/src/pretrain")
        }),
        |_, line| names.iter().any(|name| line.contains(name.as_str())),
    );
}

#[test]
fn libraries_do_not_print_or_read_the_environment() {
    let may = ["main.rs", "cli.rs", "stage.rs"];
    forbid(
        "only main.rs, cli.rs and features::stage talk to the terminal and the environment",
        rust_files().filter(|f| {
            f.path.starts_with("crates/")
                && f.path.contains("/src/")
                && !f.path.contains("/src/bin/")
                && !f.path.contains("/src/stage/")
                && !may.contains(&f.name())
        }),
        |_, line| ["println!", "eprintln!", "env::args", "env::var", "process::exit"].iter().any(|w| line.contains(w)),
    );
}

#[test]
fn results_do_not_know_the_time() {
    // These say images a second, or how long a run would take, in their last line on the terminal.
    let may = [
        "crates/attribute/src/attribute.rs",
        "crates/attribute/src/forecast.rs",
        "crates/features/src/extract.rs",
        "crates/features/src/extract/forecast.rs",
        "crates/probe/src/train/forecast.rs",
    ];
    forbid(
        "the clock is read for run records and progress only",
        rust_files().filter(|f| {
            f.path.starts_with("crates/")
                && f.path.contains("/src/")
                && !may.contains(&f.path.as_str())
                && !f.path.starts_with("crates/features/src/artifact")
                && !f.path.starts_with("crates/features/src/stage")
        }),
        |_, line| line.contains("SystemTime::now") || line.contains("Instant::now") || line.contains("rand::rng()"),
    );
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    for file in rust_files() {
        assert!(file.text.starts_with("//!"), "{}: does not open with what it owns and why", file.path);
        let lines = file.text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines; split it at 400", file.path);
    }
}

#[test]
fn tables_have_names_of_their_own() {
    let names: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len(), "two tables share a name: {names:?}");
    for table in TABLES {
        let columns: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(columns.len(), table.columns.len(), "table {} has a column twice", table.name);
        for column in table.columns {
            assert!(!column.meaning.is_empty(), "{}.{} has no meaning", table.name, column.name);
        }
    }
}

#[test]
fn the_description_of_the_tables_is_fresh() {
    let path = root().join("data/TABLES.md");
    let fresh = markdown(&TABLES);
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, &fresh).expect("data/TABLES.md can be written");
        eprintln!("wrote {}", path.display());
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == fresh,
        "data/TABLES.md is not what the tables declare; run UPDATE_TABLES=1 cargo test --release -p probescope-tests \
         --test architecture"
    );
}

#[test]
fn both_command_runners_have_the_same_recipes() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("it is in the root");
    let phony = read("Makefile");
    let phony = phony.lines().find_map(|line| line.strip_prefix(".PHONY:")).expect("phony targets are declared");
    let recipes = read("justfile");
    for target in phony.split_whitespace() {
        assert!(
            recipes
                .lines()
                .any(|line| line.starts_with(&format!("{target} ")) || line.starts_with(&format!("{target}:"))),
            "justfile: no recipe {target}"
        );
    }
}
