//! Tiny data sets of every kind through import and feature extraction, with missing and damaged images, and files that
//! name what lies outside.

use std::path::Path;

use super::*;
use crate::artifact::Reader;
use crate::extract::extract;
use crate::images::Rgb;
use crate::stage::StageArgs;
use crate::table::{FEATURES, FeatureRows};

/// A picture of its own for each seed.
fn picture(seed: usize, width: usize, height: usize) -> Vec<u8> {
    let data = (0..width * height * 3).map(|i| (i * (seed + 3) % 256) as u8).collect();
    Rgb { width, height, data }.encode_png().expect("sizes fit")
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("writable");
    std::fs::write(path, bytes).expect("writable");
}

fn stage(directory: &Path, data: &str) -> Stage {
    let backbone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/checkpoints/torchvision.pth");
    let (place, backbone) = (directory.display(), backbone.display());
    let text = format!(
        "[data]\n{}\n[features]\nimages = \"{place}/out/images\"\nbackbone = \"{backbone}\"\nsplits = [\"test\"]\n",
        data.replace("ROOT", &place.to_string())
    );
    put(&directory.join("experiment.toml"), text);
    let config = Some(directory.join("experiment.toml"));
    let args = StageArgs { config, out: Some(directory.join("out")), quiet: true, ..StageArgs::default() };
    Stage::new(args).expect("a good experiment")
}

/// Imports and extracts; the table of images.
fn run(directory: &Path, data: &str, bad: Bad) -> (Reader, ImageRows) {
    let stage = stage(directory, data);
    import(&stage, bad).expect("an image table");
    extract(&stage).expect("features");
    let images = Reader::open(&directory.join("out/images"), &IMAGES).expect("an image table");
    let rows = ImageRows::from_cells(images.read_all().expect("readable")).expect("declared columns");
    let features = Reader::open(&directory.join("out/features"), &FEATURES).expect("features");
    assert_eq!(features.shape(FeatureRows::MAP), [4, 28, 28]);
    let features = FeatureRows::from_cells(features.read_all().expect("readable")).expect("declared columns");
    assert_eq!((&features.image_key, &features.label), (&rows.image_key, &rows.label));
    assert_eq!(features.labels, rows.labels);
    (images, rows)
}

fn refused(directory: &Path, data: &str, told: &str) {
    let error = import(&stage(directory, data), Bad::Skip).expect_err(told);
    assert_eq!(error.exit_code(), 65, "{error}");
    assert!(error.to_string().contains(told), "{error}");
}

const FOLDER: &str = "source = [{ kind = \"folder\", path = \"ROOT/set\", split = \"test\" }]";

#[test]
fn a_folder_of_classes_with_bad_images_loses_nothing() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    for (index, name) in ["cat/b.png", "cat/a.JPEG", "ant/deep/c.png", "dog/d.png"].into_iter().enumerate() {
        put(&directory.join("set").join(name), picture(index, 40 + index, 30));
    }
    put(&directory.join("set/cat/broken.jpg"), b"<html>");
    put(&directory.join("set/cat/notes.txt"), b"no image");
    let error = import(&stage(directory, FOLDER), Bad::Refuse).expect_err("a broken image");
    assert_eq!(error.exit_code(), 65);
    for told in ["1 of 5 images", "test/cat/broken.jpg", "<html>", "--skip-bad"] {
        assert!(error.to_string().contains(told), "{error}");
    }
    // What was read is there, so going on needs no image any more.
    std::fs::rename(directory.join("set/dog/d.png"), directory.join("elsewhere.png")).expect("movable");
    std::fs::write(
        directory.join("set/dog/d.png"),
        vec![0; std::fs::metadata(directory.join("elsewhere.png")).expect("there").len() as usize],
    )
    .expect("writable");
    let (reader, rows) = run(directory, FOLDER, Bad::Skip);
    assert_eq!(rows.image_key, ["test/ant/deep/c.png", "test/cat/a.JPEG", "test/cat/b.png", "test/dog/d.png"]);
    assert_eq!(rows.label, [Some(0), Some(1), Some(1), Some(2)]);
    assert_eq!(rows.labels, [[0], [1], [1], [2]]);
    assert_eq!(rows.image_id, [0, 1, 2, 4]);
    assert_eq!((rows.width[1], rows.height[1]), (41, 30));
    assert_eq!(rows.bytes[2], picture(0, 40, 30));
    assert_eq!(reader.meta("classes"), Some("ant,cat,dog"));
    let bad = Reader::open(&directory.join("out/images.bad"), &BAD_IMAGES).expect("a table");
    let bad = BadRows::from_cells(bad.read_all().expect("readable")).expect("declared columns");
    assert_eq!(bad.image_key, ["test/cat/broken.jpg"]);
}

