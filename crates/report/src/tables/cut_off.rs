//! The table of grids whose cells have a classification of their own, beside the usual ones.

use super::{Cell, Formatted, best_bold, number, text};
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};
use evaluate::controls::Control;

/// The settings, the strictest last.
const METRICS: [Metric; 3] = [Metric::GridPointingGame, Metric::DiPart, Metric::DiFull];

/// One row a backbone and method that was explained so.
pub fn table(findings: &Findings) -> Formatted {
    Formatted {
        name: "cutoff",
        title: "Grids whose cells are cut off from each other",
        caption: "Share of positive relevance in the right cell, % with 95 % interval (Rao et al. 2022). GridPG: one \
                  classification of the whole grid, so that other cells may count. DiPart: a classification of the cell's \
                  features. DiFull: of the cell's pixels, nothing else has any influence, so what is missing there is the \
                  method's doing and not the probe's. Even cell: a map that covers the cell evenly, smoothed as the method's maps \
                  are; one that keeps to the middle of the cell loses less to smoothing. \
                  DiPart and DiFull are of each grid's first and last cell."
            .into(),
        columns: vec![
            "Backbone", "Method", "GridPG CE", "GridPG BCE", "DiPart CE", "DiPart BCE", "DiFull CE", "DiFull BCE", "Even cell",
        ],
        rows: findings.backbones.iter().flat_map(|backbone| rows(findings, backbone)).collect(),
    }
}

fn rows(findings: &Findings, backbone: &Backbone) -> Vec<Vec<Cell>> {
    let roles = &findings.roles;
    let row = |method: &String| {
        let of = |metric: Metric| {
            [&roles.ce, &roles.bce]
                .map(|probe| findings.summaries.mean(backbone, metric, method, probe).and_then(|found| found.estimate))
        };
        let values = METRICS.map(of);
        let cut_off = values[1..].iter().flatten().any(Option::is_some);
        let mut row = vec![text(&backbone.label), text(labels::method(method))];
        row.extend(METRICS.into_iter().zip(values).flat_map(|(metric, values)| best_bold(values, metric, true)));
        // The cells are the same in both settings, and so is what covers one evenly.
        let even_cell = |metric| findings.summaries.control(backbone, metric, Control::Oracle, method);
        let even_cell = even_cell(Metric::DiFull).or_else(|| even_cell(Metric::DiPart));
        row.push(number(even_cell.map_or("–".to_string(), |value| labels::number(100.0 * value, 1))));
        cut_off.then_some(row)
    };
    backbone.methods.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_were_not_explained_so_have_no_row() {
        let mut findings = crate::fake::findings();
        assert_eq!(table(&findings).rows.len(), 5 + 3);
        let cut_off = [Metric::DiFull.name(), Metric::DiPart.name()];
        findings
            .summaries
            .means
            .retain(|mean| !cut_off.contains(&mean.key.metric.as_str()) || mean.key.method == "lrp");
        assert_eq!(table(&findings).rows.len(), 1);
        findings.summaries.means.retain(|mean| !cut_off.contains(&mean.key.metric.as_str()));
        assert!(table(&findings).rows.is_empty());
    }
}
