//! One part of the maps to its score rows: the maps themselves, maps against each other, maps as orders of removal, and
//! the controls.

use std::collections::HashMap;

use attribute::compact::Digests;
use attribute::item::ItemKind;
use attribute::setting::Setting;
use attribute::table::MapRows;
use features::error::{Error, Result};
use rayon::prelude::*;

use crate::controls::{self, RandomOrders};
use crate::digest;
use crate::inputs::{ProbeIdentity, Probes, Scenes};
use crate::map::{Map, Score, Undefined};
use crate::metric::agreement::{self, Moments, Peers};
use crate::metric::{Metric, Subject};
use crate::perturbation::curve::relative;
use crate::perturbation::settings::Question;
use crate::perturbation::{Curve, Perturber};
use crate::randomisation::{Answer, Randomiser};
use crate::score::{Scored, score};
use crate::smooth::Smoothing;
use crate::table::{CurveRows, ScoreRows};

/// `item_kind` of a grid of images.
pub const GRID: &str = ItemKind::Grid3.name();
/// `item_kind` of a grid whose cells the backbone sees alone.
pub const DIFULL: &str = ItemKind::DiFull3.name();
/// `item_kind` of a grid whose heads see the features of a cell alone.
pub const DIPART: &str = ItemKind::DiPart3.name();
/// `item_kind` of a multi-object image.
pub const SCENE: &str = ItemKind::Scene.name();
/// `item_kind` of a single tile.
pub const TILE: &str = ItemKind::Tile.name();

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
    /// The sums that are kept of it, where the map is not.
    pub digest: Option<&'a [f32]>,
}

/// One row of the score table without what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the metric.
    pub metric: &'static str,
    /// Its variant.
    pub variant: String,
    /// What was done to the map before.
    pub smoothing: Smoothing,
    /// The value, or why there is none.
    pub value: Score,
    /// Expected value for a map that knows nothing.
    pub chance: Option<f64>,
    /// Direction of the metric.
    pub higher_is_better: bool,
}

impl From<Scored> for Line {
    fn from(scored: Scored) -> Self {
        let Scored { metric, smoothing, value, chance } = scored;
        Self {
            metric: metric.name(),
            variant: metric.variant().to_string(),
            smoothing,
            value,
            chance,
            higher_is_better: metric.higher_is_better(),
        }
    }
}

impl Line {
    fn randomised(answer: Answer) -> Self {
        let Answer { metric, variant, score } = answer;
        Self { metric, variant, smoothing: Smoothing::None, value: score, chance: None, higher_is_better: false }
    }

    /// The answer to a question about a perturbed picture.
    pub fn perturbed(question: Question, variant: String, value: Score, chance: Option<f64>) -> Self {
        let higher_is_better = question.higher_is_better();
        let metric = question.name();
        Self { metric, variant, smoothing: Smoothing::None, value, chance, higher_is_better }
    }
}

/// What a part is scored with besides its maps.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Who made the maps.
    pub probes: &'a Probes,
    /// Where objects are in scenes.
    pub scenes: Option<&'a Scenes>,
    /// What runs the backbone again, if it is asked to.
    pub perturber: Option<&'a Perturber>,
    /// What explains pictures again with other weights, if it is asked to.
    pub randomiser: Option<&'a Randomiser>,
}

/// The maps of a part: whole ones, a table for each size, and those that were kept as digests.
#[derive(Debug, Default)]
pub struct PartMaps {
    /// Whole maps.
    pub tables: Vec<MapRows>,
    /// Rows without a map.
    pub digests: Digests,
}

impl PartMaps {
    /// All rows, in no particular order.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let whole = |rows| (0..MapRows::len(rows)).map(move |at| Row { rows, at, digest: None });
        let Digests { about: rows, sums } = &self.digests;
        let digests = sums.iter().enumerate().map(move |(at, sums)| Row { rows, at, digest: Some(sums) });
        self.tables.iter().flat_map(whole).chain(digests)
    }

    /// Number of maps.
    pub fn count(&self) -> usize {
        self.rows().count()
    }
}

