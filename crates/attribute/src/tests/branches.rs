//! Branches side by side, scales in front of ReLUs, and attention: DenseNets and CLIP's pool under every rule.

use features::{
    backbone::{DenseFamily, DenseNet, Norm, Parameters},
    network::{ChannelScale, Conv, Layer, Network},
    random::{normal, stream},
    tensor::{Device, Tensor, cpu, from_vec, to_vec},
};

use super::{
    Draw, check,
    gradient::agree,
    join,
    relevance::{GAMMA, biases, by_matrix, compare, dense, wide},
};
use crate::{
    composite::{Composite, First, ResidualSum},
    explain::{Explainer, Head, Map, Settings},
    method::Method,
    plan::{Entry, Plan},
    tape::Tape,
};

fn gamma_box(sum: ResidualSum) -> Composite {
    Composite::EpsilonGammaBox { low: vec![-2.0; 3], high: vec![2.0; 3], sum }
}

/// Alpha 2, beta 1 keeps the sum where an output has contributions of both signs, which takes more than four inputs.
fn alpha_beta() -> Composite {
    Composite::EpsilonAlpha2Beta1(First::ZBox { low: vec![-2.0; 3], high: vec![2.0; 3] })
}

fn relevance_composites() -> Vec<Composite> {
    vec![
        gamma_box(ResidualSum::Proportional),
        gamma_box(ResidualSum::Duplicate),
        Composite::Epsilon,
        Composite::EpsilonPlus(First::WSquare),
        Composite::ExcitationBackprop,
    ]
}

fn explain(backbone: &Network, head: &Network, image: &Tensor<4>, methods: &[Method]) -> Vec<Map> {
    let channels = image.dims()[1];
    let bounds = (vec![-2.0; channels], vec![2.0; channels]);
    let head = Head { id: "head".into(), network: head.clone(), methods: methods.to_vec() };
    let explainer = Explainer::with_bounds(backbone.clone(), bounds, vec![head], Settings::default()).unwrap();
    explainer.explain(image, &[1], "image").unwrap()
}

#[test]
fn dense_gradients_are_autodiff() {
    agree(
        |device| {
            let mut draw = Draw::on("dense", device);
            join(&draw.dense(), &draw.head(8))
        },
        3,
    );
    agree(
        |device| {
            let mut draw = Draw::on("dense aligned", device);
            join(&draw.dense_aligned(), &draw.aligned_head(8))
        },
        6,
    );
}

#[test]
fn the_gradient_of_attention_is_autodiff() {
    agree(
        |device| {
            let mut draw = Draw::on("attention", device);
            let trunk = draw.conventional();
            // 11 x 11 pixels are 2 x 2 features.
            let pool = Network::new(vec![draw.attention(4)]);
            join(&join(&trunk, &pool), &draw.head(5))
        },
        3,
    );
}

#[test]
fn explanations_of_dense_bcos_networks_sum_to_the_logit_less_its_offset() {
    let mut draw = Draw::new("dense explanation", 0.0);
    let network = join(&draw.dense_aligned(), &draw.aligned_head(8));
    let input = draw.pixels([2, 6, 12, 12]);
    let (logits, tape) = Tape::record(&network, input.clone());
    let plan = Plan::bind(&network, &Composite::Bcos, Entry::Pixels).unwrap();
    let target = [0.0, 1.0, 0.0, 0.0].repeat(2);
    let rows = tape.pull_back(&plan, from_vec(target, [2, 4, 1, 1], &cpu()));
    let sums = (rows * input).sum_dim(3).sum_dim(2).sum_dim(1);
    check(sums, logits.narrow(1, 1, 1).add_scalar(1.5), 1e-4);
}

