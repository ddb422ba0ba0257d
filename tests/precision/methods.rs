//! Methods that pull back through the network, and class activation maps.

use attribute::baseline::Baseline;
use attribute::explain::Settings;
use attribute::method::{Method, integrated_gradients::Quadrature, smooth_grad, smooth_grad::SmoothGrad};
use features::tensor::Tensor;

use super::slow::{Guide, Shape, Slow, wide};
use super::{CLASSES, KEY, SEED, SIZE, TARGET, backbone, check, draw, explain, head};

/// The two parts of the network as matrices, and a picture.
pub struct Bench {
    pub image: Tensor<4>,
    pub x: Vec<f64>,
    trunk: Slow,
    head: Slow,
}

impl Bench {
    pub fn new() -> Self {
        let image = draw("image", [1, 3, SIZE[0], SIZE[1]], 1.0);
        let trunk = Slow::of(&backbone(), [3, SIZE[0], SIZE[1]]);
        let head = Slow::of(&head(), trunk.shape);
        Self { x: wide(&image), image, trunk, head }
    }

    pub fn features(&self) -> (Vec<f64>, Shape) {
        (self.trunk.forward(&self.x), self.trunk.shape)
    }

    pub fn logits(&self, x: &[f64]) -> Vec<f64> {
        self.head.forward(&self.trunk.forward(x))
    }

    pub fn logits_of(&self, features: &[f64]) -> Vec<f64> {
        self.head.forward(features)
    }

    /// d logit / d features.
    fn at_features(&self, features: &[f64], guide: Guide) -> Vec<f64> {
        let given: Vec<f64> = (0..CLASSES).map(|class| f64::from(u8::from(class == TARGET))).collect();
        self.head.back(features, &given, guide)
    }

    /// d logit / d x.
    fn gradient(&self, x: &[f64], guide: Guide) -> Vec<f64> {
        self.trunk.back(x, &self.at_features(&self.trunk.forward(x), guide), guide)
    }
}

/// The sum over channels.
pub fn over_channels(values: &[f64]) -> Vec<f64> {
    let area = SIZE[0] * SIZE[1];
    (0..area).map(|p| values.iter().skip(p).step_by(area).sum()).collect()
}

fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// Bilinear with half-pixel centres, as torch without aligned corners.
pub fn enlarged(values: &[f64], [from_rows, from_columns]: [usize; 2]) -> Vec<f64> {
    let place = |i: usize, from: usize, to: usize| {
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        (at.floor() as usize, (at.floor() as usize + 1).min(from - 1), at.fract())
    };
    let mut made = Vec::new();
    for i in 0..SIZE[0] {
        for j in 0..SIZE[1] {
            let (top, bottom, down) = place(i, from_rows, SIZE[0]);
            let (left, right, across) = place(j, from_columns, SIZE[1]);
            let row =
                |y: usize| values[y * from_columns + left] * (1.0 - across) + values[y * from_columns + right] * across;
            made.push(row(top) * (1.0 - down) + row(bottom) * down);
        }
    }
    made
}

fn found(bench: &Bench, method: Method, settings: &Settings) -> Vec<f32> {
    explain(&backbone(), &head(), &bench.image, method, settings)
}

#[test]
fn gradients_and_what_guides_them() {
    let bench = Bench::new();
    let settings = Settings::default();
    let gradient = |guide| bench.gradient(&bench.x, guide);
    for (method, expected) in [
        (Method::Gradient, gradient(Guide::No)),
        (Method::InputXGradient, times(&bench.x, &gradient(Guide::No))),
        (Method::GuidedBackprop, gradient(Guide::Guided)),
        (Method::GuidedBackpropTimesInput, times(&bench.x, &gradient(Guide::Guided))),
        (Method::Deconvnet, gradient(Guide::Deconvnet)),
    ] {
        check(method.name(), &found(&bench, method, &settings), &over_channels(&expected));
    }
}

