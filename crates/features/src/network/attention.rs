//! CLIP's attention pool: the mean over all positions asks, all positions and the mean itself answer.
//!
//! Source: Radford et al. 2021, `AttentionPool2d` of OpenAI's CLIP. Weights meet the query and the weighted means only,
//! never each position, which gives the same numbers with a fiftieth of the products.

use burn::tensor::activation::softmax;

use crate::tensor::Tensor;

/// `y = W x + b` for columns `x` `[inputs, 1]`.
#[derive(Debug, Clone)]
pub struct Dense {
    /// `[outputs, inputs]`.
    pub weight: Tensor<2>,
    /// `[outputs, 1]`.
    pub bias: Tensor<2>,
}

impl Dense {
    /// `[inputs, 1]` to `[outputs, 1]`.
    pub fn forward(&self, column: Tensor<2>) -> Tensor<2> {
        self.weight.clone().matmul(column) + self.bias.clone()
    }
}

/// The pool's weights. The bias of the keys adds the same to all scores of a head, which a softmax does not see, so it
/// is not kept.
#[derive(Debug, Clone)]
pub struct AttentionPool {
    /// Added to the mean, then to each position: `[1 + positions, channels]`.
    pub embedding: Tensor<2>,
    /// From the mean to the queries of all heads.
    pub query: Dense,
    /// `[heads, width, channels]`.
    pub key: Tensor<3>,
    /// `[heads, width, channels]`.
    pub value: Tensor<3>,
    /// `[heads * width, 1]`.
    pub value_bias: Tensor<2>,
    /// From the answers of all heads to the output.
    pub output: Dense,
}

/// What the pool saw in one picture.
#[derive(Debug, Clone)]
pub struct Attention {
    /// The mean, then each position, with their embeddings: `[1 + positions, channels]`.
    pub tokens: Tensor<2>,
    /// What each head looks for in a token: `[heads, channels]`.
    pub wanted: Tensor<2>,
    /// How much each head looks at each token: `[heads, 1 + positions]`.
    pub weights: Tensor<2>,
}

impl AttentionPool {
    /// What queries are multiplied by.
    pub fn query_scale(&self) -> f32 {
        let [_, width, _] = self.key.dims();
        (width as f32).sqrt().recip()
    }

