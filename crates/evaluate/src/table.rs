//! The score table and that of curves: their declarations, and their rows as columns. Nothing else in this crate spells its column names.

use features::artifact::{Cells, Column, Columns, Table, Values, Version};
use features::error::Result;

/// Scores, long: a metric more is rows more. Directory `evaluate` of an experiment.
pub const SCORES: Table = Table {
    name: "scores",
    version: Version::new(1, 1),
    row: "one metric of one attribution map, or of a control; key: item, target_index, probe_id, method, metric, variant",
    columns: &[
        Column::new("item", Values::Text, "grid, scene or tile, such as grid3/0012 or difull3/0012"),
        Column::new(
            "item_kind",
            Values::Text,
            "grid, scene or tile; difull or dipart for grids whose cells have a classification of their own",
        ),
        Column::nullable("grid_size", Values::I32, "cells on a side of the grid; null for scenes and tiles"),
        Column::new(
            "target_index",
            Values::I32,
            "cell of the target, row by row from 0; in scenes its place among the targets; 0 in tiles",
        ),
        Column::new("target_class", Values::I32, "class whose logit is explained"),
        Column::new("backbone", Values::Text, "frozen network under the probe"),
        Column::new(
            "probe_id",
            Values::Text,
            "probe, unique in the experiment; control for made-up maps, which belong to no probe and no backbone",
        ),
        Column::new("head", Values::Text, "kind of probe head"),
        Column::new("loss", Values::Text, "loss that the probe was trained with"),
        Column::new("offset", Values::Text, "constant added to the logits: none or log_classes"),
        Column::new("seed", Values::I64, "seed of the probe's initial weights"),
        Column::new(
            "method",
            Values::Text,
            "attribution method; of controls uniform:METHOD (knows nothing) or oracle:METHOD (1 on the target), smoothed \
             as maps of METHOD are, and random:PROBE (a random order of the picture's units, as PROBE sees it)",
        ),
        Column::new(
            "metric",
            Values::Text,
            "grid_pointing_game, difull and dipart (the same share in grids whose cells have a classification of their own), \
             pointing_game, energy_pointing_game, bounding_box_iou, entropy, gini, class_agreement \
             (correlation with the maps of other targets), seed_stability (correlation with the maps of other seeds), and \
             from perturbed pictures pixel_deletion, pixel_insertion (areas under curves) and sufficiency, and similarity to the \
             original map parameter_randomisation (other weights) and logit_randomisation (another class)",
        ),
        Column::new(
            "variant",
            Values::Text,
            "grid_pointing_game, difull and dipart: reference (smoothed by method) or none; pointing_game: strict; energy_pointing_game and \
             bounding_box_iou: unrounded or reference (2 decimals); entropy: avg5; gini: relative (floor 1e-7 of the \
             maximum) or reference (floor 1e-7); class_agreement and seed_stability: pearson; of perturbation ORDER:UNIT:\
             BASELINE:CONFIDENCE, as in least_first:pixels:mean:softmax, all relative to the whole picture; of parameter_\
             randomisation DEPTH:REDRAW:SIMILARITY, as in last2:normal:pearson, where the weights of the probe (head), also of \
             the last 2 stages of the backbone, or of all stages (all) were drawn again; of logit_randomisation other_class:SIMILARITY",
        ),
        Column::new(
            "smoothing",
            Values::Text,
            "filter over the signed map before clamping at 0: none, avg5 or gaussK of K pixels",
        ),
        Column::nullable(
            "value",
            Values::F64,
            "the score; null where it is undefined (the reference averages 0 in there)",
        ),
        Column::nullable(
            "reason",
            Values::Text,
            "why value is null: no_positive_mass, not_finite, no_box, no_peer, constant or no_confidence",
        ),
        Column::nullable(
            "chance",
            Values::F64,
            "expected value for a map that knows nothing; of perturbation the mean score of random orders for the same target and \
             probe; null where there is no such level",
        ),
        Column::new("higher_is_better", Values::Bool, "direction of the metric"),
    ],
};

/// Curves over the share of pixels removed. Directory `evaluate.curves` of an experiment, where perturbation is asked for.
pub const CURVES: Table = Table {
    name: "curves",
    version: Version::new(1, 0),
    row: "one point of a curve; key: item, target_index, probe_id, method, metric, variant, removed",
    columns: &[
        Column::new("item", Values::Text, "grid, scene or tile, such as test/00012"),
        Column::new("item_kind", Values::Text, "grid, scene or tile"),
        Column::new("target_index", Values::I32, "place of the target, as in the score table"),
        Column::new("target_class", Values::I32, "class whose confidence is followed"),
        Column::new("backbone", Values::Text, "frozen network under the probe"),
        Column::new("probe_id", Values::Text, "probe, unique in the experiment; control for random orders"),
        Column::new("seed", Values::I64, "seed of the probe's initial weights"),
        Column::new(
            "method",
            Values::Text,
            "attribution method whose map gives the order; random:PROBE for the first random one, as PROBE sees it",
        ),
        Column::new("metric", Values::Text, "pixel_deletion or pixel_insertion"),
        Column::new("variant", Values::Text, "ORDER:UNIT:BASELINE:CONFIDENCE, as in the score table"),
        Column::new("removed", Values::F64, "share of the pixels that the baseline stands for, 0 and 1 included"),
        Column::new("value", Values::F64, "confidence in the target: softmax, sigmoid or logit, as the variant says"),
        Column::nullable(
            "relative",
            Values::F64,
            "value as a share of that at 0, whose area is the score; null where that is not above 0",
        ),
    ],
};

