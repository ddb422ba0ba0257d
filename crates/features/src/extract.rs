//! The `features` stage: each image once through a frozen backbone, its feature map and its mean kept.
//!
//! Everything after this stage works on these tables, so an experiment pays for its backbone once. The map is rounded
//! before anything is computed from it: a rerun from the file sees the very numbers that this run saw.

mod batches;
mod extractor;
mod forecast;
mod precision;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::artifact::{Artifact, ArtifactSpec, Begin, Reader, TableSpec};
use crate::backbone::{Backbone, Choice, Layout, Unused};
use crate::error::{Error, Result};
use crate::preprocess::Preprocessing;
use crate::stage::{Batch, Outcome, Progress, Stage, behind};
use crate::table::{FEATURES, FEATURES_DIR, FeatureRows, IMAGES};
use crate::tensor::Device;
use crate::views::Views;
use batches::{Pictures, Sights};
use extractor::{Extractor, Outlet};

pub use forecast::tell;
pub use precision::Precision;

/// Raised whenever the same configuration would give other features.
const ALGORITHM: u32 = 6;
/// Batches that are decoded ahead of an accelerator.
const AHEAD: usize = 3;

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
    /// The stage that the backbone is used up to, like `layer3`; all of it where there is none.
    #[serde(default)]
    pub stage: Option<String>,
    /// Stages whose features are kept as well, in tables of their own: `layer2` in `features.layer2`.
    #[serde(default)]
    pub stages: Vec<String>,
    /// What to do about tensors that the architecture does not use: refuse or accept.
    #[serde(default)]
    pub unused: Unused,
    /// Splits to extract; where the backbone's description has no `fit`, their images must have its input size.
    #[serde(default = "default_splits")]
    pub splits: Vec<String>,
    /// Images in a forward pass; changes speed and memory only. By default as many as memory allows, but on the CPU,
    /// where passes run side by side, at most 64 or what has the pixels of 16 images of 224 x 224, and 128 on a GPU.
    #[serde(default)]
    pub batch: Batch,
    /// What the backbone computes with; bfloat16 and float16 are for GPUs and give other features.
    #[serde(default)]
    pub precision: Precision,
    /// Mantissa bits kept of each feature, 1 to 23; 10 is the precision of a half float.
    #[serde(default = "default_keep_bits")]
    pub keep_bits: u32,
    /// Random crops and flips that stand for each image of `view_splits`; 0: the picture as in evaluation, once.
    /// A probe trains on one of them an epoch, in turn.
    #[serde(default)]
    pub views: usize,
    /// Splits whose images are seen in random views.
    #[serde(default = "default_view_splits")]
    pub view_splits: Vec<String>,
    /// Least and largest share of a picture's area in a random view.
    #[serde(default = "default_view_area")]
    pub view_area: [f64; 2],
}

fn default_splits() -> Vec<String> {
    ["train", "validation", "test"].map(String::from).to_vec()
}

fn default_keep_bits() -> u32 {
    10
}

fn default_view_splits() -> Vec<String> {
    vec!["train".to_string()]
}

// METHOD: the reference's crops of ImageNet; its crops of VOC and COCO have 0.7 to 1.
fn default_view_area() -> [f64; 2] {
    [0.08, 1.0]
}

impl FeaturesConfig {
    /// The backbone as it is used.
    ///
    /// # Errors
    /// As [`Backbone::load`], or [`Error::Usage`] for a stage that it has not.
    pub fn load(&self, device: &Device) -> Result<Backbone> {
        let choice = Choice { layout: self.layout, unused: self.unused };
        let backbone = Backbone::load(&self.backbone, choice, device)?;
        match &self.stage {
            Some(stage) => backbone.until(stage),
            None => Ok(backbone),
        }
    }

    fn views(&self, seed: u64) -> Views {
        Views { count: self.views, splits: self.view_splits.clone(), area: self.view_area, seed }
    }

