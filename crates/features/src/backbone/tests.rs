//! Recognising what a checkpoint is, and refusing what does not fit, all at once.
//!
//! The checkpoints and the script that made them are in `tests/parity/checkpoints`.

mod architectures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::inspect::inspect;
use super::*;
use crate::tensor::cpu;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/checkpoints").join(name)
}

#[test]
fn layout_and_architecture_are_told_from_names_and_shapes() {
    use Block::{Basic, Bottleneck, WideBottleneck};
    for (name, layout, family, block, channels, classifier) in [
        ("torchvision.pth", Layout::Plain, Family::Resnet, Basic, 4, 2),
        ("legacy.pth", Layout::Plain, Family::Resnet, Basic, 4, 2),
        ("double.pt", Layout::Plain, Family::Resnet, Basic, 4, 2),
        ("half.safetensors", Layout::Plain, Family::Resnet, Bottleneck, 16, 2),
        ("wide_bf16.pth", Layout::Plain, Family::Resnet, WideBottleneck, 16, 2),
        ("moco_v2.pth.tar", Layout::MocoV2, Family::Resnet, Basic, 4, 2),
        ("moco_v3.pth.tar", Layout::MocoV3, Family::Resnet, Bottleneck, 16, 0),
        ("dino.pth", Layout::DinoTeacher, Family::Resnet, Bottleneck, 16, 0),
        ("mmpretrain_bcos.pth", Layout::Mmpretrain, Family::BcosResnet, Bottleneck, 16, 0),
    ] {
        let plan = Plan::of(&fixture(name), Choice::default()).expect(name);
        let Architecture::ResNet(architecture) = &plan.description.architecture else { panic!("{name}") };
        assert_eq!((plan.found.layout, architecture.family, architecture.block), (layout, family, block), "{name}");
        assert_eq!(architecture.stages.iter().map(|stage| stage.blocks).collect::<Vec<_>>(), [2, 1], "{name}");
        let (_, report) = plan.fill(&cpu()).expect(name);
        report.check(name).expect("everything fits");
        let heads = report.ignored.iter().filter(|name| name.starts_with("fc.")).count();
        assert_eq!(heads, classifier, "{name}: {:?}", report.ignored);
        let backbone = Backbone::load(&fixture(name), Choice::default(), &cpu()).expect(name);
        assert_eq!((backbone.channels, backbone.input_size, backbone.fit), (channels, 224, Fit::ShortSide(256)));
        let input = architecture.input_channels();
        let image = crate::tensor::from_vec(vec![0.5; input * 64 * 64], [1, input, 64, 64], &cpu());
        assert_eq!(backbone.network.forward(image).dims(), [1, channels, 8, 8], "{name}");
    }
}

#[derive(serde::Deserialize)]
struct Expected {
    shape: [usize; 4],
    features: Vec<f32>,
}

#[test]
fn clips_trunk_is_read_from_its_torchscript_program() {
    let path = fixture("clip.pt");
    let (inspection, report) = inspect(&path, Choice::default()).expect("a program with weights");
    report.check("clip").expect("it would load");
    assert_eq!((inspection.layout, inspection.prefix.as_str()), ("clip", "visual."));
    assert!(report.ignored.contains(&"attnpool.weight".to_string()), "{:?}", report.ignored);
    assert_eq!(inspection.elsewhere.keys().collect::<Vec<_>>(), ["logit_scale"]);
    let backbone = Backbone::load(&path, Choice::default(), &cpu()).expect("CLIP");
    assert_eq!((backbone.fit, &backbone.encoding), (Fit::ShortSideBicubic(224), &CLIP));
    let text = std::fs::read_to_string(fixture("clip.json")).expect("expected numbers");
    let expected: Expected = serde_json::from_str(&text).expect("expected numbers");
    let image = (0..3 * 32 * 48).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let found = backbone.network.forward(crate::tensor::from_vec(image, [1, 3, 32, 48], &cpu()));
    assert_eq!(found.dims(), expected.shape);
    let largest = expected.features.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "features that are all 0 say nothing");
    for (found, expected) in crate::tensor::to_vec(found).iter().zip(&expected.features) {
        assert!((found - expected).abs() <= 1e-5 * largest, "{found} {expected}");
    }
}

#[test]
fn the_student_is_another_network_than_the_teacher() {
    let load = |layout| {
        let choice = Choice { layout, ..Choice::default() };
        Backbone::load(&fixture("dino.pth"), choice, &cpu()).expect("both are there").input.fingerprint
    };
    assert_eq!(load(None), load(Some(Layout::DinoTeacher)));
    assert_ne!(load(None), load(Some(Layout::DinoStudent)));
    let choice = Choice { layout: Some(Layout::MocoV2), ..Choice::default() };
    let error = Plan::of(&fixture("dino.pth"), choice).expect_err("no such layout").to_string();
    assert!(error.contains("moco_v2") && error.contains("dino_teacher, dino_student"), "{error}");
}

