//! Networks that see the cells of a grid apart (DiFull), and heads that do (DiPart).

use features::{
    network::{Apart, Conv, Layer, Network, Pool, cells},
    tensor::{Tensor, cpu, from_vec, to_vec},
};

use super::{Draw, check, gradient::agree, join};
use crate::{
    baseline::Baseline,
    explain::{Explainer, Head, Map, Settings, apart, logit_of},
    method::{Method, lime::Lime, occlusion::Occlusion, rise::Rise, smooth_grad::SmoothGrad},
    segment::Segmentation,
};

const GRID: usize = 2;
const SIDE: usize = 12;

fn settings() -> Settings {
    Settings {
        steps: 4,
        occlusion: Occlusion { window: 4, stride: 4, baseline: Baseline::Zero },
        rise: Rise { masks: 16, ..Rise::default() },
        lime: Lime { samples: 24, segments: 16, segmentation: Segmentation::Grid },
        smooth_grad: SmoothGrad { samples: 2, noise: 0.0 },
        ..Settings::default()
    }
}

fn explain(network: &Network, head: &Network, image: &Tensor<4>, targets: &[usize], methods: &[Method]) -> Vec<Map> {
    let channels = image.dims()[1];
    let bounds = (vec![-2.0; channels], vec![2.0; channels]);
    let head = Head { id: "head".into(), network: head.clone(), methods: methods.to_vec() };
    let explainer = Explainer::with_bounds(network.clone(), bounds, vec![head], settings()).unwrap();
    explainer.explain(image, targets, "image").unwrap()
}

/// The cells of a map of a grid.
fn cells_of(map: &Map, side: usize) -> Vec<Vec<f32>> {
    let map = from_vec(map.values.clone(), [1, 1, side * GRID, side * GRID], &cpu());
    cells(&map, GRID).into_iter().map(to_vec).collect()
}

fn nothing(values: &[f32]) -> bool {
    values.iter().all(|value| *value == 0.0)
}

#[test]
fn the_gradient_of_cells_is_autodiff() {
    agree(
        |device| {
            let mut draw = Draw::on("cells", device);
            // 11 x 11 pixels are 4 x 4 features.
            let before = Network::new(vec![draw.conv([3, 4], 4, 3)]);
            let within = Network::new(vec![draw.conv([4, 6], 3, 1), draw.scale(6), Layer::Relu]);
            let head = draw.head(6);
            join(&before, &join(&apart(&within, GRID), &apart(&head, GRID)))
        },
        3,
    );
}

/// Methods that read the pixels give the map of the cell's picture alone, and exactly nothing elsewhere.
#[test]
fn a_cell_apart_has_the_map_that_it_has_alone() {
    let mut draw = Draw::new("apart", 1.0);
    let (backbone, head) = (draw.conventional(), draw.head(6));
    let image = draw.pixels([1, 3, SIDE * GRID, SIDE * GRID]).mul_scalar(4.0).add_scalar(-2.0);
    let methods = [
        Method::Gradient,
        Method::InputXGradient,
        Method::GuidedBackprop,
        Method::Deconvnet,
        Method::Lrp,
        Method::LrpReference,
        Method::LrpEpsilon,
        Method::ExcitationBackprop,
        Method::IntegratedGradients,
        Method::DeepLift,
        Method::Occlusion,
    ];
    let targets = [logit_of(1, 0, GRID), logit_of(3, 2, GRID)];
    let grid = explain(&apart(&backbone, GRID), &apart(&head, GRID), &image, &targets, &methods);
    for (at, (class, cell)) in [(1, 0), (3, 2)].into_iter().enumerate() {
        let alone = cells(&image, GRID)[cell].clone();
        let alone = explain(&backbone, &head, &alone, &[class], &methods);
        for (map, alone) in grid[at * methods.len()..].iter().zip(&alone) {
            assert_eq!((map.target, map.method), (at, alone.method));
            assert!((map.logit - alone.logit).abs() < 1e-5, "{}", map.method);
            for (place, values) in cells_of(map, SIDE).into_iter().enumerate() {
                let tensor = |values: Vec<f32>| from_vec(values, [SIDE * SIDE], &cpu());
                match place == cell {
                    true => check(tensor(values), tensor(alone.values.clone()), 1e-4),
                    false => assert!(nothing(&values), "{} of cell {cell} is not 0 in cell {place}", map.method),
                }
            }
            let same = |a: Option<f32>, b: Option<f32>| a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-2);
            assert!(same(map.check.explained, alone.check.explained), "{}", map.method);
            assert!(same(map.check.absorbed_fraction, alone.check.absorbed_fraction), "{}", map.method);
        }
    }
}

