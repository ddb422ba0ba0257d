//! 3x3 convolutions with stride 1 by Winograd's minimal filtering F(2x2, 3x3): 16 products a tile instead of 36.
//!
//! The map is cut into tiles of 2x2 outputs, which read 4x4 inputs each. A tile and the kernel are brought to a space
//! where the convolution is a product number by number, so that over all channels and tiles it is 16 matrix products.
//! All numbers of the transforms are 0, 1/2 and 1, so float32 loses about as little as the direct sum does.

use wide::f32x4;

use super::{
    kernel::Kernel,
    plane::Plane,
    product::{Matrix, Onto, product},
    share::Scratch,
};

/// Tiles of a product at a time: tiles and products then stay in the caches.
const TILES: usize = 144;
/// Tiles of a row come in groups of this many, which fill a vector of the processor.
const LANES: usize = 4;
/// Channels on either side below which the transforms cost more than they save.
const LEAST_CHANNELS: usize = 16;
/// Rows and columns of outputs below which tiles are mostly border.
const LEAST_SIZE: usize = 4;

/// Whether a convolution with this kernel (outputs, inputs, rows, columns) has this form and gains by it.
pub(super) fn suits(kernel: [usize; 4], stride: [usize; 2], padding: [usize; 2], out: [usize; 2]) -> bool {
    let [outputs, inputs, rows, columns] = kernel;
    [rows, columns] == [3, 3]
        && stride == [1, 1]
        && padding.iter().all(|padding| *padding <= 2)
        && outputs.min(inputs) >= LEAST_CHANNELS
        && out[0].min(out[1]) >= LEAST_SIZE
}

/// `G g Gᵀ` for every pair of channels: from 9 matrices to 16.
// METHOD: Lavin and Gray 2016, sec. 4.1: G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1].
pub(super) fn transformed(kernel: &Kernel) -> Kernel {
    let matrix = kernel.to * kernel.from;
    let mut rows = vec![0.0; 12 * matrix];
    along_one_axis(&kernel.values, &mut rows);
    let mut values = vec![0.0; 16 * matrix];
    // Four rows of three matrices; the second step goes along columns.
    rows.chunks_exact(3 * matrix)
        .zip(values.chunks_exact_mut(4 * matrix))
        .for_each(|(row, made)| along_one_axis(row, made));
    Kernel { values, ..*kernel }
}

/// Applies `G` to three equal parts of `given`, which makes four.
fn along_one_axis(given: &[f32], made: &mut [f32]) {
    let part = given.len() / 3;
    let [first, second, third] = [0, 1, 2].map(|index| &given[index * part..][..part]);
    let outer = |sign: f32| first.iter().zip(second).zip(third).map(move |((a, b), c)| 0.5 * (a + c) + sign * 0.5 * b);
    for (index, made) in made.chunks_exact_mut(part).enumerate() {
        match index {
            0 => made.copy_from_slice(first),
            1 => made.iter_mut().zip(outer(1.0)).for_each(|(made, value)| *made = value),
            2 => made.iter_mut().zip(outer(-1.0)).for_each(|(made, value)| *made = value),
            _ => made.copy_from_slice(third),
        }
    }
}

/// What all maps of a batch have in common.
pub(super) struct Tiling {
    /// Rows, columns of the given map.
    pub(super) size: [usize; 2],
    /// Zeros around it.
    pub(super) padding: [usize; 2],
    /// Rows, columns of the made map.
    pub(super) out: [usize; 2],
}

impl Tiling {
    /// Tiles in a column and in a row.
    fn tiles(&self) -> [usize; 2] {
        let [rows, columns] = self.out.map(|size| size.div_ceil(2));
        [rows, columns.next_multiple_of(LANES)]
    }

    /// Images that are worth a product together.
    pub(super) fn images_together(&self) -> usize {
        let [rows, columns] = self.tiles();
        TILES.div_ceil(rows * columns)
    }

