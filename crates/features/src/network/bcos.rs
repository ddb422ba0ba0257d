//! The B-cos convolution: its output is scaled by how well each patch aligns with the weight.
//!
//! Source: Böhle, Fritz, Schiele, "B-cos Networks", CVPR 2022, in the form of the `bcos` package (version 2).

use burn::tensor::FloatDType;
use burn::tensor::module::avg_pool2d;

use super::broadcast::times_positions;
use super::convolution::{Filter, Finish, Floor, Geometry, Spare, convolve, convolve_maps};
use super::cpu::{Maps, finished, plus};
use crate::tensor::{Device, Tensor, from_vec};

/// Added under the root of the patch norm, as in the `bcos` package.
pub const PATCH_NORM_EPSILON: f32 = 1e-6;

/// A B-cos convolution without max-out, one group, no bias.
#[derive(Debug, Clone)]
pub struct BcosConv {
    weight: Tensor<4>,
    /// Made with the layer and not in a pass, which a device without room makes again in halves.
    unit: Filter,
    /// The exponent B; 2 in all of the paper's networks, 1 makes the layer linear.
    pub b: f32,
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros added on each side: rows, columns.
    pub padding: [usize; 2],
}

/// What a B-cos convolution works out of its input, from which its output and its scale follow.
#[derive(Debug, Clone)]
pub struct Response {
    /// `z = W x`: `[n, out, rows', columns']`.
    pub response: Tensor<4>,
    /// Of the patch under each output position: `[n, 1, rows', columns']`.
    pub norm: Tensor<4>,
}

impl BcosConv {
    /// A layer of these parameters; `weight` is `[out, in, kernel rows, kernel columns]` of any length, as each output's row
    /// is brought to norm 1.
    pub fn new(weight: Tensor<4>, b: f32, stride: [usize; 2], padding: [usize; 2]) -> Self {
        let rows: Tensor<2> = weight.clone().flatten(1, 3);
        let norm = rows.clone().powi_scalar(2).sum_dim(1).sqrt();
        let unit = (rows / norm).reshape(weight.dims()).into();
        Self { weight, unit, b, stride, padding }
    }

    /// The same layer with other weights.
    pub fn with(&self, weight: Tensor<4>) -> Self {
        Self::new(weight, self.b, self.stride, self.padding)
    }

    /// The weights with rows of norm 1: `[out, in, kernel rows, kernel columns]`.
    pub fn unit_weight(&self) -> &Filter {
        &self.unit
    }

    /// The weights as they were given.
    pub fn weight(&self) -> &Tensor<4> {
        &self.weight
    }

    /// The linear response `z = W x` with unit-norm rows: `[n, out, rows', columns']`.
    pub fn response(&self, input: Tensor<4>) -> Tensor<4> {
        self.convolve(input, &Finish::default())
    }

