//! Convolution and its transpose by burn's backends, spelled so that all of them get it right.
//!
//! Where a kernel is smaller than its stride, as in the shortcuts of a ResNet, burn-cubecl 0.21 makes the transpose all zeros
//! (`conv_transpose2d_direct` looks at no row), and with it the gradient that autodiff takes. So no backend gets to see such a
//! geometry.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Int, TensorData};

use super::Geometry;
use crate::tensor::Tensor;

/// `[n, in, rows, columns]` to `[n, out, rows', columns']` by `weight` `[out, in, kernel rows, kernel columns]`.
pub fn convolve(input: Tensor<4>, weight: &Tensor<4>, geometry: Geometry) -> Tensor<4> {
    let (input, Geometry { stride, padding }) = without_gaps(input, kernel(weight), geometry);
    conv2d(input, weight.clone(), None, ConvOptions::new(stride, padding, [1, 1], 1))
}

/// The transpose of [`convolve`]: `[m, out, rows', columns']` to `[m, in, rows, columns]`, where `size` is `[rows, columns]`.
pub fn transposed(given: Tensor<4>, weight: &Tensor<4>, geometry: Geometry, size: [usize; 2]) -> Tensor<4> {
    let Geometry { stride, padding } = geometry;
    let [_, _, rows, columns] = given.dims();
    let weight = widened(weight, stride);
    let kernel = kernel(&weight);
    // Rows and columns that the stride skipped at the far end get their zeros from here.
    let rest = |axis: usize, positions: usize| {
        (size[axis] + 2 * padding[axis]).saturating_sub(kernel[axis] + (positions - 1) * stride[axis])
    };
    let padding_out = [rest(0, rows), rest(1, columns)];
    let options = ConvTransposeOptions::new(stride, padding, padding_out, [1, 1], 1);
    // Zeros that a wider kernel puts behind the last row.
    conv_transpose2d(given, weight, None, options).narrow(2, 0, size[0]).narrow(3, 0, size[1])
}

fn kernel(weight: &Tensor<4>) -> [usize; 2] {
    let [_, _, rows, columns] = weight.dims();
    [rows, columns]
}

/// The rows and columns that windows look at, one window beside the other, where they leave gaps between them; and how the
/// kernel moves over that.
fn without_gaps(mut input: Tensor<4>, kernel: [usize; 2], mut geometry: Geometry) -> (Tensor<4>, Geometry) {
    for axis in [0, 1] {
        let (kernel, stride, padding) = (kernel[axis], geometry.stride[axis], geometry.padding[axis]);
        if kernel >= stride {
            continue;
        }
        if padding > 0 {
            let mut around = [(0, 0); 4];
            around[2 + axis] = (padding, padding);
            input = input.pad(around, 0.0);
        }
        let windows = (input.dims()[2 + axis] - kernel) / stride + 1;
        let seen: Vec<i32> =
            (0..windows).flat_map(|window| (0..kernel).map(move |at| (window * stride + at) as i32)).collect();
        let seen = TensorData::new(seen, [windows * kernel]);
        let seen = Tensor::<1, Int>::from_data(seen, &input.device());
        input = input.select(2 + axis, seen);
        (geometry.stride[axis], geometry.padding[axis]) = (kernel, 0);
    }
    (input, geometry)
}

/// The kernel with zeros at its end, so that it is as large as its stride.
fn widened(weight: &Tensor<4>, stride: [usize; 2]) -> Tensor<4> {
    let mut weight = weight.clone();
    for axis in [0, 1] {
        let mut dims = weight.dims();
        if dims[2 + axis] < stride[axis] {
            dims[2 + axis] = stride[axis] - dims[2 + axis];
            let zeros = Tensor::zeros(dims, &weight.device());
            weight = Tensor::cat(vec![weight, zeros], 2 + axis);
        }
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{cpu, from_vec, to_vec};

    /// Against the definition: y[o] = sum over k of w[k] x[o s + k - p], and its transpose.
    #[test]
    fn a_kernel_smaller_than_its_stride_leaves_gaps() {
        for (kernel, stride, padding, size) in [(1, 2, 0, 7), (1, 2, 0, 8), (2, 3, 0, 8), (2, 3, 1, 9), (1, 3, 1, 5)] {
            let geometry = Geometry { stride: [stride, 1], padding: [padding, 0] };
            let values = |count: usize| (1..=count).map(|value| value as f32).collect::<Vec<f32>>();
            let weight = from_vec(values(kernel), [1, 1, kernel, 1], &cpu());
            let windows = (size + 2 * padding - kernel) / stride + 1;
            let (input, given) = (values(size), values(windows));
            let (mut forward, mut back) = (vec![0.0; windows], vec![0.0; size]);
            for window in 0..windows {
                for at in 0..kernel {
                    let row = (window * stride + at).checked_sub(padding).filter(|row| *row < size);
                    if let Some(row) = row {
                        forward[window] += (at + 1) as f32 * input[row];
                        back[row] += (at + 1) as f32 * given[window];
                    }
                }
            }
            let case = format!("{kernel} {stride} {padding} {size}");
            let leaf = Tensor::from_inner(from_vec(input.clone(), [1, 1, size, 1], &cpu())).require_grad();
            let out = convolve(leaf.clone(), &Tensor::from_inner(weight.clone()), geometry);
            assert_eq!(to_vec(out.clone().inner()), forward, "{case}");
            let given = from_vec(given, [1, 1, windows, 1], &cpu());
            assert_eq!(to_vec(transposed(given.clone(), &weight, geometry, [size, 1])), back, "{case}");
            let gradients = (out * Tensor::from_inner(given)).sum().backward();
            assert_eq!(to_vec(leaf.grad(&gradients).expect("a gradient")), back, "{case}");
        }
    }
}
