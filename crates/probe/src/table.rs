//! Declarations of the tables this crate writes; the only place that spells their columns.

use features::artifact::{Cells, Column, Columns, Table, Values, Version};
use features::error::Result;

/// Directory of [`PROBES`] in an experiment's output.
pub const PROBES_DIR: &str = "probe";
/// Directory of [`WEIGHTS`].
pub const WEIGHTS_DIR: &str = "probe.weights";
/// Directory of [`LOG`].
pub const LOG_DIR: &str = "probe.log";
/// Directory of [`PREDICTIONS`].
pub const PREDICTIONS_DIR: &str = "probe.predictions";
/// Side file with all weights, `<probe_id>.<tensor>`.
pub const WEIGHTS_FILE: &str = "probe.safetensors";

const VERSION: Version = Version { major: 1, minor: 0 };

/// Probes and how well they do.
pub const PROBES: Table = Table {
    name: "probes",
    version: VERSION,
    row: "one probe on one backbone; key probe_id",
    columns: &[
        Column::new("probe_id", Values::Text, "HEAD[_offset][_bias]-LOSS-sSEED[-TAG]"),
        Column::new("backbone", Values::Text, "name of the backbone whose features it reads"),
        Column::new(
            "head",
            Values::Text,
            "linear, bcos1..3, mlp2..3, or shift_up, shift_down, shift_fit: a linear probe plus one vector common to all classes",
        ),
        Column::new(
            "loss",
            Values::Text,
            "ce, bce (off-targets 1/classes) or bce_plain (off-targets 0); of a shift_*, that of its source",
        ),
        Column::new("offset", Values::Text, "none, or log_classes: -ln(classes - 1) added to every logit"),
        Column::new("bias", Values::Bool, "whether layers have a trained bias"),
        Column::new("optimiser", Values::Text, "sgd (momentum 0.9, weight decay 0), newton, or none"),
        Column::new("learning_rate", Values::F64, "peak step size; of a shift_*, that of its source"),
        Column::new("seed", Values::I64, "seed of the initial weights"),
        Column::new("epochs", Values::I32, "passes over the training tiles; of a shift_*, those of its source"),
        Column::new("batch", Values::I32, "tiles a step"),
        Column::new("hidden", Values::I32, "channels between layers; 0 for heads of one layer"),
        Column::new("train_loss", Values::F64, "loss over all tiles it was trained on, after training, nats"),
        Column::new("gradient_norm", Values::F64, "norm of that loss's gradient, features scaled to a common norm"),
        Column::new(
            "validation_accuracy",
            Values::F64,
            "share of the validation split whose largest logit is the label's",
        ),
        Column::new("test_accuracy", Values::F64, "the same on the test split"),
        Column::new("mean_logit", Values::F64, "mean over test images and classes, offset included"),
        Column::new(
            "common_norm_ratio",
            Values::F64,
            "norm of the classes' mean weight over the mean norm of their weights, last layer",
        ),
    ],
};

/// Weights, for reading with any tool; `probe.safetensors` holds the same.
pub const WEIGHTS: Table = Table {
    name: "probe_weights",
    version: VERSION,
    row: "one unit of one tensor of one probe; key probe_id, tensor, unit",
    columns: &[
        Column::new("probe_id", Values::Text, "probe"),
        Column::new("layer", Values::I32, "layer, from 0"),
        Column::new("tensor", Values::Text, "name of the tensor, as in the side file"),
        Column::new("unit", Values::I32, "output unit; the last layer's are the classes"),
        Column::new(
            "weight",
            Values::F32List,
            "the unit's weights over its inputs; one number for biases, norms and scales",
        ),
    ],
};

/// What happened during training.
pub const LOG: Table = Table {
    name: "probe_log",
    version: VERSION,
    row: "one measurement during training; key probe_id, epoch, split, metric",
    columns: &[
        Column::new("probe_id", Values::Text, "probe"),
        Column::new("epoch", Values::I32, "passes over the training tiles so far; steps for fit_*"),
        Column::new("split", Values::Text, "split it was measured on"),
        Column::new(
            "metric",
            Values::Text,
            "loss (all tiles), batch_loss (mean over the epoch's batches), accuracy, kappa (shift of the mean logit), fit_loss, fit_gradient_norm, fit_temperature",
        ),
        Column::new("value", Values::F64, "the measurement"),
        Column::new("learning_rate", Values::F64, "step size at that time"),
    ],
};

/// What every probe says about every test image.
pub const PREDICTIONS: Table = Table {
    name: "probe_predictions",
    version: VERSION,
    row: "one test image under one probe; key probe_id, image_id",
    columns: &[
        Column::new("probe_id", Values::Text, "probe"),
        Column::new("image_id", Values::I64, "image_id of the image table"),
        Column::new("label", Values::I32, "class of the image"),
        Column::new("predicted", Values::I32, "class of the largest logit, the first of equals"),
        Column::new("probability", Values::F32, "softmax of the predicted class, whatever the loss"),
        Column::new("logits", Values::F32List, "one a class, offset included"),
    ],
};

macro_rules! rows {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty => $kind:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[allow(missing_docs, reason = "each field is documented as a column of the table")]
        pub struct $name { $(pub $field: Vec<$type>,)* }

        impl $name {
            /// The columns in declared order.
            pub fn cells(self) -> Vec<Cells> {
                vec![$(Cells::$kind(self.$field),)*]
            }

            /// The columns of a part that was read.
            pub fn from_cells(cells: Vec<Cells>) -> Result<Self> {
                let mut columns = Columns::new(cells);
                Ok(Self { $($field: columns.next()?,)* })
            }
        }
    };
}

rows! {
    /// Columns of [`PROBES`], an entry a row.
    ProbeRows {
        probe_id: String => Text,
        backbone: String => Text,
        head: String => Text,
        loss: String => Text,
        offset: String => Text,
        bias: bool => Bool,
        optimiser: String => Text,
        learning_rate: f64 => F64,
        seed: i64 => I64,
        epochs: i32 => I32,
        batch: i32 => I32,
        hidden: i32 => I32,
        train_loss: f64 => F64,
        gradient_norm: f64 => F64,
        validation_accuracy: f64 => F64,
        test_accuracy: f64 => F64,
        mean_logit: f64 => F64,
        common_norm_ratio: f64 => F64,
    }
}

rows! {
    /// Columns of [`WEIGHTS`], an entry a row.
    WeightRows {
        probe_id: String => Text,
        layer: i32 => I32,
        tensor: String => Text,
        unit: i32 => I32,
        weight: Vec<f32> => F32List,
    }
}

rows! {
    /// Columns of [`LOG`], an entry a row.
    LogRows {
        probe_id: String => Text,
        epoch: i32 => I32,
        split: String => Text,
        metric: String => Text,
        value: f64 => F64,
        learning_rate: f64 => F64,
    }
}

rows! {
    /// Columns of [`PREDICTIONS`], an entry a row.
    PredictionRows {
        probe_id: String => Text,
        image_id: i64 => I64,
        label: i32 => I32,
        predicted: i32 => I32,
        probability: f32 => F32,
        logits: Vec<f32> => F32List,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_declared_columns() {
        assert_eq!(ProbeRows::default().cells().len(), PROBES.columns.len());
        assert_eq!(WeightRows::default().cells().len(), WEIGHTS.columns.len());
        assert_eq!(LogRows::default().cells().len(), LOG.columns.len());
        assert_eq!(PredictionRows::default().cells().len(), PREDICTIONS.columns.len());
    }
}
