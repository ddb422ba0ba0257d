//! A plan fastened to one tape: what depends on the image alone is worked out once, before any cotangent comes.
//!
//! Whatever rule it follows, a layer does few kinds of things to a cotangent: it multiplies by values of the image,
//! transposes a linear map, adds branches. A program is the list of them, and products next to each other are one.

mod cpu;
mod touch;

use features::{
    network::{Pool, cells, together},
    tensor::{Device, Tensor, to_vec},
};

use crate::{
    batch::{positive, positive_part, times},
    linear::{LinearMap, average_transpose, box_transpose, global_average_transpose},
    rule::{Looks, Winners},
};

/// What is done to cotangents `[n * k, ..]`, in order, last layer of the network first.
#[derive(Debug, Clone, Default)]
pub struct Program {
    ops: Vec<Op>,
}

/// One step. Values of the image are `[n, ..]` and meet all cotangents of their image.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Product with values of the image.
    Times(Tensor<4>),
    /// Two products side by side: `[g * a, g * b]` along channels.
    Split(Tensor<4>, Tensor<4>),
    /// 0 where these values of the image are not above 0.
    Gate(Tensor<4>),
    /// `max(g, 0)`.
    PositivePart,
    /// `Wᵀ g` for an input of these rows and columns.
    Transpose(LinearMap, [usize; 2]),
    /// The same and then a product with values of the image, while they are at hand.
    TransposeTimes(LinearMap, [usize; 2], Tensor<4>),
    /// The transpose of an average pool.
    Average(Pool, [usize; 2]),
    /// The transpose of the mean over all positions.
    GlobalAverage([usize; 2]),
    /// To each window's largest input.
    Route(Winners),
    /// Sum over this many groups of channels.
    Fold(usize),
    /// The transpose of the sum over patches under `kernel`, `stride`, `padding`, brought to all channels.
    Patch { kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2], size: [usize; 2], channels: usize },
    /// The transpose of the Jacobian of an attention pool, for what it saw.
    Attend(Box<Looks>),
    /// Sum of programs that get the same cotangents.
    Sum(Vec<Program>),
    /// Sum of programs that get these many channels of the cotangents, one after the other.
    Concat(Vec<(usize, Program)>),
    /// Programs that get the cotangents of one cell of a grid each, and hand back cells of `shape`, laid together.
    Apart { grid: usize, cells: Vec<Program>, shape: [usize; 3] },
}

impl Program {
    /// Adds a step at the end.
    pub(crate) fn push(&mut self, op: Op) {
        let op = match (self.ops.pop(), op) {
            (Some(Op::Times(a)), Op::Times(b)) => Op::Times(a * b),
            (Some(Op::Times(a)), Op::Split(b, c)) => Op::Split(a.clone() * b, a * c),
            (Some(Op::Transpose(map, size)), Op::Times(a)) => Op::TransposeTimes(map, size, a),
            (Some(Op::TransposeTimes(map, size, a)), Op::Times(b)) => Op::TransposeTimes(map, size, a * b),
            (Some(Op::TransposeTimes(map, size, a)), Op::Split(b, c)) => {
                self.ops.push(Op::Transpose(map, size));
                Op::Split(a.clone() * b, a * c)
            }
            (before, op) => {
                self.ops.extend(before);
                op
            }
        };
        self.ops.push(op);
    }

    /// Adds all steps of `more`.
    pub(crate) fn extend(&mut self, more: Self) {
        more.ops.into_iter().for_each(|op| self.push(op));
    }

    /// The program in the form in which `device` is to run it.
    pub fn ready(self, device: &Device) -> Ready {
        match device {
            Device::Flex(_) => Ready(Form::Maps(cpu::Steps::new(self))),
            _ => Ready(Form::Tensors(self)),
        }
    }

    /// Pulls cotangents `[n * k, ..]` of the output, image-major, back to the input, on any device.
    fn pull_back(&self, cotangents: Tensor<4>) -> Tensor<4> {
        self.ops.iter().fold(cotangents, |cotangents, op| op.run(cotangents))
    }

    /// The steps up to the last one that an image has a part in, and the linear rest, which is the same for all images
    /// of one size: whoever adds what comes back from many images may do it between the two.
    pub fn split(mut self) -> (Self, Self) {
        let of_image = |op: &Op| !matches!(op, Op::Transpose(..) | Op::Average(..) | Op::GlobalAverage(_));
        let rest = self.ops.iter().rposition(of_image).map_or(0, |last| last + 1);
        let rest = self.ops.split_off(rest);
        (self, Self { ops: rest })
    }
}

/// A program that is ready to run.
#[derive(Debug)]
pub struct Ready(Form);

#[derive(Debug)]
enum Form {
    Tensors(Program),
    Maps(cpu::Steps),
}

impl Ready {
    /// Pulls cotangents `[n * k, ..]` of the output, image-major, back to the input.
    pub fn pull_back(&self, cotangents: Tensor<4>) -> Tensor<4> {
        match &self.0 {
            Form::Tensors(program) => program.pull_back(cotangents),
            Form::Maps(steps) => steps.pull_back(cotangents),
        }
    }
}

impl Op {
    fn run(&self, given: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Times(values) => times(given, values.clone()),
            Self::Split(a, b) => Tensor::cat(vec![times(given.clone(), a.clone()), times(given, b.clone())], 1),
            Self::Gate(values) => times(given, positive(values.clone())),
            Self::PositivePart => positive_part(given),
            Self::Transpose(map, size) => map.transpose(given, *size),
            Self::TransposeTimes(map, size, values) => map.transpose_times(given, *size, values),
            Self::Average(pool, size) => average_transpose(pool, given, *size),
            Self::GlobalAverage(size) => global_average_transpose(given, *size),
            Self::Route(winners) => winners.route(given),
            Self::Fold(parts) => {
                let [rows, channels, height, width] = given.dims();
                let channels = channels / parts;
                given
                    .reshape([rows, *parts, channels * height, width])
                    .sum_dim(1)
                    .reshape([rows, channels, height, width])
            }
            Self::Patch { kernel, stride, padding, size, channels } => {
                box_transpose(given.sum_dim(1), *kernel, *stride, *padding, *size).repeat_dim(1, *channels)
            }
            Self::Attend(looks) => {
                let [rows, ..] = given.dims();
                looks.transpose(given, 0, rows)
            }
            Self::Concat(programs) => {
                let mut first = 0;
                let parts = programs.iter().map(|(channels, program)| {
                    let own = given.clone().narrow(1, first, *channels);
                    first += channels;
                    program.pull_back(own)
                });
                parts.reduce(|total, part| total + part).expect("there is at least one branch")
            }
            Self::Apart { grid, cells: programs, shape: [channels, rows, columns] } => {
                let [batch, ..] = given.dims();
                let parts = cells(&given, *grid);
                let sizes = to_vec(Tensor::cat(parts.iter().map(|part| part.clone().abs().sum()).collect(), 0));
                // What comes back of nothing is nothing, and most logits belong to a single cell.
                let parts = programs.iter().zip(parts).zip(sizes).map(|((program, given), size)| match size == 0.0 {
                    true => Tensor::zeros([batch, *channels, *rows, *columns], &given.device()),
                    false => program.pull_back(given),
                });
                together(parts.collect(), *grid)
            }
            Self::Sum(programs) => {
                let parts = programs.iter().map(|program| program.pull_back(given.clone()));
                parts.reduce(|total, part| total + part).expect("a sum has at least one branch")
            }
        }
    }
}

#[cfg(test)]
mod tests;
