//! Masks of COCO's polygons and runs against pycocotools, through `features import`.

use std::path::Path;

use features::artifact::Reader;
use features::images::Rgb;
use features::import::{Bad, import};
use features::stage::{Stage, StageArgs};
use features::table::{IMAGES, ImageRows};

use crate::expected;

#[derive(serde::Deserialize)]
struct Expected {
    counts: Vec<Vec<i32>>,
}

fn run(directory: &Path, side: usize) -> features::error::Result<ImageRows> {
    let blank = Rgb { width: 61, height: side, data: vec![0; 61 * side * 3] };
    std::fs::write(directory.join("blank.png"), blank.encode_png().expect("a picture")).expect("writable");
    let case = expected::folder().join("masks").join("instances.json");
    let experiment = format!(
        "[[data.source]]\nkind = \"coco\"\nannotations = \"{}\"\nimages = \"{}\"\nsplit = \"scenes\"\n",
        case.display(),
        directory.display()
    );
    std::fs::write(directory.join("experiment.toml"), experiment).expect("writable");
    let (config, out) = (Some(directory.join("experiment.toml")), Some(directory.join("out")));
    let stage =
        Stage::new(StageArgs { config, out, quiet: true, device: expected::device_name(), ..StageArgs::default() })
            .expect("an experiment");
    import(&stage, Bad::Refuse)?;
    let reader = Reader::open(&directory.join("out/images"), &IMAGES)?;
    ImageRows::from_cells(reader.read_all()?)
}

#[test]
fn outlines_become_the_masks_of_pycocotools() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let rows = run(directory.path(), 47).expect("an image table");
    let stored: Expected = expected::read("masks");
    assert_eq!(rows.masks[0].len(), stored.counts.len());
    for (index, (found, expected)) in rows.masks[0].iter().zip(&stored.counts).enumerate() {
        assert_eq!(&found.counts, expected, "outline {index}");
    }
}

#[test]
fn a_picture_of_another_size_than_its_masks_is_bad() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let error = run(directory.path(), 46).expect_err("another size").to_string();
    assert!(error.contains("61 x 46") && error.contains("61 x 47"), "{error}");
}