    /// Correlates maps `[images, from, rows, columns]` with the transformed `kernel` and fills `made`
    /// `[images, channels, out rows, out columns]`, destination channels from `first` on. `finish` gets pieces of `made`
    /// with their image, channel and position.
    pub(super) fn run(
        &self,
        kernel: &Kernel,
        maps: &[f32],
        first: usize,
        made: &mut [f32],
        scratch: &mut Scratch,
        finish: impl Fn(&mut [f32], usize, usize, usize),
    ) {
        let [tile_rows, tile_columns] = self.tiles();
        let [rows, columns] = self.out;
        let (map, area) = (kernel.from * self.size[0] * self.size[1], rows * columns);
        let images = maps.len() / map;
        let channels = made.len() / (images * area);
        let plane = Plane { rows: tile_rows + 1, columns: tile_columns + 1, channels: kernel.from };
        let together = (TILES / tile_columns).max(1).min(images * tile_rows);
        scratch.planes.resize(4 * plane.len(), 0.0);
        scratch.tiles.resize(16 * kernel.from * together * tile_columns, 0.0);
        scratch.products.resize(16 * channels * together * tile_columns, 0.0);
        scratch.row.resize_with(4, Vec::new);
        scratch.row.iter_mut().for_each(|row| row.resize(tile_columns, 0.0));
        let Scratch { planes, tiles, products, row: made_row, .. } = scratch;
        let mut gathered = None;
        for start in (0..images * tile_rows).step_by(together) {
            let block = start..(start + together).min(images * tile_rows);
            let count = block.len() * tile_columns;
            for (index, row) in block.clone().enumerate() {
                let image = row / tile_rows;
                if gathered != Some(image) {
                    self.gather(&plane, planes, &maps[image * map..][..map]);
                    gathered = Some(image);
                }
                tiles_of_row(&plane, planes, row % tile_rows, tiles, index * tile_columns, count);
            }
            for position in 0..16 {
                let left = Matrix::rows(&kernel.values[(position * kernel.to + first) * kernel.from..], kernel.from);
                let right = Matrix::rows(&tiles[position * kernel.from * count..], count);
                let out = &mut products[position * channels * count..][..channels * count];
                product([channels, kernel.from, count], left, right, out, Onto::Nothing);
            }
            for image in block.start / tile_rows..=(block.end - 1) / tile_rows {
                let of_image = (image * tile_rows).max(block.start)..((image + 1) * tile_rows).min(block.end);
                let made_rows =
                    2 * (of_image.start - image * tile_rows)..(2 * (of_image.end - image * tile_rows)).min(rows);
                for channel in 0..channels {
                    let piece = made_rows.start * columns..made_rows.end * columns;
                    let made = &mut made[(image * channels + channel) * area..][piece.clone()];
                    for (row, pair) in of_image.clone().zip(made.chunks_mut(2 * columns)) {
                        let at = channel * count + (row - block.start) * tile_columns;
                        outputs_of_row(&products[at..], channels * count, made_row);
                        for (to, of) in pair.chunks_mut(columns).zip(made_row.as_chunks::<2>().0) {
                            interleave(&of[0], &of[1], to);
                        }
                    }
                    finish(made, image, first + channel, piece.start);
                }
            }
        }
    }

    /// The map's even and odd rows and columns as four planes with border.
    fn gather(&self, plane: &Plane, planes: &mut [f32], map: &[f32]) {
        for (phase, values) in planes.chunks_exact_mut(plane.len()).enumerate() {
            let phase = [phase / 2, phase % 2];
            let start = [0, 1].map(|axis| phase[axis] as isize - self.padding[axis] as isize);
            plane.gather(values, map, self.size, start, [2, 2]);
        }
    }
}

