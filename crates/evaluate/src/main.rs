//! Scores the attribution maps of an experiment.
#![recursion_limit = "256"]

use std::process::ExitCode;

use evaluate::cli::Args;
use features::stage::{self, Stage};

fn main() -> ExitCode {
    stage::main(|args: Args| {
        let stage = Stage::new(args.stage.clone())?.with(args.batch);
        let config = args.config(&stage)?;
        Ok(evaluate::evaluate(&stage, &config)?)
    })
}
