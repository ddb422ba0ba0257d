//! Choices by the validation split, as the tables tell them, and the plan.

use super::*;

const SECTION: &str = r#"
[probe]
batch = 16
hidden = 8
shift = []
[[probe.train]]
head = "linear"
loss = "bce_plain"
bias = true
epochs = 6
learning_rates = [0.001, 20.0]
select = "best_epoch"
[[probe.train]]
head = "bcos4"
b = 1.5
loss = "bce_plain"
epochs = 3
select = "best_epoch"
"#;

#[test]
fn images_with_several_labels_are_chosen_for_by_their_ranks() {
    let out = tempfile::tempdir().unwrap();
    multi_label_features(out.path());
    run_section(out.path(), SECTION).unwrap();
    let log = LogRows::from_cells(Reader::open(&out.path().join(LOG_DIR), &LOG).unwrap().read_all().unwrap()).unwrap();
    let rows = |id: &str, metric: &str| -> Vec<(f64, f64)> {
        let is_it =
            |&row: &usize| log.probe_id[row] == id && log.metric[row] == metric && log.split[row] == "validation";
        (0..log.value.len()).filter(is_it).map(|row| (log.learning_rate[row], log.value[row])).collect()
    };
    let linear = "linear_bias-bce_plain-s0";
    let candidates = rows(linear, "candidate_mean_average_precision");
    assert_eq!(candidates.iter().map(|row| row.0).collect::<Vec<_>>(), [0.001, 20.0]);
    assert!(candidates[1].1 > candidates[0].1, "{candidates:?}");
    assert!(rows(linear, "accuracy").is_empty() && rows(linear, "candidate_accuracy").is_empty());
    let probes = Reader::open(&out.path().join(PROBES_DIR), &PROBES).unwrap().read_all().unwrap();
    let probes = ProbeRows::from_cells(probes).unwrap();
    assert_eq!(probes.probe_id, [linear, "bcos4_b1.5-bce_plain-s0"]);
    assert_eq!((probes.b.clone(), probes.learning_rate[0]), (vec![None, Some(1.5)], 20.0));
    for (row, id) in probes.probe_id.iter().enumerate() {
        let scores: Vec<f64> = rows(id, "mean_average_precision").iter().map(|row| row.1).collect();
        let most = scores.iter().fold(0.0, |a: f64, &b| a.max(b));
        let first = scores.iter().position(|&score| score == most).unwrap();
        assert_eq!(
            (probes.select[row].as_str(), probes.kept_epoch[row]),
            ("best_epoch", first as i32 + 1),
            "{scores:?}"
        );
    }
    let loaded = load(out.path(), &cpu()).unwrap();
    assert_eq!(
        (loaded[1].spec.head, loaded[1].spec.b, loaded[1].spec.id()),
        (Head::Bcos(4), 1.5, loaded[1].id.clone())
    );
}

#[test]
fn a_plan_writes_nothing() {
    let out = tempfile::tempdir().unwrap();
    features(out.path());
    let config = out.path().join("small.toml");
    std::fs::write(&config, super::SECTION).unwrap();
    let names = || {
        let entries = std::fs::read_dir(out.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let args = StageArgs { config: Some(config), out: Some(out.path().into()), quiet: true, ..StageArgs::default() };
    crate::train::forecast::tell(&Stage::new(args).unwrap()).unwrap();
    assert_eq!(names(), before);
}
