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
/// Side file with the weights under the reference's names, `<probe_id>.head.<tensor>`, of probes that its heads can hold.
pub const REFERENCE_FILE: &str = "probe.reference.safetensors";

const VERSION: Version = Version { major: 1, minor: 0 };
/// Measured columns may be null since 2.0, where a probe diverged; 2.1 added b, select and kept_epoch, 2.2
/// rate_rule and order.
const PROBES_VERSION: Version = Version { major: 2, minor: 2 };

/// Probes and how well they do.
pub const PROBES: Table = Table {
    name: "probes",
    version: PROBES_VERSION,
    row: "one probe on one backbone; key probe_id; measured columns are null where status is diverged",
    columns: &[
        Column::new("probe_id", Values::Text, "HEAD[_bB][_offset][_bias]-LOSS[-OPTIMISER]-sSEED[-TAG]"),
        Column::new("backbone", Values::Text, "name of the backbone whose features it reads"),
        Column::new(
            "head",
            Values::Text,
            "linear, bcosN or mlpN of N layers, or shift_up, shift_down, shift_fit: a linear probe plus one vector common to all classes",
        ),
        Column::new(
            "loss",
            Values::Text,
            "ce, bce (off-targets 1/classes), bce_plain (off-targets 0) or focal; with _sum summed over classes; of a shift_*, that of its source",
        ),
        Column::nullable("b", Values::F64, "exponent of B-cos layers; null for other heads"),
        Column::new("label_smoothing", Values::F64, "share of a label spread over all classes"),
        Column::new("offset", Values::Text, "none, or log_classes: -ln(classes - 1) added to every logit"),
        Column::new("bias", Values::Bool, "whether layers have a trained bias"),
        Column::new("norm", Values::Text, "between layers: batch, uncentred, or none for heads of one layer"),
        Column::new("scaling", Values::Text, "features before training: common (to a common norm) or none"),
        Column::new(
            "optimiser",
            Values::Text,
            "sgd, adam, adamw, lbfgs (the optimum), newton (shift_fit), or none (other shifts, imported heads)",
        ),
        Column::new("momentum", Values::F64, "of sgd; 0 for others"),
        Column::new("weight_decay", Values::F64, "factor of half the squared weights"),
        Column::new("learning_rate", Values::F64, "peak step size; of a shift_*, that of its source"),
        Column::new(
            "rate_rule",
            Values::Text,
            "how that followed from the configured one: as_given, or linear:N: times batch / N",
        ),
        Column::new(
            "schedule",
            Values::Text,
            "fall of the step size: constant, step:EPOCHS or step_every:EPOCHS (to a tenth), cosine, cosine_by_epoch",
        ),
        Column::new("warm_up", Values::Text, "rise of the step size: none, steps:N, or epochs:N from FACTOR"),
        Column::new("seed", Values::I64, "seed of the initial weights"),
        Column::new(
            "epochs",
            Values::I32,
            "passes over the training tiles, of lbfgs at most; of a shift_*, those of its source",
        ),
        Column::new(
            "select",
            Values::Text,
            "whose weights these are: last_epoch, or best_epoch: of the best score on the validation split",
        ),
        Column::new("kept_epoch", Values::I32, "passes after which these weights were taken; else as epochs"),
        Column::new("batch", Values::I32, "tiles a step"),
        Column::new(
            "order",
            Values::Text,
            "how training tiles were mixed: whole, or windows:N: N parts of the features at a time",
        ),
        Column::new("hidden", Values::I32, "channels between layers; 0 for heads of one layer"),
        Column::new("status", Values::Text, "trained, or diverged: its loss left the numbers or grew 100 fold"),
        Column::nullable("train_loss", Values::F64, "loss over all tiles it was trained on, after training, nats"),
        Column::nullable(
            "gradient_norm",
            Values::F64,
            "norm of that loss's gradient, features scaled as in training; of lbfgs with the weight decay's part",
        ),
        Column::nullable(
            "validation_accuracy",
            Values::F64,
            "share of the validation split whose largest logit is that of the label, or of one of them",
        ),
        Column::nullable("test_accuracy", Values::F64, "the same on the test split"),
        Column::nullable(
            "test_top5",
            Values::F64,
            "share of the test split with a label among the five largest logits",
        ),
        Column::nullable(
            "calibration_error",
            Values::F64,
            "expected calibration error of the softmax on the test split, 15 bins of equal width",
        ),
        Column::nullable("mean_logit", Values::F64, "mean over test images and classes, offset included"),
        Column::nullable("common_logit", Values::F64, "the same without the offset: what is common to all classes"),
        Column::nullable("common_norm", Values::F64, "norm of the classes' mean weight, last layer"),
        Column::nullable("common_norm_ratio", Values::F64, "that norm over the mean norm of the classes' weights"),
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
    row: "one measurement during training; key probe_id, epoch, split, metric, learning_rate",
    columns: &[
        Column::new("probe_id", Values::Text, "probe"),
        Column::new("epoch", Values::I32, "passes over the training tiles so far; steps for fit_*"),
        Column::new("split", Values::Text, "split it was measured on"),
        Column::new(
            "metric",
            Values::Text,
            "batch_loss (mean over the epoch's batches, each before its step), accuracy, kappa (shift of the mean logit), fit_loss, fit_gradient_norm, fit_temperature, candidate_accuracy (of each step size that was tried); of data sets with several labels an image, in percent, on the validation split mean_average_precision and candidate_mean_average_precision in the place of the accuracies, on the test split mean_average_precision, and precision, recall and f1 of sigmoids from 0.5 on as *_macro (mean over classes) and *_micro (of summed counts)",
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
        Column::new(
            "label",
            Values::I32,
            "class of the image; of several, the predicted one if it is among them, else the first; -1 for an image without any",
        ),
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
        b: Option<f64> => F64Opt,
        label_smoothing: f64 => F64,
        offset: String => Text,
        bias: bool => Bool,
        norm: String => Text,
        scaling: String => Text,
        optimiser: String => Text,
        momentum: f64 => F64,
        weight_decay: f64 => F64,
        learning_rate: f64 => F64,
        rate_rule: String => Text,
        schedule: String => Text,
        warm_up: String => Text,
        seed: i64 => I64,
        epochs: i32 => I32,
        select: String => Text,
        kept_epoch: i32 => I32,
        batch: i32 => I32,
        order: String => Text,
        hidden: i32 => I32,
        status: String => Text,
        train_loss: Option<f64> => F64Opt,
        gradient_norm: Option<f64> => F64Opt,
        validation_accuracy: Option<f64> => F64Opt,
        test_accuracy: Option<f64> => F64Opt,
        test_top5: Option<f64> => F64Opt,
        calibration_error: Option<f64> => F64Opt,
        mean_logit: Option<f64> => F64Opt,
        common_logit: Option<f64> => F64Opt,
        common_norm: Option<f64> => F64Opt,
        common_norm_ratio: Option<f64> => F64Opt,
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
