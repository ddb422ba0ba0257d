//! How good predictions are: accuracies, calibration, and the multi-label measures of the reference.

/// Share of rows with a label among the `k` largest values; of equal values the first counts as larger.
pub fn top_k(values: &[f32], labels: &[Vec<usize>], k: usize) -> f64 {
    let classes = values.len() / labels.len().max(1);
    let hit = |row: &[f32], label: usize| {
        let own = row[label];
        let before = row.iter().enumerate().filter(|&(class, &z)| z > own || (z == own && class < label)).count();
        before < k
    };
    let rows = values.chunks(classes.max(1)).zip(labels);
    rows.filter(|(row, labels)| labels.iter().any(|&label| hit(row, label))).count() as f64 / labels.len().max(1) as f64
}

/// Expected calibration error: the mean distance, over equal bins of confidence weighted by their rows, between mean
/// confidence and accuracy.
// METHOD: Guo et al. 2017, eq. 3, bins ((i - 1) / m, i / m], confidence 0 in the first.
pub fn calibration_error(confidences: &[f64], hits: &[bool], bins: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); bins];
    for (&confidence, &hit) in confidences.iter().zip(hits) {
        let bin = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        sums[bin].0 += confidence;
        sums[bin].1 += f64::from(u8::from(hit));
    }
    sums.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>() / confidences.len().max(1) as f64
}

/// Whether an image has a class; the reference writes 1, 0 and -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has.
    Present,
    /// It has not.
    Absent,
    /// Only objects marked difficult; metrics look away.
    Difficult,
}

/// How figures of classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Mean of the classes' figures.
    Macro,
    /// One figure from the classes' summed counts.
    Micro,
}

/// Precision, recall and F1, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Share of the predicted that is present.
    pub precision: f64,
    /// Share of the present that is predicted.
    pub recall: f64,
    /// Their harmonic mean; under `Macro` the mean of the classes' F1.
    pub f1: f64,
}

/// Precision, recall and F1 of `[images, classes]` probabilities that count from `threshold` on.
// METHOD: the reference's metric: difficult entries count neither as predicted nor as present; 100 TP / max(predicted, 1),
// 100 TP / max(present, 1), 2 P R / max(P + R, 1.19e-7).
pub fn agreement(
    probabilities: &[f32],
    presence: &[Presence],
    classes: usize,
    threshold: f32,
    average: Average,
) -> Agreement {
    let mut counts = vec![[0.0f64; 3]; classes];
    for (entry, (&probability, &presence)) in probabilities.iter().zip(presence).enumerate() {
        if presence == Presence::Difficult {
            continue;
        }
        let (said, there) = (probability >= threshold, presence == Presence::Present);
        let counts = &mut counts[entry % classes];
        for (count, holds) in counts.iter_mut().zip([said && there, said, there]) {
            *count += f64::from(u8::from(holds));
        }
    }
    let figures = |[both, said, there]: [f64; 3]| {
        let (precision, recall) = (100.0 * both / said.max(1.0), 100.0 * both / there.max(1.0));
        [precision, recall, 2.0 * precision * recall / (precision + recall).max(f64::from(f32::EPSILON))]
    };
    let [precision, recall, f1] = match average {
        Average::Micro => figures(counts.iter().fold([0.0; 3], |sum, c| [sum[0] + c[0], sum[1] + c[1], sum[2] + c[2]])),
        Average::Macro => counts.iter().map(|&c| figures(c)).fold([0.0; 3], |sum, f| {
            let share = classes as f64;
            [sum[0] + f[0] / share, sum[1] + f[1] / share, sum[2] + f[2] / share]
        }),
    };
    Agreement { precision, recall, f1 }
}

/// Average precision of one class, in 0..=1; none where no image has the class.
// METHOD: the reference's: difficult images left out, sorted by falling score, the mean over the present ones of the
// precision at their rank, without interpolation; equal scores keep the order of the images.
pub fn average_precision(scores: &[f32], presence: &[Presence]) -> Option<f64> {
    let mut ranked: Vec<(f32, bool)> = scores
        .iter()
        .zip(presence)
        .filter(|(_, presence)| **presence != Presence::Difficult)
        .map(|(&score, presence)| (score, *presence == Presence::Present))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut found, mut sum) = (0.0, 0.0);
    for (rank, (_, there)) in ranked.iter().enumerate() {
        if *there {
            found += 1.0;
            sum += found / (rank + 1) as f64;
        }
    }
    (found > 0.0).then(|| sum / found)
}

