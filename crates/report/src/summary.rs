//! Means with intervals per probe, method, metric and variant, and paired differences between probes.

use crate::bootstrap::{self, Estimate, Sample};
use crate::pairs;
use crate::roles::{Backbone, Metric, Roles};
use crate::scores::{Empty, Group, Key, Scores};
use crate::significance::{self, Significance};
use crate::verdict::{Expected, Verdict};
use evaluate::controls::Control;
use features::random::{Stream, stream};
use rayon::prelude::*;

/// Mean of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What was scored.
    pub key: Key,
    /// Mean and interval; none if no value is defined.
    pub estimate: Option<Estimate>,
    /// Mean with 0 for maps without positive relevance, where there are such.
    pub empty_as_zero: Option<f64>,
    /// Maps whose score is undefined.
    pub skipped: usize,
    /// Score of an uninformative map.
    pub chance: Option<f64>,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// Paired difference of two groups that differ in the probe alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What was scored; `probe`, `head`, `loss` and `offset` are those of the treatment.
    pub key: Key,
    /// Probe name of the baseline.
    pub baseline: String,
    /// Mean of treatment minus baseline over pairs; none if there is no pair.
    pub estimate: Option<Estimate>,
    /// Mean of the baseline over these pairs; not a number without any.
    pub baseline_mean: f64,
    /// The same over all pairs, with 0 for maps without positive relevance, where there are such.
    pub empty_as_zero: Option<Estimate>,
    /// Effect size and p-value; none with fewer than two items.
    pub significance: Option<Significance>,
    /// Pairs left out because one side is undefined.
    pub skipped: usize,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Difference {
    /// Verdict on what is expected. Which maps are empty depends on the probe, so leaving them out compares fewer maps than
    /// both probes have: a verdict needs both ways of counting them.
    pub fn verdict(&self, expected: Expected) -> Verdict {
        let left_out = expected.judge(self.estimate.as_ref());
        self.empty_as_zero.as_ref().map_or(left_out, |zero| left_out.and(expected.judge(Some(zero))))
    }
}

/// How many bootstrap resamples, and the seed of their streams.
#[derive(Debug, Clone, Copy)]
pub struct Resampling {
    /// Resamples of one interval.
    pub resamples: usize,
    /// Seed of the run.
    pub seed: u64,
}

/// Everything that follows from the scores alone.
#[derive(Debug, Clone, Default)]
pub struct Summaries {
    /// One for each group, in order of keys.
    pub means: Vec<Summary>,
    /// One for each comparison and key that both probes have.
    pub differences: Vec<Difference>,
    /// Means of made-up maps, in order of keys.
    pub controls: Vec<Summary>,
}

impl Summaries {
    /// Summarises all groups and all comparisons of `roles`.
    pub fn new(scores: &Scores, roles: &Roles, resampling: Resampling) -> Self {
        let [means, controls] = [&scores.groups, &scores.controls]
            .map(|groups| groups.par_iter().map(|group| summarise(group, resampling)).collect());
        let differences = roles
            .comparisons()
            .into_par_iter()
            .flat_map_iter(|(baseline, treatment)| {
                let treated = scores.groups.iter().filter(move |group| group.key.probe == treatment);
                treated.filter_map(move |group| Some((baseline_of(scores, group, baseline)?, group)))
            })
            .map(|(before, after)| difference(before, after, resampling))
            .collect();
        Self { means, differences, controls }
    }

    /// The mean that the report shows for a backbone, metric, method and probe.
    pub fn mean(&self, backbone: &Backbone, metric: Metric, method: &str, probe: &str) -> Option<&Summary> {
        self.means.iter().find(|found| shown(&found.key, backbone, metric, method) && found.key.probe == probe)
    }

    /// Mean of a made-up map, treated as maps of `method` are; none where it was not scored.
    pub fn control(&self, backbone: &Backbone, metric: Metric, control: Control, method: &str) -> Option<f64> {
        let name = format!("{}:{method}", control.name());
        let is_it = |found: &&Summary| {
            found.key.experiment == backbone.experiment && same_question(&found.key, backbone, metric, &name)
        };
        self.controls.iter().find(is_it)?.estimate.map(|estimate| estimate.mean)
    }

