//! From image files to features against torchvision and Pillow, through the programs' own stages.

use std::collections::BTreeMap;

use features::{
    artifact::Reader,
    backbone::{NamedTensors, named},
    extract::extract,
    import::{Bad, import},
    stage::{Stage, StageArgs},
    table::{FEATURES, FeatureRows},
};

use crate::expected;

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    files: Vec<String>,
    tensors: Vec<(String, Vec<usize>)>,
    pooled: Vec<Vec<f32>>,
}

/// The features of `files` of one of the folders, by `features import` and `features`; `description` stands beside the
/// weights, `more` goes into the section.
pub fn features(tensors: &NamedTensors, folder: &str, files: &[&str], description: &str, more: &str) -> FeatureRows {
    let directory = tempfile::tempdir().expect("temporary directory");
    let place = directory.path();
    let weights = named::write(tensors, BTreeMap::new()).expect("writable tensors");
    std::fs::write(place.join("network.safetensors"), weights).expect("writable");
    if !description.is_empty() {
        std::fs::write(place.join("network.toml"), description).expect("writable");
    }
    let lines: Vec<String> = files.iter().map(|name| format!("{name} 0\n")).collect();
    std::fs::write(place.join("list.txt"), lines.concat()).expect("writable");
    let experiment = format!(
        "[[data.source]]\nkind = \"list\"\npath = \"{0}/list.txt\"\nroot = \"{1}\"\nsplit = \"test\"\n\
         [features]\nimages = \"{0}/out/images\"\nbackbone = \"{0}/network.safetensors\"\nsplits = [\"test\"]\n\
         keep_bits = 23\n{more}",
        place.display(),
        expected::folder().join(folder).display()
    );
    std::fs::write(place.join("experiment.toml"), experiment).expect("writable");
    let args = StageArgs {
        config: Some(place.join("experiment.toml")),
        out: Some(place.join("out")),
        quiet: true,
        device: expected::device_name(),
        ..StageArgs::default()
    };
    let stage = Stage::new(args).expect("a good experiment");
    import(&stage, Bad::Refuse).expect("an image table");
    extract(&stage).expect("features");
    let reader = Reader::open(&place.join("out/features"), &FEATURES).expect("a feature table");
    FeatureRows::from_cells(reader.read_all().expect("readable")).expect("declared columns")
}

#[test]
fn photographs_become_torchvisions_features() {
    let stored: Expected = expected::read("files");
    let tensors = expected::checkpoint(&stored.tensors, &BTreeMap::new());
    let files: Vec<&str> = stored.files.iter().map(String::as_str).collect();
    let rows = features(&tensors, "pillow", &files, "input_size = 64\nfit = { short_side = 72 }\n", "");
    for (index, name) in stored.files.iter().enumerate() {
        let found = &rows.embedding[index * 512..(index + 1) * 512];
        expected::check(name, found, &stored.pooled[index], stored.tolerance);
    }
}
