//! One value a channel or a position, or one image, applied to a whole batch of maps; one value an output, to weights.
//!
//! Written as matrices with one row a map, because the CPU backend has fast paths for a row-wise scalar and for a
//! shared row, and walks any other broadcast element by element.

use crate::tensor::Tensor;

/// `input * values`, for `[n, c, h, w]` and `[c]`.
pub fn times_channels(input: Tensor<4>, values: &Tensor<1>) -> Tensor<4> {
    by_row(input, values, |maps, rows| maps * rows)
}

/// `input + values`, for `[n, c, h, w]` and `[c]`.
pub fn plus_channels(input: Tensor<4>, values: &Tensor<1>) -> Tensor<4> {
    by_row(input, values, |maps, rows| maps + rows)
}

/// `weights * factors`, for `[out, ..]` and `[out]`.
pub fn times_outputs(weights: Tensor<4>, factors: &Tensor<1>) -> Tensor<4> {
    let shape @ [outputs, rest @ ..] = weights.dims();
    (weights.reshape([outputs, rest.iter().product()]) * factors.clone().reshape([outputs, 1])).reshape(shape)
}

/// `input * values`, for `[n, c, h, w]` and `[n, 1, h, w]`.
pub fn times_positions(input: Tensor<4>, values: Tensor<4>) -> Tensor<4> {
    let shape @ [n, channels, height, width] = input.dims();
    if n == 1 {
        let values = values.reshape([1, height * width]);
        return (input.reshape([channels, height * width]) * values).reshape(shape);
    }
    input * values.repeat_dim(1, channels)
}

/// `values * images`, for `[n * k, ..]` and `[n, ..]`: maps `i * k .. (i + 1) * k` meet image `i`.
pub fn times_images(values: Tensor<4>, images: Tensor<4>) -> Tensor<4> {
    let shape = values.dims();
    let [rows, rest @ ..] = shape;
    let [count, ..] = images.dims();
    if count == rows {
        return values * images;
    }
    let width: usize = rest.iter().product();
    // One image: as rows of a matrix the product is a shared row, which backends do without copying.
    let images = if count == 1 { images.reshape([1, width]) } else { spread(images, rows).reshape([rows, width]) };
    (values.reshape([rows, width]) * images).reshape(shape)
}

/// Each image repeated for its maps: `[n, ..]` to `[rows, ..]`.
///
/// Panics when `rows` is not a multiple of `n`: the maps then are not image-major.
pub fn spread<const D: usize>(images: Tensor<D>, rows: usize) -> Tensor<D> {
    let shape = images.dims();
    let count = shape[0];
    assert!(count > 0 && rows.is_multiple_of(count), "{rows} maps for {count} images");
    if count == rows {
        return images;
    }
    let width: usize = shape[1..].iter().product();
    let mut spread = shape;
    spread[0] = rows;
    images.reshape([count, 1, width]).repeat_dim(1, rows / count).reshape(spread)
}

fn by_row(input: Tensor<4>, values: &Tensor<1>, apply: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>) -> Tensor<4> {
    let shape @ [n, channels, height, width] = input.dims();
    let rows = values.clone().reshape([1, channels]).repeat_dim(0, n).reshape([n * channels, 1]);
    apply(input.reshape([n * channels, height * width]), rows).reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{cpu, from_vec, to_vec};

    #[test]
    fn values_meet_their_channel_and_their_position() {
        let values = |count: usize| -> Vec<f32> { (0..count).map(|i| i as f32 + 1.0).collect() };
        for n in [1, 3] {
            let input = from_vec(values(n * 12), [n, 2, 2, 3], &cpu());
            let channels = from_vec(vec![2.0, 5.0], [2], &cpu());
            let positions = from_vec(values(n * 6), [n, 1, 2, 3], &cpu());
            let wide = channels.clone().reshape([1, 2, 1, 1]);
            let same = |a: Tensor<4>, b: Tensor<4>| assert_eq!(to_vec(a), to_vec(b));
            same(times_channels(input.clone(), &channels), input.clone() * wide.clone());
            same(plus_channels(input.clone(), &channels), input.clone() + wide);
            same(times_positions(input.clone(), positions.clone()), input.clone() * positions);
            let factors = from_vec(values(n), [n], &cpu());
            same(times_outputs(input.clone(), &factors), input * factors.reshape([n, 1, 1, 1]));
        }
    }

    #[test]
    fn maps_meet_their_own_image() {
        let maps = from_vec(vec![1.0; 4], [4, 1, 1, 1], &cpu());
        let images = from_vec(vec![2.0, 3.0], [2, 1, 1, 1], &cpu());
        assert_eq!(to_vec(times_images(maps.clone(), images)), [2.0, 2.0, 3.0, 3.0]);
        let one = from_vec(vec![5.0], [1, 1, 1, 1], &cpu());
        assert_eq!(to_vec(times_images(maps, one)), [5.0; 4]);
    }
}
