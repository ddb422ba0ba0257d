//! Cotangents and the activations they meet: one image has many cotangents, kept image-major.
//!
//! Activations are `[n, c, h, w]`, cotangents `[n * k, c, h, w]`: rows `i * k .. (i + 1) * k` belong to image `i`.

use features::tensor::Tensor;

/// `cotangents * activations`, each image's activations used for all of its cotangents.
pub fn times(cotangents: Tensor<4>, activations: Tensor<4>) -> Tensor<4> {
    let shape = cotangents.dims();
    let [rows, rest @ ..] = shape;
    let [images, ..] = activations.dims();
    if images == rows {
        return cotangents * activations;
    }
    let width: usize = rest.iter().product();
    // One image: as rows of a matrix the product is a shared row, which backends do without copying.
    let activations =
        if images == 1 { activations.reshape([1, width]) } else { spread(activations, rows).reshape([rows, width]) };
    (cotangents.reshape([rows, width]) * activations).reshape(shape)
}

/// Activations repeated for the cotangents of each image: `[n, ..]` to `[rows, ..]`.
///
/// Panics when `rows` is not a multiple of `n`: the cotangents then are not image-major.
pub fn spread<const D: usize>(activations: features::tensor::Tensor<D>, rows: usize) -> features::tensor::Tensor<D> {
    let shape = activations.dims();
    let images = shape[0];
    assert!(images > 0 && rows.is_multiple_of(images), "{rows} cotangents for {images} images");
    if images == rows {
        return activations;
    }
    let width: usize = shape[1..].iter().product();
    let mut spread = shape;
    spread[0] = rows;
    activations.reshape([images, 1, width]).repeat_dim(1, rows / images).reshape(spread)
}

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

#[cfg(test)]
mod tests {
    use features::tensor::{cpu, from_vec, to_vec};

    use super::*;

    #[test]
    fn cotangents_meet_their_own_image() {
        let cotangents = from_vec(vec![1.0; 4], [4, 1, 1, 1], &cpu());
        let images = from_vec(vec![2.0, 3.0], [2, 1, 1, 1], &cpu());
        assert_eq!(to_vec(times(cotangents.clone(), images)), [2.0, 2.0, 3.0, 3.0]);
        let one = from_vec(vec![5.0], [1, 1, 1, 1], &cpu());
        assert_eq!(to_vec(times(cotangents, one)), [5.0; 4]);
    }
}
