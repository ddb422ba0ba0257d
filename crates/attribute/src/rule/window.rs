//! The gradient of a maximum over windows: everything goes to the position that won.

use burn::tensor::{IndexingUpdateOp, Int, module::max_pool2d_with_indices};
use features::{network::Pool, tensor::Tensor};

/// Where each window's largest input stands, the first one in a tie.
#[derive(Debug, Clone)]
pub struct Winners {
    /// `[n, 1, c * windows]`, positions within a channel.
    positions: Tensor<3, Int>,
    /// Of the input: rows, columns.
    size: [usize; 2],
}

/// The same on the CPU.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Positions of the winners within their channel, image by image.
    positions: Vec<u32>,
    images: usize,
    size: [usize; 2],
}

impl Routes {
    /// Of what is made: rows, columns.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// Routes the channels of one cotangent to the winners of its image.
    pub(crate) fn route(&self, image: usize, given: &[f32], made: &mut [f32]) {
        made.fill(0.0);
        let area = self.size[0] * self.size[1];
        let positions = &self.positions[image * given.len()..][..given.len()];
        let windows = given.len() / (made.len() / area);
        let channels = given.chunks_exact(windows).zip(positions.chunks_exact(windows));
        for (made, (given, positions)) in made.chunks_exact_mut(area).zip(channels) {
            given.iter().zip(positions).for_each(|(value, position)| made[*position as usize] += value);
        }
    }
}

impl Winners {
    /// Laid out for the CPU.
    pub(crate) fn routes(self) -> Routes {
        let [images, ..] = self.positions.dims();
        let positions = self.positions.into_data().iter::<u32>().collect();
        Routes { positions, images, size: self.size }
    }

    /// Finds the winners of `input` `[n, c, rows, columns]` again: no rule but this one needs them on the tape.
    pub fn find(pool: &Pool, input: &Tensor<4>) -> Self {
        let [images, channels, rows, columns] = input.dims();
        let (_, winners) = max_pool2d_with_indices(
            input.clone(),
            [pool.kernel; 2],
            [pool.stride; 2],
            [pool.padding; 2],
            [1, 1],
            false,
        );
        let [_, _, pooled_rows, pooled_columns] = winners.dims();
        Self { positions: winners.reshape([images, 1, channels * pooled_rows * pooled_columns]), size: [rows, columns] }
    }

    /// Routes `given` `[n * k, c, rows', columns']` to the winners.
    pub fn route(&self, given: Tensor<4>) -> Tensor<4> {
        let [batch, channels, pooled_rows, pooled_columns] = given.dims();
        let [images, ..] = self.positions.dims();
        let [rows, columns] = self.size;
        let windows = pooled_rows * pooled_columns;
        let winners = self.positions.clone().repeat_dim(1, batch / images).reshape([batch * channels, windows]);
        let empty = Tensor::<2>::zeros([batch * channels, rows * columns], &given.device());
        empty
            .scatter(1, winners, given.reshape([batch * channels, windows]), IndexingUpdateOp::Add)
            .reshape([batch, channels, rows, columns])
    }
}
