//! The `features` stage: each image once through a frozen backbone, its feature map and its mean kept.
//!
//! Everything after this stage works on these tables, so an experiment pays for its backbone once. The map is rounded
//! before anything is computed from it: a rerun from the file sees the very numbers that this run saw.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ArtifactSpec, Begin, Columns, Reader, TableSpec, round_mantissa};
use crate::backbone::{Backbone, Choice, Layout, Unused};
use crate::error::{Error, Result};
use crate::images::{Image, Rgb, fit_rows};
use crate::preprocess::{Geometry, Preprocess, Preprocessing};
use crate::stage::Stage;
use crate::table::{FEATURES, FeatureRows, IMAGES, ImageRows};
use crate::tensor::{Device, to_vec};

/// Raised whenever the same configuration would give other features.
const ALGORITHM: u32 = 4;
/// Images in a part of the table, at most about: a part is made of whole parts of the image table.
const PART: usize = 1000;
/// Bytes of maps in a part, about: what a thread holds until the part is written.
const PART_BYTES: usize = 64 << 20;
/// Images in a forward pass, and their pixels on the CPU.
const BATCH: usize = 64;
const BATCH_PIXELS: usize = BATCH * 64 * 64;

/// The section `[features]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Directory of the image table, like `out/shapes/images`.
    pub images: PathBuf,
    /// Weights of the backbone: a `.safetensors`, `.pth`, `.pt` or `.tar` file, with `NAME.toml` beside it where it has
    /// another network or preprocessing than ImageNet's usual ones.
    pub backbone: PathBuf,
    /// The backbone to take from a checkpoint that has several, like `dino_student`.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// What to do about tensors that the architecture does not use: refuse or accept.
    #[serde(default)]
    pub unused: Unused,
    /// Splits to extract; where the backbone's description has no `fit`, their images must have its input size.
    #[serde(default = "default_splits")]
    pub splits: Vec<String>,
    /// Images in a forward pass; changes speed and memory only. On the CPU, where passes run side by side, the default
    /// is as many as have the pixels of 64 images of 64 x 64; on a GPU it is 64.
    #[serde(default)]
    pub batch: Option<usize>,
    /// Mantissa bits kept of each feature, 1 to 23; 10 is the precision of a half float.
    #[serde(default = "default_keep_bits")]
    pub keep_bits: u32,
}

fn default_splits() -> Vec<String> {
    ["train", "validation", "test"].map(String::from).to_vec()
}

fn default_keep_bits() -> u32 {
    10
}

impl FeaturesConfig {
    /// What is chosen about the checkpoint.
    pub fn choice(&self) -> Choice {
        Choice { layout: self.layout, unused: self.unused }
    }

    fn check(&self) -> Result<()> {
        let wrong = if self.batch == Some(0) {
            "batch must be at least 1"
        } else if !(1..=23).contains(&self.keep_bits) {
            "keep_bits must be 1 to 23"
        } else if self.splits.is_empty() {
            "splits must name at least one split"
        } else {
            return Ok(());
        };
        Err(Error::Usage(format!("section [features]: {wrong}")))
    }
}

