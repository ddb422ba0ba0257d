//! Feature tables of invented images, as the stage before would have written them.

use std::path::Path;

use features::artifact::{Artifact, ArtifactSpec, Begin, Run, TableSpec};
use features::random;
use features::table::{FEATURES, FeatureRows};

use crate::data::tests::blobs;

/// Name, images, seed.
pub const SPLITS: [(&str, usize, u64); 4] =
    [("train", 160, 0), ("validation", 40, 1), ("test", 60, 2), ("scenes", 4, 3)];

/// Features of four classes that are easy to tell apart.
pub fn features(out: &Path) {
    features_in(out, 1);
}

/// The same in parts.
pub fn features_in(out: &Path, parts: usize) {
    let mut rows = FeatureRows::default();
    for (name, n, seed) in SPLITS {
        let split = blobs(n, seed);
        for image in 0..n {
            rows.image_id.push(rows.image_id.len() as i64);
            rows.image_key.push(format!("{name}/{image:05}"));
            rows.split.push(name.to_string());
            let label = (name != "scenes").then(|| split.labels[image][0] as i32);
            rows.label.push(label);
            rows.labels.push(label.into_iter().collect());
            rows.set_aside.push(vec![]);
        }
        rows.embedding.extend(split.pooled);
        rows.map.extend(split.maps);
    }
    write_features(out, rows, parts);
}

/// The same with two classes an image, or one, or none; every third test image has another one set aside.
pub fn multi_label_features(out: &Path) {
    multi_label_features_in(out, 1);
}

/// The same in parts.
pub fn multi_label_features_in(out: &Path, parts: usize) {
    let mut rows = FeatureRows::default();
    for (name, n, seed) in SPLITS {
        let mut rng = random::stream(seed, &["several"]);
        for image in 0..n {
            let mut labels = if image % 10 == 9 { vec![] } else { vec![image as i32 % 4, image as i32 / 4 % 4] };
            labels.sort_unstable();
            labels.dedup();
            let aside = (0..4).filter(|class| name == "test" && image % 3 == 0 && !labels.contains(class)).take(1);
            rows.set_aside.push(aside.collect());
            for channel in 0..6 {
                let centre = if labels.contains(&channel) || rows.set_aside[rows.labels.len()].contains(&channel) {
                    3.0
                } else {
                    1.0
                };
                let cells: Vec<f32> = (0..4).map(|_| (centre + 0.4 * random::normal(&mut rng)) as f32).collect();
                rows.embedding.push(cells.iter().sum::<f32>() / 4.0);
                rows.map.extend(cells);
            }
            rows.image_id.push(rows.image_id.len() as i64);
            rows.image_key.push(format!("{name}/{image:05}"));
            rows.split.push(name.to_string());
            rows.label.push(None);
            rows.labels.push(labels);
        }
    }
    write_features(out, rows, parts);
}

/// Writes the rows in so many parts, as of whole pictures unless they say which views they are.
pub fn write_features(out: &Path, mut rows: FeatureRows, parts: usize) {
    let n = rows.image_id.len();
    rows.view.resize(n, 0);
    rows.flipped.resize(n, false);
    for numbers in [&mut rows.crop_left, &mut rows.crop_top, &mut rows.crop_width, &mut rows.crop_height] {
        numbers.resize(n, 0.0);
    }
    let table = TableSpec {
        table: &FEATURES,
        dir: "features".into(),
        shapes: vec![vec![6], vec![6, 2, 2]],
        meta: [("backbone".to_string(), "invented".to_string())].into_iter().collect(),
    };
    let spec = ArtifactSpec {
        stage: "features",
        path: out.join("features"),
        algorithm: 1,
        config: serde_json::Value::Null,
        inputs: vec![],
        tables: vec![table],
        parts,
    };
    let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("new") };
    let size = n.div_ceil(parts);
    for part in 0..parts {
        let cut = part * size..((part + 1) * size).min(n);
        artifact.write_part(part, vec![(0, piece(&rows, cut).cells())]).unwrap();
    }
    artifact.finish().unwrap().unwrap();
}

/// Some rows of a table.
fn piece(rows: &FeatureRows, cut: std::ops::Range<usize>) -> FeatureRows {
    let floats = |values: &[f32], width: usize| values[cut.start * width..cut.end * width].to_vec();
    FeatureRows {
        image_id: rows.image_id[cut.clone()].to_vec(),
        image_key: rows.image_key[cut.clone()].to_vec(),
        split: rows.split[cut.clone()].to_vec(),
        label: rows.label[cut.clone()].to_vec(),
        embedding: floats(&rows.embedding, 6),
        map: floats(&rows.map, 24),
        labels: rows.labels[cut.clone()].to_vec(),
        set_aside: rows.set_aside[cut.clone()].to_vec(),
        view: rows.view[cut.clone()].to_vec(),
        crop_left: floats(&rows.crop_left, 1),
        crop_top: floats(&rows.crop_top, 1),
        crop_width: floats(&rows.crop_width, 1),
        crop_height: floats(&rows.crop_height, 1),
        flipped: rows.flipped[cut.clone()].to_vec(),
    }
}
