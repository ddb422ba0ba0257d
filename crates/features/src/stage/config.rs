//! The experiment file: one TOML section a stage, nothing unknown anywhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Sections an experiment file may have: one a stage, plus the experiment itself and the data it uses.
const SECTIONS: [&str; 8] = ["experiment", "data", "pretrain", "features", "probe", "attribute", "evaluate", "report"];

/// An experiment file, its sections not yet interpreted.
#[derive(Clone, Debug, Default)]
pub struct Experiment {
    /// `[experiment].seed`, 0 where absent.
    pub seed: u64,
    file: PathBuf,
    sections: toml::Table,
}

/// The section `[experiment]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Header {
    seed: u64,
    #[serde(rename = "title")]
    _title: String,
}

impl Experiment {
    /// Reads `file` and rejects sections that no stage knows.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?;
        let sections: toml::Table = toml::from_str(&text)
            .map_err(|error| Error::Usage(format!("{}: not a TOML file: {error}", file.display())))?;
        if let Some(unknown) = sections.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            let known = SECTIONS.map(|name| format!("[{name}]")).join(", ");
            let message = format!("{}: unknown section or key `{unknown}`; a file may have {known}", file.display());
            return Err(Error::Usage(message));
        }
        let mut experiment = Self { seed: 0, file: file.to_path_buf(), sections };
        experiment.seed = experiment.section::<Header>("experiment")?.seed;
        Ok(experiment)
    }

    /// The section `name`; an absent one is read as an empty one.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        if !SECTIONS.contains(&name) {
            return Err(Error::Bug(format!("no experiment file has a section [{name}]")));
        }
        let value = self.sections.get(name).cloned().unwrap_or_else(|| toml::Table::new().into());
        value.try_into().map_err(|error: toml::de::Error| {
            let file = if self.file.as_os_str().is_empty() { Path::new("no --config") } else { &self.file };
            Error::Usage(format!(
                "{}: section [{name}]: {}",
                file.display(),
                error.to_string().trim().replace('\n', "; ")
            ))
        })
    }
}
