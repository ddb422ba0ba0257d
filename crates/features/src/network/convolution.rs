//! Convolution and its transpose, each by whatever computes it best where its input lives.
//!
//! An accelerator, or a pass that autodiff records, takes burn's. On the CPU it is `cpu`, which is more than twice as
//! fast as the backend's and, unlike it, gives the same bits whatever the batch.

mod backend;
mod cpu;
mod filter;
mod finish;
mod kernel;
mod plane;
mod product;
mod share;
mod spare;
mod transposed;
mod winograd;

pub use cpu::convolve_maps;
pub use filter::Filter;
pub use finish::{Finish, Floor, Plus, Steps};
pub use product::{Matrix, Onto, product};
pub use share::Hands;
pub use spare::Spare;
pub use transposed::{Finisher, Given, Reader, Transposed};

use super::times_images;
use crate::tensor::{Device, Tensor};

/// How the kernel moves over the map; dilation is 1, there is one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros added on each side: rows, columns.
    pub padding: [usize; 2],
}

/// `[n, in, rows, columns]` to `[n, out, rows', columns']` by `filter` `[out, in, kernel rows, kernel columns]`, then
/// what `finish` says.
pub fn convolve(input: Tensor<4>, filter: &Filter, geometry: Geometry, finish: &Finish<'_>) -> Tensor<4> {
    match input.device() {
        Device::Flex(_) => cpu::convolve(input, filter, geometry, finish),
        _ => finish.apply(backend::convolve(input, filter.tensor(), geometry)),
    }
}

