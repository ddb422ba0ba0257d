//! The losses of a whole batch on the CPU: classes as rows and images as columns, values and gradients in few walks.
//!
//! In this layout every sum over classes is one over rows, so neighbouring images are neighbouring lanes of a vector.

use super::row::{sigmoid, softplus};
use super::{FOCAL_ALPHA, Loss, Objective};

/// Lanes that are summed side by side, in a fixed order.
const LANES: usize = 8;
/// Classes summed in single precision before they enter the double-precision sum.
const ROWS: usize = 64;
/// Factors between 1 and 2 whose product stays far inside double precision.
const FACTORS: usize = 512;

impl Objective {
    /// The loss of logits `[classes, images]` whose images have these labels, as a mean over `rows` images, of which these
    /// may be a part; the logits are replaced by its gradient.
    // METHOD: the formulas of `Objective::value` and `Objective::gradient`.
    pub fn columns(self, logits: &mut [f32], labels: &[&[usize]], rows: usize) -> f64 {
        let classes = logits.len() / labels.len();
        let share = 1.0 / f64::from(self.loss.count(rows, classes));
        let sum = match self.loss {
            Loss::Ce => softmax(logits, labels, self.smoothing, share),
            Loss::Focal | Loss::FocalSum => focal(logits, labels, share),
            _ => sigmoids(logits, labels, self.loss.off_target(classes), share),
        };
        sum * share
    }
}

fn softmax(logits: &mut [f32], labels: &[&[usize]], smoothing: f64, share: f64) -> f64 {
    let images = labels.len();
    let classes = logits.len() / images;
    let mut largest = vec![f32::NEG_INFINITY; images];
    let mut all = vec![0f64; images];
    for row in logits.chunks_exact(images) {
        largest.iter_mut().zip(row).for_each(|(most, z)| *most = if *z > *most { *z } else { *most });
        if smoothing > 0.0 {
            all.iter_mut().zip(row).for_each(|(sum, z)| *sum += f64::from(*z));
        }
    }
    let mut value = 0.0;
    for (image, labels) in labels.iter().enumerate().filter(|(_, labels)| !labels.is_empty()) {
        let own: f64 = labels.iter().map(|label| f64::from(logits[label * images + image])).sum();
        value -= (1.0 - smoothing) * own / labels.len() as f64 + smoothing * all[image] / classes as f64;
    }
    let (mut sums, mut part) = (vec![0f64; images], vec![0f32; images]);
    for block in logits.chunks_mut(ROWS * images) {
        part.fill(0.0);
        for row in block.chunks_exact_mut(images) {
            for ((z, most), sum) in row.iter_mut().zip(&largest).zip(&mut part) {
                *z = exp(*z - most);
                *sum += *z;
            }
        }
        sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += f64::from(*part));
    }
    // An image without a label has no loss and no gradient.
    let labelled = |image: usize| if labels[image].is_empty() { 0.0 } else { share };
    let mut factors = Vec::with_capacity(images);
    for image in 0..images {
        if !labels[image].is_empty() {
            value += f64::from(largest[image]) + sums[image].ln();
        }
        factors.push((labelled(image) / sums[image]) as f32);
    }
    let spread: Vec<f32> = (0..images).map(|image| (labelled(image) * smoothing / classes as f64) as f32).collect();
    for row in logits.chunks_exact_mut(images) {
        row.iter_mut().zip(&factors).zip(&spread).for_each(|((g, factor), spread)| *g = *g * factor - spread);
    }
    for (image, labels) in labels.iter().enumerate() {
        for label in *labels {
            logits[label * images + image] -= ((1.0 - smoothing) * share / labels.len() as f64) as f32;
        }
    }
    value
}

fn sigmoids(logits: &mut [f32], labels: &[&[usize]], off: f64, share: f64) -> f64 {
    let images = labels.len();
    let mut value = 0.0;
    for (image, labels) in labels.iter().enumerate() {
        value -= labels.iter().map(|label| (1.0 - off) * f64::from(logits[label * images + image])).sum::<f64>();
    }
    let (off_single, factor) = (off as f32, share as f32);
    // The sum of ln(1 + e) is the logarithm of a product, which costs a multiplication each.
    for piece in logits.chunks_mut(FACTORS) {
        let (mut sums, mut products) = ([0f32; LANES], [1f64; LANES]);
        let one = |z: &mut f32, sum: &mut f32, product: &mut f64| {
            let small = exp(-z.abs());
            let share = 1.0 / (1.0 + small);
            let probability = if *z < 0.0 { small * share } else { share };
            *sum += (if *z < 0.0 { 0.0 } else { *z }) - off_single * *z;
            *product *= 1.0 + f64::from(small);
            *z = (probability - off_single) * factor;
        };
        let mut blocks = piece.chunks_exact_mut(LANES);
        for block in &mut blocks {
            for lane in 0..LANES {
                one(&mut block[lane], &mut sums[lane], &mut products[lane]);
            }
        }
        for (lane, z) in blocks.into_remainder().iter_mut().enumerate() {
            one(z, &mut sums[lane], &mut products[lane]);
        }
        value += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() + products.iter().product::<f64>().ln();
    }
    for (image, labels) in labels.iter().enumerate() {
        for label in *labels {
            logits[label * images + image] -= ((1.0 - off) * share) as f32;
        }
    }
    value
}

