//! The program `features`.
#![recursion_limit = "256"]

use std::io::Write;
use std::process::ExitCode;

use features::backbone::inspect::inspect;
use features::cli::{Cli, Command, InspectArgs};
use features::import::{Bad, import};
use features::stage::{self, Stage};
use features::{extract, shapes};

fn main() -> ExitCode {
    stage::main(|cli: Cli| {
        match cli.command {
            Some(Command::Shapes(args)) => shapes::make(&Stage::new(args)?)?,
            Some(Command::Import(args)) => {
                let bad = if args.skip_bad { Bad::Skip } else { Bad::Refuse };
                import(&Stage::new(args.stage)?, bad)?;
            }
            Some(Command::Inspect(args)) => look(&args)?,
            None if cli.plan => extract::tell(&Stage::new(cli.stage)?.with(cli.batch))?,
            None => extract::extract(&Stage::new(cli.stage)?.with(cli.batch))?,
        }
        Ok(())
    })
}

/// Prints what was found, then fails if it would not load.
fn look(args: &InspectArgs) -> anyhow::Result<()> {
    let (inspection, report) = inspect(&args.checkpoint, args.choice())?;
    let text = if args.json { serde_json::to_string(&inspection)? } else { inspection.to_string() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(report.check(&inspection.path)?)
}
