//! What must hold at the depth of a real backbone: ResNet-50 and its B-cos form, with drawn weights.

use features::{
    backbone::{Family, Norm, Parameters, ResNet},
    network::{BcosConv, ChannelScale, Conv, Layer, Network},
    random::{normal, stream},
    tensor::{Tensor, cpu, from_vec, to_vec},
};

use super::{Draw, check};
use crate::{
    baseline::Baseline,
    composite::{Composite, First, ResidualSum},
    explain::{Explainer, Head, Map, Settings},
    method::Method,
    plan::{Entry, Plan, Step},
    rule::{Bound, STABILISER, stabilise},
    tape::Tape,
};

const SIDE: usize = 64;
const CLASSES: usize = 10;

/// Draws weights that keep the size of activations, without shifts.
struct Random {
    family: Family,
    /// Inputs of the last convolution that was asked for.
    inputs: usize,
}

impl Parameters for Random {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.inputs = shape[1..].iter().product();
        let mut rng = stream(11, &["resnet50", name]);
        let deviation = (2.0 / self.inputs as f64).sqrt();
        let values = (0..shape.iter().product()).map(|_| (deviation * normal(&mut rng)) as f32);
        from_vec(values.collect(), shape, &cpu())
    }

    fn norm(&mut self, name: &str, channels: usize, _: Norm) -> ChannelScale {
        let mut rng = stream(11, &["resnet50", name]);
        let size = match self.family {
            // A residual branch adds a little to its shortcut.
            Family::Resnet if name.ends_with("bn3") => 0.3,
            Family::Resnet => 1.0,
            // A row of unit norm is hardly aligned with anything: outputs are about inputs / sqrt(number of inputs / 3).
            Family::BcosResnet => (self.inputs as f64 / 3.0).sqrt(),
        };
        let values = (0..channels).map(|_| (size * (1.0 + 0.1 * normal(&mut rng))) as f32).collect();
        ChannelScale { scale: from_vec(values, [channels], &cpu()), shift: None }
    }
}

/// Backbone, and a head without a bias.
fn networks(family: Family) -> (Network, Network) {
    let mut random = Random { family, inputs: 0 };
    let backbone = ResNet::imagenet(family, 50).unwrap().lower(&mut random);
    let weight = random.weight("head", [CLASSES, 2048, 1, 1]);
    let dense = match family {
        Family::Resnet => Layer::Conv(Conv::pointwise(weight, None)),
        Family::BcosResnet => Layer::BcosConv(BcosConv::new(weight, 2.0, [1; 2], [0; 2])),
    };
    let mut layers = vec![dense, Layer::GlobalAvgPool];
    if family == Family::BcosResnet {
        layers.push(Layer::Offset(-2.0));
    }
    (backbone, Network::new(layers))
}

fn explain(family: Family, image: &Tensor<4>, targets: &[usize], method: Method, settings: Settings) -> Vec<Map> {
    let (backbone, network) = networks(family);
    let channels = image.dims()[1];
    let heads = vec![Head { id: "head".into(), network, methods: vec![method] }];
    let bounds = (vec![-2.0; channels], vec![2.0; channels]);
    Explainer::with_bounds(backbone, bounds, heads, settings).unwrap().explain(image, targets, "image").unwrap()
}

fn total(tensor: &Tensor<4>) -> f64 {
    to_vec(tensor.clone()).into_iter().map(f64::from).sum()
}

/// Hands relevance back one step at a time, within branches too, and asks each step whether it kept the sum.
struct Steps {
    composite: String,
    steps: usize,
}

impl Steps {
    fn back(&mut self, network: &Network, plan: &Plan, input: &Tensor<4>, given: Tensor<4>) -> Tensor<4> {
        let mut seen = vec![input.clone()];
        for layer in &network.layers {
            seen.push(layer.forward(seen[seen.len() - 1].clone()));
        }
        plan.steps.iter().rev().fold(given, |given, step| {
            let layers = &network.layers[step.first..=step.last];
            let input = &seen[step.first];
            let found = match (&step.bound, layers) {
                (Bound::SumShare(plans), [Layer::Sum(branches)]) => {
                    let share = given.clone() / stabilise(seen[step.last + 1].clone(), STABILISER);
                    let parts = branches.iter().zip(plans).map(|(branch, plan)| {
                        let part = share.clone() * branch.forward(input.clone());
                        self.back(branch, plan, input, part)
                    });
                    parts.reduce(|sum, part| sum + part).unwrap()
                }
                (bound, layers) => {
                    let bound = bound.clone();
                    let alone = Plan { steps: vec![Step { first: 0, last: step.last - step.first, bound }] };
                    Tape::record(&Network::new(layers.to_vec()), input.clone()).1.pull_back(&alone, given.clone())
                }
            };
            let error = (total(&found) - total(&given)).abs() / total(&given.clone().abs());
            self.steps += 1;
            assert!(error < 1e-4, "{}: step {} of {:?} loses {error}", self.composite, self.steps, layers[0]);
            found
        })
    }
}