#[test]
fn bcos_cells_are_complete_without_their_offset() {
    let mut draw = Draw::new("apart bcos", 0.0);
    let (backbone, head) = (draw.aligned(2.0), draw.aligned_head(7));
    let image = draw.pixels([1, 6, SIDE * GRID, SIDE * GRID]);
    for network in [backbone.clone(), apart(&backbone, GRID)] {
        let map = &explain(&network, &apart(&head, GRID), &image, &[logit_of(2, 3, GRID)], &[Method::Bcos])[0];
        assert!(map.check.absorbed_fraction.unwrap().abs() < 1e-3, "{:?}", map.check);
    }
}

/// A network whose maps are known without a network: one 3x3 convolution of ones over one channel, head w.
fn by_hand() -> (Network, Network) {
    let ones = Conv { weight: Tensor::ones([1, 1, 3, 3], &cpu()).into(), bias: None, stride: [1; 2], padding: [1; 2] };
    let weight = from_vec(vec![2.0, -3.0], [2, 1, 1, 1], &cpu());
    let head = Network::new(vec![Layer::Conv(Conv::pointwise(weight, None)), Layer::GlobalAvgPool]);
    (Network::new(vec![Layer::Conv(ones)]), head)
}

/// The gradient of `class` in `cell` by finite differences of the definition in f64.
fn by_differences(image: &[f64], class: usize, cell: usize, full: bool) -> Vec<f64> {
    const HALF: usize = 4;
    let side = GRID * HALF;
    let (top, left) = (cell / GRID * HALF, cell % GRID * HALF);
    let inside = |y: usize, x: usize| (top..top + HALF).contains(&y) && (left..left + HALF).contains(&x);
    let logit = |image: &[f64]| -> f64 {
        let mut sum = 0.0;
        for (y, x) in (top..top + HALF).flat_map(|y| (left..left + HALF).map(move |x| (y, x))) {
            for (v, u) in (y.saturating_sub(1)..=y + 1).flat_map(|v| (x.saturating_sub(1)..=x + 1).map(move |u| (v, u)))
            {
                // DiFull pads each cell with zeros, DiPart looks over the border.
                if v < side && u < side && (!full || inside(v, u)) {
                    sum += image[v * side + u];
                }
            }
        }
        [2.0, -3.0][class] * sum / (HALF * HALF) as f64
    };
    (0..image.len())
        .map(|at| {
            let mut moved = image.to_vec();
            moved[at] += 1e-3;
            let up = logit(&moved);
            moved[at] -= 2e-3;
            (up - logit(&moved)) / 2e-3
        })
        .collect()
}

#[test]
fn gradients_are_finite_differences_of_the_definition() {
    let (backbone, head) = by_hand();
    let image = Draw::new("by hand", 0.0).tensor([1, 1, 8, 8], 1.0);
    let wide: Vec<f64> = to_vec(image.clone()).into_iter().map(f64::from).collect();
    for (network, full) in [(backbone.clone(), false), (apart(&backbone, GRID), true)] {
        for (class, cell) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
            let target = logit_of(class, cell, GRID);
            let maps = explain(&network, &apart(&head, GRID), &image, &[target], &[Method::InputXGradient]);
            let gradient = by_differences(&wide, class, cell, full);
            let expected: Vec<f32> = gradient.iter().zip(&wide).map(|(g, x)| (g * x) as f32).collect();
            check(from_vec(maps[0].values.clone(), [64], &cpu()), from_vec(expected.clone(), [64], &cpu()), 1e-5);
            // What crosses the border in DiPart is the ring that the kernel sees; in DiFull nothing does.
            let outside = cells_of(&maps[0], 4).into_iter().enumerate().filter(|(place, _)| *place != cell);
            let crossed = outside.map(|(_, cell)| cell.iter().filter(|value| **value != 0.0).count()).sum::<usize>();
            assert_eq!(crossed, if full { 0 } else { 4 + 4 + 1 }, "cell {cell}");
        }
    }
}

/// Grad-CAM averages the cell's gradient over all cells and weighs the features of all of them: it marks cells that
/// the logit does not depend on, which is what these grids are for.
#[test]
fn grad_cam_marks_cells_without_influence() {
    let (backbone, head) = by_hand();
    let image = Draw::new("grad cam", 0.0).pixels([1, 1, 8, 8]);
    let network = apart(&backbone, GRID);
    let features = network.forward(image.clone());
    let methods = [Method::GradCam, Method::LayerCam, Method::HiResCam, Method::GradCamReference];
    let maps = explain(&network, &apart(&head, GRID), &image, &[logit_of(0, 1, GRID)], &methods);
    // METHOD: mean over 64 positions of a gradient of 2/16 at 16 of them, times the features.
    let expected = features.clone() * (2.0 / 64.0);
    for at in [0, 3] {
        check(from_vec(maps[at].values.clone(), [1, 1, 8, 8], &cpu()), expected.clone(), 1e-5);
    }
    for map in &maps[1..3] {
        let found = cells_of(map, 4);
        assert!(nothing(&found[0]) && !nothing(&found[1]) && nothing(&found[2]), "{}", map.method);
    }
}

