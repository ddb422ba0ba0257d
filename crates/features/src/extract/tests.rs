//! The feature table: equal bytes whatever the batch size and sharding, embeddings that belong to their maps, and
//! errors that name the image.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::backbone::{
    self, Block, Description, Family, NamedTensor, NamedTensors, Norm, Parameters, ResNet, Stem, named,
};
use crate::images::Rgb;
use crate::network::ChannelScale;
use crate::preprocess::{Encoding, Fit};
use crate::random::{Stream, normal, stream};
use crate::shapes;
use crate::stage::{BatchArgs, StageArgs};
use crate::tensor::{Tensor, cpu, from_vec};

/// Random weights that remember what they were called.
struct Recorder {
    rng: Stream,
    tensors: NamedTensors,
}

impl Recorder {
    fn put(&mut self, name: String, shape: Vec<usize>, value: impl Fn(f64) -> f64) -> Vec<f32> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| value(normal(&mut self.rng)) as f32).collect();
        self.tensors.insert(name, NamedTensor { shape, values: values.clone() });
        values
    }
}

impl Parameters for Recorder {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let deviation = (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
        from_vec(self.put(name.to_string(), shape.to_vec(), |x| deviation * x), shape, &cpu())
    }

    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale {
        let shape = vec![channels];
        self.put(format!("{name}.weight"), shape.clone(), |x| 1.0 + 0.1 * x);
        self.put(format!("{name}.running_var"), shape.clone(), |x| 1.0 + 0.1 * x.abs());
        if norm == Norm::Centred {
            self.put(format!("{name}.bias"), shape.clone(), |x| 0.1 * x);
            self.put(format!("{name}.running_mean"), shape, |x| 0.1 * x);
        }
        ChannelScale { scale: from_vec(vec![1.0; channels], [channels], &cpu()), shift: None }
    }
}

/// A network that costs next to nothing, for what does not depend on arithmetic.
fn small(family: Family) -> ResNet {
    let stages = vec![backbone::Stage { width: 8, blocks: 1, stride: 2 }];
    ResNet { family, block: Block::Basic, stem: Stem { channels: 4, kernel: 3, stride: 4, pool: false }, stages }
}

fn write_backbone(directory: &Path, architecture: ResNet) {
    let encoding = match architecture.family {
        Family::Resnet => Encoding::Normalised { mean: [0.5; 3], std: [0.25; 3] },
        Family::BcosResnet => Encoding::SixChannel,
    };
    let mut recorder = Recorder { rng: stream(0, &["weights"]), tensors: NamedTensors::default() };
    architecture.lower(&mut recorder);
    let bytes = named::write(&recorder.tensors, BTreeMap::new()).expect("writable tensors");
    let description = Description {
        name: "random".into(),
        input_size: shapes::TILE,
        encoding,
        fit: Fit::Exact,
        architecture: architecture.into(),
        provenance: Default::default(),
    };
    let text = toml::to_string(&description).expect("a serializable description");
    std::fs::write(directory.join("random.safetensors"), bytes).expect("writable");
    std::fs::write(directory.join("random.toml"), text).expect("writable");
}

/// A stage over 1600 validation tiles and one scene; `more` goes into `[features]`.
fn stage(directory: &Path, name: &str, more: &str, args: StageArgs) -> Stage {
    let file = directory.join(format!("{name}.toml"));
    let place = directory.display();
    let text = format!(
        "[data]\ntrain = 10\nvalidation = 1600\ntest = 20\nscenes = 1\n\
         [features]\nimages = \"{place}/data/images\"\nbackbone = \"{place}/random.safetensors\"\n{more}"
    );
    std::fs::write(&file, text).expect("writable");
    let args = StageArgs { config: Some(file), out: Some(directory.join(name)), quiet: true, ..args };
    Stage::new(args).expect("a good experiment")
}

fn prepare(architecture: ResNet) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    write_backbone(directory.path(), architecture);
    shapes::make(&stage(directory.path(), "data", "", StageArgs::default())).expect("a data set");
    directory
}

fn manifest(directory: &Path, name: &str) -> String {
    std::fs::read_to_string(directory.join(name).join("features.manifest.json")).expect("a manifest")
}