/// Mean average precision of `[images, classes]` scores, in percent, over the classes that some image has.
pub fn mean_average_precision(scores: &[f32], presence: &[Presence], classes: usize) -> Option<f64> {
    let every = |class: usize| {
        let scores: Vec<f32> = scores.iter().skip(class).step_by(classes).copied().collect();
        let presence: Vec<Presence> = presence.iter().skip(class).step_by(classes).copied().collect();
        average_precision(&scores, &presence)
    };
    let found: Vec<f64> = (0..classes).filter_map(every).collect();
    (!found.is_empty()).then(|| 100.0 * found.iter().sum::<f64>() / found.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presence::{Absent, Difficult, Present};

    #[test]
    fn the_label_may_be_among_the_first_k() {
        let values = [0.1, 0.9, 0.5, 0.5, 0.2, 0.3, 0.2, 0.1];
        let labels = [vec![2], vec![2]];
        let rates: Vec<f64> = (1..=4).map(|k| top_k(&values, &labels, k)).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 1.0]);
        // Equal values: class 2 comes before class 3.
        assert_eq!([top_k(&values[..4], &[vec![3]], 2), top_k(&values[..4], &[vec![3]], 3)], [0.0, 1.0]);
        // Any of several labels will do, and none never does.
        assert_eq!(top_k(&values, &[vec![0, 1], vec![]], 1), 0.5);
    }

    #[test]
    fn calibration_is_the_weighted_gap_of_each_bin() {
        // Two bins: (0, 0.5] holds 0.4 (miss) and 0.5 (hit); (0.5, 1] holds 0.9 (hit), 0.7 (miss) and 1.0 (hit).
        let error = calibration_error(&[0.4, 0.9, 0.5, 0.7, 1.0], &[false, true, true, false, true], 2);
        let want = 0.4 * (0.45f64 - 0.5).abs() + 0.6 * (2.6 / 3.0 - 2.0 / 3.0f64).abs();
        assert!((error - want).abs() < 1e-12, "{error} {want}");
        assert_eq!(calibration_error(&[1.0, 1.0], &[true, true], 15), 0.0);
    }

    /// Four images, three classes; worked out by hand.
    const PROBABILITIES: [f32; 12] = [0.9, 0.5, 0.1, 0.8, 0.2, 0.3, 0.4, 0.7, 0.2, 0.6, 0.1, 0.4];
    const PRESENCE: [Presence; 12] =
        [Present, Absent, Absent, Absent, Present, Absent, Present, Present, Absent, Difficult, Absent, Absent];

    #[test]
    fn agreement_is_that_of_the_reference() {
        // Class 0: said 2 (one of the three is difficult), there 2, both 1. Class 1: said 2, there 2, both 1. Class 2: nothing.
        let found = agreement(&PROBABILITIES, &PRESENCE, 3, 0.5, Average::Macro);
        assert!((found.precision - 100.0 / 3.0).abs() < 1e-9 && (found.recall - 100.0 / 3.0).abs() < 1e-9, "{found:?}");
        assert!((found.f1 - 100.0 / 3.0).abs() < 1e-9, "{found:?}");
        let found = agreement(&PROBABILITIES, &PRESENCE, 3, 0.5, Average::Micro);
        assert_eq!([found.precision, found.recall, found.f1], [50.0, 50.0, 50.0]);
        let none = agreement(&PROBABILITIES, &PRESENCE, 3, 0.95, Average::Micro);
        assert_eq!([none.precision, none.recall, none.f1], [0.0; 3]);
        // The mean of F1s is not the F1 of the means.
        let found = agreement(&[0.9, 0.9, 0.1, 0.9], &[Present, Absent, Present, Present], 2, 0.5, Average::Macro);
        let want = (2.0 * 100.0 * 50.0 / 150.0 + 2.0 * 50.0 * 100.0 / 150.0) / 2.0;
        assert!((found.f1 - want).abs() < 1e-9 && found.precision == 75.0 && found.recall == 75.0, "{found:?}");
    }

    #[test]
    fn average_precision_is_the_mean_precision_at_the_present_ones() {
        // Class 0 without the difficult image: 0.9 present, 0.8 absent, 0.4 present.
        let class = |c: usize| -> (Vec<f32>, Vec<Presence>) {
            (
                PROBABILITIES.iter().skip(c).step_by(3).copied().collect(),
                PRESENCE.iter().skip(c).step_by(3).copied().collect(),
            )
        };
        let of = |c: usize| average_precision(&class(c).0, &class(c).1);
        assert!((of(0).unwrap() - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert!((of(1).unwrap() - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(of(2), None);
        let mean = mean_average_precision(&PROBABILITIES, &PRESENCE, 3).unwrap();
        assert!((mean - 100.0 * 5.0 / 6.0).abs() < 1e-9, "{mean}");
    }
}
