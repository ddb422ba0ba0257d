//! The report's figures: which findings are drawn, in which order, against which reference.

use crate::bootstrap::Estimate;
use crate::chart::{Chart, Mark, Panel, Point, Row, range};
use crate::curves;
use crate::depth;
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};
use crate::scatter;
use crate::summary::Summary;
use crate::svg::Svg;
use evaluate::controls::Control;

/// A figure with what a reader should know of it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name in files, `[a-z]+`.
    pub name: &'static str,
    /// One sentence that says what is shown.
    pub title: &'static str,
    /// What to see, and how to read it.
    pub caption: String,
    /// What is drawn.
    pub chart: Chart,
    /// The drawing.
    pub svg: Svg,
    /// The same for a phone.
    pub narrow: Svg,
}

/// Probes of one backbone in the chart of accuracies; the table has all.
const MOST_PROBES: usize = 14;

/// All figures that have data.
pub fn all(findings: &Findings) -> Vec<Figure> {
    let n = findings.resampling.resamples;
    let intervals = format!("Lines are 95 % bootstrap intervals over grids and probe seeds ({n} resamples).");
    let candidates = [
        (
            "localisation",
            "Where maps point, by method and probe",
            format!(
                "Share of positive relevance in the right cell of a grid of images. Same backbone, same grids: only the probe on top \
                 differs. Dashed: a map that knows nothing. Upright tick: a map that covers the cell evenly, smoothed as the method's maps \
                 are; one that keeps to the middle of the cell can pass it. {intervals}"
            ),
            localisation(findings),
        ),
        (
            "differences",
            "What BCE changes, map by map",
            "Paired difference BCE − CE of the linear probe. Right of 0, BCE is better. Circles: grids (GridPG); squares: scenes \
             with several objects (EPG), in their boxes; triangles: in the pixels of the objects, where there are masks. Failures of the claim are on the left; the numbers on the right are GridPG's."
                .to_string(),
            differences(findings),
        ),
        (
            "shift",
            "One CE probe under shifts of its class weights",
            "Adding one vector to all class weights moves all logits alike, so softmax, accuracy and loss stay as they are: blue and \
             grey bars are one classifier. Fitted: the shift that a sigmoid loss likes best, without retraining. Orange: a probe \
             retrained with BCE. Means over the seeds that all bars of a panel have."
                .to_string(),
            shift(findings),
        ),
        (
            "depth",
            "Probes of more layers",
            format!(
                "GridPG of each backbone's main method over the number of the probe's layers. A layered probe of one layer \
                 is a linear one; B-cos layers carry the constant logit offset. Means over the seeds that all depths of a kind \
                 have. {intervals}"
            ),
            depth::chart(findings),
        ),
        (
            "accuracy",
            "Accuracy of the probes",
            format!(
                "Test accuracy of each probe, of at most {MOST_PROBES} a backbone; the table has all. The axis does not begin at \
                 0. Lines are 95 % bootstrap intervals over images and probe seeds."
            ),
            accuracy(findings),
        ),
    ];
    let drawn = candidates.into_iter().filter(|(.., chart)| !chart.is_empty());
    let mut figures: Vec<Figure> = drawn
        .map(|(name, title, caption, chart)| {
            let (svg, narrow) = (chart.draw(), chart.draw_narrow());
            Figure { name, title, caption, svg, narrow, chart }
        })
        .collect();
    let at = figures.iter().take_while(|figure| ["localisation", "differences"].contains(&figure.name)).count();
    figures.splice(at..at, against(findings));
    figures.extend(deletion(findings));
    figures
}

/// CE against BCE.
fn against(findings: &Findings) -> Option<Figure> {
    let (chart, svg, narrow) = scatter::figure(findings);
    let caption = format!(
        "Mean GridPG of the linear probe trained with CE (across) and with BCE (up), a mark a method. Above the dashed line \
         BCE is better. Lines are 95 % bootstrap intervals over grids and probe seeds ({} resamples).",
        findings.resampling.resamples
    );
    let title = "CE against BCE, by method and backbone";
    (!chart.is_empty()).then_some(Figure { name: "scatter", title, caption, chart, svg, narrow })
}

