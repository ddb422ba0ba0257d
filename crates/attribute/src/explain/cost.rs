//! What an image will cost, counted before anything is computed.

use super::Explainer;
use crate::method::{MASKED, Method, occlusion};

/// Passes through the backbone, and maps that come of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Forward passes, an image each.
    pub forwards: usize,
    /// Pull-backs to the pixels, a cotangent each; at most, because sums of others need none of their own.
    pub pull_backs: usize,
    /// Maps.
    pub maps: usize,
}

impl Cost {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            forwards: self.forwards + other.forwards,
            pull_backs: self.pull_backs + other.pull_backs,
            maps: self.maps + other.maps,
        }
    }
}

impl Explainer {
    /// The cost of an image of `size` `[rows, columns]` with so many targets.
    pub fn cost(&self, size: [usize; 2], targets: usize) -> Cost {
        let settings = &self.settings;
        let mut cost = Cost { forwards: 1, ..Cost::default() };
        for group in self.groups.iter().filter(|group| !group.methods.is_empty()) {
            cost.pull_backs += targets * self.asking(|method| group.methods.contains(&method)).len();
        }
        for methods in MASKED.into_iter().filter(|methods| !self.asking(|wanted| methods.contains(&wanted)).is_empty())
        {
            cost.forwards += match methods[0] {
                Method::Occlusion => occlusion::windows(&settings.occlusion, size).len(),
                Method::Rise => settings.rise.masks,
                Method::Lime => settings.lime.samples,
                Method::KernelShap => settings.kernel_shap.samples + 1,
                // The features once, a mask for each channel and one for none.
                _ => self.channels + 2,
            };
        }
        for method in Method::ALL {
            let heads = self.asking(|wanted| wanted == method).len();
            if heads == 0 {
                continue;
            }
            let competed = usize::from(targets > 1 && settings.var.methods.contains(&method));
            cost.maps += heads * targets * (1 + competed);
            let (forwards, averaged) = match method {
                // The baseline's logit is for the check.
                Method::IntegratedGradients => (settings.steps + 1, settings.steps),
                Method::SmoothGrad => (settings.smooth_grad.samples, settings.smooth_grad.samples),
                // The picture and its baseline, side by side.
                Method::DeepLift => (2, 1),
                _ => (0, 0),
            };
            cost.forwards += forwards;
            cost.pull_backs += averaged * heads * targets;
        }
        cost
    }
}
