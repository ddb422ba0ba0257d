//! One forward pass through the backbone and its heads, and the batches that are pulled back through it.

use features::{
    network::Network,
    tensor::{Tensor, from_vec, to_vec},
};

use super::Head;
use crate::tape::Tape;

/// One forward pass through the backbone and some heads.
pub(super) struct Pass {
    pub(super) image: Tensor<4>,
    pub(super) features: Tensor<4>,
    backbone: Option<Tape>,
    pub(super) heads: Vec<Tape>,
}

impl Pass {
    pub(super) fn record<'a>(network: &Network, heads: impl IntoIterator<Item = &'a Head>, image: &Tensor<4>) -> Self {
        let (features, backbone) = Tape::record(network, image.clone());
        Self { backbone: Some(backbone), ..Self::on_features(features, heads, image) }
    }

    /// The same for methods that stop at the features: the backbone's layers run joined, and nothing of them is kept.
    pub(super) fn forward<'a>(network: &Network, heads: impl IntoIterator<Item = &'a Head>, image: &Tensor<4>) -> Self {
        Self::on_features(network.forward(image.clone()), heads, image)
    }

    /// The same on features that are there already.
    pub(super) fn on_features<'a>(
        features: Tensor<4>,
        heads: impl IntoIterator<Item = &'a Head>,
        image: &Tensor<4>,
    ) -> Self {
        let heads = heads.into_iter().map(|head| Tape::record(&head.network, features.clone()).1).collect();
        Self { image: image.clone(), features, backbone: None, heads }
    }

    /// The backbone's pass; only of one that was recorded.
    pub(super) fn backbone(&self) -> &Tape {
        self.backbone.as_ref().expect("a pass is recorded where a method goes through the backbone")
    }

    /// Rows and columns of the image.
    pub(super) fn size(&self) -> [usize; 2] {
        let [_, _, rows, columns] = self.image.dims();
        [rows, columns]
    }
}

/// `[targets, classes, 1, 1]` with a 1 at each target, for logits `[n, classes, 1, 1]`; likewise for logits of cells.
pub(super) fn one_hot(logits: &Tensor<4>, targets: &[usize]) -> Tensor<4> {
    let [_, classes, rows, columns] = logits.dims();
    let each = classes * rows * columns;
    let mut values = vec![0.0; targets.len() * each];
    for (row, target) in targets.iter().enumerate() {
        values[row * each + target] = 1.0;
    }
    from_vec(values, [targets.len(), classes, rows, columns], &logits.device())
}

/// Consecutive rows, at most `size` at a time.
pub(super) fn chunks(values: Tensor<4>, size: usize) -> impl Iterator<Item = Tensor<4>> {
    let [rows, ..] = values.dims();
    let size = size.max(1);
    (0..rows).step_by(size).map(move |first| values.clone().narrow(0, first, size.min(rows - first)))
}

/// The values of each image in several tensors `[n, ..]`, for each tensor: read at once, because the device has to finish what
/// came before each reading.
pub(super) fn values_of(tensors: impl Iterator<Item = Tensor<4>>) -> Vec<Vec<Vec<f32>>> {
    let flat: Vec<Tensor<2>> = tensors.map(|tensor| tensor.flatten(1, 3)).collect();
    let widths: Vec<usize> = flat.iter().map(|tensor| tensor.dims()[1]).collect();
    let mut values = vec![Vec::new(); widths.len()];
    if flat.is_empty() {
        return values;
    }
    for mut rest in to_vec(Tensor::cat(flat, 1)).chunks_exact(widths.iter().sum()) {
        for (values, width) in values.iter_mut().zip(&widths) {
            let (own, others) = rest.split_at(*width);
            values.push(own.to_vec());
            rest = others;
        }
    }
    values
}

/// `[m, h, w]` as `m` row-major vectors.
pub(super) fn rows_of(maps: Tensor<3>) -> Vec<Vec<f32>> {
    let [_, height, width] = maps.dims();
    to_vec(maps).chunks_exact(height * width).map(<[f32]>::to_vec).collect()
}
