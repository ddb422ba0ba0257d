//! The stage: attribution maps, probes and boxes in, tables of scores and curves out, one part for each part of the maps.
//!
//! While one part is scored, the next one is read: memory holds two. Maps are scored in parallel and rows are sorted by
//! key, so the bytes depend on the inputs and configuration alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attribute::compact::CompactMaps;
use attribute::item::ItemKind;
use attribute::table::{MAPS, MapRows};
use features::artifact::{Artifact, ArtifactSpec, Begin, Reader, TableSpec};
use features::error::{Error, Result};
use features::preprocess::{Geometry, Preprocessing};
use features::stage::{Outcome, Stage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::inputs::{Probes, Scenes};
use crate::metric::Metric;
use crate::perturbation::{Perturber, Settings};
use crate::randomisation::{self, Randomiser};
use crate::rows::{PartMaps, Plan, Sources, score_part};
use crate::smooth::Smoothing;
use crate::table::{CURVES, SCORES};

/// Raised when the same maps and configuration would get other scores.
const ALGORITHM: u32 = 6;
/// Directory of the curves.
pub const CURVES_DIR: &str = "evaluate.curves";

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
    /// Metrics of perturbed pictures; none by default, because they run the backbone again.
    pub perturbation: Settings,
    /// Tests with other weights and other logits; none by default, because they explain pictures again.
    pub randomisation: randomisation::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            metrics: Metric::ALL.to_vec(),
            images: None,
            gaussian_kernel: None,
            perturbation: Settings::default(),
            randomisation: randomisation::Settings::default(),
        }
    }
}

/// What runs the backbone again.
struct Again {
    perturbation: Settings,
    randomisation: randomisation::Settings,
}

/// Everything that is open while the stage runs.
struct Inputs {
    /// A table for each kind of item; they share their parts.
    maps: Vec<(ItemKind, Reader)>,
    /// Maps that are not kept at every pixel.
    compact: Option<CompactMaps>,
    probes: Probes,
    scenes: Option<Scenes>,
    perturber: Option<Perturber>,
    randomiser: Option<Randomiser>,
}