/// Scores of all `maps`, sorted by item, target, probe, method, metric and variant; then those of controls.
/// And the curves behind them, sorted likewise and by share.
pub fn score_part(maps: &PartMaps, plan: &Plan, sources: Sources) -> Result<(ScoreRows, CurveRows)> {
    let Sources { probes, scenes, perturber, randomiser } = sources;
    let mut order: Vec<Row> = maps.rows().collect();
    order.sort_unstable_by_key(|row| row.key());
    let subjects: Vec<Subject> = order.iter().map(|row| row.subject(scenes)).collect::<Result<_>>()?;
    let one = |(row, subject): (&Row, &Subject)| {
        if let Some(sums) = row.digest {
            return digest::score(row, sums, subject, &plan.metrics);
        }
        let gaussian = plan.gaussian_for(row);
        Ok(score(row.map()?, &row.rows.method[row.at], subject, &plan.metrics, gaussian))
    };
    let mut scored: Vec<Vec<Scored>> = order.par_iter().zip(&subjects).map(one).collect::<Result<_>>()?;
    let compares = |subject: &Subject| plan.metrics.iter().any(|m| m.peers().is_some() && m.applies(subject));
    let known =
        order.par_iter().zip(&subjects).map(|(row, subject)| compares(subject).then(|| row.known()).transpose());
    let known: Vec<Option<Known>> = known.collect::<Result<_>>()?;
    for &metric in &plan.metrics {
        let Some(peers) = metric.peers() else { continue };
        for (at, value) in agreements(&order, &known, peers)? {
            scored[at].push(Scored { metric, smoothing: Smoothing::None, value, chance: None });
        }
    }
    let asked = perturber.map(|perturber| perturber.answers(&order)).transpose()?;
    let mut answers = asked.unwrap_or_default().into_iter();
    let asked = randomiser.map(|randomiser| randomiser.answers(&order)).transpose()?;
    let mut randomised = asked.unwrap_or_default().into_iter();
    let (mut out, mut curves) = (ScoreRows::default(), CurveRows::default());
    let mut random = RandomOrders::default();
    for (row, scored) in order.iter().zip(scored) {
        let probe_id = &row.rows.probe_id[row.at];
        let probe = probes.get(probe_id)?;
        let mut lines: Vec<Line> = scored.into_iter().map(Line::from).collect();
        let mut answers = answers.next().unwrap_or_default();
        answers.sort_unstable_by(|a, b| (a.question.name(), &a.variant).cmp(&(b.question.name(), &b.variant)));
        random.note(row, &answers);
        for answer in answers {
            if let Some(curve) = &answer.curve {
                let (method, metric) = (&row.rows.method[row.at], answer.question.name());
                row.push_curve(&mut curves, (probe_id, probe, method), (metric, &answer.variant), curve);
            }
            let chance = answer.random.and_then(|random| random.score.ok());
            lines.push(Line::perturbed(answer.question, answer.variant, answer.score, chance));
        }
        lines.extend(randomised.next().unwrap_or_default().into_iter().map(Line::randomised));
        lines.sort_unstable_by(|a, b| (a.metric, &a.variant).cmp(&(b.metric, &b.variant)));
        row.push(&mut out, probe_id, probe, &row.rows.method[row.at], lines);
    }
    controls::append(&mut out, &order, &subjects, plan);
    random.append(&mut out, &mut curves);
    Ok((out, curves))
}

/// A map with its moments.
type Known<'a> = (&'a [f32], std::result::Result<Moments, Undefined>);

