//! How pixels become a backbone's input.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::images::Rgb;
use crate::tensor::{Device, Tensor, from_vec};

/// The input encoding a backbone was trained with; part of its description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// Three channels `(x - mean) / std` with x in [0, 1].
    Normalised {
        /// Mean of red, green, blue.
        mean: [f32; 3],
        /// Standard deviation of red, green, blue.
        std: [f32; 3],
    },
    /// Six channels `[x, 1 - x]` with x in [0, 1], for B-cos networks (Böhle et al., CVPR 2022).
    SixChannel,
}

impl Encoding {
    /// The encoding as an operation.
    pub fn preprocess(&self) -> Preprocess {
        match *self {
            Self::Normalised { mean, std } => Preprocess { channels: 3, mean, std },
            Self::SixChannel => Preprocess { channels: 6, mean: [0.0; 3], std: [1.0; 3] },
        }
    }
}

/// Turns pictures into network input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// 3, or 6 for a picture and its inverse.
    pub channels: usize,
    /// Subtracted from red, green, blue in [0, 1]; 0 with six channels.
    pub mean: [f32; 3],
    /// Divides red, green, blue; 1 with six channels.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Network input `[n, channels, height, width]` of pictures that all have the size of the first.
    ///
    /// Panics when there is no picture or sizes differ.
    pub fn apply(&self, pictures: &[Rgb], device: &Device) -> Tensor<4> {
        let (width, height) = (pictures[0].width, pictures[0].height);
        let area = width * height;
        let mut values = vec![0f32; pictures.len() * self.channels * area];
        values.par_chunks_mut(self.channels * area).zip(pictures).for_each(|(planes, picture)| {
            assert_eq!((picture.width, picture.height), (width, height), "the pictures of a batch have one size");
            for (channel, plane) in planes.chunks_mut(area).enumerate() {
                self.fill(plane, channel, &picture.data);
            }
        });
        from_vec(values, [pictures.len(), self.channels, height, width], device)
    }

    // METHOD: (x - mean) / std for the first three channels, then the same of 1 - x.
    fn fill(&self, plane: &mut [f32], channel: usize, data: &[u8]) {
        let colour = channel % 3;
        let (mean, std) = (self.mean[colour], self.std[colour]);
        for (value, &byte) in plane.iter_mut().zip(data.iter().skip(colour).step_by(3)) {
            let x = f32::from(byte) / 255.0;
            let x = if channel < 3 { x } else { 1.0 - x };
            *value = (x - mean) / std;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{cpu, to_vec};

    fn pictures() -> Vec<Rgb> {
        (0..2).map(|n| Rgb { width: 3, height: 2, data: (0..18).map(|i| (i * 13 + n * 5) as u8).collect() }).collect()
    }

    #[test]
    fn channels_are_planes_with_their_own_mean_and_deviation() {
        let encoding = Encoding::Normalised { mean: [0.5, 0.25, 0.0], std: [0.25, 0.5, 1.0] };
        let input = encoding.preprocess().apply(&pictures(), &cpu());
        assert_eq!(input.dims(), [2, 3, 2, 3]);
        let values = to_vec(input);
        let byte = |n: usize, pixel: usize, c: usize| f32::from(pictures()[n].data[pixel * 3 + c]) / 255.0;
        assert_eq!(values[0], (byte(0, 0, 0) - 0.5) / 0.25);
        assert_eq!(values[6 + 4], (byte(0, 4, 1) - 0.25) / 0.5);
        assert_eq!(values[18 + 12 + 5], byte(1, 5, 2));
    }

    #[test]
    fn six_channels_are_a_picture_and_its_inverse() {
        let input = Encoding::SixChannel.preprocess().apply(&pictures(), &cpu());
        assert_eq!(input.dims(), [2, 6, 2, 3]);
        let sums = to_vec(input.clone().slice([0..2, 0..3]) + input.slice([0..2, 3..6]));
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
    }

    #[test]
    fn an_encoding_is_the_same_after_a_file() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            encoding: Encoding,
        }
        for encoding in [Encoding::SixChannel, Encoding::Normalised { mean: [0.485, 0.456, 0.406], std: [0.25; 3] }] {
            let file = File { encoding };
            let text = toml::to_string(&file).expect("serializable");
            assert_eq!(toml::from_str::<File>(&text).expect(&text), file);
        }
    }
}
