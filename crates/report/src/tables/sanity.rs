//! The table of randomisation tests: how alike maps stay when what they explain is made meaningless.

use super::{Cell, Formatted, difference, mean, text};
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};
use crate::scores::Key;
use evaluate::randomisation::{Similarity, Test};
use std::collections::BTreeMap;

/// The measure that the table shows; the others are in the CSV files.
const SHOWN: Similarity = Similarity::Pearson;
/// Correlations are written as those of other maps are.
const SCALE: Metric = Metric::ClassAgreement;

/// What was made meaningless, in the order of the cascade, and on which items.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    rank: usize,
    words: String,
}

/// One row a backbone, method and step.
pub fn table(findings: &Findings) -> Formatted {
    let rows = findings.backbones.iter().flat_map(|backbone| rows(findings, backbone)).collect();
    Formatted {
        name: "sanity",
        title: "Do maps depend on what they explain?",
        caption: "Mean correlation of a map with the one made after the weights of the probe, and of ever more stages of the \
                  backbone from its end, were drawn again, or with the map of another class (Adebayo et al. 2018, Sixt et \
                  al. 2020). Near 1, a map does not depend on it; lower is better."
            .into(),
        columns: vec!["Backbone", "Method", "Made random", "Linear CE", "Linear BCE", "BCE − CE"],
        rows,
    }
}

fn rows(findings: &Findings, backbone: &Backbone) -> Vec<Vec<Cell>> {
    let roles = &findings.roles;
    let asked = |key: &Key| {
        let ours = key.experiment == backbone.experiment && key.backbone == backbone.name;
        let size = key.grid_size.is_none() || key.grid_size == backbone.grid_sizes.first().copied();
        (ours && size).then(|| question(key)).flatten()
    };
    let means = findings.summaries.means.iter();
    let found: Vec<_> = means.filter_map(|found| Some((asked(&found.key)?, found))).collect();
    let differences = findings.summaries.differences.iter();
    let differences: Vec<_> = differences
        .filter(|found| found.baseline == roles.ce && found.key.probe == roles.bce)
        .filter_map(|found| Some((asked(&found.key)?, found)))
        .collect();
    let mut rows = Vec::new();
    for method in &backbone.methods {
        let mut questions: BTreeMap<&Question, [Option<_>; 2]> = BTreeMap::new();
        for (question, one) in found.iter().filter(|(_, one)| one.key.method == *method) {
            let at = [&roles.ce, &roles.bce].iter().position(|probe| **probe == one.key.probe);
            if let Some(at) = at {
                questions.entry(question).or_default()[at] = one.estimate;
            }
        }
        for (question, values) in questions.into_iter().filter(|(_, values)| values.iter().any(Option::is_some)) {
            let is_it = |(asked, found): &&(Question, _)| {
                let found: &&crate::summary::Difference = found;
                asked == question && found.key.method == *method
            };
            let changed = differences.iter().find(is_it).and_then(|(_, found)| found.estimate);
            let mut row = vec![text(&backbone.label), text(labels::method(method)), text(&question.words)];
            // No value is set in bold: below some level all are as good.
            row.extend(values.map(|value| mean(value, SCALE)));
            row.push(difference(changed, SCALE));
            rows.push(row);
        }
    }
    rows
}

/// The question behind a variant; none of other metrics and other measures.
fn question(key: &Key) -> Option<Question> {
    let mut parts = key.variant.split(':');
    let (reach, how) = match (key.metric.as_str(), parts.clone().count()) {
        (Test::PARAMETERS, 3) => (parts.next()?, parts.next()?),
        (Test::LOGIT, 2) => (parts.next()?, ""),
        _ => return None,
    };
    if parts.next() != Some(SHOWN.name()) {
        return None;
    }
    let stages = reach.strip_prefix("last").and_then(|count| count.parse::<usize>().ok());
    let (rank, mut words) = match (reach, stages) {
        ("head", _) => (0, "Probe".to_string()),
        (_, Some(1)) => (1, "Probe and last stage".to_string()),
        (_, Some(count)) => (count, format!("Probe and last {count} stages")),
        ("all", _) => (usize::MAX - 1, "Probe and backbone".to_string()),
        _ => (usize::MAX, "Another class".to_string()),
    };
    if !["", "normal"].contains(&how) {
        words = format!("{words} ({how})");
    }
    if key.item_kind != "grid" {
        words = format!("{words}, {}s", key.item_kind);
    }
    Some(Question { rank, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_cascade_are_in_order_and_have_words() {
        let found = table(&crate::fake::findings());
        let words = |row: &Vec<Cell>| match &row[2] {
            Cell::Text { text, .. } => text.clone(),
            other => panic!("{other:?}"),
        };
        let first: Vec<String> = found.rows.iter().take(5).map(words).collect();
        assert_eq!(
            first,
            ["Probe", "Probe and last stage", "Probe and last 2 stages", "Probe and backbone", "Another class"]
        );
        assert_eq!(found.rows.len(), 5 * (5 + 3), "five questions, eight methods of two backbones");
        let number = |row: &Vec<Cell>, at: usize| match &row[at] {
            Cell::Number { text, .. } => text.trim_start_matches('−').parse::<f64>().expect("a number"),
            other => panic!("{other:?}"),
        };
        // The made-up guided backpropagation does not see the weights.
        for row in &found.rows {
            let ignorant = matches!(&row[1], Cell::Text { text, .. } if text == "Guided Backprop");
            assert_eq!(number(row, 3) > 0.8, ignorant, "{row:?}");
        }
    }

    #[test]
    fn other_metrics_and_measures_are_no_questions() {
        let key = |metric: &str, variant: &str| Key {
            metric: metric.into(),
            variant: variant.into(),
            ..crate::fake::key("a", "lrp", "linear-ce")
        };
        for (metric, variant) in [
            ("gini", "relative"),
            (Test::PARAMETERS, "head:normal:ssim"),
            (Test::PARAMETERS, "head"),
            (Test::LOGIT, "other_class:spearman"),
        ] {
            assert_eq!(question(&key(metric, variant)), None, "{metric}:{variant}");
        }
        let found = question(&key(Test::PARAMETERS, "all:shuffled:pearson")).expect("a question");
        assert_eq!(found.words, "Probe and backbone (shuffled)");
    }
}
