//! The made-up experiment as artifacts on disk, small, for tests of everything that reads files.

use crate::fake;
use crate::roles::Metric;
use attribute::table::{GRIDS, GridRows, MAPS, MapRows};
use evaluate::controls;
use evaluate::evaluate::CURVES_DIR;
use evaluate::table::{CURVES, CurveRows, SCORES, ScoreRows};
use features::artifact::{Artifact, ArtifactSpec, Begin, Cells, Run, Shard, Table, TableSpec};
use features::images::Rgb;
use features::table::{IMAGES, ImageRows};
use probe::table::{PREDICTIONS, PREDICTIONS_DIR, PROBES, PROBES_DIR, PredictionRows, ProbeRows};
use std::path::Path;

/// Side of a cell in pixels.
const CELL: usize = 8;

/// Writes `shapes-resnet`, `shapes-bcos` and `images` under `out`.
pub fn write(out: &Path) {
    images(&out.join("images"));
    for experiment in ["shapes-resnet", "shapes-bcos"] {
        let directory = out.join(experiment);
        scores(&directory, experiment);
        probes(&directory, experiment);
        maps(&directory, experiment);
    }
}

/// Declaration, directory, tensor shapes and columns of a table to be written.
type Filled<'a> = (&'static Table, &'a str, Vec<Vec<usize>>, Vec<Cells>);

fn artifact(path: &Path, tables: Vec<Filled>) {
    let run = Run { shard: Shard::default(), force: true, argv: vec![] };
    let (mut specs, mut parts) = (vec![], vec![]);
    for (at, (table, dir, shapes, cells)) in tables.into_iter().enumerate() {
        specs.push(TableSpec { table, dir: dir.into(), shapes, meta: Default::default() });
        parts.push((at, cells));
    }
    let spec = ArtifactSpec {
        stage: "fake",
        path: path.into(),
        algorithm: 1,
        config: serde_json::Value::Null,
        inputs: vec![],
        tables: specs,
        parts: 1,
    };
    let Begin::Work(artifact) = Artifact::begin(&run, spec).expect("a new artifact") else {
        panic!("forced work is never up to date")
    };
    artifact.write_part(0, parts).expect("a part");
    artifact.finish().expect("a finished artifact");
}

fn scores(directory: &Path, experiment: &str) {
    let mut rows = ScoreRows::default();
    let scores = fake::scores();
    for group in scores.groups.iter().filter(|group| group.key.experiment == experiment) {
        for cell in &group.cells {
            let key = group.key.clone();
            rows.item.push(scores.items[cell.item as usize].clone());
            rows.item_kind.push(key.item_kind);
            rows.grid_size.push(key.grid_size);
            rows.target_index.push(cell.target);
            rows.target_class.push(cell.target);
            rows.backbone.push(key.backbone);
            rows.probe_id.push(format!("{}-s{}", key.probe, cell.seed));
            rows.head.push(key.head);
            rows.loss.push(key.loss);
            rows.offset.push(key.offset);
            rows.seed.push(cell.seed);
            rows.method.push(key.method);
            rows.metric.push(key.metric);
            rows.variant.push(key.variant);
            rows.smoothing.push("none".into());
            rows.value.push(cell.value);
            rows.reason.push(cell.value.is_none().then(|| "no_positive_mass".into()));
            rows.chance.push(cell.chance);
            rows.higher_is_better.push(group.higher_is_better);
        }
    }
    let tables =
        vec![(&SCORES, "evaluate", vec![], rows.cells()), (&CURVES, CURVES_DIR, vec![], curves(experiment).cells())];
    artifact(&directory.join("evaluate"), tables);
}

fn curves(experiment: &str) -> CurveRows {
    let mut rows = CurveRows::default();
    for found in fake::inputs().curves.into_iter().filter(|found| found.experiment == experiment) {
        for (share, cells) in &found.points {
            for cell in cells {
                rows.item.push(format!("test/{:05}", cell.item));
                rows.item_kind.push("tile".into());
                rows.target_index.push(cell.target);
                rows.target_class.push(0);
                rows.backbone.push(found.backbone.clone());
                let id = format!("{}-s{}", found.probe, cell.seed);
                let random = found.method == controls::RANDOM;
                rows.method.push(if random { format!("{}:{id}", found.method) } else { found.method.clone() });
                rows.probe_id.push(if random { controls::PROBE.into() } else { id });
                rows.seed.push(if random { 0 } else { cell.seed });
                rows.metric.push(Metric::PixelDeletion.name().into());
                rows.variant.push(Metric::PixelDeletion.variant().into());
                rows.removed.push(*share);
                rows.value.push(0.9 * cell.value.unwrap_or_default());
                rows.relative.push(cell.value);
            }
        }
    }
    rows
}

