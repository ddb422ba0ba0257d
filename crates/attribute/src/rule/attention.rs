//! The gradient of CLIP's attention pool, which needs no key and no value of a single position.

use features::{
    network::{Attention, AttentionPool},
    tensor::Tensor,
};

/// What a pool saw in each picture of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Looks {
    pool: AttentionPool,
    /// Rows and columns of the map.
    size: [usize; 2],
    seen: Vec<Attention>,
}

impl Looks {
    /// Looks at `input` `[n, channels, rows, columns]` again: the tape holds no weights of attention.
    pub(crate) fn of(pool: &AttentionPool, input: &Tensor<4>) -> Self {
        let [images, _, rows, columns] = input.dims();
        let seen = (0..images).map(|image| pool.attend(input.clone().narrow(0, image, 1))).collect();
        Self { pool: pool.clone(), size: [rows, columns], seen }
    }

    /// `given` `[m, outputs, 1, 1]` to `[m, channels, rows, columns]`: rows `first..first + m` of `all`, image-major.
    pub(crate) fn transpose(&self, given: Tensor<4>, first: usize, all: usize) -> Tensor<4> {
        let [count, outputs, ..] = given.dims();
        let each = all / self.seen.len();
        let given = given.reshape([count, outputs]);
        let pulled = self.seen.iter().enumerate().filter_map(|(image, seen)| {
            let own = (image * each).max(first)..((image + 1) * each).min(first + count);
            (!own.is_empty()).then(|| self.picture(seen, given.clone().narrow(0, own.start - first, own.len())))
        });
        Tensor::cat(pulled.collect(), 0)
    }

    // METHOD: with tokens t_j, query q, weights a = softmax(s), s_j = (W_k' q) . t_j and means m = sum_j a_j t_j:
    //   g_m = W_v' W_c' g, the cotangent of a head's mean; g_s = a * (g_m . t - sum_j a_j g_m . t_j);
    //   g_t_j = a_j g_m + g_s_j W_k' q; g_q = W_k (sum_j g_s_j t_j); g_t_0 gains W_q' g_q / sqrt(width);
    //   token 0 is the mean of the positions, so each of them gets its share of g_t_0.
    fn picture(&self, seen: &Attention, given: Tensor<2>) -> Tensor<4> {
        let Attention { tokens, wanted, weights } = seen;
        let [heads, width, channels] = self.pool.key.dims();
        let [count, _] = tokens.dims();
        let [rows, _] = given.dims();
        let answers = given.matmul(self.pool.output.weight.clone()).reshape([rows, heads, width]).swap_dims(0, 1);
        let means = answers.matmul(self.pool.value.clone());
        let by_weight = means.clone().reshape([heads * rows, channels]).matmul(tokens.clone().swap_dims(0, 1));
        let by_weight = by_weight.reshape([heads, rows, count]);
        let shares = weights.clone().reshape([heads, 1, count]).repeat_dim(1, rows);
        let mean = (by_weight.clone() * shares.clone()).sum_dim(2).repeat_dim(2, count);
        let scores = (by_weight - mean) * shares;
        // [count, heads] x [heads, rows * channels]: what each token gives to the means.
        let to_means = weights.clone().swap_dims(0, 1).matmul(means.reshape([heads, rows * channels]));
        let to_means = to_means.reshape([count, rows, channels]).swap_dims(0, 1);
        let to_scores = scores.clone().swap_dims(0, 1).swap_dims(1, 2).reshape([rows * count, heads]);
        let to_scores = to_scores.matmul(wanted.clone()).reshape([rows, count, channels]);
        let by_token = to_means + to_scores;
        let looked = scores.reshape([heads * rows, count]).matmul(tokens.clone()).reshape([heads, rows, channels]);
        let query = looked.matmul(self.pool.key.clone().swap_dims(1, 2)) * self.pool.query_scale();
        let query = query.swap_dims(0, 1).reshape([rows, heads * width]).matmul(self.pool.query.weight.clone());
        let first = by_token.clone().narrow(1, 0, 1) + query.reshape([rows, 1, channels]);
        let positions = count - 1;
        let share = (first / positions as f32).repeat_dim(1, positions);
        let [height, columns] = self.size;
        (by_token.narrow(1, 1, positions) + share).swap_dims(1, 2).reshape([rows, channels, height, columns])
    }
}
