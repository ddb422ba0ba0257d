//! Methods that share a pull-back: which composites a method asks for, and their plans for one network and its heads.

use std::collections::BTreeSet;

use features::{error::Result, network::Network};

use super::Head;
use crate::{
    composite::{Composite, First, ResidualSum},
    method::{Family, FirstLayer, Method},
    plan::{Entry, Plan},
};

/// Methods that share a pull-back, and its plans.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) composite: Composite,
    pub(super) methods: BTreeSet<Method>,
    pub(super) backbone: Plan,
    /// One a head, none for heads that no method asks for it.
    heads: Vec<Option<Plan>>,
}

impl Group {
    /// The plan of head number `head`.
    pub(super) fn head(&self, head: usize) -> &Plan {
        self.heads[head].as_ref().expect("a head has the plans of its methods")
    }

    /// The groups of all methods of `heads` on the features of `network`, whose input lies within `bounds` (low, high).
    ///
    /// # Errors
    /// As [`Plan::bind`].
    pub(super) fn all(network: &Network, heads: &[Head], bounds: &(Vec<f32>, Vec<f32>)) -> Result<Vec<Self>> {
        let wanted: BTreeSet<Method> = heads.iter().flat_map(|head| head.methods.clone()).collect();
        let mut groups: Vec<(Composite, BTreeSet<Method>)> = Vec::new();
        for &method in &wanted {
            for (composite, method) in composites(method, bounds) {
                match groups.iter_mut().find(|(known, _)| *known == composite) {
                    Some((_, methods)) => methods.extend(method),
                    None => groups.push((composite, method.into_iter().collect())),
                }
            }
        }
        groups
            .into_iter()
            .map(|(composite, methods)| {
                let backbone = Plan::bind(network, &composite, Entry::Pixels)?;
                let plans = heads.iter().map(|head| {
                    let mut wanted = head.methods.iter().flat_map(|method| composites(*method, bounds));
                    let asks = wanted.any(|(wanted, _)| wanted == composite);
                    asks.then(|| Plan::bind(&head.network, &composite, Entry::Features)).transpose()
                });
                Ok(Self { methods, backbone, heads: plans.collect::<Result<_>>()?, composite })
            })
            .collect()
    }
}

/// The composites that a method pulls back by, and whether its maps are read from that pull-back at the pixels.
fn composites(method: Method, (low, high): &(Vec<f32>, Vec<f32>)) -> Vec<(Composite, Option<Method>)> {
    let relevance = |sum| Composite::EpsilonGammaBox { low: low.clone(), high: high.clone(), sum };
    let first = |layer: FirstLayer| match layer {
        FirstLayer::Same => First::Same,
        FirstLayer::Flat => First::Flat,
        FirstLayer::WSquare => First::WSquare,
        FirstLayer::ZBox => First::ZBox { low: low.clone(), high: high.clone() },
    };
    let composite = match method {
        Method::InputXGradient | Method::Gradient => Composite::Gradient,
        Method::GuidedBackprop | Method::GuidedBackpropTimesInput => Composite::GuidedBackprop,
        // The head's gradient weighs the features.
        Method::GuidedGradCam => {
            return vec![(Composite::GuidedBackprop, Some(method)), (Composite::Gradient, None)];
        }
        Method::Deconvnet => Composite::Deconvnet,
        Method::Bcos => Composite::Bcos,
        Method::Lrp => relevance(ResidualSum::Proportional),
        Method::LrpReference => relevance(ResidualSum::Duplicate),
        Method::LrpEpsilon => Composite::Epsilon,
        Method::LrpEpsilonPlus(layer) => Composite::EpsilonPlus(first(layer)),
        Method::LrpEpsilonAlpha2Beta1(layer) => Composite::EpsilonAlpha2Beta1(first(layer)),
        Method::ExcitationBackprop => Composite::ExcitationBackprop,
        Method::DeepLift => return vec![(Composite::DeepLift, None)],
        method => {
            return match method.family() {
                Family::Features | Family::Averaged => vec![(Composite::Gradient, None)],
                Family::Pixels | Family::Contrasted | Family::Masked => vec![],
            };
        }
    };
    vec![(composite, Some(method))]
}