    /// `[n, channels, rows, columns]` to `[n, outputs, 1, 1]`; picture by picture, so that bits do not depend on the
    /// batch.
    ///
    /// Panics unless the map has as many positions as the embedding.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [images, ..] = input.dims();
        let outputs = (0..images).map(|image| {
            let output = self.answer(&self.attend(input.clone().narrow(0, image, 1)));
            let [outputs, _] = output.dims();
            output.reshape([1, outputs, 1, 1])
        });
        Tensor::cat(outputs.collect(), 0)
    }

    /// Where the heads look in one picture `[1, channels, rows, columns]`.
    // METHOD: q = (W_q t_0 + b_q) / sqrt(width); the score of token j is q . (W_k t_j), which is (W_k' q) . t_j.
    pub fn attend(&self, picture: Tensor<4>) -> Attention {
        let [_, channels, rows, columns] = picture.dims();
        let [count, _] = self.embedding.dims();
        assert_eq!(rows * columns + 1, count, "a map of {rows} x {columns} for an embedding of {count} tokens");
        let positions = picture.reshape([channels, rows * columns]).swap_dims(0, 1);
        let tokens = Tensor::cat(vec![positions.clone().mean_dim(0), positions], 0) + self.embedding.clone();
        let [heads, width, _] = self.key.dims();
        let query = self.query.forward(tokens.clone().narrow(0, 0, 1).swap_dims(0, 1)) * self.query_scale();
        let wanted = query.reshape([heads, 1, width]).matmul(self.key.clone()).reshape([heads, channels]);
        let weights = softmax(wanted.clone().matmul(tokens.clone().swap_dims(0, 1)), 1);
        Attention { tokens, wanted, weights }
    }

    /// The output `[outputs, 1]`.
    // METHOD: a head's answer is sum_j a_j (W_v t_j + b_v) = W_v (sum_j a_j t_j) + b_v, because the a_j sum to 1.
    pub fn answer(&self, attention: &Attention) -> Tensor<2> {
        let [heads, width, channels] = self.value.dims();
        let means = attention.weights.clone().matmul(attention.tokens.clone()).reshape([heads, channels, 1]);
        let answers = self.value.clone().matmul(means).reshape([heads * width, 1]) + self.value_bias.clone();
        self.output.forward(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{normal, stream};
    use crate::tensor::{cpu, from_vec, to_vec};

    const CHANNELS: usize = 6;
    const HEADS: usize = 3;
    const WIDTH: usize = 2;
    const POSITIONS: usize = 6;
    const OUTPUTS: usize = 4;

    fn draw(key: &str, count: usize) -> Vec<f32> {
        let mut rng = stream(5, &["attention", key]);
        (0..count).map(|_| normal(&mut rng) as f32).collect()
    }

    /// `W x + b` in f64.
    fn dense(weight: &[f32], bias: &[f32], x: &[f64]) -> Vec<f64> {
        let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
        weight.chunks_exact(x.len()).map(row).zip(bias).map(|(product, bias)| product + f64::from(*bias)).collect()
    }

    /// The pool as it is published: keys and values of every token, with all biases.
    fn slow(map: &[f32]) -> Vec<f64> {
        let square = |key: &str| draw(key, CHANNELS * CHANNELS);
        let bias = |key: &str| draw(key, CHANNELS);
        let embedding = draw("embedding", (POSITIONS + 1) * CHANNELS);
        let at = |c: usize, p: usize| f64::from(map[c * POSITIONS + p]);
        let token = |t: usize| -> Vec<f64> {
            let value = |c: usize| match t {
                0 => (0..POSITIONS).map(|p| at(c, p)).sum::<f64>() / POSITIONS as f64,
                t => at(c, t - 1),
            };
            (0..CHANNELS).map(|c| value(c) + f64::from(embedding[t * CHANNELS + c])).collect()
        };
        let tokens: Vec<Vec<f64>> = (0..=POSITIONS).map(token).collect();
        let query = dense(&square("query"), &bias("query bias"), &tokens[0]);
        let all = |name: &str| -> Vec<Vec<f64>> {
            tokens.iter().map(|token| dense(&square(name), &bias(&format!("{name} bias")), token)).collect()
        };
        let (keys, values) = (all("key"), all("value"));
        let mut answers = vec![0.0; CHANNELS];
        for head in 0..HEADS {
            let own = head * WIDTH..(head + 1) * WIDTH;
            let score = |key: &Vec<f64>| own.clone().map(|i| query[i] * key[i]).sum::<f64>() / (WIDTH as f64).sqrt();
            let powers: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
            let total: f64 = powers.iter().sum();
            for i in own {
                answers[i] = powers.iter().zip(&values).map(|(power, value)| power / total * value[i]).sum();
            }
        }
        dense(&draw("output", OUTPUTS * CHANNELS), &draw("output bias", OUTPUTS), &answers)
    }

    #[test]
    fn the_pool_is_the_published_one() {
        let matrix =
            |key: &str, rows: usize, columns: usize| from_vec(draw(key, rows * columns), [rows, columns], &cpu());
        let by_head = |key: &str| from_vec(draw(key, CHANNELS * CHANNELS), [HEADS, WIDTH, CHANNELS], &cpu());
        let dense = |key: &str, outputs: usize| Dense {
            weight: matrix(key, outputs, CHANNELS),
            bias: matrix(&format!("{key} bias"), outputs, 1),
        };
        let pool = AttentionPool {
            embedding: matrix("embedding", POSITIONS + 1, CHANNELS),
            query: dense("query", CHANNELS),
            key: by_head("key"),
            value: by_head("value"),
            value_bias: matrix("value bias", CHANNELS, 1),
            output: dense("output", OUTPUTS),
        };
        let maps = draw("maps", 2 * CHANNELS * POSITIONS);
        let input = from_vec(maps.clone(), [2, CHANNELS, 2, 3], &cpu());
        let found = pool.forward(input.clone());
        assert_eq!(found.dims(), [2, OUTPUTS, 1, 1]);
        let expected: Vec<f64> = maps.chunks_exact(CHANNELS * POSITIONS).flat_map(slow).collect();
        for (found, expected) in to_vec(found.clone()).iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
        }
        let second = pool.forward(input.narrow(0, 1, 1));
        assert_eq!(to_vec(second), to_vec(found.narrow(0, 1, 1)));
    }
}
