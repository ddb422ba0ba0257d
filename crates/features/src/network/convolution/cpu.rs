//! Convolution on the CPU: one matrix product a kernel position, on a view of the map that is moved by that position.
//!
//! With rows padded to one width, moving the kernel by one position moves the whole map by one offset, so the map
//! never has to be unrolled. Strides are taken apart first: every `stride`-th row and column form a plane of their own,
//! and within a plane the kernel moves by one.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Finish, Geometry, Steps,
    kernel::{Kernel, Side},
    plane::Plane,
    product::{Matrix, Onto, product, product_apart},
    winograd::{self, Scratch, Tiling},
};
use crate::network::Maps;
use crate::tensor::{Tensor, from_vec, to_vec};

/// Columns of a product at a time: its destination then stays in the second-level cache.
const TILE: usize = 512;
/// Source channels below which all taps make one product: one of three colours alone is mostly overhead.
const FEW_CHANNELS: usize = 16;
/// Output channels that are worth a thread of their own.
const LEAST_CHANNELS: usize = 32;

/// As [`super::convolve`].
pub fn convolve(input: Tensor<4>, weight: &Tensor<4>, geometry: Geometry, finish: &Finish<'_>) -> Tensor<4> {
    let device = input.device();
    convolve_maps(&Maps::of(input), weight, geometry, &finish.steps(None)).into_tensor(&device)
}

