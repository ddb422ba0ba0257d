//! What became of each tensor of a checkpoint: nothing is left out without being named.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::lower::Style;
use crate::error::{Error, Result};

/// What to do about tensors of the network's own part of a checkpoint that the architecture does not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Unused {
    /// An error: the network computed something with them.
    #[default]
    Refuse,
    /// Load without them.
    Accept,
}

/// How a checkpoint fits an architecture.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Names that the architecture asked for.
    pub asked: BTreeSet<String>,
    /// Asked for and not there.
    pub missing: Vec<String>,
    /// There with another shape.
    pub misshapen: Vec<String>,
    /// There and not asked for, without a reason known.
    pub unused: Vec<String>,
    /// There and not needed: classifier, attention pool, counters, means of norms that subtract none.
    pub ignored: Vec<String>,
}

impl LoadReport {
    /// Sorts the names that were there into asked for, not needed and unused.
    pub fn leftover<'a>(&mut self, style: Style, names: impl Iterator<Item = &'a str>) {
        for name in names.filter(|name| !self.asked.contains(*name)) {
            let uncentred = style == Style::Bcos && name.ends_with(".running_mean");
            let heads = ["fc.", "head.", "classifier.", "attnpool."];
            // A head of which something was asked for is part of the network.
            let part = |head: &str| self.asked.iter().any(|asked| asked.starts_with(head));
            let known = uncentred
                || name.ends_with(".num_batches_tracked")
                || heads.iter().any(|head| name.starts_with(head) && !part(head));
            let list = if known { &mut self.ignored } else { &mut self.unused };
            list.push(name.to_string());
        }
    }

    /// Fails with every missing and misshapen tensor, and every unused one.
    ///
    /// # Errors
    /// [`Error::BadData`]. Missing tensors cannot be accepted: the features would come from numbers that nobody trained.
    pub fn check(&self, what: &str) -> Result<()> {
        let count = self.missing.len() + self.misshapen.len() + self.unused.len();
        if count == 0 {
            return Ok(());
        }
        let missing = self.missing.iter().map(|name| format!("{name} is missing"));
        let unused = self.unused.iter().map(|name| format!("{name} is not used"));
        let problems: Vec<String> = missing.chain(self.misshapen.iter().cloned()).chain(unused).collect();
        let hint = if self.unused.len() == count {
            "load without them with unused = \"accept\" in section [features], or describe the architecture in a .toml \
             file beside the weights"
        } else {
            "check that the checkpoint, or the description beside it, is of the right architecture"
        };
        let message = format!("{what}: {count} tensors do not fit the architecture: {}; {hint}", problems.join(", "));
        Err(Error::BadData(message))
    }
}
