//! Methods that need more than one pull-back, against what they must be where that is known exactly.

use features::{
    network::{Layer, Network},
    tensor::{Device, Tensor, cpu, from_vec, to_vec},
};

use super::{Draw, check};
use crate::{
    baseline::Baseline,
    competition::{Scale, Var},
    explain::{After, Explainer, Head, Map, Settings},
    method::{
        Family, Method, kernel_shap::KernelShap, lime::Lime, occlusion::Occlusion, rise::Rise, smooth_grad::SmoothGrad,
    },
    segment::{Segmentation, Segments},
};

const SIDE: usize = 12;

fn explain(
    network: &Network,
    head: &Network,
    image: &Tensor<4>,
    targets: &[usize],
    methods: &[Method],
    settings: Settings,
) -> Vec<Map> {
    let channels = image.dims()[1];
    let bounds = (vec![-2.0; channels], vec![2.0; channels]);
    let head = Head { id: "head".into(), network: head.clone(), methods: methods.to_vec() };
    let explainer = Explainer::with_bounds(network.clone(), bounds, vec![head], settings).unwrap();
    explainer.explain(image, targets, "image").unwrap()
}

fn map(values: &[f32]) -> Tensor<1> {
    from_vec(values.to_vec(), [values.len()], &cpu())
}

/// A linear network: convolution, channel scale, linear head.
fn linear(draw: &mut Draw) -> (Network, Network) {
    let backbone = Network::new(vec![draw.conv([3, 5], 3, 2), draw.scale(5)]);
    (backbone, Network::new(vec![draw.conv([5, 4], 1, 1), Layer::GlobalAvgPool]))
}

#[test]
fn noise_free_smooth_grad_is_the_gradient() {
    let mut draw = Draw::new("smooth", 1.0);
    let (backbone, head) = (draw.conventional(), draw.head(6));
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let settings = Settings { smooth_grad: SmoothGrad { samples: 3, noise: 0.0 }, ..Settings::default() };
    let maps = explain(&backbone, &head, &image, &[1], &[Method::SmoothGrad, Method::Gradient], settings);
    check(map(&maps[0].values), map(&maps[1].values), 1e-5);
    let settings = Settings { smooth_grad: SmoothGrad { samples: 3, noise: 0.2 }, ..Settings::default() };
    let noisy = explain(&backbone, &head, &image, &[1], &[Method::SmoothGrad], settings.clone());
    let again = explain(&backbone, &head, &image, &[1], &[Method::SmoothGrad], Settings { chunk: 1, ..settings });
    assert_ne!(noisy[0].values, maps[0].values);
    check(map(&noisy[0].values), map(&again[0].values), 1e-5);
}

#[test]
fn integrated_gradients_are_complete_from_every_baseline() {
    let mut draw = Draw::new("baselines", 0.0);
    let (backbone, head) = (draw.aligned(2.0), draw.aligned_head(7));
    let image = draw.pixels([1, 6, SIDE, SIDE]);
    for baseline in [Baseline::Zero, Baseline::Mean, Baseline::Black, Baseline::Blurred] {
        let error = |steps: usize| {
            let settings = Settings { steps, baseline, ..Settings::default() };
            let maps = explain(&backbone, &head, &image, &[2], &[Method::IntegratedGradients], settings);
            maps[0].check.completeness_error.unwrap().abs()
        };
        let (few, many) = (error(2), error(64));
        assert!(many < 0.02 && (many < few || few < 1e-4), "{baseline:?}: {few} with 2 steps, {many} with 64");
    }
}

#[test]
fn guided_grad_cam_is_the_product_of_its_factors() {
    let mut draw = Draw::new("guided grad cam", 1.0);
    let (backbone, head) = (draw.conventional(), draw.head(6));
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let methods = [Method::GuidedGradCam, Method::GuidedBackprop, Method::GradCam];
    let settings = Settings { chunk: 1, ..Settings::default() };
    let maps = explain(&backbone, &head, &image, &[0, 1, 2, 3], &methods, settings);
    // All targets in one, because Grad-CAM can be negative everywhere for some.
    let all = |of: &dyn Fn(&[Map]) -> Vec<f32>| map(&maps.chunks_exact(3).flat_map(of).collect::<Vec<_>>());
    let product = |maps: &[Map]| -> Vec<f32> {
        maps[1].values.iter().zip(&maps[2].values).map(|(guided, cam)| guided * cam.max(0.0)).collect()
    };
    check(all(&|maps| maps[0].values.clone()), all(&product), 1e-5);
}