/// The same over plain maps.
// METHOD: y[o, i, j] = sum_{c, a, b} W[o, c, a, b] x[c, i s + a - p, j s + b - p]; with a = s q + r, position (a, b) reads
// plane (r, r') at the offset (q, q').
pub fn convolve_maps(input: &Maps, weight: &Tensor<4>, geometry: Geometry, steps: &Steps<'_>) -> Maps {
    let Geometry { stride, padding } = geometry;
    let [images, channels, height, width] = input.dims;
    let [outputs, _, kernel_rows, kernel_columns] = weight.dims();
    let out = |axis: usize, size: usize, kernel: usize| (size + 2 * padding[axis] - kernel) / stride[axis] + 1;
    let (rows, columns) = (out(0, height, kernel_rows), out(1, width, kernel_columns));
    let dims = [images, outputs, rows, columns];
    if winograd::suits(weight.dims(), stride, padding, [rows, columns]) {
        let kernel = winograd::transformed(&Kernel::new(weight, Side::Output));
        let tiling = Tiling { size: [height, width], padding, out: [rows, columns] };
        let values = by_tiles(&tiling, &kernel, &input.values, |values, image, channel, position| {
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
    let kernel = Kernel::new(weight, Side::Output);
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
    let values = by_image(images, outputs, rows * columns, |image, made, first| {
        let map = &input.values[image * channels * height * width..][..channels * height * width];
        let planes = (!direct).then(|| {
            let mut planes = vec![0.0; phases[0] * phases[1] * plane.len()];
            for (phase, values) in planes.chunks_exact_mut(plane.len()).enumerate() {
                let start = [0, 1].map(|axis| {
                    let phase = if axis == 0 { phase / phases[1] } else { phase % phases[1] };
                    phase as isize - padding[axis] as isize
                });
                plane.gather(values, map, [height, width], start, stride);
            }
            planes
        });
        let source = planes.as_deref().unwrap_or(map);
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
        cover.run(&kernel, first, made.len() / (rows * columns), source, |channel, row, column, run| {
            let to = &mut made[(channel * rows + row) * columns + column..][..run.len()];
            to.copy_from_slice(run);
            steps.run(to, first + channel, (image * rows + row) * columns + column);
        });
    });
    Maps { dims, values }
}

/// As [`super::convolve_transposed`].
// METHOD: x[c, u] = sum over kernel positions a with u + p = i s + a of W[o, c, a]ᵀ y[o, i]. The positions a with
// the same remainder r serve the same u: those with (u + p) mod s = r, which again form a plane.
pub fn convolve_transposed(
    given: Tensor<4>,
    weight: &Tensor<4>,
    geometry: Geometry,
    size: [usize; 2],
    factor: Option<&Tensor<4>>,
) -> Tensor<4> {
    let Geometry { stride, padding } = geometry;
    let device = given.device();
    let [images, channels, height, width] = given.dims();
    let [_, inputs, kernel_rows, kernel_columns] = weight.dims();
    let area = size[0] * size[1];
    let met = factor.map_or(1, |factor| images / factor.dims()[0]);
    let factor = factor.map(|factor| to_vec(factor.clone()));
    let multiply = |values: &mut [f32], image: usize, position: usize| {
        let Some(factor) = &factor else { return };
        let factor = &factor[image / met * inputs * area + position..];
        values.iter_mut().zip(factor).for_each(|(value, factor)| *value *= factor);
    };
    if winograd::suits(weight.dims(), stride, padding, size) {
        let kernel = winograd::transformed(&Kernel::new(weight, Side::Input).flipped());
        let tiling = Tiling { size: [height, width], padding: padding.map(|padding| 2 - padding), out: size };
        let result = by_tiles(&tiling, &kernel, &to_vec(given), |values, image, channel, position| {
            multiply(values, image, channel * area + position);
        });
        return from_vec(result, [images, inputs, size[0], size[1]], &device);
    }
    let kernel_size = [kernel_rows, kernel_columns];
    let reach = [0, 1].map(|axis| (kernel_size[axis] - 1) / stride[axis]);
    // Planes are counted from the padded map's first row, so the last one any phase writes is this.
    let last = [0, 1].map(|axis| (size[axis] - 1 + padding[axis]) / stride[axis]);
    let plane = Plane { rows: last[0] + 1 + reach[0], columns: last[1] + 1 + reach[1], channels };
    let phases: Vec<Phase> = positions(stride[0].min(kernel_rows), stride[1].min(kernel_columns))
        .map(|phase| Phase::new(phase, kernel_size, reach, geometry, size, &plane))
        .collect();
    let kernel = Kernel::new(weight, Side::Input);
    let values = to_vec(given);
    let direct = reach == [0, 0] && [plane.rows, plane.columns] == [height, width];
    let result = by_image(images, inputs, area, |image, made, first| {
        let map = &values[image * channels * height * width..][..channels * height * width];
        let padded = (!direct).then(|| {
            let mut padded = vec![0.0; plane.len()];
            plane.gather(&mut padded, map, [height, width], reach.map(|reach| -(reach as isize)), [1, 1]);
            padded
        });
        let source = padded.as_deref().unwrap_or(map);
        for phase in &phases {
            let [rows, columns] = phase.count;
            let cover = Cover { taps: &phase.taps, rows, columns, plane };
            cover.run(&kernel, first, made.len() / area, source, |channel, row, column, run| {
                let at =
                    channel * area + (row * stride[0] + phase.start[0]) * size[1] + column * stride[1] + phase.start[1];
                if stride[1] == 1 {
                    made[at..at + run.len()].copy_from_slice(run);
                } else {
                    made[at..].iter_mut().step_by(stride[1]).zip(run).for_each(|(to, value)| *to = *value);
                }
            });
        }
        multiply(made, image, first * area);
    });
    from_vec(result, [images, inputs, size[0], size[1]], &device)
}

/// Every (row, column) of a kernel or of its phases.
fn positions(rows: usize, columns: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| [row, column]))
}

/// Runs a tiling over all images and destination channels on all threads.
fn by_tiles(
    tiling: &Tiling,
    kernel: &Kernel,
    maps: &[f32],
    finish: impl Fn(&mut [f32], usize, usize, usize) + Sync,
) -> Vec<f32> {
    let (map, area) = (kernel.from * tiling.size[0] * tiling.size[1], tiling.out[0] * tiling.out[1]);
    let images = maps.len() / map;
    let together = tiling.images_together().min(images / rayon::current_num_threads()).max(1);
    by_images(images, kernel.to, area, together, |scratch: &mut Scratch, image, made, first| {
        let count = (images - image).min(together);
        let maps = &maps[image * map..][..count * map];
        tiling.run(kernel, maps, first, made, scratch, |values, of, channel, position| {
            finish(values, image + of, channel, position);
        });
    })
}

/// [`by_images`], one at a time.
fn by_image(images: usize, channels: usize, area: usize, make: impl Fn(usize, &mut [f32], usize) + Sync) -> Vec<f32> {
    by_images(images, channels, area, 1, |(): &mut (), image, made, first| make(image, made, first))
}

/// Fills `[images, channels, area]` by `make(scratch, image, its channels from `first` on, first)`, on all threads:
/// `together` images each, and where there are fewer images than threads, some channels of an image each.
fn by_images<S: Default>(
    images: usize,
    channels: usize,
    area: usize,
    together: usize,
    make: impl Fn(&mut S, usize, &mut [f32], usize) + Sync,
) -> Vec<f32> {
    let mut values = vec![0.0; images * channels * area];
    let threads = rayon::current_num_threads().div_ceil(images.max(1));
    let block = if together > 1 { channels } else { channels.div_ceil(threads).max(LEAST_CHANNELS).min(channels) };
    let jobs: Vec<(usize, usize, &mut [f32])> = values
        .chunks_mut(together * channels * area)
        .enumerate()
        .flat_map(|(group, made)| {
            // Several images are one piece: their channels do not lie side by side.
            let size = if together > 1 { made.len() } else { block * area };
            made.chunks_mut(size).enumerate().map(move |(part, made)| (group * together, part * block, made))
        })
        .collect();
    jobs.into_par_iter().for_each_init(S::default, |scratch, (image, first, made)| make(scratch, image, made, first));
    values
}

/// A kernel position: its matrix, and by how much it moves the source.
#[derive(Debug, Clone, Copy)]
struct Tap {
    matrix: usize,
    offset: usize,
}

/// One remainder of the transpose's positions: what it reads and where it writes.
struct Phase {
    taps: Vec<Tap>,
    /// First row and column it writes.
    start: [usize; 2],
    /// How many rows and columns it writes.
    count: [usize; 2],
}

impl Phase {
    fn new(
        phase: [usize; 2],
        kernel: [usize; 2],
        reach: [usize; 2],
        geometry: Geometry,
        size: [usize; 2],
        plane: &Plane,
    ) -> Self {
        let Geometry { stride, padding } = geometry;
        // The first index in the plane whose place in the map is not in the border.
        let first = [0, 1].map(|axis| padding[axis].saturating_sub(phase[axis]).div_ceil(stride[axis]));
        let start = [0, 1].map(|axis| first[axis] * stride[axis] + phase[axis] - padding[axis]);
        let count = [0, 1].map(|axis| size[axis].saturating_sub(start[axis]).div_ceil(stride[axis]));
        let steps = [0, 1].map(|axis| (kernel[axis] - phase[axis]).div_ceil(stride[axis]));
        let taps = positions(steps[0], steps[1])
            .map(|[q, r]| Tap {
                matrix: (phase[0] + q * stride[0]) * kernel[1] + phase[1] + r * stride[1],
                offset: (first[0] + reach[0] - q) * plane.columns + first[1] + reach[1] - r,
            })
            .collect();
        Self { taps, start, count }
    }
}

/// The sum of all taps over `rows` by `columns` positions of a plane.
struct Cover<'a> {
    taps: &'a [Tap],
    rows: usize,
    columns: usize,
    plane: Plane,
}

