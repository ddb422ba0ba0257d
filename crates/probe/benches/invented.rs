//! Writes invented features of any size, to measure what `probe` takes on them.
//!
//! usage: cargo bench --workspace --bench invented -- DIR IMAGES CHANNELS CLASSES
//! DIR/features then holds IMAGES training images in parts of 1000, and a twentieth as many of each other split.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement program")]

use std::path::Path;

use features::artifact::{Artifact, ArtifactSpec, Begin, Run, TableSpec, round_mantissa};
use features::random;
use features::table::{FEATURES, FeatureRows};

const PART: usize = 1000;

fn part(number: usize, images: usize, channels: usize, classes: usize) -> FeatureRows {
    let mut rows = FeatureRows::default();
    let mut rng = random::stream(0, &["invented", &number.to_string()]);
    for image in number * PART..(number + 1) * PART {
        let label = random::below(&mut rng, classes);
        let split = match image {
            _ if image < images => "train",
            _ if image < images + images / 20 => "validation",
            _ if image < images + images / 20 * 2 => "test",
            _ => break,
        };
        rows.image_id.push(image as i64);
        rows.image_key.push(format!("{image:08}"));
        rows.split.push(split.to_string());
        rows.label.push(Some(label as i32));
        rows.labels.push(vec![label as i32]);
        rows.set_aside.push(vec![]);
        rows.embedding.extend((0..channels).map(|channel| {
            let centre = if channel % classes == label { 1.5 } else { 1.0 };
            (centre + 0.4 * random::uniform(&mut rng)) as f32
        }));
    }
    round_mantissa(&mut rows.embedding, 10);
    // A map of one cell is its own mean.
    rows.map = rows.embedding.clone();
    let n = rows.image_id.len();
    rows.view = vec![0; n];
    rows.flipped = vec![false; n];
    for numbers in [&mut rows.crop_left, &mut rows.crop_top, &mut rows.crop_width, &mut rows.crop_height] {
        *numbers = vec![0.0; n];
    }
    rows
}

fn main() {
    // `cargo test` passes other flags; only a real `cargo bench` writes.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [directory, images, channels, classes] = words.as_slice() else { return };
    let [images, channels, classes] = [images, channels, classes].map(|word| word.parse::<usize>().unwrap());
    let table = TableSpec {
        table: &FEATURES,
        dir: "features".into(),
        shapes: vec![vec![channels], vec![channels, 1, 1]],
        meta: [("backbone".to_string(), "invented".to_string())].into_iter().collect(),
    };
    let parts = (images + images / 20 * 2).div_ceil(PART);
    let spec = ArtifactSpec {
        stage: "features",
        path: Path::new(directory).join("features"),
        algorithm: 1,
        config: serde_json::json!([images, channels, classes]),
        inputs: vec![],
        tables: vec![table],
        parts,
    };
    let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { return };
    for number in artifact.pending() {
        artifact.write_part(number, vec![(0, part(number, images, channels, classes).cells())]).unwrap();
    }
    artifact.finish().unwrap();
    println!("{images} images of {channels} channels in {parts} parts under {directory}");
}
