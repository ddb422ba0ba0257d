//! All maps of one image: one backbone pass shared by all probes, targets and methods.
//!
//! Heads are recorded on the backbone's features. For each composite the cotangents of all heads and targets are laid
//! side by side and pulled through the backbone together, in chunks that bound memory.

mod apart;
mod averaged;
mod basis;
mod check;
mod contrasted;
mod cost;
mod group;
mod masked;
mod pass;
mod pictured;
mod pixels;
mod site;

pub use apart::{apart, logit_of};
pub use check::Check;
pub use cost::Cost;
pub use pictured::Picture;

use std::borrow::Cow;

use features::{
    backbone::Backbone,
    error::{Error, Result},
    network::{Layer, Network},
    tensor::Tensor,
};

use crate::{
    baseline::Baseline,
    competition::Var,
    composite::Composite,
    method::{
        Method, deep_lift::DeepLift, integrated_gradients::Quadrature, kernel_shap::KernelShap, lime::Lime, lrp,
        occlusion::Occlusion, rise::Rise, smooth_grad::SmoothGrad,
    },
    storage::Short,
    stored::FeatureSource,
};
use group::Group;
use pass::{Pass, values_of};
use site::Site;

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

/// What bounds cost, and what methods can be asked to do otherwise.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Cotangents or inputs that go through the backbone at once: memory against speed, never the result.
    pub chunk: usize,
    /// Points of integrated gradients.
    pub steps: usize,
    /// Where those points are.
    pub quadrature: Quadrature,
    /// Where the path of integrated gradients begins.
    pub baseline: Baseline,
    /// Of DeepLIFT.
    pub deep_lift: DeepLift,
    /// Of SmoothGrad.
    pub smooth_grad: SmoothGrad,
    /// Of occlusion.
    pub occlusion: Occlusion,
    /// Of RISE.
    pub rise: Rise,
    /// Of LIME.
    pub lime: Lime,
    /// Of KernelSHAP.
    pub kernel_shap: KernelShap,
    /// Of the competition of targets.
    pub var: Var,
    /// Seed of all draws.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk: 32,
            steps: 16,
            quadrature: Quadrature::default(),
            baseline: Baseline::default(),
            deep_lift: DeepLift::default(),
            smooth_grad: SmoothGrad::default(),
            occlusion: Occlusion::default(),
            rise: Rise::default(),
            lime: Lime::default(),
            kernel_shap: KernelShap::default(),
            var: Var::default(),
            seed: 0,
        }
    }
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
    /// What was done to the finished map.
    pub after: After,
    /// The explained logit, with its offset.
    pub logit: f32,
    /// What the map accounts for, and what it should.
    pub check: Check,
    /// `[h * w]`, row-major, sign kept.
    pub values: Vec<f32>,
    /// What the values were made from, where that is less.
    pub short: Option<Short>,
}

/// What was done to a finished map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum After {
    /// Nothing.
    Nothing,
    /// The targets competed, see [`crate::competition`].
    Var,
}

impl Map {
    /// Sum of the map: what the method says it has explained.
    pub fn relevance_sum(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value)).sum()
    }

    /// The method's name in tables, with what was done to the map behind a colon.
    pub fn name(&self) -> String {
        match self.after {
            After::Nothing => self.method.to_string(),
            After::Var => format!("{}:var", self.method),
        }
    }
}

/// A backbone and its heads with every rule bound once.
#[derive(Debug, Clone)]
pub struct Explainer {
    network: Network,
    heads: Vec<Head>,
    groups: Vec<Group>,
    /// Where `grad_cam:reference` looks.
    site: Option<Site>,
    /// Smallest value of each input channel.
    low: Vec<f32>,
    /// Largest value of each input channel.
    high: Vec<f32>,
    /// Feature channels.
    channels: usize,
    settings: Settings,
}

impl Explainer {
    /// Binds all composites that the heads' methods need.
    ///
    /// # Errors
    /// As [`crate::plan::Plan::bind`].
    pub fn new(backbone: &Backbone, heads: Vec<Head>, settings: Settings) -> Result<Self> {
        let bounds = lrp::bounds(&backbone.encoding);
        Self::with_bounds(backbone.network.clone(), bounds, heads, settings)
    }

    /// The same for a network whose input lies within `bounds` (low, high; one value a channel).
    ///
    /// # Errors
    /// As [`crate::plan::Plan::bind`].
    pub fn with_bounds(
        network: Network,
        bounds: (Vec<f32>, Vec<f32>),
        heads: Vec<Head>,
        settings: Settings,
    ) -> Result<Self> {
        let groups = Group::all(&network, &heads, &bounds)?;
        let refers = heads.iter().any(|head| head.methods.contains(&Method::GradCamReference));
        let site = if refers { Site::find(&network)? } else { None };
        let (low, high) = bounds;
        let channels = heads.iter().find_map(|head| channels(&head.network)).unwrap_or_default();
        Ok(Self { network, heads, groups, site, low, high, channels, settings })
    }

    /// The same without integrated gradients, which no pull-back is shared with; what is bound is shared.
    pub fn without_integrated_gradients(&self) -> Self {
        let mut fewer = self.clone();
        fewer.heads.iter_mut().for_each(|head| head.methods.retain(|method| *method != Method::IntegratedGradients));
        fewer
    }

