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

    /// The steps with their numbers at hand, for `Steps::run`; `plus` is added in front of the floor.
    pub fn steps<'p>(&self, plus: Option<Plus<'p>>) -> Steps<'p> {
        let channels = |values: &Tensor<1>| to_vec(values.clone());
        Steps {
            bias: self.bias.map(channels),
            reciprocal: self.norm.clone().map(|norm| to_vec(norm.recip())),
            scale: self.scale.map(|scale| channels(&scale.scale)),
            shift: self.scale.and_then(|scale| scale.shift.as_ref()).map(channels),
            plus,
            floor: self.floor,
        }
    }
}

/// Maps that are added, of the shape of the result.
#[derive(Debug, Clone, Copy)]
pub struct Plus<'a> {
    /// All values, row-major.
    pub values: &'a [f32],
    /// Channels of a map.
    pub channels: usize,
    /// Positions of a map.
    pub area: usize,
}

impl Plus<'_> {
    /// The values of a channel from `position` on, counted over `[n, rows', columns']`.
    fn from(&self, channel: usize, position: usize) -> &[f32] {
        let (image, place) = (position / self.area, position % self.area);
        &self.values[(image * self.channels + channel) * self.area + place..]
    }
}

/// A [`Finish`] on the CPU; maps may be added in front of the floor.
#[derive(Debug)]
pub struct Steps<'a> {
    bias: Option<Vec<f32>>,
    reciprocal: Option<Vec<f32>>,
    scale: Option<Vec<f32>>,
    shift: Option<Vec<f32>>,
    plus: Option<Plus<'a>>,
    floor: Floor,
}

impl Steps<'_> {
    /// Takes the patch norms of a B-cos convolution with B = 2, counted over `[n, rows', columns']`.
    pub fn divide_by(&mut self, norms: Vec<f32>) {
        self.reciprocal = Some(norms.into_iter().map(f32::recip).collect());
    }

    /// Finishes values of one channel that stand from `position` on, counted over `[n, rows', columns']`. The values
    /// equal those of [`Finish::apply`]: the same operations in the same order, absent ones by their neutral number.
    pub fn run(&self, values: &mut [f32], channel: usize, position: usize) {
        let of = |values: &Option<Vec<f32>>, without: f32| values.as_ref().map_or(without, |values| values[channel]);
        let (bias, scale, shift) = (of(&self.bias, 0.0), of(&self.scale, 1.0), of(&self.shift, 0.0));
        if let Some(reciprocal) = &self.reciprocal {
            for (value, factor) in values.iter_mut().zip(&reciprocal[position..]) {
                let response = *value + bias;
                *value = response.abs() * factor * response;
            }
        }
        // A response has met its bias above.
        let bias = if self.reciprocal.is_some() { 0.0 } else { bias };
        let affine = |value: f32| (value + bias) * scale + shift;
        // Not `max`, which would turn NaN into 0 and hide it.
        let floored = |value: f32| if value < 0.0 { 0.0 } else { value };
        match (&self.plus, self.floor) {
            (None, Floor::None) => values.iter_mut().for_each(|value| *value = affine(*value)),
            (None, Floor::Zero) => values.iter_mut().for_each(|value| *value = floored(affine(*value))),
            (Some(plus), floor) => {
                let added = values.iter_mut().zip(plus.from(channel, position));
                match floor {
                    Floor::None => added.for_each(|(value, more)| *value = affine(*value) + more),
                    Floor::Zero => added.for_each(|(value, more)| *value = floored(affine(*value) + more)),
                }
            }
        }
    }
}
