//! Dense networks and attention pools: told from names and shapes, described in TOML, run at the sizes they take.

use super::*;
use crate::network::ChannelScale;
use crate::random::{normal, stream};
use crate::tensor::{Tensor, from_vec};

/// Writes down what a network asks for, with drawn values.
#[derive(Default)]
struct Recorder(NamedTensors);

impl Recorder {
    fn put(&mut self, name: &str, shape: Vec<usize>, value: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut rng = stream(9, &["architectures", name]);
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| value(normal(&mut rng)) as f32).collect();
        self.0.insert(name.to_string(), NamedTensor { shape, values: values.clone() });
        values
    }
}

impl Parameters for Recorder {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let width = shape[1..].iter().product::<usize>() as f64;
        // Biases and matrices have fewer axes in a checkpoint than a convolution.
        let axes = if name.ends_with("bias") {
            1
        } else if name.starts_with("attnpool.") {
            2
        } else {
            4
        };
        from_vec(self.put(name, shape[..axes].to_vec(), |x| x / width.sqrt()), shape, &cpu())
    }

    fn norm(&mut self, name: &str, channels: usize, norm: Norm) -> ChannelScale {
        self.put(&format!("{name}.weight"), vec![channels], |x| 1.0 + 0.1 * x);
        // The `bcos` package keeps a mean that it does not subtract.
        self.put(&format!("{name}.running_mean"), vec![channels], |x| 0.1 * x);
        self.put(&format!("{name}.running_var"), vec![channels], |x| 1.0 + 0.1 * x.abs());
        if norm == Norm::Centred {
            self.put(&format!("{name}.bias"), vec![channels], |x| 0.1 * x);
        }
        ChannelScale { scale: from_vec(vec![1.0; channels], [channels], &cpu()), shift: None }
    }
}

/// A checkpoint of this architecture; `rename` says what its tensors are called.
fn checkpoint(architecture: &Architecture, rename: impl Fn(&str) -> String) -> (tempfile::TempDir, PathBuf) {
    let mut recorder = Recorder::default();
    architecture.lower(&mut recorder);
    let tensors = recorder.0.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect();
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("network.safetensors");
    std::fs::write(&path, named::write(&tensors, BTreeMap::new()).expect("writable tensors")).expect("writable");
    (directory, path)
}

fn dense(family: DenseFamily) -> Architecture {
    let stem = Stem { channels: 4, kernel: 7, stride: 2, pool: true };
    DenseNet { family, growth: 2, bottleneck: 3, blocks: vec![2, 1], stem }.into()
}

fn attention() -> Architecture {
    let stage = |width, stride| Stage { width, blocks: 1, stride };
    let trunk = ResNet {
        family: Family::Resnet,
        block: Block::ClipBottleneck,
        stem: Stem { channels: 4, kernel: 3, stride: 2, pool: true },
        stages: vec![stage(8, 1), stage(16, 2)],
    };
    let family = AttentionFamily::ClipAttentionPool;
    Architecture::AttentionPooled(AttentionPooled { family, side: 3, heads: 1, embedding: 5, trunk })
}

fn image(architecture: &Architecture, side: usize) -> Tensor<4> {
    let channels = architecture.style().input_channels();
    let values = (0..2 * channels * side * side).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    from_vec(values, [2, channels, side, side], &cpu())
}

#[test]
fn dense_networks_are_told_from_names_old_and_new() {
    for family in [DenseFamily::Densenet, DenseFamily::BcosDensenet] {
        let architecture = dense(family);
        // Only the conventional ones are old enough.
        let legacy = |name: &str| match family {
            DenseFamily::BcosDensenet => name.to_string(),
            DenseFamily::Densenet => {
                let name = name.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.");
                name.replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2.")
            }
        };
        let mut features = Vec::new();
        let renames: [&dyn Fn(&str) -> String; 3] =
            [&|name| name.to_string(), &|name| format!("module.{name}"), &|name| {
                format!("state_dict.{}", legacy(name))
            }];
        for rename in renames {
            let (_kept, path) = checkpoint(&architecture, rename);
            let (inspection, report) = inspect(&path, Choice::default()).expect("a dense network");
            report.check("dense").expect("everything fits");
            let style = if family == DenseFamily::Densenet { "" } else { "B-cos " };
            assert_eq!(inspection.network, format!("{style}dense network of 2, 1 layers"));
            assert_eq!(inspection.ignored.is_empty(), family == DenseFamily::Densenet, "{:?}", inspection.ignored);
            let backbone = Backbone::load(&path, Choice::default(), &cpu()).expect("a dense network");
            assert_eq!((&backbone.architecture, backbone.channels), (&architecture, 6));
            let found = backbone.network.forward(image(&architecture, 48));
            assert_eq!(found.dims(), [2, 6, 6, 6]);
            features.push(crate::tensor::to_vec(found));
        }
        assert!(features[0].iter().any(|&value| value != 0.0));
        assert!(features.iter().all(|other| *other == features[0]));
    }
    for (depth, channels) in [(121, 1024), (161, 2208), (169, 1664), (201, 1920)] {
        let usual = DenseNet::imagenet(DenseFamily::BcosDensenet, depth).expect("a known depth");
        assert_eq!(usual.channels(), channels);
        assert_eq!(Architecture::from(usual).name(), format!("B-cos DenseNet-{depth}"));
    }
}