/// The one figure of curves.
fn deletion(findings: &Findings) -> Option<Figure> {
    let (chart, svg, narrow) = curves::figure(findings);
    let random = match curves::has_random(&chart) {
        true => "; dotted is a random order of the same pixels, asked of the same probe",
        false => "",
    };
    let caption = format!(
        "Softmax probability of the target in single tiles, as a share of that in the whole tile, while pixels are replaced by \
         the tile's mean colour, least important first. A flat curve means that the map knew what the probe needs{random}. \
         Bands are 95 % bootstrap intervals over tiles and probe seeds ({} resamples).",
        findings.resampling.resamples
    );
    let title = "What is left when unimportant pixels go";
    (!chart.is_empty()).then_some(Figure { name: "deletion", title, caption, chart, svg, narrow })
}

fn localisation(findings: &Findings) -> Chart {
    let (metric, roles) = (Metric::GridPointingGame, &findings.roles);
    let probes = [&roles.ce, &roles.bce, &roles.bcos];
    let panels = panels(findings, |backbone| {
        let chance = chance(findings, backbone, metric);
        let row = |method: &String| {
            let point = |(series, probe): (usize, &&String)| {
                let estimate = findings.summaries.mean(backbone, metric, method, probe)?.estimate?;
                Some(Point { series, estimate: scaled(&estimate, 100.0) })
            };
            let points = probes.iter().enumerate().filter_map(point).collect();
            let even_cell =
                findings.summaries.control(backbone, metric, Control::Oracle, method).map(|best| 100.0 * best);
            Row { label: labels::method(method), points, note: String::new(), even_cell }
        };
        (backbone.methods.iter().map(row).collect(), chance)
    });
    let series = vec!["Linear probe, CE".into(), "Linear probe, BCE".into(), "B-cos probe, 3 layers, BCE".into()];
    Chart {
        title: "Grid pointing game by method and probe".into(),
        axis: "GridPG (%)".into(),
        range: (0.0, 100.0),
        series,
        mark: Mark::Dot,
        panels,
    }
}

fn differences(findings: &Findings) -> Chart {
    let roles = &findings.roles;
    let panels = panels(findings, |backbone| {
        let row = |method: &String| {
            let of = |metric| {
                findings.summaries.difference(backbone, metric, method, &roles.ce, &roles.bce).and_then(|d| d.estimate)
            };
            let [grid, scene, masks] =
                [Metric::GridPointingGame, Metric::EnergyPointingGame, Metric::EnergyOnMasks].map(of);
            let point =
                |series, estimate: Option<Estimate>| estimate.map(|e| Point { series, estimate: scaled(&e, 100.0) });
            let points = [point(0, grid), point(1, scene), point(2, masks)].into_iter().flatten().collect();
            let note = grid.map(|e| labels::signed(100.0 * e.mean, 1)).unwrap_or_default();
            Row { label: labels::method(method), points, note, even_cell: None }
        };
        (backbone.methods.iter().map(row).collect(), Some((0.0, String::new())))
    });
    let range = range(&panels, &[0.0], 10.0);
    let masked = panels.iter().flat_map(|panel| &panel.rows).flat_map(|row| &row.points).any(|point| point.series == 2);
    let mut series = vec!["GridPG (grids)".to_string(), "EPG (boxes in scenes)".to_string()];
    series.extend(masked.then(|| "EPG (masks in scenes)".to_string()));
    Chart {
        title: "Paired differences between BCE and CE probes".into(),
        axis: "BCE − CE (points)".into(),
        range,
        series,
        mark: Mark::Dot,
        panels,
    }
}

