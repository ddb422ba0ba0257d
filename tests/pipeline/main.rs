//! The five programs on a tiny experiment: equal bytes, nothing done twice, kills survived, damage told.
#![recursion_limit = "256"]

mod bench;
mod damage;
mod readers;

use std::{path::PathBuf, time::SystemTime};

use bench::{Bench, STAGES, assert_same, complete, stderr};

#[test]
fn two_runs_give_equal_bytes() {
    let again = Bench::complete();
    assert_same(&complete().results(), &again.results());
}

#[test]
fn a_second_run_does_nothing() {
    let bench = complete().copy();
    let times = |bench: &Bench| -> Vec<(PathBuf, SystemTime)> {
        let mut found: Vec<_> = bench
            .results()
            .into_keys()
            .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
            .map(|path| {
                let time = std::fs::metadata(bench.path(&path.to_string_lossy())).and_then(|m| m.modified());
                (path, time.expect("files have a time"))
            })
            .collect();
        found.sort();
        found
    };
    let (results, before) = (bench.results(), times(&bench));
    bench.ok(&["features", "shapes", "--config", "shapes.toml"]);
    for stage in STAGES {
        bench.ok(&[stage, "--config", "tiny.toml"]);
    }
    bench.ok(&["report", "--config", "report.toml"]);
    assert_eq!(before, times(&bench), "a part was written again");
    assert_same(&results, &bench.results());
}

#[test]
fn forcing_makes_the_same_again() {
    let bench = complete().copy();
    bench.ok(&["evaluate", "--config", "tiny.toml", "--force"]);
    assert_same(&complete().results(), &bench.results());
}

#[test]
fn a_killed_attribution_goes_on_and_ends_the_same() {
    let bench = complete().copy();
    let marker = bench.path("out/tiny/attribute.manifest.json");
    // The run can be over before it is seen to have begun; a later attempt starts from nothing again.
    let killed = (0..20).any(|_| {
        forget_attribution(&bench);
        let mut child = bench.command(&["attribute", "--config", "tiny.toml", "--quiet"]).spawn().expect("it starts");
        while child.try_wait().expect("a child can be asked").is_none() {
            if work_in_progress(&bench) {
                // SIGKILL on Unix: nothing of the program runs after it.
                child.kill().expect("a child can be killed");
                break;
            }
            std::thread::yield_now();
        }
        let status = child.wait().expect("a child can be waited for");
        !status.success() && !marker.exists()
    });
    assert!(killed, "twenty runs ended before they could be killed");
    bench.ok(&["attribute", "--config", "tiny.toml"]);
    assert_same(&complete().results(), &bench.results());
}

/// Removes the artifact, as if the stage had never run.
fn forget_attribution(bench: &Bench) {
    for directory in ["attribute", "attribute.grids", "attribute.grid2", "attribute.scenes"] {
        let _ = std::fs::remove_dir_all(bench.path(&format!("out/tiny/{directory}")));
    }
    let _ = std::fs::remove_file(bench.path("out/tiny/attribute.manifest.json"));
}

/// Whether the hidden directory of the unfinished artifact holds a part.
fn work_in_progress(bench: &Bench) -> bool {
    let Ok(entries) = std::fs::read_dir(bench.path("out/tiny")) else { return false };
    let hidden = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".attribute.new-"));
    hidden.into_iter().any(|entry| bench::has_parquet(&entry.path()))
}

#[test]
fn shards_make_the_whole() {
    let bench = complete().copy();
    forget_attribution(&bench);
    for shard in ["1/2", "0/2"] {
        bench.ok(&["attribute", "--config", "tiny.toml", "--shard", shard]);
    }
    assert_same(&complete().results(), &bench.results());
}

#[test]
fn data_goes_to_standard_output_only_when_asked_for() {
    let bench = complete();
    let quiet = bench.ok(&["evaluate", "--config", "tiny.toml", "--quiet"]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{}", stderr(&quiet));
    let json = bench.ok(&["evaluate", "--config", "tiny.toml", "--json"]);
    let line: serde_json::Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert!(line.is_object());
}
