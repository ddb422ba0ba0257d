//! The stage from files to files, on a handful of invented features.

use std::path::Path;

use features::artifact::Reader;
use features::error::Result;
use features::stage::{Stage, StageArgs};
use features::table::{FEATURES, FeatureRows};
use features::tensor::{cpu, from_vec, to_vec};

use crate::data::tests::blobs;
use crate::table::*;
use crate::{Head, load};
use files::{SPLITS, features, features_in, multi_label_features, multi_label_features_in, write_features};

mod choices;
mod files;
mod streams;
mod views;

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

fn run(out: &Path) {
    run_section(out, SECTION).unwrap();
}

fn run_section(out: &Path, section: &str) -> Result<()> {
    let config = out.join("small.toml");
    std::fs::write(&config, section).unwrap();
    let args = StageArgs { config: Some(config), out: Some(out.to_path_buf()), quiet: true, ..StageArgs::default() };
    super::run(&Stage::new(args).unwrap())
}

const SEVERAL: &str = r#"
[probe]
batch = 16
hidden = 8
map_tiles = 160
shift = ["shift_fit"]
[[probe.train]]
head = "linear"
loss = "bce_plain"
bias = true
epochs = 30
learning_rate = 20.0
[[probe.train]]
head = "linear"
loss = "ce"
epochs = 30
[[probe.train]]
head = "linear"
loss = "ce"
optimiser = "lbfgs"
weight_decay = 0.001
tag = "exact"
[[probe.train]]
head = "mlp2"
loss = "focal"
epochs = 10
"#;

#[test]
fn images_with_several_labels_are_trained_and_measured() {
    let out = tempfile::tempdir().unwrap();
    multi_label_features(out.path());
    run_section(out.path(), SEVERAL).unwrap();
    let log = LogRows::from_cells(Reader::open(&out.path().join(LOG_DIR), &LOG).unwrap().read_all().unwrap()).unwrap();
    let figure = |id: &str, metric: &str| {
        let is_it = |&row: &usize| log.probe_id[row] == id && log.split[row] == "test" && log.metric[row] == metric;
        log.value[(0..log.value.len()).find(is_it).unwrap_or_else(|| panic!("{id} {metric}: {:?}", log.probe_id))]
    };
    // What is set aside looks as if it were there; were it counted as absent, ranks and precision would suffer.
    let bce = "linear_bias-bce_plain-s0";
    for metric in ["mean_average_precision", "precision_micro", "recall_micro", "f1_micro", "f1_macro"] {
        assert!(figure(bce, metric) > 97.0, "{metric} {}", figure(bce, metric));
    }
    for id in ["linear-ce-s0", "linear-ce-lbfgs-s0-exact", "shift_fit-ce-s0"] {
        assert!(figure(id, "mean_average_precision") > 90.0, "{id} {}", figure(id, "mean_average_precision"));
    }
    let (up, to) = (figure("shift_fit-ce-s0", "f1_micro"), figure("linear-ce-s0", "f1_micro"));
    assert!(up > to, "a fitted shift moves softmax logits to where 0 divides them: {up} {to}");

    let said = Reader::open(&out.path().join(PREDICTIONS_DIR), &PREDICTIONS).unwrap().read_all().unwrap();
    let said = PredictionRows::from_cells(said).unwrap();
    assert_eq!(said.label[9], -1);
    // Images with a label and nothing set aside that would look like another.
    let plain: Vec<usize> = (0..60).filter(|image| image % 10 != 9 && image % 3 != 0).collect();
    let hits = plain.iter().filter(|&&row| said.label[row] == said.predicted[row]).count();
    assert!(hits + 1 >= plain.len(), "{hits} of {}", plain.len());
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
    assert!(
        table.test_accuracy.iter().all(|accuracy| accuracy.is_some_and(|accuracy| accuracy > 0.9)),
        "{:?}",
        table.test_accuracy
    );
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
    for metric in ["accuracy", "batch_loss", "kappa", "fit_loss", "fit_temperature"] {
        assert!(log.metric.iter().any(|name| name == metric), "{metric}");
    }
}

const CHOICES: &str = r#"
[probe]
batch = 16
hidden = 8
map_tiles = 100
shift = ["shift_up"]
[[probe.train]]
head = "linear"
loss = "ce"
learning_rates = [0.0001, 2.0, 1e30]
epochs = 4
seeds = [0, 1]
[[probe.train]]
head = "linear"
loss = "ce"
optimiser = "lbfgs"
weight_decay = 0.001
[[probe.train]]
head = "mlp2"
loss = "focal_sum"
optimiser = "adamw"
weight_decay = 0.01
norm = "uncentred"
learning_rate = 0.02
epochs = 20
schedule = "cosine_by_epoch"
warm_up = "epochs:1 from 0.1"
[[probe.train]]
head = "linear"
loss = "ce"
backbone = "another"
tag = "elsewhere"
[[probe.train]]
head = "linear"
loss = "bce"
learning_rate = 1e30
epochs = 2
[[probe.import]]
file = "FILE"
loss = "ce"
"#;