#[test]
fn features_do_not_depend_on_the_batch_in_any_bit() {
    for family in [Family::Resnet, Family::BcosResnet] {
        let directory = prepare(ResNet::shapes(family));
        let run = |batch: usize| {
            let name = format!("batch{batch}");
            let more = format!("splits = [\"test\"]\nkeep_bits = 23\nbatch = {batch}\n");
            extract(&stage(directory.path(), &name, &more, StageArgs::default())).expect("features");
            manifest(directory.path(), &name)
        };
        let expected = run(64);
        for batch in [1, 2, 7, 19] {
            assert_eq!(run(batch), expected, "{family:?}, batch {batch}");
        }
    }
}

#[test]
fn shards_together_make_the_same_table() {
    let directory = prepare(small(Family::Resnet));
    let directory = directory.path();
    let whole = stage(directory, "whole", "", StageArgs::default());
    extract(&whole).expect("features");
    let expected = manifest(directory, "whole");
    assert!(expected.contains("part-00001-of-00002"), "{expected}");
    for shard in ["1/2", "0/2"] {
        let shard = Some(shard.parse().expect("a shard"));
        extract(&stage(directory, "shards", "", StageArgs { shard, ..StageArgs::default() })).expect("a share");
    }
    assert_eq!(manifest(directory, "shards"), expected);
    extract(&whole).expect("up to date");
    assert_eq!(manifest(directory, "whole"), expected);
}

