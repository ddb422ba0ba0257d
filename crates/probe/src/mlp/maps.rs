//! Training maps on the device, with positions as rows, ready to be cut into batches.

use features::tensor::{Device, Tensor, to_vec};

use crate::data::{Split, multi_hot, select};
use crate::spec::Scaling;
use crate::trained::Context;

/// Mean norm of a map cell after scaling.
const CELL_NORM: f64 = 16.0;

/// Scaled maps with positions as the middle axis, and their labels.
pub struct Maps {
    /// `[n, positions * channels]`.
    cells: Tensor<2>,
    /// `[n, classes]`.
    labels: Tensor<2>,
    /// Views of each image.
    pub views: usize,
    /// Positions of a map.
    pub positions: usize,
    /// Channels of a cell.
    pub channels: usize,
    /// What the features were multiplied by.
    pub scale: f32,
}

impl Maps {
    /// The maps the split keeps, scaled.
    // METHOD: common scaling brings the mean norm of a cell to 16, which bounds B-cos logits.
    pub fn new(split: &Split, scaling: Scaling, context: &Context) -> Self {
        let (n, positions, channels) = (split.maps_len(), split.positions(), split.channels);
        let maps = split.map_batch(0, n, &context.device).reshape([n, channels, positions]);
        let cells = maps.swap_dims(1, 2);
        let scale = match scaling {
            Scaling::None => 1.0,
            Scaling::Common => {
                let norms = to_vec(cells.clone().powi_scalar(2).sum_dim(2).sqrt());
                let mean = norms.iter().map(|&norm| f64::from(norm)).sum::<f64>() / norms.len().max(1) as f64;
                (CELL_NORM / mean.max(f64::MIN_POSITIVE)) as f32
            }
        };
        Self {
            cells: cells.mul_scalar(scale).reshape([n, positions * channels]),
            labels: multi_hot(&split.labels[..n], context.classes, &context.device),
            views: split.views,
            positions,
            channels,
            scale,
        }
    }

    /// Number of maps.
    pub fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    /// Cells `[tiles * positions, channels]` and labels `[tiles, classes]` of some tiles.
    pub fn batch(&self, rows: &[i32], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let index = select(rows, device);
        let cells = self.cells.clone().select(0, index.clone());
        (cells.reshape([rows.len() * self.positions, self.channels]), self.labels.clone().select(0, index))
    }
}
