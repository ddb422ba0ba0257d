//! Small random networks, whose maps are made again under other weights.

use attribute::explain::{Explainer, Head, Settings as Explain};
use attribute::method::Method;
use features::network::{Conv, Layer, Network, Pool};
use features::tensor::{cpu, from_vec, to_vec};

use super::redraw::stages;
use super::*;
use crate::fixtures::random_map;
use crate::map::Map;

const SIDE: usize = 24;
const CHANNELS: usize = 12;
const CLASSES: usize = 5;

fn conv(seed: u64, [inputs, outputs]: [usize; 2], stride: usize) -> Layer {
    let size = (2.0 / (9.0 * inputs as f32)).sqrt();
    let weights = random_map(seed, outputs * inputs * 9).iter().map(|value| size * value).collect();
    let weight = from_vec(weights, [outputs, inputs, 3, 3], &cpu());
    Layer::Conv(Conv { weight: weight.into(), bias: None, stride: [stride; 2], padding: [1, 1] })
}

/// Ten convolutions with ReLUs, three of them with stride 2.
fn deep() -> Network {
    let mut layers = vec![conv(1, [3, CHANNELS], 1), Layer::Relu];
    for at in 2..=10 {
        layers.extend([conv(at, [CHANNELS; 2], if at % 3 == 0 { 2 } else { 1 }), Layer::Relu]);
    }
    Network::new(layers)
}

fn head() -> Network {
    let weight = from_vec(random_map(11, CLASSES * CHANNELS), [CLASSES, CHANNELS, 1, 1], &cpu());
    Network::new(vec![Layer::Conv(Conv::pointwise(weight, None)), Layer::GlobalAvgPool])
}

fn subject(settings: &Settings, seed: u64) -> Subject {
    let bounds = (vec![-2.0; 3], vec![2.0; 3]);
    Subject::new(deep(), bounds, vec![("probe".into(), head())], settings, seed)
}

/// Maps of the methods, of class 1.
fn maps(backbone: Network, head: &Network, methods: &[Method]) -> Vec<Vec<f32>> {
    let heads = vec![Head { id: "probe".into(), network: head.clone(), methods: methods.to_vec() }];
    let explainer = Explainer::with_bounds(backbone, (vec![-2.0; 3], vec![2.0; 3]), heads, Explain::default()).unwrap();
    let image = from_vec(random_map(12, 3 * SIDE * SIDE), [1, 3, SIDE, SIDE], &cpu());
    explainer.explain(&image, &[1], "test").unwrap().into_iter().map(|map| map.values).collect()
}

/// Similarity of each method's map to the original one, at each depth of the cascade.
fn cascade(subject: &Subject, methods: &[Method], how: Similarity) -> Vec<Vec<f64>> {
    let (trained, drawn) = &subject.heads["probe"];
    let original = maps(subject.backbone.clone(), trained, methods);
    let depth = |depth| {
        let again = maps(subject.cascaded(depth), drawn, methods);
        let one = |(a, b): (&Vec<f32>, &Vec<f32>)| how.of(Map::new(SIDE, SIDE, a), Map::new(SIDE, SIDE, b)).unwrap();
        original.iter().zip(&again).map(one).collect()
    };
    (0..=subject.starts.len()).map(depth).collect()
}

#[test]
fn gradients_forget_the_map_and_what_ignores_weights_does_not() {
    let subject = subject(&Settings::default(), 0);
    let found = cascade(&subject, &[Method::Gradient, Method::GuidedBackprop], Similarity::Pearson);
    // Adebayo et al. and Sixt et al.: many positive matrices in a row have rank 1 nearly, so the probe does not matter.
    assert!(found[0][0] < 0.3 && found[0][1] > 0.9 && found[1][1] > 0.9, "{found:?}");
    let last = &found[subject.starts.len()];
    assert!(last[0].abs() < 0.2 && last[1] > last[0] + 0.2, "{found:?}");
    // A map of the picture alone, here its own pixels, is the same under all weights.
    let edges = random_map(12, SIDE * SIDE);
    let map = || Map::new(SIDE, SIDE, &edges);
    assert!(Similarity::ALL.iter().all(|how| (how.of(map(), map()).unwrap() - 1.0).abs() < 1e-9));
}

#[test]
fn a_seed_gives_one_network_and_a_cascade_keeps_what_it_drew() {
    for redraw in [Redraw::Normal, Redraw::Shuffled] {
        let settings = Settings { redraw, ..Settings::default() };
        let weights = |network: &Network| -> Vec<Vec<f32>> {
            let of = |layer: &Layer| match layer {
                Layer::Conv(conv) => Some(to_vec(conv.weight.tensor().clone())),
                _ => None,
            };
            network.layers.iter().filter_map(of).collect()
        };
        let (one, same, other) = (subject(&settings, 0), subject(&settings, 0), subject(&settings, 1));
        let [one, same, other] = [&one, &same, &other].map(|subject| {
            (0..=subject.starts.len()).map(|depth| weights(&subject.cascaded(depth))).collect::<Vec<_>>()
        });
        assert_eq!(one, same);
        assert_eq!(one[0], weights(&deep()));
        assert!(one[4].iter().zip(&other[4]).all(|(a, b)| a != b), "{redraw:?}");
        for (depth, drawn) in [(1, 2), (2, 5), (3, 8), (4, 10)] {
            let kept = 10 - drawn;
            assert_eq!(one[depth][..kept], one[0][..kept], "{redraw:?} {depth}");
            assert!((kept..10).all(|at| one[depth][at] != one[0][at]), "{redraw:?} {depth}");
            assert_eq!(one[depth][kept..], one[4][kept..], "{redraw:?} {depth}");
        }
        let size = |values: &[f32]| values.iter().map(|value| f64::from(value * value)).sum::<f64>();
        let ratio = size(&one[4][5]) / size(&one[0][5]);
        assert!((ratio - 1.0).abs() < if redraw == Redraw::Shuffled { 1e-9 } else { 0.15 }, "{redraw:?} {ratio}");
    }
}

#[test]
fn a_stage_begins_where_the_map_becomes_smaller() {
    let pool = |stride| Layer::MaxPool(Pool { kernel: 2, stride, padding: 0 });
    let block = |stride| Layer::Sum(vec![Network::new(vec![conv(1, [3, 3], stride)]), Network::default()]);
    let found = |layers: Vec<Layer>| stages(&Network::new(layers));
    assert_eq!(found(vec![conv(1, [3, 3], 2), Layer::Relu, pool(2), block(1), block(1), block(2)]), [0..2, 2..5, 5..6]);
    // A pool alone is no stage, in front, twice or at the end.
    assert_eq!(found(vec![pool(2), conv(1, [3, 3], 2), pool(2), pool(2), block(1), pool(2)]), [0..2, 2..6]);
    assert_eq!(found(vec![conv(1, [3, 3], 1), Layer::Relu]), vec![0..2]);
    assert!(found(vec![]).is_empty());
}
