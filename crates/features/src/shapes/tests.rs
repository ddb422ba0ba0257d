//! The data set as its users rely on it: reproducible, balanced, with boxes that fit, and the same however it is made.

use std::path::Path;

use super::*;
use crate::images;
use crate::stage::StageArgs;

#[test]
fn a_tile_is_its_seed_split_and_index() {
    let one = tile(0, "train", 5);
    let again = tile(0, "train", 5);
    assert_eq!((one.rgb.data.clone(), one.label, one.object), (again.rgb.data, again.label, again.object));
    assert_eq!(one.rgb.data.len(), TILE * TILE * 3);
    for other in [tile(1, "train", 5), tile(0, "test", 5), tile(0, "train", 6)] {
        assert_ne!(one.rgb.data, other.rgb.data);
    }
}

#[test]
fn classes_are_balanced_and_boxes_have_the_size_of_objects() {
    let n = 1000;
    let tiles: Vec<Tile> = (0..n).into_par_iter().map(|index| tile(0, "train", index)).collect();
    let mut counts = [0; CLASSES.len()];
    for tile in &tiles {
        counts[tile.label as usize] += 1;
        let b = tile.object;
        assert_eq!(b.class, tile.label);
        assert!(b.xmin >= 0 && b.ymin >= 0 && b.xmax <= TILE as i32 && b.ymax <= TILE as i32, "{b:?}");
        for extent in [b.xmax - b.xmin, b.ymax - b.ymin] {
            assert!((13..=37).contains(&extent), "{b:?}");
        }
    }
    // Binomial(1000, 1/20): five standard deviations are 34.
    assert!(counts.iter().all(|count| (16..=84).contains(count)), "{counts:?}");
}

#[test]
fn mean_and_contrast_of_tiles_are_those_of_the_recipe() {
    let values: Vec<f64> =
        (0..200).flat_map(|index| tile(0, "train", index).rgb.data).map(|byte| f64::from(byte) / 255.0).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt();
    assert!((0.47..0.53).contains(&mean) && (0.2..0.3).contains(&deviation), "{mean} {deviation}");
}

#[test]
fn scenes_have_two_to_four_objects_of_different_classes_apart() {
    let mut sizes = [0; 5];
    for index in 0..40 {
        let scene = scene(0, "scenes", index);
        assert_eq!(scene.rgb.data.len(), SCENE * SCENE * 3);
        sizes[scene.objects.len()] += 1;
        let mut classes: Vec<i32> = scene.objects.iter().map(|b| b.class).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), scene.objects.len());
    }
    assert!(sizes[0] + sizes[1] == 0 && sizes[2..].iter().all(|&count| count > 0), "{sizes:?}");
}

fn stage(directory: &Path, name: &str, args: StageArgs) -> Stage {
    let file = directory.join("tiny.toml");
    let text = "[experiment]\nseed = 7\n[data]\ntrain = 700\nvalidation = 0\ntest = 20\nscenes = 3\n";
    std::fs::write(&file, text).expect("a temporary directory is writable");
    let args = StageArgs { config: Some(file), out: Some(directory.join(name)), quiet: true, ..args };
    Stage::new(args).expect("a good experiment")
}

#[test]
fn the_artifact_is_the_same_in_one_run_and_in_shards_and_reads_back() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let whole = stage(directory.path(), "whole", StageArgs::default());
    make(&whole).expect("the data set is made");
    for shard in ["1/2", "0/2"] {
        let shard = Some(shard.parse().expect("a shard"));
        make(&stage(directory.path(), "shards", StageArgs { shard, ..StageArgs::default() })).expect("a share");
    }
    let manifest = |name: &str| std::fs::read(directory.path().join(name).join("images.manifest.json"));
    let bytes = manifest("whole").expect("a manifest");
    assert_eq!(bytes, manifest("shards").expect("the last shard finishes"));
    make(&whole).expect("up to date");
    assert_eq!(bytes, manifest("whole").expect("a manifest"));

    let images = images::load(&whole.out.join("images"), &["test", "scenes"]).expect("readable");
    assert_eq!(images.len(), 23);
    let first = &images[0];
    let tile = tile(7, "test", 0);
    assert_eq!((first.id, first.key.as_str(), first.split.as_str()), (700, "test/00000", "test"));
    assert_eq!((first.label, &first.rgb, &first.boxes), (Some(tile.label), &tile.rgb, &vec![tile.object]));
    let last = &images[22];
    assert_eq!((last.label, last.rgb.width, last.boxes.len()), (None, SCENE, scene(7, "scenes", 2).objects.len()));
}

#[test]
fn a_data_section_with_an_unknown_key_is_rejected() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("typo.toml");
    std::fs::write(&file, "[data]\ntrian = 3\n").expect("a temporary directory is writable");
    let stage = Stage::new(StageArgs { config: Some(file), ..StageArgs::default() }).expect("read late");
    assert_eq!(make(&stage).expect_err("a typing mistake").exit_code(), 2);
}
