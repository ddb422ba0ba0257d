//! Curves of networks whose answers are known by hand, or from a slow f64 copy of the definition.

use features::network::{Conv, Layer, Network, Pool};
use features::stage::Batches;
use features::tensor::{Tensor, cpu, from_vec};

use super::confidence::Confidence;
use super::curve::Curve;
use super::engine::{Asked, Logits, Picture, logits};
use super::ranking::{Cut, First, Ranking, random, ties};
use super::unit::Pieces;
use crate::fixtures::{assert_close, random_map};

const ROWS: usize = 6;
const COLUMNS: usize = 5;
const AREA: usize = ROWS * COLUMNS;
const CHANNELS: usize = 2;
const CLASSES: usize = 3;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    from_vec(values.to_vec(), shape, &cpu())
}

fn values(seed: u64, count: usize) -> Vec<f32> {
    random_map(seed, count)
}

/// One weight a class, channel and pixel: the logit is a sum of contributions of pixels.
fn linear() -> (Vec<f32>, Network) {
    let weights = values(1, CLASSES * CHANNELS * AREA);
    let weight = tensor(&weights, [CLASSES, CHANNELS, ROWS, COLUMNS]);
    (
        weights,
        Network::new(vec![Layer::Conv(Conv { weight: weight.into(), bias: None, stride: [1, 1], padding: [0, 0] })]),
    )
}

fn pixels() -> Pieces {
    Pieces { labels: (0..AREA).collect(), count: AREA }
}

fn ranking(map: &[f32]) -> Ranking {
    Ranking::of(map, &pixels(), &ties(AREA, 0, "test")).unwrap()
}

struct Setting {
    backbone: Network,
    image: Vec<f32>,
    baseline: Vec<f32>,
}

impl Setting {
    fn ask(&self, chunk: usize, asked: &[Asked]) -> Logits {
        let shape = [1, CHANNELS, ROWS, COLUMNS];
        let (image, baseline) = (tensor(&self.image, shape), tensor(&self.baseline, shape));
        logits(&Picture { backbone: &self.backbone, image, baseline, chunk: &Batches::new(cpu(), chunk) }, asked)
            .unwrap()
    }

    fn curve(&self, head: &Network, map: &[f32], first: First, scale: Confidence, target: usize) -> Curve {
        let ranking = ranking(map);
        let cuts = ranking.steps(first, AREA);
        let found = self.ask(7, &[Asked { heads: vec![head], ranking: &ranking, cuts: cuts.clone() }]);
        let points = cuts.iter().zip(&found[0][0]).map(|(cut, logits)| (ranking.share(*cut), scale.of(logits, target)));
        Curve::new(points.collect())
    }
}

/// Contributions of each pixel to a logit of the linear network, over a baseline.
fn contributions(weights: &[f32], image: &[f32], baseline: &[f32], target: usize) -> Vec<f64> {
    let of = |pixel: usize| {
        let channel = |channel: usize| {
            let at = channel * AREA + pixel;
            f64::from(weights[target * CHANNELS * AREA + at]) * (f64::from(image[at]) - f64::from(baseline[at]))
        };
        (0..CHANNELS).map(channel).sum()
    };
    (0..AREA).map(of).collect()
}

#[test]
fn the_curve_of_a_linear_network_is_the_sum_of_what_is_left() {
    let (weights, head) = linear();
    let (image, baseline) = (values(2, CHANNELS * AREA), values(3, CHANNELS * AREA));
    let setting = Setting { backbone: Network::default(), image, baseline };
    let target = 1;
    let parts = contributions(&weights, &setting.image, &setting.baseline, target);
    let map: Vec<f32> = parts.iter().map(|part| *part as f32).collect();
    let empty: f64 = (0..CHANNELS * AREA)
        .map(|at| f64::from(weights[target * CHANNELS * AREA + at]) * f64::from(setting.baseline[at]))
        .sum();
    for (first, descending) in [(First::Most, true), (First::Least, false)] {
        let mut order = parts.clone();
        order.sort_by(|a, b| if descending { b.total_cmp(a) } else { a.total_cmp(b) });
        let all: f64 = parts.iter().sum();
        let left = |removed: usize| empty + all - order[..removed].iter().sum::<f64>();
        let expected: Vec<f64> = (0..=AREA).map(left).collect();
        let curve = setting.curve(&head, &map, first, Confidence::Logit, target);
        let found: Vec<f64> = curve.points().iter().map(|point| point.1).collect();
        assert_close(&found, &expected, 1e-4);
        let area = (0..AREA).map(|at| (expected[at] + expected[at + 1]) / 2.0 / AREA as f64).sum();
        assert_close(&[curve.area()], &[area], 1e-4);
    }
}

