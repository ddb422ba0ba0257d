//! The stage on small artifacts that the tests write themselves.

use std::fs;
use std::path::{Path, PathBuf};

use attribute::table::GridRows;
use features::artifact::{Box2, Cells, Run, Table};
use features::images::Rgb;
use features::stage::StageArgs;
use features::table::{IMAGES, ImageRows};
use probe::table::{PROBES, ProbeRows};

use super::*;
use crate::controls;
use crate::fixtures::{random_map, wave};
use crate::perturbation::pictures::{Recipe, load};
use crate::rows::{GRID, SCENE};
use crate::table::ScoreRows;

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("evaluate-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: PathBuf, tables: Vec<(&'static Table, &str, Vec<Vec<usize>>)>, parts: Vec<Vec<Vec<Cells>>>) {
    let spec = ArtifactSpec {
        stage: "test",
        path,
        algorithm: 1,
        config: serde_json::json!({}),
        inputs: vec![],
        tables: tables
            .into_iter()
            .map(|(table, dir, shapes)| TableSpec { table, dir: dir.into(), shapes, meta: BTreeMap::new() })
            .collect(),
        parts: parts.len(),
    };
    let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("nothing was there") };
    for (part, tables) in parts.into_iter().enumerate() {
        artifact.write_part(part, tables.into_iter().enumerate().collect()).unwrap();
    }
    artifact.finish().unwrap().expect("all parts are there");
}

/// Rows of one item: two targets, two probes, two methods, in no particular order.
fn maps(item: &str, grid_size: Option<i32>, side: usize, value: impl Fn(u64) -> Vec<f32>) -> MapRows {
    let mut rows = MapRows::default();
    let mut seed = 0;
    for probe in ["b", "a"] {
        for target in [3, 1] {
            for method in ["lrp", "input_x_gradient"] {
                seed += 1;
                rows.item.push(item.into());
                rows.item_kind.push(if grid_size.is_some() { GRID } else { SCENE }.into());
                rows.grid_size.push(grid_size);
                rows.image_id.push(7);
                rows.target_index.push(target);
                rows.target_class.push(target);
                rows.probe_id.push(probe.into());
                rows.method.push(method.into());
                rows.logit.push(0.0);
                rows.relevance_sum.push(0.0);
                rows.explained.push(None);
                rows.completeness_error.push(None);
                rows.absorbed_fraction.push(None);
                rows.degenerate.push(None);
                rows.height.push(side as i32);
                rows.width.push(side as i32);
                rows.map.extend(value(seed));
            }
        }
    }
    rows
}

fn experiment(name: &str) -> Scratch {
    experiment_in(name, |rows| rows)
}

