//! Scores of maps as samples, and as differences of maps that belong together.

use crate::bootstrap::Sample;
use crate::scores::{Cell, Empty};
use std::collections::BTreeMap;

/// Defined values of a group as samples.
pub fn values(cells: &[Cell], empty: Empty) -> Vec<Sample> {
    cells.iter().filter_map(|c| Some(Sample { item: c.item, seed: c.seed, value: c.counted(empty)? })).collect()
}

/// Differences of maps that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// Treatment minus baseline, a pair each.
    pub samples: Vec<Sample>,
    /// Mean of the baseline over these pairs; not a number without any.
    pub baseline: f64,
    /// Pairs left out because one side is undefined.
    pub skipped: usize,
}

/// Pairs of maps with equal item, target and seed. Cells without a partner are not pairs and count nowhere.
pub fn paired(baseline: &[Cell], treatment: &[Cell], empty: Empty) -> Paired {
    let before: BTreeMap<(u32, i32, i64), Option<f64>> =
        baseline.iter().map(|c| ((c.item, c.target, c.seed), c.counted(empty))).collect();
    let (mut samples, mut sum, mut skipped) = (Vec::new(), 0.0, 0);
    for cell in treatment {
        match (before.get(&(cell.item, cell.target, cell.seed)), cell.counted(empty)) {
            (Some(Some(before)), Some(after)) => {
                samples.push(Sample { item: cell.item, seed: cell.seed, value: after - before });
                sum += before;
            }
            (Some(_), _) => skipped += 1,
            (None, _) => {}
        }
    }
    Paired { baseline: sum / samples.len() as f64, samples, skipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_need_equal_item_target_and_seed() {
        let cell = |item, target, seed, value| Cell { item, target, seed, value, ..Cell::default() };
        let baseline =
            [cell(0, 0, 0, Some(1.0)), cell(0, 1, 0, None), cell(1, 0, 0, Some(2.0)), cell(1, 0, 1, Some(9.0))];
        let empty = Cell { empty: true, ..cell(1, 0, 0, None) };
        let treatment = [cell(0, 0, 0, Some(1.5)), cell(0, 1, 0, Some(3.0)), empty, cell(2, 0, 0, Some(5.0))];
        let one = Sample { item: 0, seed: 0, value: 0.5 };
        let found = paired(&baseline, &treatment, Empty::LeftOut);
        assert_eq!(found, Paired { samples: vec![one], baseline: 1.0, skipped: 2 });
        let found = paired(&baseline, &treatment, Empty::Zero);
        let other = Sample { item: 1, seed: 0, value: -2.0 };
        assert_eq!(found, Paired { samples: vec![one, other], baseline: 1.5, skipped: 1 });
    }
}
