//! The gradient of a maximum over windows: everything goes to the position that won.

use burn::tensor::{IndexingUpdateOp, module::max_pool2d_with_indices};
use features::{network::Pool, tensor::Tensor};

/// Routes `given` `[n * k, c, rows', columns']` to each window's largest input, the first one in a tie.
///
/// The winners are found again here instead of being kept on the tape: no other rule needs them.
pub fn max_transpose(pool: &Pool, input: &Tensor<4>, given: Tensor<4>) -> Tensor<4> {
    let [batch, channels, pooled_rows, pooled_columns] = given.dims();
    let [images, _, rows, columns] = input.dims();
    let (_, winners) =
        max_pool2d_with_indices(input.clone(), [pool.kernel; 2], [pool.stride; 2], [pool.padding; 2], [1, 1], false);
    let windows = pooled_rows * pooled_columns;
    let winners = winners
        .reshape([images, 1, channels * windows])
        .repeat_dim(1, batch / images)
        .reshape([batch * channels, windows]);
    let empty = Tensor::<2>::zeros([batch * channels, rows * columns], &given.device());
    empty
        .scatter(1, winners, given.reshape([batch * channels, windows]), IndexingUpdateOp::Add)
        .reshape([batch, channels, rows, columns])
}