#[test]
fn the_references_site_is_found_in_every_cell() {
    let mut draw = Draw::new("apart site", 1.0);
    let (backbone, head) = (draw.conventional(), draw.head(6));
    let image = draw.tensor([1, 3, SIDE * GRID, SIDE * GRID], 1.0);
    let methods = [Method::GradCamReference];
    let target = logit_of(2, 3, GRID);
    let map = explain(&apart(&backbone, GRID), &apart(&head, GRID), &image, &[target], &methods).remove(0);
    let alone = explain(&backbone, &head, &cells(&image, GRID)[3].clone(), &[2], &methods).remove(0);
    // The same weights but for the mean over four times as many positions; enlarging mixes the borders of cells.
    let (whole, alone) = (&cells_of(&map, SIDE)[3], alone.values);
    for at in (0..SIDE * SIDE).filter(|at| at / SIDE > 4 && at % SIDE > 4) {
        assert!((4.0 * whole[at] - alone[at]).abs() < 1e-4 * (1.0 + alone[at].abs()), "{} {}", whole[at], alone[at]);
    }
}

/// Masks lie over the whole grid, and only those over the cell change its logit.
#[test]
fn masks_elsewhere_change_nothing() {
    let mut draw = Draw::new("apart masks", 1.0);
    let (backbone, head) = (draw.conventional(), draw.head(6));
    let image = draw.tensor([1, 3, SIDE * GRID, SIDE * GRID], 1.0);
    let methods = [Method::Lime, Method::LimeSoftmax, Method::Rise, Method::KernelShap];
    let mut settings = settings();
    settings.kernel_shap.segmentation = Segmentation::Grid;
    settings.kernel_shap.segments = 16;
    settings.kernel_shap.samples = 1024;
    let of = |image: Tensor<4>, network: Network, head: Network, target: usize| {
        let bounds = (vec![-2.0; 3], vec![2.0; 3]);
        let head = Head { id: "head".into(), network: head, methods: methods.to_vec() };
        let explainer = Explainer::with_bounds(network, bounds, vec![head], settings.clone()).unwrap();
        explainer.explain(&image, &[target], "image").unwrap()
    };
    let target = logit_of(1, 3, GRID);
    let maps = of(image.clone(), apart(&backbone, GRID), apart(&head, GRID), target);
    // Other cells with other pictures: what is said of the cell stays.
    let mut pixels = cells(&image, GRID);
    for cell in &mut pixels[..3] {
        *cell = draw.tensor([1, 3, SIDE, SIDE], 1.0);
    }
    let other = of(features::network::together(pixels, GRID), apart(&backbone, GRID), apart(&head, GRID), target);
    for (map, other) in maps.iter().zip(&other) {
        assert_eq!(cells_of(map, SIDE)[3], cells_of(other, SIDE)[3], "{}", map.method);
        assert_eq!(map.logit, other.logit);
    }
    // Exact Shapley values of segments without influence are 0.
    let shap = maps.iter().find(|map| map.method == Method::KernelShap).unwrap();
    let of_cells = cells_of(shap, SIDE);
    let most = |values: &[f32]| values.iter().fold(0f32, |most, value| most.max(value.abs()));
    assert!(most(&of_cells[0]) < 0.05 * most(&of_cells[3]), "{} {}", most(&of_cells[0]), most(&of_cells[3]));
    // A probability is that of the cell's own logits.
    let logits = to_vec(head.forward(backbone.forward(cells(&image, GRID)[3].clone())));
    let whole = to_vec(apart(&head, GRID).forward(apart(&backbone, GRID).forward(image)));
    for (class, logit) in logits.iter().enumerate() {
        assert!((logit - whole[logit_of(class, 3, GRID)]).abs() < 1e-5);
    }
}

#[test]
fn a_pool_of_a_part_is_a_part_of_the_pool() {
    // The mean over the grid is the mean of the cells' means: GridPG's logit of a linear head is DiPart's, averaged.
    let mut draw = Draw::new("parts", 1.0);
    let backbone =
        Network::new(vec![draw.conv([3, 5], 3, 2), Layer::MaxPool(Pool { kernel: 3, stride: 1, padding: 1 })]);
    let head = Network::new(vec![draw.conv([5, 4], 1, 1), Layer::GlobalAvgPool]);
    let features = backbone.forward(draw.tensor([2, 3, 16, 16], 1.0));
    let parts = apart(&head, GRID).forward(features.clone());
    assert_eq!(parts.dims(), [2, 4, GRID, GRID]);
    check(parts.mean_dim(3).mean_dim(2), head.forward(features), 1e-5);
    let Layer::Apart(apart) = &apart(&head, GRID).layers[0] else { panic!("it is apart") };
    let Apart { grid, network } = apart.as_ref();
    assert_eq!((*grid, network.layers.len()), (GRID, 2));
}
