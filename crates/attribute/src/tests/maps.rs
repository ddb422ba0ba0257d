//! Whole maps: what batches, chunks and shared passes must not change, and what each method promises.

use features::{
    network::{Layer, Network},
    tensor::{Tensor, cpu, from_vec},
};

use super::{Draw, check};
use crate::{
    composite::{Composite, ResidualSum},
    explain::{Explainer, Head, Map, Settings},
    method::Method,
    plan::{Entry, Plan},
    tape::Tape,
};

fn heads(networks: Vec<Network>, methods: &[Method]) -> Vec<Head> {
    let heads = networks.into_iter().enumerate();
    heads.map(|(i, network)| Head { id: i.to_string(), network, methods: methods.to_vec() }).collect()
}

fn explainer(network: &Network, channels: usize, heads: Vec<Head>, chunk: usize) -> Explainer {
    let bounds = (vec![-2.0; channels], vec![2.0; channels]);
    Explainer::with_bounds(network.clone(), bounds, heads, Settings { chunk, ..Settings::default() }).unwrap()
}

#[test]
fn a_batch_of_images_and_targets_is_each_of_them_alone() {
    let mut draw = Draw::new("batch", 1.0);
    let conventional = draw.conventional();
    let input = draw.tensor([3, 3, 11, 11], 1.0);
    let relevance = |sum| Composite::EpsilonGammaBox { low: vec![-4.0; 3], high: vec![4.0; 3], sum };
    let composites = [
        Composite::Gradient,
        Composite::GuidedBackprop,
        relevance(ResidualSum::Proportional),
        relevance(ResidualSum::Duplicate),
    ];
    let (output, tape) = Tape::record(&conventional, input.clone());
    let [_, channels, rows, columns] = output.dims();
    let cotangents = draw.tensor([6, channels, rows, columns], 1.0);
    for composite in composites {
        let plan = Plan::bind(&conventional, &composite, Entry::Pixels).unwrap();
        let together = tape.pull_back(&plan, cotangents.clone());
        for row in 0..6 {
            let (_, alone) = Tape::record(&conventional, input.clone().narrow(0, row / 2, 1));
            let alone = alone.pull_back(&plan, cotangents.clone().narrow(0, row, 1));
            check(together.clone().narrow(0, row, 1), alone, 1e-5);
        }
    }
}

#[test]
fn maps_do_not_depend_on_the_chunk_or_on_the_other_heads() {
    let mut draw = Draw::new("chunks", 1.0);
    let backbone = draw.conventional();
    let image = draw.tensor([1, 3, 12, 12], 1.0);
    let networks = vec![draw.head(6), draw.aligned_head(6), draw.head(6)];
    let methods = [
        Method::Lrp,
        Method::GradCam,
        Method::IntegratedGradients,
        Method::InputXGradient,
        Method::LrpReference,
        Method::GuidedBackprop,
    ];
    let all = explainer(&backbone, 3, heads(networks.clone(), &methods), 64).explain(&image, &[2, 0], "image").unwrap();
    let order: Vec<_> = all.iter().map(|map| (map.target, map.head, map.method)).collect();
    assert_eq!(order[..2], [(0, 0, Method::Lrp), (0, 0, Method::GradCam)]);
    assert_eq!(all.len(), 2 * 3 * 6);
    let small =
        explainer(&backbone, 3, heads(networks.clone(), &methods), 1).explain(&image, &[2, 0], "image").unwrap();
    let alone =
        explainer(&backbone, 3, heads(vec![networks[1].clone()], &methods), 5).explain(&image, &[0], "image").unwrap();
    let tensor = |map: &Map| -> Tensor<1> { from_vec(map.values.clone(), [144], &cpu()) };
    for (a, b) in all.iter().zip(&small) {
        assert_eq!((a.head, a.target, a.method, a.logit), (b.head, b.target, b.method, b.logit));
        check(tensor(a), tensor(b), 1e-5);
    }
    for map in &alone {
        let same = |other: &&Map| other.head == 1 && other.target == 1 && other.method == map.method;
        check(tensor(map), tensor(all.iter().find(same).unwrap()), 1e-4);
    }
}

#[test]
fn integrated_gradients_are_exact_on_a_linear_network_and_complete_on_a_curved_one() {
    let mut draw = Draw::new("integrated", 0.0);
    let linear = Network::new(vec![draw.conv([3, 5], 3, 2), draw.scale(5)]);
    let head = Network::new(vec![draw.conv([5, 4], 1, 1), Layer::GlobalAvgPool]);
    let image = draw.tensor([1, 3, 9, 9], 1.0);
    let methods = [Method::IntegratedGradients, Method::InputXGradient];
    let maps = explainer(&linear, 3, heads(vec![head], &methods), 4).explain(&image, &[1], "image").unwrap();
    for (a, b) in maps[0].values.iter().zip(&maps[1].values) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    assert!((maps[0].relevance_sum() - f64::from(maps[0].logit)).abs() < 1e-4);

    let curved = draw.aligned(2.0);
    let head = draw.aligned_head(7);
    let image = draw.pixels([1, 6, 12, 12]);
    let maps = explainer(&curved, 6, heads(vec![head], &methods), 64).explain(&image, &[3], "image").unwrap();
    // The logit of the zero image is the offset.
    let explained = f64::from(maps[0].logit) + 1.5;
    assert!((maps[0].relevance_sum() / explained - 1.0).abs() < 1e-2, "{}", maps[0].relevance_sum());
}

/// Alone they need no tape of the backbone, whose layers then run joined.
#[test]
fn methods_at_the_features_are_the_same_alone_and_in_company() {
    let mut draw = Draw::new("features", 1.0);
    let backbones = [(draw.conventional(), 3, 6), (draw.aligned(2.0), 6, 7)];
    for (backbone, channels, features) in backbones {
        let image = draw.pixels([1, channels, 12, 12]);
        let networks = vec![draw.head(features), draw.aligned_head(features)];
        let alone = [Method::GradCam, Method::LayerCam, Method::AblationCam];
        let company = [alone.as_slice(), &[Method::InputXGradient]].concat();
        let [alone, company] = [&alone[..], &company].map(|methods| {
            let explainer = explainer(&backbone, channels, heads(networks.clone(), methods), 64);
            let maps = explainer.explain(&image, &[2, 0], "image").unwrap();
            maps.into_iter()
                .filter(|map| map.method != Method::InputXGradient)
                .map(|map| map.values)
                .collect::<Vec<_>>()
        });
        assert_eq!(alone.len(), 2 * 2 * 3);
        assert_eq!(alone, company);
    }
}
