//! What explains items: an explainer for each setting, with and without integrated gradients.

use std::collections::BTreeSet;

use features::{
    error::Result,
    images::Rgb,
    network::Network,
    preprocess::Preprocess,
    stage::{Batches, Need, Stage, side_by_side},
    tensor::{Device, Tensor, to_vec},
};

use super::{Job, PART, rows::ItemRows};
use crate::{
    explain::{Cost, Explainer},
    item::Item,
    method::{Method, lrp},
    setting::Setting,
    storage::Storage,
    stored::FeatureSource,
};

/// Cotangents or inputs at once that are fast: on the CPU, where items run side by side, and on an accelerator.
pub(crate) const FAST_CPU: usize = 8;
const FAST: usize = 32;

/// All that is needed to explain an item.
pub(crate) struct Worker {
    preprocess: Preprocess,
    device: Device,
    keep_bits: u32,
    storage: Storage,
    chunk: Batches,
    explainers: Vec<Explainers>,
    source: FeatureSource,
}

/// What explains the items of one setting and, where cells are cut off from each other, of one size.
struct Explainers {
    setting: Setting,
    size: usize,
    full: Explainer,
    /// Without integrated gradients, for items outside their scope.
    short: Explainer,
}

impl Worker {
    pub(crate) fn new(job: &Job, stage: &Stage) -> Result<Self> {
        let Job { config, backbone, heads, device, .. } = job;
        let preprocess = backbone.encoding.preprocess();
        let pictures = job.items.iter().map(|item| &item.picture);
        let need = need(&backbone.network, preprocess.channels, pictures, averaged(job), device);
        let need = Need { passes: at_once(device), ..need };
        let chunk = stage.batch(config.chunk, fast(device), need, device)?;
        let settings = config.settings(stage.seed, chunk.size());
        let views: BTreeSet<(Setting, usize)> = job.items.iter().map(view).collect();
        let explainers = views.into_iter().map(|(setting, size)| {
            let heads = heads.iter().map(|head| setting.head(head, size)).collect();
            let network = setting.backbone(&backbone.network, size);
            let full = Explainer::with_bounds(network, lrp::bounds(&backbone.encoding), heads, settings.clone())?;
            Ok(Explainers { setting, size, short: full.without_integrated_gradients(), full })
        });
        Ok(Self {
            preprocess,
            device: device.clone(),
            keep_bits: config.keep_bits,
            storage: config.storage,
            chunk,
            explainers: explainers.collect::<Result<_>>()?,
            source: config.features,
        })
    }

    /// What explains an item.
    pub(crate) fn explainer(&self, item: &Item) -> &Explainer {
        let ours = self.explainers.iter().find(|of| (of.setting, of.size) == view(item));
        let Explainers { full, short, .. } = ours.expect("there is one for the setting of every item");
        if item.integrated { full } else { short }
    }

    /// What an item costs.
    pub(crate) fn cost(&self, item: &Item) -> Cost {
        let cost = self.explainer(item).cost([item.picture.height, item.picture.width], item.targets.len());
        match self.source {
            FeatureSource::Computed => cost,
            FeatureSource::Stored => Cost { forwards: 0, ..cost },
        }
    }

    /// One forward pass, to be timed.
    pub(crate) fn forward(&self, item: &Item) {
        let image = self.preprocess.apply(std::slice::from_ref(&item.picture), &self.device);
        to_vec(self.explainer(item).network().forward(image));
    }

    /// Items that are explained at once.
    pub(crate) fn threads(&self) -> usize {
        at_once(&self.device)
    }

    /// The rows of an item, whose features may be there already.
    pub(crate) fn rows(&self, item: &Item, features: Option<Tensor<4>>) -> Result<ItemRows> {
        let explainer = self.explainer(item);
        let image = self.preprocess.apply(std::slice::from_ref(&item.picture), &self.device);
        let (setting, size) = view(item);
        let targets = item.targets.iter().map(|(cell, class)| setting.logit(*class as usize, *cell as usize, size));
        let targets: Vec<usize> = targets.collect();
        let maps = self.chunk.run(|chunk| match &features {
            None => explainer.at(chunk).explain(&image, &targets, &item.name),
            Some(features) => explainer.at(chunk).explain_at(&image, features.clone(), &targets, &item.name),
        })??;
        let mut rows = ItemRows::default();
        for map in maps {
            let kept = self.storage.kept(map.method, map.after);
            rows.push(item, &explainer.heads()[map.head], map, kept, self.keep_bits)?;
        }
        Ok(rows)
    }
}

/// Items that are explained at once.
fn at_once(device: &Device) -> usize {
    side_by_side(device).min(PART)
}

/// The fewest cotangents that averaging methods have of an item. The fewer, the more inputs are recorded together.
fn averaged(job: &Job) -> usize {
    let asking = |method: &Method| job.heads.iter().filter(|head| head.methods.contains(method)).count();
    let methods = Method::ALL.into_iter().filter(averages).map(|method| (method, asking(&method)));
    let cotangents = methods.filter(|(_, asking)| *asking > 0).flat_map(|(method, asking)| {
        let items = job.items.iter().filter(move |item| method != Method::IntegratedGradients || item.integrated);
        items.map(move |item| asking * item.targets.len().max(1))
    });
    cotangents.min().unwrap_or(0)
}

/// What the largest of `pictures` takes of memory. `averaged` is the fewest cotangents of a picture that averaging methods ask
/// for, 0 where there are no such methods.
pub fn need<'a>(
    backbone: &Network,
    channels: usize,
    pictures: impl Iterator<Item = &'a Rgb>,
    averaged: usize,
    device: &Device,
) -> Need {
    let most = pictures.max_by_key(|picture| picture.height * picture.width);
    let shape = most.map_or([1; 3], |picture| [channels, picture.height, picture.width]);
    let kept = 4.0 * backbone.footprint(shape).kept as f64;
    // Averages keep the maps of as many inputs as have a chunk of cotangents together; all other pull-backs those of the
    // picture, or of the picture and its baseline.
    let recorded = if averaged == 0 { 0.0 } else { kept / averaged as f64 };
    let forward = Need::forward(backbone, shape, device);
    Need { input: forward.input + recorded, pass: 2.0 * kept, ..forward }
}

/// Cotangents at once that are fast on `device`.
pub fn fast(device: &Device) -> usize {
    if let Device::Flex(_) = device { FAST_CPU } else { FAST }
}

/// Whether a method averages over recorded inputs.
pub fn averages(method: &Method) -> bool {
    matches!(method, Method::IntegratedGradients | Method::SmoothGrad)
}

/// An item's setting and, where cells are cut off from each other, the size of its grid.
fn view(item: &Item) -> (Setting, usize) {
    match item.kind.setting() {
        Setting::GridPg => (Setting::GridPg, 1),
        setting => (setting, item.kind.grid_size().map_or(1, |size| size as usize)),
    }
}
