//! A frozen backbone with all that turns its maps into rows of feature tables.

use super::batches::Pictures;
use super::{FeaturesConfig, Precision};
use crate::artifact::round_mantissa;
use crate::backbone::Backbone;
use crate::error::{Error, Result};
use crate::images::Rgb;
use crate::network::Network;
use crate::preprocess::Preprocess;
use crate::stage::{Batches, Need, Stage};
use crate::table::FeatureRows;
use crate::tensor::{Device, to_vec};

/// Images in a forward pass on an accelerator.
const FAST: usize = 128;
/// Images in a forward pass on the CPU, and their pixels.
const FAST_CPU: usize = 64;
const FAST_CPU_PIXELS: usize = 16 * 224 * 224;

/// Values of the maps of some pictures, and channels, rows, columns of one.
pub(super) type Outputs = (Vec<f32>, [usize; 3]);

/// A backbone, ready to be fed.
pub(super) struct Extractor {
    pub backbone: Backbone,
    preprocess: Preprocess,
    /// Images in a forward pass.
    pub batches: Batches,
    precision: Precision,
    /// Mantissa bits kept.
    pub keep_bits: u32,
    pub device: Device,
    /// Where features are taken: the backbone's end first, then the stages that were asked for.
    pub outlets: Vec<Outlet>,
}

/// A place of the network whose maps are kept.
pub(super) struct Outlet {
    /// The stage that ends there; none at the backbone's end.
    pub stage: Option<String>,
    /// Layers of the network in front of it.
    end: usize,
    /// Channels, rows, columns of a map.
    pub shape: [usize; 3],
}

impl Extractor {
    pub fn new(stage: &Stage, config: &FeaturesConfig, backbone: Backbone, device: Device) -> Result<Self> {
        config.precision.check(&device)?;
        let network = config.precision.of_network(backbone.network);
        let backbone = Backbone { network, ..backbone };
        let preprocess = backbone.encoding.preprocess();
        let side = backbone.input_size;
        let fast = match device {
            Device::Flex(_) => (FAST_CPU_PIXELS / (side * side)).clamp(1, FAST_CPU),
            _ => FAST,
        };
        let picture = [preprocess.channels, side, side];
        let need = Need::forward(&backbone.network, picture, &device);
        let batches = stage.batch(config.batch, fast, need, &device)?;
        let all = backbone.network.layers.len();
        let layers = &backbone.network.layers;
        let outlet = |stage: Option<String>, end: usize| Outlet {
            stage,
            end,
            shape: Network::new(layers[..end].to_vec()).footprint(picture).shape,
        };
        let mut outlets = vec![outlet(None, all)];
        for (index, name) in config.stages.iter().enumerate() {
            if config.stages[..index].contains(name) {
                return Err(Error::Usage(format!("section [features]: stages names `{name}` twice")));
            }
            // Of a backbone that ends early, later stages are gone.
            let cut = config.stage.as_ref().map_or(Ok(0), |stage| Ok(backbone.stage(stage)?.behind))?;
            let behind = backbone.stage(name)?.behind.checked_sub(cut);
            let end = behind.map(|behind| all - behind).ok_or_else(|| {
                let last = config.stage.as_deref().unwrap_or_default();
                Error::Usage(format!(
                    "section [features]: stages names `{name}`, but the backbone is used up to `{last}`"
                ))
            })?;
            outlets.push(outlet(Some(name.clone()), end));
        }
        let (precision, keep_bits) = (config.precision, config.keep_bits);
        Ok(Self { backbone, preprocess, batches, precision, keep_bits, device, outlets })
    }

    /// Floats of all maps of an image.
    pub fn floats(&self) -> usize {
        self.outlets.iter().map(|outlet| outlet.shape.iter().product::<usize>()).sum()
    }

    /// The maps at each outlet, and the shape of one: the network runs once, from outlet to outlet.
    fn forward(&self, pictures: &[&Rgb]) -> Vec<Outputs> {
        let mut ends: Vec<usize> = (0..self.outlets.len()).collect();
        ends.sort_by_key(|&outlet| self.outlets[outlet].end);
        let mut made: Vec<Option<Outputs>> = vec![None; ends.len()];
        let (mut maps, mut start) = (self.precision.of_pictures(self.preprocess.apply(pictures, &self.device)), 0);
        for outlet in ends {
            let end = self.outlets[outlet].end;
            maps = Network::new(self.backbone.network.layers[start..end].to_vec()).forward(maps);
            start = end;
            let [_, channels, rows, columns] = maps.dims();
            made[outlet] = Some((to_vec(self.precision.back(maps.clone())), [channels, rows, columns]));
        }
        made.into_iter().flatten().collect()
    }

    /// [`Self::forward`], at most `size` pictures at a time.
    pub fn passes(&self, pictures: &[&Rgb], size: usize) -> Vec<Outputs> {
        let mut passes = pictures.chunks(size).map(|pictures| self.forward(pictures));
        let mut made = passes.next().unwrap_or_default();
        for more in passes {
            made.iter_mut().zip(more).for_each(|((maps, _), (more, _))| maps.extend(more));
        }
        made
    }

    /// The maps of `batch` at each outlet, and the shape of one.
    ///
    /// # Errors
    /// A picture of another size than the backbone takes, a device without room for one.
    pub fn maps(&self, batch: &Pictures) -> Result<Vec<Outputs>> {
        let (side, name) = (self.backbone.input_size, &self.backbone.name);
        for seen in &batch.seen {
            let (width, height) = (seen.picture.width, seen.picture.height);
            if (width, height) != (side, side) {
                let (key, split) = (&batch.images.image_key[seen.row], &batch.images.split[seen.row]);
                return Err(Error::BadData(format!(
                    "image {key}: is {width} x {height} pixels, backbone {name} takes {side} x {side}; take `{split}` \
                     out of [features] splits"
                )));
            }
        }
        let pictures: Vec<&Rgb> = batch.seen.iter().map(|seen| &seen.picture).collect();
        self.batches.run(|size| self.passes(&pictures, size))
    }

    /// Appends what [`Self::maps`] gave, a table an outlet.
    ///
    /// # Errors
    /// A number that is none.
    pub fn append(&self, batch: &Pictures, maps: Vec<Outputs>, tables: &mut [FeatureRows]) -> Result<()> {
        maps.into_iter().zip(tables).try_for_each(|((maps, shape), rows)| self.append_to(batch, maps, shape, rows))
    }

    // METHOD: the embedding is the mean of the rounded map (summed in f64), itself rounded.
    fn append_to(&self, batch: &Pictures, mut maps: Vec<f32>, shape: [usize; 3], rows: &mut FeatureRows) -> Result<()> {
        let [channels, height, width] = shape;
        let area = height * width;
        if let Some(at) = maps.iter().position(|value| !value.is_finite()) {
            let key = &batch.images.image_key[batch.seen[at / (channels * area)].row];
            let name = &self.backbone.name;
            return Err(Error::BadData(format!("image {key}: backbone {name} gives {}; check its weights", maps[at])));
        }
        round_mantissa(&mut maps, self.keep_bits);
        let mean = |plane: &[f32]| (plane.iter().map(|&x| f64::from(x)).sum::<f64>() / area as f64) as f32;
        let mut embeddings: Vec<f32> = maps.chunks(area).map(mean).collect();
        round_mantissa(&mut embeddings, self.keep_bits);
        for seen in &batch.seen {
            rows.push(&batch.images, seen.row, seen.view);
        }
        rows.embedding.extend(embeddings);
        rows.map.extend(maps);
        Ok(())
    }
}
