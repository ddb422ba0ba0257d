//! How a stage process starts and ends: logging on, one sentence on failure, and the exit code that belongs to it.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use super::log;
use crate::error::Error;
use crate::failure::DeviceFailed;
use crate::memory;

/// Exit code of a bug: a panic, or an error that is none of this workspace's.
const BUG: u8 = 1;

/// Parses the command line into `A` (clap exits with 2 on a mistake), then does [`run`].
pub fn main<A: clap::Parser>(work: impl FnOnce(A) -> anyhow::Result<()>) -> ExitCode {
    let args = A::parse();
    run(|| work(args))
}

/// Runs `work`; prints the chain of a failure once on standard error and gives its exit code.
pub fn run(work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    memory::keep();
    log::start();
    // The panic hook has printed its message by the time the panic arrives here.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let _ = writeln!(std::io::stderr(), "{}: {error:#}", program());
            ExitCode::from(code(&error))
        }
        Err(panic) => match panic.downcast_ref::<DeviceFailed>() {
            Some(DeviceFailed(said)) => {
                let error =
                    Error::Device(format!("the device failed ({said}); end what else runs on it and start again"));
                let _ = writeln!(std::io::stderr(), "{}: {error}", program());
                ExitCode::from(error.exit_code())
            }
            None => ExitCode::from(BUG),
        },
    }
}

/// Exit code of the first error of ours in the chain.
fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(|cause| cause.downcast_ref::<Error>()).map_or(BUG, Error::exit_code)
}

fn program() -> String {
    let path = std::env::args().next().unwrap_or_default();
    Path::new(&path).file_stem().map_or_else(|| "probescope".to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_code_is_found_anywhere_in_the_chain() {
        let bare = anyhow::Error::from(Error::BadData("x".into()));
        assert_eq!(code(&bare), 65);
        let wrapped = Err::<(), _>(Error::CannotWrite("x".into())).context("part 3").context("extract");
        let wrapped = wrapped.expect_err("an error");
        assert_eq!(code(&wrapped), 73);
        assert_eq!(format!("{wrapped:#}"), "extract: part 3: x");
        assert_eq!(code(&anyhow::anyhow!("foreign")), BUG);
    }

    #[test]
    fn a_panic_is_a_bug() {
        let exit = run(|| panic!("expected by this test"));
        assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::from(BUG)));
        assert_eq!(format!("{:?}", run(|| Ok(()))), format!("{:?}", ExitCode::SUCCESS));
    }
}
