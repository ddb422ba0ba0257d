//! The five programs on a tiny experiment: equal bytes, nothing done twice, kills survived, damage told.
#![recursion_limit = "256"]

mod backbones;
mod bench;
mod curves;
mod damage;
mod data_sets;
mod disconnected;
mod kill;
mod randomised;
mod readers;
mod storage;

use std::{path::PathBuf, time::SystemTime};

use attribute::{item::ItemKind, table::MAPS};
use bench::{Bench, STAGES, assert_same, complete, stderr};
use features::{artifact::Reader, table::FEATURES};
use probe::table::PROBES;

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
fn the_number_of_threads_shows_in_no_byte() {
    for threads in ["1", "5"] {
        let bench = complete().copy();
        for stage in STAGES {
            let mut command = bench.command(&[stage, "--config", "tiny.toml", "--force"]);
            let output = command.env("RAYON_NUM_THREADS", threads).output().expect("the program starts");
            assert!(output.status.success(), "{stage}: {}", stderr(&output));
        }
        assert_same(&complete().results(), &bench.results());
    }
}

/// Removes the artifact, as if the stage had never run.
fn forget_attribution(bench: &Bench) {
    let kinds = ["", ".grids", ".grid2", ".scenes", ".tiles", ".difull3", ".difull2", ".dipart3", ".dipart2"];
    for directory in kinds.map(|kind| format!("attribute{kind}")) {
        let _ = std::fs::remove_dir_all(bench.path(&format!("out/tiny/{directory}")));
    }
    let _ = std::fs::remove_file(bench.path("out/tiny/attribute.manifest.json"));
}

/// The stages that did their work when all four ran on this text of the experiment.
fn stages_that_work(bench: &Bench, text: &str) -> Vec<&'static str> {
    std::fs::write(bench.path("tiny.toml"), text).expect("the experiment can be written");
    let made = |stage: &str| std::fs::metadata(bench.path(&format!("out/tiny/{stage}.run.json"))).expect("it ran");
    let before = STAGES.map(|stage| made(stage).modified().expect("files have a time"));
    STAGES.iter().for_each(|stage| _ = bench.ok(&[stage, "--config", "tiny.toml"]));
    let after = STAGES.map(|stage| made(stage).modified().expect("files have a time"));
    (0..STAGES.len()).filter(|&i| before[i] != after[i]).map(|i| STAGES[i]).collect()
}

#[test]
fn a_changed_section_makes_its_stage_and_what_follows_again() {
    let bench = complete().copy();
    let text = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment can be read");
    let smoothed = text.replace("[evaluate]", "[evaluate]\ngaussian_kernel = 31");
    let narrower = text.replace("hidden = 16", "hidden = 12");
    let commented = format!("{text}\n# A remark changes the file and nothing else.\n");
    assert_eq!(stages_that_work(&bench, &commented), [""; 0]);
    assert_eq!(stages_that_work(&bench, &smoothed), ["evaluate"]);
    assert_eq!(stages_that_work(&bench, &narrower), ["probe", "attribute", "evaluate"]);
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
    assert_eq!((&line["outcome"], &line["seed"]), (&"up_to_date".into(), &3.into()), "{line}");
}

#[test]
fn a_plan_says_what_the_run_makes() {
    let bench = complete();
    let plan = |stage: &str| -> serde_json::Value {
        let told = bench.ok(&[stage, "--config", "tiny.toml", "--plan", "--json"]);
        let line: serde_json::Value = serde_json::from_slice(&told.stdout).expect("one JSON object");
        assert_eq!(line["outcome"], "planned", "{line}");
        line
    };
    let rows = |directory: &str, table| Reader::open(&bench.path(directory), table).expect("a table").rows() as u64;
    let count = |line: &serde_json::Value, name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}"));
    assert_eq!(count(&plan("features"), "views"), rows("out/tiny/features", &FEATURES));
    let probe = plan("probe");
    let probes: u64 = ["trained", "imported", "shifted"].iter().map(|name| count(&probe, name)).sum();
    assert_eq!(probes, rows("out/tiny/probe", &PROBES));
    let kinds = ItemKind::ALL.map(|kind| format!("out/tiny/{}", kind.dir()));
    let made = kinds.iter().filter(|kind| bench.path(kind).exists()).map(|kind| rows(kind, &MAPS));
    assert_eq!(count(&plan("attribute"), "maps"), made.sum::<u64>());
}
