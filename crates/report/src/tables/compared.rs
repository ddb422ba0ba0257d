//! Tables that hold linear probes under CE and BCE against each other: compactness, and agreement of maps.

use super::{Cell, Formatted, best_bold, difference, each, text};
use crate::findings::Findings;
use crate::labels;
use crate::roles::Metric;

pub fn agreement(findings: &Findings) -> Formatted {
    let metrics = [Metric::ClassAgreement, Metric::SeedStability];
    Formatted {
        name: "agreement",
        title: "Do maps depend on the class, and on the seed?",
        caption: "Mean correlation of a map with those of the other targets of its grid (class agreement: less is more class-specific) \
                  and with those of other seeds of the same probe (seed stability: more is more reproducible; intervals of it are \
                  over items only, as seeds share their pairs). −1 to 1."
            .into(),
        columns: vec!["Backbone", "Metric", "Method", "Linear CE", "Linear BCE", "BCE − CE"],
        rows: ce_against_bce(findings, &metrics),
    }
}

pub fn compactness(findings: &Findings) -> Formatted {
    Formatted {
        name: "compactness",
        title: "Compactness of maps",
        caption: "On grids. Entropy in bits (less is more compact), Gini index from 0 to 1 (more is more compact)."
            .into(),
        columns: vec!["Backbone", "Metric", "Method", "Linear CE", "Linear BCE", "BCE − CE"],
        rows: ce_against_bce(findings, &[Metric::Entropy, Metric::Gini]),
    }
}

/// Means of linear probes under both losses, and their difference, by backbone, metric and method.
fn ce_against_bce(findings: &Findings, metrics: &[Metric]) -> Vec<Vec<Cell>> {
    let roles = &findings.roles;
    let mut rows = Vec::new();
    for (backbone, metric) in each(findings, metrics) {
        for method in &backbone.methods {
            let of =
                |probe: &str| findings.summaries.mean(backbone, metric, method, probe).and_then(|found| found.estimate);
            let found =
                findings.summaries.difference(backbone, metric, method, &roles.ce, &roles.bce).and_then(|d| d.estimate);
            let values = [of(&roles.ce), of(&roles.bce)];
            if values.iter().all(Option::is_none) {
                continue;
            }
            let mut row = vec![text(&backbone.label), text(labels::shown(metric)), text(labels::method(method))];
            row.extend(best_bold(values, metric, metric.higher_is_better()));
            row.push(difference(found, metric));
            rows.push(row);
        }
    }
    rows
}
