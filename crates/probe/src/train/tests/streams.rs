//! Features that are read in windows: the same numbers as from memory, through every kind of training and evaluation.

use super::*;
use crate::Loss;
use crate::data::{Form, Order, Split, Windows};
use crate::job::Job;
use crate::optimiser::{Method, Optimiser};
use crate::spec::{ProbeSpec, Select};
use crate::train::gather::{Data, gather};
use crate::trained::{Context, Status, Trained, order};
use crate::{exact, linear, mlp};
use std::sync::Arc;

/// Every kind of head, optimiser and choice; windows of two parts.
const SECTION: &str = r#"
[experiment]
seed = 3
[probe]
batch = 16
hidden = 8
map_tiles = 101
order = "windows:2"
shift = ["shift_up", "shift_fit"]
[[probe.train]]
head = "linear"
loss = "ce"
epochs = 4
learning_rates = [0.5, 2.0]
seeds = [0, 1]
[[probe.train]]
head = "linear"
loss = "bce"
bias = true
epochs = 6
select = "best_epoch"
[[probe.train]]
head = "linear"
loss = "ce"
optimiser = "adam"
epochs = 3
[[probe.train]]
head = "linear"
loss = "bce_plain"
optimiser = "lbfgs"
weight_decay = 0.001
[[probe.train]]
head = "bcos2"
loss = "bce"
epochs = 4
select = "best_epoch"
[[probe.train]]
head = "mlp2"
loss = "ce"
epochs = 3
learning_rates = [0.1, 1e30]
"#;

/// Parts of the feature tables.
const PARTS: usize = 22;

/// The section with a bound on memory.
fn bounded(section: &str, memory: f64) -> String {
    section.replace("order =", &format!("memory = \"{memory} B\"\norder ="))
}

/// The section three times: all features are in memory; those of the training split are read; all are.
fn sections(out: &Path) -> [String; 3] {
    let less = |section: &str| {
        let room = gathered(out, section).unwrap().room;
        bounded(SECTION, room.taken + room.training - 1.0)
    };
    let some = less(SECTION);
    let nothing = less(&some);
    [SECTION.to_string(), some, nothing]
}

/// Whether each split is in memory.
fn held(out: &Path, section: &str) -> [bool; 3] {
    let data = gathered(out, section).unwrap();
    [data.train.is_held(), data.validation.is_held(), data.test.is_held()]
}

