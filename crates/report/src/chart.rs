//! One chart form for all figures: panels side by side, a row a method or probe, dots or bars with 95 % intervals.

use crate::bootstrap::Estimate;
use crate::labels::number;
use crate::svg::{Anchor, Svg, ticks};

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A dot on its interval.
    Dot,
    /// A bar from 0 with its interval.
    Bar,
}

/// One value in a row.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Index into [`Chart::series`]; gives colour and shape.
    pub series: usize,
    /// The value and its interval, in units of the axis.
    pub estimate: Estimate,
}

/// One labelled row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Label on the left.
    pub label: String,
    /// Values.
    pub points: Vec<Point>,
    /// Text on the right, e.g. the number; may be empty.
    pub note: String,
    /// Value of a map that covers the target's cell evenly, drawn as a tick; none where it is not known.
    pub even_cell: Option<f64>,
}

/// One panel.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Heading.
    pub title: String,
    /// Rows from the top.
    pub rows: Vec<Row>,
    /// A reference value with its name, e.g. chance.
    pub reference: Option<(f64, String)>,
}

/// A figure of panels that share an axis.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What a screen reader says.
    pub title: String,
    /// Axis title with its unit.
    pub axis: String,
    /// Axis limits.
    pub range: (f64, f64),
    /// Names of series, for the legend; a single unnamed series has none.
    pub series: Vec<String>,
    /// Dots or bars.
    pub mark: Mark,
    /// The panels.
    pub panels: Vec<Panel>,
}

const WIDTH: f64 = 1040.0;
const NARROW: f64 = 400.0;
const GAP: f64 = 36.0;
/// Least room of labels, most room as a share of a panel, and what a character takes of it.
const LABELS: f64 = 150.0;
const MOST_LABELS: f64 = 0.45;
const CHARACTER: f64 = 7.5;
const NOTES: f64 = 46.0;
const HEAD: f64 = 52.0;
const FOOT: f64 = 50.0;

/// A range that holds all values and their intervals with some room, and `always`.
pub fn range(panels: &[Panel], always: &[f64], step: f64) -> (f64, f64) {
    let points = panels.iter().flat_map(|panel| &panel.rows).flat_map(|row| &row.points);
    let all: Vec<f64> =
        points.flat_map(|point| [point.estimate.low, point.estimate.high]).chain(always.iter().copied()).collect();
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    if low > high {
        return (0.0, step);
    }
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    if high > low { (low, high) } else { (low, low + step) }
}