#[test]
fn a_list_keeps_its_order_and_names_no_file_outside() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    let source = "source = [{ kind = \"list\", path = \"ROOT/list.txt\", root = \"ROOT/set\", split = \"test\" }]";
    put(&directory.join("set/b 1.png"), picture(1, 30, 30));
    put(&directory.join("set/a.png"), picture(2, 30, 30));
    put(&directory.join("secret.png"), picture(3, 30, 30));
    put(&directory.join("list.txt"), "b 1.png 4\n\na.png\t0\nmissing.png 1\n");
    let (reader, rows) = run(directory, source, Bad::Skip);
    assert_eq!(
        (rows.image_key, rows.label),
        (vec!["test/b 1.png".into(), "test/a.png".into()], vec![Some(4), Some(0)])
    );
    assert_eq!(reader.meta("classes"), Some("0,1,2,3,4"));
    for (list, told) in [
        ("../secret.png 0\n", "../secret.png"),
        ("a/../../secret.png 0\n", "not below the directory"),
        ("/etc/hostname 0\n", "not below the directory"),
        ("a.png zero\n", "line 1"),
        ("a.png -1\n", "line 1"),
        ("\n", "lists no image"),
    ] {
        put(&directory.join("list.txt"), list);
        refused(directory, source, told);
    }
}

fn annotation(objects: &str) -> String {
    format!(
        "<annotation><folder>VOC2007</folder><filename>000001.jpg</filename><size><width>60</width></size>{objects}\
         </annotation>"
    )
}

fn object(name: &str, difficult: u8, edges: [i32; 4], more: &str) -> String {
    let [xmin, ymin, xmax, ymax] = edges;
    format!(
        "<object><name>{name}</name><pose>Left</pose><truncated>1</truncated><difficult>{difficult}</difficult>\
         <bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>{more}</object>"
    )
}

#[test]
fn a_voc_devkit_gives_labels_boxes_and_difficult_objects() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    let devkit = directory.join("VOCdevkit/VOC2007");
    let source = |boxes: &str| {
        format!(
            "source = [{{ kind = \"voc\", path = \"ROOT/VOCdevkit/VOC2007\", set = \"test\", split = \"test\"{boxes} }}]"
        )
    };
    put(&devkit.join("ImageSets/Main/test.txt"), "000001\n000003 -1\n");
    let part =
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>";
    let objects = object("person", 0, [1, 1, 30, 40], part) + &object("dog", 0, [11, 21, 60, 45], "");
    put(&devkit.join("Annotations/000001.xml"), annotation(&(objects + &object("cat", 1, [5, 5, 9, 9], ""))));
    put(&devkit.join("Annotations/000003.xml"), annotation(&object("cat", 1, [5, 5, 9, 9], "")));
    for id in [1, 3] {
        put(&devkit.join(format!("JPEGImages/00000{id}.jpg")), picture(id, 60, 45));
    }
    let (reader, rows) = run(directory, &source(""), Bad::Refuse);
    assert_eq!(rows.image_key[0], "test/JPEGImages/000001.jpg");
    assert_eq!(rows.labels, [vec![11, 14], vec![]]);
    assert_eq!(rows.label, [None, None]);
    let found = |class, xmin, ymin, xmax, ymax| Box2 { class, xmin, ymin, xmax, ymax };
    assert_eq!(rows.boxes, [vec![found(14, 0, 0, 30, 40), found(11, 10, 20, 60, 45)], vec![]]);
    assert_eq!(rows.set_aside, [[found(7, 4, 4, 9, 9)], [found(7, 4, 4, 9, 9)]]);
    assert!(reader.meta("classes").is_some_and(|classes| classes.starts_with("aeroplane,bicycle,")));
    let (_, rows) = run(directory, &source(", boxes = \"as_written\""), Bad::Refuse);
    assert_eq!(rows.boxes[0][1], found(11, 11, 21, 60, 45));

    for (xml, told) in [
        (annotation(&object("unicorn", 0, [1, 1, 2, 2], "")), "unicorn"),
        (annotation(&object("dog", 0, [9, 1, 2, 2], "")), "no box with an area"),
        (annotation("").replace("000001.jpg", "../../secret.jpg"), "../../secret.jpg"),
        ("<annotation><object>".to_string(), "cut off"),
    ] {
        put(&devkit.join("Annotations/000001.xml"), xml);
        refused(directory, &source(""), told);
    }
    put(&devkit.join("ImageSets/Main/test.txt"), "../../secret\n");
    refused(directory, &source(""), "../../secret");
}

