//! Curves of pixel deletion: reads them, averages them with intervals, and draws CE against BCE.

use crate::bootstrap::{self, Estimate};
use crate::chart::{Chart, Mark, Panel, Point, Row};
use crate::findings::Findings;
use crate::labels;
use crate::pairs;
use crate::roles::{Backbone, Metric, Roles};
use crate::scores::{Cell, Empty};
use crate::summary::Resampling;
use crate::svg::{Anchor, Svg, ticks};
use evaluate::controls::RANDOM;
use evaluate::evaluate::CURVES_DIR;
use evaluate::table::{CURVES, CurveRows};
use features::artifact::{Manifest, Reader};
use features::error::Result;
use features::random::stream;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Curves of one method and probe: relative confidences by share removed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Backbone.
    pub backbone: String,
    /// Attribution method.
    pub method: String,
    /// Probe without its seed.
    pub probe: String,
    /// Shares removed, ascending, with the relative confidence of each map.
    pub points: Vec<(f64, Vec<Cell>)>,
}

/// A mean curve with its intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Backbone.
    pub backbone: String,
    /// Attribution method.
    pub method: String,
    /// Probe without its seed.
    pub probe: String,
    /// Share removed and mean relative confidence.
    pub points: Vec<(f64, Estimate)>,
}

/// Experiment, backbone, method and probe.
type Name = [String; 4];

/// The curves of the shown variant in an experiment; none where it measured none.
pub fn read(experiment: &Path, name: &str) -> Result<Vec<Curves>> {
    let directory = experiment.join(CURVES_DIR);
    if !Manifest::read(&directory)?.tables.contains_key(CURVES_DIR) {
        return Ok(vec![]);
    }
    let metric = Metric::PixelDeletion;
    let reader = Reader::open(&directory, &CURVES)?;
    let mut found: BTreeMap<Name, BTreeMap<u64, Vec<Cell>>> = BTreeMap::new();
    let mut items: BTreeMap<String, u32> = BTreeMap::new();
    for part in 0..reader.parts() {
        let rows = CurveRows::from_cells(reader.read_part(part)?)?;
        let shown = |row: &usize| {
            (rows.metric[*row].as_str(), rows.variant[*row].as_str(), rows.item_kind[*row].as_str())
                == (metric.name(), metric.variant(), metric.item_kind())
        };
        for row in (0..rows.len()).filter(shown) {
            let next = items.len() as u32;
            let item = *items.entry(rows.item[row].clone()).or_insert(next);
            // A random order is named after the probe that it was asked of.
            let random = rows.method[row].strip_prefix(RANDOM).and_then(|rest| rest.strip_prefix(':'));
            let (method, id) =
                random.map_or((rows.method[row].as_str(), rows.probe_id[row].as_str()), |id| (RANDOM, id));
            let seed = random.map_or(rows.seed[row], |id| probe::id::seed(id).unwrap_or_default());
            let key = [name.to_string(), rows.backbone[row].clone(), method.to_string(), probe::id::name(id)];
            let value = rows.relative[row];
            let cell = Cell { item, target: rows.target_index[row], seed, value, ..Cell::default() };
            // Shares are not negative, so their bits are in their order.
            found.entry(key).or_default().entry(rows.removed[row].to_bits()).or_default().push(cell);
        }
    }
    let curves = found.into_iter().map(|([experiment, backbone, method, probe], points)| {
        let points = points.into_iter().map(|(bits, cells)| (f64::from_bits(bits), cells)).collect();
        Curves { experiment, backbone, method, probe, points }
    });
    Ok(curves.collect())
}

/// Means of the curves that are drawn: linear probes under CE and BCE.
pub fn means(curves: &[Curves], roles: &Roles, resampling: Resampling) -> Vec<Mean> {
    let mean = |found: &Curves| {
        let Curves { experiment, backbone, method, probe, points } = found;
        // One stream a curve: all its points see the same resamples.
        let rng = stream(resampling.seed, &["curve", experiment, backbone, method, probe]);
        let point = |(share, cells): &(f64, Vec<Cell>)| {
            let estimate =
                bootstrap::estimate(&pairs::values(cells, Empty::LeftOut), resampling.resamples, &mut rng.clone());
            Some((*share, estimate?))
        };
        let [experiment, backbone, method, probe] = [experiment, backbone, method, probe].map(String::clone);
        Mean { experiment, backbone, method, probe, points: points.iter().filter_map(point).collect() }
    };
    curves.par_iter().filter(|found| [&roles.ce, &roles.bce].contains(&&found.probe)).map(mean).collect()
}

/// One line of a panel: series, and its points. Series behind the probes are their random orders.
type Line<'a> = (usize, &'a [(f64, Estimate)]);

/// Probes that are drawn.
const PROBES: usize = 2;

