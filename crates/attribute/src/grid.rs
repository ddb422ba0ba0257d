//! Grids of tiles that all chosen probes classify correctly and confidently, and such tiles alone.

use std::{collections::BTreeMap, path::Path};

use features::{
    artifact::{Input, Reader},
    error::{Error, Result},
    images::{Image, Rgb},
    random::{below, shuffle, stream},
};
use probe::table::{PREDICTIONS, PREDICTIONS_DIR, PredictionRows};

/// Tiles laid out in a square.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Running number among the grids of its size.
    pub id: usize,
    /// Cells on a side.
    pub size: usize,
    /// Position of each cell's tile in the list it was built from, row by row.
    pub tiles: Vec<usize>,
    /// Cells whose class is explained, ascending.
    pub targets: Vec<usize>,
}

/// The ids of images that every one of `probes` classifies correctly with at least `confidence`, and the input read.
///
/// # Errors
/// A missing or damaged prediction table.
// METHOD: argmax = label and softmax >= threshold for all probes together, so that one set of grids serves them all.
pub fn confident(out: &Path, probes: &[&str], confidence: f32) -> Result<(Vec<i64>, Input)> {
    let reader = Reader::open(&out.join(PREDICTIONS_DIR), &PREDICTIONS)?;
    let mut passed: BTreeMap<i64, usize> = BTreeMap::new();
    for part in 0..reader.parts() {
        let rows = PredictionRows::from_cells(reader.read_part(part)?)?;
        for (row, probe) in rows.probe_id.iter().enumerate() {
            let right = rows.predicted[row] == rows.label[row] && rows.probability[row] >= confidence;
            if right && probes.contains(&probe.as_str()) {
                *passed.entry(rows.image_id[row]).or_default() += 1;
            }
        }
    }
    let all = passed.into_iter().filter(|(_, count)| *count == probes.len());
    Ok((all.map(|(id, _)| id).collect(), reader.input()))
}

/// `count` grids of `size` x `size` tiles with distinct classes from tiles with these labels.
///
/// Each grid has a random stream of its own, so the first grids do not depend on how many there are. A tile may be in
/// several grids. `targets` cells of each are chosen at random.
///
/// # Errors
/// [`Error::BadData`] when the tiles have fewer classes than a grid has cells.
pub fn build(labels: &[i32], size: usize, count: usize, targets: usize, seed: u64) -> Result<Vec<Grid>> {
    let mut by_class: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (tile, label) in labels.iter().enumerate() {
        by_class.entry(*label).or_default().push(tile);
    }
    let cells = size * size;
    if count > 0 && by_class.len() < cells {
        return Err(Error::BadData(format!(
            "only {} classes have a tile that all chosen probes classify confidently, a {size} x {size} grid needs \
             {cells}; lower `confidence` in [attribute], name fewer probes in `confident_for`, train better probes, or set \
             grids{size} = 0 where the data set has too few classes",
            by_class.len()
        )));
    }
    let grids = (0..count).map(|id| {
        let mut rng = stream(seed, &["attribute", "grid", &size.to_string(), &id.to_string()]);
        let mut classes: Vec<&Vec<usize>> = by_class.values().collect();
        shuffle(&mut rng, &mut classes);
        let tiles = classes[..cells].iter().map(|tiles| tiles[below(&mut rng, tiles.len())]).collect();
        let mut order: Vec<usize> = (0..cells).collect();
        shuffle(&mut rng, &mut order);
        order.truncate(targets);
        order.sort_unstable();
        Grid { id, size, tiles, targets: order }
    });
    Ok(grids.collect())
}

impl Grid {
    /// The picture of the grid. All tiles must be squares of `side` pixels.
    pub fn picture(&self, tiles: &[&Image], side: usize) -> Rgb {
        let width = self.size * side;
        let mut data = vec![0; width * width * 3];
        for (cell, &tile) in self.tiles.iter().enumerate() {
            let (top, left) = (cell / self.size * side, cell % self.size * side);
            for (row, pixels) in tiles[tile].rgb.data.chunks_exact(side * 3).enumerate() {
                let start = ((top + row) * width + left) * 3;
                data[start..start + side * 3].copy_from_slice(pixels);
            }
        }
        Rgb { width, height: width, data }
    }
}

/// Positions of `count` different tiles out of `available`, at random; the first ones do not depend on how many there are.
///
/// # Errors
/// [`Error::BadData`] when there are fewer.
pub fn alone(available: usize, count: usize, seed: u64) -> Result<Vec<usize>> {
    if count > available {
        return Err(Error::BadData(format!(
            "only {available} tiles are classified confidently by all chosen probes, [attribute] tiles asks for {count}; \
             ask for fewer, lower `confidence`, or name fewer probes in `confident_for`"
        )));
    }
    let mut order: Vec<usize> = (0..available).collect();
    shuffle(&mut stream(seed, &["attribute", "tiles"]), &mut order);
    order.truncate(count);
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_distinct_classes_and_their_own_streams() {
        let labels: Vec<i32> = (0..60).map(|i| i % 12).collect();
        let many = build(&labels, 3, 50, 2, 5).unwrap();
        assert_eq!(many[..10], build(&labels, 3, 10, 2, 5).unwrap());
        assert_ne!(many[0].tiles, build(&labels, 3, 1, 2, 6).unwrap()[0].tiles);
        for grid in &many {
            let mut classes: Vec<i32> = grid.tiles.iter().map(|&tile| labels[tile]).collect();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!((classes.len(), grid.targets.len()), (9, 2));
            assert!(grid.targets[0] < grid.targets[1] && grid.targets[1] < 9);
        }
        let error = build(&labels[..8], 3, 1, 2, 5).unwrap_err();
        assert!(error.to_string().contains("8 classes") && error.exit_code() == 65);
        assert!(build(&[], 3, 0, 2, 5).unwrap().is_empty());
    }

    #[test]
    fn single_tiles_are_different_and_begin_alike() {
        let many = alone(50, 20, 1).unwrap();
        assert_eq!(many[..5], alone(50, 5, 1).unwrap());
        assert_eq!(many.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
        assert_ne!(many, alone(50, 20, 2).unwrap());
        let error = alone(3, 4, 1).unwrap_err();
        assert!(error.to_string().contains("only 3 tiles") && error.exit_code() == 65);
    }

    #[test]
    fn pictures_are_laid_out_row_by_row() {
        let image = |value: u8| Image {
            id: 0,
            key: String::new(),
            split: String::new(),
            label: None,
            rgb: Rgb { width: 1, height: 1, data: vec![value; 3] },
            labels: vec![],
            set_aside: vec![],
            boxes: vec![],
        };
        let tiles = [image(10), image(20), image(30), image(40)];
        let grid = Grid { id: 0, size: 2, tiles: vec![3, 2, 1, 0], targets: vec![] };
        let picture = grid.picture(&tiles.iter().collect::<Vec<_>>(), 1);
        assert_eq!(picture.data, [40, 40, 40, 30, 30, 30, 20, 20, 20, 10, 10, 10]);
    }
}
