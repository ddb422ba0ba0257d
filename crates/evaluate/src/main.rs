//! Scores the attribution maps of an experiment.
#![recursion_limit = "256"]

mod cli;

use std::process::ExitCode;

use features::stage::{self, Stage};

fn main() -> ExitCode {
    stage::main(|args: cli::Args| {
        let stage = Stage::new(args.stage.clone())?;
        let config = args.config(&stage)?;
        Ok(evaluate::evaluate(&stage, &config)?)
    })
}