/// The mean curves of each backbone's main method: numbers as a chart, and their drawings, wide and narrow.
pub fn figure(findings: &Findings) -> (Chart, Svg, Svg) {
    let roles = &findings.roles;
    let lines = |backbone: &Backbone| -> Vec<Line> {
        let of = |(series, probe): (usize, &String)| {
            let ours = || {
                let here = |mean: &&Mean| (&mean.experiment, &mean.probe) == (&backbone.experiment, probe);
                findings.curves.iter().filter(here)
            };
            let is_it =
                |mean: &&Mean| (&mean.backbone, mean.method.as_str()) == (&backbone.name, backbone.main_method());
            // Without a curve of the method there is nothing to hold a random order against.
            let Some(own) = ours().find(is_it) else { return vec![] };
            let random = ours().find(|mean| mean.method == RANDOM);
            let lines = [Some((series, own)), random.map(|mean| (series + PROBES, mean))];
            lines.into_iter().flatten().map(|(series, mean)| (series, mean.points.as_slice())).collect()
        };
        [&roles.ce, &roles.bce].into_iter().enumerate().flat_map(of).collect()
    };
    let title = |backbone: &Backbone| format!("{} · {}", backbone.label, labels::method(backbone.main_method()));
    let panels: Vec<(String, Vec<Line>)> = findings
        .backbones
        .iter()
        .map(|backbone| (title(backbone), lines(backbone)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let ends = panels.iter().flat_map(|(_, lines)| lines).flat_map(|(_, points)| *points);
    let top = ends.map(|(_, estimate)| 100.0 * estimate.high).fold(100.0, f64::max);
    let chart = Chart {
        title: "Confidence while pixels are removed, least important first".into(),
        axis: "Confidence left (%)".into(),
        range: (0.0, (top / 10.0).ceil() * 10.0),
        series: ["Linear probe, CE", "Linear probe, BCE", "CE, random order", "BCE, random order"]
            .map(Into::into)
            .into(),
        mark: Mark::Dot,
        panels: panels.iter().map(|(title, lines)| numbers(title, lines)).collect(),
    };
    let across = panels.len().clamp(1, 2);
    let (wide, narrow) = (draw(&chart, &panels, 1040.0, across), draw(&chart, &panels, 400.0, 1));
    (chart, wide, narrow)
}

/// Whether random orders are drawn in the figure.
pub fn has_random(chart: &Chart) -> bool {
    let points = chart.panels.iter().flat_map(|panel| &panel.rows).flat_map(|row| &row.points);
    points.into_iter().any(|point| point.series >= PROBES)
}

/// A panel's points as rows of the share removed.
fn numbers(title: &str, lines: &[Line]) -> Panel {
    let mut rows: BTreeMap<u64, Vec<Point>> = BTreeMap::new();
    for (series, points) in lines {
        for (share, estimate) in *points {
            let percent = |value: f64| 100.0 * value;
            let estimate = Estimate {
                mean: percent(estimate.mean),
                low: percent(estimate.low),
                high: percent(estimate.high),
                ..*estimate
            };
            rows.entry(share.to_bits()).or_default().push(Point { series: *series, estimate });
        }
    }
    let row = |(bits, points)| Row {
        label: format!("{} % removed", labels::number(100.0 * f64::from_bits(bits), 1)),
        points,
        note: String::new(),
        even_cell: None,
    };
    Panel { title: title.to_string(), rows: rows.into_iter().map(row).collect(), reference: None }
}

const GAP: f64 = 36.0;
const LEGEND: f64 = 26.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 46.0;
const SIDE: f64 = 56.0;
const PLOT: f64 = 250.0;
/// Points between two marks on a line.
const MARKED: usize = 4;

fn draw(chart: &Chart, panels: &[(String, Vec<Line>)], full: f64, across: usize) -> Svg {
    let height = HEAD + PLOT + FOOT;
    let mut svg = Svg::new(full, LEGEND + height * panels.len().div_ceil(across) as f64, &chart.title);
    for (series, name) in chart.series.iter().take(PROBES).enumerate() {
        let x = 8.0 + 170.0 * series as f64;
        svg.mark((x, 12.0), series);
        svg.text((x + 12.0, 16.5), Anchor::Start, "", name);
    }
    let width = (full - GAP * (across - 1) as f64) / across as f64;
    for (at, (title, lines)) in panels.iter().enumerate() {
        let (left, top) = ((at % across) as f64 * (width + GAP), LEGEND + height * (at / across) as f64);
        draw_panel(&mut svg, chart, (title, lines), (left, top), width);
    }
    svg
}

fn draw_panel(svg: &mut Svg, chart: &Chart, panel: (&String, &[Line]), (left, top): (f64, f64), width: f64) {
    let (title, lines) = panel;
    let (from, to, low, high) = (left + SIDE, left + width - 12.0, top + HEAD + PLOT, top + HEAD);
    let x = |share: f64| from + share * (to - from);
    let y = |value: f64| low - value.clamp(0.0, chart.range.1 / 100.0) * 100.0 / chart.range.1 * (low - high);
    svg.text((left, top + 18.0), Anchor::Start, "bold", title);
    for tick in ticks(0.0, chart.range.1, 6) {
        svg.line((from, y(tick / 100.0)), (to, y(tick / 100.0)), "rule");
        svg.text((from - 8.0, y(tick / 100.0) + 4.5), Anchor::End, "soft number", &labels::number(tick, 0));
    }
    for tick in ticks(0.0, 100.0, 6) {
        svg.text((x(tick / 100.0), low + 18.0), Anchor::Middle, "soft number", &labels::number(tick, 0));
    }
    svg.line((from, low), (to, low), "axis");
    svg.text(((from + to) / 2.0, low + 38.0), Anchor::Middle, "soft", "Pixels removed, least important first (%)");
    svg.text((to, high - 8.0), Anchor::End, "soft", &chart.axis);
    for (series, points) in lines.iter().filter(|(series, _)| *series < PROBES) {
        let upper = points.iter().map(|(share, estimate)| (x(*share), y(estimate.high)));
        let lower = points.iter().rev().map(|(share, estimate)| (x(*share), y(estimate.low)));
        svg.area(&upper.chain(lower).collect::<Vec<_>>(), &format!("band fill-{series}"));
    }
    for (series, points) in lines {
        let middle: Vec<(f64, f64)> = points.iter().map(|(share, estimate)| (x(*share), y(estimate.mean))).collect();
        if *series >= PROBES {
            svg.curve(&middle, &format!("curve random line-{}", series - PROBES));
            continue;
        }
        svg.curve(&middle, &format!("curve line-{series}"));
        // Marks of two lines stand beside each other, not on one another.
        middle.iter().skip(2 * series).step_by(MARKED).for_each(|at| svg.mark(*at, *series));
    }
}

/// Curves of two probes for tests: BCE keeps more.
#[cfg(test)]
pub fn made_up(experiment: &str, backbone: &str, method: &str) -> Vec<Curves> {
    let of = |(probe, power): (&str, f64)| {
        let cells = |share: f64| {
            let cell = |at: u32| {
                let value = 1.0 - (share * (1.0 + 0.01 * f64::from(at % 7))).powf(power).min(1.0);
                Cell { item: at / 3, seed: i64::from(at % 3), value: Some(value), ..Cell::default() }
            };
            (0..60).map(cell).collect()
        };
        let of_map = method != RANDOM;
        Curves {
            experiment: experiment.into(),
            backbone: if of_map { backbone } else { "none" }.into(),
            method: method.into(),
            probe: probe.into(),
            points: (0..=10).map(|step| (f64::from(step) / 10.0, cells(f64::from(step) / 10.0))).collect(),
        }
    };
    let powers = if method == RANDOM { [0.9, 0.8] } else { [4.0, 1.5] };
    [("linear-bce", powers[0]), ("linear-ce", powers[1])].map(of).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_points() {
        let resampling = Resampling { resamples: 200, seed: 0 };
        let found = means(&made_up("a", "b", "lrp"), &Roles::default(), resampling);
        assert_eq!(found.len(), 2);
        for mean in &found {
            let (start, end) = (mean.points[0], mean.points[10]);
            assert_eq!((start.0, start.1.mean, end.0, end.1.mean), (0.0, 1.0, 1.0, 0.0));
            assert_eq!((end.1.n, end.1.items, end.1.seeds), (60, 20, 3));
            assert!(mean.points.iter().all(|(_, e)| e.low <= e.mean && e.mean <= e.high));
        }
        assert!(found[0].points[5].1.low > found[1].points[5].1.high, "BCE keeps more");
        assert!(
            means(&[Curves { probe: "mlp3-bce".into(), ..Curves::default() }], &Roles::default(), resampling)
                .is_empty()
        );
    }

    #[test]
    fn drawings_are_well_formed_at_both_widths() {
        let (chart, wide, narrow) = figure(&crate::fake::findings());
        assert!(has_random(&chart));
        assert_eq!((chart.panels.len(), chart.panels[0].rows.len()), (2, 11));
        for svg in [wide, narrow] {
            let text = svg.inline();
            assert!(crate::svg::balanced(&text), "{text}");
            assert_eq!((text.matches("class=\"curve line").count(), text.matches("class=\"band").count()), (4, 4));
            assert_eq!(text.matches("class=\"curve random").count(), 4);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
        let empty = Findings::new(&Default::default(), &Default::default(), crate::fake::RESAMPLING);
        assert!(figure(&empty).0.is_empty());
    }
}