    /// The heads, in the order of [`Map::head`].
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The same, passing so many cotangents or inputs at once.
    pub fn at(&self, chunk: usize) -> Cow<'_, Self> {
        let mut explainer = Cow::Borrowed(self);
        if self.settings.chunk != chunk {
            explainer.to_mut().settings.chunk = chunk;
        }
        explainer
    }

    /// The backbone.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Maps of `image` `[1, c, h, w]` for classes `targets`, ordered by target, head, method.
    ///
    /// Of heads that are [`apart`], a target is the number of a logit as [`logit_of`] counts them.
    ///
    /// Random draws are keyed by the settings' seed and by `key`, the name of the image.
    ///
    /// # Errors
    /// `BadData` for a target that a head has no logit for, `Usage` where KernelSHAP has too few coalitions.
    pub fn explain(&self, image: &Tensor<4>, targets: &[usize], key: &str) -> Result<Vec<Map>> {
        let pass = match self.goes_through() {
            true => Pass::record(&self.network, &self.heads, image),
            false => Pass::forward(&self.network, &self.heads, image),
        };
        self.of_pass(&pass, targets, key)
    }

    /// The same without a pass, for methods that stop at the features: those of `image` are `features` `[1, c, h, w]`.
    ///
    /// # Errors
    /// As [`Self::explain`], and `Usage` for a method that goes through the backbone.
    pub fn explain_at(&self, image: &Tensor<4>, features: Tensor<4>, targets: &[usize], key: &str) -> Result<Vec<Map>> {
        let mut methods = self.heads.iter().flat_map(|head| &head.methods);
        if let Some(method) = methods.find(|method| !FeatureSource::Stored.serves(**method)) {
            return Err(Error::Usage(format!("{method} goes through the backbone, features alone are not enough")));
        }
        self.of_pass(&Pass::on_features(features, &self.heads, image), targets, key)
    }

    /// Whether some method needs more of the backbone than its features.
    fn goes_through(&self) -> bool {
        self.site.is_some() || self.groups.iter().any(|group| !group.methods.is_empty())
    }

    fn of_pass(&self, pass: &Pass, targets: &[usize], key: &str) -> Result<Vec<Map>> {
        let image = &pass.image;
        let logits: Vec<Vec<f32>> = values_of(pass.heads.iter().map(|head| head.output().clone())).concat();
        for (head, logits) in self.heads.iter().zip(&logits).filter(|(head, _)| !head.methods.is_empty()) {
            let (_, cells) = apart::alone(&head.network);
            if let Some(target) = targets.iter().find(|target| **target >= logits.len()) {
                return Err(Error::BadData(format!(
                    "class {} is to be explained, probe {} knows {} classes; \
                     use the images the probes were trained for",
                    target / cells,
                    head.id,
                    logits.len() / cells
                )));
            }
        }
        let mut found = self.pixels(pass, targets);
        found.extend(self.features(pass, &logits, targets));
        found.extend(self.contrasted(image, targets));
        found.extend(self.averaged(image, &logits, targets, key));
        found.extend(self.masked(image, &logits, targets, key)?);
        let mut maps: Vec<Map> = found
            .into_iter()
            .map(|found| {
                let Found { head, target, method, promise, values, short } = found;
                let logit = logits[head][targets[target]];
                let check = Check::of(method, &self.heads[head].network, logit, promise, &values);
                Map { head, target, method, after: After::Nothing, logit, check, values, short }
            })
            .collect();
        maps.extend(self.competed(&maps, targets.len()));
        let place = |map: &Map| {
            let methods = &self.heads[map.head].methods;
            methods.iter().position(|method| *method == map.method)
        };
        maps.sort_by_key(|map| (map.target, map.head, place(map), map.after));
        Ok(maps)
    }

    /// The maps after the competition of their targets, for methods that are asked for.
    fn competed(&self, maps: &[Map], targets: usize) -> Vec<Map> {
        let var = &self.settings.var;
        let mut competed = Vec::new();
        if targets < 2 {
            return competed;
        }
        for (head, of) in self.heads.iter().enumerate() {
            for method in of.methods.iter().filter(|method| var.methods.contains(method)) {
                let rivals: Vec<&Map> = maps.iter().filter(|map| map.head == head && map.method == *method).collect();
                let values = var.compete(&rivals.iter().map(|map| map.values.as_slice()).collect::<Vec<_>>());
                competed.extend(rivals.into_iter().zip(values).map(|(map, values)| Map {
                    after: After::Var,
                    check: Check::default(),
                    values,
                    short: None,
                    ..*map
                }));
            }
        }
        competed
    }

    /// Positions of the heads that ask for a method.
    fn asking(&self, wants: impl Fn(Method) -> bool) -> Vec<usize> {
        (0..self.heads.len()).filter(|&head| self.heads[head].methods.iter().any(|method| wants(*method))).collect()
    }

    /// The plans of the gradient, if some method needs it.
    fn gradient(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.composite == Composite::Gradient)
    }
}

/// The channels that a network reads, by its first convolution.
fn channels(network: &Network) -> Option<usize> {
    network.layers.iter().find_map(|layer| match layer {
        Layer::Conv(conv) => Some(conv.weight.dims()[1]),
        Layer::BcosConv(conv) => Some(conv.weight().dims()[1]),
        Layer::Apart(apart) => channels(&apart.network),
        _ => None,
    })
}

/// A map before it is checked, and the sum that its method promises.
struct Found {
    head: usize,
    target: usize,
    method: Method,
    promise: Option<f32>,
    values: Vec<f32>,
    short: Option<Short>,
}

impl Found {
    /// A map for a picture of `size` `[rows, columns]` that is made of less, without a promise.
    fn of_short(head: usize, target: usize, method: Method, short: Short, size: [usize; 2]) -> Self {
        Self { head, target, method, promise: None, values: short.spread(size), short: Some(short) }
    }
}
