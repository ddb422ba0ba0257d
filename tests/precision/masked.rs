//! Methods that only look at logits of masked pictures.

use attribute::baseline::Baseline;
use attribute::explain::Settings;
use attribute::method::{
    Method, kernel_shap, kernel_shap::KernelShap, lime, lime::Lime, occlusion::Occlusion, rise, rise::Rise,
};
use attribute::segment::Segmentation;

use super::methods::{Bench, enlarged};
use super::{KEY, SEED, SIZE, TARGET, backbone, check, explain, head};

const AREA: usize = SIZE[0] * SIZE[1];

/// `baseline + mask (x - baseline)`, the mask being the same in every channel.
fn masked(x: &[f64], baseline: &[f64], mask: &[f64]) -> Vec<f64> {
    x.iter().zip(baseline).enumerate().map(|(at, (x, baseline))| baseline + mask[at % AREA] * (x - baseline)).collect()
}

fn found(bench: &Bench, method: Method, settings: &Settings) -> Vec<f32> {
    explain(&backbone(), &head(), &bench.image, method, settings)
}

/// `(A + ridge) b = y` by Gauss and Jordan's elimination.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| matrix[a][i].abs().total_cmp(&matrix[b][i].abs())).expect("a row");
        matrix.swap(i, pivot);
        right.swap(i, pivot);
        let (row, value, head) = (matrix[i].clone(), right[i], matrix[i][i]);
        for k in (0..n).filter(|&k| k != i) {
            let factor = matrix[k][i] / head;
            matrix[k].iter_mut().zip(&row).for_each(|(entry, other)| *entry -= factor * other);
            right[k] -= factor * value;
        }
    }
    (0..n).map(|i| right[i] / matrix[i][i]).collect()
}

/// Minimises `sum w (y - z b)² + sum alpha b²`, `alpha` for each column.
fn least_squares(z: &[Vec<f64>], y: &[f64], w: &[f64], alpha: &[f64]) -> Vec<f64> {
    let n = alpha.len();
    let sum = |of: &dyn Fn(usize) -> f64| (0..z.len()).map(|j| w[j] * of(j)).sum::<f64>();
    let entry = |a: usize, b: usize| sum(&|j| z[j][a] * z[j][b]) + if a == b { alpha[a] } else { 0.0 };
    let matrix = (0..n).map(|a| (0..n).map(|b| entry(a, b)).collect()).collect();
    solve(matrix, (0..n).map(|a| sum(&|j| z[j][a] * y[j])).collect())
}

#[test]
fn occlusion_is_the_mean_fall_over_the_windows_that_cover_a_pixel() {
    let bench = Bench::new();
    let logit = bench.logits(&bench.x)[TARGET];
    // Windows of 3 every 2 pixels, and at the far borders.
    let (tops, lefts) = ([0, 2, 4, 5], [0, 2, 4, 6, 7]);
    let (mut sums, mut counts) = (vec![0.0; AREA], vec![0.0; AREA]);
    for (top, left) in tops.iter().flat_map(|top| lefts.iter().map(move |left| (*top, *left))) {
        let inside = |p: usize| (top..top + 3).contains(&(p / SIZE[1])) && (left..left + 3).contains(&(p % SIZE[1]));
        let mask: Vec<f64> = (0..AREA).map(|p| if inside(p) { 0.0 } else { 1.0 }).collect();
        let fall = logit - bench.logits(&masked(&bench.x, &vec![0.0; 3 * AREA], &mask))[TARGET];
        for p in (0..AREA).filter(|&p| inside(p)) {
            sums[p] += fall;
            counts[p] += 1.0;
        }
    }
    let expected: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let occlusion = Occlusion { window: 3, stride: 2, baseline: Baseline::Zero };
    check("occlusion", &found(&bench, Method::Occlusion, &Settings { occlusion, ..Settings::default() }), &expected);
}

#[test]
fn rise_is_the_masks_weighed_by_their_logits() {
    let bench = Bench::new();
    let settings = Rise { masks: 30, cells: 3, probability: 0.4, baseline: Baseline::Zero };
    let mut expected = vec![0.0; AREA];
    for number in 0..30 {
        let mask: Vec<f64> = rise::mask(&settings, SIZE, SEED, KEY, number).into_iter().map(f64::from).collect();
        let logit = bench.logits(&masked(&bench.x, &vec![0.0; 3 * AREA], &mask))[TARGET];
        expected.iter_mut().zip(&mask).for_each(|(sum, mask)| *sum += logit * mask / (30.0 * 0.4));
    }
    check("rise", &found(&bench, Method::Rise, &Settings { rise: settings, ..Settings::default() }), &expected);
}