#[test]
fn the_references_grad_cam_looks_at_the_last_convolution() {
    let build = |device: &Device| {
        let mut draw = Draw::on("site", device);
        (draw.conventional(), draw.head(6))
    };
    let (backbone, head) = build(&cpu());
    let image = Draw::new("site image", 1.0).tensor([1, 3, SIDE, SIDE], 1.0);
    let methods = [Method::GradCamReference];
    let got = explain(&backbone, &head, &image, &[1], &methods, Settings::default()).remove(0).values;

    // Autodiff from the output of the convolution on: the main branch's fourth layer in layer 4 of the backbone.
    let device = Device::autodiff(cpu());
    let (backbone, head) = build(&device);
    let before = Network::new(backbone.layers[..4].to_vec());
    let Layer::Sum(branches) = &backbone.layers[4] else { unreachable!() };
    let input = before.forward(from_vec(to_vec(image), [1, 3, SIDE, SIDE], &device));
    let output = Network::new(branches[0].layers[..4].to_vec()).forward(input.clone());
    let (shape, values) = (output.dims(), to_vec(output));
    let activations = from_vec(values.clone(), shape, &device).require_grad();
    let sum = Network::new(branches[0].layers[4..].to_vec()).forward(activations.clone()) + branches[1].forward(input);
    let logit = head.forward(Network::new(backbone.layers[5..].to_vec()).forward(sum)).narrow(1, 1, 1).sum();
    let gradients = to_vec(activations.grad(&logit.backward()).unwrap());
    let coarse = crate::method::grad_cam::maps(&from_vec(values, shape, &cpu()), from_vec(gradients, shape, &cpu()));
    let expected = crate::method::grad_cam::enlarge(coarse.unsqueeze_dim(1), [SIDE, SIDE]);
    check(map(&got), map(&to_vec(expected)), 1e-4);
}

#[test]
fn class_activation_maps_of_a_linear_head_are_one_and_say_so() {
    let mut draw = Draw::new("cams", 1.0);
    let backbone = draw.conventional();
    let head = Network::new(vec![draw.conv([6, 4], 1, 1), Layer::GlobalAvgPool]);
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let methods = [Method::GradCam, Method::HiResCam, Method::XGradCam];
    let maps = explain(&backbone, &head, &image, &[2], &methods, Settings::default());
    assert_eq!(maps[0].check.degenerate, None);
    for other in &maps[1..] {
        assert_eq!(other.check.degenerate, Some(Method::GradCam));
        check(map(&other.values), map(&maps[0].values), 1e-5);
    }
}

#[test]
fn ablations_of_a_linear_head_are_gradients_times_sums() {
    let mut draw = Draw::new("ablation", 1.0);
    let backbone = draw.conventional();
    let head = Network::new(vec![draw.conv([6, 4], 1, 1), Layer::GlobalAvgPool]);
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let settings = Settings { chunk: 4, ..Settings::default() };
    let got = explain(&backbone, &head, &image, &[2], &[Method::AblationCam], settings).remove(0).values;
    // Without channel k the logit of a linear head falls by w_k times the mean of A_k.
    let features = backbone.forward(image);
    let Layer::Conv(conv) = &head.layers[0] else { unreachable!() };
    let means = features.clone().mean_dim(3).mean_dim(2);
    let falls = conv.weight.tensor().clone().narrow(0, 2, 1).swap_dims(0, 1).reshape([1, 6, 1, 1]) * means;
    let coarse = (features * falls).sum_dim(1);
    let expected = crate::method::grad_cam::enlarge(coarse, [SIDE, SIDE]);
    check(map(&got), map(&to_vec(expected)), 1e-4);
}

#[test]
fn shifted_heads_have_the_maps_they_would_have_alone() {
    let mut draw = Draw::new("shifted", 1.0);
    let backbone = draw.conventional();
    let weights = draw.tensor([4, 6, 1, 1], 0.4);
    let common = draw.tensor([1, 6, 1, 1], 2.0);
    let head = |factor: f32| {
        let weights = weights.clone() + common.clone().repeat_dim(0, 4) * factor;
        let conv = features::network::Conv::pointwise(weights, None);
        Network::new(vec![Layer::Conv(conv), Layer::GlobalAvgPool])
    };
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let methods = [Method::InputXGradient, Method::Gradient];
    let networks = [head(0.0), head(1.0), head(-1.0), draw.head(6)];
    let heads = networks.iter().enumerate();
    let heads =
        heads.map(|(i, network)| Head { id: i.to_string(), network: network.clone(), methods: methods.to_vec() });
    let bounds = (vec![-2.0; 3], vec![2.0; 3]);
    let explainer = Explainer::with_bounds(backbone.clone(), bounds, heads.collect(), Settings::default()).unwrap();
    for found in explainer.explain(&image, &[0, 3], "image").unwrap() {
        let target = [0, 3][found.target];
        let alone = explain(&backbone, &networks[found.head], &image, &[target], &[found.method], Settings::default());
        check(map(&found.values), map(&alone[0].values), 1e-5);
    }
}

