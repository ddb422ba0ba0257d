//! What choices among probes are made by: one figure of the validation split.

use crate::data::{Split, argmax};
use crate::metrics::{Presence, mean_average_precision};

/// The figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Share of images whose largest logit is that of their label.
    Accuracy,
    /// Mean over the classes of the average precision, in percent: where images have several labels, or none, the largest
    /// logit says little.
    MeanAveragePrecision,
}

impl Score {
    /// The figure that suits the labels of a split.
    pub fn of(split: &Split) -> Self {
        if split.is_multi_label() { Self::MeanAveragePrecision } else { Self::Accuracy }
    }

    /// The name used in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanAveragePrecision => "mean_average_precision",
        }
    }

    /// The name used in the log for what a candidate scored.
    pub fn candidate(self) -> &'static str {
        match self {
            Self::Accuracy => "candidate_accuracy",
            Self::MeanAveragePrecision => "candidate_mean_average_precision",
        }
    }

    /// The figure of logits `[n, classes]` on a split; not a number where it is not defined.
    #[cfg(test)]
    fn value(self, logits: &[f32], split: &Split) -> f64 {
        let mut tally = Tally::new(self);
        tally.add(logits, split.labels.iter().map(Vec::as_slice));
        tally.value(split)
    }
}

/// A figure of a split whose logits come batch by batch, in the order of its rows.
#[derive(Debug, Clone)]
pub struct Tally {
    score: Score,
    /// Rows whose largest logit is that of a label.
    hits: usize,
    /// Where ranks count, which only all of them together have: logits so far.
    logits: Vec<f32>,
}

impl Tally {
    /// Of no row yet.
    pub fn new(score: Score) -> Self {
        Self { score, hits: 0, logits: Vec::new() }
    }

    /// Adds the logits of the next rows.
    pub fn add<'a>(&mut self, logits: &[f32], labels: impl ExactSizeIterator<Item = &'a [usize]>) {
        let classes = (logits.len() / labels.len().max(1)).max(1);
        match self.score {
            Score::Accuracy => {
                self.hits +=
                    logits.chunks(classes).zip(labels).filter(|(row, labels)| labels.contains(&argmax(row))).count();
            }
            Score::MeanAveragePrecision => self.logits.extend_from_slice(logits),
        }
    }

    /// The figure, once all rows of the split were added; not a number where it is not defined.
    pub fn value(&self, split: &Split) -> f64 {
        if split.is_empty() {
            return f64::NAN;
        }
        match self.score {
            Score::Accuracy => self.hits as f64 / split.len() as f64,
            Score::MeanAveragePrecision => {
                let classes = self.logits.len() / split.len();
                mean_average_precision(&self.logits, &presence(split, classes), classes).unwrap_or(f64::NAN)
            }
        }
    }
}

/// Whether each image of a split has each class: `[n, classes]`.
pub fn presence(split: &Split, classes: usize) -> Vec<Presence> {
    let of = |image: usize, class: usize| {
        if split.labels[image].contains(&class) {
            Presence::Present
        } else if split.set_aside[image].contains(&class) {
            Presence::Difficult
        } else {
            Presence::Absent
        }
    };
    (0..split.len() * classes).map(|at| of(at / classes, at % classes)).collect()
}

/// Whether a score is better than the best so far; what is not a number never is.
pub fn better(score: f64, best: Option<f64>) -> bool {
    !score.is_nan() && best.is_none_or(|best| score > best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(labels: &[&[usize]]) -> Split {
        Split {
            image_ids: (0..labels.len() as i64).collect(),
            labels: labels.iter().map(|labels| labels.to_vec()).collect(),
            set_aside: vec![vec![]; labels.len()],
            ..Split::empty(1, [1, 1])
        }
    }

    #[test]
    fn labels_decide_what_counts() {
        let single = split(&[&[0], &[1]]);
        assert_eq!(Score::of(&single), Score::Accuracy);
        assert_eq!(Score::Accuracy.value(&[1.0, 0.0, 1.0, 0.0], &single), 0.5);
        let several = split(&[&[0, 1], &[], &[1]]);
        let score = Score::of(&several);
        assert_eq!(score, Score::MeanAveragePrecision);
        // Class 0: its one image ranks second. Class 1: its two rank first and second.
        assert_eq!(score.value(&[0.4, 0.3, 0.9, 0.1, 0.0, 0.2], &several), 75.0);
        assert!(score.value(&[], &split(&[])).is_nan());
    }

    #[test]
    fn the_first_of_equals_stays() {
        assert!(better(0.0, None) && better(0.2, Some(0.1)));
        assert!(!better(0.1, Some(0.1)) && !better(f64::NAN, None));
    }
}