/// `Bᵀ d B` of one row of tiles, all channels, to `tiles` `[16, channels, count]` from column `at` on.
// METHOD: Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1], along columns and then along rows.
fn tiles_of_row(plane: &Plane, planes: &[f32], tile_row: usize, tiles: &mut [f32], at: usize, count: usize) {
    let length = plane.columns - 1;
    for channel in 0..plane.channels {
        // Row number `index` of the tiles' four: its even columns, its odd ones, and both from the next tile on.
        let row = |index: usize| {
            let start = (channel * plane.rows + tile_row + index / 2) * plane.columns;
            let [even, odd] = [0, 1].map(|odd| &planes[(index % 2 * 2 + odd) * plane.len() + start..]);
            [&even[..length], &odd[..length], &even[1..=length], &odd[1..=length]].map(lanes)
        };
        let rows = [row(0), row(1), row(2), row(3)];
        let mut places = tiles.chunks_exact_mut(plane.channels * count).map(|matrix| {
            let (groups, _) = matrix[channel * count + at..][..length].as_chunks_mut::<LANES>();
            groups
        });
        for (x, y, sign) in [(0, 2, -1.0), (1, 2, 1.0), (2, 1, -1.0), (1, 3, -1.0)] {
            let mut place = || places.next().expect("there are sixteen matrices");
            row_of_tiles(&rows[x], &rows[y], sign, [place(), place(), place(), place()]);
        }
    }
}

/// Even columns of a row, odd ones, and both from the next tile on.
type Columns<'a> = [&'a [[f32; LANES]]; 4];

/// `x + sign y` for two rows of inputs, and the step along rows.
#[inline(always)]
fn row_of_tiles(x: &Columns<'_>, y: &Columns<'_>, sign: f32, to: [&mut [[f32; LANES]]; 4]) {
    let [first, second, third, fourth] = to;
    let groups = first.len();
    let sign = f32x4::splat(sign);
    let (x, y) = (x.map(|x| &x[..groups]), y.map(|y| &y[..groups]));
    let (second, third, fourth) = (&mut second[..groups], &mut third[..groups], &mut fourth[..groups]);
    for j in 0..groups {
        let sum = |k: usize| f32x4::new(x[k][j]) + sign * f32x4::new(y[k][j]);
        let (even, odd, next_even, next_odd) = (sum(0), sum(1), sum(2), sum(3));
        first[j] = (even - next_even).to_array();
        second[j] = (odd + next_even).to_array();
        third[j] = (next_even - odd).to_array();
        fourth[j] = (odd - next_odd).to_array();
    }
}

/// `Aᵀ m A` of one row of tiles of one channel, whose 16 numbers lie `stride` apart: even and odd columns of the upper
/// row of outputs, then of the lower.
// METHOD: Aᵀ = [1 1 1 0; 0 1 -1 -1].
fn outputs_of_row(products: &[f32], stride: usize, made: &mut [Vec<f32>]) {
    let length = made[0].len();
    let groups = length / LANES;
    let m: [&[[f32; LANES]]; 16] =
        std::array::from_fn(|position| &lanes(&products[position * stride..][..length])[..groups]);
    let mut made = made.iter_mut().map(|made| &mut made.as_chunks_mut::<LANES>().0[..groups]);
    let mut next = || made.next().expect("two rows of even and odd columns");
    let [upper_even, upper_odd, lower_even, lower_odd] = [next(), next(), next(), next()];
    for j in 0..groups {
        let of = |position: usize| f32x4::new(m[position][j]);
        let upper = |b: usize| of(b) + of(4 + b) + of(8 + b);
        let lower = |b: usize| of(4 + b) - of(8 + b) - of(12 + b);
        upper_even[j] = (upper(0) + upper(1) + upper(2)).to_array();
        upper_odd[j] = (upper(1) - upper(2) - upper(3)).to_array();
        lower_even[j] = (lower(0) + lower(1) + lower(2)).to_array();
        lower_odd[j] = (lower(1) - lower(2) - lower(3)).to_array();
    }
}

/// Even and odd columns in turn; what has no room is left out.
fn interleave(even: &[f32], odd: &[f32], to: &mut [f32]) {
    let (pairs, rest) = to.as_chunks_mut::<2>();
    for (to, (even, odd)) in pairs.iter_mut().zip(even.iter().zip(odd)) {
        *to = [*even, *odd];
    }
    rest.iter_mut().for_each(|to| *to = even[pairs.len()]);
}

fn lanes(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}
