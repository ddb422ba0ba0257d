//! Shapes: the procedural data set that ships as a program instead of as files.
//!
//! A class is an outline with a texture; neither alone tells it, since distractors have either. Every picture is a
//! pure function of seed, split and index. Tiles (one object) train and test classifiers, scenes (several objects
//! with boxes) test localisation.

mod canvas;
mod clutter;
mod object;
mod scene;
mod silhouette;
mod texture;
mod tile;

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use scene::{SCENE, Scene, scene};
pub use tile::{TILE, Tile, tile};

use crate::artifact::{Artifact, ArtifactSpec, Begin, TableSpec};
use crate::error::{Error, Result};
use crate::stage::{Outcome, Stage};
use crate::table::{IMAGES, ImageRows};

/// Class names; a class is `4 * outline + texture`.
pub const CLASSES: [&str; 20] = [
    "disc_stripes",
    "disc_checker",
    "disc_dots",
    "disc_rings",
    "square_stripes",
    "square_checker",
    "square_dots",
    "square_rings",
    "triangle_stripes",
    "triangle_checker",
    "triangle_dots",
    "triangle_rings",
    "cross_stripes",
    "cross_checker",
    "cross_dots",
    "cross_rings",
    "flower_stripes",
    "flower_checker",
    "flower_dots",
    "flower_rings",
];

/// Raised whenever the same seed would give other pictures.
const ALGORITHM: u32 = 2;
/// Images in a part of the table.
const PART: usize = 500;

/// The section `[data]`: how many pictures of each split.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Tiles that probes and backbones are trained on.
    pub train: usize,
    /// Tiles for choosing among probes.
    pub validation: usize,
    /// Tiles that accuracy is reported on and grids are made of.
    pub test: usize,
    /// Scenes with several objects.
    pub scenes: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { train: 8000, validation: 1000, test: 4000, scenes: 60 }
    }
}

/// What a split's pictures are.
#[derive(Clone, Copy)]
enum Kind {
    Tile,
    Scene,
}

impl DataConfig {
    /// Splits in table order.
    fn splits(&self) -> [(&'static str, usize, Kind); 4] {
        [
            ("train", self.train, Kind::Tile),
            ("validation", self.validation, Kind::Tile),
            ("test", self.test, Kind::Tile),
            ("scenes", self.scenes, Kind::Scene),
        ]
    }

    fn total(&self) -> usize {
        self.splits().iter().map(|(_, count, _)| count).sum()
    }

    /// The picture with the running number `id` over all splits.
    fn render(&self, seed: u64, id: usize) -> Result<ImageRows> {
        let mut index = id;
        for (split, count, kind) in self.splits() {
            if index < count {
                let (rgb, label, boxes, masks) = match kind {
                    Kind::Tile => {
                        let tile = tile(seed, split, index);
                        (tile.rgb, Some(tile.label), vec![tile.object], vec![tile.mask])
                    }
                    Kind::Scene => {
                        let scene = scene(seed, split, index);
                        (scene.rgb, None, scene.objects, scene.masks)
                    }
                };
                let mut labels: Vec<i32> = boxes.iter().map(|object| object.class).collect();
                labels.sort_unstable();
                labels.dedup();
                return Ok(ImageRows {
                    image_id: vec![id as i64],
                    image_key: vec![format!("{split}/{index:05}")],
                    split: vec![split.to_string()],
                    label: vec![label],
                    width: vec![rgb.width as i32],
                    height: vec![rgb.height as i32],
                    bytes: vec![rgb.encode_png()?],
                    boxes: vec![boxes],
                    labels: vec![labels],
                    set_aside: vec![vec![]],
                    masks: vec![masks],
                });
            }
            index -= count;
        }
        Err(Error::Bug(format!("shapes: there is no picture {id}")))
    }

    /// The pictures `range`, rendered in parallel, in order.
    fn rows(&self, seed: u64, range: Range<usize>) -> Result<ImageRows> {
        let rows: Vec<ImageRows> = range.into_par_iter().map(|id| self.render(seed, id)).collect::<Result<_>>()?;
        Ok(rows.into_iter().fold(ImageRows::default(), ImageRows::append))
    }
}

/// Makes the artifact `images` of the stage's section `[data]`.
///
/// # Errors
/// A wrong configuration, or an output that cannot be written.
pub fn make(stage: &Stage) -> Result<()> {
    let config: DataConfig = stage.section("data")?;
    let total = config.total();
    if total == 0 {
        return Err(Error::Usage(
            "section [data]: all splits are empty; give train, validation, test or scenes".into(),
        ));
    }
    let spec = spec(stage, &config);
    let path = spec.path.display().to_string();
    let artifact = match Artifact::begin(&stage.run(), spec)? {
        Begin::UpToDate(_) => {
            let summary = format!("shapes: {path} is up to date ({total} images)");
            stage.done(Outcome::UpToDate, &summary, json!({ "images": total }));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let range = |part: usize| part * PART..total.min((part + 1) * PART);
    let todo: usize = pending.iter().map(|&part| range(part).len()).sum();
    let progress = stage.progress("shapes", todo as u64, "images");
    for part in pending {
        let rows = config.rows(stage.seed, range(part))?;
        artifact.write_part(part, vec![(0, rows.cells())])?;
        progress.advance(range(part).len() as u64);
    }
    drop(progress);
    let finished = artifact.finish()?;
    let outcome = Outcome::of(&finished);
    let summary = match finished {
        Some(_) => format!("shapes: {total} images of {} classes in {path}", CLASSES.len()),
        None => format!("shapes: this share of {path} is done; other shards are not"),
    };
    let facts = finished.map_or(json!({}), |_| json!({ "images": total }));
    stage.done(outcome, &summary, facts);
    Ok(())
}

fn spec(stage: &Stage, config: &DataConfig) -> ArtifactSpec {
    let meta = [("classes".to_string(), CLASSES.join(","))];
    ArtifactSpec {
        stage: "shapes",
        path: stage.out.join("images"),
        algorithm: ALGORITHM,
        config: json!({ "seed": stage.seed, "data": config }),
        inputs: vec![],
        tables: vec![TableSpec {
            table: &IMAGES,
            dir: "images".to_string(),
            shapes: vec![],
            meta: meta.into_iter().collect(),
        }],
        parts: config.total().div_ceil(PART),
    }
}

#[cfg(test)]
mod tests;