#[test]
fn relevance_is_conserved_layer_by_layer() {
    let (backbone, head) = networks(Family::Resnet);
    let image = Draw::new("resnet50", 0.0).tensor([1, 3, SIDE, SIDE], 1.0).clamp(-2.0, 2.0);
    let features = backbone.forward(image.clone());
    let (logits, head_tape) = Tape::record(&head, features);
    let (_, tape) = Tape::record(&backbone, image.clone());
    let mut one = vec![0.0; CLASSES];
    one[3] = 1.0;
    let start = from_vec(one, [1, CLASSES, 1, 1], &cpu()) * logits;
    let logit = total(&start);
    let (low, high) = (vec![-2.0; 3], vec![2.0; 3]);
    let gamma_box = Composite::EpsilonGammaBox { low: low.clone(), high: high.clone(), sum: ResidualSum::Proportional };
    let composites = [
        gamma_box,
        Composite::EpsilonPlus(First::Same),
        Composite::EpsilonPlus(First::WSquare),
        Composite::EpsilonAlpha2Beta1(First::ZBox { low, high }),
        Composite::ExcitationBackprop,
        Composite::Epsilon,
    ];
    for composite in composites {
        let at_features = Plan::bind(&head, &composite, Entry::Features).unwrap();
        let at_features = head_tape.pull_back(&at_features, start.clone());
        let plan = Plan::bind(&backbone, &composite, Entry::Pixels).unwrap();
        let mut steps = Steps { composite: composite.to_string(), steps: 0 };
        let found = steps.back(&backbone, &plan, &image, at_features.clone());
        // Stem 3, and a block 1 and a ReLU, with 5 in its main branch and 1 in each of the four shortcuts.
        assert_eq!(steps.steps, 3 + 16 * 7 + 4);
        // The plain epsilon rule makes relevance of both signs that grows from layer to layer and cancels in the sum, so
        // a layer's error is in proportion to what it handed back.
        let magnitude = match composite {
            Composite::Epsilon => total(&found.clone().abs()),
            _ => logit.abs(),
        };
        let sum = total(&found);
        assert!((sum - logit).abs() < 1e-4 * magnitude, "{composite}: {sum} of {logit}, magnitude {magnitude}");
        check(tape.pull_back(&plan, at_features), found, 1e-4);
    }
}

#[test]
fn integrated_gradients_are_complete_in_the_limit() {
    let image = Draw::new("resnet50", 0.0).tensor([1, 3, SIDE, SIDE], 0.03).add_scalar(1.0);
    // Of several targets, because one that the way hardly changes has a large relative error.
    let error = |steps: usize| {
        // Without shifts the logit is linear on the way from zeros, so the way begins at the mean colour.
        let settings = Settings { steps, baseline: Baseline::Mean, ..Settings::default() };
        let maps = explain(Family::Resnet, &image, &[0, 1, 2, 3], Method::IntegratedGradients, settings);
        let explained: f32 = maps.iter().map(|map| map.check.explained.unwrap().abs()).sum();
        let of = |map: &Map| (map.check.completeness_error.unwrap() * map.check.explained.unwrap()).abs();
        maps.iter().map(of).sum::<f32>() / explained
    };
    let errors = [1, 16].map(error);
    assert!(errors[1] < 0.02 && errors[1] < 0.5 * errors[0], "{errors:?}");
}

#[test]
fn bcos_contributions_sum_to_the_logit_less_its_offset() {
    let image = Draw::new("resnet50", 0.0).pixels([1, 6, SIDE, SIDE]);
    let map = explain(Family::BcosResnet, &image, &[3], Method::Bcos, Settings::default()).remove(0);
    let explained = f64::from(map.logit) + 2.0;
    assert!(explained.abs() > 1e-3, "the logit of class 3 is {}", map.logit);
    assert!((map.relevance_sum() / explained - 1.0).abs() < 1e-4, "{} of {explained}", map.relevance_sum());
    assert!(map.check.absorbed_fraction.unwrap().abs() < 1e-4);
}
