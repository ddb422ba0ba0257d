//! Reads the maps and images that the gallery shows: the few chosen ones out of very many.

use crate::gallery::{self, Choice, Example, Shown, seed_of};
use crate::heatmap::{self, Frame, Map};
use crate::roles::{Backbone, Roles};
use crate::scores::Scores;
use attribute::compact::CompactMaps;
use attribute::item::ItemKind;
use attribute::table::{GRIDS, GridRows, MAPS, MapRows};
use features::artifact::{Columns, Manifest, Reader};
use features::error::{Error, Result};
use features::images::{Rgb, fit_rows};
use features::preprocess::{Geometry, Preprocessing};
use features::table::{IMAGES, ImageRows};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Directory of maps in an experiment.
pub const MAPS_DIR: &str = "attribute";
/// Directory of grids in an experiment.
const GRIDS_DIR: &str = "attribute.grids";
/// Positions of columns that are looked at before a whole part is read.
const ITEM: usize = 0;
const IMAGE_KEY: usize = 1;

/// The examples of one backbone, with their pictures.
pub fn examples(
    experiment: &Path,
    images: &Path,
    scores: &Scores,
    backbone: &Backbone,
    roles: &Roles,
) -> Result<Vec<Example>> {
    let choices = gallery::choose(scores, backbone, roles);
    if choices.is_empty() {
        return Ok(vec![]);
    }
    let wanted: BTreeSet<&str> = choices.iter().map(|choice| choice.item.as_str()).collect();
    let rows = map_rows(experiment, &wanted)?;
    let grids = grids(experiment)?;
    let geometry = geometry(experiment)?;
    let mut examples = Vec::new();
    for choice in &choices {
        let Some(rows) = rows.get(&choice.item) else {
            let place = experiment.join(MAPS_DIR);
            return Err(Error::BadData(format!(
                "{}: no map of {}, which was scored; run attribute and evaluate again",
                place.display(),
                choice.item
            )));
        };
        let Some(first) = rows.item.iter().position(|item| *item == choice.item) else { continue };
        let size = rows.grid_size[first].unwrap_or(1);
        let grid = grids.get(&(rows.image_id[first], size)).ok_or_else(|| {
            Error::BadData(format!(
                "{}: no grid {} of size {size}; run attribute again",
                experiment.join(GRIDS_DIR).display(),
                rows.image_id[first]
            ))
        })?;
        let picture = compose(grid, size as usize, images, &geometry)?;
        let frame = frame(&picture, size as usize, choice.target as usize);
        examples.push(Example {
            backbone: backbone.label.clone(),
            quantile: choice.quantile,
            item: choice.item.clone(),
            target: choice.target,
            difference: choice.difference,
            photograph: heatmap::photograph(&picture, Some(frame))?,
            shown: maps(rows, choice, &picture, frame, &Sought { scores, backbone, roles })?,
        });
    }
    Ok(examples)
}

/// What the maps of an example are looked up with.
struct Sought<'a> {
    scores: &'a Scores,
    backbone: &'a Backbone,
    roles: &'a Roles,
}

fn maps(rows: &MapRows, choice: &Choice, picture: &Rgb, frame: Frame, sought: &Sought) -> Result<Vec<Shown>> {
    let Sought { scores, backbone, roles } = sought;
    let size = rows.map.len() / rows.item.len().max(1);
    let mut found = Vec::new();
    for method in &backbone.methods {
        for probe in [&roles.ce, &roles.bce, &roles.bcos] {
            let is_it = |row: &usize| {
                rows.item[*row] == choice.item
                    && rows.target_index[*row] == choice.target
                    && rows.method[*row] == *method
                    && probe::id::name(&rows.probe_id[*row]) == *probe
                    && seed_of(&rows.probe_id[*row]) == Some(choice.seed)
            };
            let Some(row) = (0..rows.item.len()).find(is_it) else { continue };
            let values = &rows.map[row * size..(row + 1) * size];
            let map = Map { width: rows.width[row] as usize, height: rows.height[row] as usize, values };
            let map = heatmap::overlay(map, Some(picture), Some(frame))?;
            let score = gallery::score(scores, backbone, choice, method, probe);
            found.push(Shown { method: method.clone(), probe: probe.clone(), score, map });
        }
    }
    Ok(found)
}