#[test]
fn coco_boxes_count_as_in_the_reference() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let directory = directory.path();
    let source = |crowd: &str| {
        format!(
            "source = [{{ kind = \"coco\", annotations = \"ROOT/instances.json\", images = \"ROOT/val\", \
             split = \"test\"{crowd} }}]"
        )
    };
    let write = |file: &str, category: i64| {
        let outline = "\"segmentation\": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]";
        let one = |id: i64, category: i64, bbox: &str, more: &str| {
            format!(
                "{{\"id\": {id}, \"image_id\": 42, \"category_id\": {category}, \"bbox\": {bbox}, {outline}{more}}}"
            )
        };
        let annotations = [
            one(1, category, "[10.9, 5.5, 20.2, 10.6]", ", \"iscrowd\": 0, \"area\": 100.5"),
            one(2, 1, "[0, 0, 30.5, 12]", ", \"iscrowd\": 1, \"area\": 9"),
            one(3, 1, "[0, 0, 0.5, 12]", ", \"area\": 9"),
            one(4, 1, "[70, 0, 5, 12]", ", \"area\": 9"),
            one(5, 1, "[0, 0, 5, 12]", ", \"area\": 0"),
            one(6, 1, "[0, 0, 5, 12]", ", \"ignore\": 1"),
        ];
        let json = format!(
            "{{\"info\": {{\"year\": 2014}}, \"images\": [{{\"id\": 42, \"file_name\": \"{file}\", \"width\": 60, \
             \"height\": 45, \"license\": 3}}, {{\"id\": 7, \"file_name\": \"b.png\", \"width\": 60, \"height\": 45}}], \
             \"annotations\": [{}], \"categories\": [{{\"id\": 1, \"name\": \"person\", \"supercategory\": \"person\"}}, \
             {{\"id\": 90, \"name\": \"toothbrush\"}}]}}",
            annotations.join(", ")
        );
        put(&directory.join("instances.json"), json);
    };
    write("a.png", 90);
    for name in ["a", "b"] {
        put(&directory.join(format!("val/{name}.png")), picture(name.len(), 60, 45));
    }
    let (reader, rows) = run(directory, &source(""), Bad::Refuse);
    let found = |class, xmin, ymin, xmax, ymax| Box2 { class, xmin, ymin, xmax, ymax };
    let (brush, crowd) = (found(1, 10, 5, 31, 16), found(0, 0, 0, 30, 12));
    assert_eq!(rows.boxes, [vec![brush, crowd], vec![]]);
    assert_eq!(rows.labels, [vec![0, 1], vec![]]);
    assert_eq!(reader.meta("classes"), Some("person,toothbrush"));
    let (_, rows) = run(directory, &source(", crowd = \"set_aside\""), Bad::Refuse);
    assert_eq!((&rows.boxes[0], &rows.set_aside[0], &rows.labels[0]), (&vec![brush], &vec![crowd], &vec![1]));
    write("../a.png", 90);
    refused(directory, &source(""), "../a.png");
    write("a.png", 5);
    refused(directory, &source(""), "category 5");
    put(&directory.join("instances.json"), "{\"images\": [");
    refused(directory, &source(""), "instances.json");
}

#[test]
fn a_table_of_the_hub_is_read_group_by_group() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let hub = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/hub");
    let source = format!("source = [{{ kind = \"parquet\", path = \"{}\", split = \"test\" }}]", hub.display());
    let error = import(&stage(directory.path(), &source), Bad::Refuse).expect_err("two bad images").to_string();
    assert!(error.contains("2 of 5 images") && error.contains("only a path"), "{error}");
    let (reader, rows) = run(directory.path(), &source, Bad::Skip);
    assert_eq!(reader.parts(), 3);
    assert_eq!(rows.image_key[1], "test/validation-00000-of-00001/00000001");
    assert_eq!((rows.image_id, rows.label), (vec![0, 1, 4], vec![Some(1), Some(0), Some(1)]));
    assert_eq!((rows.width[2], rows.height[2]), (30, 20));
    assert_eq!(reader.meta("classes"), Some("tench; Tinca tinca,goldfish"));
    refused(directory.path(), &source.replace("split", "label = \"fine_label\", split"), "no column `fine_label`");
}

#[test]
fn mistakes_in_the_section_are_usage_errors() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let twice = "source = [{ kind = \"folder\", path = \"a\", split = \"x\" }, { kind = \"folder\", path = \"b\", split = \"x\" }]";
    for (data, told) in [
        ("source = []", "no source"),
        (twice, "two sources"),
        ("source = [{ kind = \"zip\", path = \"a\", split = \"x\" }]", "zip"),
        ("train = 3\nsource = []", "train"),
    ] {
        let error = import(&stage(directory.path(), data), Bad::Refuse).expect_err(told);
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = import(&stage(directory.path(), FOLDER), Bad::Refuse).expect_err("no such directory");
    assert_eq!(error.exit_code(), 66, "{error}");
}
