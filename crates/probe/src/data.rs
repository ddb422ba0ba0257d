//! Features of one split, in memory or read when they are looked at, and the small steps all trainers share.

mod batch;
mod order;
mod windows;

use burn::tensor::{Int, TensorData};
use features::tensor::{Device, Tensor, from_vec};

use crate::trained::order;
pub use batch::{Batch, Form};
pub use order::Order;
pub use windows::{Place, Windows, finite};

/// Features and labels of one split.
#[derive(Debug, Clone)]
pub struct Split {
    /// One a row: an image, or a view of one.
    pub image_ids: Vec<i64>,
    /// Classes of each image, ascending, below the number of classes; one each in most data sets.
    pub labels: Vec<Vec<usize>>,
    /// Classes that an image has only in objects that are set aside: absent in training, not counted by metrics.
    pub set_aside: Vec<Vec<usize>>,
    /// Views of each image, whose rows follow each other; 1 where images are seen as in evaluation, once.
    pub views: usize,
    /// Pooled features `[n, channels]`; empty where they are read from disk.
    pub pooled: Vec<f32>,
    /// Feature maps `[n', channels, height * width]` of the first n' rows; empty where they are read from disk.
    pub maps: Vec<f32>,
    /// How rows lie in the parts of the feature table, where that matters: images are mixed by windows of parts, or
    /// features are read from disk.
    pub windows: Option<Windows>,
    /// Channels of a feature.
    pub channels: usize,
    /// Rows and columns of a map.
    pub size: [usize; 2],
}

impl Split {
    /// No images, of maps with this shape.
    pub fn empty(channels: usize, size: [usize; 2]) -> Self {
        Self {
            image_ids: vec![],
            labels: vec![],
            set_aside: vec![],
            views: 1,
            pooled: vec![],
            maps: vec![],
            windows: None,
            channels,
            size,
        }
    }

    /// Number of rows: images, each as often as it has views.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.len() / self.views
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of rows whose maps are looked at.
    pub fn maps_len(&self) -> usize {
        match &self.windows {
            Some(windows) if windows.are_read() => windows.mapped,
            _ => self.maps.len() / (self.channels * self.positions()).max(1),
        }
    }

    /// Whether features are in memory.
    pub fn is_held(&self) -> bool {
        !self.windows.as_ref().is_some_and(Windows::are_read)
    }

    /// Floats of a row in this form.
    pub fn width(&self, form: Form) -> usize {
        match form {
            Form::Pooled => self.channels,
            Form::Maps => self.channels * self.positions(),
        }
    }

    /// The rows that epoch `epoch` takes of the first `rows` rows, in its order: mixed as a whole, or by windows of parts.
    pub fn order(&self, seed: u64, epoch: usize, rows: usize) -> Vec<i32> {
        match &self.windows {
            Some(windows) => windows.order(seed, epoch, rows, self.views),
            None => order(seed, epoch, rows, self.views),
        }
    }

    /// The numbers of all rows, in the order of the table.
    pub fn all_rows(&self) -> Vec<i32> {
        (0..self.len() as i32).collect()
    }

    /// Whether images may have several classes, or none.
    pub fn is_multi_label(&self) -> bool {
        self.labels.iter().any(|labels| labels.len() != 1)
    }

    /// Positions of a map.
    pub fn positions(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Pooled features that are in memory: `[n, channels]`.
    pub fn pooled(&self, device: &Device) -> Tensor<2> {
        from_vec(self.pooled.clone(), [self.len(), self.channels], device)
    }

    /// Maps, in memory, of images `start..start + count` as `[count, channels, height, width]`.
    pub fn map_batch(&self, start: usize, count: usize, device: &Device) -> Tensor<4> {
        let image = self.channels * self.positions();
        let values = self.maps[start * image..(start + count) * image].to_vec();
        from_vec(values, [count, self.channels, self.size[0], self.size[1]], device)
    }
}

/// Row numbers on the device.
pub fn select(rows: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len()]), device)
}

/// Labels as rows of 0 and 1: `[n, classes]`.
pub fn multi_hot(labels: &[&[usize]], classes: usize, device: &Device) -> Tensor<2> {
    let mut values = vec![0.0; labels.len() * classes];
    for (row, labels) in values.chunks_mut(classes).zip(labels) {
        labels.iter().for_each(|&label| row[label] = 1.0);
    }
    from_vec(values, [labels.len(), classes], device)
}

/// The position of the largest value, the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use features::random;

    /// Four classes of 6 channels, 2x2 maps of non-negative values, easy to tell apart; pooled = mean of the map.
    pub(crate) fn blobs(n: usize, seed: u64) -> Split {
        let (channels, size) = (6, [2, 2]);
        let mut rng = random::stream(seed, &["blobs"]);
        let mut split = Split::empty(channels, size);
        for image in 0..n {
            let label = image % 4;
            split.image_ids.push(image as i64);
            split.labels.push(vec![label]);
            split.set_aside.push(vec![]);
            for channel in 0..channels {
                let centre = if channel == label { 3.0 } else { 1.0 };
                let cells: Vec<f32> =
                    (0..4).map(|_| (centre + 0.4 * random::normal(&mut rng)).max(0.0) as f32).collect();
                split.pooled.push(cells.iter().sum::<f32>() / 4.0);
                split.maps.extend(cells);
            }
        }
        split
    }

    #[test]
    fn maps_and_pooled_features_have_one_order() {
        let split = blobs(5, 0);
        let device = features::tensor::cpu();
        assert_eq!(split.maps_len(), 5);
        let pooled = split.map_batch(1, 3, &device).mean_dim(3).mean_dim(2).reshape([3, 6]);
        let want = split.pooled(&device).narrow(0, 1, 3);
        assert!(features::tensor::to_vec(pooled - want).iter().all(|x| x.abs() < 1e-6));
    }
}
