//! Methods that read one pull-back at the pixels, and those that stop at the features.

use features::tensor::{Tensor, to_vec};

use super::{
    Explainer, Found, Group,
    basis::{Basis, linear_weights},
    pass::{Pass, chunks, one_hot, rows_of},
};
use crate::{
    composite::Composite,
    method::{
        Family, Method, ablation_cam, bcos, cam, deconvnet, excitation_backprop, grad_cam, gradient, guided_backprop,
        guided_grad_cam, input_x_gradient,
        lrp::{self, Start},
    },
    storage::Short,
};

impl Explainer {
    /// Maps of all methods of the family `Pixels`, group by group.
    pub(super) fn pixels(&self, pass: &Pass, targets: &[usize]) -> Vec<Found> {
        let groups = self.groups.iter().filter(|group| !group.methods.is_empty());
        groups.flat_map(|group| self.group(group, pass, targets)).collect()
    }

    fn group(&self, group: &Group, pass: &Pass, targets: &[usize]) -> Vec<Found> {
        let heads = self.asking(|method| group.methods.contains(&method));
        let start = group.methods.iter().find_map(|method| method.start());
        let cotangents = self.at_features(group, pass, targets, &heads, start);
        // Row r belongs to heads[r / targets] and target r % targets.
        let rows = heads.len() * targets.len();
        let basis = match group.composite {
            // Linear in the cotangent.
            Composite::Gradient | Composite::Bcos => {
                let row = |row: usize| (&self.heads[heads[row / targets.len()]].network, targets[row % targets.len()]);
                Basis::of(&linear_weights((0..rows).map(row)))
            }
            _ => Basis::all(rows),
        };
        let cotangents = Tensor::cat(basis.chosen.iter().map(|&row| cotangents.clone().narrow(0, row, 1)).collect(), 0);
        // Guided Grad-CAM weighs its maps by Grad-CAM's, which need the head's own gradient.
        let weights = match (group.methods.contains(&Method::GuidedGradCam), self.gradient()) {
            (true, Some(plain)) => {
                let gradients = self.at_features(plain, pass, targets, &heads, None);
                let coarse = grad_cam::maps(&pass.features, gradients);
                Some(grad_cam::enlarge(coarse.unsqueeze_dim(1), pass.size()).squeeze_dim::<3>(1))
            }
            _ => None,
        };
        let program = pass.backbone().fasten(&group.backbone);
        let mut maps: Vec<(Method, Vec<Vec<f32>>)> = group.methods.iter().map(|method| (*method, vec![])).collect();
        let mut done = 0;
        for chunk in chunks(cotangents, self.settings.chunk) {
            let pulled = program.pull_back(chunk);
            let [count, ..] = pulled.dims();
            for (method, maps) in &mut maps {
                let pulled = pulled.clone();
                maps.extend(rows_of(match (*method, &weights) {
                    (Method::GuidedGradCam, Some(weights)) => {
                        guided_grad_cam::maps(pulled, weights.clone().narrow(0, done, count))
                    }
                    (Method::InputXGradient | Method::GuidedBackpropTimesInput, _) => {
                        input_x_gradient::maps(&pass.image, pulled)
                    }
                    (Method::Bcos, _) => bcos::maps(&pass.image, pulled),
                    (Method::GuidedBackprop, _) => guided_backprop::maps(pulled),
                    (Method::Deconvnet, _) => deconvnet::maps(pulled),
                    (Method::ExcitationBackprop, _) => excitation_backprop::maps(pulled),
                    (method, _) if method.start().is_some() => lrp::maps(pulled),
                    _ => gradient::maps(pulled),
                }));
            }
            done += count;
        }
        let mut found = Vec::new();
        for (method, maps) in maps {
            for row in 0..rows {
                let (head, target) = (heads[row / targets.len()], row % targets.len());
                if self.heads[head].methods.contains(&method) {
                    let values = basis.map(row, &maps);
                    found.push(Found { head, target, method, promise: None, values, short: None });
                }
            }
        }
        found
    }

