//! All maps of one image: one backbone pass shared by all probes, targets and methods.
//!
//! Heads are recorded on the backbone's features. For each composite the cotangents of all heads and targets are laid
//! side by side and pulled through the backbone together, in chunks that bound memory.

use std::collections::BTreeSet;

use features::{
    backbone::Backbone,
    error::{Error, Result},
    network::Network,
    tensor::{Tensor, from_vec, to_vec},
};

use crate::{
    composite::{Composite, ResidualSum},
    method::{
        Depth, Method, bcos, grad_cam, guided_backprop, input_x_gradient, integrated_gradients,
        integrated_gradients::Quadrature, lrp,
    },
    plan::{Entry, Plan},
    program::Program,
    tape::Tape,
};

/// A probe head and the methods to be run on it.
#[derive(Debug, Clone)]
pub struct Head {
    /// Probe id, for tables.
    pub id: String,
    /// Features `[n, c, h, w]` to logits `[n, classes, 1, 1]`.
    pub network: Network,
    /// In the order in which maps are returned.
    pub methods: Vec<Method>,
}

/// What bounds cost.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Cotangents pulled through the backbone at once.
    pub chunk: usize,
    /// Points of integrated gradients.
    pub steps: usize,
    /// Where those points are.
    pub quadrature: Quadrature,
}

/// One map.
#[derive(Debug, Clone)]
pub struct Map {
    /// Position of the head.
    pub head: usize,
    /// Position of the target class among those asked for.
    pub target: usize,
    /// The method.
    pub method: Method,
    /// The explained logit, with its offset.
    pub logit: f32,
    /// `[h * w]`, row-major, sign kept.
    pub values: Vec<f32>,
}

impl Map {
    /// Sum of the map: what the method says it has explained.
    pub fn relevance_sum(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value)).sum()
    }
}

/// A backbone and its heads with every rule bound once.
#[derive(Debug)]
pub struct Explainer {
    network: Network,
    heads: Vec<Head>,
    groups: Vec<Group>,
    budget: Budget,
}

/// Methods that share a pull-back, and its plans.
#[derive(Debug)]
struct Group {
    methods: BTreeSet<Method>,
    backbone: Plan,
    /// One a head.
    heads: Vec<Plan>,
}

impl Explainer {
    /// Binds all composites that the heads' methods need.
    ///
    /// # Errors
    /// As [`Plan::bind`].
    pub fn new(backbone: &Backbone, heads: Vec<Head>, budget: Budget) -> Result<Self> {
        let bounds = lrp::bounds(&backbone.encoding);
        Self::with_bounds(backbone.network.clone(), bounds, heads, budget)
    }

