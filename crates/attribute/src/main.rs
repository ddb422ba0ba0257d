//! The program `attribute`.
#![recursion_limit = "256"]

use std::process::ExitCode;

use attribute::cli::Cli;
use features::stage::{self, Stage};

fn main() -> ExitCode {
    stage::main(|cli: Cli| {
        let stage = Stage::new(cli.stage)?;
        Ok(attribute::attribute::run(&stage)?)
    })
}
