//! What follows a convolution value by value, so that it can be done while the values are still in the cache.

use crate::{
    network::{ChannelScale, plus_channels, times_positions},
    tensor::{Tensor, to_vec},
};

/// Steps in the order of the fields; the default is none.
#[derive(Debug, Clone, Default)]
pub struct Finish<'a> {
    /// Added: `[out]`.
    pub bias: Option<&'a Tensor<1>>,
    /// The patch norms of a B-cos convolution with B = 2, `[n, 1, rows', columns']`: `z` becomes `|z| / norm * z`.
    pub norm: Option<Tensor<4>>,
    /// Factor and shift of each channel.
    pub scale: Option<&'a ChannelScale>,
    /// What becomes of negative values.
    pub floor: Floor,
}

/// What becomes of negative values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Floor {
    /// They stay.
    #[default]
    None,
    /// They become 0: ReLU.
    Zero,
}

impl Finish<'_> {
    /// The steps one by one, on any device: `[n, out, rows', columns']`.
    pub fn apply(&self, values: Tensor<4>) -> Tensor<4> {
        let mut values = values;
        if let Some(bias) = self.bias {
            values = plus_channels(values, bias);
        }
        if let Some(norm) = &self.norm {
            // METHOD: B-cos, eq. (3) with B = 2: y = |cos(x, w)| z and |cos| = |z| / norm.
            values = times_positions(values.clone().abs(), norm.clone().recip()) * values;
        }
        if let Some(scale) = self.scale {
            values = scale.forward(values);
        }
        match self.floor {
            Floor::None => values,
            Floor::Zero => burn::tensor::activation::relu(values),
        }
    }

    /// The steps with their numbers at hand, for [`Steps::run`].
    pub(super) fn steps(&self) -> Steps {
        let channels = |values: &Tensor<1>| to_vec(values.clone());
        Steps {
            bias: self.bias.map(channels),
            reciprocal: self.norm.clone().map(|norm| to_vec(norm.recip())),
            scale: self.scale.map(|scale| channels(&scale.scale)),
            shift: self.scale.and_then(|scale| scale.shift.as_ref()).map(channels),
            floor: self.floor,
        }
    }
}

/// A [`Finish`] on the CPU.
pub(super) struct Steps {
    bias: Option<Vec<f32>>,
    reciprocal: Option<Vec<f32>>,
    scale: Option<Vec<f32>>,
    shift: Option<Vec<f32>>,
    floor: Floor,
}

impl Steps {
    /// Finishes values of one channel that stand from `position` on, counted over `[n, rows', columns']`. The values
    /// equal those of [`Finish::apply`]: the same operations in the same order, absent ones by their neutral number.
    pub(super) fn run(&self, values: &mut [f32], channel: usize, position: usize) {
        let of = |values: &Option<Vec<f32>>, without: f32| values.as_ref().map_or(without, |values| values[channel]);
        let (bias, scale, shift) = (of(&self.bias, 0.0), of(&self.scale, 1.0), of(&self.shift, 0.0));
        match &self.reciprocal {
            Some(reciprocal) => {
                for (value, factor) in values.iter_mut().zip(&reciprocal[position..]) {
                    let response = *value + bias;
                    *value = response.abs() * factor * response * scale + shift;
                }
            }
            None => values.iter_mut().for_each(|value| *value = (*value + bias) * scale + shift),
        }
        // Not `max`, which would turn NaN into 0 and hide it.
        if self.floor == Floor::Zero {
            values.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
        }
    }
}
