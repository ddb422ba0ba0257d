//! Randomisation tests as the programs write them.

use std::collections::{BTreeMap, BTreeSet};

use evaluate::randomisation::Test;

use crate::bench::complete;

#[test]
fn the_cascade_is_in_the_table_for_the_chosen_maps() {
    let rows = complete().scores();
    let mut variants: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut items, mut methods) = (BTreeSet::new(), BTreeSet::new());
    for row in 0..rows.len() {
        let metric = rows.metric[row].as_str();
        if ![Test::PARAMETERS, Test::LOGIT].contains(&metric) {
            continue;
        }
        let (name, variant) = (format!("{} {}", rows.item[row], rows.method[row]), rows.variant[row].as_str());
        assert!(rows.probe_id[row].starts_with("linear") && !rows.higher_is_better[row], "{name}");
        match rows.value[row] {
            Some(value) => assert!((-1.0 - 1e-9..0.9999).contains(&value), "{name} {metric} {variant}: {value}"),
            None => assert!(rows.reason[row].as_deref() == Some("constant"), "{name} {metric} {variant}"),
        }
        variants.entry(metric).or_default().insert(variant);
        items.insert(rows.item[row].as_str());
        methods.insert(rows.method[row].as_str());
    }
    assert_eq!(items.len(), 3, "one of each size of grids, and a scene: {items:?}");
    assert!(methods.len() > 2, "{methods:?}");
    let measures = ["pearson", "spearman", "ssim"];
    let named = |steps: &[&str]| -> BTreeSet<String> {
        steps.iter().flat_map(|step| measures.map(|measure| format!("{step}:{measure}"))).collect()
    };
    let found = |metric: &str| -> BTreeSet<String> { variants[metric].iter().map(|name| name.to_string()).collect() };
    let steps = found(Test::PARAMETERS);
    assert!(steps.is_superset(&named(&["head:normal", "last1:normal", "all:normal"])), "{steps:?}");
    assert_eq!(found(Test::LOGIT), named(&["other_class"]));
}
