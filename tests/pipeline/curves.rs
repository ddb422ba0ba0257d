//! Curves of perturbed pictures as the programs write them.

use std::collections::{BTreeMap, BTreeSet};

use evaluate::evaluate::CURVES_DIR;
use evaluate::table::{CURVES, CurveRows};
use features::artifact::Reader;

use crate::bench::{assert_same, complete};

/// Item, target, probe, method, metric and variant.
type Name = (String, i32, String, String, String, String);

fn curves() -> BTreeMap<Name, Vec<(f64, f64)>> {
    let reader = Reader::open(&complete().path("out/tiny").join(CURVES_DIR), &CURVES).expect("a table");
    let rows = CurveRows::from_cells(reader.read_all().expect("rows")).expect("columns");
    let mut found: BTreeMap<Name, Vec<(f64, f64)>> = BTreeMap::new();
    for row in 0..rows.len() {
        let control = rows.probe_id[row] == evaluate::controls::PROBE;
        assert!(rows.method[row] == "lrp" || control && rows.method[row].starts_with("random:linear-"));
        let name = (
            rows.item[row].clone(),
            rows.target_index[row],
            rows.probe_id[row].clone(),
            rows.method[row].clone(),
            rows.metric[row].clone(),
            rows.variant[row].clone(),
        );
        found.entry(name).or_default().push((rows.removed[row], rows.value[row]));
    }
    found
}

#[test]
fn every_kind_of_item_has_whole_curves_and_their_areas_are_the_scores() {
    let curves = curves();
    let items: BTreeSet<&str> = curves.keys().map(|name| name.0.split('/').next().expect("a kind")).collect();
    assert_eq!(items.into_iter().collect::<Vec<_>>(), ["grid2", "grid3", "scenes", "test"]);
    let scores = complete().scores();
    let (mut areas, mut kept) = (0, 0);
    for row in 0..scores.len() {
        let name = (
            scores.item[row].clone(),
            scores.target_index[row],
            scores.probe_id[row].clone(),
            scores.method[row].clone(),
            scores.metric[row].clone(),
            scores.variant[row].clone(),
        );
        kept += usize::from(scores.metric[row] == "sufficiency");
        let Some(points) = curves.get(&name) else { continue };
        let shares: Vec<f64> = points.iter().map(|point| point.0).collect();
        assert_eq!(shares, [0.0, 0.25, 0.5, 0.75, 1.0], "patches of one size in four steps");
        let start = points[0].1;
        let area: f64 = points.windows(2).map(|pair| (pair[0].1 + pair[1].1) / 8.0 / start).sum();
        match scores.value[row] {
            Some(value) => assert!((value - area).abs() < 1e-12, "{name:?}: {value} {area}"),
            None => assert!(start <= 0.0 && scores.reason[row].as_deref() == Some("no_confidence"), "{name:?}"),
        }
        areas += 1;
    }
    assert_eq!(areas, curves.len());
    assert_eq!(3 * kept, areas, "three curves and one share are asked for");
}

#[test]
fn insertion_is_deletion_read_backwards() {
    let curves = curves();
    let (mut same, mut ends) = (0, BTreeMap::new());
    for ((item, target, probe, method, metric, variant), points) in &curves {
        if metric == "pixel_insertion" {
            let variant = variant.replace("most_first", "least_first");
            let twin = (item.clone(), *target, probe.clone(), method.clone(), "pixel_deletion".to_string(), variant);
            assert_eq!(points, &curves[&twin]);
            same += 1;
        }
        // Whatever the order, both ends are the same pictures.
        let scale = variant.rsplit(':').next().expect("a scale");
        let probe = method.strip_prefix("random:").unwrap_or(probe);
        let known = ends.entry((item, target, probe, scale)).or_insert((points[0].1, points[4].1));
        assert_eq!(*known, (points[0].1, points[4].1));
    }
    assert!(same > 0);
}

#[test]
fn batches_change_speed_only() {
    let bench = complete().copy();
    let text = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment can be read");
    let smaller = text.replace("[evaluate.perturbation]", "[evaluate.perturbation]\nchunk = 3");
    assert_ne!(text, smaller);
    std::fs::write(bench.path("tiny.toml"), smaller).expect("the experiment can be written");
    bench.ok(&["evaluate", "--config", "tiny.toml", "--force"]);
    assert_same(&complete().results(), &bench.results());
}

#[test]
fn a_backbone_that_does_not_belong_to_the_maps_is_told() {
    let bench = complete().copy();
    let path = bench.path("random.safetensors");
    let mut weights = std::fs::read(&path).expect("weights can be read");
    let middle = weights.len() / 2;
    weights[middle..].fill(0);
    std::fs::write(&path, weights).expect("weights can be written");
    bench.fails(&["evaluate", "--config", "tiny.toml"], 65, &["it explains a logit of", "`attribute`"]);
}
