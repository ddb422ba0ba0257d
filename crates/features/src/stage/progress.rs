//! Progress of a loop on standard error, drawn only on a terminal.

use std::fmt::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar with count, rate and time left; dropping it clears the line. Threads may share it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on standard error, which draws nothing where that is no terminal.
    pub(super) fn new(what: &str, total: u64, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        let template = format!("{{msg}} {{bar:24}} {{human_pos}}/{{human_len}} {unit}, {{rate}}/s, {{eta}} left");
        let style = ProgressStyle::with_template(&template).expect("the template is fixed but for the unit's name");
        bar.set_style(style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let digits = if state.per_sec() < 10.0 { 1 } else { 0 };
            // Writing into indicatif's own buffer cannot fail.
            let _ = write!(text, "{:.digits$}", state.per_sec());
        }));
        bar.set_message(what.to_string());
        Self { bar }
    }

    /// A bar that is never drawn.
    pub(super) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// `count` more things are done.
    pub fn advance(&self, count: u64) {
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_counts_what_is_done() {
        let bar = Progress::new("render", 10, "images");
        bar.advance(3);
        bar.advance(4);
        assert_eq!(bar.bar.position(), 7);
        Progress::hidden().advance(1);
    }
}
