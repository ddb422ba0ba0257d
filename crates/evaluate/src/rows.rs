//! One part of the maps to its score rows: the maps themselves, maps against each other, and the controls.

use std::collections::HashMap;

use attribute::item::ItemKind;
use attribute::table::MapRows;
use features::error::{Error, Result};
use rayon::prelude::*;

use crate::controls;
use crate::inputs::{ProbeIdentity, Probes, Scenes};
use crate::map::{Map, Score, Undefined};
use crate::metric::agreement::{self, Moments, Peers};
use crate::metric::{Metric, Subject};
use crate::score::{Scored, score};
use crate::smooth::Smoothing;
use crate::table::ScoreRows;

/// `item_kind` of a grid of images.
pub const GRID: &str = ItemKind::Grid3.name();
/// `item_kind` of a multi-object image.
pub const SCENE: &str = ItemKind::Scene.name();

/// What to compute.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The metrics, sorted by name and variant.
    pub metrics: Vec<Metric>,
    /// The wide Gaussian, where it does not follow the map's side.
    pub gaussian: Option<Smoothing>,
}

/// One map in its table.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The table.
    pub rows: &'a MapRows,
    /// Its row.
    pub at: usize,
}

/// Scores of all maps in `tables`, sorted by item, target, probe, method, metric and variant; then those of controls.
pub fn score_part(tables: &[MapRows], plan: &Plan, probes: &Probes, scenes: Option<&Scenes>) -> Result<ScoreRows> {
    let mut order: Vec<Row> = tables.iter().flat_map(|rows| (0..rows.len()).map(move |at| Row { rows, at })).collect();
    order.sort_unstable_by_key(|row| row.key());
    let subjects: Vec<Subject> = order.iter().map(|row| row.subject(scenes)).collect::<Result<_>>()?;
    let one = |(row, subject): (&Row, &Subject)| {
        let gaussian = plan.gaussian_for(row);
        Ok(score(row.map()?, &row.rows.method[row.at], subject, &plan.metrics, gaussian))
    };
    let mut scored: Vec<Vec<Scored>> = order.par_iter().zip(&subjects).map(one).collect::<Result<_>>()?;
    let compares = plan.metrics.iter().any(|metric| metric.peers().is_some());
    let known: Vec<Known> = if compares { order.par_iter().map(Row::known).collect::<Result<_>>()? } else { vec![] };
    for &metric in &plan.metrics {
        let Some(peers) = metric.peers() else { continue };
        for (at, value) in agreements(&order, &known, peers, probes)? {
            scored[at].push(Scored { metric, smoothing: Smoothing::None, value, chance: None });
        }
    }
    let mut out = ScoreRows::default();
    for (row, mut scored) in order.iter().zip(scored) {
        scored.sort_unstable_by_key(|one| (one.metric.name(), one.metric.variant()));
        let probe_id = &row.rows.probe_id[row.at];
        row.push(&mut out, probe_id, probes.get(probe_id)?, &row.rows.method[row.at], scored);
    }
    controls::append(&mut out, &order, &subjects, plan);
    Ok(out)
}

/// A map with its moments.
type Known<'a> = (&'a [f32], std::result::Result<Moments, Undefined>);

/// Agreement of each map with its peers, by its position in `order`; `known` are the maps in that order.
fn agreements(order: &[Row], known: &[Known], peers: Peers, probes: &Probes) -> Result<Vec<(usize, Score)>> {
    let mut groups: HashMap<(&str, i32, &str, &str), Vec<usize>> = HashMap::new();
    for (position, row) in order.iter().enumerate() {
        let (item, target, probe_id, method) = row.key();
        let (target, probe) = match peers {
            Peers::Targets => (-1, probe_id),
            Peers::Seeds => (target, recipe(probe_id, probes.get(probe_id)?)),
        };
        groups.entry((item, target, probe, method)).or_default().push(position);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_unstable();
    let one = |group: &Vec<usize>| {
        let maps: Vec<Known> = group.iter().map(|&at| known[at]).collect();
        let sizes = maps.windows(2).all(|pair| pair[0].0.len() == pair[1].0.len());
        if !sizes {
            return Err(order[group[0]].wrong("its map has another size than that of another target or seed"));
        }
        Ok(group.iter().copied().zip(agreement::scores(&maps)).collect::<Vec<_>>())
    };
    Ok(groups.par_iter().map(one).collect::<Result<Vec<_>>>()?.concat())
}

/// A probe's id without its seed: equal for probes that differ in the seed alone.
fn recipe<'a>(probe_id: &'a str, probe: &ProbeIdentity) -> &'a str {
    probe_id.strip_suffix(&format!("-s{}", probe.seed)).unwrap_or(probe_id)
}

