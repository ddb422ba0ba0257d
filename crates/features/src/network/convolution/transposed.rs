//! The transpose of a convolution on the CPU, its weights laid out once for all maps that are brought back through it.

use std::sync::Arc;

use super::{
    Geometry,
    cpu::{Cover, TILE, Tap, by_tiles, positions},
    kernel::{Kernel, Side},
    plane::Plane,
    product::{Matrix, Onto, product, product_apart},
    share::{Hands, Scratch},
    winograd::{self, Tiling},
};
use crate::network::Maps;
use crate::tensor::Tensor;

/// `Wᵀ` for maps of one size.
#[derive(Debug)]
pub struct Transposed {
    form: Form,
    kernel: Arc<Kernel>,
    geometry: Geometry,
    /// Of the kernel: rows, columns.
    window: [usize; 2],
    /// Of what is made: rows, columns.
    size: [usize; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One product, whatever the stride.
    Pointwise,
    /// See [`winograd`].
    Winograd,
    /// One product a kernel position.
    General,
}

/// What is brought back.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// Maps.
    Maps(&'a Maps),
    /// Maps that are worked out where they are read, and then not kept.
    Read {
        /// Of the maps.
        dims: [usize; 4],
        /// Fills a run of values: of this image, this channel, from this position on.
        read: Reader<'a>,
    },
}

/// Fills a run of values of an image and a channel, from a position on.
pub type Reader<'a> = &'a (dyn Fn(&mut [f32], usize, usize, usize) + Sync);

/// What is done with made values while they are at hand: a run of an image, from a position on that is counted over all
/// of its channels.
pub type Finisher<'a> = &'a (dyn Fn(&mut [f32], usize, usize) + Sync);

impl Given<'_> {
    fn dims(&self) -> [usize; 4] {
        match self {
            Self::Maps(maps) => maps.dims,
            Self::Read { dims, .. } => *dims,
        }
    }
}

/// The form for weights `[out, in, kernel rows, kernel columns]` and made maps of `size`.
fn form(weight: [usize; 4], geometry: Geometry, size: [usize; 2]) -> Form {
    let [_, _, rows, columns] = weight;
    if winograd::suits(weight, geometry.stride, geometry.padding, size) {
        Form::Winograd
    } else if [rows, columns] == [1, 1] && geometry.padding == [0, 0] {
        Form::Pointwise
    } else {
        Form::General
    }
}

impl Transposed {
    /// For `weight` `[out, in, kernel rows, kernel columns]` and made maps of `size` `[rows, columns]`.
    pub fn new(weight: &Tensor<4>, geometry: Geometry, size: [usize; 2]) -> Self {
        let [_, _, rows, columns] = weight.dims();
        let kernel = Kernel::new(weight, Side::Input);
        let form = form(weight.dims(), geometry, size);
        let kernel = if form == Form::Winograd { winograd::transformed(&kernel.flipped()) } else { kernel };
        Self { form, kernel: Arc::new(kernel), geometry, window: [rows, columns], size }
    }

    /// The same weights for made maps of another size; none where they would have to be laid out otherwise.
    pub fn resized(&self, size: [usize; 2]) -> Option<Self> {
        let [rows, columns] = self.window;
        let same = form([self.kernel.from, self.kernel.to, rows, columns], self.geometry, size) == self.form;
        same.then(|| Self { size, kernel: self.kernel.clone(), ..*self })
    }

    /// Rows and columns of made maps.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Values of a made map.
    pub fn map_values(&self) -> usize {
        self.kernel.to * self.size[0] * self.size[1]
    }

    /// Brings `[m, out, rows', columns']` to `[m, in, rows, columns]`, in the memory of `made`, whose values are of no
    /// importance.
    pub fn run(&self, given: Given<'_>, finish: Finisher<'_>, hands: &mut Hands, made: Vec<f32>) -> Maps {
        let [images, channels, height, width] = given.dims();
        let area = self.size[0] * self.size[1];
        let mut values = made;
        values.resize(images * self.map_values(), 0.0);
        let shape = [images, self.kernel.to, area];
        match (self.form, given) {
            (Form::Pointwise, given) => hands.fill(&mut values, shape, 1, |scratch, image, made, first| {
                self.pointwise(given, image, made, first, scratch, finish);
            }),
            (Form::Winograd, Given::Maps(maps)) => {
                let padding = self.geometry.padding.map(|padding| 2 - padding);
                let tiling = Tiling { size: [height, width], padding, out: self.size };
                by_tiles(
                    hands,
                    &tiling,
                    &self.kernel,
                    &maps.values,
                    &mut values,
                    |values, image, channel, position| {
                        finish(values, image, channel * area + position);
                    },
                );
            }
            (Form::General, Given::Maps(maps)) => self.general(maps, finish, hands, &mut values),
            (_, Given::Read { dims, read }) => {
                let mut maps = Maps { dims, values: vec![0.0; dims.iter().product()] };
                for (plane, values) in maps.values.chunks_exact_mut(height * width).enumerate() {
                    read(values, plane / channels, plane % channels, 0);
                }
                return self.run(Given::Maps(&maps), finish, hands, values);
            }
        }
        Maps { dims: [images, self.kernel.to, self.size[0], self.size[1]], values }
    }

