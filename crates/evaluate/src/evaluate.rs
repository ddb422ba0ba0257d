//! The stage: attribution maps, probes and boxes in, the score table out, one part for each part of the maps.
//!
//! Maps are scored in parallel and rows are sorted by key, so the bytes depend on the inputs and configuration alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attribute::item::ItemKind;
use attribute::table::{MAPS, MapRows};
use features::artifact::{Artifact, ArtifactSpec, Begin, Reader, TableSpec};
use features::error::{Error, Result};
use features::preprocess::{Geometry, Preprocessing};
use features::stage::Stage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::inputs::{Probes, Scenes};
use crate::map::Map;
use crate::metric::{Metric, Subject};
use crate::score::{Scored, score};
use crate::smooth::Smoothing;
use crate::table::{SCORES, ScoreRows};

/// Raised when the same maps and configuration would get other scores.
const ALGORITHM: u32 = 1;
/// `item_kind` of a grid of images.
const GRID: &str = ItemKind::Grid3.name();
/// `item_kind` of a multi-object image.
const SCENE: &str = ItemKind::Scene.name();

/// The section `[evaluate]` of an experiment file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to compute; pointing games are skipped where they do not apply. All, in all variants, by default.
    pub metrics: Vec<Metric>,
    /// The artifact with the scenes and their boxes; needed only if there are maps of scenes.
    pub images: Option<PathBuf>,
    /// Width of the wide Gaussian in pixels, odd; by default it follows the map's side ([`Smoothing::gauss_for`]).
    pub gaussian_kernel: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self { metrics: Metric::ALL.to_vec(), images: None, gaussian_kernel: None }
    }
}

/// Everything that is open while the stage runs.
struct Inputs {
    /// A table for each kind of item; they share their parts.
    maps: Vec<Reader>,
    probes: Probes,
    scenes: Option<Scenes>,
}

/// Settings, checked and in canonical order.
struct Plan {
    metrics: Vec<Metric>,
    gaussian: Option<Smoothing>,
}