/// The transpose of [`convolve`] without its bias: `[m, out, rows', columns']` to `[m, in, rows, columns]`, where
/// `size` is `[rows, columns]`; then the product with `factor` `[n, in, rows, columns]`, if there is one, each of whose
/// maps meets `m / n` neighbours.
pub fn convolve_transposed(
    given: Tensor<4>,
    weight: &Tensor<4>,
    geometry: Geometry,
    size: [usize; 2],
    factor: Option<&Tensor<4>>,
) -> Tensor<4> {
    match given.device() {
        Device::Flex(_) => cpu::convolve_transposed(given, weight, geometry, size, factor),
        _ => {
            let made = backend::transposed(given, weight, geometry, size);
            factor.into_iter().fold(made, |made, factor| times_images(made, factor.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{ChannelScale, Maps};
    use crate::random;
    use crate::tensor::{cpu, from_vec, to_vec};

    fn noise<const D: usize>(key: &str, shape: [usize; D]) -> Tensor<D> {
        let mut rng = random::stream(3, &["convolution", key]);
        let values = (0..shape.iter().product()).map(|_| random::normal(&mut rng) as f32).collect();
        from_vec(values, shape, &cpu())
    }

    fn assert_close(got: Tensor<4>, want: Tensor<4>, case: &str) {
        assert_eq!(got.dims(), want.dims(), "{case}");
        let (got, want) = (to_vec(got), to_vec(want));
        let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        for (a, b) in got.iter().zip(&want) {
            assert!((a - b).abs() <= 2e-6 * largest.max(1.0), "{case}: {a} {b}");
        }
    }

    /// Batch, inputs, outputs, rows, columns; kernel, stride, padding.
    type Case = (usize, usize, usize, usize, usize, [usize; 2], [usize; 2], [usize; 2]);

    const CASES: [Case; 17] = [
        (2, 3, 4, 7, 9, [3, 3], [1, 1], [1, 1]),
        (1, 3, 5, 8, 8, [5, 5], [2, 2], [2, 2]),
        (3, 2, 6, 9, 7, [7, 7], [2, 2], [3, 3]),
        (2, 4, 3, 6, 5, [1, 1], [1, 1], [0, 0]),
        (2, 4, 3, 6, 5, [1, 1], [2, 2], [0, 0]),
        (1, 4, 3, 7, 6, [1, 1], [3, 2], [0, 0]),
        (2, 2, 2, 5, 5, [3, 3], [2, 2], [1, 1]),
        (2, 2, 2, 6, 6, [3, 3], [2, 2], [1, 1]),
        (1, 1, 1, 5, 8, [3, 2], [1, 2], [0, 1]),
        (1, 2, 70, 40, 41, [3, 3], [1, 1], [1, 1]),
        (1, 2, 3, 4, 4, [4, 4], [4, 4], [0, 0]),
        (1, 2, 3, 6, 6, [2, 2], [3, 3], [0, 0]),
        // Winograd's form: even and odd sizes, every padding, blocks within a map and over several.
        (2, 16, 18, 8, 8, [3, 3], [1, 1], [1, 1]),
        (3, 17, 16, 5, 7, [3, 3], [1, 1], [1, 1]),
        (1, 20, 40, 29, 34, [3, 3], [1, 1], [0, 2]),
        (2, 16, 70, 26, 27, [3, 3], [1, 1], [2, 0]),
        (21, 16, 16, 7, 6, [3, 3], [1, 1], [1, 1]),
    ];

    #[test]
    fn both_directions_equal_the_backend() {
        for case in CASES {
            let (n, inputs, outputs, rows, columns, [kh, kw], stride, padding) = case;
            let name = format!("{case:?}");
            let geometry = Geometry { stride, padding };
            let input = noise(&name, [n, inputs, rows, columns]);
            let weight = noise("weight", [outputs, inputs, kh, kw]);
            let bias = noise("bias", [outputs]);
            let plain = backend::convolve(input.clone(), &weight, geometry);
            let [_, _, out_rows, out_columns] = plain.dims();
            let filter = Filter::from(weight.clone());
            assert_close(convolve(input.clone(), &filter, geometry, &Finish::default()), plain.clone(), &name);
            let norm = ChannelScale { scale: noise("scale", [outputs]), shift: Some(noise("shift", [outputs])) };
            let finish = Finish {
                bias: Some(&bias),
                norm: Some(noise("norm", [n, 1, out_rows, out_columns]).abs()),
                scale: Some(&norm),
                floor: Floor::Zero,
            };
            let got = convolve(input.clone(), &filter, geometry, &finish);
            let want = finish.apply(plain);
            let mut dirty = Spare::default();
            dirty.keep(vec![f32::NAN; 2 * to_vec(want.clone()).len()]);
            let again = convolve_maps(&Maps::of(input), &filter, geometry, &finish.steps(None), &mut dirty);
            assert_eq!(again.values, to_vec(got.clone()), "{name}");
            assert_close(got, want, &name);
            let given = noise("given", [n, outputs, out_rows, out_columns]);
            let want = backend::transposed(given.clone(), &weight, geometry, [rows, columns]);
            let factor = noise("factor", [1, inputs, rows, columns]);
            let got = convolve_transposed(given.clone(), &weight, geometry, [rows, columns], Some(&factor));
            assert_close(got, times_images(want.clone(), factor), &name);
            assert_close(convolve_transposed(given, &weight, geometry, [rows, columns], None), want, &name);
        }
    }

    #[test]
    fn maps_may_be_worked_out_where_they_are_read() {
        for case in CASES {
            let (n, inputs, outputs, rows, columns, [kh, kw], stride, padding) = case;
            let geometry = Geometry { stride, padding };
            let weight = noise("weight", [outputs, inputs, kh, kw]);
            let out = [0, 1].map(|i| ([rows, columns][i] + 2 * padding[i] - [kh, kw][i]) / stride[i] + 1);
            let transposed = Transposed::new(&weight, geometry, [rows, columns]);
            // All channels, one, and none have values.
            for kept in [outputs, 1, 0] {
                let mut maps = Maps::of(noise("given", [n, outputs, out[0], out[1]]));
                let area = out[0] * out[1];
                for (plane, values) in maps.values.chunks_exact_mut(area).enumerate() {
                    if plane % outputs >= kept {
                        values.fill(0.0);
                    }
                }
                let given = maps.clone().into_tensor(&cpu());
                let want = backend::transposed(given, &weight, geometry, [rows, columns]) * 0.5;
                let read = |values: &mut [f32], image: usize, channel: usize, position: usize| {
                    let from = &maps.values[(image * outputs + channel) * area + position..];
                    values.iter_mut().zip(from).for_each(|(to, value)| *to = 0.5 * value);
                };
                let dims = maps.dims;
                for hands in [1, 3] {
                    let dirty = vec![f32::NAN; n * inputs * rows * columns];
                    let given = Given::Read { dims, read: &read };
                    let made = transposed.run(given, &|_, _, _| {}, &mut Hands::new(hands), dirty);
                    assert_close(made.into_tensor(&cpu()), want.clone(), &format!("{case:?}, {kept}, {hands}"));
                }
            }
        }
    }

    #[test]
    fn an_image_has_the_same_bits_in_any_batch_on_any_number_of_threads() {
        let pools = [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        // Channels that leave odd pieces where threads share them, and sums of more terms than `gemm` makes in one go.
        for (channels, outputs, size, kernel) in
            [(5, 40, 30, 3), (24, 40, 30, 3), (24, 40, 7, 3), (33, 65, 1, 3), (544, 128, 7, 1), (1030, 97, 2, 3)]
        {
            let geometry = Geometry { stride: [1, 1], padding: [kernel / 2; 2] };
            let input = noise("batch", [13, channels, size, size]);
            let filter = Filter::from(noise("weight", [outputs, channels, kernel, kernel]));
            let both = |input: Tensor<4>| {
                let made = convolve(input, &filter, geometry, &Finish::default());
                let back = convolve_transposed(made.clone(), filter.tensor(), geometry, [size, size], None);
                [made, back]
            };
            let together = both(input.clone());
            for pool in &pools {
                for i in [0, 12] {
                    let alone = pool.install(|| both(input.clone().narrow(0, i, 1)));
                    for (alone, together) in alone.into_iter().zip(&together) {
                        assert_eq!(to_vec(alone), to_vec(together.clone().narrow(0, i, 1)), "{channels} {outputs}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pass_that_autodiff_records_reaches_the_weights() {
        let weight = Tensor::from_inner(noise("weight", [4, 3, 3, 3])).require_grad();
        let input = Tensor::from_inner(noise("input", [2, 3, 6, 6]));
        let geometry = Geometry { stride: [1, 1], padding: [1, 1] };
        let gradients = convolve(input, &weight.clone().into(), geometry, &Finish::default()).sum().backward();
        assert!(weight.grad(&gradients).is_some());
    }
}