#[test]
fn averages_over_inputs() {
    let bench = Bench::new();
    let area = SIZE[0] * SIZE[1];
    let mean = |plane: &[f64]| plane.iter().sum::<f64>() / area as f64;
    let means: Vec<f64> = bench.x.chunks(area).flat_map(|plane| vec![mean(plane); area]).collect();
    // The sample bounds are -3 and 3 in every channel.
    let baselines =
        [(Baseline::Zero, vec![0.0; 3 * area]), (Baseline::Mean, means), (Baseline::Black, vec![-3.0; 3 * area])];
    // Gauss and Legendre's three points are in every book of tables.
    let outer = 0.6f64.sqrt() / 2.0;
    let three = [(0.5 - outer, 5.0 / 18.0), (0.5, 8.0 / 18.0), (0.5 + outer, 5.0 / 18.0)];
    let middle = [(1.0 / 6.0, 1.0 / 3.0), (0.5, 1.0 / 3.0), (5.0 / 6.0, 1.0 / 3.0)];
    for (baseline, start) in &baselines {
        for (quadrature, points) in [(Quadrature::GaussLegendre, three), (Quadrature::Midpoint, middle)] {
            let path: Vec<f64> = bench.x.iter().zip(start).map(|(x, start)| x - start).collect();
            let mut integral = vec![0.0; bench.x.len()];
            for (at, weight) in points {
                let x: Vec<f64> = start.iter().zip(&path).map(|(start, path)| start + at * path).collect();
                let gradient = bench.gradient(&x, Guide::No);
                integral.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * g);
            }
            let settings = Settings { steps: 3, quadrature, baseline: *baseline, ..Settings::default() };
            let expected = over_channels(&times(&path, &integral));
            let name = format!("integrated_gradients from {} by {quadrature:?}", baseline.name());
            check(&name, &found(&bench, Method::IntegratedGradients, &settings), &expected);
        }
    }
    let smooth_grad = SmoothGrad { samples: 7, noise: 0.2 };
    let mut mean = vec![0.0; bench.x.len()];
    let deviation = smooth_grad::deviation(&bench.image, smooth_grad.noise);
    for sample in 0..7 {
        let noisy = wide(&smooth_grad::noisy(&bench.image, deviation, SEED, KEY, sample));
        let gradient = bench.gradient(&noisy, Guide::No);
        mean.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g / 7.0);
    }
    let settings = Settings { smooth_grad, ..Settings::default() };
    check("smooth_grad", &found(&bench, Method::SmoothGrad, &settings), &over_channels(&mean));
}

#[test]
fn class_activation_maps() {
    let bench = Bench::new();
    let (features, [channels, rows, columns]) = bench.features();
    let gradients = bench.at_features(&features, Guide::No);
    let area = rows * columns;
    let planes = || features.chunks(area).zip(gradients.chunks(area));
    // The weight of each channel; LayerCAM and HiResCAM have one for each position.
    let weighted = |weight: &dyn Fn(&[f64], &[f64]) -> f64| -> Vec<f64> {
        let mut map = vec![0.0; area];
        for (a, g) in planes() {
            let weight = weight(a, g);
            map.iter_mut().zip(a).for_each(|(sum, a)| *sum += weight * a);
        }
        map
    };
    let at_positions = |weight: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let mut map = vec![0.0; area];
        for (a, g) in planes() {
            map.iter_mut().zip(a.iter().zip(g)).for_each(|(sum, (a, g))| *sum += weight(*g) * a);
        }
        map
    };
    let mean = |g: &[f64]| g.iter().sum::<f64>() / area as f64;
    let grad_cam = weighted(&|_, g| mean(g));
    let plus_plus = weighted(&|a, g| {
        let sum: f64 = a.iter().sum();
        g.iter().map(|&g| if g == 0.0 { 0.0 } else { g * g / (2.0 * g * g + sum * g.powi(3)) * g.max(0.0) }).sum()
    });
    let xgrad = weighted(&|a, g| {
        let sum: f64 = a.iter().sum();
        if sum == 0.0 { 0.0 } else { a.iter().zip(g).map(|(a, g)| a * g).sum::<f64>() / sum }
    });
    let logit = bench.logits_of(&features)[TARGET];
    let ablated: Vec<f64> = (0..channels)
        .map(|k| {
            let mut without = features.clone();
            without[k * area..(k + 1) * area].fill(0.0);
            logit - bench.logits_of(&without)[TARGET]
        })
        .collect();
    let mut ablation = vec![0.0; area];
    for (plane, fall) in features.chunks(area).zip(&ablated) {
        ablation.iter_mut().zip(plane).for_each(|(sum, a)| *sum += fall * a);
    }
    let settings = Settings::default();
    for (method, coarse) in [
        (Method::GradCam, &grad_cam),
        (Method::GradCamPlusPlus, &plus_plus),
        (Method::LayerCam, &at_positions(&|g| g.max(0.0))),
        (Method::XGradCam, &xgrad),
        (Method::HiResCam, &at_positions(&|g| g)),
        (Method::AblationCam, &ablation),
    ] {
        check(method.name(), &found(&bench, method, &settings), &enlarged(coarse, [rows, columns]));
    }
    let guided = over_channels(&bench.gradient(&bench.x, Guide::Guided));
    let clipped: Vec<f64> = enlarged(&grad_cam, [rows, columns]).iter().map(|v| v.max(0.0)).collect();
    let expected = times(&guided, &clipped);
    check("guided_grad_cam", &found(&bench, Method::GuidedGradCam, &settings), &expected);
}
