//! Training on random views: one of each image an epoch, and what is refused.

use super::*;

/// Features in parts, with `views` rows for each training image, and `more` rows of the last one.
pub fn features_in_views(out: &Path, views: usize, more: usize, parts: usize) {
    let mut rows = FeatureRows::default();
    for (name, n, seed) in SPLITS {
        let views = if name == "train" { views } else { 1 };
        let split = blobs(n * views + more, seed);
        for row in 0..n * views + if name == "train" { more } else { 0 } {
            // `blobs` gives classes in turn, so each class's images are put next to each other.
            let image = (row / views).min(n - 1);
            let source = image % 4 + 4 * ((row % views) + views * (image / 4));
            let source = source.min(split.len() - 1);
            rows.image_id.push(1000 * seed as i64 + image as i64);
            rows.image_key.push(format!("{name}/{image:05}"));
            rows.split.push(name.to_string());
            let label = split.labels[source][0] as i32;
            rows.label.push(Some(label));
            rows.labels.push(vec![label]);
            rows.set_aside.push(vec![]);
            rows.view.push(if name == "train" { (row % views) as i32 + 1 } else { 0 });
            rows.embedding.extend_from_slice(&split.pooled[source * 6..(source + 1) * 6]);
            rows.map.extend_from_slice(&split.maps[source * 24..(source + 1) * 24]);
        }
    }
    write_features(out, rows, parts);
}

#[test]
fn a_probe_takes_one_view_of_each_image_an_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    features_in_views(out, 3, 0, 1);
    run(out);
    let rows =
        ProbeRows::from_cells(Reader::open(&out.join(PROBES_DIR), &PROBES).unwrap().read_all().unwrap()).unwrap();
    assert!(rows.test_accuracy.iter().flatten().all(|&accuracy| accuracy > 0.9), "{:?}", rows.test_accuracy);
    // The step sizes of a warm-up tell the number of steps: 160 images in batches of 16, not 480.
    assert_eq!(crate::trained::order(0, 4, 480, 3).len(), 160);
    let mut seen: Vec<i32> = (0..3).flat_map(|epoch| crate::trained::order(0, epoch, 480, 3)).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..480).collect::<Vec<i32>>());
}

#[test]
fn views_that_differ_in_number_or_stand_in_the_test_split_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    features_in_views(directory.path(), 3, 1, 1);
    let error = run_section(directory.path(), SECTION).unwrap_err();
    assert!(error.exit_code() == 65 && error.to_string().contains("3 views and with 4"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let mut rows = FeatureRows::default();
    for (id, split) in ["train", "validation", "test"].into_iter().enumerate() {
        rows.image_id.push(id as i64);
        rows.image_key.push(split.to_string());
        rows.split.push(split.to_string());
        rows.label.push(Some(0));
        rows.labels.push(vec![0]);
        rows.set_aside.push(vec![]);
        rows.view.push(1);
        rows.embedding.extend([1.0; 6]);
        rows.map.extend([1.0; 24]);
    }
    write_features(directory.path(), rows, 1);
    let error = run_section(directory.path(), SECTION).unwrap_err();
    assert!(error.exit_code() == 65 && error.to_string().contains("view_splits"), "{error}");
}
