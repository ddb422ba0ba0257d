//! Grids whose cells have a classification of their own, as the programs write and score them.

use std::collections::BTreeSet;

use evaluate::controls;
use evaluate::rows::{DIFULL, DIPART, GRID};
use evaluate::table::ScoreRows;
use features::artifact::Manifest;

use crate::bench::complete;

/// Values of a kind of items: item, probe, metric and variant, method, target, value.
fn of_kind(rows: &ScoreRows, kind: &str) -> Vec<(String, String, String, String, i32, Option<u64>)> {
    let row = |row: usize| {
        (
            rows.item[row].clone(),
            rows.probe_id[row].clone(),
            format!("{}:{}", rows.metric[row], rows.variant[row]),
            rows.method[row].clone(),
            rows.target_index[row],
            rows.value[row].map(f64::to_bits),
        )
    };
    (0..rows.len()).filter(|&at| rows.item_kind[at] == kind).map(row).collect()
}

#[test]
fn a_cut_off_cell_is_explained_by_itself() {
    let rows = complete().scores();
    let (mut items, mut crossed, mut marked) = (BTreeSet::new(), 0, 0);
    for row in (0..rows.len()).filter(|&row| [DIFULL, DIPART].contains(&rows.item_kind[row].as_str())) {
        let (kind, method) = (rows.item_kind[row].as_str(), rows.method[row].as_str());
        let cells = rows.grid_size[row].expect("it is a grid").pow(2);
        assert_eq!(rows.metric[row], kind, "other metrics are not asked of such grids");
        assert!([0, cells - 1].contains(&rows.target_index[row]), "the first and the last cell are explained");
        assert_eq!(rows.chance[row], Some(1.0 / f64::from(cells)));
        items.insert(rows.item[row].as_str());
        let Some(value) = rows.value[row].filter(|_| rows.variant[row] == "none") else { continue };
        match (kind, method) {
            // Nothing outside the cell has any influence, so gradients are 0 there; relevance likewise.
            (DIFULL, "input_x_gradient" | "integrated_gradients" | "guided_backprop" | "lrp" | "lrp:reference") => {
                assert_eq!(value, 1.0, "{} {method}", rows.item[row]);
            }
            // Features of other cells get the same weights.
            (_, "grad_cam") => marked += usize::from(value < 0.999),
            (DIPART, "input_x_gradient") => crossed += usize::from(value < 1.0),
            _ => {}
        }
        if method == "oracle:lrp" {
            assert_eq!(value, 1.0);
        }
    }
    assert_eq!(items.len(), 2 * (4 + 2), "both sizes of grids in both settings: {items:?}");
    assert!(crossed > 0, "receptive fields reach over borders");
    assert!(marked > 0, "Grad-CAM marks cells without influence");
}

#[test]
fn other_settings_leave_the_usual_numbers_alone() {
    let bench = complete().copy();
    let text = std::fs::read_to_string(bench.path("tiny.toml")).expect("the experiment can be read");
    let usual = text.replace("settings = [\"gridpg\", \"difull\", \"dipart\"]\n", "");
    assert_ne!(text, usual);
    std::fs::write(bench.path("tiny.toml"), usual).expect("the experiment can be written");
    for stage in ["attribute", "evaluate"] {
        bench.ok(&[stage, "--config", "tiny.toml"]);
    }
    let manifest = Manifest::read(&bench.path("out/tiny/attribute")).expect("it is there");
    assert!(manifest.tables.keys().all(|table| !table.contains("di")), "{:?}", manifest.tables.keys());
    let (with, without) = (complete().scores(), bench.scores());
    assert!(of_kind(&without, DIFULL).is_empty());
    let (with, without) = (of_kind(&with, GRID), of_kind(&without, GRID));
    assert!(with.len() > 1000 && with == without, "{} and {} rows", with.len(), without.len());
}

#[test]
fn a_random_order_is_the_level_of_chance_of_perturbed_pictures() {
    let rows = complete().scores();
    let mut controls_seen = BTreeSet::new();
    let key = |row: usize| (&rows.item[row], rows.target_index[row], &rows.metric[row], &rows.variant[row]);
    for row in (0..rows.len()).filter(|&row| rows.method[row].starts_with(controls::RANDOM)) {
        assert_eq!((rows.probe_id[row].as_str(), rows.backbone[row].as_str()), (controls::PROBE, "none"));
        let probe = rows.method[row].strip_prefix("random:").expect("the probe is named");
        // The level of every map of this probe, target and question.
        let maps = (0..rows.len()).filter(|&other| rows.probe_id[other] == probe && key(other) == key(row));
        let levels: Vec<Option<f64>> = maps.map(|other| rows.chance[other]).collect();
        assert!(
            !levels.is_empty() && levels.iter().all(|level| *level == rows.value[row]),
            "{:?} {levels:?}",
            key(row)
        );
        controls_seen.insert(rows.metric[row].as_str());
    }
    assert_eq!(controls_seen.into_iter().collect::<Vec<_>>(), ["pixel_deletion", "pixel_insertion", "sufficiency"]);
}