/// Files of a finished artifact, by name.
fn files(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut directories = vec![out.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && name.starts_with("probe") {
                directories.push(path);
            } else if path.is_file() && (name.ends_with(".parquet") || name.ends_with(".safetensors")) {
                let place = path.strip_prefix(out).unwrap().display().to_string();
                found.push((place, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.retain(|(name, _)| name.starts_with("probe"));
    found.sort();
    found
}

fn gathered(out: &Path, section: &str) -> Result<Data> {
    let config = out.join("gathered.toml");
    std::fs::write(&config, section).unwrap();
    let args = StageArgs { config: Some(config), out: Some(out.to_path_buf()), quiet: true, ..StageArgs::default() };
    let config = Stage::new(args).unwrap().section("probe").unwrap();
    gather(&Arc::new(Reader::open(&out.join("features"), &FEATURES).unwrap()), &config, "invented", &cpu())
}

#[test]
fn files_do_not_know_what_was_in_memory() {
    for (views, several) in [(1, false), (3, false), (1, true)] {
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        for (number, directory) in directories.iter().enumerate() {
            let out = directory.path();
            match (views, several) {
                (1, true) => multi_label_features_in(out, PARTS),
                (1, false) => features_in(out, PARTS),
                _ => views::features_in_views(out, views, 0, PARTS),
            }
            let section = &sections(out)[number];
            assert_eq!(held(out, section), [number < 1, number < 2, number < 2]);
            run_section(out, section).unwrap();
        }
        let want = files(directories[0].path());
        assert_eq!(want.len(), 6);
        for directory in &directories[1..] {
            for ((name, found), (_, want)) in files(directory.path()).iter().zip(&want) {
                assert!(found == want, "{name} differs with {views} views");
            }
        }
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_to_set() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    features_in(out, PARTS);
    let whole = gathered(out, SECTION).unwrap().room;
    // 260 images of 6 numbers, and maps of 101, 40 and 60 of them.
    assert_eq!((whole.taken, whole.features), (25536.0, 4.0 * (260.0 * 6.0 + 201.0 * 24.0)));
    assert_eq!(held(out, &bounded(SECTION, whole.taken + whole.training)), [true; 3]);

    let refused = |section: &str| gathered(out, section).map(|_| ()).unwrap_err();
    let error = refused(&bounded(SECTION, 1e3));
    assert!(error.exit_code() == 2 && error.to_string().contains("memory allows 1 kB; raise memory"), "{error}");
    let error = refused(&bounded(&SECTION.replace("windows:2", "whole"), 2e4));
    let text = error.to_string();
    assert!(text.contains("features take 25.5 kB and training"), "{text}");
    assert!(text.contains("memory allows 20 kB; set order = \"windows:8\" in [probe]"), "{text}");
    let read = gathered(out, &sections(out)[2]).unwrap().room;
    let error = refused(&bounded(&SECTION.replace("windows:2", "windows:20"), read.taken + read.training));
    assert!(error.to_string().contains("set order = \"windows:2\""), "{error}");
}

#[test]
fn one_window_over_everything_is_the_order_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    features_in(directory.path(), PARTS);
    let split = |order: &str| gathered(directory.path(), &SECTION.replace("windows:2", order)).unwrap().train;
    let (all, whole, some) = (split("windows:100"), split("whole"), split("windows:2"));
    for epoch in 0..3 {
        assert_eq!(all.order(3, epoch, 160), order(3, epoch, 160, 1));
        assert_eq!(whole.order(3, epoch, 160), order(3, epoch, 160, 1));
        let mixed = some.order(3, epoch, 160);
        assert_ne!(mixed, order(3, epoch, 160, 1));
        let mut sorted = mixed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..160).collect::<Vec<_>>());
        // 264 images in 22 parts of 12: 160 of them in 14 parts, of which two are mixed at a time.
        let parts = |rows: &[i32]| rows.iter().map(|row| row / 12).collect::<std::collections::BTreeSet<_>>().len();
        assert!(mixed.chunks(16).all(|rows| parts(rows) <= 4) && parts(&mixed) == 14);
        assert!(parts(&mixed[..16]) == 2, "{:?}", &mixed[..16]);
    }
    assert_ne!(some.order(3, 0, 160), some.order(3, 1, 160));
}

#[test]
fn batches_that_are_read_are_those_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    features_in(directory.path(), PARTS);
    let held = gathered(directory.path(), SECTION).unwrap().train;
    let read = gathered(directory.path(), &sections(directory.path())[2]).unwrap().train;
    assert!(held.is_held() && !read.is_held() && read.pooled.is_empty() && read.maps.is_empty());
    assert_eq!((held.maps_len(), read.maps_len()), (101, 101));
    let look = |split: &Split, form: Form, rows: &[i32], batch: usize| {
        let mut seen = Vec::new();
        split
            .visit(form, rows, batch, |batch| {
                let labels: Vec<Vec<usize>> = batch.labels().into_iter().map(<[usize]>::to_vec).collect();
                seen.push((batch.rows.to_vec(), batch.all_features().flatten().copied().collect::<Vec<f32>>(), labels));
                Ok(())
            })
            .unwrap();
        seen
    };
    for (form, rows) in [(Form::Pooled, 160), (Form::Maps, 101)] {
        let all: Vec<i32> = (0..rows as i32).collect();
        for order in [held.order(1, 0, rows), all, vec![3], vec![]] {
            for batch in [1, 7, 16, 1000] {
                let (a, b) = (look(&held, form, &order, batch), look(&read, form, &order, batch));
                assert!(a == b, "{form:?} {batch}");
                assert_eq!(a.len(), order.len().div_ceil(batch));
            }
        }
    }
    // Whoever looks may give up, and features that are no longer there are said to be missing.
    let stop = |_: crate::data::Batch<'_>| Err(features::error::Error::Usage("enough".into()));
    assert_eq!(read.visit(Form::Pooled, &read.order(1, 0, 160), 16, stop).unwrap_err().exit_code(), 2);
    std::fs::remove_dir_all(directory.path().join("features")).unwrap();
    assert_eq!(read.visit(Form::Pooled, &read.order(1, 0, 160), 16, |_| Ok(())).unwrap_err().exit_code(), 66);
}

#[test]
fn a_killed_training_on_features_that_are_read_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    features_in(directory.path(), PARTS);
    let data = gathered(directory.path(), &sections(directory.path())[2]).unwrap();
    let context = Context { device: cpu(), seed: 5, classes: 4 };
    let job = Job::new(&data.train, &data.validation, &context);
    let spec =
        |head, loss| ProbeSpec { learning_rate: 0.3, epochs: 7, batch: 16, hidden: 8, ..ProbeSpec::plain(head, loss) };
    let best = ProbeSpec { select: Select::BestEpoch, ..spec(Head::Linear, Loss::Ce) };
    let longer = ProbeSpec { epochs: 9, ..spec(Head::Linear, Loss::Bce) };
    crate::checkpoint::tests::check_resume(&job, "a", |job| {
        Ok(linear::train_groups(&[(std::slice::from_ref(&best), "a"), (std::slice::from_ref(&longer), "b")], job)?
            .concat())
    });
    let heads = [spec(Head::Bcos(2), Loss::Bce), ProbeSpec { epochs: 9, ..spec(Head::Mlp(2), Loss::Ce) }];
    crate::checkpoint::tests::check_resume(&job, "layered-0", |job| mlp::train(&heads, job));
    let optimiser = Optimiser { weight_decay: 1e-3, ..Optimiser::plain(Method::Lbfgs) };
    let exact = ProbeSpec { optimiser, epochs: 1000, ..spec(Head::Linear, Loss::Bce) };
    crate::checkpoint::tests::check_resume(&job, "exact", |job| Ok(vec![exact::train(&exact, job, "exact")?]));
}

