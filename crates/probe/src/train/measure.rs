//! What a trained probe says about the validation and the test split.

use features::error::Result;
use features::tensor::Device;
use rayon::prelude::*;

use super::gather::Data;
use crate::data::Split;
use crate::lower::{common_norm, logits, scores};
use crate::metrics::{Average, agreement, calibration_error, mean_average_precision, top_k};
use crate::score::{Score, presence};
use crate::trained::{Status, Trained};

/// Bins of the calibration error.
const BINS: usize = 15;

/// The figures of one probe; none of one that diverged.
pub struct Measured {
    /// Logits on the test split `[n, classes]`, offset included.
    pub logits: Vec<f32>,
    /// Accuracy on the validation split.
    pub validation_accuracy: f64,
    /// Accuracy on the test split.
    pub test_accuracy: f64,
    /// Share of the test split whose label is among the five largest logits.
    pub test_top5: f64,
    /// Expected calibration error of the softmax on the test split.
    pub calibration_error: f64,
    /// Mean over test images and classes, offset included.
    pub mean_logit: f64,
    /// The same without the offset.
    pub common_logit: f64,
    /// Figures of data sets with several labels an image, by the log's metric, in percent; of others none.
    pub multi_label: Vec<(&'static str, f64)>,
    /// Norm of the classes' mean weight.
    pub common_norm: f64,
    /// That norm over the mean norm.
    pub common_norm_ratio: f64,
}

/// The figures of all probes, in their order. Each split is looked at once, the pooled features and the maps of it.
///
/// # Errors
/// Features that cannot be read.
pub fn measure(trained: &[Trained], data: &Data, device: &Device) -> Result<Vec<Option<Measured>>> {
    let sane: Vec<&Trained> = trained.iter().filter(|probe| probe.status == Status::Trained).collect();
    let pairs: Vec<_> = sane.iter().map(|probe| (&probe.spec, &probe.weights)).collect();
    let accuracies = scores(Score::Accuracy, &pairs, &data.validation, device)?;
    let logits = logits(&pairs, &data.test, device)?;
    let measured: Result<Vec<Measured>> = sane
        .into_par_iter()
        .zip(accuracies.into_par_iter().zip(logits))
        .map(|(probe, (accuracy, logits))| one(probe, accuracy, logits, &data.test))
        .collect();
    let mut measured = measured?.into_iter();
    Ok(trained.iter().map(|probe| if probe.status == Status::Trained { measured.next() } else { None }).collect())
}

/// A figure of the validation split for each probe; not a number where one diverged.
///
/// # Errors
/// As [`measure`].
pub fn validation(by: Score, trained: &[Trained], data: &Data, device: &Device) -> Result<Vec<f64>> {
    let sane = trained.iter().filter(|probe| probe.status == Status::Trained);
    let pairs: Vec<_> = sane.map(|probe| (&probe.spec, &probe.weights)).collect();
    let mut values = scores(by, &pairs, &data.validation, device)?.into_iter();
    let value = |probe: &Trained| if probe.status == Status::Trained { values.next() } else { None };
    Ok(trained.iter().map(value).map(|value| value.unwrap_or(f64::NAN)).collect())
}

fn one(probe: &Trained, validation_accuracy: f64, logits: Vec<f32>, test: &Split) -> Result<Measured> {
    let labels = &test.labels;
    let classes = logits.len() / labels.len().max(1);
    let mean_logit = logits.iter().map(|&z| f64::from(z)).sum::<f64>() / logits.len().max(1) as f64;
    let rows = logits.chunks(classes.max(1));
    let confidences: Vec<f64> = rows.clone().map(confidence).collect();
    let hits: Vec<bool> = rows.zip(labels).map(|(row, labels)| labels.contains(&crate::data::argmax(row))).collect();
    let [common_norm, common_norm_ratio] = common_norm(probe.spec.head, &probe.weights)?;
    Ok(Measured {
        validation_accuracy,
        test_accuracy: top_k(&logits, labels, 1),
        test_top5: top_k(&logits, labels, 5),
        calibration_error: calibration_error(&confidences, &hits, BINS),
        mean_logit,
        common_logit: mean_logit - f64::from(probe.spec.offset.value(classes)),
        multi_label: if test.is_multi_label() { multi_label(&logits, test, classes) } else { vec![] },
        common_norm,
        common_norm_ratio,
        logits,
    })
}

/// The reference's multi-label figures of a split.
// METHOD: a class is predicted where its sigmoid is at least 0.5, which is where its logit is at least 0.
fn multi_label(logits: &[f32], split: &Split, classes: usize) -> Vec<(&'static str, f64)> {
    let presence = presence(split, classes);
    let [macro_mean, micro] =
        [Average::Macro, Average::Micro].map(|average| agreement(logits, &presence, classes, 0.0, average));
    let average_precision = mean_average_precision(logits, &presence, classes);
    average_precision
        .map(|value| ("mean_average_precision", value))
        .into_iter()
        .chain([
            ("precision_macro", macro_mean.precision),
            ("recall_macro", macro_mean.recall),
            ("f1_macro", macro_mean.f1),
            ("precision_micro", micro.precision),
            ("recall_micro", micro.recall),
            ("f1_micro", micro.f1),
        ])
        .collect()
}

/// Softmax of the largest of some logits.
// METHOD: 1 / sum exp(z - z_max), summed in f64.
pub fn confidence(logits: &[f32]) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    1.0 / logits.iter().map(|&z| f64::from(z - largest).exp()).sum::<f64>()
}
