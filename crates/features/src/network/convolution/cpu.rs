//! Convolution on the CPU: one matrix product a kernel position, on a view of the map that is moved by that position.
//!
//! With rows padded to one width, moving the kernel by one position moves the whole map by one offset, so the map
//! never has to be unrolled. Strides are taken apart first: every `stride`-th row and column form a plane of their own,
//! and within a plane the kernel moves by one.

use std::ops::Range;

use super::{
    Filter, Finish, Geometry, Steps,
    kernel::Kernel,
    plane::Plane,
    product::{Matrix, Onto, product, product_apart},
    share::{Hands, Scratch},
    spare::Spare,
    transposed::{Given, Transposed},
    winograd::{self, Tiling},
};
use crate::network::Maps;
use crate::tensor::{Tensor, to_vec};

/// Columns of a product at a time: its destination then stays in the second-level cache.
pub(super) const TILE: usize = 512;
/// Source channels below which all taps make one product: one of three colours alone is mostly overhead.
const FEW_CHANNELS: usize = 16;

/// As [`super::convolve`].
pub fn convolve(input: Tensor<4>, filter: &Filter, geometry: Geometry, finish: &Finish<'_>) -> Tensor<4> {
    let device = input.device();
    let steps = finish.steps(None);
    convolve_maps(&Maps::of(input), filter, geometry, &steps, &mut Spare::default()).into_tensor(&device)
}

/// The same over plain maps, in memory of `spare` where it has room.
// METHOD: y[o, i, j] = sum_{c, a, b} W[o, c, a, b] x[c, i s + a - p, j s + b - p]; with a = s q + r, position (a, b) reads
// plane (r, r') at the offset (q, q').
pub fn convolve_maps(input: &Maps, filter: &Filter, geometry: Geometry, steps: &Steps<'_>, spare: &mut Spare) -> Maps {
    let Geometry { stride, padding } = geometry;
    let [images, channels, height, width] = input.dims;
    let [outputs, _, kernel_rows, kernel_columns] = filter.dims();
    let out = |axis: usize, size: usize, kernel: usize| (size + 2 * padding[axis] - kernel) / stride[axis] + 1;
    let (rows, columns) = (out(0, height, kernel_rows), out(1, width, kernel_columns));
    let dims = [images, outputs, rows, columns];
    let (mut hands, mut values) = (Hands::all(), spare.take(dims.iter().product()));
    if winograd::suits(filter.dims(), stride, padding, [rows, columns]) {
        let kernel = filter.tiles();
        let tiling = Tiling { size: [height, width], padding, out: [rows, columns] };
        by_tiles(&mut hands, &tiling, kernel, &input.values, &mut values, |values, image, channel, position| {
            steps.run(values, channel, image * rows * columns + position);
        });
        return Maps { dims, values };
    }
    let plane = Plane {
        rows: rows + (kernel_rows - 1) / stride[0],
        columns: columns + (kernel_columns - 1) / stride[1],
        channels,
    };
    let phases = [stride[0].min(kernel_rows), stride[1].min(kernel_columns)];
    let kernel = filter.positions();
    let taps: Vec<Tap> = positions(kernel_rows, kernel_columns)
        .map(|[a, b]| Tap {
            matrix: a * kernel_columns + b,
            offset: (a % stride[0] * phases[1] + b % stride[1]) * plane.len()
                + a / stride[0] * plane.columns
                + b / stride[1],
        })
        .collect();
    let pointwise = [kernel_rows, kernel_columns] == [1, 1];
    // A map that is one plane without a border is read where it is.
    let direct = phases == [1, 1] && stride == [1, 1] && padding == [0, 0];
    hands.fill(&mut values, [images, outputs, rows * columns], 1, |scratch, image, made, first| {
        let map = &input.values[image * channels * height * width..][..channels * height * width];
        let Scratch { planes, sums, moved, .. } = scratch;
        let source = if direct {
            map
        } else {
            planes.resize(phases[0] * phases[1] * plane.len(), 0.0);
            for (phase, values) in planes.chunks_exact_mut(plane.len()).enumerate() {
                let start = [0, 1].map(|axis| {
                    let phase = if axis == 0 { phase / phases[1] } else { phase % phases[1] };
                    phase as isize - padding[axis] as isize
                });
                plane.gather(values, map, [height, width], start, stride);
            }
            planes
        };
        if pointwise {
            // One product a tile, straight to where it belongs.
            let area = rows * columns;
            let channels = made.len() / area;
            let left = Matrix::rows(&kernel.values[first * kernel.from..], kernel.from);
            for start in (0..area).step_by(TILE) {
                let count = TILE.min(area - start);
                let right = Matrix::rows(&source[start..], area);
                product_apart([channels, kernel.from, count], left, right, &mut made[start..], area, Onto::Nothing);
                for channel in 0..channels {
                    let run = &mut made[channel * area + start..][..count];
                    steps.run(run, first + channel, image * area + start);
                }
            }
            return;
        }
        let cover = Cover { taps: &taps, rows, columns, plane };
        let channels = first..first + made.len() / (rows * columns);
        cover.run(kernel, channels, source, [sums, moved], |channel, row, column, run| {
            let to = &mut made[(channel * rows + row) * columns + column..][..run.len()];
            to.copy_from_slice(run);
            steps.run(to, first + channel, (image * rows + row) * columns + column);
        });
    });
    Maps { dims, values }
}