impl Plan {
    /// The wide Gaussian for a map.
    pub fn gaussian_for(&self, row: &Row) -> Smoothing {
        let side = row.rows.height[row.at].max(row.rows.width[row.at]).max(0) as usize;
        self.gaussian.unwrap_or_else(|| Smoothing::gauss_for(side))
    }
}

impl<'a> Row<'a> {
    /// Item, target, probe and method.
    pub fn key(&self) -> (&'a str, i32, &'a str, &'a str) {
        let Row { rows, at } = *self;
        (&rows.item[at], rows.target_index[at], &rows.probe_id[at], &rows.method[at])
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.rows.height[self.at].max(0) as usize, self.rows.width[self.at].max(0) as usize)
    }

    fn wrong(&self, what: &str) -> Error {
        let item = &self.rows.item[self.at];
        Error::BadData(format!("map of `{item}`, row {}: {what}; run the `attribute` stage again", self.at))
    }

    fn map(&self) -> Result<Map<'a>> {
        let (height, width) = self.size();
        let pixels = height * width;
        let values = self.rows.map.get(self.at * pixels..(self.at + 1) * pixels).filter(|values| !values.is_empty());
        let values =
            values.ok_or_else(|| self.wrong("it has not the number of pixels that its height and width say"))?;
        Ok(Map::new(height, width, values))
    }

    fn known(&self) -> Result<Known<'a>> {
        let values = self.map()?.values;
        Ok((values, Moments::of(values)))
    }

    fn subject(&self, scenes: Option<&Scenes>) -> Result<Subject> {
        let Row { rows, at } = *self;
        match (rows.item_kind[at].as_str(), rows.grid_size[at]) {
            (GRID, Some(size)) => {
                let (size, cell) = (size.max(0) as usize, usize::try_from(rows.target_index[at]).unwrap_or(usize::MAX));
                if cell >= size * size {
                    return Err(self.wrong("its target is outside the grid"));
                }
                Ok(Subject::Grid { size, cell })
            }
            (SCENE, None) => {
                let scenes = scenes.ok_or_else(|| self.wrong("it is a scene in a table of grids"))?;
                let (height, width) = self.size();
                Ok(Subject::Scene(scenes.get(rows.image_id[at])?.mask(rows.target_class[at], (width, height))))
            }
            _ => Err(self.wrong("it is neither a grid of a size nor a scene")),
        }
    }

    /// Appends `scored` as rows about this row's item and target.
    pub fn push(&self, out: &mut ScoreRows, probe_id: &str, probe: &ProbeIdentity, method: &str, scored: Vec<Scored>) {
        let Row { rows, at } = *self;
        for one in scored {
            out.item.push(rows.item[at].clone());
            out.item_kind.push(rows.item_kind[at].clone());
            out.grid_size.push(rows.grid_size[at]);
            out.target_index.push(rows.target_index[at]);
            out.target_class.push(rows.target_class[at]);
            out.backbone.push(probe.backbone.clone());
            out.probe_id.push(probe_id.to_string());
            out.head.push(probe.head.clone());
            out.loss.push(probe.loss.clone());
            out.offset.push(probe.offset.clone());
            out.seed.push(probe.seed);
            out.method.push(method.to_string());
            out.metric.push(one.metric.name().to_string());
            out.variant.push(one.metric.variant().to_string());
            out.smoothing.push(one.smoothing.to_string());
            out.value.push(one.value.ok());
            out.reason.push(one.value.err().map(|reason| reason.to_string()));
            out.chance.push(one.chance);
            out.higher_is_better.push(one.metric.higher_is_better());
        }
    }
}
