//! The `attribute` stage: grids, scenes and tiles in, one map for each target, probe and method out.

mod items;
mod rows;
mod worker;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use features::{
    artifact::{Artifact, ArtifactSpec, Begin, Cells, Input, Reader, TableSpec},
    backbone::Backbone,
    error::{Error, Result},
    extract::FeaturesConfig,
    network::Network,
    preprocess::Preprocessing,
    stage::{Bytes, Outcome, Stage, behind},
    table::IMAGES,
    tensor::Device,
};
use probe::{
    Probe,
    table::{PROBES, PROBES_DIR},
};
use rayon::prelude::*;
use serde_json::json;

use crate::{
    budget,
    compact::{COMPACT_DIR, KEEP_BITS, SEGMENTS_DIR},
    config::{AttributeConfig, IntegratedGradients, Missing, select},
    explain::Head,
    forecast::Forecast,
    item::{Item, ItemKind, map_shape},
    method::Method,
    setting::Setting,
    stored::{FeatureSource, Stored},
    table::{COMPACT, CompactRows, GRIDS, GridRows, MAPS, MapRows, SEGMENTS, SegmentRows},
};
use items::items;
use rows::ItemRows;
pub(crate) use worker::{FAST_CPU, Worker};
pub use worker::{averages, fast, need};

/// Raised whenever the same configuration would give other maps.
const ALGORITHM: u32 = 7;
/// Items in a part: what a killed run repeats at most.
const PART: usize = 4;
/// Directory of the grid table.
pub const GRIDS_DIR: &str = "attribute.grids";

