//! Logs on standard error: warnings by default, more with `PROBESCOPE_LOG=info` (or any tracing filter).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging once for the process; a second call has no effect.
pub fn start() {
    let filter = EnvFilter::try_from_env("PROBESCOPE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // Tests in one process may have set a subscriber before; theirs then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
