//! What a program says and returns when something is wrong, and that older results stay whole.

use crate::bench::{Bench, assert_same, complete};

/// Runs evaluate again on damaged maps: it must end with `code`, name `parts`, and leave its old result as it was.
fn check_evaluate(bench: &Bench, code: i32, parts: &[&str]) {
    let before = bench.results();
    bench.fails(&["evaluate", "--config", "tiny.toml", "--force"], code, parts);
    assert_same(&before, &bench.results());
}

#[test]
fn a_truncated_part_is_bad_data() {
    let bench = complete().copy();
    let part = &bench.parts("out/tiny/attribute")[0];
    let bytes = std::fs::read(part).expect("a part can be read");
    std::fs::write(part, &bytes[..bytes.len() / 2]).expect("a part can be damaged");
    let name = part.file_name().expect("parts have names").to_string_lossy().into_owned();
    check_evaluate(&bench, 65, &["attribute", &name]);
}

#[test]
fn a_lost_part_is_bad_data_or_missing() {
    let bench = complete().copy();
    let part = &bench.parts("out/tiny/attribute")[0];
    std::fs::remove_file(part).expect("a part can be removed");
    let output = bench.run(&["evaluate", "--config", "tiny.toml", "--force"]);
    assert!(matches!(output.status.code(), Some(65 | 66)), "{output:?}");
}

#[test]
fn a_missing_stage_is_named() {
    let bench = complete().copy();
    std::fs::remove_file(bench.path("out/tiny/attribute.manifest.json")).expect("a manifest can be removed");
    check_evaluate(&bench, 66, &["attribute"]);
}

#[test]
fn a_missing_experiment_is_missing_input() {
    complete().fails(&["probe", "--config", "nowhere.toml"], 66, &["nowhere.toml"]);
}

#[test]
fn wrong_words_are_usage() {
    let bench = complete();
    for stage in ["features", "probe", "attribute", "evaluate", "report"] {
        bench.fails(&[stage, "--config", "tiny.toml", "--no-such-flag"], 2, &["--no-such-flag"]);
    }
    let path = bench.path("wrong.toml");
    let text = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment can be read");
    std::fs::write(&path, text.replace("[evaluate]", "[evaluate]\nno_such_key = 1")).expect("it can be written");
    bench.fails(&["evaluate", "--config", "wrong.toml", "--out", "out/tiny"], 2, &["no_such_key"]);
}

#[test]
fn devices_that_are_not_there_are_said() {
    let bench = complete();
    let words = |device| ["probe", "--config", "tiny.toml", "--force", "--device", device];
    bench.fails(&words("cuda:99"), 69, &["cuda:99"]);
    bench.fails(&words("abacus"), 2, &["abacus", "cpu"]);
}

#[test]
fn probes_of_another_preprocessing_are_refused() {
    let bench = complete().copy();
    let path = bench.path("tiny.toml");
    let experiment = std::fs::read_to_string(&path).expect("the experiment can be read");
    let weights = experiment.lines().find_map(|line| line.strip_prefix("backbone = ")).expect("a backbone is named");
    let weights = weights.split('"').nth(1).expect("its path is quoted");
    let description = bench.path(weights).with_extension("toml");
    let text = std::fs::read_to_string(&description).expect("the description can be read");
    // The statistics of another training set: nothing would fail, and every map would be of another network.
    std::fs::write(&description, text.replace("0.25", "0.27")).expect("it can be written");
    let before = bench.results();
    bench.fails(&["attribute", "--config", "tiny.toml"], 65, &["out/tiny/probe", "0.25", "0.27", "features"]);
    assert_same(&before, &bench.results());
}