/// The same with the rows of each item as `order` has them.
fn experiment_in(name: &str, order: impl Fn(MapRows) -> MapRows) -> Scratch {
    let scratch = Scratch::new(name);
    let out = scratch.0.join("out");
    let probes = ProbeRows {
        probe_id: vec!["a".into(), "b".into()],
        backbone: vec!["net".into(); 2],
        head: vec!["linear".into(); 2],
        loss: vec!["ce".into(), "bce".into()],
        b: vec![None; 2],
        label_smoothing: vec![0.0; 2],
        offset: vec!["none".into(); 2],
        bias: vec![false; 2],
        norm: vec!["none".into(); 2],
        scaling: vec!["common".into(); 2],
        optimiser: vec!["sgd".into(); 2],
        momentum: vec![0.9; 2],
        weight_decay: vec![0.0; 2],
        learning_rate: vec![0.1; 2],
        rate_rule: vec!["as_given".into(); 2],
        schedule: vec!["cosine".into(); 2],
        warm_up: vec!["none".into(); 2],
        seed: vec![0, 1],
        epochs: vec![1; 2],
        select: vec!["last_epoch".into(); 2],
        kept_epoch: vec![1; 2],
        batch: vec![1; 2],
        order: vec!["whole".into(); 2],
        hidden: vec![0; 2],
        status: vec!["trained".into(); 2],
        train_loss: vec![None; 2],
        gradient_norm: vec![None; 2],
        validation_accuracy: vec![None; 2],
        test_accuracy: vec![None; 2],
        test_top5: vec![None; 2],
        calibration_error: vec![None; 2],
        mean_logit: vec![None; 2],
        common_logit: vec![None; 2],
        common_norm: vec![None; 2],
        common_norm_ratio: vec![None; 2],
    };
    write(out.join("probe"), vec![(&PROBES, "probe", vec![])], vec![vec![probes.cells()]]);
    let images = ImageRows {
        image_id: vec![1, 7],
        image_key: vec!["test/1".into(), "scenes/7".into()],
        split: vec!["test".into(), "scenes".into()],
        label: vec![Some(0), None],
        width: vec![4, 40],
        height: vec![4, 40],
        bytes: vec![vec![]; 2],
        boxes: vec![vec![], vec![Box2 { class: 1, xmin: 10, ymin: 0, xmax: 30, ymax: 20 }]],
        labels: vec![vec![0], vec![1]],
        set_aside: vec![vec![]; 2],
        masks: vec![vec![]; 2],
    };
    write(scratch.0.join("images"), vec![(&IMAGES, "images", vec![])], vec![vec![images.cells()]]);
    let none = || MapRows::default().cells();
    let maps = |item: &str, size, side, value: &dyn Fn(u64) -> Vec<f32>| order(maps(item, size, side, value));
    let parts = vec![
        vec![maps("grid3/0000", Some(3), 96, &|_| wave(96)).cells(), none(), none(), none()],
        vec![none(), maps("grid2/0000", Some(2), 20, &|seed| random_map(seed, 400)).cells(), none(), none()],
        vec![none(), none(), maps("scene/0000", None, 20, &|_| vec![1.0; 400]).cells(), none()],
        vec![maps("grid3/0001", Some(3), 96, &|_| vec![-1.0; 96 * 96]).cells(), none(), none(), none()],
    ];
    let side = |side: usize| vec![vec![side * side]];
    let tables = vec![
        (&MAPS, "attribute", side(96)),
        (&MAPS, "attribute.grid2", side(20)),
        (&MAPS, "attribute.scenes", side(20)),
        (&MAPS, "attribute.tiles", side(1)),
    ];
    write(out.join("attribute"), tables, parts);
    scratch
}

fn stage(scratch: &Scratch, args: StageArgs) -> Stage {
    Stage::new(StageArgs { out: Some(scratch.0.join("out")), quiet: true, ..args }).unwrap()
}

fn config(scratch: &Scratch) -> Config {
    Config { images: Some(scratch.0.join("images")), gaussian_kernel: Some(65), ..Config::default() }
}

fn read(out: &Path) -> ScoreRows {
    ScoreRows::from_cells(Reader::open(&out.join("evaluate"), &SCORES).unwrap().read_all().unwrap()).unwrap()
}

