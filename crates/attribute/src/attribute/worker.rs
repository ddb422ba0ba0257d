//! What explains items: an explainer for each setting, with and without integrated gradients.

use std::collections::BTreeSet;

use features::{
    error::Result,
    preprocess::Preprocess,
    tensor::{Device, to_vec},
};

use super::{Job, rows::ItemRows};
use crate::{
    explain::{Explainer, Head},
    item::Item,
    method::{Method, lrp},
    setting::Setting,
    storage::Storage,
};

/// All that is needed to explain an item.
pub(crate) struct Worker {
    preprocess: Preprocess,
    device: Device,
    keep_bits: u32,
    storage: Storage,
    explainers: Vec<Explainers>,
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
    pub(crate) fn new(job: &Job, seed: u64) -> Result<Self> {
        let Job { config, backbone, heads, device, .. } = job;
        let settings = config.settings(seed);
        let mut fewer = heads.clone();
        for head in &mut fewer {
            head.methods.retain(|method| *method != Method::IntegratedGradients);
        }
        fewer.retain(|head| !head.methods.is_empty());
        let explain = |heads: &[Head], (setting, size): (Setting, usize)| {
            let heads = heads.iter().map(|head| setting.head(head, size)).collect();
            let network = setting.backbone(&backbone.network, size);
            Explainer::with_bounds(network, lrp::bounds(&backbone.encoding), heads, settings.clone())
        };
        let views: BTreeSet<(Setting, usize)> = job.items.iter().map(view).collect();
        let explainers = views.into_iter().map(|view| {
            let (setting, size) = view;
            Ok(Explainers { setting, size, full: explain(heads, view)?, short: explain(&fewer, view)? })
        });
        Ok(Self {
            preprocess: backbone.encoding.preprocess(),
            device: device.clone(),
            keep_bits: config.keep_bits,
            storage: config.storage,
            explainers: explainers.collect::<Result<_>>()?,
        })
    }

    /// What explains an item.
    pub(crate) fn explainer(&self, item: &Item) -> &Explainer {
        let ours = self.explainers.iter().find(|of| (of.setting, of.size) == view(item));
        let Explainers { full, short, .. } = ours.expect("there is one for the setting of every item");
        if item.integrated { full } else { short }
    }

    /// One forward pass, to be timed.
    pub(crate) fn forward(&self, item: &Item) {
        let image = self.preprocess.apply(std::slice::from_ref(&item.picture), &self.device);
        to_vec(self.explainer(item).network().forward(image));
    }

    /// Items that are explained at once.
    pub(crate) fn threads(&self) -> usize {
        // burn's CPU backend computes on one thread, an accelerator needs no more than one.
        match self.device {
            Device::Flex(_) => rayon::current_num_threads(),
            _ => 1,
        }
    }

    pub(crate) fn rows(&self, item: &Item) -> Result<ItemRows> {
        let explainer = self.explainer(item);
        let image = self.preprocess.apply(std::slice::from_ref(&item.picture), &self.device);
        let (setting, size) = view(item);
        let targets = item.targets.iter().map(|(cell, class)| setting.logit(*class as usize, *cell as usize, size));
        let mut rows = ItemRows::default();
        for map in explainer.explain(&image, &targets.collect::<Vec<_>>(), &item.name)? {
            let kept = self.storage.kept(map.method, map.after);
            rows.push(item, &explainer.heads()[map.head], map, kept, self.keep_bits)?;
        }
        Ok(rows)
    }
}

/// An item's setting and, where cells are cut off from each other, the size of its grid.
fn view(item: &Item) -> (Setting, usize) {
    match item.kind.setting() {
        Setting::GridPg => (Setting::GridPg, 1),
        setting => (setting, item.kind.grid_size().map_or(1, |size| size as usize)),
    }
}
