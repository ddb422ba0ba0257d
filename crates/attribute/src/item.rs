//! What is explained: grids of tiles, multi-object scenes and single tiles, as pictures with target classes.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use features::{
    artifact::Manifest,
    error::{Error, Result},
    images::{Image, Rgb},
};

use crate::{grid::Grid, setting::Setting};

/// One picture with its targets.
#[derive(Clone, Debug)]
pub struct Item {
    /// Unique name, like `grid3/0012` or `difull3/0012`; of scenes and tiles the key of the image.
    pub name: String,
    /// Which table its maps go to.
    pub kind: ItemKind,
    /// Id of the scene or tile, number of the grid.
    pub image_id: i64,
    /// The picture.
    pub picture: Rgb,
    /// Index (cell, or position among the scene's classes) and class.
    pub targets: Vec<(i32, i32)>,
    /// The grid it is, with keys and labels of its cells.
    pub grid: Option<Cells>,
    /// Whether it is in the scope of integrated gradients.
    pub integrated: bool,
}

/// Keys and labels of a grid's cells.
#[derive(Clone, Debug)]
pub struct Cells {
    /// Cells on a side.
    pub size: usize,
    /// `image_key` of each cell.
    pub keys: Vec<String>,
    /// Class of each cell.
    pub labels: Vec<i32>,
    /// Side of a cell, pixels.
    pub side: usize,
}

/// The kinds of items; each has a map table of its own because all maps of a table have one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Grids of 3 x 3 tiles.
    Grid3,
    /// Grids of 2 x 2 tiles.
    Grid2,
    /// Scenes.
    Scene,
    /// Single tiles.
    Tile,
    /// Grids of 3 x 3 tiles whose cells the backbone sees alone.
    DiFull3,
    /// Grids of 2 x 2 tiles whose cells the backbone sees alone.
    DiFull2,
    /// Grids of 3 x 3 tiles whose heads see the features of a cell.
    DiPart3,
    /// Grids of 2 x 2 tiles whose heads see the features of a cell.
    DiPart2,
}

impl ItemKind {
    /// All kinds, in the order of tables.
    pub const ALL: [Self; 8] =
        [Self::Grid3, Self::Grid2, Self::Scene, Self::Tile, Self::DiFull3, Self::DiFull2, Self::DiPart3, Self::DiPart2];

    /// Grids of `size` x `size` tiles in a setting.
    pub const fn grid(setting: Setting, size: usize) -> Self {
        match (setting, size) {
            (Setting::GridPg, 3) => Self::Grid3,
            (Setting::GridPg, _) => Self::Grid2,
            (Setting::DiFull, 3) => Self::DiFull3,
            (Setting::DiFull, _) => Self::DiFull2,
            (Setting::DiPart, 3) => Self::DiPart3,
            (Setting::DiPart, _) => Self::DiPart2,
        }
    }

    /// How the network sees such items.
    pub const fn setting(self) -> Setting {
        match self {
            Self::Grid3 | Self::Grid2 | Self::Scene | Self::Tile => Setting::GridPg,
            Self::DiFull3 | Self::DiFull2 => Setting::DiFull,
            Self::DiPart3 | Self::DiPart2 => Setting::DiPart,
        }
    }

    /// Whether there is a table even where there are no such items.
    pub const fn is_always_there(self) -> bool {
        matches!(self.setting(), Setting::GridPg)
    }

    /// The kinds that have a table in the experiment in `out`.
    ///
    /// # Errors
    /// A missing or damaged manifest.
    pub fn kept(out: &Path) -> Result<Vec<Self>> {
        let manifest = Manifest::read(&out.join(Self::Grid3.dir()))?;
        let is_there = |kind: &Self| kind.is_always_there() || manifest.tables.contains_key(kind.dir());
        Ok(Self::ALL.into_iter().filter(is_there).collect())
    }

    /// Directory of the kind's maps in an experiment's output.
    pub const fn dir(self) -> &'static str {
        match self {
            Self::Grid3 => "attribute",
            Self::Grid2 => "attribute.grid2",
            Self::Scene => "attribute.scenes",
            Self::Tile => "attribute.tiles",
            Self::DiFull3 => "attribute.difull3",
            Self::DiFull2 => "attribute.difull2",
            Self::DiPart3 => "attribute.dipart3",
            Self::DiPart2 => "attribute.dipart2",
        }
    }

    /// Value of the column `item_kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid3 | Self::Grid2 => "grid",
            Self::Scene => "scene",
            Self::Tile => "tile",
            Self::DiFull3 | Self::DiFull2 => "difull",
            Self::DiPart3 | Self::DiPart2 => "dipart",
        }
    }

    /// Cells on a side; none for what is no grid.
    pub const fn grid_size(self) -> Option<i32> {
        match self {
            Self::Grid3 | Self::DiFull3 | Self::DiPart3 => Some(3),
            Self::Grid2 | Self::DiFull2 | Self::DiPart2 => Some(2),
            Self::Scene | Self::Tile => None,
        }
    }
}