    /// A kernel of one position: a product for some positions at a time, straight to where it belongs.
    fn pointwise(
        &self,
        given: Given<'_>,
        image: usize,
        made: &mut [f32],
        first: usize,
        scratch: &mut Scratch,
        finish: Finisher<'_>,
    ) {
        let [_, channels, height, width] = given.dims();
        let (area, whole) = (height * width, self.size[0] * self.size[1]);
        let rows = made.len() / whole;
        let dense = self.geometry.stride == [1, 1];
        if !dense {
            made.fill(0.0);
        }
        let Scratch { moved, taken, sums, .. } = scratch;
        for start in (0..area).step_by(TILE) {
            let count = TILE.min(area - start);
            let (source, apart) = match given {
                Given::Maps(maps) => (&maps.values[image * channels * area + start..], area),
                Given::Read { read, .. } => {
                    moved.resize(channels * count, 0.0);
                    let runs = moved.chunks_exact_mut(count).enumerate();
                    runs.for_each(|(channel, run)| read(run, image, channel, start));
                    (moved.as_slice(), count)
                }
            };
            let weights = &self.kernel.values[first * channels..][..rows * channels];
            // What belongs to one class is zero in the channels of all others.
            let some: Vec<usize> =
                (0..channels).filter(|channel| !is_zero(&source[channel * apart..][..count])).collect();
            let few = 2 * some.len() <= channels;
            let kept: Vec<f32>;
            let (depth, left, right) = if few {
                taken.clear();
                taken.extend(weights.chunks_exact(channels).flat_map(|row| some.iter().map(|channel| row[*channel])));
                kept = some.iter().flat_map(|channel| &source[channel * apart..][..count]).copied().collect();
                (some.len(), Matrix::rows(taken, some.len()), Matrix::rows(&kept, count))
            } else {
                (channels, Matrix::rows(weights, channels), Matrix::rows(source, apart))
            };
            if dense {
                if depth == 0 {
                    made.chunks_exact_mut(whole).for_each(|row| row[start..start + count].fill(0.0));
                } else {
                    product_apart([rows, depth, count], left, right, &mut made[start..], whole, Onto::Nothing);
                }
                for (row, made) in made.chunks_exact_mut(whole).enumerate() {
                    finish(&mut made[start..start + count], image, (first + row) * whole + start);
                }
            } else if depth > 0 {
                sums.resize(rows * count, 0.0);
                product([rows, depth, count], left, right, sums, Onto::Nothing);
                for (made, sums) in made.chunks_exact_mut(whole).zip(sums.chunks_exact(count)) {
                    self.spread(made, sums, start, width);
                }
            }
        }
        if !dense {
            for (row, made) in made.chunks_exact_mut(whole).enumerate() {
                finish(made, image, (first + row) * whole);
            }
        }
    }

    /// Lays values of a map of `width` columns, from position `start` on, to where the stride puts them.
    fn spread(&self, made: &mut [f32], values: &[f32], start: usize, width: usize) {
        let [down, across] = self.geometry.stride;
        let mut values = values;
        let mut at = start;
        while !values.is_empty() {
            let (row, column) = (at / width, at % width);
            let (run, rest) = values.split_at((width - column).min(values.len()));
            let to = made[row * down * self.size[1] + column * across..].iter_mut().step_by(across);
            to.zip(run).for_each(|(to, value)| *to = *value);
            at += run.len();
            values = rest;
        }
    }

    // METHOD: x[c, u] = sum over kernel positions a with u + p = i s + a of W[o, c, a]ᵀ y[o, i]. The positions a with
    // the same remainder r serve the same u: those with (u + p) mod s = r, which again form a plane.
    fn general(&self, given: &Maps, finish: Finisher<'_>, hands: &mut Hands, made: &mut [f32]) {
        let Geometry { stride, padding } = self.geometry;
        let [images, channels, height, width] = given.dims;
        let (size, area) = (self.size, self.size[0] * self.size[1]);
        let reach = [0, 1].map(|axis| (self.window[axis] - 1) / stride[axis]);
        // Planes are counted from the padded map's first row, so the last one any phase writes is this.
        let last = [0, 1].map(|axis| (size[axis] - 1 + padding[axis]) / stride[axis]);
        let plane = Plane { rows: last[0] + 1 + reach[0], columns: last[1] + 1 + reach[1], channels };
        let phases: Vec<Phase> = positions(stride[0].min(self.window[0]), stride[1].min(self.window[1]))
            .map(|phase| Phase::new(phase, self.window, reach, self.geometry, size, &plane))
            .collect();
        // Where the stride is longer than the kernel, some positions get nothing.
        let gaps = stride[0] > self.window[0] || stride[1] > self.window[1];
        let direct = reach == [0, 0] && [plane.rows, plane.columns] == [height, width];
        hands.fill(made, [images, self.kernel.to, area], 1, |scratch, image, made, first| {
            let map = &given.values[image * channels * height * width..][..channels * height * width];
            let Scratch { planes, sums, moved, .. } = scratch;
            let source = if direct {
                map
            } else {
                planes.resize(plane.len(), 0.0);
                plane.gather(planes, map, [height, width], reach.map(|reach| -(reach as isize)), [1, 1]);
                planes
            };
            if gaps {
                made.fill(0.0);
            }
            for phase in &phases {
                let [rows, columns] = phase.count;
                let cover = Cover { taps: &phase.taps, rows, columns, plane };
                let channels = first..first + made.len() / area;
                cover.run(&self.kernel, channels, source, [sums, moved], |channel, row, column, run| {
                    let at = channel * area
                        + (row * stride[0] + phase.start[0]) * size[1]
                        + column * stride[1]
                        + phase.start[1];
                    if stride[1] == 1 {
                        made[at..at + run.len()].copy_from_slice(run);
                    } else {
                        made[at..].iter_mut().step_by(stride[1]).zip(run).for_each(|(to, value)| *to = *value);
                    }
                });
            }
            finish(made, image, first * area);
        });
    }
}

/// Whether all values are 0; by blocks without a branch, which the compiler makes vectors of.
fn is_zero(values: &[f32]) -> bool {
    let none = |block: &[f32]| block.iter().fold(0, |bits, value| bits | value.to_bits() << 1) == 0;
    values.chunks(32).all(none)
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
