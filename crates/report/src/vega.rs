//! Figures as Vega-Lite specifications with their numbers inside, for readers who want to draw them anew.

use crate::chart::Mark;
use crate::figures::Figure;
use serde_json::{Value, json};

/// Version of the format; only a name, nothing is fetched.
const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v5.json";
/// The colours of series in figures on white.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a7f85"];

/// The specification as JSON: one facet a panel, one layer for intervals and one for values.
pub fn specification(figure: &Figure) -> String {
    let chart = &figure.chart;
    let series = |index: usize| chart.series.get(index).cloned().unwrap_or_else(|| format!("series {index}"));
    let mut values = Vec::new();
    for panel in &chart.panels {
        for row in &panel.rows {
            for point in &row.points {
                values.push(json!({
                    "panel": panel.title, "row": row.label, "series": series(point.series),
                    "value": point.estimate.mean, "low": point.estimate.low, "high": point.estimate.high,
                    "n": point.estimate.n, "even_cell": row.even_cell,
                }));
            }
        }
    }
    let used: std::collections::BTreeSet<usize> = chart
        .panels
        .iter()
        .flat_map(|panel| &panel.rows)
        .flat_map(|row| &row.points)
        .map(|point| point.series)
        .collect();
    let names: Vec<String> = used.iter().map(|index| series(*index)).collect();
    let colours: Vec<&str> = used.iter().map(|index| COLOURS[index % COLOURS.len()]).collect();
    let row = json!({ "field": "row", "type": "nominal", "sort": null, "title": null });
    let domain = json!({ "domain": [chart.range.0, chart.range.1] });
    let value = json!({ "field": "value", "type": "quantitative", "title": chart.axis, "scale": domain });
    let colour =
        json!({ "field": "series", "type": "nominal", "title": null, "scale": { "domain": names, "range": colours } });
    let offset = json!({ "field": "series" });
    let mark: Value = match chart.mark {
        Mark::Dot => json!({ "type": "point", "filled": true, "size": 60 }),
        Mark::Bar => json!({ "type": "bar" }),
    };
    let interval = json!({
        "mark": "rule",
        "encoding": {
            "x": { "field": "low", "type": "quantitative", "title": chart.axis, "scale": domain },
            "x2": { "field": "high" }, "y": row, "yOffset": offset, "color": colour,
        },
    });
    let points = json!({ "mark": mark, "encoding": { "x": value, "y": row, "yOffset": offset, "color": colour } });
    let layers = match chart.mark {
        Mark::Dot => json!([interval, points]),
        Mark::Bar => json!([points, interval]),
    };
    let specification = json!({
        "$schema": SCHEMA,
        "title": figure.title,
        "description": figure.caption,
        "data": { "values": values },
        "facet": { "field": "panel", "type": "nominal", "title": null, "sort": null },
        "columns": 2,
        "spec": { "layer": layers },
    });
    format!("{specification:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_holds_every_point_of_its_figure() {
        for figure in crate::figures::all(&crate::fake::findings()) {
            let found: Value = serde_json::from_str(&specification(&figure)).expect("JSON");
            let points: usize =
                figure.chart.panels.iter().flat_map(|panel| &panel.rows).map(|row| row.points.len()).sum();
            assert_eq!(found["data"]["values"].as_array().map(Vec::len), Some(points), "{}", figure.name);
        }
    }
}
