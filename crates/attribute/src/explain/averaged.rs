//! Methods that average gradients over many inputs: integrated gradients and SmoothGrad.

use features::tensor::Tensor;

use super::{
    Explainer, Found, Group, Head,
    pass::{Pass, chunks, one_hot, rows_of, values_of},
};
use crate::{
    method::{Family, Method, integrated_gradients, smooth_grad},
    program::Program,
};

impl Explainer {
    /// Maps of all methods of the family `Averaged`.
    pub(super) fn averaged(&self, image: &Tensor<4>, logits: &[Vec<f32>], targets: &[usize], key: &str) -> Vec<Found> {
        let Some(group) = self.gradient() else { return Vec::new() };
        let mut found = Vec::new();
        for method in [Method::IntegratedGradients, Method::SmoothGrad] {
            debug_assert_eq!(method.family(), Family::Averaged);
            let chosen = self.asking(|wanted| wanted == method);
            if chosen.is_empty() {
                continue;
            }
            let (maps, at_start) = match method {
                Method::IntegratedGradients => {
                    let start = self.settings.baseline.of(image, &self.low, &self.high);
                    let path = image.clone() - start.clone();
                    let points = self.settings.quadrature.points(self.settings.steps);
                    let input = |i: usize| start.clone() + path.clone() * points[i].0 as f32;
                    let weights: Vec<f64> = points.iter().map(|(_, weight)| *weight).collect();
                    let integral = self.mean_gradient(group, &input, &weights, targets, &chosen);
                    let at_start = self.network.forward(start);
                    let at_start = chosen.iter().map(|&head| self.heads[head].network.forward(at_start.clone()));
                    (integrated_gradients::maps(&path, integral), Some(values_of(at_start).concat()))
                }
                _ => {
                    let smooth_grad::SmoothGrad { samples, noise } = self.settings.smooth_grad;
                    let deviation = smooth_grad::deviation(image, noise);
                    let input = |i: usize| smooth_grad::noisy(image, deviation, self.settings.seed, key, i);
                    let weights = vec![1.0 / samples as f64; samples];
                    let mean = self.mean_gradient(group, &input, &weights, targets, &chosen);
                    (smooth_grad::maps(mean), None)
                }
            };
            for (row, values) in rows_of(maps).into_iter().enumerate() {
                let (position, target) = (row / targets.len(), row % targets.len());
                let (head, class) = (chosen[position], targets[target]);
                let promise = at_start.as_ref().map(|start| logits[head][class] - start[position][class]);
                found.push(Found { head, target, method, promise, values, short: None });
            }
        }
        found
    }

    /// The weighted sum of the gradients at many inputs `[1, c, h, w]`, head-major: as many inputs at once as the
    /// chunk has room for.
    fn mean_gradient(
        &self,
        group: &Group,
        input: &dyn Fn(usize) -> Tensor<4>,
        weights: &[f64],
        targets: &[usize],
        chosen: &[usize],
    ) -> Tensor<4> {
        let heads: Vec<&Head> = chosen.iter().map(|&head| &self.heads[head]).collect();
        let rows = chosen.len() * targets.len();
        let together = (self.settings.chunk / rows).max(1);
        let (mut sum, mut rest): (Option<Tensor<4>>, _) = (None, Program::default());
        for first in (0..weights.len()).step_by(together) {
            let count = together.min(weights.len() - first);
            let inputs = Tensor::cat((first..first + count).map(input).collect(), 0);
            let pass = Pass::record(&self.network, heads.iter().copied(), &inputs);
            let cotangents = pass.heads.iter().zip(chosen).map(|(tape, &head)| {
                let seeds = one_hot(tape.output(), targets).repeat_dim(0, count);
                let pulled = tape.pull_back(group.head(head), seeds);
                let [_, channels, height, width] = pulled.dims();
                pulled.reshape([count, targets.len() * channels, height, width])
            });
            // Input-major, then head, then target.
            let cotangents = Tensor::cat(cotangents.collect(), 1);
            let [_, wide, height, width] = cotangents.dims();
            let cotangents = cotangents.reshape([count * rows, wide / rows, height, width]);
            let (body, linear) = pass.backbone().program(&group.backbone).split();
            rest = linear;
            let body = body.ready(&cotangents.device());
            let chunk = if count == 1 { self.settings.chunk } else { count * rows };
            let pulled = Tensor::cat(chunks(cotangents, chunk).map(|chunk| body.pull_back(chunk)).collect(), 0);
            // Input by input, so that the sum does not depend on how many are done at once.
            for (i, weight) in weights[first..first + count].iter().enumerate() {
                let part = pulled.clone().narrow(0, i * rows, rows) * *weight as f32;
                sum = Some(match sum {
                    Some(total) => total + part,
                    None => part,
                });
            }
        }
        let sum = sum.expect("there is at least one input");
        rest.ready(&sum.device()).pull_back(sum)
    }
}