/// Scores all maps of the experiment in `stage.out` and writes its artifact `evaluate`.
///
/// # Errors
/// A missing or damaged input, maps that do not fit probes or scenes, or an unusable configuration.
pub fn evaluate(stage: &Stage, config: &Config) -> Result<()> {
    let plan = plan(config)?;
    let again = Again { perturbation: config.perturbation.checked()?, randomisation: config.randomisation.checked()? };
    let inputs = Inputs::open(stage, config, &again)?;
    let artifact = match Artifact::begin(&stage.run(), spec(stage, &plan, &again, &inputs))? {
        Begin::UpToDate(_) => {
            stage.done(Outcome::UpToDate, "evaluate: up to date", json!({}));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let progress = stage.progress("evaluate", pending.len() as u64, "items");
    let (mut maps, mut scores) = (0, 0);
    let mut next = pending.first().map(|&part| inputs.read_part(part)).transpose()?;
    for (at, &part) in pending.iter().enumerate() {
        let Some(tables) = next.take() else { break };
        let score = || score_part(&tables, &plan, inputs.sources());
        let read = || pending.get(at + 1).map(|&part| inputs.read_part(part)).transpose();
        // Scores come from this thread: an accelerator's memory belongs to the thread that asked for it.
        let (rows, following) = std::thread::scope(|scope| {
            let following = scope.spawn(read);
            (score(), following.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (rows, curves) = rows?;
        next = following?;
        maps += tables.count();
        scores += rows.len();
        let curves = inputs.perturber.as_ref().map(|_| (1, curves.cells()));
        artifact.write_part(part, [(0, rows.cells())].into_iter().chain(curves).collect())?;
        progress.advance(1);
    }
    drop(progress);
    let finished = artifact.finish()?;
    let state = if finished.is_some() { "" } else { "; other shards are not done yet" };
    let summary = format!("evaluate: {scores} scores of {maps} maps{state}");
    stage.done(Outcome::of(&finished), &summary, json!({ "scores": scores, "maps": maps }));
    Ok(())
}

/// Settings, checked and in canonical order.
fn plan(config: &Config) -> Result<Plan> {
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
    Ok(Plan { metrics, gaussian })
}

impl Inputs {
    fn open(stage: &Stage, config: &Config, again: &Again) -> Result<Self> {
        let open = |kind: ItemKind| {
            let maps = Reader::open(&stage.out.join(kind.dir()), &MAPS)?;
            maps.check_current()?;
            Ok((kind, maps))
        };
        let maps = ItemKind::kept(&stage.out)?.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let probes = Probes::read(&stage.out)?;
        let compact = CompactMaps::open(&stage.out)?;
        let in_full = maps.iter().any(|(kind, maps)| *kind == ItemKind::Scene && maps.rows() > 0);
        let has_scenes = in_full || compact.as_ref().map_or(Ok(false), |compact| compact.has(ItemKind::Scene))?;
        // The same for all kinds of items; maps of another program may come without it.
        let noted = Preprocessing::of(&maps[0].1, &stage.out.join(maps[0].0.dir()))?;
        let geometry = noted.map_or(Geometry::AS_IS, |noted| noted.geometry);
        let scenes = match (&config.images, has_scenes) {
            (_, false) => None,
            (Some(dir), true) => Some(Scenes::read(dir, &geometry)?),
            (None, true) => {
                let message = "there are maps of scenes, and their boxes are with the images; set images in [evaluate] or --images DIR";
                return Err(Error::Usage(message.into()));
            }
        };
        let Again { perturbation, randomisation } = again;
        let asked = !perturbation.is_off();
        let perturber = asked.then(|| Perturber::open(stage, perturbation, &maps, compact.as_ref())).transpose()?;
        let asked = !randomisation.is_off();
        let randomiser = asked.then(|| Randomiser::open(stage, randomisation, &maps, compact.as_ref())).transpose()?;
        Ok(Self { maps, compact, probes, scenes, perturber, randomiser })
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            probes: &self.probes,
            scenes: self.scenes.as_ref(),
            perturber: self.perturber.as_ref(),
            randomiser: self.randomiser.as_ref(),
        }
    }

    fn parts(&self) -> usize {
        self.maps[0].1.parts()
    }

    fn read_part(&self, part: usize) -> Result<PartMaps> {
        let read = |(_, reader): &(ItemKind, Reader)| MapRows::from_cells(reader.read_part(part)?);
        let mut tables = self.maps.iter().map(read).collect::<Result<Vec<_>>>()?;
        let compact = self.compact.as_ref().map(|compact| compact.read_part(part)).transpose()?.unwrap_or_default();
        tables.extend(compact.maps);
        Ok(PartMaps { tables, digests: compact.digests })
    }
}

fn spec(stage: &Stage, plan: &Plan, again: &Again, inputs: &Inputs) -> ArtifactSpec {
    let scenes = inputs.scenes.as_ref().map(|scenes| scenes.input.clone());
    let wide = plan.gaussian.map_or_else(|| "129/672 of the map's side".to_string(), |gaussian| gaussian.to_string());
    let mut config = json!({ "metrics": plan.metrics, "gaussian": plan.gaussian });
    let mut tables = vec![TableSpec {
        table: &SCORES,
        dir: "evaluate".into(),
        shapes: vec![],
        meta: BTreeMap::from([("wide_gaussian".to_string(), wide)]),
    }];
    let mut sources: Vec<_> =
        [inputs.maps[0].1.input(), inputs.probes.input.clone()].into_iter().chain(scenes).collect();
    if inputs.perturber.is_some() {
        config["perturbation"] = again.perturbation.identity(stage.seed);
        tables.push(TableSpec { table: &CURVES, dir: CURVES_DIR.into(), shapes: vec![], meta: BTreeMap::new() });
    }
    if let Some(randomiser) = &inputs.randomiser {
        config["randomisation"] = json!({
            "settings": again.randomisation, "methods": randomiser.methods, "seed": stage.seed,
        });
    }
    let again = [inputs.perturber.as_ref().map(|one| &one.inputs), inputs.randomiser.as_ref().map(|one| &one.inputs)];
    for input in again.into_iter().flatten().flatten() {
        // The images may be those of the scenes.
        if !sources.contains(input) {
            sources.push(input.clone());
        }
    }
    ArtifactSpec {
        stage: "evaluate",
        path: stage.out.join("evaluate"),
        algorithm: ALGORITHM,
        config,
        inputs: sources,
        tables,
        parts: inputs.parts(),
    }
}

#[cfg(test)]
mod tests;
