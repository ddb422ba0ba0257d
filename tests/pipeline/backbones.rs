//! Other backbones than residual ones, small and random, through all stages.

use std::collections::BTreeSet;

use attribute::table::{MAPS, MapRows};
use features::artifact::Reader;
use features::backbone::{
    Architecture, AttentionFamily, AttentionPooled, Block, DenseFamily, DenseNet, Family, ResNet, Stage, Stem,
};

use features::preprocess::Fit;

use crate::bench::{Bench, STAGES, complete, stderr, write_backbone};

/// A copy of the project with this backbone and, in `other.toml`, these methods on so many grids.
fn bench(architecture: Architecture, methods: &str, grids: usize) -> Bench {
    let bench = complete().copy();
    write_backbone(&bench.path("network.safetensors"), architecture, Fit::Exact);
    let experiment = format!(
        "[experiment]\nseed = 3\n\
         [features]\nimages = \"out/shapes/images\"\nbackbone = \"network.safetensors\"\n\
         [probe]\nshift = []\n[[probe.train]]\nhead = \"linear\"\nloss = \"ce\"\nepochs = 100\nlearning_rate = 10.0\n\
         [attribute]\ngrids3 = 0\ngrids2 = {grids}\nscenes = 0\ntiles = 2\nmethods = {methods}\n\
         confident_for = [\"linear-ce-s0\"]\nconfidence = 0.0\n\
         [attribute.integrated_gradients]\nsteps = 3\nprobes = [\"linear-*\"]\n\
         [evaluate]\nimages = \"out/shapes/images\"\n"
    );
    std::fs::write(bench.path("other.toml"), experiment).expect("the experiment can be written");
    bench
}

/// The methods that have maps, all of them finite and one not 0 at least.
fn methods(bench: &Bench, directory: &str) -> BTreeSet<String> {
    let reader = Reader::open(&bench.path("out/other").join(directory), &MAPS).expect("a map table");
    let rows = MapRows::from_cells(reader.read_all().expect("readable")).expect("declared columns");
    assert!(rows.map.iter().any(|&value| value != 0.0) && rows.map.iter().all(|value| value.is_finite()));
    rows.method.into_iter().collect()
}

#[test]
fn a_dense_network_is_explained_by_every_kind_of_method() {
    let stem = Stem { channels: 8, kernel: 5, stride: 2, pool: false };
    let network = DenseNet { family: DenseFamily::Densenet, growth: 4, bottleneck: 2, blocks: vec![2, 2], stem };
    let asked = "[\"lrp\", \"lrp:reference\", \"excitation_backprop\", \"deep_lift\", \"guided_backprop\", \
                 \"integrated_gradients\", \"grad_cam\", \"grad_cam:reference\"]";
    let bench = bench(network.into(), asked, 2);
    for stage in STAGES {
        bench.ok(&[stage, "--config", "other.toml"]);
    }
    let asked: BTreeSet<String> = asked.split('"').skip(1).step_by(2).map(str::to_string).collect();
    assert_eq!(asked.len(), 8);
    assert_eq!(methods(&bench, "attribute.grid2"), asked);
    assert_eq!(methods(&bench, "attribute.tiles"), asked);
}

#[test]
fn an_attention_pool_takes_pictures_of_one_size_and_leaves_out_what_it_does_not_define() {
    let trunk = ResNet {
        family: Family::Resnet,
        block: Block::ClipBottleneck,
        stem: Stem { channels: 8, kernel: 3, stride: 2, pool: true },
        stages: vec![Stage { width: 4, blocks: 1, stride: 1 }, Stage { width: 8, blocks: 1, stride: 2 }],
    };
    let family = AttentionFamily::ClipAttentionPool;
    let network = AttentionPooled { family, side: 8, heads: 4, embedding: 12, trunk };
    let asked = "[\"gradient\", \"integrated_gradients\", \"lrp\", \"deep_lift\", \"grad_cam\"]";
    let bench = bench(Architecture::AttentionPooled(network), asked, 1);
    bench.ok(&["features", "--config", "other.toml"]);
    bench.ok(&["probe", "--config", "other.toml"]);
    bench.fails(&["attribute", "--config", "other.toml"], 2, &["64 x 64 pixels, not 128 x 128", "layout = \"clip\""]);
    let path = bench.path("other.toml");
    let text = std::fs::read_to_string(&path).expect("the experiment can be read");
    std::fs::write(path, text.replace("grids2 = 1", "grids2 = 0")).expect("the experiment can be written");
    let done = stderr(&bench.ok(&["attribute", "--config", "other.toml"]));
    for left_out in ["lrp", "deep_lift", "grad_cam"] {
        assert!(done.contains(&format!("{left_out} is left out for 1 of 1 probes")), "{left_out}: {done}");
    }
    bench.ok(&["evaluate", "--config", "other.toml"]);
    let kept = ["gradient", "integrated_gradients"].map(str::to_string);
    assert_eq!(methods(&bench, "attribute.tiles"), BTreeSet::from(kept));
}