    /// Cotangents at the features, head-major: heads `chosen`, then targets.
    pub(super) fn at_features(
        &self,
        group: &Group,
        pass: &Pass,
        targets: &[usize],
        chosen: &[usize],
        start: Option<Start>,
    ) -> Tensor<4> {
        let cotangents = chosen.iter().map(|&head| {
            let logits = pass.heads[head].output();
            let seeds = one_hot(logits, targets);
            let start = match start {
                Some(Start::Logit) => lrp::start(logits, seeds),
                Some(Start::One) | None => seeds,
            };
            pass.heads[head].pull_back(group.head(head), start)
        });
        Tensor::cat(cotangents.collect(), 0)
    }

    /// Maps of all methods of the family `Features`.
    pub(super) fn features(&self, pass: &Pass, logits: &[Vec<f32>], targets: &[usize]) -> Vec<Found> {
        let heads = self.asking(|method| method.family() == Family::Features);
        let Some(group) = self.gradient().filter(|_| !heads.is_empty()) else { return Vec::new() };
        let gradients = self.at_features(group, pass, targets, &heads, None);
        let size = pass.size();
        let mut found = Vec::new();
        for method in Method::ALL.into_iter().filter(|method| method.family() == Family::Features) {
            if method == Method::AblationCam || !heads.iter().any(|&head| self.heads[head].methods.contains(&method)) {
                continue;
            }
            let maps = match (method, &self.site) {
                (Method::GradCamReference, Some(site)) => {
                    let (activations, gradients) = site.look(pass.backbone(), gradients.clone());
                    grad_cam::maps(&activations, gradients)
                }
                (Method::GradCamPlusPlus, _) => cam::grad_cam_plus_plus(&pass.features, gradients.clone()),
                (Method::LayerCam, _) => cam::layer_cam(&pass.features, gradients.clone()),
                (Method::XGradCam, _) => cam::xgrad_cam(&pass.features, gradients.clone()),
                (Method::HiResCam, _) => cam::hires_cam(&pass.features, gradients.clone()),
                _ => grad_cam::maps(&pass.features, gradients.clone()),
            };
            let [_, rows, columns] = maps.dims();
            for (row, values) in rows_of(maps).into_iter().enumerate() {
                let (head, target) = (heads[row / targets.len()], row % targets.len());
                if self.heads[head].methods.contains(&method) {
                    let short = Short::Coarse { size: [rows, columns], values };
                    found.push(Found::of_short(head, target, method, short, size));
                }
            }
        }
        found.extend(self.ablated(pass, logits, targets));
        found
    }

    /// Maps of Ablation-CAM.
    fn ablated(&self, pass: &Pass, logits: &[Vec<f32>], targets: &[usize]) -> Vec<Found> {
        let method = Method::AblationCam;
        let [_, channels, rows, columns] = pass.features.dims();
        let heads = self.asking(|wanted| wanted == method);
        if heads.is_empty() {
            return Vec::new();
        }
        let mut ablated = vec![Vec::with_capacity(channels); heads.len()];
        for first in (0..channels).step_by(self.settings.chunk) {
            let count = self.settings.chunk.min(channels - first);
            self.answer(&ablation_cam::without(&pass.features, first, count), &heads, &mut ablated);
        }
        let features = to_vec(pass.features.clone());
        let planes: Vec<&[f32]> = features.chunks_exact(rows * columns).collect();
        let mut found = Vec::new();
        for (&head, ablated) in heads.iter().zip(&ablated) {
            for (target, &class) in targets.iter().enumerate() {
                let ablated: Vec<f32> = ablated.iter().map(|logits| logits[class]).collect();
                let values = ablation_cam::map(&planes, logits[head][class], &ablated);
                let short = Short::Coarse { size: [rows, columns], values };
                found.push(Found::of_short(head, target, method, short, pass.size()));
            }
        }
        found
    }
}