impl Cover<'_> {
    /// Computes `channels` destination channels from `first` on, and hands each row's piece to
    /// `put(channel, row, first column, values)`.
    fn run(
        &self,
        kernel: &Kernel,
        first: usize,
        channels: usize,
        source: &[f32],
        mut put: impl FnMut(usize, usize, usize, &[f32]),
    ) {
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        let width = self.plane.columns;
        let area = self.plane.rows * width;
        let length = (self.rows - 1) * width + self.columns;
        let mut sums = vec![0.0; channels * TILE.min(length)];
        let joined = (kernel.from < FEW_CHANNELS).then(|| self.joined(kernel, first..first + channels));
        let depth = self.taps.len() * kernel.from;
        let mut moved = Vec::new();
        for start in (0..length).step_by(TILE) {
            let count = TILE.min(length - start);
            if let Some(joined) = &joined {
                moved.clear();
                for (tap, channel) in self.taps.iter().flat_map(|tap| (0..kernel.from).map(move |c| (tap, c))) {
                    moved.extend_from_slice(&source[channel * area + tap.offset + start..][..count]);
                }
                let (left, right) = (Matrix::rows(joined, depth), Matrix::rows(&moved, count));
                product([channels, depth, count], left, right, &mut sums, Onto::Nothing);
            }
            for (index, tap) in self.taps.iter().enumerate().filter(|_| joined.is_none()) {
                let left = Matrix::rows(&kernel.values[(tap.matrix * kernel.to + first) * kernel.from..], kernel.from);
                let right = Matrix::rows(&source[tap.offset + start..], area);
                let onto = if index == 0 { Onto::Nothing } else { Onto::Sum };
                product([channels, kernel.from, count], left, right, &mut sums, onto);
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
