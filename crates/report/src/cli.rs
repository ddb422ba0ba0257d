//! The command line of `report`.

use crate::compare;
use crate::report::{self, Config};
use clap::Parser;
use features::error::Error;
use features::stage::{Outcome, Stage, StageArgs};
use std::io::Write;
use std::path::PathBuf;

/// Turns the scores of experiments into one report: a page that opens offline, Markdown, CSV, LaTeX and figures.
///
/// Reads evaluate/, probe/ and (for the gallery of maps) attribute/ of each experiment. Prints the path of the page on
/// standard output and the finding in two lines on standard error. Does nothing if the report is up to date.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  report --config data/experiments/report.toml\n  report --out out/mine     all experiments beside out/mine \
                  that have scores, no gallery\n  report --compare out/report out/other/report\n\nSection [report] of the configuration: experiments, images (of the gallery), mean_maps (grids of each experiment that \
                  mean maps are of, 200 by default, 0 for none), resamples, probes.\n\
                  Exit codes: 0 done or up to date, 2 usage, 65 bad data, 66 input missing, 73 cannot write."
)]
pub struct Cli {
    #[command(flatten)]
    stage: StageArgs,
    /// Compare two finished reports, each given by its directory, instead of making one: Markdown on standard output
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    compare: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    if let [a, b] = cli.compare.as_slice() {
        return say(&compare::reports(a, b)?);
    }
    let stage = Stage::new(cli.stage)?;
    let config: Config = stage.section("report")?;
    let written = report::write(&stage, &config)?;
    let facts = serde_json::json!({ "page": written.page });
    match written.headline {
        Some([first, second]) => stage.done(Outcome::Done, &format!("{first}\n{second}"), facts),
        None => stage.done(Outcome::UpToDate, "report: up to date", facts),
    }
    if !stage.json {
        say(&written.page.display().to_string())?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let written = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(written.map_err(|error| Error::cannot_write("standard output", error))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