#[test]
fn clips_attention_pool_is_a_choice() {
    let architecture = attention();
    let (_kept, path) = checkpoint(&architecture, |name| format!("visual.{name}"));
    let (inspection, report) = inspect(&path, Choice::default()).expect("CLIP");
    report.check("clip").expect("the trunk fits");
    assert_eq!((inspection.layout, inspection.other_layouts), ("clip", vec!["clip_attention_pool"]));
    let trunk = Backbone::load(&path, Choice::default(), &cpu()).expect("the trunk");
    assert_eq!((trunk.channels, trunk.input_size), (64, 224));

    let choice = Choice { layout: Some(Layout::ClipAttentionPool), ..Choice::default() };
    let (inspection, report) = inspect(&path, choice).expect("CLIP with its pool");
    report.check("clip").expect("the pool fits");
    assert!(inspection.ignored.is_empty(), "{:?}", inspection.ignored);
    assert!(inspection.network.ends_with("with attention pool of 1 heads"), "{}", inspection.network);
    let pooled = Backbone::load(&path, choice, &cpu()).expect("CLIP with its pool");
    assert_eq!((&pooled.architecture, pooled.channels, pooled.input_size), (&architecture, 5, 24));
    assert_eq!((pooled.fit, &pooled.encoding), (Fit::ShortSideBicubic(24), &CLIP));
    assert_ne!(pooled.input.fingerprint, trunk.input.fingerprint);
    assert_eq!(pooled.network.forward(image(&architecture, 24)).dims(), [2, 5, 1, 1]);
}

#[test]
fn an_attention_pool_takes_one_size_and_all_of_its_tensors() {
    let (_kept, path) = checkpoint(&attention(), |name| format!("visual.{name}"));
    let choice = Choice { layout: Some(Layout::ClipAttentionPool), ..Choice::default() };
    std::fs::write(path.with_extension("toml"), "input_size = 32\n").expect("writable");
    let error = Plan::of(&path, choice).expect_err("another size");
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("24 x 24 pixels, not 32 x 32"), "{error}");
    Plan::of(&path, Choice::default()).expect("the trunk takes any size");
    attention().check_picture([24, 24]).expect("its own size");
    assert_eq!(attention().check_picture([72, 72]).expect_err("a grid").exit_code(), 2);
    dense(DenseFamily::Densenet).check_picture([72, 48]).expect("any size");

    let (_kept, path) = checkpoint(&attention(), |name| format!("visual.{}", name.replace("k_proj.bias", "k_proj.b")));
    let error = Backbone::load(&path, choice, &cpu()).expect_err("a missing bias").to_string();
    for told in ["attnpool.k_proj.bias is missing", "attnpool.k_proj.b is not used"] {
        // The trunk's own loader names the pool among what is not needed; asked for, each tensor counts.
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn every_architecture_makes_the_round_trip_through_its_description() {
    let text = |architecture: &Architecture| toml::to_string(architecture).expect("writable");
    let read = |text: &str| toml::from_str::<Architecture>(text);
    for (architecture, family) in [
        (ResNet::shapes(Family::BcosResnet).into(), "bcos_resnet"),
        (dense(DenseFamily::Densenet), "densenet"),
        (dense(DenseFamily::BcosDensenet), "bcos_densenet"),
        (attention(), "clip_attention_pool"),
    ] {
        let written = text(&architecture);
        assert!(written.starts_with(&format!("family = \"{family}\"\n")), "{written}");
        assert_eq!(read(&written).expect("readable"), architecture);
        let error = read(&format!("{written}\n[more]\n")).expect_err("a key too many").to_string();
        assert!(error.contains("more"), "{error}");
    }
    let error = read("family = \"vgg\"\n").expect_err("no such family").to_string();
    assert!(error.contains("vgg") && error.contains("bcos_densenet"), "{error}");
    for name in ["shapes-resnet", "shapes-bcos"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/backbones").join(name).with_extension("toml");
        let described: Description =
            toml::from_str(&std::fs::read_to_string(path).expect("shipped")).expect("readable");
        let Architecture::ResNet(network) = described.architecture else { panic!("{name}") };
        assert_eq!(network, ResNet::shapes(network.family));
    }
}
