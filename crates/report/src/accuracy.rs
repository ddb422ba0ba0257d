//! Test accuracy of probes, and whether two probes predict the same, from per-image predictions.

use crate::bootstrap::{self, Estimate, Sample};
use crate::roles::Metric;
use crate::significance::{self, Significance};
use crate::summary::Resampling;
use features::random::stream;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// One prediction, as read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Image.
    pub image: i64,
    /// Seed of the probe.
    pub seed: i64,
    /// Class of the image.
    pub label: i32,
    /// Predicted class.
    pub predicted: i32,
    /// Softmax probability of the predicted class.
    pub probability: f32,
}

/// Predictions of one experiment by probe name.
#[derive(Debug, Clone, Default)]
pub struct Predictions {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Predictions of all seeds of a probe.
    pub probes: BTreeMap<String, Vec<Prediction>>,
}

/// How far two probes predict the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Share of images with equal predicted class.
    pub equal: f64,
    /// Largest difference of the probability of the predicted class.
    pub probability: f64,
    /// Images and seeds compared.
    pub n: usize,
}

/// Difference of accuracy of two probes of one experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Probe that is subtracted.
    pub baseline: String,
    /// Probe that it is subtracted from.
    pub treatment: String,
    /// Mean over images and seeds.
    pub estimate: Estimate,
    /// Its test.
    pub significance: Option<Significance>,
}

/// Differences of all `pairs` (baseline, treatment) in all experiments that have both.
pub fn differences(predictions: &[Predictions], pairs: &[(&str, &str)], resampling: Resampling) -> Vec<Difference> {
    let all: Vec<(&Predictions, (&str, &str))> =
        predictions.iter().flat_map(|found| pairs.iter().map(move |pair| (found, *pair))).collect();
    let of = |(found, (baseline, treatment)): (&Predictions, (&str, &str))| {
        let (estimate, significance) = found.difference(baseline, treatment, resampling)?;
        let [experiment, baseline, treatment] = [&found.experiment, baseline, treatment].map(str::to_string);
        Some(Difference { experiment, baseline, treatment, estimate, significance })
    };
    all.into_par_iter().filter_map(of).collect()
}

impl Predictions {
    /// Accuracy of a probe; none if it predicted nothing.
    pub fn accuracy(&self, probe: &str, resampling: Resampling) -> Option<Estimate> {
        let samples = correct(self.probes.get(probe)?);
        let mut rng = stream(resampling.seed, &["accuracy", &self.experiment, probe]);
        let estimate = bootstrap::estimate(&samples, resampling.resamples, &mut rng)?;
        Some(estimate.within(Metric::Accuracy.bounds()))
    }

    /// Accuracy of `treatment` minus accuracy of `baseline`, paired over images and seeds, and its test.
    pub fn difference(
        &self,
        baseline: &str,
        treatment: &str,
        resampling: Resampling,
    ) -> Option<(Estimate, Option<Significance>)> {
        let pairs = self.pairs(baseline, treatment)?;
        let samples: Vec<Sample> = pairs
            .iter()
            .map(|(before, after)| Sample {
                item: after.image as u32,
                seed: after.seed,
                value: right(after) - right(before),
            })
            .collect();
        let mut rng = stream(resampling.seed, &["accuracy", &self.experiment, baseline, treatment]);
        let estimate = bootstrap::estimate(&samples, resampling.resamples, &mut rng)?;
        Some((estimate, significance::paired(&samples, &mut rng)))
    }

    /// How far two probes agree, over images and seeds that both have.
    pub fn agreement(&self, one: &str, other: &str) -> Option<Agreement> {
        let pairs = self.pairs(one, other)?;
        let n = pairs.len();
        let equal = pairs.iter().filter(|(a, b)| a.predicted == b.predicted).count() as f64 / n as f64;
        let probability =
            pairs.iter().map(|(a, b)| f64::from((a.probability - b.probability).abs())).fold(0.0, f64::max);
        (n > 0).then_some(Agreement { equal, probability, n })
    }

    fn pairs(&self, one: &str, other: &str) -> Option<Vec<(Prediction, Prediction)>> {
        let before: BTreeMap<(i64, i64), Prediction> =
            self.probes.get(one)?.iter().map(|p| ((p.image, p.seed), *p)).collect();
        let after = self.probes.get(other)?;
        Some(after.iter().filter_map(|p| Some((*before.get(&(p.image, p.seed))?, *p))).collect())
    }
}

fn right(prediction: &Prediction) -> f64 {
    f64::from(u8::from(prediction.predicted == prediction.label))
}

fn correct(predictions: &[Prediction]) -> Vec<Sample> {
    predictions.iter().map(|p| Sample { item: p.image as u32, seed: p.seed, value: right(p) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLING: Resampling = Resampling { resamples: 200, seed: 0 };

    fn predictions() -> Predictions {
        let of = |wrong: i64| {
            (0..100).map(move |image| Prediction {
                image,
                seed: 0,
                label: 1,
                predicted: i32::from(image >= wrong),
                probability: 0.9,
            })
        };
        let probes = [("one".to_string(), of(10).collect()), ("other".to_string(), of(15).collect())].into();
        Predictions { experiment: "a".into(), probes }
    }

    #[test]
    fn accuracy_and_its_difference_are_shares_of_images() {
        let found = predictions();
        let accuracy = found.accuracy("one", RESAMPLING).expect("predictions");
        assert!((accuracy.mean - 0.9).abs() < 1e-12 && accuracy.low < 0.9 && accuracy.high > 0.9);
        let (difference, test) = found.difference("one", "other", RESAMPLING).expect("pairs");
        assert!(test.expect("100 images").p_value < 0.1);
        assert!((difference.mean + 0.05).abs() < 1e-12 && difference.high < 0.0, "{difference:?}");
        assert_eq!(found.accuracy("absent", RESAMPLING), None);
    }

    #[test]
    fn agreement_counts_equal_predictions() {
        let found = predictions().agreement("one", "other").expect("pairs");
        assert_eq!((found.n, found.equal, found.probability), (100, 0.95, 0.0));
    }
}