/// Rows of [`SCORES`], a column a vector.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the meanings are in the table's declaration")]
pub struct ScoreRows {
    pub item: Vec<String>,
    pub item_kind: Vec<String>,
    pub grid_size: Vec<Option<i32>>,
    pub target_index: Vec<i32>,
    pub target_class: Vec<i32>,
    pub backbone: Vec<String>,
    pub probe_id: Vec<String>,
    pub head: Vec<String>,
    pub loss: Vec<String>,
    pub offset: Vec<String>,
    pub seed: Vec<i64>,
    pub method: Vec<String>,
    pub metric: Vec<String>,
    pub variant: Vec<String>,
    pub smoothing: Vec<String>,
    pub value: Vec<Option<f64>>,
    pub reason: Vec<Option<String>>,
    pub chance: Vec<Option<f64>>,
    pub higher_is_better: Vec<bool>,
}

impl ScoreRows {
    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![
            Cells::Text(self.item),
            Cells::Text(self.item_kind),
            Cells::I32Opt(self.grid_size),
            Cells::I32(self.target_index),
            Cells::I32(self.target_class),
            Cells::Text(self.backbone),
            Cells::Text(self.probe_id),
            Cells::Text(self.head),
            Cells::Text(self.loss),
            Cells::Text(self.offset),
            Cells::I64(self.seed),
            Cells::Text(self.method),
            Cells::Text(self.metric),
            Cells::Text(self.variant),
            Cells::Text(self.smoothing),
            Cells::F64Opt(self.value),
            Cells::TextOpt(self.reason),
            Cells::F64Opt(self.chance),
            Cells::Bool(self.higher_is_better),
        ]
    }

    /// The rows of columns read in declared order.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            item: columns.next()?,
            item_kind: columns.next()?,
            grid_size: columns.next()?,
            target_index: columns.next()?,
            target_class: columns.next()?,
            backbone: columns.next()?,
            probe_id: columns.next()?,
            head: columns.next()?,
            loss: columns.next()?,
            offset: columns.next()?,
            seed: columns.next()?,
            method: columns.next()?,
            metric: columns.next()?,
            variant: columns.next()?,
            smoothing: columns.next()?,
            value: columns.next()?,
            reason: columns.next()?,
            chance: columns.next()?,
            higher_is_better: columns.next()?,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.item.is_empty()
    }
}

/// Rows of [`CURVES`], a column a vector.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the meanings are in the table's declaration")]
pub struct CurveRows {
    pub item: Vec<String>,
    pub item_kind: Vec<String>,
    pub target_index: Vec<i32>,
    pub target_class: Vec<i32>,
    pub backbone: Vec<String>,
    pub probe_id: Vec<String>,
    pub seed: Vec<i64>,
    pub method: Vec<String>,
    pub metric: Vec<String>,
    pub variant: Vec<String>,
    pub removed: Vec<f64>,
    pub value: Vec<f64>,
    pub relative: Vec<Option<f64>>,
}

impl CurveRows {
    /// The columns in declared order.
    pub fn cells(self) -> Vec<Cells> {
        vec![
            Cells::Text(self.item),
            Cells::Text(self.item_kind),
            Cells::I32(self.target_index),
            Cells::I32(self.target_class),
            Cells::Text(self.backbone),
            Cells::Text(self.probe_id),
            Cells::I64(self.seed),
            Cells::Text(self.method),
            Cells::Text(self.metric),
            Cells::Text(self.variant),
            Cells::F64(self.removed),
            Cells::F64(self.value),
            Cells::F64Opt(self.relative),
        ]
    }

    /// The rows of columns read in declared order.
    pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
        let mut columns = Columns::new(cells);
        Ok(Self {
            item: columns.next()?,
            item_kind: columns.next()?,
            target_index: columns.next()?,
            target_class: columns.next()?,
            backbone: columns.next()?,
            probe_id: columns.next()?,
            seed: columns.next()?,
            method: columns.next()?,
            metric: columns.next()?,
            variant: columns.next()?,
            removed: columns.next()?,
            value: columns.next()?,
            relative: columns.next()?,
        })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.item.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_their_cells() {
        let rows = ScoreRows {
            item: vec!["grid3/0001".into()],
            item_kind: vec!["grid".into()],
            grid_size: vec![Some(3)],
            target_index: vec![4],
            target_class: vec![2],
            backbone: vec!["a".into()],
            probe_id: vec!["b".into()],
            head: vec!["c".into()],
            loss: vec!["d".into()],
            offset: vec!["e".into()],
            seed: vec![7],
            method: vec!["f".into()],
            metric: vec!["g".into()],
            variant: vec!["h".into()],
            smoothing: vec!["i".into()],
            value: vec![None],
            reason: vec![Some("no_positive_mass".into())],
            chance: vec![Some(0.25)],
            higher_is_better: vec![true],
        };
        let cells = rows.clone().cells();
        assert_eq!(cells.len(), SCORES.columns.len());
        assert_eq!(ScoreRows::from_cells(cells).unwrap(), rows);
    }

    #[test]
    fn points_survive_their_cells() {
        let rows = CurveRows {
            item: vec!["test/00001".into()],
            item_kind: vec!["tile".into()],
            target_index: vec![0],
            target_class: vec![2],
            backbone: vec!["a".into()],
            probe_id: vec!["b".into()],
            seed: vec![7],
            method: vec!["c".into()],
            metric: vec!["d".into()],
            variant: vec!["e".into()],
            removed: vec![0.25],
            value: vec![0.5],
            relative: vec![None],
        };
        let cells = rows.clone().cells();
        assert_eq!(cells.len(), CURVES.columns.len());
        assert_eq!(CurveRows::from_cells(cells).unwrap(), rows);
    }
}