fn shift(findings: &Findings) -> Chart {
    let (metric, roles) = (Metric::GridPointingGame, &findings.roles);
    let looks = |probe: &str| match probe {
        probe if probe == roles.shift_up => ("CE, shifted up", 4),
        probe if probe == roles.shift_down => ("CE, shifted down", 4),
        probe if probe == roles.shift_fit => ("CE, shift fitted", 4),
        probe if probe == roles.bce => ("BCE (retrained)", 1),
        _ => ("CE", 0),
    };
    let panel = |(backbone, found): (&Backbone, &Vec<Summary>)| {
        let row = |found: &Summary| {
            let (label, series) = looks(&found.key.probe);
            let estimate = scaled(&found.estimate?, 100.0);
            let note = labels::number(estimate.mean, 1);
            Some(Row { label: label.to_string(), points: vec![Point { series, estimate }], note, even_cell: None })
        };
        let is_shift = |found: &Summary| [&roles.shift_up, &roles.shift_down].contains(&&found.key.probe);
        found.iter().any(is_shift).then(|| Panel {
            title: format!("{} · {}", backbone.label, labels::method(backbone.main_method())),
            rows: found.iter().filter_map(row).collect(),
            reference: chance(findings, backbone, metric),
        })
    };
    let panels = findings.backbones.iter().zip(&findings.shifts).filter_map(panel).collect();
    let title = "Grid pointing game of one probe under shifts of its class weights".into();
    Chart { title, axis: "GridPG (%)".into(), range: (0.0, 100.0), series: vec![], mark: Mark::Bar, panels }
}

fn accuracy(findings: &Findings) -> Chart {
    let roles = &findings.roles;
    let shifts = [&roles.shift_up, &roles.shift_down, &roles.shift_fit];
    let panels = panels(findings, |backbone| {
        let row = |probe: &String| {
            let estimate = scaled(findings.accuracy(backbone, probe)?, 100.0);
            let series = [&roles.ce, &roles.bce, &roles.bcos].iter().position(|known| *known == probe).unwrap_or(4);
            Some(Row {
                label: labels::probe(probe),
                points: vec![Point { series, estimate }],
                note: labels::number(estimate.mean, 1),
                even_cell: None,
            })
        };
        let probes = findings.probes(backbone).into_iter().filter(|probe| !shifts.contains(&probe)).take(MOST_PROBES);
        (probes.filter_map(|probe| row(&probe)).collect(), None)
    });
    let range = range(&panels, &[], 1.0);
    Chart {
        title: "Test accuracy by probe".into(),
        axis: "Test accuracy (%)".into(),
        range,
        series: vec![],
        mark: Mark::Dot,
        panels,
    }
}

type Contents = (Vec<Row>, Option<(f64, String)>);

fn panels(findings: &Findings, contents: impl Fn(&Backbone) -> Contents) -> Vec<Panel> {
    let panel = |backbone: &Backbone| {
        let (rows, reference) = contents(backbone);
        Panel { title: backbone.label.clone(), rows, reference }
    };
    findings.backbones.iter().map(panel).collect()
}

fn chance(findings: &Findings, backbone: &Backbone, metric: Metric) -> Option<(f64, String)> {
    let known = findings
        .summaries
        .means
        .iter()
        .filter(|mean| crate::summary::shown(&mean.key, backbone, metric, &mean.key.method));
    known.filter_map(|mean| mean.chance).next().map(|chance| (100.0 * chance, "chance".to_string()))
}

/// An estimate in other units.
pub(crate) fn scaled(estimate: &Estimate, factor: f64) -> Estimate {
    Estimate { mean: estimate.mean * factor, low: estimate.low * factor, high: estimate.high * factor, ..*estimate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_well_formed() {
        let figures = all(&crate::fake::findings());
        assert_eq!(
            figures.iter().map(|figure| figure.name).collect::<Vec<_>>(),
            ["localisation", "differences", "scatter", "shift", "accuracy", "deletion"]
        );
        for figure in figures {
            assert!(crate::svg::balanced(&figure.svg.inline()), "{}", figure.name);
            assert!(crate::svg::balanced(&figure.narrow.inline()), "{}", figure.name);
            assert!(crate::vega::specification(&figure).contains("vega-lite"), "{}", figure.name);
        }
    }

    #[test]
    fn figures_without_data_are_left_out() {
        let inputs = crate::findings::Inputs::default();
        let empty = Findings::new(&inputs, &Default::default(), crate::fake::RESAMPLING);
        assert!(all(&empty).is_empty());
    }
}
