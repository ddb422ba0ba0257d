//! Localisation over the depth of the probe: whether layers above the features help, and of which kind.

use crate::bootstrap::Estimate;
use crate::chart::{Chart, Mark, Panel, Point, Row};
use crate::figures::scaled;
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};

/// A kind of probes whose depths are compared: name, and what a probe's name is at a depth.
type Kind = (&'static str, fn(usize) -> String);

const KINDS: [Kind; 4] = [
    ("B-cos layers, BCE", |depth| format!("bcos{depth}_offset-bce")),
    ("B-cos layers, CE", |depth| format!("bcos{depth}_offset-ce")),
    ("MLP, BCE", |depth| layered(depth, "bce")),
    ("MLP, CE", |depth| layered(depth, "ce")),
];
/// Depths that are looked for.
const DEPTHS: usize = 8;

/// A layered probe of one layer is a linear one.
fn layered(depth: usize, loss: &str) -> String {
    match depth {
        1 => format!("linear-{loss}"),
        depth => format!("mlp{depth}-{loss}"),
    }
}

/// A panel a backbone, a row a depth. Kinds that have one depth only say nothing and are left out.
pub fn chart(findings: &Findings) -> Chart {
    let several =
        |(_, name): &&Kind| findings.backbones.iter().any(|backbone| depths(findings, backbone, name).len() > 1);
    let kinds: Vec<_> = KINDS.iter().filter(several).collect();
    let panel = |backbone: &Backbone| {
        let known: Vec<Vec<(usize, Estimate)>> =
            kinds.iter().map(|(_, name)| depths(findings, backbone, name)).collect();
        let compared = || known.iter().enumerate().filter(|(_, found)| found.len() > 1);
        let row = |depth: usize| {
            let of = |(series, found): (usize, &Vec<(usize, Estimate)>)| {
                let (_, estimate) = found.iter().find(|(known, _)| *known == depth)?;
                Some(Point { series, estimate: *estimate })
            };
            let points: Vec<Point> = compared().filter_map(of).collect();
            let label = if depth == 1 { "1 layer".to_string() } else { format!("{depth} layers") };
            (!points.is_empty()).then_some(Row { label, points, note: String::new(), ceiling: None })
        };
        let title = format!("{} · {}", backbone.name, labels::method(backbone.main_method()));
        Panel { title, rows: (1..=DEPTHS).filter_map(row).collect(), reference: None }
    };
    let panels: Vec<Panel> = findings.backbones.iter().map(panel).filter(|panel| !panel.rows.is_empty()).collect();
    Chart {
        title: "Grid pointing game by depth of the probe".into(),
        axis: "GridPG (%)".into(),
        range: (0.0, 100.0),
        series: kinds.iter().map(|(name, _)| name.to_string()).collect(),
        mark: Mark::Dot,
        panels,
    }
}

/// The depths that there are of a kind, with their means in percent.
fn depths(findings: &Findings, backbone: &Backbone, name: &fn(usize) -> String) -> Vec<(usize, Estimate)> {
    let of = |depth: usize| {
        let method = backbone.main_method();
        let found = findings.summaries.mean(backbone, Metric::GridPointingGame, method, &name(depth))?.estimate?;
        Some((depth, scaled(&found, 100.0)))
    };
    (1..=DEPTHS).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Inputs;
    use crate::roles::Roles;
    use crate::scores::{Cell, Raw, Scores};

    #[test]
    fn kinds_with_several_depths_are_compared() {
        let rows = |probe: &str, level: f64| {
            let key = crate::fake::key("a", "lrp", probe);
            let cell = |item: u32| {
                let value = Some(level + f64::from(item % 5) / 100.0);
                (format!("grid3/{item}"), Cell { item: 0, target: 0, seed: 0, value, chance: None })
            };
            Raw { key, higher_is_better: true, cells: (0..20).map(cell).collect() }
        };
        let scores = Scores::new(vec![
            rows("bcos1_offset-bce", 0.5),
            rows("bcos3_offset-bce", 0.7),
            rows("bcos3_offset-ce", 0.4),
            rows("linear-bce", 0.6),
            rows("mlp2-bce", 0.3),
        ]);
        let inputs = Inputs { scores, ..Inputs::default() };
        let found = chart(&Findings::new(&inputs, &Roles::default(), crate::fake::RESAMPLING));
        let rows = &found.panels[0].rows;
        assert_eq!(rows.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["1 layer", "2 layers", "3 layers"]);
        // B-cos probes under CE have one depth only.
        assert_eq!(found.series, ["B-cos layers, BCE", "MLP, BCE"]);
        let series = |row: &Row| row.points.iter().map(|point| point.series).collect::<Vec<_>>();
        assert_eq!(rows.iter().map(series).collect::<Vec<_>>(), [vec![0, 1], vec![1], vec![0]]);
        assert!((rows[2].points[0].estimate.mean - 72.0).abs() < 1e-9, "{:?}", rows[2]);
        assert!(chart(&crate::fake::findings()).is_empty(), "the made-up probes have one depth");
    }
}
