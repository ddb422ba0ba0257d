//! Features that the stage `features` has kept, in place of a pass of the backbone: class activation maps of scenes and
//! tiles of the backbone's input size need nothing else. Grids are laid out here, so the table has no row for them.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use features::{
    artifact::{Columns, Input, Reader},
    backbone::Backbone,
    error::{Error, Result},
    table::{FEATURES, FEATURES_DIR, FeatureRows},
    tensor::{Device, Tensor, from_vec},
};
use serde::{Deserialize, Serialize};

use crate::{
    item::Item,
    method::{Family, Method},
};

/// Where the features of an item come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureSource {
    /// The backbone, which sees the picture once more.
    #[default]
    Computed,
    /// The table of the stage `features`, rounded as it is (`[features] keep_bits`): what probes were trained on.
    Stored,
}

impl FeatureSource {
    /// Whether a method can be run on features that come from here.
    pub fn serves(self, method: Method) -> bool {
        match self {
            Self::Computed => true,
            Self::Stored => method.family() == Family::Features && method != Method::GradCamReference,
        }
    }
}

/// Where the stored features of all items lie.
#[derive(Debug)]
pub struct Stored {
    table: Reader,
    /// `[channels, rows, columns]`.
    shape: [usize; 3],
    /// Part and row of each image.
    places: HashMap<i64, (usize, usize)>,
}

/// Stored features by image, in memory as the pictures of the items are.
#[derive(Debug, Default)]
pub struct StoredMaps {
    shape: [usize; 3],
    maps: HashMap<i64, Vec<f32>>,
}

impl Stored {
    /// Looks for the features of `items` in the table below `out`. The table is an input of what is made of them.
    ///
    /// # Errors
    /// `InputMissing` without a table, `BadData` where it is of another backbone or has no row of an item.
    pub fn find(out: &Path, backbone: &Backbone, items: &[Item]) -> Result<(Self, Input)> {
        let dir = out.join(FEATURES_DIR);
        let table = Reader::open(&dir, &FEATURES)?;
        let place = dir.display();
        backbone.preprocessing().check(&table, &dir)?;
        if !table.manifest().inputs.contains(&backbone.input) {
            return Err(Error::BadData(format!(
                "{place}: was made with another backbone than [features] names now; run `features` and `probe` again, or set \
                 features = \"computed\" in [attribute]"
            )));
        }
        let shape = FeatureRows::map_shape(&table)?;
        let mut places = HashMap::new();
        for part in 0..table.parts() {
            let seen = FeatureRows::read_images(&table, part)?;
            // View 0 is the picture as it is explained; others are random crops.
            let rows = (0..seen.image_id.len()).filter(|&row| seen.view[row] == 0);
            places.extend(rows.map(|row| (seen.image_id[row], (part, row))));
        }
        let lost = items.iter().find(|item| !places.contains_key(&item.image_id));
        let Some(lost) = lost else {
            let input = table.input();
            return Ok((Self { table, shape, places }, input));
        };
        let side = backbone.input_size;
        let remedy = match (lost.picture.height, lost.picture.width) == (side, side) {
            true => {
                "add its split to `splits` in [features] and run `features` and `probe` again, or set features = \"computed\" in [attribute]"
            }
            false => {
                "it has not the size that the backbone's features are made of; set features = \"computed\" in [attribute]"
            }
        };
        Err(Error::BadData(format!("{place}: has no features of {}; {remedy}", lost.name)))
    }

    /// The features of some of the items.
    ///
    /// # Errors
    /// A part that cannot be read.
    pub fn read(&self, items: &[&Item]) -> Result<StoredMaps> {
        let mut parts: BTreeMap<usize, Vec<(usize, i64)>> = BTreeMap::new();
        for item in items {
            let (part, row) = self.places[&item.image_id];
            parts.entry(part).or_default().push((row, item.image_id));
        }
        let (mut maps, each) = (HashMap::new(), self.shape.iter().product::<usize>());
        for (part, rows) in parts {
            let values: Vec<f32> = Columns::new(self.table.read_columns(part, &[FeatureRows::MAP])?).next()?;
            maps.extend(rows.into_iter().map(|(row, id)| (id, values[row * each..][..each].to_vec())));
        }
        Ok(StoredMaps { shape: self.shape, maps })
    }
}

impl StoredMaps {
    /// The features of an item, if they were read: `[1, channels, rows, columns]`.
    pub fn of(&self, item: &Item, device: &Device) -> Option<Tensor<4>> {
        let [channels, rows, columns] = self.shape;
        let map = self.maps.get(&item.image_id)?;
        Some(from_vec(map.clone(), [1, channels, rows, columns], device))
    }
}