    /// The difference that the report shows.
    pub fn difference(
        &self,
        backbone: &Backbone,
        metric: Metric,
        method: &str,
        baseline: &str,
        treatment: &str,
    ) -> Option<&Difference> {
        self.differences.iter().find(|found| {
            shown(&found.key, backbone, metric, method) && found.key.probe == treatment && found.baseline == baseline
        })
    }
}

/// Whether a key is the one that the report shows: default variant, default items, largest standing grid.
pub fn shown(key: &Key, backbone: &Backbone, metric: Metric, method: &str) -> bool {
    key.experiment == backbone.experiment
        && key.backbone == backbone.name
        && same_question(key, backbone, metric, method)
}

fn same_question(key: &Key, backbone: &Backbone, metric: Metric, method: &str) -> bool {
    key.metric == metric.name()
        && key.variant == metric.variant()
        && key.item_kind == metric.item_kind()
        && key.grid_size == backbone.grid_size(metric)
        && key.method == method
}

/// Mean of one group.
pub fn summarise(group: &Group, resampling: Resampling) -> Summary {
    let metric = Metric::from_name(&group.key.metric);
    let samples = clustered(metric, pairs::values(&group.cells, Empty::LeftOut));
    let all = pairs::values(&group.cells, Empty::Zero);
    let has_empty = metric.is_some_and(Metric::is_a_share) && all.len() > samples.len();
    let mut rng = stream(resampling.seed, &name(&group.key, "mean"));
    Summary {
        estimate: bootstrap::estimate(&samples, resampling.resamples, &mut rng)
            .map(|estimate| estimate.within(metric.and_then(Metric::bounds))),
        empty_as_zero: has_empty.then(|| all.iter().map(|sample| sample.value).sum::<f64>() / all.len() as f64),
        skipped: group.cells.len() - samples.len(),
        key: group.key.clone(),
        chance: group.chance,
        higher_is_better: group.higher_is_better,
    }
}

fn difference(before: &Group, after: &Group, resampling: Resampling) -> Difference {
    let metric = Metric::from_name(&after.key.metric);
    let [left_out, zero] = [Empty::LeftOut, Empty::Zero].map(|empty| pairs::paired(&before.cells, &after.cells, empty));
    let has_empty = metric.is_some_and(Metric::is_a_share) && zero.samples.len() > left_out.samples.len();
    let samples = clustered(metric, left_out.samples);
    let bounds = metric.and_then(Metric::bounds).map(|(least, most)| (least - most, most - least));
    let estimate = |samples: &[Sample], rng: &mut Stream| {
        bootstrap::estimate(samples, resampling.resamples, rng).map(|estimate| estimate.within(bounds))
    };
    let mut rng = stream(resampling.seed, &name(&after.key, &before.key.probe));
    Difference {
        estimate: estimate(&samples, &mut rng),
        significance: significance::paired(&samples, &mut rng),
        baseline_mean: left_out.baseline,
        empty_as_zero: has_empty.then(|| estimate(&zero.samples, &mut rng)).flatten(),
        skipped: left_out.skipped,
        key: after.key.clone(),
        baseline: before.key.probe.clone(),
        higher_is_better: after.higher_is_better,
    }
}

/// The samples with what is resampled as their seed: a map's stability is its mean over pairs of seeds, of which every seed
/// has a share, so that seeds are no independent clusters and only items are drawn.
fn clustered(metric: Option<Metric>, samples: Vec<Sample>) -> Vec<Sample> {
    match metric {
        Some(Metric::SeedStability) => samples.into_iter().map(|sample| Sample { seed: 0, ..sample }).collect(),
        _ => samples,
    }
}

/// Name of a random stream.
fn name<'a>(key: &'a Key, purpose: &'a str) -> [&'a str; 9] {
    let size = match key.grid_size {
        Some(2) => "2",
        Some(3) => "3",
        Some(_) => "grid",
        None => "",
    };
    [&key.experiment, &key.backbone, &key.item_kind, size, &key.metric, &key.variant, &key.method, &key.probe, purpose]
}