    /// The norm of the patch under each output position: `[n, 1, rows', columns']`.
    pub fn patch_norm(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, rows, columns] = self.weight.dims();
        if let device @ Device::Flex(_) = input.device() {
            let (norms, dims) = self.patch_norms(&Maps::of(input));
            return from_vec(norms, dims, &device);
        }
        // In float16 a sum of squares is infinite from a norm of 256 on, and the output then a finite, wrong 0.
        let precision = FloatDType::from(input.dtype());
        let squares = input.cast(FloatDType::F32).powi_scalar(2).sum_dim(1);
        let sum = if [rows, columns] == [1, 1] && self.stride == [1, 1] {
            squares
        } else {
            avg_pool2d(squares, [rows, columns], self.stride, self.padding, true, false) * (rows * columns) as f32
        };
        sum.add_scalar(PATCH_NORM_EPSILON).sqrt().cast(precision)
    }

    /// The factor between response and output, of the response's shape.
    // METHOD: B-cos, eq. (3): s = |cos(x, w)|^(B-1). The package adds 1e-6 to the cosine only where B is not 2.
    pub fn scale(&self, response: Tensor<4>, patch_norm: Tensor<4>) -> Tensor<4> {
        let cosine = times_positions(response.abs(), patch_norm.recip());
        if self.b == 2.0 { cosine } else { cosine.add_scalar(1e-6).powf_scalar(self.b - 1.0) }
    }

    /// What the layer works out of `[n, in, rows, columns]`, to be kept; none where B is 1 and the layer is linear.
    pub fn respond(&self, input: &Tensor<4>) -> Option<Response> {
        let respond = || Response { response: self.response(input.clone()), norm: self.patch_norm(input.clone()) };
        (self.b != 1.0).then(respond)
    }

    /// The output that follows from a response, and what follows it: the very values of [`Self::forward_then`].
    pub fn output(&self, found: &Response, then: Finish<'_>) -> Tensor<4> {
        let Response { response, norm } = found;
        match (response.device(), self.b == 2.0) {
            (device @ Device::Flex(_), true) => {
                let finish = Finish { norm: Some(norm.clone()), ..then };
                finished(Maps::of(response.clone()), &finish).into_tensor(&device)
            }
            (_, true) => Finish { norm: Some(norm.clone()), ..then }.apply(response.clone()),
            (_, false) => then.apply(self.scale(response.clone(), norm.clone()) * response.clone()),
        }
    }

    /// `[n, in, rows, columns]` to `[n, out, rows', columns']`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, Finish::default())
    }

    /// The convolution and what follows it.
    pub fn forward_then<'a>(&'a self, input: Tensor<4>, then: Finish<'a>) -> Tensor<4> {
        if self.b == 1.0 {
            return self.convolve(input, &then);
        }
        let norm = self.patch_norm(input.clone());
        if self.b == 2.0 {
            return self.convolve(input, &Finish { norm: Some(norm), ..then });
        }
        let response = self.response(input);
        then.apply(self.scale(response.clone(), norm) * response)
    }

    /// The same over plain maps, a shortcut being added in front of the floor.
    pub(super) fn on_maps(&self, input: &Maps, then: Finish<'_>, shortcut: Option<&Maps>, spare: &mut Spare) -> Maps {
        let geometry = Geometry { stride: self.stride, padding: self.padding };
        if self.b == 1.0 || self.b == 2.0 {
            let mut steps = then.steps(plus(shortcut));
            if self.b == 2.0 {
                steps.divide_by(self.patch_norms(input).0);
            }
            return convolve_maps(input, self.unit_weight(), geometry, &steps, spare);
        }
        let device = self.weight.device();
        let mut made = Maps::of(
            self.forward_then(input.clone().into_tensor(&device), Finish { floor: Floor::None, ..then.clone() }),
        );
        let rest = Finish { floor: then.floor, ..Finish::default() }.steps(plus(shortcut));
        let [_, channels, rows, columns] = made.dims;
        for (plane, values) in made.values.chunks_exact_mut(rows * columns).enumerate() {
            rest.run(values, plane % channels, plane / channels * rows * columns);
        }
        made
    }

    /// [`Self::patch_norm`] over plain maps, and its dimensions.
    fn patch_norms(&self, input: &Maps) -> (Vec<f32>, [usize; 4]) {
        let [images, channels, height, width] = input.dims;
        let [_, _, kernel_rows, kernel_columns] = self.weight.dims();
        let out =
            |size: usize, kernel: usize, axis: usize| (size + 2 * self.padding[axis] - kernel) / self.stride[axis] + 1;
        let (rows, columns) = (out(height, kernel_rows, 0), out(width, kernel_columns, 1));
        let window = |index: usize, kernel: usize, size: usize, axis: usize| {
            let (first, padding) = (index * self.stride[axis], self.padding[axis]);
            first.saturating_sub(padding)..(first + kernel).saturating_sub(padding).min(size)
        };
        let mut norms = Vec::with_capacity(images * rows * columns);
        for image in input.values.chunks_exact(channels * height * width) {
            let mut squares = vec![0.0f32; height * width];
            for plane in image.chunks_exact(height * width) {
                squares.iter_mut().zip(plane).for_each(|(sum, value)| *sum += value * value);
            }
            for row in 0..rows {
                for column in 0..columns {
                    let lines = squares.chunks_exact(width);
                    let lines = lines.take(window(row, kernel_rows, height, 0).end);
                    let lines = lines.skip(window(row, kernel_rows, height, 0).start);
                    let within = window(column, kernel_columns, width, 1);
                    let sum: f32 = lines.map(|line| line[within.clone()].iter().sum::<f32>()).sum();
                    norms.push((sum + PATCH_NORM_EPSILON).sqrt());
                }
            }
        }
        (norms, [images, 1, rows, columns])
    }

    fn convolve(&self, input: Tensor<4>, finish: &Finish<'_>) -> Tensor<4> {
        convolve(input, self.unit_weight(), Geometry { stride: self.stride, padding: self.padding }, finish)
    }
}