#[test]
fn candidates_imports_and_divergence_reach_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    features(out);
    let mut head = crate::weights::Weights::default();
    head.insert("weight", &[4, 6], (0..24).map(|i| if i % 7 == 0 { 1.0 } else { 0.0 }).collect());
    head.insert("bias", &[4], vec![0.5; 4]);
    let file = out.join("net.safetensors");
    std::fs::write(&file, crate::weights::to_safetensors(&[("fc".to_string(), &head)]).unwrap()).unwrap();
    let config = out.join("choices.toml");
    std::fs::write(&config, CHOICES.replace("FILE", &file.display().to_string())).unwrap();
    let args = StageArgs { config: Some(config), out: Some(out.to_path_buf()), quiet: true, ..StageArgs::default() };
    let run = || super::run(&Stage::new(args.clone()).unwrap()).unwrap_err();
    // Once when it is made, once when it is up to date.
    for error in [run(), run()] {
        assert_eq!(error.exit_code(), 65);
        assert!(
            error.to_string().starts_with("1 of 10 probes diverged: linear-bce-s0 (learning_rate 1e30)"),
            "{error}"
        );
    }

    let probes =
        ProbeRows::from_cells(Reader::open(&out.join(PROBES_DIR), &PROBES).unwrap().read_all().unwrap()).unwrap();
    let ids: Vec<&str> = probes.probe_id.iter().map(String::as_str).collect();
    let want = [
        "linear-ce-s0",
        "linear-ce-s1",
        "linear-ce-lbfgs-s0",
        "linear-bce-s0",
        "mlp2-focal_sum-adamw-s0",
        "linear_bias-ce-s0-imported",
        "shift_up-ce-s0",
        "shift_up-ce-s1",
    ];
    assert_eq!(ids[..8], want);
    assert_eq!(ids[8..], ["shift_up-ce-s0-lbfgs", "shift_up_bias-ce-s0-imported"]);
    let row = |id: &str| ids.iter().position(|found| *found == id).unwrap();
    assert_eq!(probes.learning_rate[row("linear-ce-s1")], 2.0);
    let wild = row("linear-bce-s0");
    assert_eq!((probes.status[wild].as_str(), probes.test_accuracy[wild]), ("diverged", None));
    let solved = row("linear-ce-lbfgs-s0");
    assert!(probes.gradient_norm[solved].unwrap() < 1e-8 && probes.weight_decay[solved] == 0.001);
    for index in (0..ids.len()).filter(|index| *index != wild) {
        assert!(probes.test_accuracy[index].unwrap() > 0.9, "{} {:?}", ids[index], probes.test_accuracy[index]);
        // Four classes: the label is always among the first five.
        assert_eq!(probes.test_top5[index], Some(1.0));
        assert!((0.0..1.0).contains(&probes.calibration_error[index].unwrap()));
        assert!(probes.common_norm[index].unwrap() >= 0.0);
        assert_eq!(probes.common_logit[index], probes.mean_logit[index]);
    }
    // The imported head: channel i for class i, so its classes' mean weight is 1/4 in each of four channels.
    let imported = row("linear_bias-ce-s0-imported");
    assert!((probes.common_norm[imported].unwrap() - 0.5).abs() < 1e-6);
    assert_eq!((probes.optimiser[imported].as_str(), probes.epochs[imported]), ("none", 0));

    let bytes = std::fs::read(out.join(REFERENCE_FILE)).unwrap();
    let theirs = crate::weights::from_safetensors(&bytes, "mlp2-focal_sum-adamw-s0", "file").unwrap();
    assert_eq!(theirs.get("head.fc1.weight").unwrap().shape, [4, 8, 1, 1]);

    let loaded = load(out, &cpu()).unwrap();
    assert_eq!(loaded.len(), ids.len() - 1);
    assert!(loaded.iter().all(|probe| probe.id == probe.spec.id() && probe.id != "linear-bce-s0"));
    let adamw = &loaded.iter().find(|probe| probe.id == "mlp2-focal_sum-adamw-s0").unwrap().spec;
    assert_eq!(adamw.schedule.warm_up.to_string(), "epochs:1 from 0.1");

    let log = LogRows::from_cells(Reader::open(&out.join(LOG_DIR), &LOG).unwrap().read_all().unwrap()).unwrap();
    let scores: Vec<(f64, bool)> = (0..log.value.len())
        .filter(|&row| log.metric[row] == "candidate_accuracy" && log.probe_id[row] == "linear-ce-s1")
        .map(|row| (log.learning_rate[row], log.value[row].is_nan()))
        .collect();
    assert_eq!(scores, [(0.0001, false), (2.0, false), (1e30, true)]);
    let said =
        PredictionRows::from_cells(Reader::open(&out.join(PREDICTIONS_DIR), &PREDICTIONS).unwrap().read_all().unwrap())
            .unwrap();
    assert!(said.probe_id.iter().all(|id| id != "linear-bce-s0"));
}

#[test]
fn missing_features_are_a_missing_input() {
    let out = tempfile::tempdir().unwrap();
    let args = StageArgs { out: Some(out.path().to_path_buf()), quiet: true, ..StageArgs::default() };
    assert_eq!(super::run(&Stage::new(args).unwrap()).unwrap_err().exit_code(), 66);
}
