//! Tables this crate writes, and the names of all columns that it reads by name. No other file spells a column.

use crate::bootstrap::Estimate;
use crate::significance::Significance;
use crate::summary::Summaries;
use features::artifact::{Cells, Column, Table, Values, Version};

/// Names of columns, for queries and CSV files.
pub mod column {
    /// Name of the experiment's directory.
    pub const EXPERIMENT: &str = "experiment";
    /// Backbone.
    pub const BACKBONE: &str = "backbone";
    /// Grid or scene.
    pub const ITEM_KIND: &str = "item_kind";
    /// Cells on a side.
    pub const GRID_SIZE: &str = "grid_size";
    /// Metric.
    pub const METRIC: &str = "metric";
    /// Variant of the metric.
    pub const VARIANT: &str = "variant";
    /// Attribution method.
    pub const METHOD: &str = "method";
    /// Probe without seed.
    pub const PROBE: &str = "probe";
    /// Head of the probe.
    pub const HEAD: &str = "head";
    /// Loss of the probe.
    pub const LOSS: &str = "loss";
    /// Offset of the probe.
    pub const OFFSET: &str = "offset";
    /// Columns that name a group of scores.
    pub const KEY: [&str; 11] =
        [EXPERIMENT, BACKBONE, ITEM_KIND, GRID_SIZE, METRIC, VARIANT, METHOD, PROBE, HEAD, LOSS, OFFSET];
    /// Columns of a mean with its interval.
    pub const ESTIMATE: [&str; 6] = ["mean", "ci_low", "ci_high", "n", "items", "seeds"];
    /// Effect size and p-value of a difference.
    pub const TESTED: [&str; 2] = ["effect_size", "p_value"];
    /// P-value corrected for the number of comparisons.
    pub const ADJUSTED: &str = "p_holm";
    /// What the paper reports.
    pub const REPORTED: &str = "paper";
    /// Part of a variance.
    pub const FACTOR: &str = "factor";
    /// Share of a picture's pixels that were removed.
    pub const REMOVED: &str = "removed";
    /// Whether two probes are equally accurate.
    pub const MATCHED: &str = "matched";
    /// Undefined values left out.
    pub const SKIPPED: &str = "skipped";
    /// Mean with 0 for maps without positive relevance.
    pub const EMPTY_AS_ZERO: &str = "mean_empty_as_zero";
    /// Score of an uninformative map.
    pub const CHANCE: &str = "chance";
    /// Probe compared with.
    pub const BASELINE: &str = "baseline";
    /// Number of a sign.
    pub const SIGN: &str = "sign";
    /// What the paper says.
    pub const STATEMENT: &str = "statement";
    /// What is compared.
    pub const COMPARISON: &str = "comparison";
    /// Where the paper puts the estimate.
    pub const EXPECTED: &str = "expected";
    /// Verdict on a sign.
    pub const VERDICT: &str = "verdict";
    /// Item of a score.
    pub const ITEM: &str = "item";
    /// Target of a score.
    pub const TARGET_INDEX: &str = "target_index";
    /// Probe with seed.
    pub const PROBE_ID: &str = "probe_id";
    /// Seed of a probe.
    pub const SEED: &str = "seed";
    /// A score.
    pub const VALUE: &str = "value";
    /// Why there is none.
    pub const REASON: &str = "reason";
    /// Direction of a metric.
    pub const HIGHER_IS_BETTER: &str = "higher_is_better";
    /// Image of a prediction.
    pub const IMAGE_ID: &str = "image_id";
    /// True class.
    pub const LABEL: &str = "label";
    /// Predicted class.
    pub const PREDICTED: &str = "predicted";
    /// Probability of the predicted class.
    pub const PROBABILITY: &str = "probability";
    /// Optimiser of a probe.
    pub const OPTIMISER: &str = "optimiser";
    /// Learning rate of a probe.
    pub const LEARNING_RATE: &str = "learning_rate";
    /// Epochs of a probe.
    pub const EPOCHS: &str = "epochs";
    /// Final loss of a probe.
    pub const TRAIN_LOSS: &str = "train_loss";
    /// Final gradient norm of a probe.
    pub const GRADIENT_NORM: &str = "gradient_norm";
    /// Test accuracy of a probe.
    pub const TEST_ACCURACY: &str = "test_accuracy";
    /// Mean logit of a probe.
    pub const MEAN_LOGIT: &str = "mean_logit";
    /// Norm of the mean class weight over the mean norm.
    pub const COMMON_NORM_RATIO: &str = "common_norm_ratio";
}

