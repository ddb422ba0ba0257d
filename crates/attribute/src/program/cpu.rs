//! Programs on the CPU: plain maps, a few cotangents at a time on each thread, from the output down to the input.
//!
//! Products with values of the image are done where a transpose reads or writes, a shortcut is added there too, and maps
//! are made in the memory of those that are not needed any more: between two transposes nothing else is written.

mod branches;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use features::{
    network::{Finisher, Given, Maps, Reader, Transposed},
    tensor::{Tensor, cpu},
};
use rayon::prelude::*;

use super::{
    Op, Program,
    touch::{Bench, Factor, Gate, Rows, Touch, touch, values_of_row},
};
use crate::rule::{Looks, Routes};
use branches::{apart, concat};

/// Values of the largest map that are worth a group of cotangents: a third-level cache holds them.
const GROUP: usize = 1 << 22;

/// A program whose weights are laid out and whose values are at hand.
#[derive(Debug)]
pub(crate) struct Steps(Vec<Step>);

#[derive(Debug)]
enum Step {
    Times(Factor),
    Gate(Gate),
    Positive,
    Split([Factor; 2]),
    Transpose(Arc<Transposed>),
    Route(Routes),
    Fold(usize),
    Attend(Box<Looks>),
    Sum(Vec<Steps>),
    Concat(Vec<(usize, Steps)>),
    Apart {
        grid: usize,
        cells: Vec<Steps>,
        shape: [usize; 3],
    },
    /// What depends on no image and is not worth a form of its own.
    Tensor(Box<Op>),
}

impl Steps {
    /// Lays out a program.
    pub(super) fn new(program: Program) -> Self {
        let step = |op: Op, steps: &mut Vec<Step>| match op {
            Op::Times(values) => steps.push(Step::Times(Factor::new(values))),
            Op::Split(a, b) => steps.push(Step::Split([a, b].map(Factor::new))),
            Op::Gate(values) => steps.push(Step::Gate(Gate::new(values))),
            Op::PositivePart => steps.push(Step::Positive),
            Op::Transpose(map, size) => steps.push(Step::Transpose(map.transposed(size))),
            Op::TransposeTimes(map, size, values) => {
                steps.extend([Step::Transpose(map.transposed(size)), Step::Times(Factor::new(values))]);
            }
            Op::Route(winners) => steps.push(Step::Route(winners.routes())),
            Op::Fold(parts) => steps.push(Step::Fold(parts)),
            Op::Attend(looks) => steps.push(Step::Attend(looks)),
            Op::Sum(programs) => steps.push(Step::Sum(programs.into_iter().map(Self::new).collect())),
            Op::Concat(programs) => {
                let programs = programs.into_iter().map(|(channels, program)| (channels, Self::new(program)));
                steps.push(Step::Concat(programs.collect()));
            }
            Op::Apart { grid, cells, shape } => {
                let cells = cells.into_iter().map(Self::new).collect();
                steps.push(Step::Apart { grid, cells, shape });
            }
            op @ (Op::Average(..) | Op::GlobalAverage(_) | Op::Patch { .. }) => steps.push(Step::Tensor(Box::new(op))),
        };
        let mut steps = Vec::new();
        program.ops.into_iter().for_each(|op| step(op, &mut steps));
        Self(steps)
    }

    /// As [`Program::pull_back`].
    pub(super) fn pull_back(&self, cotangents: Tensor<4>) -> Tensor<4> {
        let device = cotangents.device();
        let given = Maps::of(cotangents);
        let [all, channels, height, width] = given.dims;
        if all == 0 {
            return given.into_tensor(&device);
        }
        let threads = rayon::current_num_threads();
        let size = values_of_row(&given);
        let together = (GROUP / self.widest().max(size).max(1)).clamp(1, all.div_ceil(threads));
        let hands = threads / all.div_ceil(together).min(threads);
        let groups: Vec<usize> = (0..all).step_by(together).collect();
        // Whoever begins a group takes the memory of one that is done.
        let idle = Mutex::new(Vec::new());
        let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let made = groups.into_par_iter().with_max_len(1).map(|first| {
            let bench = lock().pop();
            let mut bench = bench.unwrap_or_else(|| Bench::new(hands));
            let count = together.min(all - first);
            let mut values = bench.take(count * size);
            values.copy_from_slice(&given.values[first * size..][..count * size]);
            let given = Maps { dims: [count, channels, height, width], values };
            let made = self.run(Cow::Owned(given), Rows { first, all }, &[], &mut bench);
            lock().push(bench);
            made
        });
        let made: Vec<Maps> = made.collect();
        let [_, channels, height, width] = made[0].dims;
        let mut values = Vec::with_capacity(all * channels * height * width);
        made.iter().for_each(|maps| values.extend_from_slice(&maps.values));
        Maps { dims: [all, channels, height, width], values }.into_tensor(&device)
    }

