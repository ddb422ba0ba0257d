//! The program `features`.
#![recursion_limit = "256"]

use std::process::ExitCode;

use features::cli::{Cli, Command};
use features::stage::{self, Stage};
use features::{extract, shapes};

fn main() -> ExitCode {
    stage::main(|cli: Cli| {
        match cli.command {
            Some(Command::Shapes(args)) => shapes::make(&Stage::new(args)?)?,
            None => extract::extract(&Stage::new(cli.stage)?)?,
        }
        Ok(())
    })
}
