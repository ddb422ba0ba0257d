//! Data sets as researchers have them, tiny, through all five programs: ImageFolder, the hub's Parquet, VOC, COCO.
//!
//! `data_sets/generate.py` made the files; the programs read them as they lie there.

use std::path::Path;

use features::preprocess::Fit;

use crate::bench::{Bench, STAGES};

/// A source for each split, `KIND` being replaced by what the kind needs.
fn sources(splits: &[(&str, String)]) -> String {
    splits.iter().map(|(split, rest)| format!("[[data.source]]\nsplit = \"{split}\"\n{rest}\n")).collect()
}

/// Imports, runs the four stages and the report; `attribute` goes into the section `[attribute]`.
fn run(sources: &str, views: usize, attribute: &str) -> Bench {
    let bench = Bench::with_backbone(Fit::Stretch);
    let experiment = format!(
        "{sources}
[features]
images = \"out/set/images\"
backbone = \"random.safetensors\"
views = {views}
view_area = [0.7, 1.0]

[probe]
batch = 8

[[probe.train]]
head = \"linear\"
loss = \"ce\"
epochs = 150
learning_rate = 10.0

[[probe.train]]
head = \"linear\"
loss = \"bce\"
epochs = 150

[attribute]
methods = [\"input_x_gradient\", \"grad_cam\", \"lrp\"]
confident_for = [\"linear-ce-s0\"]
confidence = 0.0
{attribute}

[evaluate]
images = \"out/set/images\"
"
    );
    std::fs::write(bench.path("set.toml"), experiment).expect("the experiment can be written");
    std::fs::write(bench.path("report.toml"), "[report]\nimages = \"out/set/images\"\nresamples = 50\n")
        .expect("the experiment can be written");
    bench.ok(&["features", "import", "--config", "set.toml"]);
    for stage in STAGES {
        bench.ok(&[stage, "--config", "set.toml"]);
    }
    bench.ok(&["report", "--config", "report.toml"]);
    bench
}

fn place(below: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline/data_sets").join(below).display().to_string()
}

/// The rows of the report's table of scores that name all of `words`.
fn told(bench: &Bench, words: &[&str]) -> usize {
    let table = std::fs::read_to_string(bench.path("out/report/report.means.csv")).expect("the report has a table");
    table.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

const GRIDS: &str = "grids3 = 0\ngrids2 = 3\nscenes = 0";
const SCENES: &str = "grids3 = 0\ngrids2 = 0\nscenes = 6";

#[test]
fn an_image_folder_runs_through_all_stages() {
    let of = |split: &str| format!("kind = \"folder\"\npath = \"{}\"", place(&format!("folder/{split}")));
    let splits = ["train", "validation", "test"].map(|split| (split, of(split)));
    let bench = run(&sources(&splits), 2, GRIDS);
    assert!(told(&bench, &["grid_pointing_game", "lrp"]) > 0);
}

#[test]
fn a_table_of_the_hub_runs_through_all_stages() {
    let of = |split: &str| {
        format!("kind = \"parquet\"\npath = \"{}\"", place(&format!("hub/{split}-00000-of-00001.parquet")))
    };
    let splits = ["train", "validation", "test"].map(|split| (split, of(split)));
    let bench = run(&sources(&splits), 0, GRIDS);
    assert!(told(&bench, &["grid_pointing_game", "grad_cam"]) > 0);
}

#[test]
fn a_voc_devkit_runs_through_all_stages() {
    let of = |set: &str| format!("kind = \"voc\"\npath = \"{}\"\nset = \"{set}\"", place("VOCdevkit/VOC2007"));
    let splits = [("train", "train"), ("validation", "val"), ("test", "test"), ("scenes", "test")];
    let bench = run(&sources(&splits.map(|(split, set)| (split, of(set)))), 0, SCENES);
    assert!(told(&bench, &["energy_pointing_game", "lrp", "unrounded"]) > 0);
}

#[test]
fn coco_instances_run_through_all_stages_with_their_masks() {
    let of = |set: &str| {
        let annotations = place(&format!("coco/instances_{set}.json"));
        let images = place("VOCdevkit/VOC2007/JPEGImages");
        format!("kind = \"coco\"\nannotations = \"{annotations}\"\nimages = \"{images}\"")
    };
    let splits = [("train", "train"), ("validation", "val"), ("test", "test"), ("scenes", "test")];
    let bench = run(&sources(&splits.map(|(split, set)| (split, of(set)))), 2, SCENES);
    assert!(told(&bench, &["energy_pointing_game", "lrp", "unrounded"]) > 0);
    assert!(told(&bench, &["energy_pointing_game", "lrp", "masks"]) > 0);
}