impl Chart {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(|panel| panel.rows.iter().all(|row| row.points.is_empty()))
    }

    /// Draws it for a desktop and for files: two panels side by side.
    pub fn draw(&self) -> Svg {
        self.draw_at(WIDTH, self.panels.len().clamp(1, 2))
    }

    /// Draws it for a phone: panels below one another, so that text keeps its size.
    pub fn draw_narrow(&self) -> Svg {
        self.draw_at(NARROW, 1)
    }

    /// The marks and names of the series at their [`Self::legend`] places.
    pub fn draw_legend(&self, svg: &mut Svg, spots: &[(f64, f64)]) {
        for (series, (&(x, y), name)) in spots.iter().zip(&self.series).enumerate() {
            svg.mark((x, y), series);
            svg.text((x + 12.0, y + 4.5), Anchor::Start, "", name);
        }
    }

    fn draw_at(&self, full: f64, across: usize) -> Svg {
        let row_height = match self.mark {
            Mark::Bar => 34.0,
            Mark::Dot => 22.0 + 11.0 * self.deepest_row().saturating_sub(1) as f64,
        };
        let spots = self.legend(full);
        let legend = spots.last().map_or(0.0, |spot| spot.1 + 22.0);
        let heights: Vec<f64> = self
            .panels
            .chunks(across)
            .map(|line| HEAD + FOOT + row_height * line.iter().map(|panel| panel.rows.len()).max().unwrap_or(0) as f64)
            .collect();
        let mut svg = Svg::new(full, legend + heights.iter().sum::<f64>(), &self.title);
        self.draw_legend(&mut svg, &spots);
        let width = (full - GAP * (across - 1) as f64) / across as f64;
        let mut top = legend;
        for (line, height) in self.panels.chunks(across).zip(&heights) {
            for (column, panel) in line.iter().enumerate() {
                let left = column as f64 * (width + GAP);
                self.draw_panel(&mut svg, panel, (left, top), (width, row_height));
            }
            top += height;
        }
        svg
    }

    /// Room of labels in panels of this width, the same for all.
    fn labels(&self, width: f64) -> f64 {
        let rows = self.panels.iter().flat_map(|panel| &panel.rows);
        let longest = rows.map(|row| row.label.chars().count()).max().unwrap_or(0);
        (CHARACTER * longest as f64 + 16.0).min(MOST_LABELS * width).max(LABELS)
    }

    fn deepest_row(&self) -> usize {
        self.panels.iter().flat_map(|panel| &panel.rows).map(|row| row.points.len()).max().unwrap_or(1)
    }

    /// Where the marks of the legend stand, wrapped at `full`; a single series has none.
    pub fn legend(&self, full: f64) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (8.0, 12.0);
        let of = |name: &String| {
            let width = 40.0 + 7.2 * name.chars().count() as f64;
            if x > 8.0 && x + width - 28.0 > full {
                (x, y) = (8.0, y + 22.0);
            }
            let spot = (x, y);
            x += width;
            spot
        };
        if self.series.len() > 1 { self.series.iter().map(of).collect() } else { vec![] }
    }

    fn draw_panel(&self, svg: &mut Svg, panel: &Panel, (left, top): (f64, f64), (width, row_height): (f64, f64)) {
        let most = if width < WIDTH / 2.0 - GAP { 5 } else { 7 };
        let notes = if panel.rows.iter().any(|row| !row.note.is_empty()) { NOTES } else { 12.0 };
        let labels = self.labels(width);
        let (from, to) = (left + labels, left + width - notes);
        let (low, high) = self.range;
        let x = |value: f64| from + (value.clamp(low, high) - low) / (high - low) * (to - from);
        let (first, last) = (top + HEAD - 8.0, top + HEAD + row_height * panel.rows.len() as f64);
        svg.text((left, top + 18.0), Anchor::Start, "bold", &panel.title);
        for tick in ticks(low, high, most) {
            svg.line((x(tick), first), (x(tick), last), "rule");
            let digits = usize::from(high - low < 5.0);
            svg.text((x(tick), last + 18.0), Anchor::Middle, "soft number", &number(tick, digits));
        }
        svg.line((from, last), (to, last), "axis");
        svg.text(((from + to) / 2.0, last + 38.0), Anchor::Middle, "soft", &self.axis);
        if let Some((value, name)) = &panel.reference {
            svg.line((x(*value), first), (x(*value), last), "reference");
            svg.text((x(*value), first - 5.0), Anchor::Middle, "soft", name);
        }
        for (at, row) in panel.rows.iter().enumerate() {
            if at > 0 {
                let y = top + HEAD + row_height * at as f64;
                svg.line((left, y), (to, y), "rule");
            }
            let middle = top + HEAD + row_height * (at as f64 + 0.5);
            svg.text((from - 12.0, middle + 4.5), Anchor::End, "", &fitted(&row.label, labels));
            if let Some(even_cell) = row.even_cell {
                let half = 0.34 * row_height;
                svg.line((x(even_cell), middle - half), (x(even_cell), middle + half), "even_cell");
            }
            for (place, point) in row.points.iter().enumerate() {
                let y = middle + 11.0 * (place as f64 - (row.points.len() as f64 - 1.0) / 2.0);
                self.draw_point(svg, point, y, &x);
            }
            if !row.note.is_empty() {
                svg.text((left + width, middle + 4.5), Anchor::End, "number", &row.note);
            }
        }
    }

    fn draw_point(&self, svg: &mut Svg, point: &Point, y: f64, x: &dyn Fn(f64) -> f64) {
        let Estimate { mean, low, high, .. } = point.estimate;
        let series = point.series % 5;
        match self.mark {
            Mark::Bar => {
                let (zero, end) = (x(0.0), x(mean));
                svg.rectangle((zero.min(end), y - 9.0), ((end - zero).abs(), 18.0), &format!("bar fill-{series}"));
                svg.line((x(low), y), (x(high), y), "whisker over");
            }
            Mark::Dot => {
                svg.line((x(low), y), (x(high), y), &format!("whisker line-{series}"));
                svg.mark((x(mean), y), point.series);
            }
        }
    }
}

/// A label in this much room: what is too long loses its middle, because names differ at their ends.
pub(crate) fn fitted(label: &str, room: f64) -> String {
    let (most, count) = (((room - 12.0) / CHARACTER) as usize, label.chars().count());
    if count <= most {
        return label.to_string();
    }
    let (head, tail) = (most.div_ceil(2), (most / 2).saturating_sub(1));
    label.chars().take(head).chain(['…']).chain(label.chars().skip(count - tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_keep_both_ends() {
        assert_eq!(fitted("Guided Backprop", LABELS), "Guided Backprop");
        let long = "B-cos ×2 BCE plain, offset, row117";
        let short = fitted(long, LABELS);
        assert!(short.starts_with("B-cos ×2") && short.ends_with("row117") && short.contains('…'), "{short}");
        assert_eq!(short.chars().count(), 18);
        assert_eq!(fitted(long, 270.0), long);
    }

    #[test]
    fn charts_are_well_formed_with_any_number_of_panels() {
        let estimate = Estimate { mean: 50.0, low: 40.0, high: 60.0, n: 3, items: 3, seeds: 1 };
        for (panels, mark) in [(0, Mark::Dot), (1, Mark::Bar), (2, Mark::Dot), (5, Mark::Dot)] {
            let points = vec![Point { series: 0, estimate }, Point { series: 1, estimate }];
            let row = Row { label: "a<b".into(), points, note: "+1".into(), even_cell: Some(90.0) };
            let panel = Panel { title: "t".into(), rows: vec![row; 3], reference: Some((11.1, "chance".into())) };
            let chart = Chart {
                title: "x".into(),
                axis: "GridPG (%)".into(),
                range: (0.0, 100.0),
                series: vec!["CE".into(), "BCE".into()],
                mark,
                panels: vec![panel; panels],
            };
            assert!(
                crate::svg::balanced(&chart.draw().inline()) && crate::svg::balanced(&chart.draw_narrow().inline())
            );
            assert_eq!(chart.is_empty(), panels == 0);
        }
    }

    #[test]
    fn ranges_are_whole_steps() {
        assert_eq!(range(&[], &[], 5.0), (0.0, 5.0));
        assert_eq!(range(&[], &[-3.0, 12.0], 5.0), (-5.0, 15.0));
        assert_eq!(range(&[], &[10.0], 5.0), (10.0, 15.0));
    }
}