/// Makes the artifact `features` of the stage's section `[features]`.
///
/// # Errors
/// A wrong configuration, a missing image table or backbone, or images that do not fit the backbone.
pub fn extract(stage: &Stage) -> Result<()> {
    let config: FeaturesConfig = stage.section("features")?;
    config.check()?;
    let device = stage.device()?;
    let images = Reader::open(&config.images, &IMAGES)?;
    let extractor = Extractor::new(&config, Backbone::load(&config.backbone, config.choice(), &device)?, device);
    let groups = Groups::of(&images, extractor.shape.iter().product());
    let spec = spec(stage, &config, &images, &extractor, groups.count());
    let path = spec.path.display().to_string();
    let artifact = match Artifact::begin(&stage.run(), spec)? {
        Begin::UpToDate(_) => {
            stage.done(&format!("features: {path} is up to date"));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let counts = count(&images, &config)?;
    let pending = artifact.pending();
    let todo: usize = pending.iter().map(|&group| counts[groups.range(group)].iter().sum::<usize>()).sum();
    let progress = stage.progress("features", todo as u64, "images");
    let since = Instant::now();
    let work = |group: &usize| -> Result<()> {
        let mut rows = FeatureRows::default();
        for part in groups.range(*group).filter(|&part| counts[part] > 0) {
            let stored = ImageRows::from_cells(images.read_part(part)?)?;
            let wanted = |&row: &usize| config.splits.contains(&stored.split[row]);
            let picked: Vec<usize> = (0..stored.len()).filter(wanted).collect();
            // Decoded batch by batch: photographs may be a hundred times the size of what the network sees.
            for batch in picked.chunks(extractor.batch) {
                extractor.features(&fit_rows(&stored, batch, &extractor.geometry)?, &mut rows)?;
                progress.advance(batch.len() as u64);
            }
        }
        artifact.write_part(*group, vec![(0, rows.cells())])
    };
    // The CPU backend computes on the calling thread, so parts run side by side; a GPU takes one batch after another.
    match extractor.device {
        Device::Flex(_) => pending.par_iter().try_for_each(work)?,
        _ => pending.iter().try_for_each(work)?,
    }
    drop(progress);
    let rate = todo as f64 / since.elapsed().as_secs_f64().max(1e-9);
    let work = format!("{todo} images of {} in {path} ({rate:.0} images/s)", extractor.backbone.name);
    match artifact.finish()? {
        Some(_) => stage.done(&format!("features: {work}")),
        None => stage.done(&format!("features: {work}; other shards are not done")),
    }
    Ok(())
}

/// A backbone with all that turns its maps into rows.
struct Extractor {
    backbone: Backbone,
    geometry: Geometry,
    preprocess: Preprocess,
    batch: usize,
    keep_bits: u32,
    device: Device,
    /// Channels, rows, columns of a map.
    shape: [usize; 3],
}

impl Extractor {
    fn new(config: &FeaturesConfig, backbone: Backbone, device: Device) -> Self {
        let preprocess = backbone.encoding.preprocess();
        let side = backbone.input_size;
        let black = Rgb { width: side, height: side, data: vec![0; side * side * 3] };
        let [_, channels, rows, columns] = backbone.network.forward(preprocess.apply(&[black], &device)).dims();
        let usual = match device {
            Device::Flex(_) => (BATCH_PIXELS / (side * side)).clamp(1, BATCH),
            _ => BATCH,
        };
        let geometry = backbone.preprocessing().geometry;
        let (batch, keep_bits, shape) = (config.batch.unwrap_or(usual), config.keep_bits, [channels, rows, columns]);
        Self { backbone, geometry, preprocess, batch, keep_bits, device, shape }
    }

    /// Appends the features of `images`.
    // METHOD: the embedding is the mean of the rounded map (summed in f64), itself rounded.
    fn features(&self, images: &[Image], rows: &mut FeatureRows) -> Result<()> {
        let side = self.backbone.input_size;
        if let Some(image) = images.iter().find(|image| (image.rgb.width, image.rgb.height) != (side, side)) {
            let message = format!(
                "image {}: is {} x {} pixels, backbone {} takes {side} x {side}; take `{}` out of [features] splits",
                image.key, image.rgb.width, image.rgb.height, self.backbone.name, image.split
            );
            return Err(Error::BadData(message));
        }
        let pictures: Vec<Rgb> = images.iter().map(|image| image.rgb.clone()).collect();
        let mut maps = to_vec(self.backbone.network.forward(self.preprocess.apply(&pictures, &self.device)));
        let [channels, height, width] = self.shape;
        let map = channels * height * width;
        if let Some(at) = maps.iter().position(|value| !value.is_finite()) {
            let key = &images[at / map].key;
            let message = format!("image {key}: backbone {} gives {}; check its weights", self.backbone.name, maps[at]);
            return Err(Error::BadData(message));
        }
        round_mantissa(&mut maps, self.keep_bits);
        let area = height * width;
        let mean = |plane: &[f32]| (plane.iter().map(|&x| f64::from(x)).sum::<f64>() / area as f64) as f32;
        let mut embeddings: Vec<f32> = maps.chunks(area).map(mean).collect();
        round_mantissa(&mut embeddings, self.keep_bits);
        for image in images {
            rows.image_id.push(image.id);
            rows.image_key.push(image.key.clone());
            rows.split.push(image.split.clone());
            rows.label.push(image.label);
            rows.labels.push(image.labels.clone());
            rows.set_aside.push(image.set_aside.clone());
        }
        rows.embedding.extend(embeddings);
        rows.map.extend(maps);
        Ok(())
    }
}

/// Which parts of the image table make up a part of the feature table.
struct Groups {
    parts: usize,
    size: usize,
}

impl Groups {
    /// `map` is the number of floats in a map.
    fn of(images: &Reader, map: usize) -> Self {
        let parts = images.parts();
        let wanted = (PART_BYTES / (4 * map)).min(PART);
        Self { parts, size: (wanted * parts / images.rows().max(1)).max(1) }
    }

    fn count(&self) -> usize {
        self.parts.div_ceil(self.size)
    }

    fn range(&self, group: usize) -> Range<usize> {
        group * self.size..self.parts.min((group + 1) * self.size)
    }
}

/// Wanted images in each part of the image table; a split without any is an error.
fn count(images: &Reader, config: &FeaturesConfig) -> Result<Vec<usize>> {
    let mut seen = vec![0usize; config.splits.len()];
    let mut counts = Vec::with_capacity(images.parts());
    for part in 0..images.parts() {
        let splits: Vec<String> = Columns::new(images.read_columns(part, &[ImageRows::SPLIT])?).next()?;
        let found = splits.iter().filter_map(|split| config.splits.iter().position(|wanted| wanted == split));
        counts.push(found.inspect(|&index| seen[index] += 1).count());
    }
    match config.splits.iter().zip(seen).find(|(_, seen)| *seen == 0) {
        Some((split, _)) => {
            let images = config.images.display();
            let message =
                format!("{images}: no image of split `{split}`; add some, or take it out of [features] splits");
            Err(Error::BadData(message))
        }
        None => Ok(counts),
    }
}

fn spec(stage: &Stage, config: &FeaturesConfig, images: &Reader, extractor: &Extractor, parts: usize) -> ArtifactSpec {
    let mut meta = vec![
        ("backbone".to_string(), extractor.backbone.name.clone()),
        ("keep_bits".to_string(), config.keep_bits.to_string()),
        (Preprocessing::NOTE.to_string(), extractor.backbone.preprocessing().note()),
    ];
    meta.extend(images.meta("classes").map(|classes| ("classes".to_string(), classes.to_string())));
    ArtifactSpec {
        stage: "features",
        path: stage.out.join("features"),
        algorithm: ALGORITHM,
        config: serde_json::json!({ "splits": config.splits, "keep_bits": config.keep_bits }),
        inputs: vec![images.input(), extractor.backbone.input.clone()],
        tables: vec![TableSpec {
            table: &FEATURES,
            dir: "features".to_string(),
            shapes: vec![vec![extractor.shape[0]], extractor.shape.to_vec()],
            meta: meta.into_iter().collect(),
        }],
        parts,
    }
}

#[cfg(test)]
mod tests;