fn focal(logits: &mut [f32], labels: &[&[usize]], share: f64) -> f64 {
    let images = labels.len();
    let mut value = 0.0;
    for (class, row) in logits.chunks_exact_mut(images).enumerate() {
        for (z, labels) in row.iter_mut().zip(labels) {
            let (sign, weight) = if labels.contains(&class) { (1.0, FOCAL_ALPHA) } else { (-1.0, 1.0 - FOCAL_ALPHA) };
            let towards = sign * f64::from(*z);
            let (missing, doubt) = (softplus(-towards), sigmoid(-towards));
            value += weight * doubt * doubt * missing;
            let slope = -sign * weight * doubt * doubt * (2.0 * sigmoid(towards) * missing + doubt);
            *z = (slope * share) as f32;
        }
    }
    value
}

/// The exponential function to 1e-7 of its value, between e^-80 and e^88: a probability below the first one is not told
/// from it, so that no gradient becomes a number that processors are slow with. What is not a number stays so.
// METHOD: Cephes expf: x = n ln 2 + r, e^x = 2^n (1 + r + r^2 p(r)); adding 1.5 * 2^23 rounds to the integer n, which then
// stands in the lowest bits. Compilers turn it into vector instructions, a library's function they do not.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const P: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = if x < -80.0 { -80.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = P[0];
    for c in &P[1..] {
        p = p * r + c;
    }
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::random;

    #[test]
    fn the_exponential_is_that_of_double_precision() {
        let mut worst = 0f64;
        for i in -80_000..88_000 {
            let x = i as f32 / 1000.0 + 1e-4;
            worst = worst.max((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs());
        }
        assert!(worst < 2e-7, "{worst}");
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (1.0, exp(-80.0), exp(88.0)));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn batches_are_their_rows_in_double_precision() {
        let mut rng = random::stream(3, &["columns"]);
        for (classes, images) in [(4, 5), (7, 40), (1000, 3)] {
            let logits: Vec<f32> = (0..classes * images).map(|_| (4.0 * random::normal(&mut rng)) as f32).collect();
            let mut labels: Vec<Vec<usize>> = (0..images).map(|_| vec![random::below(&mut rng, classes)]).collect();
            (labels[1], labels[2]) = (vec![], vec![0, classes - 1]);
            let borrowed: Vec<&[usize]> = labels.iter().map(Vec::as_slice).collect();
            let smooth = Objective { loss: Loss::Ce, smoothing: 0.1 };
            for objective in Loss::ALL.into_iter().map(Objective::from).chain([smooth]) {
                let (mut found, all) = (logits.clone(), images + 2);
                let value = objective.columns(&mut found, &borrowed, all);
                let mut want = 0.0;
                for (image, labels) in labels.iter().enumerate() {
                    let column: Vec<f64> = (0..classes).map(|c| f64::from(logits[c * images + image])).collect();
                    let (mut hot, mut slopes) = (vec![0.0; classes], vec![0.0; classes]);
                    labels.iter().for_each(|&label| hot[label] = 1.0);
                    want += objective.row(&column, &hot, &mut slopes) / all as f64;
                    for (class, slope) in slopes.iter().enumerate() {
                        let (got, want) = (f64::from(found[class * images + image]), slope / all as f64);
                        assert!((got - want).abs() < 3e-7 / all as f64, "{objective:?} {class} {image}: {got} {want}");
                    }
                }
                assert!((value - want).abs() < 2e-7 * want.max(1.0), "{objective:?} {value} {want}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden_and_huge_logits_are_borne() {
        for loss in Loss::ALL {
            let run = |z: f32| Objective::from(loss).columns(&mut [z, 0.0, 1.0, -1.0], &[&[0], &[1]], 2);
            assert!(run(f32::NAN).is_nan() && run(300.0).is_finite() && run(-300.0).is_finite(), "{loss:?}");
        }
    }
}
