//! Scores of maps as samples, and as differences of maps that belong together.

use crate::bootstrap::Sample;
use crate::scores::Cell;
use std::collections::BTreeMap;

/// Defined values of a group as samples.
pub fn values(cells: &[Cell]) -> Vec<Sample> {
    cells.iter().filter_map(|c| Some(Sample { item: c.item, seed: c.seed, value: c.value? })).collect()
}

/// Differences `treatment - baseline` of maps with equal item, target and seed, and how many such pairs were left out
/// because one side is undefined. Cells without a partner are not pairs and count nowhere.
pub fn paired(baseline: &[Cell], treatment: &[Cell]) -> (Vec<Sample>, usize) {
    let before: BTreeMap<(u32, i32, i64), Option<f64>> =
        baseline.iter().map(|c| ((c.item, c.target, c.seed), c.value)).collect();
    let (mut samples, mut skipped) = (Vec::new(), 0);
    for cell in treatment {
        match before.get(&(cell.item, cell.target, cell.seed)) {
            Some(Some(before)) if cell.value.is_some() => {
                let value = cell.value.unwrap_or_default() - before;
                samples.push(Sample { item: cell.item, seed: cell.seed, value });
            }
            Some(_) => skipped += 1,
            None => {}
        }
    }
    (samples, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_need_equal_item_target_and_seed() {
        let cell = |item, target, seed, value| Cell { item, target, seed, value, chance: None };
        let baseline =
            [cell(0, 0, 0, Some(1.0)), cell(0, 1, 0, None), cell(1, 0, 0, Some(2.0)), cell(1, 0, 1, Some(9.0))];
        let treatment =
            [cell(0, 0, 0, Some(1.5)), cell(0, 1, 0, Some(3.0)), cell(1, 0, 0, None), cell(2, 0, 0, Some(5.0))];
        let (samples, skipped) = paired(&baseline, &treatment);
        assert_eq!(samples, [Sample { item: 0, seed: 0, value: 0.5 }]);
        assert_eq!(skipped, 2);
    }
}