/// A dense layer's relevance in f64: what it passes by, and what its convolution gives back through ReLU and norm.
#[test]
fn relevance_of_a_dense_layer_is_its_formula() {
    let mut draw = Draw::new("dense layer", 1.0);
    let (scale, conv) = (draw.scale(2), draw.conv([2, 3], 3, 1));
    let (Layer::Scale(norm), Layer::Conv(plain)) = (&scale, &conv) else { unreachable!() };
    let made = Network::new(vec![scale.clone(), Layer::Relu, conv.clone()]);
    let network = Network::new(vec![Layer::Concat(vec![Network::default(), made])]);
    let input = draw.tensor([1, 2, 6, 5], 1.0);
    let (output, tape) = Tape::record(&network, input.clone());
    assert_eq!(output.dims(), [1, 5, 6, 5]);
    check(output.clone().narrow(1, 0, 2), input.clone(), 0.0);
    let relevance = draw.tensor(output.dims(), 1.0);
    let (passed, given) = (wide(&relevance.clone().narrow(1, 0, 2)), relevance.clone().narrow(1, 2, 3));

    let (factors, shifts) = (to_vec(norm.scale.clone()), to_vec(norm.shift.clone().unwrap()));
    let normed = wide(&input).into_iter().enumerate().map(|(i, x)| {
        let channel = i / 30;
        (x * f64::from(factors[channel]) + f64::from(shifts[channel])).max(0.0)
    });
    let normed: Vec<f64> = normed.collect();
    let matrix = dense(plain, [2, 6, 5]);
    let bias = biases(plain, &given);
    let raise = |z: f64, c: f64| if z * c > 0.0 { c * (1.0 + GAMMA) } else { c };
    let by_gamma = by_matrix(&matrix, &bias, &normed, &wide(&given), |z, w, i| raise(z, w * normed[i]), raise);
    let by_plus =
        by_matrix(&matrix, &bias, &normed, &wide(&given), |_, w, i| (w * normed[i]).max(0.0), |_, b| b.max(0.0));
    let gamma = Composite::EpsilonGammaBox { low: vec![-2.0; 2], high: vec![2.0; 2], sum: ResidualSum::Proportional };
    for (composite, by_conv) in [(gamma, by_gamma), (Composite::EpsilonPlus(First::Same), by_plus)] {
        let expected = passed.iter().zip(by_conv).map(|(passed, made)| passed + made).collect();
        // The convolution is not the first of the network, which would have the box rule.
        let before = Network::new(vec![identity(2), network.layers[0].clone()]);
        let plan = Plan::bind(&before, &composite, Entry::Pixels).unwrap();
        let steps = plan.steps.into_iter().map(|mut step| {
            step.first -= usize::from(step.first > 0);
            step.last = step.first;
            step
        });
        let plan = Plan { steps: steps.skip(1).collect() };
        compare(tape.pull_back(&plan, relevance.clone()), expected);
    }
}

/// A 1x1 convolution that changes nothing.
fn identity(channels: usize) -> Layer {
    let values = (0..channels * channels).map(|i| if i % (channels + 1) == 0 { 1.0 } else { 0.0 }).collect();
    Layer::Conv(Conv::pointwise(from_vec(values, [channels, channels, 1, 1], &cpu()), None))
}

#[test]
fn all_composites_conserve_the_relevance_of_dense_networks() {
    let mut draw = Draw::new("dense conserved", 0.0);
    let backbone = draw.dense();
    let head = Network::new(vec![draw.conv([8, 4], 1, 1), Layer::GlobalAvgPool]);
    let input = draw.pixels([1, 3, 12, 12]).mul_scalar(4.0).add_scalar(-2.0);
    for composite in relevance_composites() {
        conserves(&backbone, &head, &input, &composite, 4, 2e-3);
    }
}

/// Relevance of class 1 sums to its logit, relative to `tolerance`.
fn conserves(
    backbone: &Network,
    head: &Network,
    input: &Tensor<4>,
    composite: &Composite,
    classes: usize,
    tolerance: f64,
) {
    let (features, tape) = Tape::record(backbone, input.clone());
    let (logits, head_tape) = Tape::record(head, features);
    let mut one = vec![0.0; classes];
    one[1] = 1.0;
    let start = from_vec(one, [1, classes, 1, 1], &cpu()) * logits;
    let total = |tensor: &Tensor<4>| wide(tensor).iter().sum::<f64>();
    let logit = total(&start);
    let at_features = head_tape.pull_back(&Plan::bind(head, composite, Entry::Features).unwrap(), start);
    let plan = Plan::bind(backbone, composite, Entry::Pixels).unwrap();
    let sum = total(&tape.pull_back(&plan, at_features));
    assert!((sum / logit - 1.0).abs() < tolerance, "{composite}: {sum} of {logit}");
}

/// Weights of a deep network that keep the size of activations, without shifts.
struct Random;

impl Parameters for Random {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let mut rng = stream(13, &["densenet", name]);
        let deviation = (2.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        let values = (0..shape.iter().product()).map(|_| (deviation * normal(&mut rng)) as f32);
        from_vec(values.collect(), shape, &cpu())
    }

    fn norm(&mut self, name: &str, channels: usize, _: Norm) -> ChannelScale {
        let mut rng = stream(13, &["densenet", name]);
        let values = (0..channels).map(|_| (1.0 + 0.1 * normal(&mut rng)) as f32).collect();
        ChannelScale { scale: from_vec(values, [channels], &cpu()), shift: None }
    }
}

#[test]
fn relevance_is_conserved_at_the_depth_of_densenet_121() {
    let backbone = DenseNet::imagenet(DenseFamily::Densenet, 121).unwrap().lower(&mut Random);
    let head = Network::new(vec![
        Layer::Conv(Conv::pointwise(Random.weight("head", [4, 1024, 1, 1]), None)),
        Layer::GlobalAvgPool,
    ]);
    let image = Draw::new("densenet", 0.0).tensor([1, 3, 64, 64], 1.0).clamp(-2.0, 2.0);
    for composite in [gamma_box(ResidualSum::Proportional), alpha_beta(), Composite::ExcitationBackprop] {
        conserves(&backbone, &head, &image, &composite, 4, 1e-3);
    }
}