/// Makes the artifact `attribute` of the stage's section `[attribute]`.
///
/// # Errors
/// A wrong configuration, a missing input, or too few confident tiles for a grid.
pub fn run(stage: &Stage) -> Result<()> {
    let job = Job::prepare(stage)?;
    let items = &job.items;
    let worker = Worker::new(&job, stage)?;
    let forecast = Forecast::of(&worker, items, &job.config);
    forecast.check(&job.config)?;
    let spec = spec(stage, &job)?;
    let path = spec.path.display().to_string();
    let artifact = match Artifact::begin(&stage.run(), spec)? {
        Begin::UpToDate(_) => {
            stage.done(Outcome::UpToDate, &format!("attribute: {path} is up to date"), json!({}));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let needed = forecast.bytes * pending.len() as f64 / items.len().div_ceil(PART) as f64;
    budget::check(&stage.out, Bytes(needed), budget::free(&stage.out)?)?;
    let part_items = |part: usize| &items[part * PART..items.len().min((part + 1) * PART)];
    let todo: Vec<&Item> = pending.iter().flat_map(|&part| part_items(part)).collect();
    let stored = job.stored.as_ref().map(|stored| stored.read(&todo)).transpose()?.unwrap_or_default();
    let progress = stage.progress("attribute", todo.len() as u64, "items");
    let since = Instant::now();
    let (mut maps, kinds) = (0, kinds(items));
    let make = |part: usize| {
        let explain = |item: &Item| {
            let rows = worker.rows(item, stored.of(item, &job.device));
            progress.advance(1);
            rows
        };
        let rows: Vec<Result<ItemRows>> = match worker.threads() {
            2.. => part_items(part).par_iter().map(explain).collect(),
            _ => part_items(part).iter().map(explain).collect(),
        };
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        maps += rows.iter().map(ItemRows::len).sum::<usize>();
        Ok((part, rows))
    };
    let write = |(part, rows)| artifact.write_part(part, tables(part_items(part), rows, &kinds, &job.config));
    behind(pending, make, write)?;
    drop(progress);
    let rate = maps as f64 / since.elapsed().as_secs_f64().max(1e-9);
    let finished = artifact.finish()?;
    let state = if finished.is_some() { "" } else { "; other shards are not done" };
    let summary = format!("attribute: {maps} maps of {} items in {path} ({rate:.0} maps/s){state}", todo.len());
    stage.done(Outcome::of(&finished), &summary, json!({ "maps": maps, "items": todo.len() }));
    Ok(())
}

/// All that a run is made from, read and checked.
pub(crate) struct Job {
    pub(crate) config: AttributeConfig,
    pub(crate) items: Vec<Item>,
    /// Where features lie, of runs that do without the backbone.
    stored: Option<Stored>,
    inputs: Vec<Input>,
    backbone: Backbone,
    heads: Vec<Head>,
    device: Device,
}

impl Job {
    pub(crate) fn prepare(stage: &Stage) -> Result<Self> {
        let config: AttributeConfig = stage.section("attribute")?;
        config.check()?;
        let source: FeaturesConfig = stage.section("features")?;
        let device = stage.device()?;
        let backbone = source.load(&device)?;
        let trained = stage.out.join(PROBES_DIR);
        let table = Reader::open(&trained, &PROBES)?;
        backbone.preprocessing().check(&table, &trained)?;
        table.check_current()?;
        check_origin(&table, &backbone.input, "backbone", &trained)?;
        let images = Reader::open(&source.images, &IMAGES)?.input();
        check_origin(&table, &images, "image table", &trained)?;
        let probes = probe::load(&stage.out, &device)?;
        let heads = heads(&config, &backbone.network, &probes)?;
        let (items, predictions) = items(stage, &config, &source, &backbone, &probes)?;
        let mut inputs = vec![images, predictions];
        check_pictures(&backbone, &items)?;
        let stored = match config.features {
            FeatureSource::Computed => None,
            FeatureSource::Stored => {
                let (stored, input) = Stored::find(&stage.out, &backbone, &items)?;
                inputs.push(input);
                Some(stored)
            }
        };
        Ok(Self { config, items, stored, inputs, backbone, heads, device })
    }
}

/// Refuses probes that were not trained on features of this input.
fn check_origin(probes: &Reader, input: &Input, what: &str, dir: &Path) -> Result<()> {
    match probes.manifest().inputs.contains(input) {
        true => Ok(()),
        false => Err(Error::BadData(format!(
            "{}: was trained on features of another {what} than [features] names now; run `features` and `probe` again",
            dir.display()
        ))),
    }
}

/// Refuses pictures that the backbone cannot see as their settings want.
fn check_pictures(backbone: &Backbone, items: &[Item]) -> Result<()> {
    let mut known = Vec::new();
    for item in items {
        let (size, kind) = ([item.picture.height, item.picture.width], item.kind);
        if known.contains(&(kind, size)) {
            continue;
        }
        known.push((kind, size));
        let cells = kind.grid_size().map_or(1, |cells| cells as usize);
        match kind.setting() {
            Setting::GridPg => backbone.architecture.check_picture(size)?,
            Setting::DiFull => backbone.architecture.check_picture(size.map(|side| side / cells))?,
            Setting::DiPart => {
                backbone.architecture.check_picture(size)?;
                let channels = backbone.encoding.preprocess().channels;
                let [_, rows, columns] = backbone.network.footprint([channels, size[0], size[1]]).shape;
                if rows % cells != 0 || columns % cells != 0 {
                    return Err(Error::Usage(format!(
                        "section [attribute]: setting dipart: features of {rows} x {columns} positions cannot be cut into \
                         {cells} x {cells} cells; make tiles a multiple of the backbone's stride, or take difull"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The probes to explain with the methods that fit them; what does not fit is said once a method.
pub(crate) fn heads(config: &AttributeConfig, backbone: &Network, probes: &[Probe]) -> Result<Vec<Head>> {
    let ids: Vec<&str> = probes.iter().map(|probe| probe.id.as_str()).collect();
    let chosen = select("probes", &config.probes, &ids, Missing::IsAnError)?;
    let settings = &config.integrated_gradients;
    let missing = Missing::of(&settings.probes, &IntegratedGradients::default().probes);
    let integrated = select("integrated_gradients.probes", &settings.probes, &ids, missing)?;
    let probes: Vec<&Probe> = probes.iter().filter(|probe| chosen.contains(&probe.id.as_str())).collect();
    for method in &config.methods {
        let reasons: Vec<&str> = probes.iter().filter_map(|probe| method.unfit(backbone, &probe.network)).collect();
        if let Some(reason) = reasons.first() {
            tracing::warn!("{method} is left out for {} of {} probes: {reason}", reasons.len(), probes.len());
        }
    }
    let heads = probes.into_iter().map(|probe| Head {
        id: probe.id.clone(),
        network: probe.network.clone(),
        methods: config
            .methods
            .iter()
            .copied()
            .filter(|method| method.unfit(backbone, &probe.network).is_none())
            .filter(|method| *method != Method::IntegratedGradients || integrated.contains(&probe.id.as_str()))
            .collect(),
    });
    Ok(heads.filter(|head| !head.methods.is_empty()).collect())
}

fn spec(stage: &Stage, job: &Job) -> Result<ArtifactSpec> {
    let Job { config, items, backbone, .. } = job;
    let mut inputs = job.inputs.clone();
    inputs.push(backbone.input.clone());
    let mut tables = Vec::new();
    for kind in kinds(items) {
        let note = |key: &str, value: String| (key.to_string(), value);
        tables.push(TableSpec {
            table: &MAPS,
            dir: kind.dir().to_string(),
            shapes: vec![map_shape(items, kind)?.to_vec()],
            meta: [
                note("map_axes", "rows, columns".to_string()),
                note("backbone", backbone.name.clone()),
                note(KEEP_BITS, config.keep_bits.to_string()),
                note(Preprocessing::NOTE, backbone.preprocessing().note()),
            ]
            .into(),
        });
    }
    let plain = |table, dir: &str| TableSpec { table, dir: dir.to_string(), shapes: vec![], meta: [].into() };
    tables.push(plain(&GRIDS, GRIDS_DIR));
    if !config.storage.is_full() {
        let meta = [(KEEP_BITS.to_string(), config.keep_bits.to_string())].into();
        tables.push(TableSpec { meta, ..plain(&COMPACT, COMPACT_DIR) });
        tables.push(plain(&SEGMENTS, SEGMENTS_DIR));
    }
    Ok(ArtifactSpec {
        stage: "attribute",
        path: stage.out.join(PathBuf::from("attribute")),
        algorithm: ALGORITHM,
        config: config.identity(stage.seed),
        inputs,
        tables,
        parts: items.len().div_ceil(PART),
    })
}

/// The kinds of items that have a table.
fn kinds(items: &[Item]) -> Vec<ItemKind> {
    let has_one = |kind: &ItemKind| kind.is_always_there() || items.iter().any(|item| item.kind == *kind);
    ItemKind::ALL.into_iter().filter(has_one).collect()
}

/// The rows of a part, table by table: maps of each of `kinds`, grids, and what is kept in less.
fn tables(
    items: &[Item],
    rows: Vec<ItemRows>,
    kinds: &[ItemKind],
    config: &AttributeConfig,
) -> Vec<(usize, Vec<Cells>)> {
    let mut maps = vec![MapRows::default(); kinds.len()];
    let mut grids = GridRows::default();
    let (mut compact, mut segments) = (CompactRows::default(), SegmentRows::default());
    for (item, rows) in items.iter().zip(rows) {
        let table = kinds.iter().position(|kind| *kind == item.kind).unwrap_or_default();
        maps[table].append(rows.maps);
        compact.append(rows.compact);
        segments.append(rows.segments);
        // A grid is one row, in however many settings it is explained.
        if let Some(cells) = item.grid.as_ref().filter(|_| config.settings.first() == Some(&item.kind.setting())) {
            grids.grid_id.push(item.image_id);
            grids.grid_size.push(cells.size as i32);
            grids.cells.push(cells.keys.clone());
            grids.labels.push(cells.labels.clone());
            grids.cell_px.push(cells.side as i32);
        }
    }
    let mut tables: Vec<Vec<Cells>> = maps.into_iter().map(MapRows::cells).collect();
    tables.push(grids.cells());
    if !config.storage.is_full() {
        tables.extend([compact.cells(), segments.cells()]);
    }
    tables.into_iter().enumerate().collect()
}

#[cfg(test)]
mod tests;
