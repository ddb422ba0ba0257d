//! Coloured pictures of B-cos networks, for people to look at.

use features::tensor::{Tensor, to_vec};

use super::{
    Explainer,
    pass::{Pass, chunks},
};
use crate::{
    composite::Composite,
    method::{Method, bcos},
};

/// What a B-cos network sees in an image, in colour.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Position of the head.
    pub head: usize,
    /// Position of the target class among those asked for.
    pub target: usize,
    /// Red, green, blue and opacity of each pixel, 0 to 1, row-major.
    pub pixels: Vec<[f32; 4]>,
}

impl Explainer {
    /// Pictures of `image` `[1, 6, h, w]` for classes `targets` and the heads that [`Method::Bcos`] is run on, ordered by
    /// head and target.
    pub fn pictures(&self, image: &Tensor<4>, targets: &[usize]) -> Vec<Picture> {
        let heads = self.asking(|method| method == Method::Bcos);
        let Some(group) = self.groups.iter().find(|group| group.composite == Composite::Bcos) else {
            return Vec::new();
        };
        let pass = Pass::record(&self.network, &self.heads, image);
        let input = to_vec(image.clone());
        let program = pass.backbone().fasten(&group.backbone);
        let cotangents = self.at_features(group, &pass, targets, &heads, None);
        let weights = chunks(cotangents, self.settings.chunk).flat_map(|chunk| {
            let rows = to_vec(program.pull_back(chunk));
            rows.chunks_exact(input.len()).map(<[f32]>::to_vec).collect::<Vec<_>>()
        });
        let [_, columns] = pass.size();
        let picture = |(row, weights): (usize, Vec<f32>)| Picture {
            head: heads[row / targets.len()],
            target: row % targets.len(),
            pixels: bcos::picture(&input, &weights, columns),
        };
        weights.enumerate().map(picture).collect()
    }
}
