//! Figures of predictions against torchmetrics.

use std::collections::BTreeMap;

use probe::metrics::{Average, Presence, agreement, calibration_error, mean_average_precision, top_k};

use crate::{expected, formula};

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f64,
    classes: usize,
    bins: usize,
    labels: Vec<usize>,
    there: Vec<u8>,
    top1: f64,
    top5: f64,
    calibration_error: f64,
    mean_average_precision: f64,
    several: BTreeMap<String, f64>,
}

#[test]
fn figures_of_predictions_are_those_of_torchmetrics() {
    let stored: Expected = expected::read("torchmetrics");
    let classes = stored.classes;
    let logits: Vec<f32> =
        formula::unit("logits", stored.labels.len() * classes).map(|value| (3.0 * value) as f32).collect();
    let check = |what: &str, found: f64, expected: f64, largest: f64| {
        assert!((found - expected).abs() <= stored.tolerance * largest, "{what}: {found} {expected}");
    };
    let labels: Vec<Vec<usize>> = stored.labels.iter().map(|&label| vec![label]).collect();
    check("top-1", top_k(&logits, &labels, 1), stored.top1, 1.0);
    check("top-5", top_k(&logits, &labels, 5), stored.top5, 1.0);
    let mut confidences = Vec::new();
    let mut hits = Vec::new();
    for (row, &label) in logits.chunks(classes).zip(&stored.labels) {
        let powers: Vec<f64> = row.iter().map(|&logit| f64::from(logit).exp()).collect();
        let largest = powers.iter().copied().fold(0.0, f64::max);
        confidences.push(largest / powers.iter().sum::<f64>());
        hits.push(powers[label] == largest);
    }
    let found = calibration_error(&confidences, &hits, stored.bins);
    check("calibration error", found, stored.calibration_error, 1.0);
    let presence: Vec<Presence> =
        stored.there.iter().map(|&there| if there == 1 { Presence::Present } else { Presence::Absent }).collect();
    let found = mean_average_precision(&logits, &presence, classes).expect("every class is somewhere");
    check("mean average precision", found, stored.mean_average_precision, 100.0);
    for (average, name) in [(Average::Macro, "macro"), (Average::Micro, "micro")] {
        // A sigmoid is 0.5 where its logit is 0.
        let found = agreement(&logits, &presence, classes, 0.0, average);
        for (what, found) in [("precision", found.precision), ("recall", found.recall), ("f1", found.f1)] {
            let what = format!("{what}_{name}");
            check(&what, found, stored.several[&what], 100.0);
        }
    }
}
