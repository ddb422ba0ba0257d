//! Localisation over the depth of the probe: whether layers above the features help, and of which kind.

use crate::bootstrap::Estimate;
use crate::chart::{Chart, Mark, Panel, Point, Row};
use crate::family;
use crate::figures::scaled;
use crate::findings::Findings;
use crate::labels;
use crate::roles::Backbone;
use crate::scores::Scores;
use crate::summary::Resampling;

/// A kind of probes whose depths are compared: name, and what a probe's name is at a depth.
pub type Kind = (&'static str, fn(usize) -> String);

/// Kinds of probes that are trained with several depths.
pub const KINDS: [Kind; 4] = [
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
    let several = |kind: &usize| findings.depths.iter().any(|depths| depths[*kind].len() > 1);
    let kinds: Vec<usize> = (0..KINDS.len()).filter(several).collect();
    let panel = |(backbone, depths): (&Backbone, &[Depths; KINDS.len()])| {
        let compared = || kinds.iter().map(|kind| &depths[*kind]).enumerate().filter(|(_, found)| found.len() > 1);
        let row = |depth: usize| {
            let of = |(series, found): (usize, &Depths)| {
                let (_, estimate) = found.iter().find(|(known, _)| *known == depth)?;
                Some(Point { series, estimate: *estimate })
            };
            let points: Vec<Point> = compared().filter_map(of).collect();
            let label = if depth == 1 { "1 layer".to_string() } else { format!("{depth} layers") };
            (!points.is_empty()).then_some(Row { label, points, note: String::new(), even_cell: None })
        };
        let title = format!("{} · {}", backbone.label, labels::method(backbone.main_method()));
        Panel { title, rows: (1..=DEPTHS).filter_map(row).collect(), reference: None }
    };
    let panels: Vec<Panel> =
        findings.backbones.iter().zip(&findings.depths).map(panel).filter(|panel| !panel.rows.is_empty()).collect();
    Chart {
        title: "Grid pointing game by depth of the probe".into(),
        axis: "GridPG (%)".into(),
        range: (0.0, 100.0),
        series: kinds.iter().map(|kind| KINDS[*kind].0.to_string()).collect(),
        mark: Mark::Dot,
        panels,
    }
}

/// The depths of one kind that a backbone has, with their means in percent.
pub type Depths = Vec<(usize, Estimate)>;

/// The depths of each kind on a backbone, over the seeds that all depths of the kind share.
pub fn of(scores: &Scores, backbone: &Backbone, resampling: Resampling) -> [Depths; KINDS.len()] {
    KINDS.map(|(_, name)| {
        let probes: Vec<String> = (1..=DEPTHS).map(name).collect();
        let found = family::of(scores, backbone, &probes, resampling);
        let depth = |(depth, probe): (usize, &String)| {
            let found = found.iter().find(|found| found.key.probe == *probe)?;
            Some((depth, scaled(&found.estimate?, 100.0)))
        };
        (1..).zip(&probes).filter_map(depth).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Inputs;
    use crate::roles::Roles;
    use crate::scores::{Cell, Raw};

    #[test]
    fn kinds_with_several_depths_are_compared() {
        let rows = |probe: &str, level: f64| {
            let key = crate::fake::key("a", "lrp", probe);
            let cell = |item: u32| {
                let value = Some(level + f64::from(item % 5) / 100.0);
                (format!("grid3/{item}"), Cell { value, ..Cell::default() })
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