#[test]
fn score_cam_weighs_channels_by_what_they_show() {
    let bench = Bench::new();
    let (features, [_, rows, columns]) = bench.features();
    let nothing = bench.logits(&vec![0.0; 3 * AREA])[TARGET];
    let rise = |plane: &[f64]| {
        let wide = enlarged(plane, [rows, columns]);
        let (low, high) =
            wide.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        let mask: Vec<f64> = wide.iter().map(|v| if high > low { (v - low) / (high - low) } else { 0.0 }).collect();
        bench.logits(&masked(&bench.x, &vec![0.0; 3 * AREA], &mask))[TARGET] - nothing
    };
    let powers: Vec<f64> = features.chunks(rows * columns).map(|plane| rise(plane).exp()).collect();
    let total: f64 = powers.iter().sum();
    let mut coarse = vec![0.0; rows * columns];
    for (plane, power) in features.chunks(rows * columns).zip(&powers) {
        coarse.iter_mut().zip(plane).for_each(|(sum, a)| *sum += power / total * a);
    }
    check("score_cam", &found(&bench, Method::ScoreCam, &Settings::default()), &enlarged(&coarse, [rows, columns]));
}

/// Two rows of three cells, and the picture with each cell in its mean colour.
fn cells(bench: &Bench) -> (Vec<usize>, Vec<f64>) {
    let labels: Vec<usize> = (0..AREA).map(|p| p / SIZE[1] * 2 / SIZE[0] * 3 + p % SIZE[1] * 3 / SIZE[1]).collect();
    let mean = |plane: &[f64], label: usize| {
        let own: Vec<f64> = plane.iter().zip(&labels).filter(|(_, l)| **l == label).map(|(v, _)| *v).collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    let means =
        bench.x.chunks(AREA).flat_map(|plane| labels.iter().map(|&label| mean(plane, label)).collect::<Vec<_>>());
    (labels.clone(), means.collect())
}

#[test]
fn lime_is_a_weighted_ridge_regression_on_the_segments() {
    let bench = Bench::new();
    let (labels, means) = cells(&bench);
    let samples: Vec<Vec<f64>> = (0..40).map(|number| lime::sample(6, SEED, KEY, number)).collect();
    let logits: Vec<Vec<f64>> = samples
        .iter()
        .map(|kept| bench.logits(&masked(&bench.x, &means, &labels.iter().map(|&l| kept[l]).collect::<Vec<_>>())))
        .collect();
    let weights: Vec<f64> = samples
        .iter()
        .map(|kept| {
            // The cosine between what is kept and everything.
            let distance = 1.0 - (kept.iter().sum::<f64>() / 6.0).sqrt();
            (-(distance * distance) / (0.25 * 0.25)).exp().sqrt()
        })
        .collect();
    // The intercept is a column of ones without a penalty.
    let rows: Vec<Vec<f64>> = samples.iter().map(|kept| kept.iter().copied().chain([1.0]).collect()).collect();
    let softmax = |logits: &Vec<f64>| logits[TARGET].exp() / logits.iter().map(|l| l.exp()).sum::<f64>();
    let sigmoid = |logits: &Vec<f64>| 1.0 / (1.0 + (-logits[TARGET]).exp());
    let lime = Lime { samples: 40, segments: 6, segmentation: Segmentation::Grid };
    let settings = Settings { lime, ..Settings::default() };
    for (method, answer) in [
        (Method::Lime, &(|logits: &Vec<f64>| logits[TARGET]) as &dyn Fn(&Vec<f64>) -> f64),
        (Method::LimeSoftmax, &softmax),
        (Method::LimeSigmoid, &sigmoid),
    ] {
        let answers: Vec<f64> = logits.iter().map(answer).collect();
        let fitted = least_squares(&rows, &answers, &weights, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        let expected: Vec<f64> = labels.iter().map(|&label| fitted[label]).collect();
        check(method.name(), &found(&bench, method, &settings), &expected);
    }
}

#[test]
fn kernel_shap_is_the_regression_under_its_condition() {
    let bench = Bench::new();
    let (labels, means) = cells(&bench);
    let samples: Vec<Vec<f64>> = (1..=24).map(|number| kernel_shap::sample(6, SEED, KEY, number)).collect();
    let of = |kept: &[f64]| {
        bench.logits(&masked(&bench.x, &means, &labels.iter().map(|&l| kept[l]).collect::<Vec<_>>()))[TARGET]
    };
    let (none, whole) = (of(&[0.0; 6]), bench.logits(&bench.x)[TARGET]);
    // The condition as a row that outweighs all others.
    let heavy = 1e9;
    let rows: Vec<Vec<f64>> = samples.iter().cloned().chain([vec![1.0; 6]]).collect();
    let answers: Vec<f64> = samples.iter().map(|kept| of(kept) - none).chain([whole - none]).collect();
    let weights: Vec<f64> = samples.iter().map(|_| 1.0).chain([heavy]).collect();
    let fitted = least_squares(&rows, &answers, &weights, &[0.0; 6]);
    // A segment's pixels share its value.
    let area = |label: usize| labels.iter().filter(|&&other| other == label).count() as f64;
    let expected: Vec<f64> = labels.iter().map(|&label| fitted[label] / area(label)).collect();

    let kernel_shap = KernelShap { samples: 24, segments: 6, segmentation: Segmentation::Grid };
    let settings = Settings { kernel_shap, ..Settings::default() };
    check("kernel_shap", &found(&bench, Method::KernelShap, &settings), &expected);
}