fn bytes(out: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(out.join("evaluate")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_map_gets_its_rows() {
    let scratch = experiment("rows");
    evaluate(&stage(&scratch, StageArgs::default()), &config(&scratch)).unwrap();
    let rows = read(&scratch.0.join("out"));
    assert_eq!(
        rows.len(),
        8 * (8 + 8 + 10 + 8) + 2 * 2 * 2 * (3 + 3 + 5 + 3),
        "maps, and two controls of two targets and methods"
    );
    let keys: Vec<_> = (0..rows.len())
        .map(|i| {
            (&rows.item[i], rows.target_index[i], &rows.probe_id[i], &rows.method[i], &rows.metric[i], &rows.variant[i])
        })
        .collect();
    assert!(keys[..64].is_sorted_by(|a, b| a < b), "the rows of a part are sorted by their unique key");
    let find = |item: &str, method: &str, metric: &str, variant: &str| {
        let wanted = (item, method, metric, variant);
        let at = (0..rows.len()).find(|&i| {
            (rows.item[i].as_str(), rows.method[i].as_str(), rows.metric[i].as_str(), rows.variant[i].as_str())
                == wanted
                && rows.target_index[i] == 1
        });
        at.unwrap_or_else(|| panic!("no row {wanted:?}"))
    };
    // Golden values of the reference through the whole stage: its float32 maps are stored unrounded here.
    for (method, smoothing, value) in [("lrp", "avg5", 0.091431), ("input_x_gradient", "gauss65", 0.014369)] {
        let i = find("grid3/0000", method, "grid_pointing_game", "reference");
        assert!((rows.value[i].unwrap() - value).abs() < 1e-5);
        assert_eq!((rows.smoothing[i].as_str(), rows.chance[i]), (smoothing, Some(1.0 / 9.0)));
        assert_eq!((rows.backbone[i].as_str(), rows.loss[i].as_str(), rows.seed[i]), ("net", "ce", 0));
    }
    let i = find("scene/0000", "lrp", "energy_pointing_game", "unrounded");
    assert!((rows.value[i].unwrap() - 0.25).abs() < 0.02 && rows.chance[i] == Some(0.25));
    let other_class = (0..rows.len())
        .find(|&i| rows.item_kind[i] == SCENE && rows.target_class[i] == 3 && rows.metric[i] == "energy_pointing_game");
    assert_eq!(rows.reason[other_class.unwrap()].as_deref(), Some("no_box"));
    for i in (0..rows.len()).filter(|&i| rows.item[i] == "grid3/0001" && rows.probe_id[i] != controls::PROBE) {
        let compares = ["class_agreement", "seed_stability"].contains(&rows.metric[i].as_str());
        let reason = if compares { "constant" } else { "no_positive_mass" };
        assert_eq!((rows.value[i], rows.reason[i].as_deref()), (None, Some(reason)));
    }
    // All targets have one map there, and each probe is the only seed of its recipe.
    let i = find("grid3/0000", "lrp", "class_agreement", "pearson");
    assert!((rows.value[i].unwrap() - 1.0).abs() < 1e-6 && !rows.higher_is_better[i]);
    let i = find("grid3/0000", "lrp", "seed_stability", "pearson");
    assert_eq!((rows.value[i], rows.reason[i].as_deref()), (None, Some("no_peer")));
    // The oracle's ceiling is 1 without smoothing, and far below it under the wide Gaussian.
    for (method, variant, low, high) in [
        ("oracle:lrp", "none", 1.0, 1.0),
        ("oracle:lrp", "reference", 0.9, 0.99),
        ("oracle:input_x_gradient", "reference", 0.3, 0.8),
        ("uniform:lrp", "none", 0.11, 0.112),
    ] {
        let value = rows.value[find("grid3/0000", method, "grid_pointing_game", variant)].unwrap();
        assert!((low..=high).contains(&value), "{method} {variant}: {value}");
    }
}

#[test]
fn shards_and_reruns_give_the_same_bytes() {
    let (whole, sharded) = (experiment("whole"), experiment("sharded"));
    evaluate(&stage(&whole, StageArgs::default()), &config(&whole)).unwrap();
    let expected = bytes(&whole.0.join("out"));
    for index in [1, 0] {
        let shard = Some(format!("{index}/2").parse().unwrap());
        evaluate(&stage(&sharded, StageArgs { shard, ..StageArgs::default() }), &config(&sharded)).unwrap();
    }
    assert_eq!(bytes(&sharded.0.join("out")), expected);
    evaluate(&stage(&whole, StageArgs { force: true, ..StageArgs::default() }), &config(&whole)).unwrap();
    assert_eq!(bytes(&whole.0.join("out")), expected);
}

#[test]
fn the_order_of_rows_changes_no_score() {
    let backwards = |rows: MapRows| {
        let area = rows.map.len() / rows.len();
        let mut turned = MapRows::default();
        for row in (0..rows.len()).rev() {
            turned.append(rows.row(row, rows.map[row * area..][..area].to_vec()));
        }
        turned
    };
    let (usual, turned) = (experiment("usual"), experiment_in("turned", backwards));
    for scratch in [&usual, &turned] {
        evaluate(&stage(scratch, StageArgs::default()), &config(scratch)).unwrap();
    }
    assert!(read(&usual.0.join("out")) == read(&turned.0.join("out")), "scores differ");
}

#[test]
fn pictures_are_put_together_by_their_keys() {
    let scratch = Scratch::new("pictures");
    let mut rows = ImageRows::default();
    for (at, key) in ["train/0", "test/0", "test/1", "test/2", "test/3"].into_iter().enumerate() {
        let picture = Rgb { width: 2, height: 2, data: vec![10 * at as u8; 12] };
        rows.image_id.push(at as i64);
        rows.image_key.push(key.into());
        rows.split.push(key.split('/').next().unwrap().into());
        rows.label.push(Some(0));
        rows.width.push(2);
        rows.height.push(2);
        rows.bytes.push(picture.encode_png().unwrap());
        rows.boxes.push(vec![]);
        rows.labels.push(vec![0]);
        rows.set_aside.push(vec![]);
        rows.masks.push(vec![]);
    }
    let dir = scratch.0.join("images");
    write(dir.clone(), vec![(&IMAGES, "images", vec![])], vec![vec![rows.cells()]]);
    let grids = GridRows {
        grid_id: vec![3],
        grid_size: vec![2],
        cells: vec![["test/3", "test/2", "test/1", "test/0"].map(String::from).to_vec()],
        labels: vec![vec![0; 4]],
        cell_px: vec![2],
    };
    let recipes: Vec<Recipe> = [Recipe::image("test/1")].into_iter().chain(Recipe::grids(&grids)).collect();
    let pictures = load(&dir, &Geometry::AS_IS, &recipes).unwrap();
    assert_eq!(pictures["test/1"].data, [20; 12]);
    let grid = &pictures["grid2/0003"];
    assert_eq!((grid.width, grid.height), (4, 4));
    assert_eq!([0, 3, 12, 15].map(|pixel| grid.data[3 * pixel]), [40, 30, 20, 10]);
    let error = load(&dir, &Geometry::AS_IS, &[Recipe::image("test/9")]).unwrap_err();
    assert!(error.to_string().contains("`test/9`") && error.exit_code() == 65, "{error}");
}

#[test]
fn perturbation_says_which_key_leads_to_a_missing_backbone() {
    let scratch = experiment("backbone");
    let file = scratch.0.join("experiment.toml");
    let place = scratch.0.display();
    let text = format!("[features]\nimages = \"{place}/images\"\nbackbone = \"{place}/lost.safetensors\"\n");
    fs::write(&file, text).unwrap();
    let stage = stage(&scratch, StageArgs { config: Some(file), ..StageArgs::default() });
    let asked = |perturbation: Settings| Config { perturbation, ..config(&scratch) };
    let settings = Settings { metrics: vec!["pixel_deletion".parse().unwrap()], ..Settings::default() };
    let error = evaluate(&stage, &asked(settings.clone())).unwrap_err();
    assert_eq!(error.exit_code(), 66);
    assert!(error.to_string().contains("`backbone` in [features]"), "{error}");
    let error = evaluate(&stage, &asked(Settings { steps: 0, ..settings })).unwrap_err();
    assert!(error.to_string().contains("[evaluate.perturbation] steps"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let scratch = experiment("mistakes");
    let message = |config: Config| evaluate(&stage(&scratch, StageArgs::default()), &config).unwrap_err().to_string();
    assert!(message(Config { images: None, ..config(&scratch) }).contains("--images"));
    assert!(message(Config { metrics: vec![], ..config(&scratch) }).contains("metrics is empty"));
    assert!(message(Config { gaussian_kernel: Some(64), ..config(&scratch) }).contains("such as 65"));
    let nowhere =
        Stage::new(StageArgs { out: Some(scratch.0.join("nowhere")), quiet: true, ..StageArgs::default() }).unwrap();
    assert_eq!(evaluate(&nowhere, &config(&scratch)).unwrap_err().exit_code(), 66);
}
