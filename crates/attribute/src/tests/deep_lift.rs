//! DeepLIFT against a slow copy of the rescale rule in f64, by hand, and its sum.

use features::{
    network::{Layer, Network, Pool},
    tensor::{Tensor, cpu, from_vec, to_vec},
};

use super::{Draw, check};
use crate::{
    baseline::Baseline,
    composite::Composite,
    explain::{Explainer, Head, Settings},
    method::{Method, deep_lift::DeepLift},
    plan::{Entry, Plan},
    tape::Tape,
};

/// Multipliers of one cotangent at the input, with the baseline behind the picture.
fn multipliers(layers: Vec<Layer>, picture: Tensor<4>, baseline: Tensor<4>, given: Tensor<4>) -> Vec<f32> {
    let network = Network::new(layers);
    let plan = Plan::bind(&network, &Composite::DeepLift, Entry::Pixels).unwrap();
    let (_, tape) = Tape::record(&network, Tensor::cat(vec![picture, baseline], 0));
    to_vec(tape.pull_back(&plan, given))
}

fn row(values: &[f32]) -> Tensor<4> {
    from_vec(values.to_vec(), [1, 1, 1, values.len()], &cpu())
}

#[test]
fn a_relu_has_its_finite_difference() {
    // From -1 to 3: 3 / 4. From 2 to 1: 1. From -1 to -2: 0. From 2 to -2: -2 / -4. No change: the gradient.
    let (picture, baseline) = (row(&[3.0, 1.0, -2.0, -2.0, 5.0, -5.0]), row(&[-1.0, 2.0, -1.0, 2.0, 5.0, -5.0]));
    let given = row(&[4.0, 4.0, 4.0, 4.0, 4.0, 4.0]);
    assert_eq!(multipliers(vec![Layer::Relu], picture, baseline, given), [3.0, 4.0, 0.0, 2.0, 4.0, 0.0]);
}

#[test]
fn overlapping_windows_add_up() {
    // Windows see (0, 1) and (1, 2); both are won by 5, which rose from 0. Keeping one of the two, as max_unpool does,
    // would explain 50 or 5 of 55.
    let pool = Layer::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 });
    let found = multipliers(vec![pool], row(&[1.0, 5.0, 2.0]), row(&[0.0; 3]), row(&[1.0, 10.0]));
    assert_eq!(found, [0.0, 11.0, 0.0]);
}

#[test]
fn a_fall_is_the_doing_of_the_baselines_winner() {
    // The maximum fell from 4 to 2: position 0 had it and fell by 3, so each unit of its fall counts 2 / 3.
    let pool = Layer::MaxPool(Pool { kernel: 2, stride: 2, padding: 0 });
    let square = |values: [f32; 4]| from_vec(values.to_vec(), [1, 1, 2, 2], &cpu());
    let found = multipliers(
        vec![pool],
        square([1.0, 2.0, -9.0, -9.0]),
        square([4.0, 0.0, -8.0, -8.0]),
        square([3.0; 4]).narrow(2, 0, 1).narrow(3, 0, 1),
    );
    for (found, expected) in found.iter().zip([2.0, 0.0, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

/// One layer of the slow copy, with values of `[channels, rows, columns]`, row-major.
enum Slow {
    /// `[output][input]` and a bias for each output.
    Dense(Vec<Vec<f64>>, Vec<f64>),
    Relu,
    /// The inputs of each window.
    Max(Vec<Vec<usize>>),
}

impl Slow {
    fn of(layer: &Layer, [channels, rows, columns]: [usize; 3]) -> (Self, [usize; 3]) {
        let inputs = channels * rows * columns;
        match layer {
            Layer::Relu => (Self::Relu, [channels, rows, columns]),
            Layer::MaxPool(pool) => {
                let places = |size: usize| (size + 2 * pool.padding - pool.kernel) / pool.stride + 1;
                let within = |place: usize, size: usize| {
                    let first = (place * pool.stride) as isize - pool.padding as isize;
                    (first..first + pool.kernel as isize)
                        .filter(move |at| (0..size as isize).contains(at))
                        .map(|at| at as usize)
                        .collect::<Vec<_>>()
                };
                let mut windows = Vec::new();
                for c in 0..channels {
                    for y in 0..places(rows) {
                        for x in 0..places(columns) {
                            let at = |y: usize, x: usize| (c * rows + y) * columns + x;
                            let (ys, xs) = (within(y, rows), within(x, columns));
                            windows.push(ys.iter().flat_map(|&y| xs.iter().map(move |&x| at(y, x))).collect());
                        }
                    }
                }
                (Self::Max(windows), [channels, places(rows), places(columns)])
            }
            linear => {
                let run = |values: Vec<f32>| linear.forward(from_vec(values, [1, channels, rows, columns], &cpu()));
                let zero = run(vec![0.0; inputs]);
                let [_, outputs, height, width] = zero.dims();
                let bias: Vec<f64> = to_vec(zero).into_iter().map(f64::from).collect();
                let mut matrix = vec![vec![0.0; inputs]; bias.len()];
                for i in 0..inputs {
                    let mut unit = vec![0.0; inputs];
                    unit[i] = 1.0;
                    for (o, value) in to_vec(run(unit)).into_iter().enumerate() {
                        matrix[o][i] = f64::from(value) - bias[o];
                    }
                }
                (Self::Dense(matrix, bias), [outputs, height, width])
            }
        }
    }

    fn forward(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Dense(matrix, bias) => matrix
                .iter()
                .zip(bias)
                .map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias)
                .collect(),
            Self::Relu => x.iter().map(|x| x.max(0.0)).collect(),
            Self::Max(windows) => {
                windows.iter().map(|window| window.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max)).collect()
            }
        }
    }

    /// Multipliers of the input from those of the output.
    fn back(&self, x: &[f64], from: &[f64], given: &[f64]) -> Vec<f64> {
        let mut found = vec![0.0; x.len()];
        match self {
            Self::Dense(matrix, _) => {
                for (row, given) in matrix.iter().zip(given) {
                    found.iter_mut().zip(row).for_each(|(found, w)| *found += w * given);
                }
            }
            Self::Relu => {
                for (i, found) in found.iter_mut().enumerate() {
                    *found = given[i] * (x[i].max(0.0) - from[i].max(0.0)) / (x[i] - from[i]);
                }
            }
            Self::Max(windows) => {
                for (window, given) in windows.iter().zip(given) {
                    let winner = |of: &[f64]| window.iter().copied().max_by(|&a, &b| of[a].total_cmp(&of[b])).unwrap();
                    let (now, then) = (winner(x), winner(from));
                    let top = x[now].max(from[then]);
                    found[now] += given * (top - from[then]) / (x[now] - from[now]);
                    found[then] += given * (x[now] - top) / (x[then] - from[then]);
                }
            }
        }
        found
    }
}

