//! The stage from files to files: random backbones, invented probes and predictions, a few shapes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use features::{
    artifact::Run,
    backbone::{Family, NamedTensor, NamedTensors, Norm, Parameters, ResNet, named},
    network::ChannelScale,
    random::{normal, stream},
    shapes,
    stage::StageArgs,
    tensor::{Tensor, cpu},
};
use probe::table::{PREDICTIONS, PREDICTIONS_DIR, PROBES, PROBES_DIR, PredictionRows, ProbeRows, WEIGHTS_FILE};
use probe::weights::{Weights, to_safetensors};

use super::*;
use crate::compact::CompactMaps;

mod cut_off;
mod stored;

const PROBE_IDS: [&str; 3] = ["linear-ce-s0", "linear-bce-s0", "bcos1_offset-bce-s0"];

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("attribute-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// The experiment, with `more` in `[attribute]`.
    fn stage(&self, more: &str, force: bool) -> Stage {
        self.stage_of("", &format!("grids3 = 2\ngrids2 = 3\nscenes = 2\ntiles = 2\n{more}"), force)
    }

    /// The experiment with these lines in `[features]` and `[attribute]`.
    fn stage_of(&self, features: &str, attribute: &str, force: bool) -> Stage {
        let (file, place) = (self.0.join("small.toml"), self.0.display());
        let text = format!(
            "[data]\ntrain = 1\nvalidation = 1\ntest = 60\nscenes = 2\n\
             [features]\nimages = \"{place}/data/images\"\nbackbone = \"{place}/random.safetensors\"\n{features}\n\
             [attribute]\n{attribute}\n\
             [attribute.integrated_gradients]\nsteps = 2\ngrids = 1\n"
        );
        fs::write(&file, text).unwrap();
        let out = Some(self.0.join("out"));
        Stage::new(StageArgs { config: Some(file), out, quiet: true, force, ..StageArgs::default() }).unwrap()
    }

    fn manifest(&self) -> String {
        fs::read_to_string(self.0.join("out/attribute.manifest.json")).unwrap()
    }

    fn maps(&self, dir: &str) -> MapRows {
        let reader = Reader::open(&self.0.join("out").join(dir), &MAPS).unwrap();
        MapRows::from_cells(reader.read_all().unwrap()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Random weights that remember what they were called.
#[derive(Default)]
struct Recorder(NamedTensors);

impl Recorder {
    fn put(&mut self, name: String, shape: Vec<usize>, mean: f64, deviation: f64) {
        let mut rng = stream(0, &["weights", &name]);
        let count = shape.iter().product();
        let values = (0..count).map(|_| (mean + deviation * normal(&mut rng)) as f32).collect();
        self.0.insert(name, NamedTensor { shape, values });
    }
}

impl Parameters for Recorder {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let deviation = (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
        self.put(name.to_string(), shape.to_vec(), 0.0, deviation);
        Tensor::zeros(shape, &cpu())
    }

    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale {
        self.put(format!("{name}.weight"), vec![channels], 1.0, 0.1);
        self.put(format!("{name}.running_var"), vec![channels], 1.0, 0.05);
        if norm == Norm::Centred {
            self.put(format!("{name}.bias"), vec![channels], 0.0, 0.1);
            self.put(format!("{name}.running_mean"), vec![channels], 0.0, 0.1);
        }
        ChannelScale { scale: Tensor::ones([channels], &cpu()), shift: None }
    }
}

fn write_backbone(dir: &Path, family: Family) {
    let mut recorder = Recorder::default();
    let mut architecture = ResNet::shapes(family);
    architecture.stages.truncate(1);
    architecture.lower(&mut recorder);
    fs::write(dir.join("random.safetensors"), named::write(&recorder.0, BTreeMap::new()).unwrap()).unwrap();
    let (family, encoding) = match family {
        Family::Resnet => ("resnet", "{ normalised = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] } }"),
        Family::BcosResnet => ("bcos_resnet", "\"six_channel\""),
    };
    let text = format!(
        "name = \"random\"\ninput_size = 64\nencoding = {encoding}\n[architecture]\nfamily = \"{family}\"\n\
         block = \"basic\"\nstem = {{ channels = 32, kernel = 5, stride = 2, pool = false }}\n\
         stages = [{{ width = 48, blocks = 1, stride = 2 }}]\n"
    );
    fs::write(dir.join("random.toml"), text).unwrap();
}

fn write_probes(out: &Path, inputs: Vec<Input>) {
    let classes = shapes::CLASSES.len();
    let weights: Vec<(String, Weights)> = PROBE_IDS
        .iter()
        .map(|id| {
            let mut rng = stream(1, &["probe", id]);
            let values = (0..classes * 48).map(|_| 0.2 * normal(&mut rng) as f32).collect();
            let mut weights = Weights::default();
            if id.starts_with("bcos1") {
                weights.insert("input_scale", &[1], vec![1.0]);
                weights.insert("fc0.linear.weight", &[classes, 48, 1, 1], values);
            } else {
                weights.insert("fc.weight", &[classes, 48, 1, 1], values);
            }
            (id.to_string(), weights)
        })
        .collect();
    let text = |values: [&str; 3]| values.map(String::from).to_vec();
    let probes = ProbeRows {
        probe_id: text(PROBE_IDS),
        backbone: text(["random"; 3]),
        head: text(["linear", "linear", "bcos1"]),
        loss: text(["ce", "bce", "bce"]),
        b: vec![None, None, Some(2.0)],
        label_smoothing: vec![0.0; 3],
        offset: text(["none", "none", "log_classes"]),
        bias: vec![false; 3],
        norm: text(["none"; 3]),
        scaling: text(["common"; 3]),
        optimiser: text(["sgd"; 3]),
        momentum: vec![0.9; 3],
        weight_decay: vec![0.0; 3],
        learning_rate: vec![1.0; 3],
        rate_rule: text(["as_given"; 3]),
        schedule: text(["cosine"; 3]),
        warm_up: text(["none"; 3]),
        seed: vec![0; 3],
        epochs: vec![1; 3],
        select: text(["last_epoch"; 3]),
        kept_epoch: vec![1; 3],
        batch: vec![1; 3],
        order: text(["whole"; 3]),
        hidden: vec![0; 3],
        status: text(["trained"; 3]),
        train_loss: vec![None; 3],
        gradient_norm: vec![None; 3],
        validation_accuracy: vec![None; 3],
        test_accuracy: vec![None; 3],
        test_top5: vec![None; 3],
        calibration_error: vec![None; 3],
        mean_logit: vec![None; 3],
        common_logit: vec![None; 3],
        common_norm: vec![None; 3],
        common_norm_ratio: vec![None; 3],
    };
    // Test tiles have ids 2..62; the CE probe is unsure of the first ten, the BCE probe wrong on the next ten.
    let mut said = PredictionRows::default();
    for (probe, id) in PROBE_IDS.iter().enumerate() {
        for image in 2..62 {
            let (unsure, wrong) = (probe == 0 && image < 12, probe == 1 && (12..22).contains(&image));
            said.probe_id.push(id.to_string());
            said.image_id.push(image);
            said.label.push(1);
            said.predicted.push(if wrong { 2 } else { 1 });
            said.probability.push(if unsure { 0.5 } else { 0.99 });
            said.logits.push(vec![0.0; classes]);
        }
    }
    let table = |table, dir: &str| TableSpec { table, dir: dir.into(), shapes: vec![], meta: [].into() };
    let spec = ArtifactSpec {
        stage: "probe",
        path: out.join(PROBES_DIR),
        algorithm: 1,
        config: serde_json::Value::Null,
        inputs,
        tables: vec![table(&PROBES, PROBES_DIR), table(&PREDICTIONS, PREDICTIONS_DIR)],
        parts: 1,
    };
    let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("it is new") };
    artifact.write_part(0, vec![(0, probes.cells()), (1, said.cells())]).unwrap();
    let weights: Vec<(String, &Weights)> = weights.iter().map(|(id, weights)| (id.clone(), weights)).collect();
    artifact.write_file(WEIGHTS_FILE, &to_safetensors(&weights).unwrap()).unwrap();
    artifact.finish().unwrap().unwrap();
}

fn prepare(name: &str, family: Family) -> Scratch {
    let scratch = Scratch::new(name);
    let stage = scratch.stage("", false);
    let mut data = stage.clone();
    data.out = scratch.0.join("data");
    shapes::make(&data).unwrap();
    write_backbone(&scratch.0, family);
    let source: FeaturesConfig = stage.section("features").unwrap();
    let images = Reader::open(&source.images, &IMAGES).unwrap().input();
    write_probes(&stage.out, vec![source.load(&cpu()).unwrap().input, images]);
    scratch
}

#[test]
fn files_in_files_out_twice_the_same() {
    let scratch = prepare("resnet", Family::Resnet);
    run(&scratch.stage("chunk = 3", false)).unwrap();
    let first = scratch.manifest();
    // 3 probes, 2 targets, 2 grids; of 7 methods bcos does not fit, integrated gradients are for 1 grid, 2 probes.
    let grids = scratch.maps("attribute");
    assert_eq!(grids.len(), 2 * 2 * 3 * 4 + 2 * 2);
    assert_eq!((grids.height[0], grids.map.len()), (192, grids.len() * 192 * 192));
    assert_eq!(scratch.maps("attribute.grid2").len(), 3 * 3 * 4 + 2);
    let scenes = scratch.maps("attribute.scenes");
    assert!(scenes.len() >= 2 * 2 * 3 * 4 && scenes.method.iter().all(|method| method != "integrated_gradients"));
    assert!(scenes.item[0].starts_with("scenes/") && scenes.grid_size[0].is_none());
    let tiles = scratch.maps("attribute.tiles");
    assert_eq!(tiles.len(), 2 * 3 * 4 + 2);
    assert_eq!((tiles.item_kind[0].as_str(), tiles.height[0], tiles.target_index[0]), ("tile", 64, 0));
    assert!(tiles.item[0].as_str() > "test/00019", "{:?}", tiles.item);
    let reader = Reader::open(&scratch.0.join("out").join(GRIDS_DIR), &GRIDS).unwrap();
    let built = GridRows::from_cells(reader.read_all().unwrap()).unwrap();
    assert_eq!(built.grid_size, [3, 3, 2, 2, 2]);
    // Tiles that a judge is unsure of or wrong about are in no grid: test/00000 to test/00019.
    assert!(built.cells.iter().flatten().all(|key| key.as_str() > "test/00019"), "{:?}", built.cells);
    for (row, class) in grids.target_class.iter().enumerate() {
        let grid = grids.image_id[row] as usize;
        assert_eq!(*class, built.labels[grid][grids.target_index[row] as usize]);
    }
    run(&scratch.stage("chunk = 3", false)).unwrap();
    assert_eq!(scratch.manifest(), first);
    run(&scratch.stage("chunk = 64", true)).unwrap();
    assert_eq!(scratch.manifest(), first, "bytes depend on the chunk");
}

#[test]
fn a_bcos_backbone_has_its_own_methods() {
    let scratch = prepare("bcos", Family::BcosResnet);
    run(&scratch.stage("probes = [\"linear-*\"]", false)).unwrap();
    let grids = scratch.maps("attribute");
    let methods: std::collections::BTreeSet<&str> = grids.method.iter().map(String::as_str).collect();
    assert_eq!(
        methods.into_iter().collect::<Vec<_>>(),
        ["bcos", "grad_cam", "input_x_gradient", "integrated_gradients"]
    );
    for row in 0..grids.len() {
        if grids.method[row] == "bcos" {
            // Complete for bias-free heads without offset.
            let (sum, logit) = (grids.relevance_sum[row], grids.logit[row]);
            assert!((sum - logit).abs() <= 1e-3 * logit.abs().max(0.1), "{sum} {logit}");
        }
    }
}

#[test]
fn a_forecast_counts_what_a_run_makes() {
    let scratch = prepare("forecast", Family::Resnet);
    let more = "methods = [\"lrp\", \"gradient\", \"lime\"]\nvar = { methods = [\"lrp\"] }\n\
                lime = { samples = 8, segments = 4, segmentation = \"grid\" }";
    let stage = scratch.stage(more, false);
    let job = Job::prepare(&stage).unwrap();
    let forecast = Forecast::of(&Worker::new(&job, &stage).unwrap(), &job.items, &job.config);
    assert!(forecast.bytes == forecast.full);
    let less = scratch.stage(&format!("{more}\nstorage = {{ segments = \"compact\", pixels = \"digest\" }}"), false);
    let less = Forecast::of(&Worker::new(&job, &stage).unwrap(), &job.items, &Job::prepare(&less).unwrap().config);
    assert!(less.bytes < 0.05 * less.full && less.full == forecast.full, "{} of {}", less.bytes, less.full);
    crate::forecast::tell(&stage).unwrap();
    run(&stage).unwrap();
    let tables = ["attribute", "attribute.grid2", "attribute.scenes", "attribute.tiles"].map(|dir| scratch.maps(dir));
    assert_eq!(forecast.cost.maps, tables.iter().map(MapRows::len).sum::<usize>());
    assert_eq!(forecast.cost.forwards, job.items.len() * (1 + 8));
    let [grids, pairs, _, _] = tables;
    // Both targets of a 3 x 3 grid compete, the one of a 2 x 2 grid has no rival.
    assert!(grids.method.iter().any(|name| name == "lrp:var") && !pairs.method.iter().any(|name| name == "lrp:var"));
    for (row, method) in grids.method.iter().enumerate() {
        assert_eq!(grids.absorbed_fraction[row].is_some(), method == "lrp", "{method}");
        assert_eq!(grids.degenerate[row], None);
    }
}

#[test]
fn compact_maps_are_the_full_ones_to_the_bit() {
    let scratch = prepare("compact", Family::Resnet);
    let more = "methods = [\"grad_cam\", \"lime\", \"score_cam\", \"lrp\", \"kernel_shap\", \"grad_cam:reference\"]\n\
                probes = [\"linear-ce-s0\"]\nvar = { methods = [\"grad_cam\"] }\n\
                lime = { samples = 8, segments = 4, segmentation = \"quickshift\" }\n\
                kernel_shap = { samples = 16, segments = 6, segmentation = \"grid\" }\n";
    let tables = ["attribute", "attribute.grid2", "attribute.scenes", "attribute.tiles"];
    run(&scratch.stage(more, false)).unwrap();
    assert!(CompactMaps::open(&scratch.0.join("out")).unwrap().is_none());
    let full = tables.map(|dir| scratch.maps(dir));
    let storage = "storage = { class_activation = \"compact\", segments = \"compact\", pixels = \"digest\" }";
    run(&scratch.stage(&format!("{more}{storage}"), false)).unwrap();
    let compact = CompactMaps::open(&scratch.0.join("out")).unwrap().unwrap();
    assert!(compact.has(ItemKind::Scene).unwrap() && compact.has(ItemKind::Tile).unwrap());
    let (mut found, mut digests) = (BTreeMap::new(), BTreeMap::new());
    let key = |rows: &MapRows, row: usize| {
        (rows.item[row].clone(), rows.target_index[row], rows.method[row].clone(), rows.logit[row].to_bits())
    };
    for part in 0..compact.parts() {
        let part = compact.read_part(part).unwrap();
        for rows in part.maps {
            let area = rows.map.len() / rows.len();
            found.extend((0..rows.len()).map(|row| (key(&rows, row), rows.map[row * area..][..area].to_vec())));
        }
        let keys = (0..part.digests.about.len()).map(|row| key(&part.digests.about, row));
        digests.extend(keys.zip(part.digests.sums.clone()));
    }
    for (full, dir) in full.iter().zip(tables) {
        assert!(scratch.maps(dir).is_empty(), "{dir} has maps");
        let area = full.map.len() / full.len();
        for row in 0..full.len() {
            let map = &full.map[row * area..][..area];
            let key = key(full, row);
            // Maps after a competition are made at the pixels.
            if ["lrp", "grad_cam:var"].contains(&key.2.as_str()) {
                let side = full.grid_size[row].unwrap_or(1) as usize;
                let size = [full.height[row] as usize, full.width[row] as usize];
                assert_eq!(digests.remove(&key).unwrap(), crate::storage::digest(map, size, side), "{key:?}");
            } else {
                assert!(found.remove(&key).unwrap() == map, "{key:?}");
            }
        }
    }
    assert!(found.is_empty() && digests.is_empty());
}

#[test]
fn a_sheet_is_written_for_a_key() {
    let scratch = prepare("sheet", Family::BcosResnet);
    let args = crate::show::ShowArgs {
        image: "scenes/00001".into(),
        methods: vec![Method::Bcos, Method::GradCamReference],
        probes: vec!["linear-ce-s0".to_string()],
        classes: vec![3],
        sheet: scratch.0.join("sheet.png"),
    };
    crate::show::show(&scratch.stage("", false), &args).unwrap();
    let sheet = features::images::decode(&fs::read(&args.sheet).unwrap()).unwrap();
    // The picture, the map, the coloured picture, the other map.
    assert_eq!((sheet.width, sheet.height), (4 * 128 + 3 * 4, 128));
    let lost = crate::show::ShowArgs { image: "scenes/00009".into(), ..args };
    let error = crate::show::show(&scratch.stage("", false), &lost).unwrap_err();
    assert_eq!(error.exit_code(), 66, "{error}");
}

#[test]
fn what_cannot_be_done_says_why() {
    let scratch = prepare("errors", Family::Resnet);
    for (more, code, told) in [
        ("probes = [\"mlp9\"]", 2, "mlp9"),
        ("confident_for = [\"linear-nll-*\"]", 2, "linear-nll-*"),
        ("confidence = 0.995", 65, "lower `confidence`"),
        ("keep_bits = 0", 2, "keep_bits"),
        ("settings = []", 2, "settings"),
        ("settings = [\"dipart\", \"dipart\"]", 2, "settings names one twice"),
        ("methods = []", 2, "methods"),
        ("disk_budget = 0.001", 2, "disk_budget allows 1 MB"),
        ("disk_budget = \"20 kB\"", 2, "disk_budget allows 20 kB"),
        ("disk_budget = \"20 km\"", 2, "500 MB"),
        ("storage = { pixels = \"compact\" }", 2, "storage.pixels"),
        (
            "methods = [\"kernel_shap\"]\n\
             kernel_shap = { samples = 4, segments = 2, segmentation = \"quickshift\" }",
            2,
            "kernel_shap.samples is 4, grid3/0000 has",
        ),
        ("var = { methods = [\"gradient\"] }", 2, "var.methods"),
    ] {
        let error = run(&scratch.stage(more, false)).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}
