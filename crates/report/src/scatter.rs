//! CE against BCE: a square a backbone, a mark a method, above the diagonal where BCE is better.

use crate::bootstrap::Estimate;
use crate::chart::{Chart, Mark, Panel, Point, Row, fitted};
use crate::figures::scaled;
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};
use crate::svg::{Anchor, Svg, ticks};

/// A method's means under both losses, in percent.
struct Spot {
    series: usize,
    ce: Estimate,
    bce: Estimate,
}

const GAP: f64 = 36.0;
const HEAD: f64 = 50.0;
const FOOT: f64 = 48.0;
const SIDE: f64 = 48.0;
/// Side of a square, where the page is wide enough.
const PLOT: f64 = 290.0;

/// Localisation on grids of all backbones and methods: numbers as a chart, and their drawings, wide and narrow.
pub fn figure(findings: &Findings) -> (Chart, Svg, Svg) {
    let mut methods: Vec<&String> = findings.backbones.iter().flat_map(|backbone| &backbone.methods).collect();
    methods.sort_by_key(|name| (labels::method_rank(name), name.as_str()));
    methods.dedup();
    let spots = |backbone: &Backbone| -> Vec<Spot> {
        let of = |(series, method): (usize, &&String)| {
            let mean = |probe: &str| {
                findings
                    .summaries
                    .mean(backbone, Metric::GridPointingGame, method, probe)?
                    .estimate
                    .map(|found| scaled(&found, 100.0))
            };
            Some(Spot { series, ce: mean(&findings.roles.ce)?, bce: mean(&findings.roles.bce)? })
        };
        methods.iter().enumerate().filter_map(of).collect()
    };
    let panels: Vec<(&str, Vec<Spot>)> = findings
        .backbones
        .iter()
        .map(|backbone| (backbone.label.as_str(), spots(backbone)))
        .filter(|(_, spots)| !spots.is_empty())
        .collect();
    let chart = Chart {
        title: "Grid pointing game under BCE against that under CE".into(),
        axis: "GridPG (%)".into(),
        range: (0.0, 100.0),
        series: methods.iter().map(|method| labels::method(method)).collect(),
        mark: Mark::Dot,
        panels: panels.iter().map(|(title, spots)| numbers(title, spots)).collect(),
    };
    let (wide, narrow) = (draw(&chart, &panels, 1040.0, 3), draw(&chart, &panels, 400.0, 1));
    (chart, wide, narrow)
}

/// A panel's marks as two rows, one a loss.
fn numbers(title: &str, spots: &[Spot]) -> Panel {
    let row = |label: &str, of: &dyn Fn(&Spot) -> Estimate| Row {
        label: label.into(),
        points: spots.iter().map(|spot| Point { series: spot.series, estimate: of(spot) }).collect(),
        note: String::new(),
        even_cell: None,
    };
    let rows = vec![row("Linear probe, CE", &|spot| spot.ce), row("Linear probe, BCE", &|spot| spot.bce)];
    Panel { title: title.to_string(), rows, reference: None }
}

fn draw(chart: &Chart, panels: &[(&str, Vec<Spot>)], full: f64, most: usize) -> Svg {
    let across = panels.len().clamp(1, most);
    let width = ((full - GAP * (across - 1) as f64) / across as f64).min(SIDE + PLOT + 12.0);
    let side = width - SIDE - 12.0;
    let spots = chart.legend(full);
    let legend = spots.last().map_or(0.0, |spot| spot.1 + 22.0);
    let height = HEAD + side + FOOT;
    let mut svg = Svg::new(full, legend + height * panels.len().div_ceil(across) as f64, &chart.title);
    chart.draw_legend(&mut svg, &spots);
    for (at, (title, spots)) in panels.iter().enumerate() {
        let (left, top) = ((at % across) as f64 * (width + GAP), legend + height * (at / across) as f64);
        draw_panel(&mut svg, chart, (title, spots), (left, top), side);
    }
    svg
}

fn draw_panel(svg: &mut Svg, chart: &Chart, (title, spots): (&str, &[Spot]), (left, top): (f64, f64), side: f64) {
    let (from, to, high, low) = (left + SIDE, left + SIDE + side, top + HEAD, top + HEAD + side);
    let (least, most) = chart.range;
    let share = |value: f64| (value.clamp(least, most) - least) / (most - least);
    let (x, y) = (|value: f64| from + share(value) * (to - from), |value: f64| low - share(value) * (low - high));
    svg.text((left, top + 16.0), Anchor::Start, "bold", &fitted(title, to - left));
    for tick in ticks(least, most, 6) {
        svg.line((x(tick), high), (x(tick), low), "rule");
        svg.line((from, y(tick)), (to, y(tick)), "rule");
        svg.text((x(tick), low + 16.0), Anchor::Middle, "soft number", &labels::number(tick, 0));
        svg.text((from - 8.0, y(tick) + 4.5), Anchor::End, "soft number", &labels::number(tick, 0));
    }
    svg.line((from, low), (to, low), "axis");
    svg.line((from, low), (from, high), "axis");
    svg.line((x(least), y(least)), (x(most), y(most)), "reference");
    svg.text(((from + to) / 2.0, low + 36.0), Anchor::Middle, "soft", &format!("CE: {}", chart.axis));
    svg.text((from, high - 9.0), Anchor::Start, "soft", &format!("BCE: {}", chart.axis));
    for Spot { series, ce, bce } in spots {
        let class = format!("whisker line-{}", series % 5);
        svg.line((x(ce.low), y(bce.mean)), (x(ce.high), y(bce.mean)), &class);
        svg.line((x(ce.mean), y(bce.low)), (x(ce.mean), y(bce.high)), &class);
    }
    for Spot { series, ce, bce } in spots {
        svg.mark((x(ce.mean), y(bce.mean)), *series);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_every_backbone_is_a_mark() {
        let findings = crate::fake::findings();
        let (chart, wide, narrow) = figure(&findings);
        // Five methods of one backbone, three of the other; two of them are in both.
        assert_eq!(chart.series.len(), 6);
        assert_eq!(chart.panels.iter().map(|panel| panel.rows[1].points.len()).collect::<Vec<_>>(), [5, 3]);
        for svg in [wide, narrow] {
            let text = svg.inline();
            assert!(crate::svg::balanced(&text) && !text.contains("NaN"), "{text}");
            assert_eq!(text.matches("class=\"dot").count(), 6 + 5 + 3, "legend and marks");
            assert_eq!(text.matches("class=\"whisker").count(), 2 * (5 + 3));
            assert_eq!(text.matches("class=\"reference").count(), 2);
        }
        let empty = Findings::new(&Default::default(), &Default::default(), crate::fake::RESAMPLING);
        assert!(figure(&empty).0.is_empty());
    }
}
