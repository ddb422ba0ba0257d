//! Scores in memory: one group per probe, method, metric and variant; pure data that every later step is a function of.
//!
//! A group keeps undefined values (`None`), so that how many were skipped is reported and never guessed.

use std::collections::{BTreeMap, HashMap};

/// What a group of scores has in common. Sorts by experiment, metric, method and then probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Backbone as the score table names it.
    pub backbone: String,
    /// `grid` or `scene`.
    pub item_kind: String,
    /// Cells on a side of the grid; none for scenes.
    pub grid_size: Option<i32>,
    /// Metric name.
    pub metric: String,
    /// Smoothing or named variant of the metric.
    pub variant: String,
    /// Attribution method.
    pub method: String,
    /// Probe name: the probe id without its seed, e.g. `linear-ce`.
    pub probe: String,
    /// Kind of head.
    pub head: String,
    /// Training loss.
    pub loss: String,
    /// Logit offset.
    pub offset: String,
}

/// One scored map.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cell {
    /// Index into [`Scores::items`].
    pub item: u32,
    /// Which target of the item.
    pub target: i32,
    /// Seed of the probe.
    pub seed: i64,
    /// The score; none where it is undefined.
    pub value: Option<f64>,
    /// Whether it is undefined because the map has no positive relevance.
    pub empty: bool,
    /// Score of an uninformative map of this item, where known.
    pub chance: Option<f64>,
}

/// What a map without positive relevance counts as, where the score is a share of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Nothing: it is left out and counted as skipped.
    LeftOut,
    /// 0, as the paper's code does.
    Zero,
}

impl Cell {
    /// The score with this reading of an empty map.
    pub fn counted(&self, empty: Empty) -> Option<f64> {
        match empty {
            Empty::Zero if self.empty => Some(0.0),
            _ => self.value,
        }
    }
}

/// All scored maps of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub key: Key,
    /// Mean score of an uninformative map, where known.
    pub chance: Option<f64>,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The maps, sorted by item, target, seed.
    pub cells: Vec<Cell>,
}

/// All groups of all experiments, sorted by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Names of items, e.g. `grid3/0012`, sorted.
    pub items: Vec<String>,
    /// The groups.
    pub groups: Vec<Group>,
    /// Groups of made-up maps: what knows nothing and what covers the target evenly, for each method.
    pub controls: Vec<Group>,
}

/// Scores of one key as read; several of one key are merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// What they have in common.
    pub key: Key,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The maps with the names of their items; [`Cell::item`] is not yet set.
    pub cells: Vec<(String, Cell)>,
}

impl Scores {
    /// Merges and sorts what was read; the order does not matter.
    pub fn new(raws: Vec<Raw>) -> Self {
        let names: std::collections::BTreeSet<&str> =
            raws.iter().flat_map(|raw| raw.cells.iter().map(|cell| cell.0.as_str())).collect();
        let items: Vec<String> = names.into_iter().map(str::to_string).collect();
        let index: HashMap<String, u32> =
            items.iter().enumerate().map(|(at, name)| (name.clone(), at as u32)).collect();
        let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
        for Raw { key, higher_is_better, cells } in raws {
            let empty = || Group { key: key.clone(), chance: None, higher_is_better, cells: Vec::new() };
            let group = groups.entry(key.clone()).or_insert_with(empty);
            let finite = |(item, cell): (String, Cell)| Cell {
                item: index[&item],
                value: cell.value.filter(|v| v.is_finite()),
                ..cell
            };
            group.cells.extend(cells.into_iter().map(finite));
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        for group in &mut groups {
            // Sorted before anything is summed: rows come in any order, results must not depend on it.
            group.cells.sort_by_key(|cell| (cell.item, cell.target, cell.seed));
            let chances: Vec<f64> = group.cells.iter().filter_map(|cell| cell.chance).collect();
            group.chance = (!chances.is_empty()).then(|| chances.iter().sum::<f64>() / chances.len() as f64);
        }
        let (controls, groups) = groups.into_iter().partition(|group| group.key.probe == evaluate::controls::PROBE);
        Self { items, groups, controls }
    }

    /// The group of exactly this key.
    pub fn group(&self, key: &Key) -> Option<&Group> {
        self.groups.binary_search_by(|group| group.key.cmp(key)).ok().map(|at| &self.groups[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_no_probes() {
        let raw = |probe: &str, method: &str| {
            let cell = Cell { value: Some(0.5), ..Cell::default() };
            let key = Key { probe: probe.into(), ..crate::fake::key("a", method, "linear-ce") };
            Raw { key, higher_is_better: true, cells: vec![("a".to_string(), cell)] }
        };
        let scores = Scores::new(vec![raw("control", "oracle:lrp"), raw("linear-ce", "lrp")]);
        assert_eq!((scores.groups.len(), scores.controls.len()), (1, 1));
        assert_eq!(scores.controls[0].key.method, "oracle:lrp");
    }

    #[test]
    fn undefined_and_infinite_scores_are_kept_as_none() {
        let key = crate::fake::key("a", "lrp", "linear-ce");
        let raw = |item: &str, value| {
            let cell = Cell { value, chance: Some(0.25), ..Cell::default() };
            Raw { key: key.clone(), higher_is_better: true, cells: vec![(item.to_string(), cell)] }
        };
        let scores = Scores::new(vec![raw("b", Some(f64::NAN)), raw("a", None), raw("c", Some(0.5))]);
        let group = scores.group(&key).expect("one group");
        assert_eq!(group.cells.iter().map(|cell| cell.value).collect::<Vec<_>>(), [None, None, Some(0.5)]);
        assert_eq!(group.chance, Some(0.25));
        assert_eq!(scores.items[group.cells[0].item as usize], "a");
    }
}