/// A grid in a setting as an item. `tiles` is the list the grid was built from, `side` their side.
pub fn of_grid(grid: &Grid, setting: Setting, tiles: &[&Image], side: usize, integrated: bool) -> Item {
    let labels: Vec<i32> = grid.tiles.iter().map(|&tile| tiles[tile].label.unwrap_or(-1)).collect();
    let kind = ItemKind::grid(setting, grid.size);
    let targets = setting.cells(grid.size, &grid.targets);
    Item {
        name: format!("{}{}/{:04}", kind.name(), grid.size, grid.id),
        kind,
        image_id: grid.id as i64,
        picture: grid.picture(tiles, side),
        targets: targets.into_iter().map(|cell| (cell as i32, labels[cell])).collect(),
        grid: Some(Cells {
            size: grid.size,
            keys: grid.tiles.iter().map(|&tile| tiles[tile].key.clone()).collect(),
            labels,
            side,
        }),
        integrated,
    }
}

/// A scene as an item: every distinct class of its boxes is a target, in ascending order.
pub fn of_scene(image: &Image, integrated: bool) -> Item {
    let classes: BTreeSet<i32> = image.boxes.iter().map(|object| object.class).collect();
    Item {
        name: image.key.clone(),
        kind: ItemKind::Scene,
        image_id: image.id,
        picture: image.rgb.clone(),
        targets: classes.into_iter().enumerate().map(|(index, class)| (index as i32, class)).collect(),
        grid: None,
        integrated,
    }
}

/// A tile alone, its own class being the target.
pub fn of_tile(image: &Image, integrated: bool) -> Item {
    Item {
        name: image.key.clone(),
        kind: ItemKind::Tile,
        image_id: image.id,
        picture: image.rgb.clone(),
        targets: image.label.map(|label| (0, label)).into_iter().collect(),
        grid: None,
        integrated,
    }
}

/// The common side of square tiles.
///
/// # Errors
/// [`Error::BadData`] naming the first tile that is no square of the first one's side.
pub fn side(tiles: &[&Image]) -> Result<usize> {
    let Some(first) = tiles.first() else { return Ok(1) };
    let side = first.rgb.width;
    match tiles.iter().find(|tile| (tile.rgb.width, tile.rgb.height) != (side, side)) {
        None => Ok(side),
        Some(tile) => Err(Error::BadData(format!(
            "image {}: is {} x {} pixels, grids need square tiles of {side}; make all test images one size",
            tile.key, tile.rgb.width, tile.rgb.height
        ))),
    }
}

/// Height and width of the maps of one kind, 1 x 1 where there is none.
///
/// # Errors
/// [`Error::BadData`] when items of one kind differ in size.
pub fn map_shape(items: &[Item], kind: ItemKind) -> Result<[usize; 2]> {
    let shapes: HashSet<[usize; 2]> =
        items.iter().filter(|item| item.kind == kind).map(|item| [item.picture.height, item.picture.width]).collect();
    match shapes.len() {
        0 => Ok([1, 1]),
        1 => Ok(shapes.into_iter().next().unwrap_or([1, 1])),
        _ => Err(Error::BadData(format!(
            "items of table {} have different sizes ({shapes:?}); all scenes must have one size",
            kind.dir()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use features::artifact::Box2;

    use super::*;

    #[test]
    fn scenes_have_each_class_once() {
        let found = |class| Box2 { class, xmin: 0, ymin: 0, xmax: 1, ymax: 1 };
        let image = Image {
            id: 9,
            key: "scenes/00003".into(),
            split: "scenes".into(),
            label: None,
            rgb: Rgb { width: 2, height: 3, data: vec![0; 18] },
            labels: vec![],
            set_aside: vec![],
            boxes: vec![found(7), found(2), found(7)],
        };
        let item = of_scene(&image, false);
        assert_eq!(item.targets, [(0, 2), (1, 7)]);
        assert_eq!(map_shape(std::slice::from_ref(&item), ItemKind::Scene).unwrap(), [3, 2]);
        assert_eq!(map_shape(std::slice::from_ref(&item), ItemKind::Grid2).unwrap(), [1, 1]);
        let wider = Item { picture: Rgb { width: 3, height: 3, data: vec![0; 27] }, ..item.clone() };
        assert_eq!(map_shape(&[item, wider], ItemKind::Scene).unwrap_err().exit_code(), 65);
        assert_eq!(side(&[&image]).unwrap_err().exit_code(), 65);
    }
}
