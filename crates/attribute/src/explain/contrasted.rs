//! The method that compares a picture with a baseline layer by layer: DeepLIFT.

use features::tensor::Tensor;

use super::{
    Explainer, Found,
    pass::{Pass, chunks, one_hot, rows_of, values_of},
};
use crate::{
    composite::Composite,
    method::{Family, Method, deep_lift},
};

impl Explainer {
    /// Maps of all methods of the family `Contrasted`.
    pub(super) fn contrasted(&self, image: &Tensor<4>, targets: &[usize]) -> Vec<Found> {
        let method = Method::DeepLift;
        debug_assert_eq!(method.family(), Family::Contrasted);
        let Some(group) = self.groups.iter().find(|group| group.composite == Composite::DeepLift) else {
            return Vec::new();
        };
        let chosen = self.asking(|wanted| wanted == method);
        let baseline = self.settings.deep_lift.baseline.of(image, &self.low, &self.high);
        let pair = Tensor::cat(vec![image.clone(), baseline.clone()], 0);
        let pass = Pass::record(&self.network, chosen.iter().map(|&head| &self.heads[head]), &pair);
        let cotangents = pass.heads.iter().zip(&chosen).map(|(tape, &head)| {
            let seeds = one_hot(tape.output(), targets);
            tape.pull_back(group.head(head), seeds)
        });
        let program = pass.backbone().fasten(&group.backbone);
        let path = image.clone() - baseline;
        let maps = chunks(Tensor::cat(cotangents.collect(), 0), self.settings.chunk)
            .flat_map(|chunk| rows_of(deep_lift::maps(&path, program.pull_back(chunk))));
        let logits = values_of(pass.heads.iter().map(|tape| tape.output().clone()));
        maps.enumerate()
            .map(|(row, values)| {
                let (position, target) = (row / targets.len(), row % targets.len());
                let [of_image, of_baseline] = [0, 1].map(|at| logits[position][at][targets[target]]);
                let promise = of_image - of_baseline;
                Found { head: chosen[position], target, method, promise: Some(promise), values, short: None }
            })
            .collect()
    }
}
