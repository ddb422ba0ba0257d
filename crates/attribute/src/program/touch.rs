//! What cotangents meet on their way over plain maps, value by value, and the memory of the thread that brings them there.

use std::borrow::Cow;

use features::{
    network::{Hands, Maps},
    tensor::{Tensor, to_vec},
};

/// Buffers that are kept for the next map.
const SPARE: usize = 6;

/// Values of the images, or of one image that stands for all.
#[derive(Debug)]
pub(super) struct Factor {
    values: Vec<f32>,
    images: usize,
}

impl Factor {
    pub(super) fn new(values: Tensor<4>) -> Self {
        let [images, ..] = values.dims();
        Self { values: to_vec(values), images }
    }

    /// Values of an image.
    pub(super) fn size(&self) -> usize {
        self.values.len() / self.images
    }

    /// The image's values that a row of cotangents meets.
    pub(super) fn of(&self, rows: Rows, row: usize) -> &[f32] {
        let size = self.size();
        &self.values[rows.image(row, self.images) * size..][..size]
    }
}

/// Where values of the images are above 0.
#[derive(Debug)]
pub(super) struct Gate {
    open: Vec<u8>,
    images: usize,
}

impl Gate {
    pub(super) fn new(values: Tensor<4>) -> Self {
        let [images, ..] = values.dims();
        Self { open: to_vec(values).into_iter().map(|value| u8::from(value > 0.0)).collect(), images }
    }
}

/// Which of all cotangents are at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) first: usize,
    pub(super) all: usize,
}

impl Rows {
    /// The image of row number `row` among these.
    pub(super) fn image(self, row: usize, images: usize) -> usize {
        (self.first + row) * images / self.all
    }
}

/// What happens to a value behind the step that makes it.
#[derive(Clone, Copy)]
pub(super) enum Touch<'a> {
    Times(&'a Factor),
    Gate(&'a Gate),
    Positive,
    Plus(&'a Maps),
    PlusProduct(&'a Maps, &'a Factor),
}

/// Memory of one thread.
pub(super) struct Bench {
    spare: Vec<Vec<f32>>,
    pub(super) hands: Hands,
}

impl Bench {
    /// With nothing in memory, for so many threads.
    pub(super) fn new(threads: usize) -> Self {
        Self { spare: Vec::new(), hands: Hands::new(threads) }
    }

    /// Memory for so many values, whatever they are.
    pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
        let fits = |buffer: &&Vec<f32>| buffer.capacity() >= count;
        let smallest = self.spare.iter().filter(fits).map(Vec::capacity).min();
        let found = smallest.and_then(|size| self.spare.iter().position(|buffer| buffer.capacity() == size));
        let mut buffer = found.map_or_else(|| Vec::with_capacity(count), |place| self.spare.swap_remove(place));
        buffer.resize(count, 0.0);
        buffer
    }

    pub(super) fn give(&mut self, maps: Cow<'_, Maps>) {
        if let Cow::Owned(maps) = maps {
            self.spare.push(maps.values);
            if self.spare.len() > SPARE {
                let smallest = (0..self.spare.len()).min_by_key(|place| self.spare[*place].capacity());
                if let Some(place) = smallest {
                    self.spare.swap_remove(place);
                }
            }
        }
    }

    fn copy(&mut self, maps: &Maps) -> Maps {
        let mut values = self.take(maps.values.len());
        values.copy_from_slice(&maps.values);
        Maps { dims: maps.dims, values }
    }

    /// Maps that no transpose makes, touched in place.
    pub(super) fn touched(&mut self, maps: Cow<'_, Maps>, touches: &[Touch<'_>], rows: Rows) -> Maps {
        let mut maps = match maps {
            Cow::Owned(maps) => maps,
            Cow::Borrowed(maps) => self.copy(maps),
        };
        let size = values_of_row(&maps);
        for (row, values) in maps.values.chunks_exact_mut(size.max(1)).enumerate() {
            touch(touches, rows, size, values, row, 0);
        }
        maps
    }
}

pub(super) fn values_of_row(maps: &Maps) -> usize {
    maps.dims[1..].iter().product()
}

/// Touches a run of values of a row, which has `size` values, from `position` on.
pub(super) fn touch(touches: &[Touch<'_>], rows: Rows, size: usize, values: &mut [f32], row: usize, position: usize) {
    for step in touches {
        match step {
            Touch::Positive => values.iter_mut().for_each(|value| *value = value.max(0.0)),
            Touch::Gate(gate) => {
                let open = &gate.open[rows.image(row, gate.images) * size + position..];
                values.iter_mut().zip(open).for_each(|(value, open)| *value *= f32::from(*open));
            }
            Touch::Times(factor) => {
                let factor = &factor.of(rows, row)[position..];
                values.iter_mut().zip(factor).for_each(|(value, factor)| *value *= factor);
            }
            Touch::Plus(maps) => {
                let more = &maps.values[row * size + position..];
                values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
            }
            Touch::PlusProduct(maps, factor) => {
                let more = maps.values[row * size + position..].iter().zip(&factor.of(rows, row)[position..]);
                values.iter_mut().zip(more).for_each(|(value, (more, factor))| *value += more * factor);
            }
        }
    }
}