#[test]
fn an_embedding_is_the_mean_of_its_map() {
    let directory = prepare(small(Family::BcosResnet));
    let stage = stage(directory.path(), "out", "splits = [\"test\"]\n", StageArgs::default());
    extract(&stage).expect("features");
    let reader = Reader::open(&stage.out.join("features"), &FEATURES).expect("a feature table");
    let (channels, map) = (reader.shape(FeatureRows::EMBEDDING).to_vec(), reader.shape(FeatureRows::MAP).to_vec());
    assert_eq!(map, [channels[0], 8, 8]);
    assert_eq!(reader.meta("backbone"), Some("random"));
    assert!(reader.meta("classes").is_some_and(|classes| classes.starts_with("disc_stripes,")));
    let rows = FeatureRows::from_cells(reader.read_all().expect("readable")).expect("declared columns");
    assert_eq!(rows.image_key, (0..20).map(|i| format!("test/{i:05}")).collect::<Vec<_>>());
    assert_eq!(rows.label[3], Some(shapes::tile(0, "test", 3).label));
    for (embedding, plane) in rows.embedding.iter().zip(rows.map.chunks(64)) {
        let mean = plane.iter().map(|&x| f64::from(x)).sum::<f64>() / 64.0;
        let ulp = 2f64.powi(-10) * mean.abs();
        assert!((f64::from(*embedding) - mean).abs() <= ulp, "{embedding} {mean}");
        assert_eq!(embedding.to_bits() & 0x1fff, 0);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let directory = prepare(small(Family::BcosResnet));
    for (more, code, told) in [
        ("splits = [\"scenes\"]\n", 65, "scenes/00000"),
        ("splits = [\"testing\"]\n", 65, "testing"),
        ("batch = 0\n", 2, "batch"),
        ("keep_bits = 24\n", 2, "keep_bits"),
        ("precision = \"bfloat16\"\n", 2, "--device cuda"),
        ("keep = 24\n", 2, "keep"),
        ("device = \"cpu\"\n", 2, "device"),
    ] {
        let error = extract(&stage(directory.path(), "wrong", more, StageArgs::default())).expect_err(more);
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    std::fs::remove_file(directory.path().join("random.safetensors")).expect("it was there");
    let error = extract(&stage(directory.path(), "none", "", StageArgs::default())).expect_err("no backbone");
    assert_eq!(error.exit_code(), 66, "{error}");
    std::fs::remove_dir_all(directory.path().join("data")).expect("it was there");
    let error = extract(&stage(directory.path(), "none", "", StageArgs::default())).expect_err("no images");
    assert_eq!(error.exit_code(), 66, "{error}");
}

#[test]
fn random_views_stand_for_the_images_of_their_splits_and_keep_their_recipe() {
    let directory = prepare(small(Family::Resnet));
    let directory = directory.path();
    let more = |batch: usize| {
        format!("splits = [\"train\", \"test\"]\nkeep_bits = 23\nviews = 3\nview_area = [0.3, 0.9]\nbatch = {batch}\n")
    };
    for batch in [2, 7] {
        extract(&stage(directory, &format!("views{batch}"), &more(batch), StageArgs::default())).expect("features");
    }
    assert_eq!(manifest(directory, "views2"), manifest(directory, "views7"));
    let seeded = StageArgs { seed: Some(9), ..StageArgs::default() };
    extract(&stage(directory, "seeded", &more(7), seeded)).expect("features");
    assert_ne!(manifest(directory, "seeded"), manifest(directory, "views7"));

    let read = |name: &str| {
        let reader = Reader::open(&directory.join(name).join("features"), &FEATURES).expect("a feature table");
        FeatureRows::from_cells(reader.read_all().expect("readable")).expect("declared columns")
    };
    let rows = read("views2");
    assert_eq!(rows.image_key.len(), 10 * 3 + 20);
    let images = crate::images::load(&directory.join("data/images"), &["train"]).expect("pictures");
    let backbone =
        Backbone::load(&directory.join("random.safetensors"), Choice::default(), &cpu()).expect("a backbone");
    let channels = backbone.channels;
    for row in 0..30 {
        assert_eq!((rows.view[row], &rows.image_key[row]), (row as i32 % 3 + 1, &images[row / 3].key));
        let share = rows.crop_width[row] * rows.crop_height[row] / (64.0 * 64.0);
        assert!((0.28..0.93).contains(&share), "{share}");
        // What the recipe says gives the features of the row.
        let (left, top) = (rows.crop_left[row] as usize, rows.crop_top[row] as usize);
        let (width, height) = (rows.crop_width[row] as usize, rows.crop_height[row] as usize);
        let pixel = |x: usize, y: usize| {
            let start = (y * 64 + x) * 3;
            &images[row / 3].rgb.data[start..start + 3]
        };
        let cut = (top..top + height).flat_map(|y| (left..left + width).flat_map(move |x| pixel(x, y)));
        let cut = Rgb { width, height, data: cut.copied().collect() };
        let mut seen = crate::resize::resize(&cut, 64, 64, crate::resize::Filter::Bilinear);
        if rows.flipped[row] {
            let lines = seen.data.chunks_exact(64 * 3).flat_map(|line| line.chunks_exact(3).rev().flatten());
            seen.data = lines.copied().collect();
        }
        let map =
            crate::tensor::to_vec(backbone.network.forward(backbone.encoding.preprocess().apply(&[seen], &cpu())));
        let stored = &rows.map[row * map.len()..(row + 1) * map.len()];
        assert_eq!(stored, map, "row {row}");
        assert_eq!(rows.embedding.len() / 50, channels);
    }
    assert!(rows.view[30..].iter().all(|&view| view == 0) && rows.crop_width[30..].iter().all(|&width| width == 64.0));
    assert!(rows.flipped[..30].iter().any(|&flipped| flipped) && rows.flipped.iter().any(|&flipped| !flipped));
    let wrong = extract(&stage(directory, "wrong", "views = 1\nview_area = [0.5, 0.2]\n", StageArgs::default()));
    assert!(wrong.expect_err("no area").to_string().contains("view_area"));
}

#[test]
fn a_plan_counts_and_writes_nothing() {
    let directory = prepare(small(Family::Resnet));
    let stage = stage(directory.path(), "plan", "views = 2\n", StageArgs::default());
    tell(&stage).expect("a plan");
    assert!(!stage.out.exists());
}

#[test]
fn pictures_decoded_ahead_of_an_accelerator_give_the_same_rows() {
    let directory = prepare(small(Family::Resnet));
    let stage = stage(directory.path(), "ahead", "views = 2\n", StageArgs::default());
    let job = Job::prepare(&stage).expect("a good configuration");
    let groups: Vec<usize> = (0..job.sights.groups()).collect();
    assert!(groups.len() > 1);
    let progress = stage.progress("features", 0, "images");
    let written = std::sync::Mutex::new(Vec::new());
    let write = |group: usize, rows: Vec<FeatureRows>| {
        written.lock().expect("nobody panics").push((group, rows));
        Ok(())
    };
    job.ahead(&groups, &progress, write).expect("features");
    for (group, ahead) in written.into_inner().expect("nobody panics") {
        let rows = job.rows(job.sights.batches(group, job.extractor.batches.size()), &progress).expect("features");
        let cells = |rows: Vec<FeatureRows>| rows.into_iter().map(FeatureRows::cells).collect::<Vec<_>>();
        assert_eq!(cells(rows), cells(ahead));
    }
    let full = job.ahead(&groups, &progress, |_, _| Err(Error::CannotWrite("no space".into())));
    assert_eq!(full.expect_err("a full disk").exit_code(), 73);
}

#[test]
fn a_pass_in_pieces_gives_the_same_rows() {
    let directory = prepare(small(Family::Resnet));
    let job = Job::prepare(&stage(directory.path(), "pieces", "", StageArgs::default())).expect("a good configuration");
    let batch = job.sights.batches(0, 7).next().expect("a batch").expect("pictures");
    let pictures: Vec<&Rgb> = batch.seen.iter().map(|seen| &seen.picture).collect();
    assert!(pictures.len() > 3);
    let whole = job.extractor.passes(&pictures, pictures.len());
    assert_eq!(job.extractor.passes(&pictures, 2), whole);
}

#[test]
fn a_budget_decides_about_the_batch() {
    let directory = prepare(small(Family::Resnet));
    let at = |memory: &str, batch: &str| {
        let wish = BatchArgs { memory: Some(memory.parse().expect("an amount")), batch: None };
        let stage = stage(directory.path(), "budget", batch, StageArgs::default()).with(wish);
        Job::prepare(&stage).map(|job| job.extractor.batches.size())
    };
    let (most, less) = (at("10 GB", "").expect("room"), at("3 MB", "").expect("room"));
    assert!(most > less, "{most} and {less}");
    assert_eq!(at("10 GB", "batch = 5\n").expect("room"), 5);
    let error = at("3 MB", &format!("batch = {most}\n")).expect_err("no room").to_string();
    assert!(error.contains("--batch auto"), "{error}");
}

#[test]
fn stages_are_kept_in_one_pass_and_may_be_where_a_backbone_ends() {
    let directory = prepare(ResNet::shapes(Family::Resnet));
    let directory = directory.path();
    let run = |name: &str, more: &str| {
        let more = format!("splits = [\"test\"]\n{more}");
        extract(&stage(directory, name, &more, StageArgs::default())).expect("features");
        let name = name.to_string();
        move |table: &str| {
            let reader = Reader::open(&directory.join(&name).join(table), &FEATURES).expect("a feature table");
            let shape = reader.shape(FeatureRows::MAP).to_vec();
            let rows = FeatureRows::from_cells(reader.read_all().expect("readable")).expect("declared columns");
            (shape, rows.map, rows.embedding)
        }
    };
    let whole = run("whole", "")("features");
    let several = run("several", "stages = [\"layer2\", \"layer1\"]\n");
    assert_eq!(several("features"), whole);
    assert_eq!((several("features.layer1").0, several("features.layer2").0), (vec![48, 16, 16], vec![96, 8, 8]));
    let early = run("early", "stage = \"layer2\"\nstages = [\"layer1\"]\n");
    assert_eq!(early("features"), several("features.layer2"));
    assert_eq!(early("features.layer1"), several("features.layer1"));
    for (more, told) in [
        ("stage = \"layer4\"\n", "layer1, layer2, layer3"),
        ("stages = [\"layer1\", \"layer1\"]\n", "twice"),
        ("stage = \"layer1\"\nstages = [\"layer2\"]\n", "used up to `layer1`"),
    ] {
        let error = extract(&stage(directory, "wrong", more, StageArgs::default())).expect_err(more);
        assert!(error.exit_code() == 2 && error.to_string().contains(told), "{error}");
    }
}
