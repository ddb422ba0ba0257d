//! Scores in memory: one group per probe, method, metric and variant; pure data that every later step is a function of.
//!
//! A group keeps undefined values (`None`), so that how many were skipped is reported and never guessed.

use std::collections::BTreeMap;

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Index into [`Scores::items`].
    pub item: u32,
    /// Which target of the item.
    pub target: i32,
    /// Seed of the probe.
    pub seed: i64,
    /// The score; none where it is undefined.
    pub value: Option<f64>,
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
    /// Names of items, e.g. `grid3/0012`.
    pub items: Vec<String>,
    /// The groups.
    pub groups: Vec<Group>,
}

/// One row of a score table, as read.
#[derive(Debug, Clone)]
pub struct Row {
    /// What its group is.
    pub key: Key,
    /// Item name.
    pub item: String,
    /// Which target of the item.
    pub target: i32,
    /// Seed of the probe.
    pub seed: i64,
    /// The score; none where it is undefined.
    pub value: Option<f64>,
    /// Score of an uninformative map.
    pub chance: Option<f64>,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Scores {
    /// Groups rows; their order does not matter.
    pub fn from_rows(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut names: BTreeMap<String, u32> = BTreeMap::new();
        let mut items = Vec::new();
        let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
        let mut chances: BTreeMap<Key, (f64, u32)> = BTreeMap::new();
        for row in rows {
            let item = *names.entry(row.item).or_insert_with_key(|name| {
                items.push(name.clone());
                items.len() as u32 - 1
            });
            if let Some(chance) = row.chance {
                let seen = chances.entry(row.key.clone()).or_default();
                *seen = (seen.0 + chance, seen.1 + 1);
            }
            let cell = Cell { item, target: row.target, seed: row.seed, value: row.value.filter(|v| v.is_finite()) };
            groups
                .entry(row.key.clone())
                .or_insert_with(|| Group { key: row.key, chance: None, higher_is_better: row.higher_is_better, cells: Vec::new() })
                .cells
                .push(cell);
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        for group in &mut groups {
            group.chance = chances.get(&group.key).map(|(sum, n)| sum / f64::from(*n));
            group.cells.sort_by(|a, b| (&items[a.item as usize], a.target, a.seed).cmp(&(&items[b.item as usize], b.target, b.seed)));
        }
        Self { items, groups }
    }

    /// The group of exactly this key.
    pub fn group(&self, key: &Key) -> Option<&Group> {
        self.groups.binary_search_by(|group| group.key.cmp(key)).ok().map(|at| &self.groups[at])
    }
}

/// Name of a probe: its id without the `-s<seed>` part; a tag after the seed stays.
pub fn probe_name(probe_id: &str) -> String {
    let is_seed = |part: &str| part.strip_prefix('s').is_some_and(|seed| !seed.is_empty() && seed.bytes().all(|b| b.is_ascii_digit()));
    let mut parts: Vec<&str> = probe_id.split('-').collect();
    if let Some(at) = parts.iter().skip(1).position(|part| is_seed(part)) {
        parts.remove(at + 1);
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_name_has_no_seed() {
        for (id, name) in [("linear-ce-s0", "linear-ce"), ("shift_up-ce-s12", "shift_up-ce"), ("linear-ce-s0-lr10", "linear-ce-lr10"), ("linear-sgd", "linear-sgd"), ("s1-ce", "s1-ce")] {
            assert_eq!(probe_name(id), name);
        }
    }

    #[test]
    fn undefined_and_infinite_scores_are_kept_as_none() {
        let key = crate::fake::key("a", "lrp", "linear-ce");
        let row = |item: &str, value| Row { key: key.clone(), item: item.into(), target: 0, seed: 0, value, chance: Some(0.25), higher_is_better: true };
        let scores = Scores::from_rows([row("b", Some(f64::NAN)), row("a", None), row("c", Some(0.5))]);
        let group = scores.group(&key).expect("one group");
        assert_eq!(group.cells.iter().map(|cell| cell.value).collect::<Vec<_>>(), [None, None, Some(0.5)]);
        assert_eq!(group.chance, Some(0.25));
        assert_eq!(scores.items[group.cells[0].item as usize], "a");
    }
}