#[test]
fn deep_lift_of_a_dense_network_sums_to_the_change_of_the_logit() {
    let mut draw = Draw::new("dense deep lift", 1.0);
    let (backbone, head) = (draw.dense(), draw.head(8));
    let image = draw.tensor([1, 3, 12, 12], 1.0);
    let map = explain(&backbone, &head, &image, &[Method::DeepLift]).remove(0);
    let at_zero = to_vec(head.forward(backbone.forward(image.zeros_like())))[1];
    let change = f64::from(map.logit - at_zero);
    assert!((map.relevance_sum() - change).abs() < 1e-4 * change.abs().max(0.1), "{} {change}", map.relevance_sum());
}

#[test]
fn guiding_meets_the_relus_within_branches() {
    // Beside x stands relu(x), and -1 comes back for both: the ReLU passes nothing on.
    let branches = vec![Network::default(), Network::new(vec![Layer::Relu])];
    let network = Network::new(vec![Layer::Concat(branches)]);
    let (output, tape) = Tape::record(&network, from_vec(vec![3.0, -2.0], [1, 1, 1, 2], &cpu()));
    assert_eq!(to_vec(output), [3.0, -2.0, 3.0, 0.0]);
    let pull = |composite| {
        let plan = Plan::bind(&network, &composite, Entry::Pixels).unwrap();
        to_vec(tape.pull_back(&plan, from_vec(vec![-1.0, 5.0, -1.0, 7.0], [1, 2, 1, 2], &cpu())))
    };
    assert_eq!(pull(Composite::Gradient), [-2.0, 5.0]);
    assert_eq!(pull(Composite::GuidedBackprop), [-1.0, 5.0]);
    assert_eq!(pull(Composite::Deconvnet), [-1.0, 12.0]);
}

#[test]
fn the_reference_grad_cam_looks_at_the_last_convolution_of_a_dense_layer() {
    let build = |device: &Device| {
        let mut draw = Draw::on("dense site", device);
        (draw.dense(), draw.head(8))
    };
    let (backbone, head) = build(&cpu());
    let image = Draw::new("dense site image", 1.0).tensor([1, 3, 12, 12], 1.0);
    let got = explain(&backbone, &head, &image, &[Method::GradCamReference]).remove(0).values;

    let device = Device::autodiff(cpu());
    let (backbone, head) = build(&device);
    let Layer::Concat(branches) = &backbone.layers[10] else { unreachable!() };
    let input = Network::new(backbone.layers[..10].to_vec()).forward(from_vec(to_vec(image), [1, 3, 12, 12], &device));
    let output = branches[1].forward(input.clone());
    let (shape, values) = (output.dims(), to_vec(output));
    let activations = from_vec(values.clone(), shape, &device).require_grad();
    let beside = Tensor::cat(vec![input, activations.clone()], 1);
    let logit = head.forward(Network::new(backbone.layers[11..].to_vec()).forward(beside)).narrow(1, 1, 1).sum();
    let gradients = to_vec(activations.grad(&logit.backward()).unwrap());
    let (features, gradients) = (from_vec(values, shape, &cpu()), from_vec(gradients, shape, &cpu()));
    let coarse = crate::method::grad_cam::maps(&features, gradients);
    let [_, rows, columns] = coarse.dims();
    let expected = crate::enlarge::enlarge(&to_vec(coarse), [rows, columns], [12, 12]);
    check(from_vec(got, [144], &cpu()), from_vec(expected, [144], &cpu()), 1e-4);
}

#[test]
fn what_is_not_defined_for_attention_is_an_error_that_says_what_to_do() {
    let mut draw = Draw::new("attention", 1.0);
    let trunk = draw.conventional();
    let backbone = join(&trunk, &Network::new(vec![draw.attention(4)]));
    let head = draw.head(5);
    for composite in [relevance_composites(), vec![alpha_beta(), Composite::DeepLift]].concat() {
        let error = Plan::bind(&backbone, &composite, Entry::Pixels).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        for told in [composite.to_string().as_str(), "attnpool", "layout = \"clip\""] {
            assert!(error.to_string().contains(told), "{error}");
        }
        Plan::bind(&trunk, &composite, Entry::Pixels).unwrap();
    }
    for method in Method::ALL {
        let reads_gradients = [
            Method::Gradient,
            Method::InputXGradient,
            Method::GuidedBackprop,
            Method::GuidedBackpropTimesInput,
            Method::Deconvnet,
            Method::IntegratedGradients,
            Method::SmoothGrad,
            Method::GradCamReference,
        ];
        if reads_gradients.contains(&method) {
            assert_eq!(method.unfit(&backbone, &head), None);
        } else if let Some(reason) = method.unfit(&backbone, &head).filter(|_| method != Method::Bcos) {
            assert!(reason.contains("attention pool") && reason.contains("clip"), "{method}: {reason}");
        }
    }
    let image = draw.tensor([1, 3, 11, 11], 1.0);
    assert_eq!(explain(&backbone, &head, &image, &[Method::IntegratedGradients, Method::GradCamReference]).len(), 2);
    assert!(Method::Lrp.unfit(&backbone, &head).is_some() && Method::GradCam.unfit(&backbone, &head).is_some());
}
