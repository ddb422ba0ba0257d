//! What stands for nothing to see: where paths of integrated gradients begin and what masks put in place of pixels.

use features::tensor::{Tensor, from_vec, to_vec};
use serde::{Deserialize, Serialize};

/// An input that shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Zeros in the network's input: the mean colour for normalised inputs; for six channels a vector that no picture
    /// has.
    #[default]
    Zero,
    /// The picture's own mean colour; a valid input for six channels too.
    Mean,
    /// All pixels black; for six channels 0 and, in the inverse, 1.
    Black,
    /// The picture blurred beyond recognition: a Gaussian of a sixteenth of its longer side.
    Blurred,
}

/// Sides of a picture to one deviation of the blur.
const BLUR: f64 = 16.0;

impl Baseline {
    /// Name in configurations and in variants of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Black => "black",
            Self::Blurred => "blurred",
        }
    }

    /// The baseline of `image` `[1, c, h, w]`, of the same shape. `low` and `high` are each channel's smallest and
    /// largest value.
    pub fn of(self, image: &Tensor<4>, low: &[f32], high: &[f32]) -> Tensor<4> {
        let shape @ [_, channels, height, width] = image.dims();
        let area = height * width;
        let fill = |value: &dyn Fn(usize) -> f32| (0..channels * area).map(|i| value(i / area)).collect::<Vec<_>>();
        let values = match self {
            Self::Zero => return image.zeros_like(),
            Self::Mean => {
                let mean = |plane: &[f32]| plane.iter().map(|v| f64::from(*v)).sum::<f64>() / area as f64;
                let means: Vec<f32> =
                    to_vec(image.clone()).chunks_exact(area).map(|plane| mean(plane) as f32).collect();
                fill(&|channel| means[channel])
            }
            // The inverse of black is white.
            Self::Black => fill(&|channel| if channel < 3 { low[channel] } else { high[channel] }),
            Self::Blurred => {
                let deviation = height.max(width) as f64 / BLUR;
                let blur = |plane: &[f32]| blurred(plane, width, deviation);
                to_vec(image.clone()).chunks_exact(area).flat_map(blur).collect()
            }
        };
        from_vec(values, shape, &image.device())
    }
}

/// A Gaussian of this deviation, cut at three of them, its weights within the picture brought to sum 1.
fn blurred(plane: &[f32], width: usize, deviation: f64) -> Vec<f32> {
    let reach = (3.0 * deviation).ceil() as usize;
    let taps: Vec<f64> = (0..=reach).map(|d| (-0.5 * (d as f64 / deviation).powi(2)).exp()).collect();
    let height = plane.len() / width;
    let along = |at: &dyn Fn(usize) -> f64, place: usize, length: usize| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for i in place.saturating_sub(reach)..(place + reach + 1).min(length) {
            let tap = taps[place.abs_diff(i)];
            sum += tap * at(i);
            weights += tap;
        }
        sum / weights
    };
    let rows: Vec<f64> =
        (0..plane.len()).map(|p| along(&|x| f64::from(plane[p / width * width + x]), p % width, width)).collect();
    (0..plane.len()).map(|p| along(&|y| rows[y * width + p % width], p / width, height) as f32).collect()
}

#[cfg(test)]
mod tests {
    use features::tensor::cpu;

    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        for baseline in [Baseline::Zero, Baseline::Mean, Baseline::Black, Baseline::Blurred] {
            assert_eq!(serde_json::to_value(baseline).unwrap(), baseline.name());
        }
    }

    #[test]
    fn six_channels_stay_a_picture_and_its_inverse() {
        let colours: Vec<f32> = (0..3 * 35).map(|i| ((i * 7) % 11) as f32 / 10.0).collect();
        let pairs = colours.iter().copied().chain(colours.iter().map(|x| 1.0 - x)).collect();
        let image = from_vec(pairs, [1, 6, 5, 7], &cpu());
        for baseline in [Baseline::Mean, Baseline::Black, Baseline::Blurred] {
            let values = to_vec(baseline.of(&image, &[0.0; 6], &[1.0; 6]));
            for i in 0..105 {
                assert!((values[i] + values[105 + i] - 1.0).abs() < 1e-6, "{baseline:?}");
            }
        }
        assert!(to_vec(Baseline::Zero.of(&image, &[0.0; 6], &[1.0; 6])).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn baselines_are_what_they_say() {
        let image =
            from_vec(vec![1.0, 3.0, 5.0, 7.0, -1.0, -1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 2.0], [1, 3, 2, 2], &cpu());
        let of = |baseline: Baseline| to_vec(baseline.of(&image, &[-2.0, -3.0, -4.0], &[2.0; 3]));
        assert_eq!(of(Baseline::Mean), [[4.0; 4], [-1.0; 4], [0.5; 4]].concat());
        assert_eq!(of(Baseline::Black), [[-2.0; 4], [-3.0; 4], [-4.0; 4]].concat());
        // A constant stays, and a spike spreads in both directions alike.
        assert!(of(Baseline::Blurred)[4..8].iter().all(|v| (v + 1.0).abs() < 1e-6));
        let mut spike = vec![0.0; 33 * 33];
        spike[16 * 33 + 16] = 1.0;
        let blurred = blurred(&spike, 33, 33.0 / BLUR);
        assert!((blurred.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert_eq!(blurred[16 * 33 + 14], blurred[14 * 33 + 16]);
        assert!(blurred[16 * 33 + 16] < 0.06);
    }
}