    /// Values of a row of the widest map that is made on the way.
    fn widest(&self) -> usize {
        let widest = self.0.iter().map(|step| match step {
            Step::Times(factor) => factor.size(),
            Step::Transpose(map) => map.map_values(),
            Step::Sum(programs) => programs.iter().map(Self::widest).max().unwrap_or(0),
            Step::Concat(programs) => programs.iter().map(|(_, program)| program.widest()).max().unwrap_or(0),
            Step::Apart { grid, cells, shape } => {
                let together = grid * grid * shape.iter().product::<usize>();
                cells.iter().map(Self::widest).max().unwrap_or(0).max(together)
            }
            _ => 0,
        });
        widest.max().unwrap_or(0)
    }

    /// Runs the steps on some rows; `after` touches the last one's values.
    fn run(&self, given: Cow<'_, Maps>, rows: Rows, after: &[Touch<'_>], bench: &mut Bench) -> Maps {
        let (mut maps, mut steps) = (given, self.0.as_slice());
        if steps.is_empty() {
            return bench.touched(maps, after, rows);
        }
        while let Some((first, rest)) = steps.split_first() {
            // A factor in front of a transpose is met where that reads.
            let (before, first, rest) = match (first, rest) {
                (Step::Times(_) | Step::Split(_), [map @ Step::Transpose(_), rest @ ..]) => (Some(first), map, rest),
                (Step::Times(_) | Step::Gate(_) | Step::Positive, _) => (None, &Step::Sum(Vec::new()), steps),
                (first, rest) => (None, first, rest),
            };
            let behind = rest.iter().map_while(|step| match step {
                Step::Times(factor) => Some(Touch::Times(factor)),
                Step::Gate(gate) => Some(Touch::Gate(gate)),
                Step::Positive => Some(Touch::Positive),
                _ => None,
            });
            let mut touches: Vec<Touch<'_>> = behind.collect();
            steps = &rest[touches.len()..];
            if steps.is_empty() {
                touches.extend(after);
            }
            let made = match first {
                Step::Transpose(map) => transpose(map, before, &maps, rows, &touches, bench),
                Step::Sum(programs) => match programs.as_slice() {
                    [] => {
                        maps = Cow::Owned(bench.touched(maps, &touches, rows));
                        continue;
                    }
                    [main, others @ ..] => sum(main, others, &maps, rows, &touches, bench),
                },
                Step::Concat(programs) => concat(programs, &maps, rows, &touches, bench),
                step => {
                    let made = step.alone(&maps, rows, bench);
                    bench.touched(Cow::Owned(made), &touches, rows)
                }
            };
            bench.give(std::mem::replace(&mut maps, Cow::Owned(made)));
        }
        maps.into_owned()
    }
}