    /// The same for a network whose input lies within `bounds` (low, high; one value a channel).
    ///
    /// # Errors
    /// As [`Plan::bind`].
    pub fn with_bounds(
        network: Network,
        bounds: (Vec<f32>, Vec<f32>),
        heads: Vec<Head>,
        budget: Budget,
    ) -> Result<Self> {
        let wanted: BTreeSet<Method> = heads.iter().flat_map(|head| head.methods.clone()).collect();
        let mut groups: Vec<(Composite, BTreeSet<Method>)> = Vec::new();
        for method in wanted {
            let composite = composite(method, &bounds);
            match groups.iter_mut().find(|(known, _)| *known == composite) {
                Some((_, methods)) => _ = methods.insert(method),
                None => groups.push((composite, BTreeSet::from([method]))),
            }
        }
        let groups = groups
            .into_iter()
            .map(|(composite, methods)| {
                Ok(Group {
                    methods,
                    backbone: Plan::bind(&network, &composite, Entry::Pixels)?,
                    heads: heads
                        .iter()
                        .map(|head| Plan::bind(&head.network, &composite, Entry::Features))
                        .collect::<Result<_>>()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { network, heads, groups, budget })
    }

    /// The heads, in the order of [`Map::head`].
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Maps of `image` `[1, c, h, w]` for classes `targets`, ordered by target, head, method.
    ///
    /// # Errors
    /// `BadData` for a target that a head has no logit for.
    pub fn explain(&self, image: &Tensor<4>, targets: &[usize]) -> Result<Vec<Map>> {
        let pass = Pass::record(&self.network, &self.heads, image);
        let logits: Vec<Vec<f32>> = pass.heads.iter().map(|head| to_vec(head.output().clone())).collect();
        for (head, logits) in self.heads.iter().zip(&logits) {
            if let Some(target) = targets.iter().find(|target| **target >= logits.len()) {
                return Err(Error::BadData(format!(
                    "class {target} is to be explained, probe {} knows {} classes; \
                     use the images the probes were trained for",
                    head.id,
                    logits.len()
                )));
            }
        }
        let mut maps = Vec::new();
        for group in &self.groups {
            for &method in &group.methods {
                let chosen: Vec<usize> =
                    (0..self.heads.len()).filter(|&head| self.heads[head].methods.contains(&method)).collect();
                let values = match method {
                    Method::IntegratedGradients => self.integrated(group, image, targets, &chosen),
                    method => self.one_pass(group, method, &pass, targets, &chosen),
                };
                for (row, values) in values.into_iter().enumerate() {
                    let (head, target) = (chosen[row / targets.len()], row % targets.len());
                    let logit = logits[head][targets[target]];
                    maps.push(Map { head, target, method, logit, values });
                }
            }
        }
        let place = |map: &Map| {
            let methods = &self.heads[map.head].methods;
            methods.iter().position(|method| *method == map.method)
        };
        maps.sort_by_key(|map| (map.target, map.head, place(map)));
        Ok(maps)
    }

    /// Maps of one method from a pass that exists, head-major: heads `chosen`, then targets.
    fn one_pass(
        &self,
        group: &Group,
        method: Method,
        pass: &Pass,
        targets: &[usize],
        chosen: &[usize],
    ) -> Vec<Vec<f32>> {
        let cotangents = chosen.iter().map(|&head| {
            let logits = pass.heads[head].output();
            let seeds = one_hot(logits, targets);
            let start = match method {
                Method::Lrp | Method::LrpReference => lrp::start(logits, seeds),
                _ => seeds,
            };
            pass.heads[head].pull_back(&group.heads[head], start)
        });
        let cotangents = Tensor::cat(cotangents.collect(), 0);
        let [_, _, rows, columns] = pass.image.dims();
        let program = match method.depth() {
            Depth::Features => Program::default(),
            Depth::Pixels => pass.backbone.fasten(&group.backbone),
        };
        let maps = |cotangents: Tensor<4>| match method.depth() {
            Depth::Features => grad_cam::maps(&pass.features, cotangents, [rows, columns]),
            Depth::Pixels => {
                let pulled = program.pull_back(cotangents);
                match method {
                    Method::GuidedBackprop => guided_backprop::maps(pulled),
                    Method::Lrp | Method::LrpReference => lrp::maps(pulled),
                    Method::Bcos => bcos::maps(&pass.image, pulled),
                    Method::InputXGradient | Method::GradCam | Method::IntegratedGradients => {
                        input_x_gradient::maps(&pass.image, pulled)
                    }
                }
            }
        };
        chunks(cotangents, self.budget.chunk).flat_map(|chunk| rows_of(maps(chunk))).collect()
    }

    /// Integrated gradients, head-major: as many points at once as the budget has room for.
    fn integrated(&self, group: &Group, image: &Tensor<4>, targets: &[usize], chosen: &[usize]) -> Vec<Vec<f32>> {
        let heads: Vec<Head> = chosen.iter().map(|&head| self.heads[head].clone()).collect();
        let rows = chosen.len() * targets.len();
        let points = self.budget.quadrature.points(self.budget.steps);
        let together = (self.budget.chunk / rows).max(1);
        let (mut integral, mut rest): (Option<Tensor<4>>, _) = (None, Program::default());
        for points in points.chunks(together) {
            let pass = Pass::record(&self.network, &heads, &integrated_gradients::path(image, points));
            let cotangents = pass.heads.iter().zip(chosen).map(|(tape, &head)| {
                let seeds = one_hot(tape.output(), targets).repeat_dim(0, points.len());
                let pulled = tape.pull_back(&group.heads[head], seeds);
                let [_, channels, height, width] = pulled.dims();
                pulled.reshape([points.len(), targets.len() * channels, height, width])
            });
            // Point-major, then head, then target.
            let cotangents = Tensor::cat(cotangents.collect(), 1);
            let [_, wide, height, width] = cotangents.dims();
            let cotangents = cotangents.reshape([points.len() * rows, wide / rows, height, width]);
            let (body, linear) = pass.backbone.fasten(&group.backbone).split();
            rest = linear;
            let chunk = if points.len() == 1 { self.budget.chunk } else { points.len() * rows };
            let pulled = Tensor::cat(chunks(cotangents, chunk).map(|chunk| body.pull_back(chunk)).collect(), 0);
            // Point by point, so that the sum does not depend on how many are done at once.
            for (i, (_, weight)) in points.iter().enumerate() {
                let part = pulled.clone().narrow(0, i * rows, rows) * *weight as f32;
                integral = Some(match integral {
                    Some(total) => total + part,
                    None => part,
                });
            }
        }
        let integral = rest.pull_back(integral.expect("a quadrature has at least one point"));
        rows_of(integrated_gradients::maps(image, integral))
    }
}

/// One forward pass through the backbone and some heads.
struct Pass {
    image: Tensor<4>,
    features: Tensor<4>,
    backbone: Tape,
    heads: Vec<Tape>,
}

impl Pass {
    fn record(network: &Network, heads: &[Head], image: &Tensor<4>) -> Self {
        let (features, backbone) = Tape::record(network, image.clone());
        let heads = heads.iter().map(|head| Tape::record(&head.network, features.clone()).1).collect();
        Self { image: image.clone(), features, backbone, heads }
    }
}

/// The composite that a method pulls back by.
fn composite(method: Method, (low, high): &(Vec<f32>, Vec<f32>)) -> Composite {
    let relevance = |sum| Composite::EpsilonGammaBox { low: low.clone(), high: high.clone(), sum };
    match method {
        Method::InputXGradient | Method::IntegratedGradients | Method::GradCam => Composite::Gradient,
        Method::GuidedBackprop => Composite::GuidedBackprop,
        Method::Bcos => Composite::Bcos,
        Method::Lrp => relevance(ResidualSum::Proportional),
        Method::LrpReference => relevance(ResidualSum::Duplicate),
    }
}

/// `[targets, classes, 1, 1]` with a 1 at each target, for logits `[n, classes, 1, 1]`.
fn one_hot(logits: &Tensor<4>, targets: &[usize]) -> Tensor<4> {
    let [_, classes, ..] = logits.dims();
    let mut values = vec![0.0; targets.len() * classes];
    for (row, target) in targets.iter().enumerate() {
        values[row * classes + target] = 1.0;
    }
    from_vec(values, [targets.len(), classes, 1, 1], &logits.device())
}

/// Consecutive rows, at most `size` at a time.
fn chunks(values: Tensor<4>, size: usize) -> impl Iterator<Item = Tensor<4>> {
    let [rows, ..] = values.dims();
    let size = size.max(1);
    (0..rows).step_by(size).map(move |first| values.clone().narrow(0, first, size.min(rows - first)))
}

/// `[m, h, w]` as `m` row-major vectors.
fn rows_of(maps: Tensor<3>) -> Vec<Vec<f32>> {
    let [_, height, width] = maps.dims();
    to_vec(maps).chunks_exact(height * width).map(<[f32]>::to_vec).collect()
}
