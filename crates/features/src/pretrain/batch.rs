//! Training batches: tiles rendered once, turned and mirrored at random, whole or cropped around the object.

use rayon::prelude::*;

use crate::{
    images::Rgb,
    preprocess::Encoding,
    random,
    shapes::{self, Tile},
    stage::Stage,
    tensor::{Device, Tensor},
};

/// What part of a tile a step sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// All of it.
    Tile,
    /// A square of this side around the object.
    Crop(usize),
}

/// Rendered tiles of one split.
pub struct TilePool {
    tiles: Vec<Tile>,
}

impl TilePool {
    /// Renders the first `count` tiles of `split`.
    pub fn render(stage: &Stage, split: &str, count: usize) -> Self {
        let tiles = (0..count).into_par_iter().map(|index| shapes::tile(stage.seed, split, index)).collect();
        Self { tiles }
    }

    /// Images and labels of a training step, the same for a seed and step whatever came before.
    pub fn batch(
        &self,
        seed: u64,
        step: usize,
        size: usize,
        view: View,
        encoding: &Encoding,
        device: &Device,
    ) -> (Tensor<4>, Vec<usize>) {
        let mut rng = random::stream(seed, &["pretrain batch", &step.to_string()]);
        let picked: Vec<(usize, usize)> =
            (0..size).map(|_| (random::below(&mut rng, self.tiles.len()), random::below(&mut rng, 8))).collect();
        let images: Vec<Rgb> =
            picked.iter().map(|&(index, symmetry)| turn(&cut(&self.tiles[index], view), symmetry)).collect();
        let labels = picked.iter().map(|&(index, _)| self.label(index)).collect();
        (encoding.preprocess().apply(&images, device), labels)
    }

    /// Whole, unturned tiles.
    pub fn tiles(&self, indices: &[usize], encoding: &Encoding, device: &Device) -> (Tensor<4>, Vec<usize>) {
        let images: Vec<Rgb> = indices.iter().map(|&index| self.tiles[index].rgb.clone()).collect();
        let labels = indices.iter().map(|&index| self.label(index)).collect();
        (encoding.preprocess().apply(&images, device), labels)
    }

    fn label(&self, index: usize) -> usize {
        self.tiles[index].label as usize
    }
}

fn cut(tile: &Tile, view: View) -> Rgb {
    let View::Crop(side) = view else {
        return tile.rgb.clone();
    };
    let (width, height) = (tile.rgb.width, tile.rgb.height);
    let object = &tile.object;
    let corner = |low: i32, high: i32, extent: usize| {
        let centre = (low + high) / 2;
        (centre - side as i32 / 2).clamp(0, (extent - side) as i32) as usize
    };
    let (left, top) = (corner(object.xmin, object.xmax, width), corner(object.ymin, object.ymax, height));
    let data = (top..top + side)
        .flat_map(|y| {
            let start = (y * width + left) * 3;
            tile.rgb.data[start..start + side * 3].iter().copied()
        })
        .collect();
    Rgb { width: side, height: side, data }
}

/// One of the eight symmetries of the square: bit 0 mirrors columns, bit 1 mirrors rows, bit 2 transposes.
fn turn(image: &Rgb, symmetry: usize) -> Rgb {
    let side = image.width;
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..side {
        for x in 0..side {
            let (mut sy, mut sx) = if symmetry & 4 == 0 { (y, x) } else { (x, y) };
            if symmetry & 1 != 0 {
                sx = side - 1 - sx;
            }
            if symmetry & 2 != 0 {
                sy = side - 1 - sy;
            }
            let start = (sy * side + sx) * 3;
            data.extend_from_slice(&image.data[start..start + 3]);
        }
    }
    Rgb { width: side, height: side, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_symmetries_are_different_and_keep_the_pixels() {
        let image = Rgb { width: 3, height: 3, data: (0..27).collect() };
        let mut seen: Vec<Vec<u8>> = (0..8).map(|s| turn(&image, s).data).collect();
        assert_eq!(seen[0], image.data);
        for turned in &seen {
            let mut sorted = turned.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, image.data);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn a_crop_holds_the_object_and_stays_inside() {
        let tile = shapes::tile(0, "train", 3);
        let crop = cut(&tile, View::Crop(40));
        assert_eq!((crop.width, crop.height, crop.data.len()), (40, 40, 40 * 40 * 3));
    }
}
