//! Tables for machines: CSV (RFC 4180) with plain numbers in units of the metric, empty where undefined.

use crate::bootstrap::Estimate;
use crate::findings::Findings;
use crate::roles::Metric;
use crate::scores::Key;
use crate::significance::Significance;
use crate::table::column;

/// All files: name and content.
pub fn all(findings: &Findings) -> Vec<(&'static str, String)> {
    vec![
        ("means", means(findings)),
        ("differences", differences(findings)),
        ("signs", signs(findings)),
        ("accuracy", accuracy(findings)),
        ("variance", variance(findings)),
        ("matched", matched(findings)),
        ("curves", curves(findings)),
    ]
}

fn means(findings: &Findings) -> String {
    let mut lines = vec![header(&column::KEY, &[column::CHANCE, column::SKIPPED, column::EMPTY_AS_ZERO])];
    for found in findings.summaries.means.iter().chain(&findings.summaries.controls) {
        let tail = [optional(found.chance), found.skipped.to_string(), optional(found.empty_as_zero)];
        lines.push(line(key(&found.key).into_iter().chain(numbers(found.estimate.as_ref())).chain(tail)));
    }
    lines.concat()
}

fn differences(findings: &Findings) -> String {
    let mut lines = vec![header(
        &column::KEY,
        &[&[column::BASELINE, column::SKIPPED][..], &column::TESTED, &[column::EMPTY_AS_ZERO]].concat(),
    )];
    for found in &findings.summaries.differences {
        let tail = [found.baseline.clone(), found.skipped.to_string()]
            .into_iter()
            .chain(tested(found.significance))
            .chain([optional(found.empty_as_zero.map(|zero| zero.mean))]);
        lines.push(line(key(&found.key).into_iter().chain(numbers(found.estimate.as_ref())).chain(tail)));
    }
    lines.concat()
}

fn signs(findings: &Findings) -> String {
    let head = [
        column::SIGN,
        column::STATEMENT,
        column::EXPERIMENT,
        column::BACKBONE,
        column::METHOD,
        column::METRIC,
        column::COMPARISON,
        column::EXPECTED,
    ];
    let last = [&[column::VERDICT][..], &column::TESTED, &[column::ADJUSTED, column::REPORTED]].concat();
    let mut lines = vec![header(&head, &last)];
    for sign in &findings.signs {
        let first = [sign.number.to_string(), sign.statement.to_string()];
        if sign.evidence.is_empty() {
            let rest = ["", "", "", "", sign.note, "", "", "", "", "", "", "", "not_tested", "", "", "", sign.reported];
            lines.push(line(first.clone().into_iter().chain(rest.map(String::from))));
        }
        for found in &sign.evidence {
            let words = [
                found.backbone.experiment.clone(),
                found.backbone.name.clone(),
                found.method.clone(),
                found.metric.name().into(),
                found.comparison.clone(),
                found.expected.words(),
            ];
            let tail = [found.verdict.name().to_string()]
                .into_iter()
                .chain(tested(found.significance))
                .chain([optional(found.adjusted), sign.reported.to_string()]);
            lines
                .push(line(first.clone().into_iter().chain(words).chain(numbers(found.estimate.as_ref())).chain(tail)));
        }
    }
    lines.concat()
}

fn accuracy(findings: &Findings) -> String {
    let mut lines = vec![header(&[column::EXPERIMENT, column::PROBE], &[])];
    for found in &findings.accuracies {
        lines.push(line(
            [found.experiment.clone(), found.probe.clone()].into_iter().chain(numbers(Some(&found.estimate))),
        ));
    }
    lines.concat()
}

/// Shares of variance, long: a row a factor.
fn variance(findings: &Findings) -> String {
    let head = [column::METRIC, column::METHOD, column::BASELINE, column::PROBE, column::FACTOR];
    let mut lines = vec![header(&head, &[])];
    for found in &findings.decompositions {
        for (factor, share) in found.shares() {
            let words = [
                found.metric.name().into(),
                found.method.clone(),
                found.baseline.clone(),
                found.treatment.clone(),
                factor.into(),
            ];
            lines.push(line(words.into_iter().chain(numbers(Some(&share)))));
        }
    }
    lines.concat()
}

