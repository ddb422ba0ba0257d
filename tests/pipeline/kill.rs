//! A program that is killed with SIGKILL and run again ends with the bytes of an undisturbed run.

use std::path::Path;

use crate::bench::{Bench, assert_same, complete, has_parquet};

/// When a run is far enough to be killed.
#[derive(Clone, Copy)]
enum Moment {
    /// A part of several is finished: the next run must keep it and go on.
    APartIsDone,
    /// The state of a training is kept: the next run must go on from it.
    AStateIsKept,
    /// The state of a search for an optimum is kept, which is the third training of its kind.
    ASearchIsKept,
    /// The run has begun; there is one part, and the next run makes it from the start.
    Begun,
}

/// Kills the program that makes `artifact` in `directory`, runs it again, and compares everything under out/.
fn check(words: &[&str], directory: &str, artifact: &str, moment: Moment) {
    check_in(complete().copy(), words, directory, artifact, moment);
}

fn check_in(bench: Bench, words: &[&str], directory: &str, artifact: &str, moment: Moment) {
    kill_and_run_again(&bench, words, directory, artifact, moment);
    assert_same(&complete().results(), &bench.results());
}

fn kill_and_run_again(bench: &Bench, words: &[&str], directory: &str, artifact: &str, moment: Moment) {
    let marker = bench.path(directory).join(format!("{artifact}.manifest.json"));
    // The run can be over before it is seen to have begun; a later attempt starts from nothing again.
    let killed = (0..30).any(|_| {
        forget(&bench.path(directory), artifact);
        let mut child = bench.command(words).arg("--quiet").spawn().expect("it starts");
        while child.try_wait().expect("a child can be asked").is_none() {
            if reached(&bench.path(directory), artifact, moment) {
                // On Unix this is SIGKILL: nothing of the program runs after it.
                child.kill().expect("a child can be killed");
                break;
            }
            std::thread::yield_now();
        }
        let status = child.wait().expect("a child can be waited for");
        !status.success() && !marker.exists()
    });
    assert!(killed, "{words:?}: thirty runs ended before they could be killed");
    bench.ok(words);
}

/// Removes the artifact and work on it, as if the program had never run.
fn forget(directory: &Path, artifact: &str) {
    for entry in std::fs::read_dir(directory).expect("the directory is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let own = name.strip_prefix('.').unwrap_or(&name).strip_prefix(artifact);
        if own.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            let path = entry.path();
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// Whether the hidden directory of the unfinished artifact says that the moment has come.
fn reached(directory: &Path, artifact: &str, moment: Moment) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let prefix = format!(".{artifact}.new-");
    let mut hidden = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    hidden.any(|entry| match moment {
        Moment::APartIsDone => has_parquet(&entry.path()),
        Moment::AStateIsKept => {
            std::fs::read_dir(entry.path().join(".checkpoints")).is_ok_and(|mut states| states.next().is_some())
        }
        Moment::ASearchIsKept => std::fs::read_dir(entry.path().join(".checkpoints"))
            .is_ok_and(|states| states.flatten().any(|state| state.file_name().to_string_lossy().contains("linear-2"))),
        Moment::Begun => true,
    })
}

#[test]
fn pictures() {
    check(&["features", "shapes", "--config", "shapes.toml"], "out/shapes", "images", Moment::APartIsDone);
}

#[test]
fn features() {
    check(&["features", "--config", "tiny.toml"], "out/tiny", "features", Moment::APartIsDone);
}

#[test]
fn probes() {
    check(&["probe", "--config", "tiny.toml"], "out/tiny", "probe", Moment::Begun);
}

/// How often states are kept is no part of what the result depends on, so it is that of a run which keeps none.
#[test]
fn probes_in_the_middle_of_training() {
    let bench = complete().copy();
    let config = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment is there");
    let often = config.replace("[probe]\n", "[probe]\ncheckpoint_epochs = 1\n");
    assert_ne!(often, config);
    std::fs::write(bench.path("tiny.toml"), often).expect("the experiment can be changed");
    check_in(bench, &["probe", "--config", "tiny.toml"], "out/tiny", "probe", Moment::AStateIsKept);
}

/// An optimum that is searched for, and tiles that are mixed by parts; a state is kept after every step.
#[test]
fn exact_probes_in_the_middle_of_the_search() {
    let words = ["probe", "--config", "tiny.toml"];
    let changed = || {
        let bench = complete().copy();
        let config = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment is there");
        let exact = "[[probe.train]]\nhead = \"linear\"\nloss = \"ce\"\noptimiser = \"lbfgs\"\nweight_decay = 0.0001\n\n[attribute]\n";
        let config = config
            .replace("[probe]\n", "[probe]\ncheckpoint_epochs = 1\norder = \"windows:1\"\n")
            .replace("[attribute]\n", exact);
        std::fs::write(bench.path("tiny.toml"), config).expect("the experiment can be changed");
        bench
    };
    let undisturbed = changed();
    undisturbed.ok(&words);
    let bench = changed();
    kill_and_run_again(&bench, &words, "out/tiny", "probe", Moment::ASearchIsKept);
    assert_same(&undisturbed.results(), &bench.results());
}

#[test]
fn maps() {
    check(&["attribute", "--config", "tiny.toml"], "out/tiny", "attribute", Moment::APartIsDone);
}

#[test]
fn scores() {
    check(&["evaluate", "--config", "tiny.toml"], "out/tiny", "evaluate", Moment::Begun);
}

#[test]
fn the_report() {
    check(&["report", "--config", "report.toml"], "out/report", "report", Moment::Begun);
}
