//! The linear part of a layer, which is all that a rule needs: apply it, transpose it, change its parameters.
//!
//! A transpose is a transposed convolution, so no weight gradient is ever computed and no autodiff graph is kept.

use features::{
    network::{BcosConv, ChannelScale, Conv, Finish, Geometry, Pool, Transposed, convolve, convolve_transposed},
    tensor::Tensor,
};

/// `y = W x + b` by convolution.
#[derive(Debug, Clone)]
pub struct LinearMap {
    /// `[out, in, kernel rows, kernel columns]`.
    pub weight: Tensor<4>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros added on each side: rows, columns.
    pub padding: [usize; 2],
}

impl LinearMap {
    /// The convolution as it is.
    pub fn conv(conv: &Conv) -> Self {
        Self { weight: conv.weight.clone(), bias: conv.bias.clone(), stride: conv.stride, padding: conv.padding }
    }

    /// The linear part of a B-cos convolution: unit-norm rows, no bias.
    pub fn bcos(conv: &BcosConv) -> Self {
        Self { weight: conv.unit_weight(), bias: None, stride: conv.stride, padding: conv.padding }
    }

    /// A convolution and the channel scale behind it as one map.
    // METHOD: W' = W * scale, b' = b * scale + shift.
    pub fn folded(conv: &Conv, scale: &ChannelScale) -> Self {
        let [out] = scale.scale.dims();
        let bias = conv.bias.clone().map(|bias| bias * scale.scale.clone());
        Self {
            weight: conv.weight.clone() * scale.scale.clone().reshape([out, 1, 1, 1]),
            bias: match (bias, scale.shift.clone()) {
                (Some(bias), Some(shift)) => Some(bias + shift),
                (bias, shift) => bias.or(shift),
            },
            stride: conv.stride,
            padding: conv.padding,
        }
    }

    /// The same geometry with other parameters.
    pub fn with(&self, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Self {
        Self { weight, bias, ..self.clone() }
    }

    /// Several maps of one input as one: outputs stacked along channels. Missing biases count as 0.
    pub fn stacked(maps: &[Self]) -> Self {
        let weight = Tensor::cat(maps.iter().map(|map| map.weight.clone()).collect(), 0);
        let bias = maps.iter().any(|map| map.bias.is_some()).then(|| {
            let biases = maps.iter().map(|map| {
                map.bias.clone().unwrap_or_else(|| Tensor::zeros([map.weight.dims()[0]], &map.weight.device()))
            });
            Tensor::cat(biases.collect(), 0)
        });
        maps[0].with(weight, bias)
    }

    /// `[n, in, rows, columns]` to `[n, out, rows', columns']`.
    pub fn apply(&self, input: Tensor<4>) -> Tensor<4> {
        let finish = Finish { bias: self.bias.as_ref(), ..Finish::default() };
        convolve(input, &self.weight, self.geometry(), &finish)
    }

    /// `Wᵀ r`: `[m, out, rows', columns']` to `[m, in, rows, columns]`; `size` is `[rows, columns]`.
    pub fn transpose(&self, relevance: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        convolve_transposed(relevance, &self.weight, self.geometry(), size, None)
    }

    /// `Wᵀ r * factor` with values of the image, `[n, in, rows, columns]`, see [`crate::batch`].
    pub fn transpose_times(&self, relevance: Tensor<4>, size: [usize; 2], factor: &Tensor<4>) -> Tensor<4> {
        convolve_transposed(relevance, &self.weight, self.geometry(), size, Some(factor))
    }

    /// The transpose laid out for the CPU; `size` as for [`Self::transpose`].
    pub(crate) fn transposed(&self, size: [usize; 2]) -> Transposed {
        Transposed::new(&self.weight, self.geometry(), size)
    }

    fn geometry(&self) -> Geometry {
        Geometry { stride: self.stride, padding: self.padding }
    }
}

/// The transpose of a sum over windows: `[m, c, rows', columns']` to `[m, c, rows, columns]`.
pub fn box_transpose(
    values: Tensor<4>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    size: [usize; 2],
) -> Tensor<4> {
    if kernel == [1, 1] && stride == [1, 1] {
        return values;
    }
    let [batch, channels, rows, columns] = values.dims();
    let ones =
        LinearMap { weight: Tensor::ones([1, 1, kernel[0], kernel[1]], &values.device()), bias: None, stride, padding };
    // Channels do not mix, so they may stand in the batch.
    ones.transpose(values.reshape([batch * channels, 1, rows, columns]), size)
        .reshape([batch, channels, size[0], size[1]])
}

/// The transpose of an average pool whose divisor counts the border.
pub fn average_transpose(pool: &Pool, values: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let area = (pool.kernel * pool.kernel) as f32;
    let windows = [pool.kernel; 2];
    box_transpose(values, windows, [pool.stride; 2], [pool.padding; 2], size) / area
}

/// The transpose of the mean over all positions: `[m, c, 1, 1]` to `[m, c, rows, columns]`.
pub fn global_average_transpose(values: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [batch, channels, ..] = values.dims();
    (values / (size[0] * size[1]) as f32).expand([batch, channels, size[0], size[1]]).mul_scalar(1.0)
}
