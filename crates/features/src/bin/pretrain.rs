//! Trains the small backbones that ship with the project.
#![recursion_limit = "256"]

use std::process::ExitCode;

use clap::Parser;
use features::{
    pretrain,
    stage::{self, Outcome, Stage, StageArgs},
};

/// Train a small backbone on the embedded data set and write it with its description.
///
/// Reads the [pretrain] section of the configuration. A killed run goes on from its last checkpoint.
///
/// Example: pretrain --config data/experiments/pretrain-shapes-resnet.toml
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    stage: StageArgs,
}

fn main() -> ExitCode {
    stage::main(|args: Args| {
        let stage = Stage::new(args.stage)?;
        let config: pretrain::Config = stage.section("pretrain")?;
        let path = pretrain::pretrain(&stage, &config)?;
        stage.done(Outcome::Done, &format!("wrote {}", path.display()), serde_json::json!({ "weights": path }));
        Ok(())
    })
}