#[test]
fn everything_that_does_not_fit_is_listed_at_once() {
    let file = WeightFile::open(&fixture("torchvision.pth")).expect("a checkpoint");
    let mut tensors: NamedTensors = file
        .tensors
        .iter()
        .map(|(name, stored)| {
            let values = file.values(name).expect("readable");
            (name.clone(), NamedTensor { shape: stored.shape.clone(), values })
        })
        .collect();
    let extra = tensors["bn1.weight"].clone();
    tensors.insert("layer1.0.se.weight".into(), extra);
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("odd.safetensors");
    let write = |tensors: &NamedTensors| {
        std::fs::write(&path, named::write(tensors, BTreeMap::new()).expect("writable tensors")).expect("writable");
    };
    write(&tensors);
    let error = Backbone::load(&path, Choice::default(), &cpu()).expect_err("an unused tensor");
    assert!(error.to_string().contains("layer1.0.se.weight is not used"), "{error}");
    let accept = Choice { unused: Unused::Accept, ..Choice::default() };
    Backbone::load(&path, accept, &cpu()).expect("accepted");

    tensors.remove("layer1.1.bn2.running_var");
    tensors.get_mut("layer2.0.bn1.bias").expect("there").shape = vec![2, 2];
    write(&tensors);
    let error = Backbone::load(&path, accept, &cpu()).expect_err("missing and misshapen");
    assert_eq!(error.exit_code(), 65);
    for told in ["layer1.1.bn2.running_var is missing", "layer2.0.bn1.bias is [2, 2], not [4]"] {
        assert!(error.to_string().contains(told), "{error}");
    }
    let (inspection, report) = inspect(&path, Choice::default()).expect("a network is there");
    assert_eq!(inspection.missing, ["layer1.1.bn2.running_var"]);
    assert_eq!(inspection.unused, ["layer1.0.se.weight"]);
    report.check("odd").expect_err("it would not load");

    // A hole in the middle is a hole, and what is cut off at the end is missed by the classifier: neither is a smaller network.
    tensors.remove("layer1.1.conv1.weight");
    write(&tensors);
    let error = Backbone::load(&path, accept, &cpu()).expect_err("a hole");
    assert!(error.to_string().contains("layer1.1.conv1.weight is missing"), "{error}");
    tensors.insert("fc.weight".into(), NamedTensor { shape: vec![2, 99], values: vec![0.0; 198] });
    write(&tensors);
    let error = Backbone::load(&path, accept, &cpu()).expect_err("another end than its classifier's");
    assert!(error.to_string().contains("its classifier reads 99 channels"), "{error}");
}

#[test]
fn an_inspection_names_network_layout_and_preprocessing() {
    let (inspection, report) = inspect(&fixture("dino.pth"), Choice::default()).expect("a checkpoint");
    report.check("dino").expect("it would load");
    let text = inspection.to_string();
    for told in
        ["before PyTorch 1.6", "dino_teacher", "also there: dino_student", "short side to 256", "0.485", "student ("]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
    for depth in [18, 34, 50, 101, 152] {
        let usual = ResNet::imagenet(Family::BcosResnet, depth).expect("a known depth");
        assert_eq!(Architecture::from(usual).name(), format!("B-cos ResNet-{depth}"));
    }
    let wide = ResNet { block: Block::WideBottleneck, ..ResNet::imagenet(Family::Resnet, 50).expect("a known depth") };
    assert_eq!(Architecture::from(wide).name(), "wide ResNet-50-2");
    let usual = ResNet::imagenet(Family::Resnet, 50).expect("a known depth");
    let clip = ResNet { block: Block::ClipBottleneck, stem: Stem { kernel: 3, ..usual.stem }, ..usual };
    assert_eq!(Architecture::from(clip).name(), "CLIP ResNet-50");
}

#[test]
fn a_description_says_what_the_weights_do_not() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("own.pth");
    std::fs::copy(fixture("torchvision.pth"), &path).expect("writable");
    let describe = |text: &str| {
        std::fs::write(path.with_extension("toml"), text).expect("writable");
        Plan::of(&path, Choice::default())
    };
    for (weights, description) in [
        ("a/moco_v2_800ep_pretrain.pth.tar", "a/moco_v2_800ep_pretrain.toml"),
        ("resnet50.a1_in1k.safetensors", "resnet50.a1_in1k.toml"),
        ("RN50.pt", "RN50.toml"),
    ] {
        assert_eq!(description_path(Path::new(weights)), Path::new(description));
    }
    let plan = describe("name = \"mine\"\ninput_size = 96\nfit = { short_side = 100 }\n").expect("a description");
    assert_eq!((plan.description.name.as_str(), plan.description.input_size), ("mine", 96));
    assert_eq!((plan.description.fit, plan.description.encoding), (Fit::ShortSide(100), IMAGENET));
    assert_eq!(describe("input_size = 96\n").expect("a description").description.fit, Fit::Exact);
    for (text, told) in [
        ("input_size = 96\nfit = { short_side = 90 }\n", "smaller than input_size"),
        ("input_size = 96\nfit = { short_side_bicubic = 90 }\n", "smaller than input_size"),
        ("encoding = \"six_channel\"\n", "number of channels"),
        ("size = 96\n", "may hold name"),
    ] {
        let error = describe(text).expect_err(told);
        assert!(error.to_string().contains(told), "{error}");
    }
}
