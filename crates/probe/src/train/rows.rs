//! Trained probes as table rows.

use features::artifact::Cells;
use features::error::Result;

use super::measure::{Measured, confidence};
use crate::config::Config;
use crate::data::{Split, argmax};
use crate::table::{LogRows, PredictionRows, ProbeRows, WeightRows};
use crate::trained::Trained;

/// The rows of the four tables, in the order of the artifact.
pub fn tables(
    trained: &[Trained],
    measured: &[Option<Measured>],
    test: &Split,
    backbone: &str,
    config: &Config,
) -> Result<Vec<(usize, Vec<Cells>)>> {
    let (mut weights, mut log, mut predictions) =
        (WeightRows::default(), LogRows::default(), PredictionRows::default());
    let mut probes = ProbeRows::default();
    for (probe, measured) in trained.iter().zip(measured) {
        push_probe(&mut probes, probe, measured.as_ref(), backbone, config);
        push_log(&mut log, probe);
        if let Some(measured) = measured {
            push_multi_label(&mut log, probe, measured);
            push_weights(&mut weights, probe);
            push_predictions(&mut predictions, probe, measured, test);
        }
    }
    let tables = [probes.cells(), weights.cells(), log.cells(), predictions.cells()];
    Ok(tables.into_iter().enumerate().collect())
}

/// The end of the stage: a line for people and fields for programs.
pub fn summary(measured: &[Option<Measured>]) -> (String, serde_json::Value) {
    let accuracies = || measured.iter().flatten().map(|probe| 100.0 * probe.test_accuracy);
    let (low, high) = (accuracies().fold(f64::INFINITY, f64::min), accuracies().fold(0.0, f64::max));
    let sane = measured.iter().flatten().count();
    let text = format!("probe: {sane} probes, test accuracy {low:.1} to {high:.1} %");
    (text, serde_json::json!({ "probes": sane, "diverged": measured.len() - sane }))
}

fn push_probe(rows: &mut ProbeRows, probe: &Trained, measured: Option<&Measured>, backbone: &str, config: &Config) {
    let spec = &probe.spec;
    rows.probe_id.push(spec.id());
    rows.backbone.push(backbone.to_string());
    rows.head.push(spec.head.name());
    rows.b.push(spec.exponent());
    rows.loss.push(spec.loss.name().to_string());
    rows.label_smoothing.push(spec.smoothing);
    rows.offset.push(spec.offset.name().to_string());
    rows.bias.push(spec.bias);
    rows.norm.push(spec.norm.name().to_string());
    rows.scaling.push(spec.scaling.name().to_string());
    rows.optimiser.push(spec.optimiser.method.name().to_string());
    rows.momentum.push(spec.optimiser.momentum);
    rows.weight_decay.push(spec.optimiser.weight_decay);
    rows.learning_rate.push(spec.learning_rate);
    rows.rate_rule.push(config.rate_rule.to_string());
    rows.schedule.push(spec.schedule.decay.to_string());
    rows.warm_up.push(spec.schedule.warm_up.to_string());
    rows.seed.push(spec.seed as i64);
    rows.epochs.push(spec.epochs as i32);
    rows.select.push(spec.select.name().to_string());
    rows.kept_epoch.push(probe.kept_epoch as i32);
    rows.batch.push(spec.batch as i32);
    rows.order.push(config.order.to_string());
    rows.hidden.push(spec.hidden as i32);
    rows.status.push(probe.status.name().to_string());
    let figure = |of: fn(&Measured) -> f64| measured.map(of);
    rows.train_loss.push(measured.map(|_| probe.train_loss));
    rows.gradient_norm.push(measured.map(|_| probe.gradient_norm));
    rows.validation_accuracy.push(figure(|m| m.validation_accuracy));
    rows.test_accuracy.push(figure(|m| m.test_accuracy));
    rows.test_top5.push(figure(|m| m.test_top5));
    rows.calibration_error.push(figure(|m| m.calibration_error));
    rows.mean_logit.push(figure(|m| m.mean_logit));
    rows.common_logit.push(figure(|m| m.common_logit));
    rows.common_norm.push(figure(|m| m.common_norm));
    rows.common_norm_ratio.push(figure(|m| m.common_norm_ratio));
}

fn push_weights(rows: &mut WeightRows, probe: &Trained) {
    for (name, array) in &probe.weights.0 {
        let units = array.shape[0];
        for (unit, weight) in array.values.chunks(array.values.len() / units.max(1)).enumerate() {
            rows.probe_id.push(probe.spec.id());
            rows.layer.push(layer(name));
            rows.tensor.push(name.clone());
            rows.unit.push(unit as i32);
            rows.weight.push(weight.to_vec());
        }
    }
}

/// The layer of `fc12.weight`, or 0 of what names none.
fn layer(name: &str) -> i32 {
    let digits: String = name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn push_log(rows: &mut LogRows, probe: &Trained) {
    for entry in &probe.log {
        rows.probe_id.push(probe.spec.id());
        rows.epoch.push(entry.epoch as i32);
        rows.split.push(entry.split.to_string());
        rows.metric.push(entry.metric.to_string());
        rows.value.push(entry.value);
        rows.learning_rate.push(entry.learning_rate);
    }
}

/// Figures that only data sets with several labels an image have, as the last measurements of the log.
fn push_multi_label(rows: &mut LogRows, probe: &Trained, measured: &Measured) {
    for (metric, value) in &measured.multi_label {
        rows.probe_id.push(probe.spec.id());
        rows.epoch.push(probe.spec.epochs as i32);
        rows.split.push("test".to_string());
        rows.metric.push(metric.to_string());
        rows.value.push(*value);
        rows.learning_rate.push(0.0);
    }
}

fn push_predictions(rows: &mut PredictionRows, probe: &Trained, measured: &Measured, test: &Split) {
    let classes = measured.logits.len() / test.len().max(1);
    for (image, logits) in measured.logits.chunks(classes.max(1)).enumerate() {
        let predicted = argmax(logits);
        rows.probe_id.push(probe.spec.id());
        rows.image_id.push(test.image_ids[image]);
        let labels = &test.labels[image];
        let label = labels.iter().find(|label| **label == predicted).or(labels.first());
        rows.label.push(label.map_or(-1, |&label| label as i32));
        rows.predicted.push(predicted as i32);
        rows.probability.push(confidence(logits) as f32);
        rows.logits.push(logits.to_vec());
    }
}