#[test]
fn heads_that_share_their_batches_do_not_touch_each_other() {
    let directory = tempfile::tempdir().unwrap();
    features_in(directory.path(), PARTS);
    let held = gathered(directory.path(), SECTION).unwrap();
    let read = gathered(directory.path(), &sections(directory.path())[2]).unwrap();
    let context = Context { device: cpu(), seed: 5, classes: 4 };
    let spec = |head, epochs, learning_rate| ProbeSpec {
        learning_rate,
        epochs,
        batch: 16,
        hidden: 8,
        ..ProbeSpec::plain(head, Loss::Ce)
    };
    let heads = [spec(Head::Bcos(1), 2, 0.2), spec(Head::Mlp(2), 5, 1e30), spec(Head::Mlp(3), 4, 0.2)];
    let train = |data: &Data| -> Vec<Trained> {
        mlp::train(&heads, &Job::new(&data.train, &data.validation, &context)).unwrap()
    };
    let (a, b) = (train(&held), train(&read));
    assert_eq!(
        a.iter().map(|probe| probe.status).collect::<Vec<_>>(),
        [Status::Trained, Status::Diverged, Status::Trained]
    );
    for (a, b) in a.iter().zip(&b) {
        // As text, because weights that have diverged are no numbers, and those equal nothing.
        let text = |probe: &Trained| format!("{:?} {:?}", probe.weights, probe.log);
        assert_eq!((text(a), a.status), (text(b), b.status));
        assert_eq!(a.train_loss.to_bits(), b.train_loss.to_bits());
    }
    assert_eq!(Order::default(), Order::Whole);
    assert!(Windows::new(vec![], 0, 0, None).order(0, 0, 0, 1).is_empty());
}
