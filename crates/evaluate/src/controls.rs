//! Control rows: what a map that knows nothing, and one that knows all, score on the same items.
//!
//! Both go through the smoothing of each method, so their scores are the floor and the ceiling of that method: after a
//! wide Gaussian even the best map has mass outside its cell. They are rows of the score table like any other, under
//! the probe [`PROBE`] and the methods `uniform:METHOD` and `oracle:METHOD`. Perturbed pictures have a level of chance that
//! depends on what the probe says of them, not on a method: random orders, `random:PROBE`.

use std::collections::{BTreeSet, HashMap};

use attribute::setting::Setting;

use crate::inputs::ProbeIdentity;
use crate::map::Map;
use crate::metric::energy_pointing_game::{Region, Rounding};
use crate::metric::{Metric, Subject};
use crate::perturbation::perturber::Answer;
use crate::rows::{Line, Plan, Row};
use crate::score::{Scored, score};
use crate::table::{CurveRows, ScoreRows};

/// `probe_id` of control rows; probes are named by head and loss, so none is called this.
pub const PROBE: &str = "control";
/// What stands before the probe in the method of a random order.
pub const RANDOM: &str = "random";
/// What stands in columns about the probe that a control has not.
const NONE: &str = "none";

/// A made-up map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// The same everywhere.
    Uniform,
    /// 1 on the target, 0 elsewhere.
    Oracle,
}

impl Control {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Oracle, Self::Uniform];

    /// Name before the method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Oracle => "oracle",
        }
    }

    /// The map for a target, of `size` (height, width).
    pub fn map(self, subject: &Subject, region: Region, (height, width): (usize, usize)) -> Vec<f32> {
        match (self, subject) {
            // A tile is all target.
            (Self::Uniform, _) | (Self::Oracle, Subject::Tile) => vec![1.0; height * width],
            (Self::Oracle, Subject::Scene(target)) => match target.mask(region) {
                Some(mask) => mask.inside().iter().map(|&inside| f32::from(u8::from(inside))).collect(),
                // No metric applies to what a scene has not.
                None => vec![0.0; height * width],
            },
            (Self::Oracle, Subject::Grid { size, cell } | Subject::Cell { size, cell, .. }) => {
                let span = |length: usize, index: usize| index * length / size..(index + 1) * length / size;
                let (rows, columns) = (span(height, cell / size), span(width, cell % size));
                let mut map = vec![0.0; height * width];
                map.chunks_exact_mut(width)
                    .take(rows.end)
                    .skip(rows.start)
                    .for_each(|row| row[columns.clone()].fill(1.0));
                map
            }
        }
    }
}

/// All that a control's scores in a grid depend on: setting, grid size, cell, map size, control, method.
type Cell<'a> = (Setting, usize, usize, (usize, usize), Control, &'a str);

/// Appends the control rows of all items and targets in `order`, sorted like it; `subjects` belong to `order`.
pub fn append(out: &mut ScoreRows, order: &[Row], subjects: &[Subject], plan: &Plan) {
    let metrics = plan.metrics.iter().copied().filter(|metric| metric.is_localisation());
    let (masks, boxes): (Vec<Metric>, Vec<Metric>) = metrics.partition(|metric| metric.region() == Region::Masks);
    let asked = [(Region::Masks, masks), (Region::Boxes(Rounding::Unrounded), boxes)];
    let mut known: HashMap<Cell<'_>, Vec<Scored>> = HashMap::new();
    let mut at = 0;
    for targets in order.chunk_by(|a, b| (a.key().0, a.key().1) == (b.key().0, b.key().1)) {
        let (row, subject) = (&targets[0], &subjects[at]);
        at += targets.len();
        let methods: BTreeSet<&str> = targets.iter().map(|row| row.key().3).collect();
        for control in Control::ALL {
            // The map that knows all depends on what counts as the target.
            let maps = asked.each_ref().map(|(region, metrics)| (control.map(subject, *region, row.size()), metrics));
            let (height, width) = row.size();
            for &method in &methods {
                let one = |(map, metrics): &(Vec<f32>, &Vec<Metric>)| {
                    score(Map::new(height, width, map), method, subject, metrics, plan.gaussian_for(row))
                };
                let fresh = || maps.iter().flat_map(one).collect::<Vec<Scored>>();
                // All grids of a size share their cells; boxes differ from scene to scene.
                let mut of_cell = |setting, size, cell| {
                    known.entry((setting, size, cell, row.size(), control, method)).or_insert_with(fresh).clone()
                };
                let scored = match *subject {
                    Subject::Grid { size, cell } => of_cell(Setting::GridPg, size, cell),
                    Subject::Cell { setting, size, cell } => of_cell(setting, size, cell),
                    Subject::Scene(_) | Subject::Tile => fresh(),
                };
                let mut lines: Vec<Line> = scored.into_iter().map(Line::from).collect();
                lines.sort_unstable_by(|a, b| (a.metric, &a.variant).cmp(&(b.metric, &b.variant)));
                row.push(out, PROBE, &identity(), &format!("{}:{method}", control.name()), lines);
            }
        }
    }
}

/// What a random order of the picture's units gets, once for each item, target and probe of a part.
#[derive(Default)]
pub struct RandomOrders<'a> {
    /// A row about the item, target and probe, and the answers about one of its maps.
    found: Vec<(&'a Row<'a>, Vec<Answer>)>,
}

impl<'a> RandomOrders<'a> {
    /// Keeps the answers about `row` if they are the first about its item, target and probe. Rows come sorted.
    pub fn note(&mut self, row: &'a Row<'a>, answers: &[Answer]) {
        let of = |row: &Row<'a>| {
            let (item, target, probe, _) = row.key();
            (item, target, probe)
        };
        let is_known = self.found.last().is_some_and(|(last, _)| of(last) == of(row));
        if !is_known && answers.iter().any(|answer| answer.random.is_some()) {
            self.found.push((row, answers.to_vec()));
        }
    }

    /// Appends them as rows and as curves.
    pub fn append(self, out: &mut ScoreRows, curves: &mut CurveRows) {
        for (row, answers) in self.found {
            let method = format!("{RANDOM}:{}", row.key().2);
            let mut lines = Vec::with_capacity(answers.len());
            for Answer { question, variant, random, .. } in answers {
                let Some(random) = random else { continue };
                if let Some(curve) = &random.curve {
                    row.push_curve(curves, (PROBE, &identity(), &method), (question.name(), &variant), curve);
                }
                let chance = random.score.ok();
                lines.push(Line::perturbed(question, variant, random.score, chance));
            }
            row.push(out, PROBE, &identity(), &method, lines);
        }
    }
}

/// Controls belong to no backbone either.
fn identity() -> ProbeIdentity {
    let [backbone, head, loss, offset] = [(); 4].map(|()| NONE.to_string());
    ProbeIdentity { backbone, head, loss, offset, seed: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_covers_exactly_its_cell() {
        let region = Region::Boxes(Rounding::Unrounded);
        for (size, side) in [(2, 8), (3, 9), (3, 10)] {
            let oracle = |cell| Control::Oracle.map(&Subject::Grid { size, cell }, region, (side, side));
            let maps: Vec<Vec<f32>> = (0..size * size).map(oracle).collect();
            let covered: Vec<f32> = (0..side * side).map(|at| maps.iter().map(|map| map[at]).sum()).collect();
            assert!(covered.iter().all(|times| *times == 1.0), "cells partition the grid");
        }
    }
}