/// A transpose, what it reads being met by the step before it.
fn transpose(
    map: &Transposed,
    before: Option<&Step>,
    maps: &Maps,
    rows: Rows,
    touches: &[Touch<'_>],
    bench: &mut Bench,
) -> Maps {
    let size = map.map_values();
    let finish: Finisher<'_> =
        &|values: &mut [f32], row: usize, position: usize| touch(touches, rows, size, values, row, position);
    let [count, channels, height, width] = maps.dims;
    let area = height * width;
    let made = bench.take(count * size);
    let meet = |values: &mut [f32], factor: &Factor, row: usize, channel: usize, position: usize| {
        let place = channel * area + position;
        let given = maps.values[row * channels * area + place..].iter().zip(&factor.of(rows, row)[place..]);
        values.iter_mut().zip(given).for_each(|(value, (given, factor))| *value = given * factor);
    };
    let once: Reader<'_>;
    let twice: Reader<'_>;
    let times;
    let split;
    let given = match before {
        Some(Step::Times(factor)) => {
            times = move |values: &mut [f32], row: usize, channel: usize, position: usize| {
                meet(values, factor, row, channel, position);
            };
            once = &times;
            Given::Read { dims: maps.dims, read: once }
        }
        Some(Step::Split(factors)) => {
            split = move |values: &mut [f32], row: usize, channel: usize, position: usize| {
                meet(values, &factors[channel / channels], row, channel % channels, position);
            };
            twice = &split;
            Given::Read { dims: [count, 2 * channels, height, width], read: twice }
        }
        _ => Given::Maps(maps),
    };
    map.run(given, finish, &mut bench.hands, made)
}

/// All programs get the same; what the others make is added to what the first one makes.
fn sum(main: &Steps, others: &[Steps], maps: &Maps, rows: Rows, touches: &[Touch<'_>], bench: &mut Bench) -> Maps {
    let made = others.iter().map(|program| match program.0.as_slice() {
        [] | [Step::Times(_)] => None,
        _ => Some(program.run(Cow::Borrowed(maps), rows, &[], bench)),
    });
    let made: Vec<Option<Maps>> = made.collect();
    let added = others.iter().zip(&made).map(|(program, made)| match (made, program.0.as_slice()) {
        (Some(made), _) => Touch::Plus(made),
        (None, [Step::Times(factor)]) => Touch::PlusProduct(maps, factor),
        (None, _) => Touch::Plus(maps),
    });
    let all: Vec<Touch<'_>> = added.chain(touches.iter().copied()).collect();
    let total = main.run(Cow::Borrowed(maps), rows, &all, bench);
    made.into_iter().flatten().for_each(|maps| bench.give(Cow::Owned(maps)));
    total
}

impl Step {
    /// A step that joins no other.
    fn alone(&self, maps: &Maps, rows: Rows, bench: &mut Bench) -> Maps {
        let [count, channels, height, width] = maps.dims;
        let area = height * width;
        match self {
            Self::Split(factors) => {
                let size = channels * area;
                let mut values = bench.take(2 * count * size);
                for (half, to) in values.chunks_exact_mut(size).enumerate() {
                    let row = half / 2;
                    let factor = factors[half % 2].of(rows, row);
                    let given = maps.values[row * size..][..size].iter().zip(factor);
                    to.iter_mut().zip(given).for_each(|(to, (given, factor))| *to = given * factor);
                }
                Maps { dims: [count, 2 * channels, height, width], values }
            }
            Self::Route(routes) => {
                let [rows_made, columns] = routes.size();
                let mut values = bench.take(count * channels * rows_made * columns);
                let size = channels * rows_made * columns;
                for (row, (to, from)) in
                    values.chunks_exact_mut(size).zip(maps.values.chunks_exact(channels * area)).enumerate()
                {
                    routes.route(rows.image(row, routes.images()), from, to);
                }
                Maps { dims: [count, channels, rows_made, columns], values }
            }
            Self::Fold(parts) => {
                let size = channels / parts * area;
                let mut values = bench.take(count * size);
                for (to, from) in values.chunks_exact_mut(size).zip(maps.values.chunks_exact(channels * area)) {
                    let (first, others) = from.split_at(size);
                    to.copy_from_slice(first);
                    for part in others.chunks_exact(size) {
                        to.iter_mut().zip(part).for_each(|(to, value)| *to += value);
                    }
                }
                Maps { dims: [count, channels / parts, height, width], values }
            }
            Self::Apart { grid, cells, shape } => apart(*grid, cells, *shape, maps, rows, bench),
            Self::Attend(looks) => {
                // Row by row: a product of one row adds up in another order than one of several.
                let given = maps.clone().into_tensor(&cpu());
                let row = |row| looks.transpose(given.clone().narrow(0, row, 1), rows.first + row, rows.all);
                Maps::of(Tensor::cat((0..count).map(row).collect(), 0))
            }
            Self::Tensor(op) => Maps::of(op.run(maps.clone().into_tensor(&cpu()))),
            Self::Times(_) | Self::Gate(_) | Self::Positive | Self::Transpose(_) | Self::Sum(_) | Self::Concat(_) => {
                unreachable!("these join their neighbours")
            }
        }
    }
}
