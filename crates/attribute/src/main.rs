//! The program `attribute`.
#![recursion_limit = "256"]

use std::process::ExitCode;

use attribute::cli::{Cli, Command};
use features::stage::{self, Stage};

fn main() -> ExitCode {
    stage::main(|cli: Cli| {
        match cli.command {
            Some(Command::Show { show, stage }) => attribute::show::show(&Stage::new(stage)?, &show)?,
            None if cli.plan => attribute::forecast::tell(&Stage::new(cli.stage)?.with(cli.batch))?,
            None => attribute::attribute::run(&Stage::new(cli.stage)?.with(cli.batch))?,
        }
        Ok(())
    })
}
