//! The report's tables, formatted once for the page, Markdown and LaTeX. The CSV files hold the plain numbers.

mod compared;
mod cut_off;
mod sanity;

use crate::bootstrap::Estimate;
use crate::findings::Findings;
use crate::labels;
use crate::roles::{Backbone, Metric};
use crate::verdict::Verdict;
use evaluate::controls::Control;
use serde::Serialize;

/// A formatted cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cell {
    /// Words, left-aligned.
    Text {
        /// The words.
        text: String,
        /// More words, less prominent; may be empty.
        note: String,
        /// Rows that it stands for: 0 where the cell above stands for this row too.
        rows: usize,
    },
    /// A number or a mean with its interval, right-aligned.
    Number {
        /// The number.
        text: String,
        /// `[low, high]`, or empty.
        interval: String,
        /// Whether it is the best of its kind in the row.
        best: bool,
    },
    /// A verdict.
    Verdict {
        /// Name of the verdict.
        name: &'static str,
        /// Words for it.
        text: &'static str,
    },
}

/// A table of formatted cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Formatted {
    /// Name in files, `[a-z]+`.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What the numbers are.
    pub caption: String,
    /// Column headings.
    pub columns: Vec<&'static str>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<Cell>>,
}

/// All tables that have rows, signs first.
pub fn all(findings: &Findings) -> Vec<Formatted> {
    let tables = [
        signs(findings),
        localisation(findings),
        cut_off::table(findings),
        matched(findings),
        variance(findings),
        heads(findings),
        compared::compactness(findings),
        compared::agreement(findings),
        sanity::table(findings),
        trainings(findings),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn text(words: impl Into<String>) -> Cell {
    Cell::Text { text: words.into(), note: String::new(), rows: 1 }
}

fn number(value: impl Into<String>) -> Cell {
    Cell::Number { text: value.into(), interval: String::new(), best: false }
}

fn split(formatted: String) -> Cell {
    let (text, interval) = formatted
        .split_once(" [")
        .map_or((formatted.clone(), String::new()), |(text, rest)| (text.to_string(), format!("[{rest}")));
    Cell::Number { text, interval, best: false }
}

fn mean(estimate: Option<Estimate>, metric: Metric) -> Cell {
    estimate.map_or_else(|| number("–"), |estimate| split(labels::mean(&estimate, metric)))
}

fn difference(estimate: Option<Estimate>, metric: Metric) -> Cell {
    estimate.map_or_else(|| number("–"), |estimate| split(labels::difference(&estimate, metric)))
}

fn signs(findings: &Findings) -> Formatted {
    let mut rows = Vec::new();
    for sign in &findings.signs {
        let statement = |at: usize| match at {
            0 => Cell::Text {
                text: format!("{}. {}", sign.number, sign.statement),
                note: format!("{} Paper: {}", sign.note, sign.reported).trim().to_string(),
                rows: sign.evidence.len().max(1),
            },
            _ => Cell::Text { text: String::new(), note: String::new(), rows: 0 },
        };
        if sign.evidence.is_empty() {
            let verdict = Cell::Verdict { name: Verdict::NotTested.name(), text: Verdict::NotTested.words() };
            let nothing = || number("");
            rows.push(vec![statement(0), text(""), text(""), text(""), nothing(), nothing(), nothing(), verdict]);
        }
        for (at, found) in sign.evidence.iter().enumerate() {
            let subject = match (found.method.as_str(), labels::shown(found.metric)) {
                ("", metric) => metric.to_string(),
                (method, metric) => format!("{} · {metric}", labels::method(method)),
            };
            let share = matches!(found.expected, crate::verdict::Expected::AtLeast(_));
            let estimate = found.estimate.map_or_else(
                || number(""),
                |e| match share {
                    true => number(format!("{} %", labels::number(100.0 * e.mean, 2))),
                    false => with_empty(split(labels::difference(&e, found.metric)), found),
                },
            );
            let verdict = Cell::Verdict { name: found.verdict.name(), text: found.verdict.words() };
            rows.push(vec![
                statement(at),
                text(&found.comparison),
                text(&found.backbone.label),
                text(subject),
                estimate,
                number(found.significance.and_then(|s| s.effect_size).map_or(String::new(), |d| labels::signed(d, 2))),
                number(found.adjusted.map_or(String::new(), labels::p_value)),
                verdict,
            ]);
        }
    }
    Formatted {
        name: "signs",
        title: "Signs of the paper, tested here",
        caption: "Estimate: paired difference with its 95 % interval, in points (GridPG, EPG, accuracy), bits (entropy) or units \
                  of the index (Gini). A sign holds, or is reversed, only if the whole interval says so and, where there is a p, \
                  it is below 0.05. Where some maps have no positive relevance, the difference with 0 for them, as the paper's \
                  code counts, must say the same. d: mean difference of items over its standard deviation. p: permutation of \
                  items, for differences that are expected not to be 0 (of the gap between grids and scenes, which are no \
                  pairs, of items between both, by Welch's t, and d in units of the spread within them), corrected for all tests of this list (Holm). Paper: \
                  numbers that its reviews quote; it has no intervals."
            .into(),
        columns: vec!["Sign", "Comparison", "Backbone", "Measured", "Estimate", "d", "p", "Verdict"],
        rows,
    }
}

/// The cell with what the estimate is if empty maps count as 0.
fn with_empty(cell: Cell, found: &crate::signs::Evidence) -> Cell {
    match (cell, found.empty_as_zero) {
        (Cell::Number { text, interval, best }, Some(zero)) => {
            let zero = labels::difference(&zero, found.metric);
            Cell::Number { text, interval: format!("{interval} empty as 0: {zero}").trim().to_string(), best }
        }
        (cell, _) => cell,
    }
}

fn localisation(findings: &Findings) -> Formatted {
    let roles = &findings.roles;
    let mut rows = Vec::new();
    let metrics = [
        Metric::GridPointingGame,
        Metric::PointingGame,
        Metric::EnergyPointingGame,
        Metric::EnergyOnMasks,
        Metric::BoundingBoxIou,
    ];
    for (backbone, metric) in each(findings, &metrics) {
        for method in &backbone.methods {
            let of = |probe: &str| findings.summaries.mean(backbone, metric, method, probe);
            let values = [&roles.ce, &roles.bce, &roles.bcos].map(|probe| of(probe).and_then(|found| found.estimate));
            if values.iter().all(Option::is_none) {
                continue;
            }
            let found = findings.summaries.difference(backbone, metric, method, &roles.ce, &roles.bce);
            let counts = found
                .map_or_else(|| number("–"), |d| number(format!("{} / {}", d.estimate.map_or(0, |e| e.n), d.skipped)));
            let mut row = vec![text(&backbone.label), text(labels::shown(metric)), text(labels::method(method))];
            row.extend(best_bold(values, metric, true));
            row.push(difference(found.and_then(|d| d.estimate), metric));
            row.push(difference(found.and_then(|d| d.empty_as_zero), metric));
            row.extend([Control::Uniform, Control::Oracle].map(|control| {
                let found = findings.summaries.control(backbone, metric, control, method);
                number(found.map_or("–".to_string(), |value| labels::number(100.0 * value, 1)))
            }));
            row.push(counts);
            rows.push(row);
        }
    }
    Formatted {
        name: "localisation",
        title: "Localisation by method and probe",
        caption: "Mean with 95 % interval in %, of a probe's seeds that were trained and of its maps that have positive relevance. n: \
                  paired maps of the difference; skipped: pairs left out because a map has none, so that its score is undefined. \
                  Empty as 0: the difference of all pairs, with 0 for such maps, as the paper's code counts them. Uniform: a map \
                  that knows nothing. Even cell: one that covers the target evenly, smoothed as the method's maps are; one that \
                  keeps to the middle of it loses less to smoothing. Pointing game: share of maps whose strongest pixel is on \
                  the target. Bold: the best mean in the row, of probes with equally many seeds."
            .into(),
        columns: vec![
            "Backbone", "Metric", "Method", "Linear CE", "Linear BCE", "B-cos ×3 BCE", "BCE − CE", "Empty as 0", "Uniform",
            "Even cell", "n / skipped",
        ],
        rows,
    }
}

fn heads(findings: &Findings) -> Formatted {
    let mut rows = Vec::new();
    for backbone in &findings.backbones {
        for probe in findings.probes(backbone) {
            let of = |metric| {
                findings
                    .summaries
                    .mean(backbone, metric, backbone.main_method(), &probe)
                    .and_then(|found| found.estimate)
            };
            let accuracy = findings.accuracy(backbone, &probe).copied();
            rows.push(vec![
                text(&backbone.label),
                text(labels::method(backbone.main_method())),
                text(labels::probe(&probe)),
                mean(of(Metric::GridPointingGame), Metric::GridPointingGame),
                mean(of(Metric::EnergyPointingGame), Metric::EnergyPointingGame),
                mean(accuracy, Metric::Accuracy),
            ]);
        }
    }
    Formatted {
        name: "probes",
        title: "Every probe: head, loss, offset, shift",
        caption: "Main method of each backbone, % with 95 % interval. The constant logit offset −ln(N−1) is a factor of its own: \
                  compare probes that share it."
            .into(),
        columns: vec!["Backbone", "Method", "Probe", "GridPG", "EPG", "Accuracy"],
        rows,
    }
}

fn matched(findings: &Findings) -> Formatted {
    let row = |found: &crate::matched::Matched| {
        let (name, words) = match (found.is_matched(), found.localises_differently()) {
            (true, true) => (Verdict::Holds, "same accuracy, other maps"),
            (true, false) => (Verdict::NotResolved, "same accuracy, maps not resolved"),
            (false, _) => (Verdict::NotTested, "accuracy differs or is unsure"),
        };
        vec![
            text(labels::comparison(&found.baseline, &found.treatment)),
            text(&found.backbone.label),
            text(labels::method(&found.method)),
            difference(Some(found.accuracy), Metric::Accuracy),
            difference(Some(found.localisation), Metric::GridPointingGame),
            Cell::Verdict { name: name.name(), text: words },
        ]
    };
    Formatted {
        name: "matched",
        title: "Localisation at equal accuracy",
        caption: format!(
            "Differences in points. Two probes count as equally accurate if the whole interval of the difference lies within \
             ±{:.1} points, the largest that the paper reports for its ViT probes. Where maps differ there, accuracy is not why. \
             Maps differ if the whole interval says so and the permutation's p, corrected for all rows (Holm), is below 0.05; \
             that they do not is never concluded.",
            100.0 * crate::signs::SMALL_ACCURACY
        ),
        columns: vec!["Comparison", "Backbone", "Method", "Accuracy", "GridPG", "Reading"],
        rows: findings.matched.iter().map(row).collect(),
    }
}

fn variance(findings: &Findings) -> Formatted {
    let share = |share: Estimate| {
        let percent = |value: f64| labels::number(100.0 * value, 0);
        let interval = format!("[{}, {}]", percent(share.low), percent(share.high));
        Cell::Number { text: percent(share.mean), interval, best: false }
    };
    let row = |found: &crate::decomposition::Decomposition| {
        vec![
            text(labels::shown(found.metric)),
            text(labels::method(&found.method)),
            share(found.loss),
            share(found.backbone),
            share(found.interaction),
        ]
    };
    Formatted {
        name: "variance",
        title: "Loss against backbone",
        caption: "Share in % of the variance among the means of all backbones under CE and BCE (linear probes; two-way analysis of \
                  variance, each mean counted once), less what the noise of the means adds to each part. 95 % percentiles of \
                  resampled items and seeds, not drawn out: with few seeds they are somewhat narrow. The paper says that the \
                  loss matters much more than the pre-training; these backbones differ in architecture, and are few."
            .into(),
        columns: vec!["Metric", "Method", "Loss", "Backbone", "Interaction"],
        rows: findings.decompositions.iter().map(row).collect(),
    }
}

fn trainings(findings: &Findings) -> Formatted {
    let row = |found: &crate::findings::Training| {
        vec![
            text(&found.experiment),
            text(&found.probe_id),
            text(&found.optimiser),
            number(format!("{}", found.learning_rate)),
            number(found.epochs.to_string()),
            number(labels::number(found.train_loss, 4)),
            number(format!("{:.1e}", found.gradient_norm).replace('-', "−")),
            number(labels::number(100.0 * found.test_accuracy, 1)),
            number(labels::number(found.mean_logit, 2)),
            number(labels::number(found.common_norm_ratio, 3)),
        ]
    };
    Formatted {
        name: "training",
        title: "How the probes were trained",
        caption: "A BCE probe that has not converged shows no gain: read the gradient norm at the end. Common norm: norm of the \
                  mean class weight over the mean norm of class weights."
            .into(),
        columns: vec!["Experiment", "Probe", "Optimiser", "Rate", "Epochs", "Loss", "Gradient", "Accuracy", "Mean logit", "Common norm"],
        rows: findings.trainings.iter().map(row).collect(),
    }
}

fn each<'a>(findings: &'a Findings, metrics: &'a [Metric]) -> impl Iterator<Item = (&'a Backbone, Metric)> {
    findings.backbones.iter().flat_map(move |backbone| metrics.iter().map(move |metric| (backbone, *metric)))
}

/// Means, the best one marked if another is there to compare with and all are of as many seeds.
fn best_bold<const N: usize>(values: [Option<Estimate>; N], metric: Metric, higher_is_better: bool) -> [Cell; N] {
    let sign = if higher_is_better { 1.0 } else { -1.0 };
    let best = values.iter().flatten().map(|e| sign * e.mean).fold(f64::NEG_INFINITY, f64::max);
    let seeds: Vec<usize> = values.iter().flatten().map(|e| e.seeds).collect();
    let several = seeds.len() > 1 && seeds.iter().all(|of_one| *of_one == seeds[0]);
    values.map(|value| match mean(value, metric) {
        Cell::Number { text, interval, .. } => {
            let best = several && value.is_some_and(|e| sign * e.mean == best);
            Cell::Number { text, interval, best }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_cell_for_each_column() {
        let tables = all(&crate::fake::findings());
        assert_eq!(
            tables.iter().map(|table| table.name).collect::<Vec<_>>(),
            [
                "signs",
                "localisation",
                "cutoff",
                "matched",
                "variance",
                "probes",
                "compactness",
                "agreement",
                "sanity",
                "training"
            ]
        );
        for table in tables {
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", table.name);
        }
    }

    #[test]
    fn the_best_value_is_the_lowest_where_less_is_better() {
        let of = |mean| Some(Estimate { mean, ..Estimate::default() });
        let marks = |cells: [Cell; 3]| cells.map(|cell| matches!(cell, Cell::Number { best: true, .. }));
        assert_eq!(marks(best_bold([of(1.0), of(2.0), None], Metric::Gini, true)), [false, true, false]);
        assert_eq!(marks(best_bold([of(1.0), of(2.0), None], Metric::Entropy, false)), [true, false, false]);
        assert_eq!(marks(best_bold([of(1.0), None, None], Metric::Gini, true)), [false; 3]);
        let more_seeds = Some(Estimate { mean: 2.0, seeds: 3, ..Estimate::default() });
        assert_eq!(marks(best_bold([of(1.0), more_seeds, None], Metric::Gini, true)), [false; 3]);
    }
}
