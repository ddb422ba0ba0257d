//! Which items are explained: drawn by classes and ids before any picture is read, so that only what is drawn is decoded.

use std::collections::BTreeSet;

use features::{
    artifact::Input,
    backbone::Backbone,
    error::{Error, Result},
    extract::FeaturesConfig,
    images::{Image, known, load_chosen},
    preprocess::Geometry,
    stage::Stage,
};
use probe::Probe;

use crate::{
    config::{AttributeConfig, Missing, select},
    grid::{self, Grid},
    item::{Item, of_grid, of_scene, of_tile, side},
};

/// All items in the order of parts, and the predictions that they were chosen by.
pub(super) fn items(
    stage: &Stage,
    config: &AttributeConfig,
    source: &FeaturesConfig,
    backbone: &Backbone,
    probes: &[Probe],
) -> Result<(Vec<Item>, Input)> {
    let geometry = backbone.preprocessing().geometry;
    let ids: Vec<&str> = probes.iter().map(|probe| probe.id.as_str()).collect();
    let missing = Missing::of(&config.confident_for, &AttributeConfig::default().confident_for);
    let judges = select("confident_for", &config.confident_for, &ids, missing)?;
    let (confident, input) = grid::confident(&stage.out, &judges, config.confidence)?;
    let mut items = Vec::new();
    if config.grids3 + config.grids2 + config.tiles > 0 {
        if judges.is_empty() {
            return Err(Error::Usage(format!(
                "section [attribute]: confident_for names no probe; there are {}",
                ids.join(", ")
            )));
        }
        items.extend(of_tiles(stage, config, source, &geometry, &confident)?);
    }
    if config.scenes > 0 {
        items.extend(of_scenes(stage, config, source, &geometry)?);
    }
    if items.is_empty() {
        return Err(Error::BadData(format!(
            "{}: no scene has a box and no grid is asked for, so there is nothing to explain",
            source.images.display()
        )));
    }
    Ok((items, input))
}

/// Grids and single tiles, out of the test images that are `confident`, whose ids are in order.
fn of_tiles(
    stage: &Stage,
    config: &AttributeConfig,
    source: &FeaturesConfig,
    geometry: &Geometry,
    confident: &[i64],
) -> Result<Vec<Item>> {
    let usable: Vec<(i64, i32)> = known(&source.images, "test")?
        .into_iter()
        .filter(|(id, _)| confident.binary_search(id).is_ok())
        .filter_map(|(id, label)| Some((id, label?)))
        .collect();
    let labels: Vec<i32> = usable.iter().map(|(_, label)| *label).collect();
    let build = |(size, count)| grid::build(&labels, size, count, config.targets(size), stage.seed);
    let mut sizes: Vec<Vec<Grid>> =
        [(3, config.grids3), (2, config.grids2)].into_iter().map(build).collect::<Result<_>>()?;
    let mut alone = grid::alone(usable.len(), config.tiles, stage.seed)?;
    // From here on tiles are counted among those that were drawn.
    let drawn: BTreeSet<usize> = sizes.iter().flatten().flat_map(|grid| &grid.tiles).chain(&alone).copied().collect();
    let places: Vec<usize> = drawn.iter().copied().collect();
    let tiles = sizes.iter_mut().flatten().flat_map(|grid| &mut grid.tiles).chain(&mut alone);
    tiles.for_each(|tile| *tile = places.partition_point(|place| *place < *tile));
    let images = load_chosen(&source.images, &drawn.iter().map(|&tile| usable[tile].0).collect(), geometry)?;
    let tiles: Vec<&Image> = images.iter().collect();
    let (side, scope) = (side(&tiles)?, config.integrated_gradients.grids);
    let mut items = Vec::new();
    for grids in &sizes {
        for &setting in &config.settings {
            items.extend(grids.iter().map(|grid| of_grid(grid, setting, &tiles, side, grid.id < scope)));
        }
    }
    items.extend(alone.iter().enumerate().map(|(index, &tile)| of_tile(tiles[tile], index < scope)));
    Ok(items)
}

/// Scenes that have a box.
fn of_scenes(
    stage: &Stage,
    config: &AttributeConfig,
    source: &FeaturesConfig,
    geometry: &Geometry,
) -> Result<Vec<Item>> {
    let known = known(&source.images, "scenes")?;
    let chosen = config.scene_choice.choose(known.len(), config.scenes, stage.seed);
    let scenes = load_chosen(&source.images, &chosen.iter().map(|&at| known[at].0).collect(), geometry)?;
    let scope = config.integrated_gradients.scenes;
    let items = scenes.iter().enumerate().map(|(index, scene)| of_scene(scene, index < scope));
    Ok(items.filter(|item| !item.targets.is_empty()).collect())
}