    fn check(&self) -> Result<()> {
        let [least, most] = self.view_area;
        let wrong = if !(1..=23).contains(&self.keep_bits) {
            "keep_bits must be 1 to 23"
        } else if self.splits.is_empty() {
            "splits must name at least one split"
        } else if !(0.0 < least && least <= most && most <= 1.0) {
            "view_area must be two shares, 0 < least <= most <= 1"
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
    let job = Job::prepare(stage)?;
    let spec = spec(stage, &job);
    let path = spec.path.display().to_string();
    let artifact = match Artifact::begin(&stage.run(), spec)? {
        Begin::UpToDate(_) => {
            stage.done(Outcome::UpToDate, &format!("features: {path} is up to date"), json!({}));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let todo: usize = pending.iter().map(|&group| job.sights.count(group)).sum();
    let unit = if job.config.views == 0 { "images" } else { "views" };
    let progress = stage.progress("features", todo as u64, unit);
    let since = Instant::now();
    let write = |group: usize, rows: Vec<FeatureRows>| {
        artifact.write_part(group, rows.into_iter().map(FeatureRows::cells).enumerate().collect())
    };
    match job.extractor.device {
        // The CPU backend computes on the calling thread, so parts run side by side.
        Device::Flex(_) => pending.par_iter().try_for_each(|&group| {
            let rows = job.rows(job.sights.batches(group, job.extractor.batches.size()), &progress)?;
            write(group, rows)
        })?,
        _ => job.ahead(&pending, &progress, write)?,
    }
    drop(progress);
    let rate = todo as f64 / since.elapsed().as_secs_f64().max(1e-9);
    let finished = artifact.finish()?;
    let state = if finished.is_some() { "" } else { "; other shards are not done" };
    let Backbone { name, architecture, .. } = &job.extractor.backbone;
    let network = architecture.name();
    let summary = format!("features: {todo} {unit} by {name} ({network}) in {path} ({rate:.0} {unit}/s){state}");
    let facts = json!({ "views": todo, "backbone": name, "network": network });
    stage.done(Outcome::of(&finished), &summary, facts);
    Ok(())
}

/// All that a run needs before it computes anything.
struct Job {
    config: FeaturesConfig,
    sights: Sights,
    extractor: Extractor,
}

impl Job {
    fn prepare(stage: &Stage) -> Result<Self> {
        let config: FeaturesConfig = stage.section("features")?;
        config.check()?;
        let device = stage.device()?;
        let images = Reader::open(&config.images, &IMAGES)?;
        let backbone = config.load(&device)?;
        if backbone.architecture.contradicts(&backbone.name) {
            let (name, network) = (&backbone.name, backbone.architecture.name());
            tracing::warn!(
                "the backbone called {name} is a {network}; is {} the right file?",
                config.backbone.display()
            );
        }
        let extractor = Extractor::new(stage, &config, backbone, device)?;
        let geometry = extractor.backbone.preprocessing().geometry;
        let sights = Sights::of(images, &config, config.views(stage.seed), geometry, extractor.floats())?;
        Ok(Self { config, sights, extractor })
    }

    /// The features of one part, a table an outlet.
    fn rows(&self, batches: impl Iterator<Item = Result<Pictures>>, progress: &Progress) -> Result<Vec<FeatureRows>> {
        let mut rows = vec![FeatureRows::default(); self.extractor.outlets.len()];
        for batch in batches {
            let batch = batch?;
            self.extractor.append(&batch, self.extractor.maps(&batch)?, &mut rows)?;
            progress.advance(batch.seen.len() as u64);
        }
        Ok(rows)
    }

    /// The features of `groups` on an accelerator, which takes one batch after another: while it computes, the next ones
    /// are read, decoded and resized, and the parts before are rounded and written.
    fn ahead(
        &self,
        groups: &[usize],
        progress: &Progress,
        write: impl Fn(usize, Vec<FeatureRows>) -> Result<()> + Sync,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(AHEAD);
            scope.spawn(move || {
                for &group in groups {
                    let batches = self.sights.batches(group, self.extractor.batches.size()).map(Some);
                    for batch in batches.chain([None]) {
                        let failed = matches!(batch, Some(Err(_)));
                        // Nobody receives any more where the other side has failed.
                        if send.send(batch).is_err() || failed {
                            return;
                        }
                    }
                }
            });
            let pass = |&group: &usize| {
                let part = std::iter::from_fn(|| receive.recv().ok().flatten());
                let passed = part.map(|batch| {
                    let batch = batch?;
                    let maps = self.extractor.maps(&batch)?;
                    progress.advance(batch.seen.len() as u64);
                    Ok((batch, maps))
                });
                Ok((group, passed.collect::<Result<Vec<_>>>()?))
            };
            behind(groups, pass, |(group, passed)| {
                let mut rows = vec![FeatureRows::default(); self.extractor.outlets.len()];
                passed.into_iter().try_for_each(|(batch, maps)| self.extractor.append(&batch, maps, &mut rows))?;
                write(group, rows)
            })
        })
    }
}

fn table(outlet: &Outlet, meta: &[(String, String)]) -> TableSpec {
    let stage = outlet.stage.iter().map(|stage| ("stage".to_string(), stage.clone()));
    TableSpec {
        table: &FEATURES,
        dir: outlet.stage.as_ref().map_or(FEATURES_DIR.to_string(), |stage| format!("{FEATURES_DIR}.{stage}")),
        shapes: vec![vec![outlet.shape[0]], outlet.shape.to_vec()],
        meta: meta.iter().cloned().chain(stage).collect(),
    }
}

fn spec(stage: &Stage, job: &Job) -> ArtifactSpec {
    let Job { config, sights, extractor } = job;
    let mut meta = vec![
        ("backbone".to_string(), extractor.backbone.name.clone()),
        ("keep_bits".to_string(), config.keep_bits.to_string()),
        (Preprocessing::NOTE.to_string(), extractor.backbone.preprocessing().note()),
    ];
    meta.extend(sights.images.meta("classes").map(|classes| ("classes".to_string(), classes.to_string())));
    // The seed decides about random views only.
    let views = (config.views > 0).then_some(&sights.views);
    let mut identity = json!({
        "splits": config.splits, "keep_bits": config.keep_bits, "views": views, "stages": config.stages,
    });
    if config.precision != Precision::Float32 {
        identity["precision"] = json!(config.precision);
    }
    ArtifactSpec {
        stage: "features",
        path: stage.out.join(FEATURES_DIR),
        algorithm: ALGORITHM,
        config: identity,
        inputs: vec![sights.images.input(), extractor.backbone.input.clone()],
        tables: extractor.outlets.iter().map(|outlet| table(outlet, &meta)).collect(),
        parts: sights.groups(),
    }
}
