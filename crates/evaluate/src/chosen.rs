//! Which items a section of the experiment file chooses to run the backbone on again, and what they are made of.

use std::collections::{HashMap, HashSet};

use attribute::attribute::GRIDS_DIR;
use attribute::compact::CompactMaps;
use attribute::item::ItemKind;
use attribute::table::{GRIDS, GridRows, MapRows};
use features::artifact::{Columns, Reader};
use features::error::{Error, Result};
use features::stage::Stage;

use crate::perturbation::pictures::Recipe;

/// Kinds of items that may be chosen. Grids whose cells are cut off from each other are not among them: their logits are
/// those of cells.
const KINDS: [&str; 3] = [ItemKind::Tile.name(), ItemKind::Scene.name(), ItemKind::Grid3.name()];

/// What is wrong with the key `items`, if something is.
pub(crate) fn wrong_items(items: &[String]) -> Option<String> {
    match items.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        Some(kind) => Some(format!("items names `{kind}`; use some of {}", KINDS.join(", "))),
        None if items.is_empty() => Some("items is empty; name at least one kind, or leave metrics empty".to_string()),
        None => None,
    }
}

/// Which items a section of the experiment file chooses.
pub(crate) struct Chosen<'a> {
    /// The section's name.
    pub section: &'static str,
    /// Kinds.
    pub items: &'a [String],
    /// The first so many of each kind.
    pub most: Option<usize>,
}

/// What the items are made of that are chosen.
pub(crate) fn recipes(
    stage: &Stage,
    chosen: &Chosen,
    maps: &[(ItemKind, Reader)],
    compact: Option<&CompactMaps>,
) -> Result<Vec<Recipe>> {
    let mut recipes = Vec::new();
    let mut grids: HashMap<String, Recipe> = HashMap::new();
    if chosen.items.iter().any(|kind| kind == ItemKind::Grid3.name()) {
        let rows = GridRows::from_cells(Reader::open(&stage.out.join(GRIDS_DIR), &GRIDS)?.read_all()?)?;
        grids.extend(Recipe::grids(&rows).map(|recipe| (recipe.item.clone(), recipe)));
    }
    for (kind, reader) in maps.iter().filter(|(kind, _)| chosen.items.iter().any(|name| name == kind.name())) {
        let mut seen: HashSet<String> = HashSet::new();
        for part in 0..reader.parts() {
            let mut items: Vec<String> = Columns::new(reader.read_columns(part, &[MapRows::ITEM])?).next()?;
            if let Some(compact) = compact {
                items.extend(compact.items(part, *kind)?);
            }
            for item in items {
                if chosen.most.is_some_and(|most| seen.len() >= most) || !seen.insert(item.clone()) {
                    continue;
                }
                recipes.push(match kind {
                    ItemKind::Tile | ItemKind::Scene => Recipe::image(&item),
                    _ => grids.remove(&item).ok_or_else(|| {
                        let dir = stage.out.join(GRIDS_DIR);
                        Error::BadData(format!("{}: has no row of `{item}`; run `attribute` again", dir.display()))
                    })?,
                });
            }
        }
    }
    if recipes.is_empty() {
        return Err(Error::Usage(format!(
            "[{}] items asks for maps of kind {}, and there are none; set `tiles` in [attribute], or \
             name other kinds",
            chosen.section,
            chosen.items.join(", ")
        )));
    }
    Ok(recipes)
}