/// Agreement of each map with its peers, by its position in `order`; `known` are those maps in that order that are compared.
fn agreements(order: &[Row], known: &[Option<Known>], peers: Peers) -> Result<Vec<(usize, Score)>> {
    let mut groups: HashMap<(&str, i32, String, &str), Vec<usize>> = HashMap::new();
    for (position, row) in order.iter().enumerate().filter(|(position, _)| known[*position].is_some()) {
        let (item, target, probe_id, method) = row.key();
        let (target, probe) = match peers {
            Peers::Targets => (-1, probe_id.to_string()),
            Peers::Seeds => (target, probe::id::name(probe_id)),
        };
        groups.entry((item, target, probe, method)).or_default().push(position);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_unstable();
    let one = |group: &Vec<usize>| {
        let maps: Vec<Known> = group.iter().filter_map(|&at| known[at]).collect();
        let sizes = maps.windows(2).all(|pair| pair[0].0.len() == pair[1].0.len());
        if !sizes {
            return Err(order[group[0]].wrong("its map has another size than that of another target or seed"));
        }
        Ok(group.iter().copied().zip(agreement::scores(&maps)).collect::<Vec<_>>())
    };
    Ok(groups.par_iter().map(one).collect::<Result<Vec<_>>>()?.concat())
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
        let Row { rows, at, .. } = *self;
        (&rows.item[at], rows.target_index[at], &rows.probe_id[at], &rows.method[at])
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.rows.height[self.at].max(0) as usize, self.rows.width[self.at].max(0) as usize)
    }

    /// Class whose logit is explained.
    pub fn target_class(&self) -> i32 {
        self.rows.target_class[self.at]
    }

    /// The logit that is explained.
    pub fn logit(&self) -> f32 {
        self.rows.logit[self.at]
    }

    /// An error about this map.
    pub fn wrong(&self, what: &str) -> Error {
        let item = &self.rows.item[self.at];
        Error::BadData(format!("map of `{item}`, row {}: {what}; run the `attribute` stage again", self.at))
    }

    /// The map itself.
    pub fn map(&self) -> Result<Map<'a>> {
        if self.digest.is_some() {
            return Err(digest::lost(self, "perturbation"));
        }
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
        let Row { rows, at, .. } = *self;
        match (rows.item_kind[at].as_str(), rows.grid_size[at]) {
            (kind @ (GRID | DIFULL | DIPART), Some(size)) => {
                let (size, cell) = (size.max(0) as usize, usize::try_from(rows.target_index[at]).unwrap_or(usize::MAX));
                if cell >= size * size {
                    return Err(self.wrong("its target is outside the grid"));
                }
                Ok(match kind {
                    DIFULL => Subject::Cell { setting: Setting::DiFull, size, cell },
                    DIPART => Subject::Cell { setting: Setting::DiPart, size, cell },
                    _ => Subject::Grid { size, cell },
                })
            }
            (SCENE, None) => {
                let scenes = scenes.ok_or_else(|| self.wrong("it is a scene in a table of grids"))?;
                let (height, width) = self.size();
                Ok(Subject::Scene(scenes.get(rows.image_id[at])?.target(rows.target_class[at], (width, height))))
            }
            (TILE, None) => Ok(Subject::Tile),
            _ => Err(self.wrong("it is neither a grid of a size nor a scene or a tile")),
        }
    }

    /// Appends `lines` as rows about this row's item and target.
    pub fn push(&self, out: &mut ScoreRows, probe_id: &str, probe: &ProbeIdentity, method: &str, lines: Vec<Line>) {
        let Row { rows, at, .. } = *self;
        for one in lines {
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
            out.metric.push(one.metric.to_string());
            out.variant.push(one.variant);
            out.smoothing.push(one.smoothing.to_string());
            out.value.push(one.value.ok());
            out.reason.push(one.value.err().map(|reason| reason.to_string()));
            out.chance.push(one.chance);
            out.higher_is_better.push(one.higher_is_better);
        }
    }

    /// Appends the points of a curve about this row's item and target, of a probe's id, identity and method.
    pub fn push_curve(
        &self,
        out: &mut CurveRows,
        (probe_id, probe, method): (&str, &ProbeIdentity, &str),
        (metric, variant): (&str, &str),
        curve: &Curve,
    ) {
        let Row { rows, at, .. } = *self;
        for &(share, value) in curve.points() {
            out.item.push(rows.item[at].clone());
            out.item_kind.push(rows.item_kind[at].clone());
            out.target_index.push(rows.target_index[at]);
            out.target_class.push(rows.target_class[at]);
            out.backbone.push(probe.backbone.clone());
            out.probe_id.push(probe_id.to_string());
            out.seed.push(probe.seed);
            out.method.push(method.to_string());
            out.metric.push(metric.to_string());
            out.variant.push(variant.to_string());
            out.removed.push(share);
            out.value.push(value);
            out.relative.push(relative(value, curve.start()).ok());
        }
    }
}
