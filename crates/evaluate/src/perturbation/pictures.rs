//! The pictures behind items: images by their keys, and grids put together again.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use attribute::grid::Grid;
use attribute::table::GridRows;
use features::artifact::{Columns, Reader};
use features::error::{Error, Result};
use features::images::{Image, Rgb, fit_rows};
use features::preprocess::Geometry;
use features::table::{IMAGES, ImageRows};

/// Splits that items are made of.
const SPLITS: [&str; 2] = ["test", "scenes"];

/// An item and the images it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Name of the item.
    pub item: String,
    /// Cells on a side; 1 for an image alone.
    pub size: usize,
    /// Keys of the images, row by row.
    pub keys: Vec<String>,
}

impl Recipe {
    /// An item that is an image.
    pub fn image(key: &str) -> Self {
        Self { item: key.to_string(), size: 1, keys: vec![key.to_string()] }
    }

    /// The grids of a table.
    pub fn grids(rows: &GridRows) -> impl Iterator<Item = Self> {
        (0..rows.grid_id.len()).map(|row| Self {
            item: format!("grid{}/{:04}", rows.grid_size[row], rows.grid_id[row]),
            size: rows.grid_size[row].max(1) as usize,
            keys: rows.cells[row].clone(),
        })
    }
}

/// The picture of each item, from the image table in `dir`, as a network of this geometry sees it.
///
/// # Errors
/// A missing or damaged table, or one without an image that an item is made of.
pub fn load(dir: &Path, geometry: &Geometry, recipes: &[Recipe]) -> Result<HashMap<String, Rgb>> {
    let wanted: BTreeSet<&str> = recipes.iter().flat_map(|recipe| &recipe.keys).map(String::as_str).collect();
    let reader = Reader::open(dir, &IMAGES)?;
    let mut images: HashMap<String, Image> = HashMap::new();
    for part in 0..reader.parts() {
        let splits: Vec<String> = Columns::new(reader.read_columns(part, &[ImageRows::SPLIT])?).next()?;
        if splits.iter().any(|split| SPLITS.contains(&split.as_str())) {
            let rows = ImageRows::from_cells(reader.read_part(part)?)?;
            let picked: Vec<usize> =
                (0..rows.len()).filter(|&row| wanted.contains(rows.image_key[row].as_str())).collect();
            images.extend(fit_rows(&rows, &picked, geometry)?.into_iter().map(|image| (image.key.clone(), image)));
        }
    }
    let picture = |recipe: &Recipe| {
        let cells = recipe.keys.iter().map(|key| images.get(key));
        let cells: Option<Vec<&Image>> = cells.collect();
        let picture = cells.and_then(|cells| assemble(recipe, &cells));
        let picture = picture.ok_or_else(|| {
            Error::BadData(format!(
                "{}: item `{}` has maps but its picture cannot be made of these images; give images in [features] that \
                 `attribute` used",
                dir.display(),
                recipe.item
            ))
        })?;
        Ok((recipe.item.clone(), picture))
    };
    recipes.iter().map(picture).collect()
}

/// An image alone as it is; a grid of square tiles of one side, or nothing where they are not.
fn assemble(recipe: &Recipe, cells: &[&Image]) -> Option<Rgb> {
    let first = &cells.first()?.rgb;
    if recipe.size == 1 {
        return Some(first.clone());
    }
    let side = first.width;
    let fits = cells.iter().all(|cell| (cell.rgb.width, cell.rgb.height) == (side, side));
    let grid = Grid { id: 0, size: recipe.size, tiles: (0..cells.len()).collect(), targets: vec![] };
    (fits && cells.len() == recipe.size * recipe.size).then(|| grid.picture(cells, side))
}