/// As [`super::convolve_transposed`].
pub fn convolve_transposed(
    given: Tensor<4>,
    weight: &Tensor<4>,
    geometry: Geometry,
    size: [usize; 2],
    factor: Option<&Tensor<4>>,
) -> Tensor<4> {
    let device = given.device();
    let met = factor.map_or(1, |factor| given.dims()[0] / factor.dims()[0]);
    let factor = factor.map(|factor| to_vec(factor.clone()));
    let transposed = Transposed::new(weight, geometry, size);
    let multiply = |values: &mut [f32], image: usize, position: usize| {
        let Some(factor) = &factor else { return };
        let factor = &factor[image / met * transposed.map_values() + position..];
        values.iter_mut().zip(factor).for_each(|(value, factor)| *value *= factor);
    };
    let given = Maps::of(given);
    transposed.run(Given::Maps(&given), &multiply, &mut Hands::all(), Vec::new()).into_tensor(&device)
}

/// Every (row, column) of a kernel or of its phases.
pub(super) fn positions(rows: usize, columns: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| [row, column]))
}

/// Runs a tiling over all images and destination channels.
pub(super) fn by_tiles(
    hands: &mut Hands,
    tiling: &Tiling,
    kernel: &Kernel,
    maps: &[f32],
    made: &mut [f32],
    finish: impl Fn(&mut [f32], usize, usize, usize) + Sync,
) {
    let (map, area) = (kernel.from * tiling.size[0] * tiling.size[1], tiling.out[0] * tiling.out[1]);
    let images = maps.len() / map;
    let together = tiling.images_together().min(images / hands.count()).max(1);
    hands.fill(made, [images, kernel.to, area], together, |scratch, image, made, first| {
        let count = (images - image).min(together);
        let maps = &maps[image * map..][..count * map];
        tiling.run(kernel, maps, first, made, scratch, |values, of, channel, position| {
            finish(values, image + of, channel, position);
        });
    });
}

/// A kernel position: its matrix, and by how much it moves the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    pub(super) matrix: usize,
    pub(super) offset: usize,
}

/// The sum of all taps over `rows` by `columns` positions of a plane.
pub(super) struct Cover<'a> {
    pub(super) taps: &'a [Tap],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) plane: Plane,
}

impl Cover<'_> {
    /// Computes these destination channels in the memory of `sums` and `moved`, and hands each row's piece to
    /// `put(channel, counted from the first of them, row, first column, values)`.
    pub(super) fn run(
        &self,
        kernel: &Kernel,
        channels: Range<usize>,
        source: &[f32],
        [sums, moved]: [&mut Vec<f32>; 2],
        mut put: impl FnMut(usize, usize, usize, &[f32]),
    ) {
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        let width = self.plane.columns;
        let area = self.plane.rows * width;
        let length = (self.rows - 1) * width + self.columns;
        let joined = (kernel.from < FEW_CHANNELS).then(|| self.joined(kernel, channels.clone()));
        let (first, channels) = (channels.start, channels.len());
        let depth = self.taps.len() * kernel.from;
        sums.resize(channels * TILE.min(length), 0.0);
        for start in (0..length).step_by(TILE) {
            let count = TILE.min(length - start);
            if let Some(joined) = &joined {
                moved.clear();
                for (tap, channel) in self.taps.iter().flat_map(|tap| (0..kernel.from).map(move |c| (tap, c))) {
                    moved.extend_from_slice(&source[channel * area + tap.offset + start..][..count]);
                }
                let (left, right) = (Matrix::rows(joined, depth), Matrix::rows(moved, count));
                product([channels, depth, count], left, right, sums, Onto::Nothing);
            }
            for (index, tap) in self.taps.iter().enumerate().filter(|_| joined.is_none()) {
                let left = Matrix::rows(&kernel.values[(tap.matrix * kernel.to + first) * kernel.from..], kernel.from);
                let right = Matrix::rows(&source[tap.offset + start..], area);
                let onto = if index == 0 { Onto::Nothing } else { Onto::Sum };
                product([channels, kernel.from, count], left, right, sums, onto);
            }
            for row in start / width..=(start + count - 1) / width {
                let columns = (row * width).max(start)..(row * width + self.columns).min(start + count);
                if columns.is_empty() {
                    continue;
                }
                for channel in 0..channels {
                    let run = &sums[channel * count..][columns.start - start..columns.end - start];
                    put(channel, row, columns.start - row * width, run);
                }
            }
        }
    }

    /// The matrices of all taps side by side: `[channels, taps * from]`.
    fn joined(&self, kernel: &Kernel, channels: Range<usize>) -> Vec<f32> {
        let row = |channel: usize| {
            let at = move |tap: &Tap| (tap.matrix * kernel.to + channel) * kernel.from;
            self.taps.iter().flat_map(move |tap| &kernel.values[at(tap)..][..kernel.from])
        };
        channels.flat_map(row).copied().collect()
    }
}