#[test]
fn the_true_order_beats_chance_and_chance_the_reverse() {
    let (weights, head) = linear();
    let (image, baseline) = (values(2, CHANNELS * AREA), vec![0.0; CHANNELS * AREA]);
    let setting = Setting { backbone: Network::default(), image, baseline };
    let parts = contributions(&weights, &setting.image, &setting.baseline, 0);
    let oracle: Vec<f32> = parts.iter().map(|part| *part as f32).collect();
    let reverse: Vec<f32> = oracle.iter().map(|value| -value).collect();
    for scale in Confidence::ALL {
        let area = |map: &[f32], first| setting.curve(&head, map, first, scale, 0).area();
        for seed in 10..20 {
            let random = values(seed, AREA);
            let [best, middle, worst] = [&oracle, &random, &reverse].map(|map| area(map, First::Least));
            assert!(best > middle && middle > worst, "{scale}: {best} {middle} {worst}");
            let [best, middle, worst] = [&oracle, &random, &reverse].map(|map| area(map, First::Most));
            assert!(best < middle && middle < worst, "{scale}: {best} {middle} {worst}");
        }
        // Removing the least first is removing the most first by the reversed map, ties apart.
        assert!((area(&oracle, First::Least) - area(&reverse, First::Most)).abs() < 0.05);
    }
}

/// A small network with a nonlinear trunk: 3x3 convolution, ReLU, pooling; the head pools last.
fn nonlinear() -> (Vec<f32>, Vec<f32>, Network, Network) {
    let (filters, classes) = (values(4, 4 * CHANNELS * 9), values(5, CLASSES * 4));
    let weight = tensor(&filters, [4, CHANNELS, 3, 3]);
    let trunk = Network::new(vec![
        Layer::Conv(Conv { weight: weight.into(), bias: None, stride: [1, 1], padding: [1, 1] }),
        Layer::Relu,
        Layer::AvgPool(Pool { kernel: 1, stride: 1, padding: 0 }),
    ]);
    let weight = tensor(&classes, [CLASSES, 4, 1, 1]);
    let head = Network::new(vec![Layer::Conv(Conv::pointwise(weight, None)), Layer::GlobalAvgPool]);
    (filters, classes, trunk, head)
}

/// The same in f64, loop by loop.
fn slow(filters: &[f32], classes: &[f32], image: &[f32]) -> Vec<f64> {
    let mut features = [0.0f64; 4];
    for (out, feature) in features.iter_mut().enumerate() {
        for (y, x) in (0..ROWS).flat_map(|y| (0..COLUMNS).map(move |x| (y, x))) {
            let mut sum = 0.0;
            for (channel, dy, dx) in (0..CHANNELS).flat_map(|c| (0..9).map(move |k| (c, k / 3, k % 3))) {
                let (row, column) = ((y + dy).wrapping_sub(1), (x + dx).wrapping_sub(1));
                if row < ROWS && column < COLUMNS {
                    let weight = filters[((out * CHANNELS + channel) * 3 + dy) * 3 + dx];
                    sum += f64::from(weight) * f64::from(image[channel * AREA + row * COLUMNS + column]);
                }
            }
            *feature += sum.max(0.0) / AREA as f64;
        }
    }
    classes.chunks_exact(4).map(|row| row.iter().zip(features).map(|(w, f)| f64::from(*w) * f).sum()).collect()
}

