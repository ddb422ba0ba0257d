//! What an image will cost, counted before anything is computed.

use features::network::Network;

use super::Explainer;
use crate::method::{Family, Method, occlusion};

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
                Method::Occlusion => (occlusion::windows(&settings.occlusion, size).len(), 0),
                Method::Rise => (settings.rise.masks, 0),
                Method::Lime => (settings.lime.samples, 0),
                Method::KernelShap => (settings.kernel_shap.samples + 1, 0),
                method => {
                    debug_assert!(matches!(method.family(), Family::Pixels | Family::Features));
                    (0, 0)
                }
            };
            cost.forwards += forwards;
            cost.pull_backs += averaged * heads * targets;
        }
        cost
    }

    /// The backbone.
    pub fn network(&self) -> &Network {
        &self.network
    }
}
