//! The stage from files to files, on a handful of invented features.

use std::path::Path;

use features::artifact::{Artifact, ArtifactSpec, Begin, Reader, Run, TableSpec};
use features::stage::{Stage, StageArgs};
use features::table::{FEATURES, FeatureRows};
use features::tensor::{cpu, from_vec, to_vec};

use crate::data::tests::blobs;
use crate::table::*;
use crate::{Head, load};

const SECTION: &str = r#"
[experiment]
seed = 3
[probe]
batch = 16
hidden = 8
map_tiles = 100
shift = ["shift_up", "shift_down", "shift_fit"]
[[probe.train]]
head = "linear"
loss = "ce"
epochs = 6
seeds = [0, 1]
[[probe.train]]
head = "linear"
loss = "bce"
offset = "log_classes"
bias = true
epochs = 6
[[probe.train]]
head = "bcos2"
loss = "bce"
offset = "log_classes"
[[probe.train]]
head = "mlp2"
loss = "ce"
tag = "wide"
"#;

fn features(out: &Path) {
    let mut rows = FeatureRows::default();
    for (name, n, seed) in [("train", 160, 0), ("validation", 40, 1), ("test", 60, 2), ("scenes", 4, 3)] {
        let split = blobs(n, seed);
        for image in 0..n {
            rows.image_id.push(rows.image_id.len() as i64);
            rows.image_key.push(format!("{name}/{image:05}"));
            rows.split.push(name.to_string());
            let label = (name != "scenes").then(|| split.labels[image] as i32);
            rows.label.push(label);
            rows.labels.push(label.into_iter().collect());
        }
        rows.embedding.extend(split.pooled);
        rows.map.extend(split.maps);
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
        parts: 1,
    };
    let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("new") };
    artifact.write_part(0, vec![(0, rows.cells())]).unwrap();
    artifact.finish().unwrap().unwrap();
}

fn run(out: &Path) {
    let config = out.join("small.toml");
    std::fs::write(&config, SECTION).unwrap();
    let args = StageArgs { config: Some(config), out: Some(out.to_path_buf()), quiet: true, ..StageArgs::default() };
    super::run(&Stage::new(args).unwrap()).unwrap();
}

#[test]
fn files_in_files_out_twice_the_same() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = |out: &Path| std::fs::read_to_string(out.join("probe.manifest.json")).unwrap();
    for out in [first.path(), second.path()] {
        features(out);
        run(out);
    }
    assert_eq!(manifest(first.path()), manifest(second.path()));
    run(first.path());
    assert_eq!(manifest(first.path()), manifest(second.path()));

    let out = first.path();
    let probes = load(out, &cpu()).unwrap();
    let ids: Vec<&str> = probes.iter().map(|probe| probe.id.as_str()).collect();
    let want = [
        "linear-ce-s0",
        "linear-ce-s1",
        "linear_offset_bias-bce-s0",
        "bcos2_offset-bce-s0",
        "mlp2-ce-s0-wide",
        "shift_up-ce-s0",
        "shift_up-ce-s1",
        "shift_down-ce-s0",
        "shift_down-ce-s1",
        "shift_fit-ce-s0",
        "shift_fit-ce-s1",
    ];
    assert_eq!(ids, want);
    assert!(probes.iter().all(|probe| probe.id == probe.spec.id()));

    let table =
        ProbeRows::from_cells(Reader::open(&out.join(PROBES_DIR), &PROBES).unwrap().read_all().unwrap()).unwrap();
    assert!(table.backbone.iter().all(|name| name == "invented"));
    assert!(table.test_accuracy.iter().all(|accuracy| *accuracy > 0.9), "{:?}", table.test_accuracy);
    let reader = Reader::open(&out.join(PREDICTIONS_DIR), &PREDICTIONS).unwrap();
    let said = PredictionRows::from_cells(reader.read_all().unwrap()).unwrap();
    assert_eq!(said.logits.len(), 60 * want.len());
    assert_eq!(said.image_id[0], 200);
    let test = blobs(60, 2);
    for (index, probe) in probes.iter().enumerate() {
        // Pooled last here, pooled first when the stage evaluated linear heads: equal up to rounding.
        let logits = to_vec(probe.network.forward(test.map_batch(0, 60, &cpu())));
        let rows = &said.logits[index * 60..(index + 1) * 60];
        let largest = logits.iter().fold(1f32, |a, b| a.max(b.abs()));
        for (a, b) in logits.iter().zip(rows.iter().flatten()) {
            assert!((a - b).abs() < 1e-5 * largest, "{} {a} {b}", probe.id);
        }
        if matches!(probe.spec.head, Head::ShiftUp | Head::ShiftDown | Head::ShiftFit) {
            let source = 60 * usize::from(probe.spec.seed == 1);
            for row in 0..60 {
                assert_eq!(said.predicted[index * 60 + row], said.predicted[source + row]);
                assert!((said.probability[index * 60 + row] - said.probability[source + row]).abs() < 1e-5);
            }
        }
    }
    let weights =
        WeightRows::from_cells(Reader::open(&out.join(WEIGHTS_DIR), &WEIGHTS).unwrap().read_all().unwrap()).unwrap();
    let row =
        (0..weights.unit.len()).find(|&row| weights.probe_id[row] == "linear-ce-s1" && weights.unit[row] == 2).unwrap();
    let pooled = from_vec(weights.weight[row].clone(), [6], &cpu()) * from_vec(test.pooled[..6].to_vec(), [6], &cpu());
    assert!((to_vec(pooled.sum())[0] - said.logits[60][2]).abs() < 1e-4);
    let log = LogRows::from_cells(Reader::open(&out.join(LOG_DIR), &LOG).unwrap().read_all().unwrap()).unwrap();
    for metric in ["loss", "accuracy", "batch_loss", "kappa", "fit_loss", "fit_temperature"] {
        assert!(log.metric.iter().any(|name| name == metric), "{metric}");
    }
}

#[test]
fn missing_features_are_a_missing_input() {
    let out = tempfile::tempdir().unwrap();
    let args = StageArgs { out: Some(out.path().to_path_buf()), quiet: true, ..StageArgs::default() };
    assert_eq!(super::run(&Stage::new(args).unwrap()).unwrap_err().exit_code(), 66);
}
