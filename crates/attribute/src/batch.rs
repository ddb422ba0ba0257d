//! Cotangents and the activations they meet: one image has many cotangents, kept image-major.
//!
//! Activations are `[n, c, h, w]`, cotangents `[n * k, c, h, w]`: rows `i * k .. (i + 1) * k` belong to image `i`.

/// Products with activations, and activations repeated for their cotangents.
pub use features::network::{spread, times_images as times};
use features::tensor::Tensor;

/// One where `values > 0`, else zero.
pub fn positive(values: Tensor<4>) -> Tensor<4> {
    values.greater_elem(0.0).float()
}

/// `max(values, 0)`.
pub fn positive_part<const D: usize>(values: features::tensor::Tensor<D>) -> features::tensor::Tensor<D> {
    values.clamp_min(0.0)
}

/// `min(values, 0)`.
pub fn negative_part<const D: usize>(values: features::tensor::Tensor<D>) -> features::tensor::Tensor<D> {
    values.clamp_max(0.0)
}
