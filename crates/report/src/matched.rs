//! Localisation of probes that are equally accurate: a difference there cannot be one of accuracy.

use crate::accuracy;
use crate::bootstrap::Estimate;
use crate::roles::{Backbone, Metric, Roles};
use crate::significance;
use crate::signs::{LARGEST_P, SMALL_ACCURACY};
use crate::summary::Summaries;
use crate::verdict::{Expected, Verdict};

/// Two probes on one backbone: how they differ in accuracy, and in localisation by the main method.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// What was measured on.
    pub backbone: Backbone,
    /// Its main method.
    pub method: String,
    /// Probe that is subtracted.
    pub baseline: String,
    /// Probe that it is subtracted from.
    pub treatment: String,
    /// Difference of test accuracy.
    pub accuracy: Estimate,
    /// Difference of the grid pointing game.
    pub localisation: Estimate,
    /// Whether that is another than 0, with its p-value corrected for all rows of the table.
    pub verdict: Verdict,
}

impl Matched {
    /// Whether the whole interval of the accuracy's difference is small.
    pub fn is_matched(&self) -> bool {
        Expected::Within(SMALL_ACCURACY).judge(Some(&self.accuracy)) == Verdict::Holds
    }

    /// Whether localisation differs all the same. That it does not is never shown: an interval that holds 0 leaves it open.
    pub fn localises_differently(&self) -> bool {
        self.verdict == Verdict::Holds
    }
}

/// All comparisons of `roles` for which both is known, matched ones first.
pub fn all(
    summaries: &Summaries,
    accuracies: &[accuracy::Difference],
    backbones: &[Backbone],
    roles: &Roles,
) -> Vec<Matched> {
    let pairs = roles.comparisons();
    let all: Vec<(&Backbone, (&str, &str))> =
        backbones.iter().flat_map(|backbone| pairs.iter().map(move |pair| (backbone, *pair))).collect();
    let of = |(backbone, (baseline, treatment)): (&Backbone, (&str, &str))| {
        let (metric, method) = (Metric::GridPointingGame, backbone.main_method());
        let difference = summaries.difference(backbone, metric, method, baseline, treatment)?;
        let is_it = |found: &&accuracy::Difference| {
            (&*found.experiment, &*found.baseline, &*found.treatment) == (&*backbone.experiment, baseline, treatment)
        };
        let accuracy = accuracies.iter().find(is_it)?.estimate;
        let row = Matched {
            backbone: backbone.clone(),
            method: method.to_string(),
            baseline: baseline.to_string(),
            treatment: treatment.to_string(),
            accuracy,
            localisation: difference.estimate?,
            verdict: difference.verdict(Expected::Different),
        };
        Some((row, difference.significance.map_or(1.0, |test| test.p_value)))
    };
    let (mut found, p_values): (Vec<Matched>, Vec<f64>) = all.into_iter().filter_map(of).unzip();
    for (row, adjusted) in found.iter_mut().zip(significance::holm(&p_values)) {
        if adjusted >= LARGEST_P {
            row.verdict = Verdict::NotResolved;
        }
    }
    found.sort_by_key(|found| !found.is_matched());
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn shifts_are_matched_and_localise_differently() {
        let findings = crate::fake::findings();
        let shifts: Vec<_> = findings.matched.iter().filter(|found| found.treatment == "shift_down-ce").collect();
        assert_eq!(shifts.len(), 2);
        assert!(shifts.iter().all(|found| found.is_matched() && found.localises_differently()), "{shifts:?}");
        assert!(findings.matched.is_sorted_by_key(|found| !found.is_matched()));
    }
}
