//! Every table opens in the tools that analysts use, where those are installed.

use std::process::Command;

use crate::bench::{complete, stderr};

#[test]
fn tables_open_in_python() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/readers/read.py");
    let python = std::env::var("PROBESCOPE_PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).arg(script).arg(complete().path("out")).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", stderr(&output));
            say(&stderr(&output));
        }
        Err(error) => say(&format!("readers: {python}: {error}; no reader was tried")),
    }
}

#[test]
fn example_questions_have_equal_answers_in_sql_and_polars() {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = std::env::var("PROBESCOPE_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = Command::new(&python)
        .args([format!("{root}/readers/examples.py"), format!("{root}/../data/examples")])
        .arg(complete().path("out/tiny"))
        .output();
    match run {
        Ok(output) => {
            assert!(output.status.success(), "{}", stderr(&output));
            say(&stderr(&output));
        }
        Err(error) => say(&format!("examples: {python}: {error}; nothing was compared")),
    }
}

#[allow(clippy::print_stderr, reason = "what was not tested must be seen")]
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}