#[test]
fn masks_of_a_linear_network_find_its_contributions() {
    let mut draw = Draw::new("masked", 1.0);
    let (backbone, head) = linear(&mut draw);
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let settings = Settings {
        chunk: 7,
        occlusion: Occlusion { window: 4, stride: 4, baseline: Baseline::Zero },
        rise: Rise { masks: 50, cells: 3, ..Rise::default() },
        lime: Lime { samples: 600, segments: 9, segmentation: Segmentation::Grid },
        kernel_shap: KernelShap { samples: 40, segments: 9, segmentation: Segmentation::Grid },
        ..Settings::default()
    };
    let methods = [Method::InputXGradient, Method::Gradient, Method::Occlusion, Method::Lime, Method::KernelShap];
    let maps = explain(&backbone, &head, &image, &[1], &methods, settings.clone());
    let cells = Segments::cut(Segmentation::Grid, &[], [SIDE, SIDE], 9);
    let over_cells = |values: &[f32]| -> Vec<f32> {
        let mut sums = vec![0.0f64; 9];
        values.iter().zip(&cells.labels).for_each(|(value, &cell)| sums[cell] += f64::from(*value));
        sums.into_iter().map(|sum| sum as f32).collect()
    };
    // Windows are the nine cells and show zeros, so a pixel has its cell's sum of input times gradient.
    let sums = over_cells(&maps[0].values);
    let spread: Vec<f32> = cells.labels.iter().map(|&cell| sums[cell]).collect();
    check(map(&maps[2].values), map(&spread), 1e-4);
    // Segments that are off show their mean: what counts is the difference from it.
    let mean = cells.means(&image);
    let from_mean =
        explain(&backbone, &head, &(image.clone() - mean), &[1], &[Method::InputXGradient], settings.clone());
    let shapley = over_cells(&from_mean[0].values);
    check(map(&over_cells(&maps[4].values)), map(&shapley), 1e-3);
    assert!(maps[4].check.completeness_error.unwrap().abs() < 1e-3);
    // The ridge takes a little away.
    let coefficients: Vec<f32> = over_cells(&maps[3].values).iter().map(|sum| sum / 16.0).collect();
    check(map(&coefficients), map(&shapley), 0.05);
    // Draws and batches do not depend on each other.
    let masked: Vec<Method> = Method::ALL.into_iter().filter(|method| method.family() == Family::Masked).collect();
    let first = explain(&backbone, &head, &image, &[1], &masked, settings.clone());
    let second = explain(&backbone, &head, &image, &[1], &masked, Settings { chunk: 64, ..settings });
    for (a, b) in first.iter().zip(&second) {
        check(map(&a.values), map(&b.values), 1e-4);
    }
}

#[test]
fn targets_compete_where_it_is_asked_for() {
    let mut draw = Draw::new("var", 1.0);
    let (backbone, head) = linear(&mut draw);
    let image = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    let var = Var { methods: vec![Method::Gradient], scale: Scale::Largest, ..Var::default() };
    let methods = [Method::Gradient, Method::InputXGradient];
    let settings = Settings { var: var.clone(), ..Settings::default() };
    let maps = explain(&backbone, &head, &image, &[0, 1], &methods, settings.clone());
    let names: Vec<String> = maps.iter().map(Map::name).collect();
    assert_eq!(names, ["gradient", "gradient:var", "input_x_gradient"].repeat(2));
    assert_eq!((maps[1].after, maps[4].target), (After::Var, 1));
    let expected = var.compete(&[&maps[0].values, &maps[3].values]);
    assert_eq!((&maps[1].values, &maps[4].values), (&expected[0], &expected[1]));
    assert_eq!(explain(&backbone, &head, &image, &[0], &methods, settings).len(), 2);
}
