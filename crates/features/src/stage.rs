//! What a stage program is: its flags, its experiment file, its device, and how it talks and ends.
//!
//! All five binaries are built from this, so a flag means the same everywhere. Standard output carries data only
//! (`--json`); everything else goes to standard error.

mod batch;
mod behind;
mod bytes;
mod config;
mod device;
mod exit;
mod log;
mod outcome;
mod progress;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub use batch::{Batch, BatchArgs, Batches, Need, each, side_by_side};
pub use behind::behind;
pub use bytes::Bytes;
pub use exit::{main, run};
pub use outcome::Outcome;
pub use progress::Progress;

use crate::artifact::{Run, Shard};
use crate::error::{Error, Result};
use crate::tensor::Device;
use config::Experiment;

/// Flags that every stage takes; a flag wins over the experiment file.
#[derive(Clone, Debug, clap::Args)]
pub struct StageArgs {
    /// Experiment file (TOML), with one section for each stage
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of this experiment's artifacts [default: out/NAME for NAME.toml]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Seed of all random choices [default: the seed in section `experiment`, else 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Make only share I of N of the parts (I from 0); whoever finishes last without it completes the artifact
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Make everything again, also what is up to date
    #[arg(long)]
    pub force: bool,
    /// No progress and no summary; warnings and errors remain
    #[arg(long)]
    pub quiet: bool,
    /// Print what was done as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl Default for StageArgs {
    fn default() -> Self {
        Self {
            config: None,
            out: None,
            device: "cpu".to_string(),
            seed: None,
            shard: None,
            force: false,
            quiet: false,
            json: false,
        }
    }
}

/// One run of one stage: flags and experiment file, resolved.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Directory of the artifacts.
    pub out: PathBuf,
    /// Seed of all random choices.
    pub seed: u64,
    /// The share of the parts to make, if not all.
    pub shard: Option<Shard>,
    /// Make again what is up to date.
    pub force: bool,
    /// No progress and no summary.
    pub quiet: bool,
    /// Summary as JSON on standard output.
    pub json: bool,
    device: String,
    batch: BatchArgs,
    experiment: Experiment,
}

impl Stage {
    /// Reads the experiment file, if one is given, and lets the flags win over it.
    ///
    /// # Errors
    /// A missing or malformed file, an unknown section, or neither `--config` nor `--out`.
    pub fn new(args: StageArgs) -> Result<Self> {
        let experiment = args.config.as_deref().map_or_else(|| Ok(Experiment::default()), Experiment::read)?;
        let stem = args.config.as_deref().and_then(|file| file.file_stem());
        let out = match (args.out, stem) {
            (Some(out), _) => out,
            (None, Some(stem)) => PathBuf::from("out").join(stem),
            (None, None) => {
                let message =
                    "no experiment: give --config FILE (the shipped ones are in data/experiments), or --out DIR";
                return Err(Error::Usage(message.to_string()));
            }
        };
        Ok(Self {
            out,
            seed: args.seed.unwrap_or(experiment.seed),
            shard: args.shard,
            force: args.force,
            quiet: args.quiet,
            json: args.json,
            device: args.device,
            batch: BatchArgs::default(),
            experiment,
        })
    }

    /// The same run with these wishes about its passes.
    pub fn with(self, batch: BatchArgs) -> Self {
        Self { batch, ..self }
    }

    /// A section of the experiment file; an absent one reads as empty, so that defaults apply.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown key, a missing key without default, or a value of the wrong type.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.experiment.section(name)
    }

    /// The device of `--device`.
    ///
    /// # Errors
    /// [`Error::Device`] when it is not compiled in or not on this machine.
    pub fn device(&self) -> Result<Device> {
        device::open(&self.device)
    }

    /// What an artifact needs to know of this run.
    pub fn run(&self) -> Run {
        Run { shard: self.shard.unwrap_or_default(), force: self.force, argv: std::env::args().collect() }
    }

    /// A progress bar over `total` things called `unit`; invisible off a terminal and with `--quiet`.
    pub fn progress(&self, what: &str, total: u64, unit: &str) -> Progress {
        if self.quiet { Progress::hidden() } else { Progress::new(what, total, unit) }
    }
}

#[cfg(test)]
mod tests;
