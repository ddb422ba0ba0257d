//! The `probe` program: trains probes on frozen features.
#![recursion_limit = "256"]

use std::process::ExitCode;

use features::stage::{self, Stage};
use probe::cli::Cli;
use probe::train::{self, forecast};

fn main() -> ExitCode {
    stage::main(|cli: Cli| {
        let stage = Stage::new(cli.stage)?;
        Ok(if cli.plan { forecast::tell(&stage) } else { train::run(&stage) }?)
    })
}
