//! Maps of the same grids under different probes, at fixed quantiles of the score difference: failures included.
//!
//! Which grids are shown is decided by numbers alone, so nobody picks the pretty ones.

use crate::roles::{Backbone, Metric, Roles};
use crate::scores::{Group, Scores};
use crate::summary::shown;
use std::collections::BTreeMap;

/// Quantiles of the difference at which grids are shown.
pub const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];

/// One grid with its maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// [`Backbone::label`](crate::roles::Backbone::label).
    pub backbone: String,
    /// Quantile of the difference that this grid stands for.
    pub quantile: f64,
    /// Item name.
    pub item: String,
    /// Which target of the item.
    pub target: i32,
    /// Score under BCE minus score under CE, main method.
    pub difference: f64,
    /// PNG of the grid.
    pub photograph: Vec<u8>,
    /// The maps.
    pub shown: Vec<Shown>,
}

/// One map.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Method.
    pub method: String,
    /// Probe name.
    pub probe: String,
    /// Its grid pointing game score; none where undefined.
    pub score: Option<f64>,
    /// PNG of the map over the grid.
    pub map: Vec<u8>,
}

/// A grid that was chosen, before its maps are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Quantile that it stands for.
    pub quantile: f64,
    /// Item name.
    pub item: String,
    /// Which target of the item.
    pub target: i32,
    /// Probe seed of all maps shown.
    pub seed: i64,
    /// Score under BCE minus score under CE, main method, this seed.
    pub difference: f64,
}

/// Grids at [`QUANTILES`] of the main method's difference, at the lowest seed that both probes have. Equal choices
/// (few grids) are shown once.
// METHOD: nearest rank among differences sorted by size, then by item and target.
pub fn choose(scores: &Scores, backbone: &Backbone, roles: &Roles) -> Vec<Choice> {
    let metric = Metric::GridPointingGame;
    let find = |probe: &str| -> Option<&Group> {
        scores
            .groups
            .iter()
            .find(|group| shown(&group.key, backbone, metric, backbone.main_method()) && group.key.probe == probe)
    };
    let (Some(before), Some(after)) = (find(&roles.ce), find(&roles.bce)) else { return vec![] };
    let seeds = |group: &Group| group.cells.iter().map(|cell| cell.seed).collect::<std::collections::BTreeSet<_>>();
    let Some(seed) = seeds(before).intersection(&seeds(after)).min().copied() else { return vec![] };
    let of_seed = |group: &Group| -> BTreeMap<(u32, i32), f64> {
        let cells = group.cells.iter().filter(|cell| cell.seed == seed);
        cells.filter_map(|cell| Some(((cell.item, cell.target), cell.value?))).collect()
    };
    let (before, after) = (of_seed(before), of_seed(after));
    let mut differences: Vec<(f64, &str, i32)> = after
        .iter()
        .filter_map(|(at, value)| Some((value - before.get(at)?, scores.items[at.0 as usize].as_str(), at.1)))
        .collect();
    differences.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut choices: Vec<Choice> = Vec::new();
    for quantile in QUANTILES {
        let Some((difference, item, target)) = differences.get(rank(quantile, differences.len())) else { break };
        if !choices.iter().any(|choice| choice.item == *item && choice.target == *target) {
            choices.push(Choice { quantile, item: item.to_string(), target: *target, seed, difference: *difference });
        }
    }
    choices
}

/// Score of one map, for its caption.
pub fn score(scores: &Scores, backbone: &Backbone, choice: &Choice, method: &str, probe: &str) -> Option<f64> {
    let metric = Metric::GridPointingGame;
    let group =
        scores.groups.iter().find(|group| shown(&group.key, backbone, metric, method) && group.key.probe == probe)?;
    let is_it = |cell: &&crate::scores::Cell| {
        cell.seed == choice.seed && cell.target == choice.target && scores.items[cell.item as usize] == choice.item
    };
    group.cells.iter().find(is_it)?.value
}

/// Seed in a probe id, `-s<seed>`.
pub fn seed_of(probe_id: &str) -> Option<i64> {
    probe_id.split('-').skip(1).find_map(|part| part.strip_prefix('s')?.parse().ok())
}

/// Nearest rank of a quantile among `n` sorted values.
fn rank(quantile: f64, n: usize) -> usize {
    (quantile * n.saturating_sub(1) as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_nearest() {
        for (quantile, n, expected) in
            [(0.05, 41, 2), (0.5, 41, 20), (0.95, 41, 38), (0.5, 1, 0), (0.95, 2, 1), (0.5, 0, 0)]
        {
            assert_eq!(rank(quantile, n), expected, "{quantile} of {n}");
        }
    }

    #[test]
    fn choices_are_in_order_and_take_one_seed() {
        let scores = crate::fake::scores();
        for backbone in Backbone::all(&scores) {
            let choices = choose(&scores, &backbone, &Roles::default());
            assert_eq!(choices.len(), 3);
            assert!(choices.windows(2).all(|pair| pair[0].difference <= pair[1].difference));
            let choice = &choices[1];
            let of = |probe| score(&scores, &backbone, choice, backbone.main_method(), probe).expect("a score");
            assert!((of("linear-bce") - of("linear-ce") - choice.difference).abs() < 1e-12);
        }
    }

    #[test]
    fn no_scores_no_choice() {
        let backbone = Backbone::all(&crate::fake::scores()).remove(0);
        assert!(choose(&Scores::default(), &backbone, &Roles::default()).is_empty());
    }

    #[test]
    fn seeds_are_read_from_ids() {
        for (id, seed) in [("linear-ce-s0", Some(0)), ("linear-ce-s12-lr10", Some(12)), ("linear", None), ("s3", None)]
        {
            assert_eq!(seed_of(id), seed);
        }
    }
}