/// Map rows of each wanted item, from whichever map table of the experiment has it; no rows where all its maps were kept
/// as digests.
fn map_rows(experiment: &Path, wanted: &BTreeSet<&str>) -> Result<BTreeMap<String, MapRows>> {
    let manifest = Manifest::read(&experiment.join(MAPS_DIR))?;
    let mut found = BTreeMap::new();
    for (dir, _) in manifest.tables.iter().filter(|(_, entry)| entry.table == MAPS.name && entry.rows > 0) {
        let reader = Reader::open(&experiment.join(dir), &MAPS)?;
        for part in 0..reader.parts() {
            let items: Vec<String> = Columns::new(reader.read_columns(part, &[ITEM])?).next()?;
            let here: BTreeSet<String> =
                items.into_iter().filter(|item| wanted.contains(item.as_str()) && !found.contains_key(item)).collect();
            if !here.is_empty() {
                let rows = MapRows::from_cells(reader.read_part(part)?)?;
                found.extend(here.into_iter().map(|item| (item.clone(), only(&rows, &item))));
            }
        }
    }
    let Some(compact) = CompactMaps::open(experiment)? else { return Ok(found) };
    for part in 0..compact.parts() {
        let mut here = BTreeSet::new();
        for kind in ItemKind::ALL {
            here.extend(compact.items(part, kind)?.into_iter().filter(|item| wanted.contains(item.as_str())));
        }
        if here.is_empty() {
            continue;
        }
        let rows = compact.read_part(part)?;
        for item in here {
            let maps: &mut MapRows = found.entry(item.clone()).or_default();
            rows.maps.iter().for_each(|rows| maps.append(only(rows, &item)));
        }
    }
    Ok(found)
}

/// The rows of one item.
fn only(rows: &MapRows, item: &str) -> MapRows {
    let size = rows.map.len() / rows.item.len().max(1);
    let mut kept = MapRows::default();
    for row in (0..rows.item.len()).filter(|row| rows.item[*row] == item) {
        kept.append(rows.row(row, rows.map[row * size..(row + 1) * size].to_vec()));
    }
    kept
}

/// Image keys of the cells of each grid, by grid id and size.
fn grids(experiment: &Path) -> Result<BTreeMap<(i64, i32), Vec<String>>> {
    let rows = GridRows::from_cells(Reader::open(&experiment.join(GRIDS_DIR), &GRIDS)?.read_all()?)?;
    let keys = rows.grid_id.into_iter().zip(rows.grid_size);
    Ok(keys.zip(rows.cells).collect())
}

/// How pictures were fitted to the network that the maps explain.
fn geometry(experiment: &Path) -> Result<Geometry> {
    let dir = experiment.join(MAPS_DIR);
    let noted = Preprocessing::of(&Reader::open(&dir, &MAPS)?, &dir)?;
    Ok(noted.map_or(Geometry::AS_IS, |noted| noted.geometry))
}

/// A grid's picture: its images as the network saw them, row by row.
fn compose(keys: &[String], size: usize, images: &Path, geometry: &Geometry) -> Result<Rgb> {
    let reader = Reader::open(images, &IMAGES)?;
    let wanted: BTreeSet<&String> = keys.iter().collect();
    let mut found: BTreeMap<String, Rgb> = BTreeMap::new();
    for part in 0..reader.parts() {
        let here: Vec<String> = Columns::new(reader.read_columns(part, &[IMAGE_KEY])?).next()?;
        if here.iter().any(|key| wanted.contains(key)) {
            let rows = ImageRows::from_cells(reader.read_part(part)?)?;
            let picked: Vec<usize> = (0..rows.len()).filter(|&row| wanted.contains(&rows.image_key[row])).collect();
            found.extend(fit_rows(&rows, &picked, geometry)?.into_iter().map(|image| (image.key, image.rgb)));
        }
    }
    let absent = |key: &String| {
        Error::BadData(format!(
            "{}: no image {key}, which a grid is made of; name the images of this experiment",
            images.display()
        ))
    };
    let tiles: Vec<&Rgb> = keys.iter().map(|key| found.get(key).ok_or_else(|| absent(key))).collect::<Result<_>>()?;
    let Some(first) = tiles.first() else {
        return Err(Error::BadData("a grid has no cells; run attribute again".into()));
    };
    let (width, height) = (first.width, first.height);
    if tiles.iter().any(|tile| (tile.width, tile.height) != (width, height)) || tiles.len() != size * size {
        return Err(Error::BadData(format!(
            "{}: the cells of a grid are not {size} x {size} images of one size",
            images.display()
        )));
    }
    let mut data = Vec::with_capacity(tiles.len() * width * height * 3);
    for y in 0..size * height {
        for x in 0..size {
            let start = (y % height) * width * 3;
            data.extend_from_slice(&tiles[y / height * size + x].data[start..start + width * 3]);
        }
    }
    Ok(Rgb { width: size * width, height: size * height, data })
}

fn frame(picture: &Rgb, size: usize, cell: usize) -> Frame {
    let (width, height) = (picture.width / size.max(1), picture.height / size.max(1));
    (cell % size.max(1) * width, cell / size.max(1) * height, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cells_row_by_row() {
        let picture = Rgb { width: 192, height: 192, data: vec![] };
        for (cell, expected) in [(0, (0, 0, 64, 64)), (5, (128, 64, 64, 64)), (7, (64, 128, 64, 64))] {
            assert_eq!(frame(&picture, 3, cell), expected);
        }
    }
}
