//! Class names of a data set, agreed on by all of its sources.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// What a source knows of its classes.
#[derive(Clone, Debug)]
pub enum Classes {
    /// Names, by index.
    Named(Vec<String>),
    /// Numbers only, this many.
    Counted(usize),
}

/// The names that all sources share.
///
/// # Errors
/// [`Error::BadData`] when two sources number different names.
pub fn join(sources: Vec<Classes>) -> Result<Vec<String>> {
    let mut names: Option<Vec<String>> = None;
    let mut count = 0;
    for source in sources {
        match source {
            Classes::Counted(classes) => count = count.max(classes),
            Classes::Named(found) => match &names {
                Some(known) if *known != found => {
                    let only =
                        |these: &[String], those: &[String]| these.iter().find(|name| !those.contains(name)).cloned();
                    let which = match only(known, &found).or_else(|| only(&found, known)) {
                        Some(name) => format!("only one has `{name}`"),
                        None => "their order differs".to_string(),
                    };
                    let (known, found) = (known.len(), found.len());
                    return Err(Error::BadData(format!(
                        "section [data]: the sources have different classes ({known} and {found} names; {which}), so one \
                         index would mean two things; give every source the same classes in the same order"
                    )));
                }
                _ => names = Some(found),
            },
        }
    }
    let names = names.unwrap_or_default();
    if !names.is_empty() && count > names.len() {
        return Err(Error::BadData(format!(
            "section [data]: a source has class index {}, but the others name {} classes; correct the labels",
            count - 1,
            names.len()
        )));
    }
    Ok((0..count.max(names.len()))
        .map(|index| names.get(index).map_or(index.to_string(), |name| plain(name)))
        .collect())
}

/// A name without commas, which separate names in the table's notes.
fn plain(name: &str) -> String {
    name.replace(',', ";")
}

/// Index of each name in the sorted list of all.
pub fn numbered(names: impl Iterator<Item = String>) -> BTreeMap<String, i32> {
    let mut sorted: Vec<String> = names.collect();
    sorted.sort();
    sorted.dedup();
    sorted.into_iter().zip(0..).collect()
}