fn probes(directory: &Path, experiment: &str) {
    let inputs = fake::inputs();
    let mut rows = ProbeRows::default();
    for found in inputs.trainings.iter().filter(|training| training.experiment == experiment) {
        for seed in 0..3 {
            rows.probe_id.push(found.probe_id.replace("-s0", &format!("-s{seed}")));
            for column in [
                &mut rows.backbone,
                &mut rows.head,
                &mut rows.loss,
                &mut rows.offset,
                &mut rows.norm,
                &mut rows.scaling,
                &mut rows.rate_rule,
                &mut rows.order,
                &mut rows.schedule,
                &mut rows.select,
                &mut rows.warm_up,
                &mut rows.status,
            ] {
                column.push("x".into());
            }
            for column in [&mut rows.label_smoothing, &mut rows.momentum, &mut rows.weight_decay] {
                column.push(0.0);
            }
            for column in [
                &mut rows.b,
                &mut rows.test_top5,
                &mut rows.calibration_error,
                &mut rows.common_logit,
                &mut rows.common_norm,
            ] {
                column.push(None);
            }
            rows.bias.push(false);
            rows.optimiser.push(found.optimiser.clone());
            rows.learning_rate.push(found.learning_rate);
            rows.seed.push(seed);
            rows.epochs.push(found.epochs);
            rows.kept_epoch.push(found.epochs);
            rows.batch.push(128);
            rows.hidden.push(0);
            rows.train_loss.push(Some(found.train_loss));
            rows.gradient_norm.push(Some(found.gradient_norm));
            rows.validation_accuracy.push(Some(found.test_accuracy));
            rows.test_accuracy.push(Some(found.test_accuracy));
            rows.mean_logit.push(Some(found.mean_logit));
            rows.common_norm_ratio.push(Some(found.common_norm_ratio));
        }
    }
    let mut said = PredictionRows::default();
    let predictions = inputs.predictions.iter().find(|found| found.experiment == experiment).expect("predictions");
    for (probe, rows) in &predictions.probes {
        for row in rows {
            said.probe_id.push(format!("{probe}-s{}", row.seed));
            said.image_id.push(row.image);
            said.label.push(row.label);
            said.predicted.push(row.predicted);
            said.probability.push(row.probability);
            said.logits.push(vec![0.0; 2]);
        }
    }
    let tables =
        vec![(&PROBES, PROBES_DIR, vec![], rows.cells()), (&PREDICTIONS, PREDICTIONS_DIR, vec![], said.cells())];
    artifact(&directory.join("probe"), tables);
}

fn maps(directory: &Path, experiment: &str) {
    let (mut maps, mut grids) = (MapRows::default(), GridRows::default());
    let side = 3 * CELL;
    let method = if experiment == "shapes-bcos" { "bcos" } else { "lrp" };
    for grid in 0..40 {
        grids.grid_id.push(grid);
        grids.grid_size.push(3);
        grids.cells.push((0..9).map(|cell| format!("test/{cell:05}")).collect());
        grids.labels.push((0..9).collect());
        grids.cell_px.push(CELL as i32);
        for target in 0..2 {
            let probes = ["linear-ce", "linear-bce", "bcos3_offset-bce"];
            for probe in probes.iter().flat_map(|probe| (0..3).map(move |seed| format!("{probe}-s{seed}"))) {
                maps.item.push(format!("grid3/{grid:04}"));
                maps.item_kind.push("grid".into());
                maps.grid_size.push(Some(3));
                maps.image_id.push(grid);
                maps.target_index.push(target);
                maps.target_class.push(target);
                maps.probe_id.push(probe);
                maps.method.push(method.into());
                maps.logit.push(1.0);
                maps.relevance_sum.push(1.0);
                maps.explained.push(None);
                maps.completeness_error.push(None);
                maps.absorbed_fraction.push(None);
                maps.degenerate.push(None);
                maps.height.push(side as i32);
                maps.width.push(side as i32);
                maps.map.extend((0..side * side).map(|at| (at as f32 / 50.0).sin()));
            }
        }
    }
    let shape = vec![vec![side, side]];
    let tables = vec![
        (&MAPS, "attribute", shape.clone(), maps.cells()),
        (&MAPS, "attribute.scenes", shape, MapRows { ..Default::default() }.cells()),
        (&GRIDS, "attribute.grids", vec![], grids.cells()),
    ];
    artifact(&directory.join("attribute"), tables);
}

fn images(path: &Path) {
    let mut rows = ImageRows::default();
    for image in 0..12u8 {
        let rgb = Rgb { width: CELL, height: CELL, data: vec![image * 20; CELL * CELL * 3] };
        rows.image_id.push(i64::from(image));
        rows.image_key.push(format!("test/{image:05}"));
        rows.split.push("test".into());
        rows.label.push(Some(i32::from(image)));
        rows.width.push(CELL as i32);
        rows.height.push(CELL as i32);
        rows.bytes.push(rgb.encode_png().expect("a PNG"));
        rows.boxes.push(vec![]);
        rows.labels.push(vec![i32::from(image)]);
        rows.set_aside.push(vec![]);
        rows.masks.push(vec![]);
    }
    artifact(path, vec![(&IMAGES, "images", vec![], rows.cells())]);
}
