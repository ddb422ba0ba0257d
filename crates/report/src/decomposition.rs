//! How much of the variance of localisation belongs to the loss, to the backbone, and to their interaction.
//!
//! The paper says that the loss matters much more than the pre-training. Two backbones differ in more than their
//! pre-training, so a small share of the loss would not refute it; a large one supports it.

use crate::bootstrap::{self, Estimate, Sample, quantile};
use crate::pairs;
use crate::roles::{Backbone, Metric, Roles};
use crate::scores::{Cell, Empty, Group, Scores};
use crate::summary::{Resampling, shown};
use features::random::stream;
use std::collections::HashSet;

/// Shares of the variance among the means of all backbones under both losses, for one method.
#[derive(Debug, Clone, PartialEq)]
pub struct Decomposition {
    /// What was measured.
    pub metric: Metric,
    /// Method, scored on all backbones.
    pub method: String,
    /// Probe name of one loss.
    pub baseline: String,
    /// Probe name of the other loss.
    pub treatment: String,
    /// Share of the loss, 0 to 1.
    pub loss: Estimate,
    /// Share of the backbone.
    pub backbone: Estimate,
    /// Share of what the loss does to one backbone and not to another.
    pub interaction: Estimate,
}

impl Decomposition {
    /// The shares with their names.
    pub fn shares(&self) -> [(&'static str, Estimate); 3] {
        [("loss", self.loss), ("backbone", self.backbone), ("interaction", self.interaction)]
    }
}

/// Decompositions of grid and energy pointing games for every method that all of two or more backbones share.
pub fn all(scores: &Scores, backbones: &[Backbone], roles: &Roles, resampling: Resampling) -> Vec<Decomposition> {
    let Some((first, others)) = backbones.split_first().filter(|(_, others)| !others.is_empty()) else { return vec![] };
    let shared = first.methods.iter().filter(|method| others.iter().all(|other| other.methods.contains(method)));
    let of = |(metric, method): (Metric, &String)| decompose(scores, backbones, roles, resampling, metric, method);
    let metrics = [Metric::GridPointingGame, Metric::EnergyPointingGame];
    metrics.into_iter().flat_map(|metric| shared.clone().map(move |method| (metric, method))).filter_map(of).collect()
}

fn decompose(
    scores: &Scores,
    backbones: &[Backbone],
    roles: &Roles,
    resampling: Resampling,
    metric: Metric,
    method: &str,
) -> Option<Decomposition> {
    let find = |backbone: &Backbone, probe: &str| -> Option<&Group> {
        scores.groups.iter().find(|g| shown(&g.key, backbone, metric, method) && g.key.probe == probe)
    };
    let (mut means, mut draws) = (Vec::new(), Vec::new());
    let (mut n, mut items, mut seeds) = (0, 0, usize::MAX);
    for backbone in backbones {
        for (probe, other) in [(&roles.ce, &roles.bce), (&roles.bce, &roles.ce)] {
            let [cells, others] = [probe, other].map(|probe| find(backbone, probe).map(|group| group.cells.as_slice()));
            let samples = shared(cells?, others?);
            // One stream for both losses: the same items and seeds are drawn, as they are the same maps' subjects.
            let keys = ["variance", &backbone.experiment, &backbone.name, metric.name(), method];
            let found = bootstrap::estimate(&samples, 1, &mut stream(resampling.seed, &keys))?;
            (n, items, seeds) = (n + found.n, items + found.items, seeds.min(found.seeds));
            means.push(found.mean);
            draws.push(bootstrap::draws(&samples, resampling.resamples, &mut stream(resampling.seed, &keys)));
        }
    }
    let resampled: Vec<[f64; 3]> = (0..draws.iter().map(Vec::len).min()?)
        .map(|at| parts(&draws.iter().map(|draws| draws[at]).collect::<Vec<_>>()))
        .collect();
    // METHOD: a sum of squares of noisy means holds the noise's, too. Resampled means hold it once more, so that the excess of
    // their mean is what to take off the sum once, and off a resampled one twice.
    let parts = parts(&means);
    let noise = [0, 1, 2].map(|of| {
        let mean = resampled.iter().map(|parts| parts[of]).sum::<f64>() / resampled.len().max(1) as f64;
        (mean - parts[of]).max(0.0)
    });
    let less = |parts: [f64; 3], times: f64| shares([0, 1, 2].map(|of| (parts[of] - times * noise[of]).max(0.0)));
    let exact = less(parts, 1.0)?;
    let resampled: Vec<[f64; 3]> = resampled.into_iter().filter_map(|parts| less(parts, 2.0)).collect();
    let estimate = |of: usize| {
        let mut sorted: Vec<f64> = resampled.iter().map(|shares| shares[of]).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |q| quantile(&sorted, q).unwrap_or(exact[of]);
        Estimate { mean: exact[of], low: at(0.025).min(exact[of]), high: at(0.975).max(exact[of]), n, items, seeds }
    };
    Some(Decomposition {
        metric,
        method: method.to_string(),
        baseline: roles.ce.clone(),
        treatment: roles.bce.clone(),
        loss: estimate(0),
        backbone: estimate(1),
        interaction: estimate(2),
    })
}

/// Values of the maps that are defined under both losses, so that both means are of the same maps.
fn shared(cells: &[Cell], others: &[Cell]) -> Vec<Sample> {
    let key = |cell: &Cell| (cell.item, cell.target, cell.seed);
    let defined: HashSet<_> = others.iter().filter(|cell| cell.value.is_some()).map(key).collect();
    let both: Vec<Cell> = cells.iter().filter(|cell| defined.contains(&key(cell))).copied().collect();
    pairs::values(&both, Empty::LeftOut)
}

/// Each part's share of their sum; none without variance.
fn shares(parts: [f64; 3]) -> Option<[f64; 3]> {
    let total: f64 = parts.iter().sum();
    (total > 0.0).then(|| parts.map(|part| part / total))
}

/// Sums of squares of loss, backbone and interaction; `means` are pairs (loss 0, loss 1), one a backbone.
// METHOD: two-way analysis of variance of the cell means m[b, l], each cell counted once: SS_loss = B sum over l of
// (m[., l] - m)^2, SS_backbone = 2 sum over b of (m[b, .] - m)^2, SS_interaction = the rest.
fn parts(means: &[f64]) -> [f64; 3] {
    let backbones = means.len() as f64 / 2.0;
    let grand = means.iter().sum::<f64>() / means.len() as f64;
    let total: f64 = means.iter().map(|mean| (mean - grand).powi(2)).sum();
    let of_loss = |loss: usize| means.iter().skip(loss).step_by(2).sum::<f64>() / backbones;
    let loss: f64 = (0..2).map(|at| backbones * (of_loss(at) - grand).powi(2)).sum();
    let backbone: f64 = means.chunks(2).map(|pair| 2.0 * ((pair[0] + pair[1]) / 2.0 - grand).powi(2)).sum();
    [loss, backbone, (total - loss - backbone).max(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Raw;
    use features::random::{Stream, normal};

    #[test]
    fn shares_of_hand_made_means() {
        for (means, expected) in [
            ([0.2, 0.8, 0.2, 0.8], [1.0, 0.0, 0.0]),
            ([0.2, 0.2, 0.8, 0.8], [0.0, 1.0, 0.0]),
            ([0.2, 0.8, 0.8, 0.2], [0.0, 0.0, 1.0]),
            ([0.0, 2.0, 1.0, 3.0], [0.8, 0.2, 0.0]),
        ] {
            let found = shares(parts(&means)).expect("they vary");
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{means:?}: {found:?}");
        }
        assert_eq!(shares(parts(&[0.5; 4])), None);
    }

    /// Two backbones and two losses that add up, and noise: the interaction's interval must reach down to 0.
    #[test]
    fn noise_is_no_interaction() {
        let decomposed = |trial: usize| {
            let mut noise = stream(3, &["decomposition", &trial.to_string()]);
            let raw = |experiment: &str, probe: &str, level: f64, noise: &mut Stream| {
                let mut cell = |item: usize| {
                    let value = Some(level + 0.1 * normal(noise));
                    (format!("grid3/{item}"), Cell { value, ..Cell::default() })
                };
                let cells = (0..12).map(&mut cell).collect();
                Raw { key: crate::fake::key(experiment, "lrp", probe), higher_is_better: true, cells }
            };
            let raws = [
                ("a", "linear-ce", 0.4),
                ("a", "linear-bce", 0.45),
                ("b", "linear-ce", 0.5),
                ("b", "linear-bce", 0.55),
            ]
            .map(|(experiment, probe, level)| raw(experiment, probe, level, &mut noise));
            let scores = Scores::new(raws.to_vec());
            let backbones = Backbone::all(&scores);
            all(&scores, &backbones, &Roles::default(), crate::fake::RESAMPLING).remove(0).interaction
        };
        let found: Vec<Estimate> = (0..100).map(decomposed).collect();
        let reach = found.iter().filter(|share| share.low == 0.0).count();
        assert!(reach >= 90, "{reach}");
    }

    #[test]
    fn the_made_up_gain_belongs_to_the_loss() {
        let findings = crate::fake::findings();
        let found = findings
            .decompositions
            .iter()
            .find(|found| found.metric == Metric::GridPointingGame && found.method == "grad_cam")
            .expect("both backbones have it");
        let sum: f64 = found.shares().iter().map(|(_, share)| share.mean).sum();
        assert!(found.loss.low > 0.8 && (sum - 1.0).abs() < 1e-9, "{found:?}");
    }
}