#[test]
fn curves_are_those_of_the_definition() {
    let (filters, classes, backbone, head) = nonlinear();
    let setting = Setting { backbone, image: values(6, CHANNELS * AREA), baseline: values(7, CHANNELS * AREA) };
    let map = values(8, AREA);
    let order = ties(AREA, 0, "test");
    for first in [First::Least, First::Most] {
        // The definition: one pixel after the other, in the order of the map.
        let mut pixels: Vec<usize> = (0..AREA).collect();
        pixels.sort_by(|&a, &b| map[b].partial_cmp(&map[a]).unwrap().then(order[a].cmp(&order[b])));
        if first == First::Least {
            pixels.reverse();
        }
        let mut image = setting.image.clone();
        let mut expected = vec![slow(&filters, &classes, &image)];
        for pixel in pixels {
            (0..CHANNELS).for_each(|channel| image[channel * AREA + pixel] = setting.baseline[channel * AREA + pixel]);
            expected.push(slow(&filters, &classes, &image));
        }
        for target in 0..CLASSES {
            let softmax = |logits: &Vec<f64>| logits[target].exp() / logits.iter().map(|l| l.exp()).sum::<f64>();
            let sigmoid = |logits: &Vec<f64>| 1.0 / (1.0 + (-logits[target]).exp());
            let [softmax, sigmoid]: [Vec<f64>; 2] =
                [expected.iter().map(softmax).collect(), expected.iter().map(sigmoid).collect()];
            for (scale, expected) in [(Confidence::Softmax, softmax), (Confidence::Sigmoid, sigmoid)] {
                let curve = setting.curve(&head, &map, first, scale, target);
                let found: Vec<f64> = curve.points().iter().map(|point| point.1).collect();
                assert_close(&found, &expected, 1e-6);
                let relative = curve.relative().unwrap();
                let area: f64 = (0..AREA).map(|at| (expected[at] + expected[at + 1]) / expected[0]).sum();
                assert_close(&[relative.area()], &[area / 2.0 / AREA as f64], 1e-5);
            }
        }
    }
}

#[test]
fn ends_are_the_picture_and_the_baseline_whatever_the_map() {
    let (filters, classes, backbone, head) = nonlinear();
    let setting = Setting { backbone, image: values(6, CHANNELS * AREA), baseline: values(7, CHANNELS * AREA) };
    let ends = [&setting.image, &setting.baseline].map(|image| slow(&filters, &classes, image)[2]);
    for (seed, first) in [(1, First::Least), (2, First::Most), (3, First::Least)] {
        let curve = setting.curve(&head, &values(seed, AREA), first, Confidence::Logit, 2);
        let (start, end) = (curve.points()[0], curve.points()[AREA]);
        assert_eq!((start.0, end.0), (0.0, 1.0));
        assert_close(&[start.1, end.1], &ends, 1e-6);
    }
}

#[test]
fn batches_and_company_change_no_bit() {
    let (_, _, backbone, head) = nonlinear();
    let other = Network::new(vec![Layer::Offset(1.0), head.layers[0].clone(), Layer::GlobalAvgPool]);
    let setting = Setting { backbone, image: values(6, CHANNELS * AREA), baseline: values(7, CHANNELS * AREA) };
    let rankings: Vec<Ranking> = (20..24).map(|seed| ranking(&values(seed, AREA))).collect();
    let asked = |at: usize| {
        let cuts = rankings[at].steps(if at < 2 { First::Least } else { First::Most }, 9);
        Asked { heads: vec![if at.is_multiple_of(2) { &head } else { &other }], ranking: &rankings[at], cuts }
    };
    let together = setting.ask(5, &[0, 1, 2, 3].map(asked));
    for chunk in [1, 3, 64] {
        assert_eq!(setting.ask(chunk, &[0, 1, 2, 3].map(asked)), together);
    }
    let mut backwards = setting.ask(5, &[3, 2, 1, 0].map(asked));
    backwards.reverse();
    assert_eq!(backwards, together);
    for (at, expected) in together.iter().enumerate() {
        assert_eq!(setting.ask(5, &[asked(at)])[0], *expected);
    }
}

