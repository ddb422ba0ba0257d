//! What a program says and returns when something is wrong, and that older results stay whole.

use std::{fs::File, path::Path};

use attribute::table::{MAPS, MapRows};
use features::{
    artifact::{Artifact, ArtifactSpec, Begin, Box2, Cells, Input, Run, Table, TableSpec, Version},
    table::{IMAGES, ImageRows},
};

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

/// Makes a whole artifact of one part out of these rows, manifest and all.
fn artifact(path: &Path, table: &'static Table, shapes: Vec<Vec<usize>>, rows: Vec<Cells>) {
    let dir = path.file_name().expect("an artifact has a name").to_string_lossy().into_owned();
    let spec = ArtifactSpec {
        stage: "a test",
        path: path.to_owned(),
        algorithm: 1,
        config: serde_json::json!({}),
        inputs: vec![Input::bytes("test", dir.as_bytes())],
        tables: vec![TableSpec { table, dir, shapes, meta: [].into() }],
        parts: 1,
    };
    match Artifact::begin(&Run::default(), spec).expect("the artifact can be begun") {
        Begin::Work(artifact) => {
            artifact.write_part(0, vec![(0, rows)]).expect("a part can be written");
            artifact.finish().expect("the artifact can be finished");
        }
        Begin::UpToDate(_) => panic!("{} is no new artifact", path.display()),
    }
}

#[test]
fn a_corrupt_image_is_named_and_older_features_stay() {
    let bench = complete().copy();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend([0; 40]);
    let splits = ["train", "validation", "test"];
    let rows = ImageRows {
        image_id: (0..3).collect(),
        image_key: splits.map(|split| format!("{split}/00000")).to_vec(),
        split: splits.map(String::from).to_vec(),
        label: vec![Some(0); 3],
        width: vec![64; 3],
        height: vec![64; 3],
        bytes: vec![bytes; 3],
        boxes: vec![vec![Box2 { class: 0, xmin: 1, ymin: 1, xmax: 9, ymax: 9 }]; 3],
        labels: vec![vec![0]; 3],
        set_aside: vec![vec![]; 3],
        masks: vec![vec![]; 3],
    };
    artifact(&bench.path("out/shapes/images"), &IMAGES, vec![], rows.cells());
    let before = bench.results();
    bench.fails(&["features", "--config", "tiny.toml"], 65, &["train/00000", "PNG"]);
    assert_same(&before, &bench.results());
}

#[test]
fn a_table_of_another_version_is_refused_with_the_stage_to_run() {
    static NEXT: Table = Table { version: Version::new(MAPS.version.major + 1, 0), ..MAPS };
    let bench = complete().copy();
    artifact(&bench.path("out/tiny/attribute"), &NEXT, vec![vec![2, 2]], MapRows::default().cells());
    check_evaluate(&bench, 65, &["attribute", "2.0", "1."]);
}

#[test]
fn an_output_that_cannot_be_written_is_said() {
    let bench = complete().copy();
    // A file where a directory is needed: not even root can write there.
    File::create(bench.path("blocked")).expect("a file can be made");
    bench.fails(&["features", "shapes", "--config", "shapes.toml", "--out", "blocked/here"], 73, &["blocked"]);
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
fn a_budget_of_memory_is_kept_or_refused() {
    let bench = complete().copy();
    let before = bench.results();
    for stage in ["features", "attribute"] {
        let words = |memory, batch| [stage, "--config", "tiny.toml", "--force", "--memory", memory, "--batch", batch];
        bench.fails(&words("1kB", "auto"), 2, &["--memory 1 kB", "larger budget"]);
        bench.fails(&words("100MB", "1000000"), 2, &["--memory 100 MB", "--batch auto"]);
        bench.fails(&words("lots", "auto"), 2, &["500 MB"]);
        bench.ok(&words("100MB", "auto"));
        assert_same(&before, &bench.results());
    }
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