#[test]
fn a_network_with_overlapping_maxima_is_the_slow_copy() {
    let mut draw = Draw::new("slow", 1.0);
    let layers = vec![
        draw.conv([3, 4], 3, 1),
        draw.scale(4),
        Layer::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 }),
        draw.conv([4, 5], 3, 2),
        Layer::Relu,
        draw.conv([5, 4], 1, 1),
        Layer::GlobalAvgPool,
    ];
    let (picture, baseline) = (draw.tensor([1, 3, 7, 8], 1.0), draw.tensor([1, 3, 7, 8], 1.0));
    let wide = |tensor: &Tensor<4>| to_vec(tensor.clone()).into_iter().map(f64::from).collect::<Vec<_>>();
    let (mut x, mut from, mut shape) = (wide(&picture), wide(&baseline), [3, 7, 8]);
    let mut seen = Vec::new();
    for layer in &layers {
        let (slow, next) = Slow::of(layer, shape);
        let outputs = (slow.forward(&x), slow.forward(&from));
        seen.push((slow, std::mem::replace(&mut x, outputs.0), std::mem::replace(&mut from, outputs.1)));
        shape = next;
    }
    let given = [0.0, 0.0, 1.0, 0.0];
    let expected = seen.iter().rev().fold(given.to_vec(), |given, (slow, x, from)| slow.back(x, from, &given));
    let found =
        multipliers(layers, picture, baseline, from_vec(given.map(|v| v as f32).to_vec(), [1, 4, 1, 1], &cpu()));
    let expected = expected.into_iter().map(|v| v as f32).collect();
    check(from_vec(found, [168], &cpu()), from_vec(expected, [168], &cpu()), 1e-4);
}

#[test]
fn maps_sum_to_the_change_of_the_logit_from_every_baseline() {
    let mut draw = Draw::new("deep lift", 1.0);
    let (backbone, networks) = (draw.conventional(), [draw.head(6), draw.head(6)]);
    let image = draw.tensor([1, 3, 12, 12], 1.0);
    let methods = [Method::DeepLift, Method::InputXGradient];
    let bounds = || (vec![-2.0; 3], vec![2.0; 3]);
    for baseline in [Baseline::Zero, Baseline::Mean, Baseline::Black, Baseline::Blurred] {
        let heads = networks.iter().enumerate();
        let heads = heads
            .map(|(i, network)| Head { id: i.to_string(), network: network.clone(), methods: methods.to_vec() })
            .collect();
        let settings = Settings { deep_lift: DeepLift { baseline }, chunk: 3, ..Settings::default() };
        let explainer = Explainer::with_bounds(backbone.clone(), bounds(), heads, settings).unwrap();
        let maps = explainer.explain(&image, &[0, 2], "image").unwrap();
        assert_eq!(maps.len(), 8);
        let start = backbone.forward(baseline.of(&image, &[-2.0; 3], &[2.0; 3]));
        for map in maps.iter().filter(|map| map.method == Method::DeepLift) {
            let at_start = to_vec(networks[map.head].forward(start.clone()))[[0, 2][map.target]];
            let change = f64::from(map.logit - at_start);
            assert!((map.relevance_sum() - change).abs() < 1e-4 * change.abs().max(0.1), "{baseline:?}");
            assert!(map.check.completeness_error.unwrap().abs() < 1e-3);
        }
    }
}

#[test]
fn a_head_without_the_method_may_have_layers_that_it_has_no_rule_for() {
    let mut draw = Draw::new("mixed", 1.0);
    let (backbone, plain, aligned) = (draw.conventional(), draw.head(6), draw.aligned_head(6));
    assert!(Method::DeepLift.unfit(&backbone, &aligned).is_some());
    assert!(Method::DeepLift.unfit(&backbone, &plain).is_none());
    let image = draw.tensor([1, 3, 12, 12], 1.0);
    let head = |network: Network, method| Head { id: "head".into(), network, methods: vec![method] };
    let heads = vec![head(plain, Method::DeepLift), head(aligned, Method::Gradient)];
    let bounds = (vec![-2.0; 3], vec![2.0; 3]);
    let explainer = Explainer::with_bounds(backbone, bounds, heads, Settings::default()).unwrap();
    assert_eq!(explainer.explain(&image, &[1], "image").unwrap().len(), 2);
}