#[test]
fn heads_of_one_order_share_its_passes() {
    let (_, _, backbone, head) = nonlinear();
    let other = Network::new(vec![Layer::Offset(1.0), head.layers[0].clone(), Layer::GlobalAvgPool]);
    let setting = Setting { backbone, image: values(6, CHANNELS * AREA), baseline: values(7, CHANNELS * AREA) };
    let order = Ranking::in_order(&pixels(), &random(AREA, 0, "test", 0));
    let cuts = order.steps(First::Least, 6);
    let ask = |heads: Vec<&Network>| setting.ask(4, &[Asked { heads, ranking: &order, cuts: cuts.clone() }]).remove(0);
    let both = ask(vec![&head, &other]);
    assert_eq!(both, [ask(vec![&head]).remove(0), ask(vec![&other]).remove(0)]);
    assert_ne!(both[0], both[1]);
}

/// The area of a random order is, on average, that of the mean of what remains: for a linear network and logits a
/// straight line from the picture to the baseline.
#[test]
fn random_orders_are_at_the_level_of_chance() {
    let (weights, head) = linear();
    let (image, baseline) = (values(2, CHANNELS * AREA), vec![0.0; CHANNELS * AREA]);
    let setting = Setting { backbone: Network::default(), image, baseline };
    let whole: f64 = contributions(&weights, &setting.image, &setting.baseline, 0).iter().sum();
    let area = |draw: usize| {
        let order = Ranking::in_order(&pixels(), &random(AREA, 0, "test", draw));
        let cuts = order.steps(First::Least, AREA);
        let found = setting.ask(16, &[Asked { heads: vec![&head], ranking: &order, cuts: cuts.clone() }]);
        let points = cuts.iter().zip(&found[0][0]).map(|(cut, logits)| (order.share(*cut), f64::from(logits[0])));
        Curve::new(points.collect()).area()
    };
    let areas: Vec<f64> = (0..400).map(area).collect();
    let mean = areas.iter().sum::<f64>() / 400.0;
    let deviation = (areas.iter().map(|area| (area - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
    // Half of the whole logit, within four standard errors.
    assert!((mean - whole / 2.0).abs() < 4.0 * deviation / 20.0, "{mean} of {whole}, deviation {deviation}");
}

#[test]
fn what_the_best_pixels_keep_is_a_point_of_the_curve() {
    let (_, _, backbone, head) = nonlinear();
    let setting = Setting { backbone, image: values(6, CHANNELS * AREA), baseline: values(7, CHANNELS * AREA) };
    let map = values(8, AREA);
    let ranking = ranking(&map);
    let kept = ranking.keep(20);
    assert_eq!(kept, Cut { first: First::Least, units: 24 });
    let found = setting.ask(4, &[Asked { heads: vec![&head], ranking: &ranking, cuts: vec![kept] }]);
    let curve = setting.curve(&head, &map, First::Least, Confidence::Sigmoid, 0);
    assert_eq!(curve.points()[24], (0.8, Confidence::Sigmoid.of(&found[0][0][0], 0)));
}

/// Uniform, empty and negative maps know nothing and fall back on one order; a single pixel goes where it must; the oracle
/// is the best of all orders, and what is not a number has none.
#[test]
fn curves_of_hand_made_maps() {
    let (weights, head) = linear();
    let (image, baseline) = (values(2, CHANNELS * AREA), vec![0.0; CHANNELS * AREA]);
    let setting = Setting { backbone: Network::default(), image, baseline };
    let parts = contributions(&weights, &setting.image, &setting.baseline, 0);
    let area = |map: &[f32], first| setting.curve(&head, map, first, Confidence::Logit, 0).area();
    let flat = area(&[0.7; AREA], First::Least);
    assert_eq!([0.0, -3.0, -0.0].map(|value| area(&[value; AREA], First::Least)), [flat; 3]);
    let best: Vec<f32> = parts.iter().map(|part| *part as f32).collect();
    let orders = (0..AREA).map(|pixel| (0..AREA).map(|at| f32::from(u8::from(at == pixel))).collect::<Vec<f32>>());
    for (pixel, map) in orders.enumerate() {
        let curve = setting.curve(&head, &map, First::Most, Confidence::Logit, 0);
        let fall = curve.points()[0].1 - curve.points()[1].1;
        assert_close(&[fall], &[parts[pixel]], 1e-4);
        assert!(area(&best, First::Least) >= area(&map, First::Least));
    }
    let broken = Ranking::of(&[f32::NAN; AREA], &pixels(), &ties(AREA, 0, "test"));
    assert_eq!(broken.err(), Some(crate::map::Undefined::NotFinite));
}
