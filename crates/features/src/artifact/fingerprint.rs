//! Identity of a result: a hash of everything that determines it, over one canonical JSON text.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::write::ArtifactSpec;
use crate::error::{Error, Result};

/// Something a result was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its role, never a path of the machine.
    pub name: String,
    /// Hash of its content, hexadecimal.
    pub fingerprint: String,
}

impl Input {
    /// An input given by its bytes.
    pub fn bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self { name: name.into(), fingerprint: blake3::hash(bytes).to_hex().to_string() }
    }

    /// An input that is a file, by its content.
    pub fn file(name: impl Into<String>, path: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
        hasher.update_reader(file).map_err(|error| Error::io(path, error))?;
        Ok(Self { name: name.into(), fingerprint: hasher.finalize().to_hex().to_string() })
    }
}

/// The fingerprint of what `spec` describes, hexadecimal.
pub(super) fn fingerprint(spec: &ArtifactSpec) -> String {
    let tables = spec.tables.iter().map(|table| {
        json!({
            "dir": table.dir,
            "table": table.table.name,
            "version": table.table.version.to_string(),
            "shapes": table.shapes,
            "meta": table.meta,
        })
    });
    let identity = json!({
        "stage": spec.stage,
        "algorithm": spec.algorithm,
        "config": spec.config,
        "inputs": spec.inputs,
        "tables": tables.collect::<Vec<_>>(),
        "parts": spec.parts,
    });
    blake3::hash(sorted(&identity).to_string().as_bytes()).to_hex().to_string()
}

/// The same JSON with the keys of every object in byte order, whatever map type serde_json was built with.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|entry| entry.0);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_count() {
        let one: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":2}],"a":null}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":null,"b":[{"x":2,"y":1}]}"#).unwrap();
        assert_eq!(sorted(&one).to_string(), sorted(&other).to_string());
        assert_eq!(sorted(&one).to_string(), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
    }

    #[test]
    fn a_file_and_its_bytes_are_the_same_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(Input::file("weights", &path).unwrap(), Input::bytes("weights", b"abc"));
        assert!(matches!(Input::file("weights", &dir.path().join("none")), Err(Error::InputMissing(_))));
    }
}
