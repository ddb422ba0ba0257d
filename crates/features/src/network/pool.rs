//! Pooling windows.

use burn::tensor::module::{avg_pool2d, max_pool2d};
use rayon::prelude::*;

use super::cpu::{LEAST_VALUES, Maps};
use crate::tensor::{Device, Tensor};

/// A square window moved over the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Border on each side.
    pub padding: usize,
}

impl Pool {
    /// Largest value of each window.
    pub fn max(&self, input: Tensor<4>) -> Tensor<4> {
        match input.device() {
            device @ Device::Flex(_) => self.max_of(&Maps::of(input)).into_tensor(&device),
            _ => max_pool2d(input, [self.kernel; 2], [self.stride; 2], [self.padding; 2], [1, 1], false),
        }
    }

    /// Mean of each window, the border counted as zeros.
    pub fn average(&self, input: Tensor<4>) -> Tensor<4> {
        match input.device() {
            device @ Device::Flex(_) => self.average_of(&Maps::of(input)).into_tensor(&device),
            _ => avg_pool2d(input, [self.kernel; 2], [self.stride; 2], [self.padding; 2], true, false),
        }
    }

    /// [`Self::max`] over plain maps.
    pub(super) fn max_of(&self, maps: &Maps) -> Maps {
        // What is not a number stays visible.
        let larger = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
        self.join(maps, f32::NEG_INFINITY, larger, 1.0)
    }

    /// [`Self::average`] over plain maps.
    pub(super) fn average_of(&self, maps: &Maps) -> Maps {
        self.join(maps, 0.0, |sum, value| sum + value, ((self.kernel * self.kernel) as f32).recip())
    }

    /// Windows brought together by `join` from `start` on, times `share`; first along columns, then along rows.
    fn join(&self, maps: &Maps, start: f32, join: impl Fn(f32, f32) -> f32 + Sync, share: f32) -> Maps {
        let [images, channels, height, width] = maps.dims;
        let &Self { kernel, stride, padding } = self;
        let [rows, columns] = [height, width].map(|size| (size + 2 * padding - kernel) / stride + 1);
        let window = |index: usize, size: usize| {
            let first = index * stride;
            first.saturating_sub(padding)..(first + kernel).saturating_sub(padding).min(size)
        };
        let mut values = vec![0.0; images * channels * rows * columns];
        let planes =
            values.par_chunks_mut((rows * columns).max(1)).zip(maps.values.par_chunks((height * width).max(1)));
        planes.with_min_len(LEAST_VALUES.div_ceil((height * width).max(1))).for_each_init(
            || vec![start; width],
            |joined, (made, map)| {
                for (row, made) in made.chunks_exact_mut(columns).enumerate() {
                    joined.fill(start);
                    let lines = map.chunks_exact(width).take(window(row, height).end).skip(window(row, height).start);
                    for line in lines {
                        joined.iter_mut().zip(line).for_each(|(joined, value)| *joined = join(*joined, *value));
                    }
                    for (column, made) in made.iter_mut().enumerate() {
                        let across = joined[window(column, width)].iter();
                        *made = across.fold(start, |all, value| join(all, *value)) * share;
                    }
                }
            },
        );
        Maps { dims: [images, channels, rows, columns], values }
    }
}

/// `[n, channels, rows, columns]` to `[n, channels, 1, 1]`.
pub fn global_average(input: Tensor<4>) -> Tensor<4> {
    input.mean_dim(3).mean_dim(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{normal, stream};
    use crate::tensor::{cpu, from_vec, to_vec};

    #[test]
    fn plain_maps_are_pooled_as_the_backend_does() {
        let mut rng = stream(2, &["pool"]);
        let input = from_vec((0..2 * 3 * 9 * 10).map(|_| normal(&mut rng) as f32).collect(), [2, 3, 9, 10], &cpu());
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (3, 3, 0), (1, 2, 0), (5, 2, 2)] {
            let pool = Pool { kernel, stride, padding };
            let (sides, steps, border) = ([kernel; 2], [stride; 2], [padding; 2]);
            let largest = max_pool2d(input.clone(), sides, steps, border, [1, 1], false);
            assert_eq!(to_vec(pool.max(input.clone())), to_vec(largest), "{pool:?}");
            let mean = avg_pool2d(input.clone(), sides, steps, border, true, false);
            let (got, want) = (to_vec(pool.average(input.clone())), to_vec(mean));
            assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-6), "{pool:?}");
        }
    }
}