/// Scores all maps of the experiment in `stage.out` and writes its artifact `evaluate`.
///
/// # Errors
/// A missing or damaged input, maps that do not fit probes or scenes, or an unusable configuration.
pub fn evaluate(stage: &Stage, config: &Config) -> Result<()> {
    let plan = Plan::new(config)?;
    let inputs = Inputs::open(stage, config)?;
    let parts = inputs.maps[0].parts();
    let artifact = match Artifact::begin(&stage.run(), spec(stage, &plan, &inputs, parts))? {
        Begin::UpToDate(_) => {
            stage.done("evaluate: up to date");
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let progress = stage.progress("evaluate", pending.len() as u64, "items");
    let (mut maps, mut scores) = (0, 0);
    for part in pending {
        let tables = inputs.read_part(part)?;
        let rows = score_part(&tables, &plan, &inputs.probes, inputs.scenes.as_ref())?;
        maps += tables.iter().map(MapRows::len).sum::<usize>();
        scores += rows.len();
        artifact.write_part(part, vec![(0, rows.cells())])?;
        progress.advance(1);
    }
    drop(progress);
    let state = if artifact.finish()?.is_some() { "" } else { "; other shards are not done yet" };
    stage.done(&format!("evaluate: {scores} scores of {maps} maps{state}"));
    Ok(())
}

impl Plan {
    fn new(config: &Config) -> Result<Self> {
        let mut metrics = config.metrics.clone();
        metrics.sort_unstable_by_key(|metric| (metric.name(), metric.variant()));
        metrics.dedup();
        if metrics.is_empty() {
            return Err(Error::Usage(
                "[evaluate] metrics is empty; name at least one, or leave the key out for all".into(),
            ));
        }
        let gaussian = match config.gaussian_kernel {
            Some(kernel) if kernel % 2 == 0 => {
                return Err(Error::Usage(format!(
                    "[evaluate] gaussian_kernel is {kernel}; it must be odd, such as {}",
                    kernel + 1
                )));
            }
            other => other.map(|kernel| Smoothing::Gauss { kernel }),
        };
        Ok(Self { metrics, gaussian })
    }
}

impl Inputs {
    fn open(stage: &Stage, config: &Config) -> Result<Self> {
        let open = |kind: ItemKind| Reader::open(&stage.out.join(kind.dir()), &MAPS);
        let maps = ItemKind::ALL.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let probes = Probes::read(&stage.out)?;
        let has_scenes =
            ItemKind::ALL.iter().zip(&maps).any(|(kind, maps)| *kind == ItemKind::Scene && maps.rows() > 0);
        // The same for all kinds of items; maps of another program may come without it.
        let noted = Preprocessing::of(&maps[0], &stage.out.join(ItemKind::ALL[0].dir()))?;
        let geometry = noted.map_or(Geometry::AS_IS, |noted| noted.geometry);
        let scenes = match (&config.images, has_scenes) {
            (_, false) => None,
            (Some(dir), true) => Some(Scenes::read(dir, &geometry)?),
            (None, true) => {
                let message = "there are maps of scenes, and their boxes are with the images; set images in [evaluate] or --images DIR";
                return Err(Error::Usage(message.into()));
            }
        };
        Ok(Self { maps, probes, scenes })
    }

    fn read_part(&self, part: usize) -> Result<Vec<MapRows>> {
        self.maps.iter().map(|reader| MapRows::from_cells(reader.read_part(part)?)).collect()
    }
}

fn spec(stage: &Stage, plan: &Plan, inputs: &Inputs, parts: usize) -> ArtifactSpec {
    let scenes = inputs.scenes.as_ref().map(|scenes| scenes.input.clone());
    let wide = plan.gaussian.map_or_else(|| "129/672 of the map's side".to_string(), |gaussian| gaussian.to_string());
    ArtifactSpec {
        stage: "evaluate",
        path: stage.out.join("evaluate"),
        algorithm: ALGORITHM,
        config: serde_json::json!({ "metrics": plan.metrics, "gaussian": plan.gaussian }),
        inputs: [inputs.maps[0].input(), inputs.probes.input.clone()].into_iter().chain(scenes).collect(),
        tables: vec![TableSpec {
            table: &SCORES,
            dir: "evaluate".into(),
            shapes: vec![],
            meta: BTreeMap::from([("wide_gaussian".to_string(), wide)]),
        }],
        parts,
    }
}

/// Scores of all maps in `tables`, sorted by item, target, probe, method, metric and variant.
fn score_part(tables: &[MapRows], plan: &Plan, probes: &Probes, scenes: Option<&Scenes>) -> Result<ScoreRows> {
    let mut order: Vec<(&MapRows, usize)> =
        tables.iter().flat_map(|table| (0..table.len()).map(move |i| (table, i))).collect();
    order.sort_unstable_by_key(|&(rows, i)| (&rows.item[i], rows.target_index[i], &rows.probe_id[i], &rows.method[i]));
    let scored: Vec<Vec<Scored>> =
        order.par_iter().map(|&(rows, i)| score_row(rows, i, plan, scenes)).collect::<Result<_>>()?;
    let mut out = ScoreRows::default();
    for ((rows, i), scored) in order.into_iter().zip(scored) {
        let probe = probes.get(&rows.probe_id[i])?;
        for one in scored {
            out.item.push(rows.item[i].clone());
            out.item_kind.push(rows.item_kind[i].clone());
            out.grid_size.push(rows.grid_size[i]);
            out.target_index.push(rows.target_index[i]);
            out.target_class.push(rows.target_class[i]);
            out.backbone.push(probe.backbone.clone());
            out.probe_id.push(rows.probe_id[i].clone());
            out.head.push(probe.head.clone());
            out.loss.push(probe.loss.clone());
            out.offset.push(probe.offset.clone());
            out.seed.push(probe.seed);
            out.method.push(rows.method[i].clone());
            out.metric.push(one.metric.name().to_string());
            out.variant.push(one.metric.variant().to_string());
            out.smoothing.push(one.smoothing.to_string());
            out.value.push(one.value.ok());
            out.reason.push(one.value.err().map(|reason| reason.to_string()));
            out.chance.push(one.chance);
            out.higher_is_better.push(one.metric.higher_is_better());
        }
    }
    Ok(out)
}

fn score_row(rows: &MapRows, i: usize, plan: &Plan, scenes: Option<&Scenes>) -> Result<Vec<Scored>> {
    let wrong = |what: &str| {
        Error::BadData(format!("map of `{}`, row {i}: {what}; run the `attribute` stage again", rows.item[i]))
    };
    let (height, width) = (rows.height[i].max(0) as usize, rows.width[i].max(0) as usize);
    let pixels = height * width;
    let values = rows.map.get(i * pixels..(i + 1) * pixels).filter(|values| !values.is_empty());
    let values = values.ok_or_else(|| wrong("it has not the number of pixels that its height and width say"))?;
    let subject = match (rows.item_kind[i].as_str(), rows.grid_size[i]) {
        (GRID, Some(size)) => {
            let (size, cell) = (size.max(0) as usize, usize::try_from(rows.target_index[i]).unwrap_or(usize::MAX));
            if cell >= size * size {
                return Err(wrong("its target is outside the grid"));
            }
            Subject::Grid { size, cell }
        }
        (SCENE, None) => {
            let scene = scenes.ok_or_else(|| wrong("it is a scene in a table of grids"))?.get(rows.image_id[i])?;
            Subject::Scene(scene.mask(rows.target_class[i], (width, height)))
        }
        _ => return Err(wrong("it is neither a grid of a size nor a scene")),
    };
    let gaussian = plan.gaussian.unwrap_or_else(|| Smoothing::gauss_for(height.max(width)));
    Ok(score(Map::new(height, width, values), &rows.method[i], &subject, &plan.metrics, gaussian))
}

#[cfg(test)]
mod tests;