/// Means and paired differences of scores, long. Directory `report` of the report.
pub const SUMMARY: Table = Table {
    name: "summary",
    version: Version { major: 1, minor: 2 },
    row: "mean of one probe's scores (or of a control's), or of their paired difference to a baseline's; key: all columns up \
          to baseline",
    columns: &[
        Column::new(column::EXPERIMENT, Values::Text, "name of the experiment's directory"),
        Column::new(column::BACKBONE, Values::Text, "frozen network under the probe"),
        Column::new(column::ITEM_KIND, Values::Text, "grid or scene"),
        Column::nullable(column::GRID_SIZE, Values::I32, "cells on a side of the grid; null for scenes"),
        Column::new(column::METRIC, Values::Text, "metric"),
        Column::new(column::VARIANT, Values::Text, "variant of the metric"),
        Column::new(column::METHOD, Values::Text, "attribution method"),
        Column::new(column::PROBE, Values::Text, "probe id without its seed"),
        Column::new(column::HEAD, Values::Text, "kind of probe head"),
        Column::new(column::LOSS, Values::Text, "loss that the probe was trained with"),
        Column::new(column::OFFSET, Values::Text, "constant added to the logits: none or log_classes"),
        Column::nullable(column::BASELINE, Values::Text, "probe that is subtracted; null for a plain mean"),
        Column::nullable(
            column::ESTIMATE[0],
            Values::F64,
            "mean over maps, or over paired differences; null if none is defined",
        ),
        Column::nullable(
            column::ESTIMATE[1],
            Values::F64,
            "lower end of the 95 % interval over resampled items and seeds; null for a single item",
        ),
        Column::nullable(
            column::ESTIMATE[2],
            Values::F64,
            "upper end of the 95 % interval over resampled items and seeds; null for a single item",
        ),
        Column::new(column::ESTIMATE[3], Values::I64, "maps or pairs in the mean"),
        Column::new(column::ESTIMATE[4], Values::I64, "distinct items among them"),
        Column::new(column::ESTIMATE[5], Values::I64, "distinct probe seeds among them"),
        Column::new(column::SKIPPED, Values::I64, "maps or pairs left out because a score is undefined"),
        Column::nullable(
            column::CHANCE,
            Values::F64,
            "mean score of a map that knows nothing; null where there is no such level",
        ),
        Column::new(column::HIGHER_IS_BETTER, Values::Bool, "direction of the metric"),
        Column::nullable(
            column::TESTED[0],
            Values::F64,
            "mean difference of items over its standard deviation (Cohen's d of pairs); null for means",
        ),
        Column::nullable(
            column::TESTED[1],
            Values::F64,
            "two-sided p-value of no difference, items permuted in sign, not corrected for other rows; null for means",
        ),
        Column::nullable(
            column::EMPTY_AS_ZERO,
            Values::F64,
            "mean with 0 for maps without positive relevance, as the paper's code counts them; null where there are none",
        ),
    ],
};

/// Rows of [`SUMMARY`]: means first, then controls, then differences.
pub fn cells(summaries: &Summaries) -> Vec<Cells> {
    struct Row<'a> {
        key: &'a crate::scores::Key,
        baseline: Option<&'a str>,
        estimate: Option<Estimate>,
        skipped: usize,
        chance: Option<f64>,
        higher_is_better: bool,
        significance: Option<Significance>,
        empty_as_zero: Option<f64>,
    }
    let Summaries { means, differences, controls } = summaries;
    let first = means.iter().chain(controls).map(|m| Row {
        key: &m.key,
        baseline: None,
        estimate: m.estimate,
        skipped: m.skipped,
        chance: m.chance,
        higher_is_better: m.higher_is_better,
        significance: None,
        empty_as_zero: m.empty_as_zero,
    });
    let second = differences.iter().map(|d| Row {
        key: &d.key,
        baseline: Some(&d.baseline),
        estimate: d.estimate,
        skipped: d.skipped,
        chance: None,
        higher_is_better: d.higher_is_better,
        significance: d.significance,
        empty_as_zero: d.empty_as_zero.map(|zero| zero.mean),
    });
    let rows: Vec<Row> = first.chain(second).collect();
    let words =
        |of: fn(&crate::scores::Key) -> &String| Cells::Text(rows.iter().map(|row| of(row.key).clone()).collect());
    let floats =
        |of: fn(Estimate) -> Option<f64>| Cells::F64Opt(rows.iter().map(|row| row.estimate.and_then(of)).collect());
    let counts =
        |of: fn(Estimate) -> usize| Cells::I64(rows.iter().map(|row| row.estimate.map_or(0, of) as i64).collect());
    vec![
        words(|key| &key.experiment),
        words(|key| &key.backbone),
        words(|key| &key.item_kind),
        Cells::I32Opt(rows.iter().map(|row| row.key.grid_size).collect()),
        words(|key| &key.metric),
        words(|key| &key.variant),
        words(|key| &key.method),
        words(|key| &key.probe),
        words(|key| &key.head),
        words(|key| &key.loss),
        words(|key| &key.offset),
        Cells::TextOpt(rows.iter().map(|row| row.baseline.map(str::to_string)).collect()),
        floats(|e| Some(e.mean)),
        floats(|e| Some(e.interval()?.0)),
        floats(|e| Some(e.interval()?.1)),
        counts(|e| e.n),
        counts(|e| e.items),
        counts(|e| e.seeds),
        Cells::I64(rows.iter().map(|row| row.skipped as i64).collect()),
        Cells::F64Opt(rows.iter().map(|row| row.chance).collect()),
        Cells::Bool(rows.iter().map(|row| row.higher_is_better).collect()),
        Cells::F64Opt(rows.iter().map(|row| row.significance?.effect_size).collect()),
        Cells::F64Opt(rows.iter().map(|row| Some(row.significance?.p_value)).collect()),
        Cells::F64Opt(rows.iter().map(|row| row.empty_as_zero).collect()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_the_declaration() {
        let findings = crate::fake::findings();
        let cells = cells(&findings.summaries);
        assert_eq!(cells.len(), SUMMARY.columns.len());
    }

    #[test]
    fn columns_read_by_name_are_declared_upstream() {
        let scores = [
            column::ITEM,
            column::ITEM_KIND,
            column::GRID_SIZE,
            column::TARGET_INDEX,
            column::BACKBONE,
            column::PROBE_ID,
            column::HEAD,
            column::LOSS,
            column::OFFSET,
            column::SEED,
            column::METHOD,
            column::METRIC,
            column::VARIANT,
            column::VALUE,
            column::CHANCE,
            column::HIGHER_IS_BETTER,
        ];
        for name in scores {
            assert!(evaluate::table::SCORES.columns.iter().any(|column| column.name == name), "{name}");
        }
    }
}
