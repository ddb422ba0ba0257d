//! `report`: see `report --help`.
#![recursion_limit = "256"]

use std::process::ExitCode;

fn main() -> ExitCode {
    features::stage::main(report::cli::run)
}
