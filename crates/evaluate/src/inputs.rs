//! What the stage reads besides the maps: who made each probe, and where the objects of a scene are.

use std::collections::HashMap;
use std::path::Path;

use features::artifact::{Box2, Columns, Input, Reader};
use features::error::{Error, Result};
use features::mask::decode;
use features::preprocess::Geometry;
use features::table::{IMAGES, ImageRows};
use probe::table::{PROBES, ProbeRows};

use crate::metric::energy_pointing_game::{Mask, Target};

/// Split of the image table that holds the scenes.
const SCENES: &str = "scenes";

/// The identity of one probe, as it goes into the score table.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeIdentity {
    /// Frozen network under it.
    pub backbone: String,
    /// Kind of head.
    pub head: String,
    /// Training loss.
    pub loss: String,
    /// Logit offset.
    pub offset: String,
    /// Training seed.
    pub seed: i64,
}

/// The probes of an experiment by id.
#[derive(Debug)]
pub struct Probes {
    by_id: HashMap<String, ProbeIdentity>,
    /// Their artifact.
    pub input: Input,
}

impl Probes {
    /// Reads the probe table of the experiment in `out`.
    pub fn read(out: &Path) -> Result<Self> {
        let reader = Reader::open(&out.join("probe"), &PROBES)?;
        let rows = ProbeRows::from_cells(reader.read_all()?)?;
        Ok(Self { by_id: Self::index(rows), input: reader.input() })
    }

    fn index(rows: ProbeRows) -> HashMap<String, ProbeIdentity> {
        let identity = |i: usize| ProbeIdentity {
            backbone: rows.backbone[i].clone(),
            head: rows.head[i].clone(),
            loss: rows.loss[i].clone(),
            offset: rows.offset[i].clone(),
            seed: rows.seed[i],
        };
        rows.probe_id.iter().enumerate().map(|(i, id)| (id.clone(), identity(i))).collect()
    }

    /// The probe of this id.
    pub fn get(&self, id: &str) -> Result<&ProbeIdentity> {
        self.by_id.get(id).ok_or_else(|| {
            Error::BadData(format!(
                "probe `{id}` has maps but no row in the probe table; run the `attribute` stage again"
            ))
        })
    }
}

/// One multi-object image: its size and its boxes.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Width and height of the image in pixels.
    pub size: (usize, usize),
    /// Boxes of all classes, in pixels of the image.
    pub boxes: Vec<Box2>,
    /// Class and pixels, row by row, of each object; none where the data set has no masks.
    pub masks: Vec<(i32, Vec<bool>)>,
}

impl Scene {
    /// The pixels of a map of `size` (width, height) where an object of `class` is.
    pub fn target(&self, class: i32, size: (usize, usize)) -> Target {
        let boxes: Vec<Box2> = self.boxes.iter().copied().filter(|found| found.class == class).collect();
        let masks = (!self.masks.is_empty()).then(|| {
            let mut inside = vec![false; self.size.0 * self.size.1];
            let ours = self.masks.iter().filter(|(found, _)| *found == class);
            ours.for_each(|(_, one)| inside.iter_mut().zip(one).for_each(|(inside, one)| *inside |= one));
            // A map has the picture's size; one that has not is looked up as a stretched picture would be.
            let stretch = |to: usize, from: usize| (0..to).map(move |at| (2 * at + 1) * from / (2 * to));
            let rows = stretch(size.1, self.size.1);
            let columns: Vec<usize> = stretch(size.0, self.size.0).collect();
            Mask::of(
                rows.flat_map(|y| columns.iter().map(move |x| (y, *x)))
                    .map(|(y, x)| inside[y * self.size.0 + x])
                    .collect(),
            )
        });
        Target { boxes: Mask::union(&boxes, self.size, size), masks }
    }
}

/// The scenes of an image artifact by image id.
#[derive(Debug)]
pub struct Scenes {
    by_id: HashMap<i64, Scene>,
    /// Their artifact.
    pub input: Input,
}

impl Scenes {
    /// Reads sizes and boxes, not pixels, from the image artifact in `dir`, and moves the boxes to where they are in the
    /// pictures that the network saw.
    pub fn read(dir: &Path, geometry: &Geometry) -> Result<Self> {
        let reader = Reader::open(dir, &IMAGES)?;
        let mut by_id = HashMap::new();
        for part in 0..reader.parts() {
            let splits: Vec<String> = Columns::new(reader.read_columns(part, &[ImageRows::SPLIT])?).next()?;
            if !splits.iter().any(|split| split == SCENES) {
                continue;
            }
            let rows = ImageRows::from_cells(reader.read_part(part)?)?;
            for (i, boxes) in rows.boxes.into_iter().enumerate().filter(|(i, _)| rows.split[*i] == SCENES) {
                let (width, height) = (rows.width[i].max(0) as usize, rows.height[i].max(0) as usize);
                let boxes = boxes.into_iter().filter_map(|found| geometry.apply_to_box(found, width, height)).collect();
                let size = geometry.size_of(width, height);
                let masks = rows.masks[i].iter().map(|mask| {
                    let inside = decode(&mask.counts, width, height).map_err(|problem| {
                        Error::BadData(format!("image {}: {problem}; import the images again", rows.image_key[i]))
                    })?;
                    Ok((mask.class, geometry.apply_to_mask(&inside, width, height)))
                });
                let masks = masks.collect::<Result<_>>()?;
                by_id.insert(rows.image_id[i], Scene { size, boxes, masks });
            }
        }
        Ok(Self { by_id, input: reader.input() })
    }

    /// The scene of this image.
    pub fn get(&self, image_id: i64) -> Result<&Scene> {
        self.by_id.get(&image_id).ok_or_else(|| {
            Error::BadData(format!(
                "scene {image_id} has maps but is not in the image artifact; give the images that `attribute` used"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_the_union_of_the_boxes_of_one_class() {
        let found = |class, xmin| Box2 { class, xmin, ymin: 0, xmax: xmin + 2, ymax: 2 };
        let corner: Vec<bool> = (0..64).map(|at| at == 0 || at == 63).collect();
        let masks = vec![(1, corner), (2, vec![false; 64])];
        let scene = Scene { size: (8, 8), boxes: vec![found(1, 0), found(2, 4), found(1, 1)], masks };
        let pixels = [1, 2, 3].map(|class| scene.target(class, (8, 8)).boxes.pixels());
        assert_eq!(pixels, [6, 4, 0]);
        let pixels = [1, 2, 3].map(|class| scene.target(class, (8, 8)).masks.map(|mask| mask.pixels()));
        assert_eq!(pixels, [Some(2), Some(0), Some(0)]);
        assert!(Scene { masks: vec![], ..scene.clone() }.target(1, (8, 8)).masks.is_none());
        // On a map of half the size, the middle of a pixel is at the odd pixels of the picture.
        assert_eq!(scene.target(1, (4, 4)).masks.map(|mask| mask.pixels()), Some(1));
    }
}
