//! What is explained: grids of tiles, multi-object scenes and single tiles, as pictures with target classes.

use std::collections::{BTreeSet, HashSet};

use features::{
    error::{Error, Result},
    images::{Image, Rgb},
};

use crate::grid::Grid;

/// One picture with its targets.
#[derive(Clone, Debug)]
pub struct Item {
    /// Unique name, like `grid3/0012`; of scenes and tiles the key of the image.
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
}

impl ItemKind {
    /// All kinds, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Grid3, Self::Grid2, Self::Scene, Self::Tile];

    /// Directory of the kind's maps in an experiment's output.
    pub const fn dir(self) -> &'static str {
        match self {
            Self::Grid3 => "attribute",
            Self::Grid2 => "attribute.grid2",
            Self::Scene => "attribute.scenes",
            Self::Tile => "attribute.tiles",
        }
    }

    /// Value of the column `item_kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid3 | Self::Grid2 => "grid",
            Self::Scene => "scene",
            Self::Tile => "tile",
        }
    }

    /// Cells on a side; none for what is no grid.
    pub const fn grid_size(self) -> Option<i32> {
        match self {
            Self::Grid3 => Some(3),
            Self::Grid2 => Some(2),
            Self::Scene | Self::Tile => None,
        }
    }
}

/// A grid as an item. `tiles` is the list the grid was built from, `side` their side.
pub fn of_grid(grid: &Grid, tiles: &[&Image], side: usize, integrated: bool) -> Item {
    let labels: Vec<i32> = grid.tiles.iter().map(|&tile| tiles[tile].label.unwrap_or(-1)).collect();
    Item {
        name: format!("grid{}/{:04}", grid.size, grid.id),
        kind: if grid.size == 3 { ItemKind::Grid3 } else { ItemKind::Grid2 },
        image_id: grid.id as i64,
        picture: grid.picture(tiles, side),
        targets: grid.targets.iter().map(|&cell| (cell as i32, labels[cell])).collect(),
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
