//! The linear part of a layer, which is all that a rule needs: apply it, transpose it, change its parameters.
//!
//! A transpose is a transposed convolution, so no weight gradient is ever computed and no autodiff graph is kept.

use std::sync::{Arc, Mutex, PoisonError};

use features::{
    network::{
        BcosConv, ChannelScale, Conv, Filter, Finish, Geometry, Pool, Transposed, convolve, convolve_transposed,
        times_outputs,
    },
    tensor::Tensor,
};

/// `y = W x + b` by convolution.
#[derive(Debug, Clone)]
pub struct LinearMap {
    /// `[out, in, kernel rows, kernel columns]`.
    pub weight: Filter,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros added on each side: rows, columns.
    pub padding: [usize; 2],
    laid_out: LaidOut,
}

/// The transposes that were laid out for the CPU so far, one a size of maps, shared by all copies of a map: weights are
/// laid out once for all pictures.
#[derive(Debug, Clone, Default)]
struct LaidOut(Arc<Mutex<Vec<Arc<Transposed>>>>);

impl LinearMap {
    /// A map of these parameters.
    pub fn new(weight: impl Into<Filter>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self { weight: weight.into(), bias, stride, padding, laid_out: LaidOut::default() }
    }

    /// The convolution as it is.
    pub fn conv(conv: &Conv) -> Self {
        Self::new(conv.weight.clone(), conv.bias.clone(), conv.stride, conv.padding)
    }

    /// The linear part of a B-cos convolution: unit-norm rows, no bias.
    pub fn bcos(conv: &BcosConv) -> Self {
        Self::new(conv.unit_weight().clone(), None, conv.stride, conv.padding)
    }

    /// A convolution and the channel scale behind it as one map.
    // METHOD: W' = W * scale, b' = b * scale + shift.
    pub fn folded(conv: &Conv, scale: &ChannelScale) -> Self {
        let bias = conv.bias.clone().map(|bias| bias * scale.scale.clone());
        let weight = times_outputs(conv.weight.tensor().clone(), &scale.scale);
        let bias = match (bias, scale.shift.clone()) {
            (Some(bias), Some(shift)) => Some(bias + shift),
            (bias, shift) => bias.or(shift),
        };
        Self::new(weight, bias, conv.stride, conv.padding)
    }

    /// The same geometry with other parameters.
    pub fn with(&self, weight: impl Into<Filter>, bias: Option<Tensor<1>>) -> Self {
        Self::new(weight, bias, self.stride, self.padding)
    }

    /// Several maps of one input as one: outputs stacked along channels. Missing biases count as 0.
    pub fn stacked(maps: &[Self]) -> Self {
        let weight = Tensor::cat(maps.iter().map(|map| map.weight.tensor().clone()).collect(), 0);
        let bias = maps.iter().any(|map| map.bias.is_some()).then(|| {
            let biases = maps.iter().map(|map| {
                map.bias.clone().unwrap_or_else(|| Tensor::zeros([map.weight.dims()[0]], &map.weight.tensor().device()))
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
        convolve_transposed(relevance, self.weight.tensor(), self.geometry(), size, None)
    }

    /// `Wᵀ r * factor` with values of the image, `[n, in, rows, columns]`, see [`crate::batch`].
    pub fn transpose_times(&self, relevance: Tensor<4>, size: [usize; 2], factor: &Tensor<4>) -> Tensor<4> {
        convolve_transposed(relevance, self.weight.tensor(), self.geometry(), size, Some(factor))
    }

    /// The transpose laid out for the CPU; `size` as for [`Self::transpose`].
    pub(crate) fn transposed(&self, size: [usize; 2]) -> Arc<Transposed> {
        let mut laid_out = self.laid_out.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = laid_out.iter().find(|known| known.size() == size) {
            return known.clone();
        }
        let resized = laid_out.iter().find_map(|known| known.resized(size));
        let made = Arc::new(resized.unwrap_or_else(|| Transposed::new(self.weight.tensor(), self.geometry(), size)));
        laid_out.push(made.clone());
        made
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
    let ones = LinearMap::new(Tensor::ones([1, 1, kernel[0], kernel[1]], &values.device()), None, stride, padding);
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