/// The curves of pixel deletion that are drawn, long: a row a share removed.
fn curves(findings: &Findings) -> String {
    let head = [
        column::EXPERIMENT,
        column::BACKBONE,
        column::METRIC,
        column::VARIANT,
        column::METHOD,
        column::PROBE,
        column::REMOVED,
    ];
    let mut lines = vec![header(&head, &[])];
    let metric = Metric::PixelDeletion;
    for found in &findings.curves {
        for (share, estimate) in &found.points {
            let words = [
                found.experiment.clone(),
                found.backbone.clone(),
                metric.name().into(),
                metric.variant().into(),
                found.method.clone(),
                found.probe.clone(),
                share.to_string(),
            ];
            lines.push(line(words.into_iter().chain(numbers(Some(estimate)))));
        }
    }
    lines.concat()
}

/// Accuracy and localisation of the same comparisons, long: a row a metric.
fn matched(findings: &Findings) -> String {
    let head = [column::EXPERIMENT, column::BACKBONE, column::METHOD, column::BASELINE, column::PROBE, column::METRIC];
    let mut lines = vec![header(&head, &[column::MATCHED])];
    for found in &findings.matched {
        for (metric, estimate) in [("accuracy", found.accuracy), ("grid_pointing_game", found.localisation)] {
            let words = [
                found.backbone.experiment.clone(),
                found.backbone.name.clone(),
                found.method.clone(),
                found.baseline.clone(),
                found.treatment.clone(),
                metric.into(),
            ];
            let tail = [found.is_matched().to_string()];
            lines.push(line(words.into_iter().chain(numbers(Some(&estimate))).chain(tail)));
        }
    }
    lines.concat()
}

fn header(first: &[&str], last: &[&str]) -> String {
    line(first.iter().chain(&column::ESTIMATE).chain(last).map(|name| name.to_string()))
}

fn key(key: &Key) -> Vec<String> {
    let Key { experiment, backbone, item_kind, grid_size, metric, variant, method, probe, head, loss, offset } =
        key.clone();
    let grid_size = grid_size.map(|size| size.to_string()).unwrap_or_default();
    vec![experiment, backbone, item_kind, grid_size, metric, variant, method, probe, head, loss, offset]
}

/// Mean, interval, n, items and seeds.
fn numbers(estimate: Option<&Estimate>) -> [String; 6] {
    match estimate {
        Some(e) => [
            e.mean.to_string(),
            optional(e.interval().map(|(low, _)| low)),
            optional(e.interval().map(|(_, high)| high)),
            e.n.to_string(),
            e.items.to_string(),
            e.seeds.to_string(),
        ],
        None => [String::new(), String::new(), String::new(), "0".into(), "0".into(), "0".into()],
    }
}

/// Effect size and p-value.
fn tested(found: Option<Significance>) -> [String; 2] {
    [optional(found.and_then(|found| found.effect_size)), optional(found.map(|found| found.p_value))]
}

fn optional(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn line(fields: impl IntoIterator<Item = String>) -> String {
    let quoted: Vec<String> = fields.into_iter().map(quote).collect();
    quoted.join(",") + "\r\n"
}

fn quote(field: String) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of fields, quotes understood.
    fn fields(line: &str) -> usize {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    }

    #[test]
    fn fields_are_quoted_where_needed() {
        for (plain, quoted) in [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")] {
            assert_eq!(quote(plain.into()), quoted);
        }
    }

    #[test]
    fn curves_begin_at_the_whole_picture() {
        let text = curves(&crate::fake::findings());
        let starts = text.lines().filter(|line| line.contains(",0,1,1,1,60,20,3")).count();
        assert_eq!((starts, text.lines().count()), (8, 1 + 8 * 11), "{text}");
    }

    #[test]
    fn every_line_has_as_many_fields_as_the_header() {
        for (name, text) in all(&crate::fake::findings()) {
            let counts: Vec<usize> = text.lines().map(fields).collect();
            assert!(counts.len() > 3 && counts.iter().all(|count| *count == counts[0]), "{name}: {counts:?}");
        }
    }
}
