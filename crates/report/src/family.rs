//! Probes that a figure holds against each other: their means over the seeds that all of them were trained with.
//!
//! Recipes differ in how many seeds they are trained with. A mean of three probes beside that of one of them would show the
//! seeds, too.

use crate::roles::{Backbone, Metric};
use crate::scores::{Group, Scores};
use crate::summary::{Resampling, Summary, shown, summarise};
use std::collections::BTreeSet;

/// Those of `probes` that were scored by a backbone's main method on grids, in their order, on the seeds that they share;
/// empty if they share none.
pub fn of(scores: &Scores, backbone: &Backbone, probes: &[String], resampling: Resampling) -> Vec<Summary> {
    let is_it = |group: &&Group, probe: &String| {
        group.key.probe == *probe && shown(&group.key, backbone, Metric::GridPointingGame, backbone.main_method())
    };
    let found: Vec<&Group> =
        probes.iter().filter_map(|probe| scores.groups.iter().find(|group| is_it(group, probe))).collect();
    let seeds = |group: &&Group| group.cells.iter().map(|cell| cell.seed).collect::<BTreeSet<i64>>();
    let Some(shared) = found.iter().map(seeds).reduce(|all, of_one| &all & &of_one) else { return Vec::new() };
    let restricted = |group: &&Group| {
        let cells: Vec<_> = group.cells.iter().filter(|cell| shared.contains(&cell.seed)).copied().collect();
        (!cells.is_empty()).then(|| summarise(&Group { cells, ..(*group).clone() }, resampling))
    };
    found.iter().filter_map(restricted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{RESAMPLING, key};
    use crate::scores::{Cell, Raw};

    #[test]
    fn means_are_over_the_seeds_that_all_probes_have() {
        let raw = |probe: &str, seeds: &[i64]| {
            let cell = |seed: i64| ("grid3/0".to_string(), Cell { seed, value: Some(seed as f64), ..Cell::default() });
            Raw {
                key: key("a", "lrp", probe),
                higher_is_better: true,
                cells: seeds.iter().map(|seed| cell(*seed)).collect(),
            }
        };
        let scores = Scores::new(vec![raw("linear-ce", &[0, 1, 2]), raw("shift_up-ce", &[1]), raw("mlp3-bce", &[7])]);
        let backbone = &Backbone::all(&scores)[0];
        let of = |probes: &[&str]| -> Vec<(String, f64)> {
            let probes: Vec<String> = probes.iter().map(|probe| probe.to_string()).collect();
            let found = of(&scores, backbone, &probes, RESAMPLING);
            found.into_iter().map(|one| (one.key.probe, one.estimate.expect("a mean").mean)).collect()
        };
        let (ce, up) = ("linear-ce".to_string(), "shift_up-ce".to_string());
        assert_eq!(of(&["shift_up-ce", "absent", "linear-ce"]), [(up, 1.0), (ce.clone(), 1.0)]);
        assert_eq!(of(&["linear-ce"]), [(ce, 1.0)]);
        assert_eq!(of(&["linear-ce", "mlp3-bce"]), []);
    }
}
