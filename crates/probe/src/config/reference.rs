//! The committed files of the reference's 66 configurations: they parse, and each row has the reference's size.

use std::path::Path;

use features::stage::{Stage, StageArgs};

use super::Config;
use crate::spec::{Head, Norm, Offset, ProbeSpec};
use crate::{Loss, optimiser::Method};

/// File, number of classes, rows, and the trainable parameters of each row.
// METHOD: the sizes were counted in the reference's own modules, 2048 channels in and between.
const FILES: [(&str, usize, std::ops::RangeInclusive<usize>, &[usize]); 3] = [
    (
        "imagenet",
        1000,
        1..=42,
        &[
            2_048_000, 2_048_000, 2_049_000, 2_049_000, 2_049_000, 2_049_000, 6_246_400, 6_246_400, 6_249_448,
            6_249_448, 10_444_800, 10_444_800, 10_449_896, 10_449_896, 2_048_000, 2_048_000, 6_244_352, 6_244_352,
            10_440_704, 10_440_704, 2_048_000, 2_048_000, 2_049_000, 2_049_000, 2_048_000, 2_048_000, 6_244_352,
            6_246_400, 6_247_400, 6_249_448, 10_440_704, 10_444_800, 10_445_800, 10_449_896, 6_244_352, 10_440_704,
            2_048_000, 2_048_000, 6_244_352, 6_244_352, 10_440_704, 10_440_704,
        ],
    ),
    (
        "voc",
        20,
        43..=54,
        &[
            40_980, 4_241_428, 8_441_876, 40_960, 4_237_312, 8_433_664, 40_960, 4_237_312, 8_433_664, 40_960,
            4_237_312, 8_433_664,
        ],
    ),
    (
        "coco",
        80,
        55..=66,
        &[
            163_920, 4_364_368, 8_564_816, 163_840, 4_360_192, 8_556_544, 163_840, 4_360_192, 8_556_544, 163_840,
            4_360_192, 8_556_544,
        ],
    ),
];

fn specs(name: &str, classes: usize, backbone: Option<&str>) -> Vec<ProbeSpec> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join(format!("data/experiments/reference-{name}.toml"));
    let stage = Stage::new(StageArgs { config: Some(file), quiet: true, ..StageArgs::default() }).unwrap();
    let config: Config = stage.section("probe").unwrap();
    config.specs(classes, backbone).unwrap().concat()
}

#[test]
fn every_row_parses_and_has_the_size_of_the_reference() {
    for (name, classes, rows, sizes) in FILES {
        let specs = specs(name, classes, None);
        let tags: Vec<String> = specs.iter().map(|spec| spec.tag.clone()).collect();
        assert_eq!(tags, rows.map(|row| format!("row{row}")).collect::<Vec<_>>());
        for (spec, &size) in specs.iter().zip(sizes) {
            assert_eq!(spec.parameters(2048, classes), size, "{name} {}", spec.id());
            assert_eq!(spec.scaling.name(), "none");
        }
        let each: usize =
            ["resnet50", "bcosresnet50"].iter().map(|backbone| self::specs(name, classes, Some(backbone)).len()).sum();
        assert_eq!(each, sizes.len());
    }
}

#[test]
fn the_rows_that_stand_out_are_as_in_the_reference() {
    let row = |name: &str, row: usize| {
        let (_, classes, ..) = FILES.iter().find(|file| file.0 == name).unwrap();
        specs(name, *classes, None).into_iter().find(|spec| spec.tag == format!("row{row}")).unwrap()
    };
    let odd = row("imagenet", 26);
    assert_eq!((odd.optimiser.method, odd.optimiser.momentum, odd.learning_rate), (Method::Sgd, 0.0, 0.001));
    let adam = row("imagenet", 36);
    assert_eq!((adam.optimiser.method, adam.schedule.warm_up.to_string()), (Method::Adam, "epochs:5 from 0.01".into()));
    assert_eq!((row("imagenet", 28).norm, row("imagenet", 27).norm), (Norm::Batch, Norm::Uncentred));
    assert_eq!((row("imagenet", 16).offset, row("imagenet", 8).offset), (Offset::LogClasses, Offset::None));
    assert_eq!((row("imagenet", 7).offset, row("imagenet", 9).offset), (Offset::LogClasses, Offset::None));
    let voc = row("voc", 45);
    assert_eq!((voc.head, voc.loss, voc.learning_rate, voc.epochs), (Head::Mlp(3), Loss::BcePlain, 30.0, 50));
    assert_eq!((voc.batch, row("imagenet", 1).batch), (64, 512));
    assert_eq!((row("coco", 60).loss, row("coco", 60).offset), (Loss::Bce, Offset::None));
}