fn baseline_of<'a>(scores: &'a Scores, group: &Group, baseline: &str) -> Option<&'a Group> {
    let same = |key: &Key| {
        (&key.experiment, &key.backbone, &key.item_kind, key.grid_size, &key.metric, &key.variant, &key.method)
            == (
                &group.key.experiment,
                &group.key.backbone,
                &group.key.item_kind,
                group.key.grid_size,
                &group.key.metric,
                &group.key.variant,
                &group.key.method,
            )
    };
    scores.groups.iter().find(|other| other.key.probe == baseline && same(&other.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::{Cell, Raw};

    const RESAMPLING: Resampling = Resampling { resamples: 300, seed: 0 };

    fn row(probe: &str, item: &str, value: Option<f64>) -> Raw {
        let key = crate::fake::key("a", "lrp", probe);
        let cell = Cell { value, empty: value.is_none(), chance: Some(1.0 / 9.0), ..Cell::default() };
        Raw { key, higher_is_better: true, cells: vec![(item.into(), cell)] }
    }

    #[test]
    fn undefined_scores_are_counted_and_left_out() {
        let scores = Scores::new(vec![
            row("linear-ce", "0", Some(0.2)),
            row("linear-ce", "1", None),
            row("linear-ce", "2", Some(0.4)),
        ]);
        let found = Summaries::new(&scores, &Roles::default(), RESAMPLING);
        let mean = &found.means[0];
        assert_eq!(mean.skipped, 1);
        assert!((mean.empty_as_zero.expect("an empty map") - 0.2).abs() < 1e-12);
        let estimate = mean.estimate.expect("two values");
        assert_eq!((estimate.n, estimate.items), (2, 2));
        assert!((estimate.mean - 0.3).abs() < 1e-12);
    }

    #[test]
    fn a_group_without_values_has_no_mean() {
        let found = Summaries::new(&Scores::new(vec![row("linear-ce", "0", None)]), &Roles::default(), RESAMPLING);
        assert_eq!((found.means[0].estimate, found.means[0].skipped), (None, 1));
    }

    #[test]
    fn differences_are_paired_and_their_gaps_counted() {
        let rows = (0..20).flat_map(|i| {
            let base = f64::from(i) / 40.0;
            let item = i.to_string();
            [row("linear-ce", &item, Some(base)), row("linear-bce", &item, (i != 3).then_some(base + 0.1))]
        });
        let found = Summaries::new(&Scores::new(rows.collect()), &Roles::default(), RESAMPLING);
        assert_eq!(found.differences.len(), 1);
        let difference = &found.differences[0];
        let estimate = difference.estimate.expect("pairs");
        assert_eq!((estimate.n, difference.skipped, difference.baseline.as_str()), (19, 1, "linear-ce"));
        assert!((estimate.mean - 0.1).abs() < 1e-12 && (estimate.high - estimate.low) < 1e-9, "{estimate:?}");
        let zero = difference.empty_as_zero.expect("an empty map");
        assert_eq!(zero.n, 20);
        assert!((zero.mean - (19.0 * 0.1 - 3.0 / 40.0) / 20.0).abs() < 1e-12, "{zero:?}");
        assert_eq!(difference.verdict(Expected::Higher), Verdict::Holds);
    }

    /// A probe whose maps are mostly empty, and right where they are not, has not gained.
    #[test]
    fn a_gain_that_rests_on_leaving_out_empty_maps_is_not_resolved() {
        let rows = (0..40).flat_map(|i| {
            let item = i.to_string();
            [row("linear-ce", &item, Some(0.5)), row("linear-bce", &item, (i % 3 == 0).then_some(0.9))]
        });
        let found = Summaries::new(&Scores::new(rows.collect()), &Roles::default(), RESAMPLING);
        let difference = &found.differences[0];
        assert!(difference.estimate.expect("pairs").low > 0.3);
        assert!(difference.empty_as_zero.expect("empty maps").mean < -0.1);
        assert_eq!(difference.verdict(Expected::Higher), Verdict::NotResolved);
    }

    #[test]
    fn intervals_of_seed_stability_are_over_items() {
        let samples = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(item, seed)| Sample { item, seed, value: 0.5 });
        let found = clustered(Some(Metric::SeedStability), samples.to_vec());
        assert!(found.iter().all(|sample| sample.seed == 0));
        assert_eq!(clustered(Some(Metric::GridPointingGame), samples.to_vec()), samples);
    }
}
