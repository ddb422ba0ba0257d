//! A frozen backbone with all that turns its maps into rows of the feature table.

use super::FeaturesConfig;
use super::batches::Batch;
use crate::artifact::round_mantissa;
use crate::backbone::Backbone;
use crate::error::{Error, Result};
use crate::images::Rgb;
use crate::preprocess::Preprocess;
use crate::table::FeatureRows;
use crate::tensor::{Device, to_vec};

/// Images in a forward pass, and their pixels on the CPU.
const BATCH: usize = 64;
const BATCH_PIXELS: usize = 16 * 224 * 224;

/// A backbone, ready to be fed.
pub(super) struct Extractor {
    pub backbone: Backbone,
    preprocess: Preprocess,
    /// Images in a forward pass.
    pub batch: usize,
    /// Mantissa bits kept.
    pub keep_bits: u32,
    pub device: Device,
    /// Channels, rows, columns of a map.
    pub shape: [usize; 3],
}

impl Extractor {
    pub fn new(config: &FeaturesConfig, backbone: Backbone, device: Device) -> Self {
        let preprocess = backbone.encoding.preprocess();
        let side = backbone.input_size;
        let black = Rgb { width: side, height: side, data: vec![0; side * side * 3] };
        let [_, channels, rows, columns] = backbone.network.forward(preprocess.apply(&[black], &device)).dims();
        let usual = match device {
            Device::Flex(_) => (BATCH_PIXELS / (side * side)).clamp(1, BATCH),
            _ => BATCH,
        };
        let (batch, keep_bits, shape) = (config.batch.unwrap_or(usual), config.keep_bits, [channels, rows, columns]);
        Self { backbone, preprocess, batch, keep_bits, device, shape }
    }

    /// Floats of a map.
    pub fn map(&self) -> usize {
        self.shape.iter().product()
    }

    /// Appends the features of `batch`.
    // METHOD: the embedding is the mean of the rounded map (summed in f64), itself rounded.
    pub fn features(&self, batch: &Batch, rows: &mut FeatureRows) -> Result<()> {
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
        let mut maps = to_vec(self.backbone.network.forward(self.preprocess.apply(&pictures, &self.device)));
        let [channels, height, width] = self.shape;
        if let Some(at) = maps.iter().position(|value| !value.is_finite()) {
            let key = &batch.images.image_key[batch.seen[at / self.map()].row];
            return Err(Error::BadData(format!("image {key}: backbone {name} gives {}; check its weights", maps[at])));
        }
        round_mantissa(&mut maps, self.keep_bits);
        let area = height * width;
        let mean = |plane: &[f32]| (plane.iter().map(|&x| f64::from(x)).sum::<f64>() / area as f64) as f32;
        let mut embeddings: Vec<f32> = maps.chunks(area).map(mean).collect();
        debug_assert_eq!(embeddings.len(), batch.seen.len() * channels);
        round_mantissa(&mut embeddings, self.keep_bits);
        for seen in &batch.seen {
            rows.push(&batch.images, seen.row, seen.view);
        }
        rows.embedding.extend(embeddings);
        rows.map.extend(maps);
        Ok(())
    }
}
