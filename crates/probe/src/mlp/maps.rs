//! Training maps on the device, with positions as rows, batch by batch.

use features::error::Result;
use features::memory;
use features::tensor::{Device, Tensor, from_vec};

use crate::data::{Batch, Form, Split, multi_hot, select};
use crate::spec::Scaling;
use crate::trained::Context;

/// Mean norm of a map cell after scaling.
const CELL_NORM: f64 = 16.0;
/// Maps looked at together where nothing is trained.
const IMAGES: usize = 64;

/// Scaled maps with positions as the middle axis, and their labels.
pub struct Maps<'a> {
    split: &'a Split,
    /// `[n, positions * channels]`, where maps are in memory and the device has room for them.
    cells: Option<Tensor<2>>,
    device: Device,
    classes: usize,
    /// Views of each image.
    pub views: usize,
    /// Positions of a map.
    pub positions: usize,
    /// Channels of a cell.
    pub channels: usize,
    /// What the features were multiplied by.
    pub scale: f32,
}

impl<'a> Maps<'a> {
    /// The maps the split keeps, scaled.
    ///
    /// # Errors
    /// Maps that cannot be read.
    // METHOD: common scaling brings the mean norm of a cell to 16, which bounds B-cos logits.
    pub fn new(split: &'a Split, scaling: Scaling, context: &Context) -> Result<Self> {
        let (n, positions, channels) = (split.maps_len(), split.positions(), split.channels);
        let scale = match scaling {
            Scaling::None => 1.0,
            Scaling::Common => (CELL_NORM / mean_norm(split)?.max(f64::MIN_POSITIVE)) as f32,
        };
        let fits = split.is_held() && memory::holds(&context.device, 4.0 * (n * positions * channels) as f64);
        let cells = fits.then(|| {
            let maps = split.map_batch(0, n, &context.device).reshape([n, channels, positions]);
            maps.swap_dims(1, 2).mul_scalar(scale).reshape([n, positions * channels])
        });
        let (device, classes, views) = (context.device.clone(), context.classes, split.views);
        Ok(Self { split, cells, device, classes, views, positions, channels, scale })
    }

    /// Number of maps.
    pub fn len(&self) -> usize {
        self.split.maps_len()
    }

    /// The rows that an epoch takes, in its order.
    pub fn order(&self, seed: u64, epoch: usize) -> Vec<i32> {
        self.split.order(seed, epoch, self.len())
    }

    /// Hands over cells `[tiles * positions, channels]` and labels `[tiles, classes]` of some tiles, batch by batch.
    ///
    /// # Errors
    /// Maps that cannot be read.
    pub fn visit(&self, rows: &[i32], batch: usize, mut look: impl FnMut(Tensor<2>, Tensor<2>)) -> Result<()> {
        self.split.visit(Form::Maps, rows, batch, |batch| {
            look(self.cells(&batch), self.labels(&batch));
            Ok(())
        })
    }

    /// Cells and labels of some tiles in memory.
    #[cfg(test)]
    pub fn batch(&self, rows: &[i32]) -> (Tensor<2>, Tensor<2>) {
        let batch = Batch::held(self.split, Form::Maps, rows);
        (self.cells(&batch), self.labels(&batch))
    }

    fn cells(&self, batch: &Batch<'_>) -> Tensor<2> {
        let shape = [batch.len() * self.positions, self.channels];
        if let Some(cells) = &self.cells {
            return cells.clone().select(0, select(batch.rows, &self.device)).reshape(shape);
        }
        let mut values = Vec::with_capacity(shape[0] * shape[1]);
        for map in batch.all_features() {
            for position in 0..self.positions {
                values.extend(map.iter().skip(position).step_by(self.positions).map(|x| x * self.scale));
            }
        }
        from_vec(values, shape, &self.device)
    }

    fn labels(&self, batch: &Batch<'_>) -> Tensor<2> {
        multi_hot(&batch.labels(), self.classes, &self.device)
    }
}

/// Mean norm of the cells of all maps.
fn mean_norm(split: &Split) -> Result<f64> {
    let (n, positions) = (split.maps_len(), split.positions());
    let mut sum = 0.0;
    let mut squares = vec![0.0; positions];
    split.visit(Form::Maps, &split.all_rows()[..n], IMAGES, |batch| {
        for map in batch.all_features() {
            squares.fill(0.0);
            for plane in map.chunks(positions) {
                squares.iter_mut().zip(plane).for_each(|(square, &x)| *square += f64::from(x) * f64::from(x));
            }
            sum += squares.iter().map(|square| square.sqrt()).sum::<f64>();
        }
        Ok(())
    })?;
    Ok(sum / (n * positions).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use features::tensor::{cpu, to_vec};

    #[test]
    fn cells_are_scaled_maps_with_positions_as_rows() {
        let data = blobs(10, 3);
        let context = Context { device: cpu(), seed: 0, classes: 4 };
        for scaling in [Scaling::None, Scaling::Common] {
            let maps = Maps::new(&data, scaling, &context).unwrap();
            let rows = [7, 2];
            let held = maps.cells(&Batch::held(&data, Form::Maps, &rows));
            let want: Vec<f32> = rows
                .iter()
                .flat_map(|&row| (0..4).flat_map(move |at| (0..6).map(move |c| (row as usize * 6 + c) * 4 + at)))
                .map(|place| data.maps[place] * maps.scale)
                .collect();
            assert_eq!(to_vec(held), want);
            // Without the maps in the layout of cells, as where they are read.
            let maps = Maps { cells: None, ..maps };
            assert_eq!(to_vec(maps.cells(&Batch::held(&data, Form::Maps, &rows))), want);
            assert_eq!(to_vec(maps.labels(&Batch::held(&data, Form::Maps, &rows))), [0., 0., 0., 1., 0., 0., 1., 0.]);
            if scaling == Scaling::Common {
                let all = to_vec(maps.cells(&Batch::held(&data, Form::Maps, &data.all_rows())));
                let norms = all.chunks(6).map(|cell| cell.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt());
                assert!((norms.sum::<f64>() / 40.0 - CELL_NORM).abs() < 1e-4);
            }
        }
    }
}
