//! The three splits: what is known of their images, and their features where memory holds them.

use std::ops::Range;
use std::sync::Arc;

use features::artifact::{Columns, Reader};
use features::error::{Error, Result};
use features::table::FeatureRows;
use features::tensor::Device;

use super::room::{Held, Room};
use crate::config::Config;
use crate::data::{Form, Order, Place, Split, Windows, finite};
use crate::spec::Kind;

/// The data of the stage.
pub struct Data {
    /// What is trained on.
    pub train: Split,
    /// What choices may be made on.
    pub validation: Split,
    /// What is looked at once.
    pub test: Split,
    /// Number of classes: as many as the data set names, else one more than the largest training label.
    pub classes: usize,
    /// What memory it takes.
    pub room: Room,
}

/// A split that is known but for its features.
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Its images.
    pub split: Split,
    /// Where each row lies, in the order of the table.
    pub places: Vec<Place>,
    /// Rows whose maps are looked at, the first.
    pub mapped: usize,
}

impl Known {
    /// Its rows in part `part`.
    fn rows(&self, part: usize) -> Range<usize> {
        let before = |part: usize| self.places.partition_point(|place| (place.part as usize) < part);
        before(part)..before(part + 1)
    }
}

/// Reads what the splits need, with features of all that fits into memory.
///
/// # Errors
/// Data that no probe can be trained on, and features that take more memory than there is.
pub fn gather(reader: &Arc<Reader>, config: &Config, backbone: &str, device: &Device) -> Result<Data> {
    let layered = config.train.iter().any(|entry| entry.head.kind() != Kind::Linear);
    let (mut known, unlabelled) = index(reader, config, layered)?;
    let classes = check(reader, &mut known, unlabelled)?;
    let room = Room::plan(config, &config.specs(classes, Some(backbone))?.concat(), &known, classes, device)?;
    fill(reader, &mut known, room.held)?;
    let window = match config.order {
        Order::Windows(parts) => Some(parts),
        Order::Whole => None,
    };
    for (number, known) in known.iter_mut().enumerate() {
        let held = room.held.holds(number);
        known.split.windows = window.filter(|_| number == 0 || !held).map(|size| {
            let reader = (!held).then(|| reader.clone());
            Windows::new(std::mem::take(&mut known.places), size, known.mapped, reader)
        });
    }
    let [train, validation, test] = known.map(|known| known.split);
    Ok(Data { train, validation, test, classes, room })
}

/// Everything about the images of the splits but their features, and an image without any label, if there is one.
fn index(reader: &Reader, config: &Config, layered: bool) -> Result<([Known; 3], Option<String>)> {
    let &[channels] = reader.shape(FeatureRows::EMBEDDING) else {
        return Err(Error::BadData("features: embeddings are not of rank 1; run the features stage again".into()));
    };
    let [_, height, width] = FeatureRows::map_shape(reader)?;
    let mut splits = ["train", "validation", "test"].map(|name| {
        let split = Split::empty(channels, [height, width]);
        Known { name, split, places: Vec::new(), mapped: 0 }
    });
    let (mut images, mut unlabelled) = (0, None);
    for part in 0..reader.parts() {
        let rows = FeatureRows::read_images(reader, part)?;
        for row in 0..rows.image_id.len() {
            let Some(known) = splits.iter_mut().find(|known| known.name == rows.split[row]) else { continue };
            let name = known.name;
            let indices = |classes: &[i32]| -> Result<Vec<usize>> {
                let index = |class: &i32| {
                    usize::try_from(*class).map_err(|_| {
                        let key = &rows.image_key[row];
                        Error::BadData(format!(
                            "image {key} of split {name} has class {class}; import the images again"
                        ))
                    })
                };
                classes.iter().map(index).collect()
            };
            if rows.labels[row].is_empty() && unlabelled.is_none() {
                unlabelled = Some(format!("image {} of split {name}", rows.image_key[row]));
            }
            if name != "train" && rows.view[row] != 0 {
                return Err(Error::BadData(format!(
                    "split {name} is there in random views, but is to measure on; take it out of [features] view_splits"
                )));
            }
            let split = &mut known.split;
            images += usize::from(split.image_ids.last() != Some(&rows.image_id[row]) && name == "train");
            split.image_ids.push(rows.image_id[row]);
            split.labels.push(indices(&rows.labels[row])?);
            split.set_aside.push(indices(&rows.set_aside[row])?);
            known.places.push(Place { part: part as u32, row: row as u32 });
            known.mapped += usize::from(layered && (name != "train" || images <= config.map_tiles));
        }
    }
    Ok((splits, unlabelled))
}

/// Number of classes, of splits that probes can be trained on.
fn check(reader: &Reader, known: &mut [Known; 3], unlabelled: Option<String>) -> Result<usize> {
    known[0].split.views = views(&known[0].split.image_ids)?;
    // Where images have several labels, one may have none of them.
    let several = known.iter().any(|known| known.split.labels.iter().any(|labels| labels.len() > 1));
    if let Some(image) = unlabelled.filter(|_| !several) {
        return Err(Error::BadData(format!("{image} has no label; probes need one for every image")));
    }
    let largest = known[0].split.labels.iter().flatten().max().map_or(0, |label| label + 1);
    let classes = reader.meta("classes").map_or(largest, |names| names.split(',').count());
    for Known { name, split, .. } in known {
        if split.is_empty() {
            return Err(Error::BadData(format!("features have no image of split {name}; check the data set")));
        }
        if let Some(label) = split.labels.iter().chain(&split.set_aside).flatten().find(|&&label| label >= classes) {
            return Err(Error::BadData(format!("split {name} has label {label}, but there are {classes} classes")));
        }
    }
    if classes < 2 {
        return Err(Error::BadData("there is one class only; probes need two".into()));
    }
    Ok(classes)
}

/// Reads the features of the splits that are held.
fn fill(reader: &Reader, known: &mut [Known; 3], held: Held) -> Result<()> {
    for (_, known) in known.iter_mut().enumerate().filter(|(number, _)| held.holds(*number)) {
        // Exactly: growing would take as much again.
        known.split.pooled.reserve_exact(known.places.len() * known.split.width(Form::Pooled));
        known.split.maps.reserve_exact(known.mapped * known.split.width(Form::Maps));
    }
    for part in 0..reader.parts() {
        let wanted = |number: usize, known: &Known| held.holds(number) && !known.rows(part).is_empty();
        if !known.iter().enumerate().any(|(number, known)| wanted(number, known)) {
            continue;
        }
        // Of many training images only the first ones' maps are looked at.
        let mapped = |(number, known): (usize, &Known)| wanted(number, known) && known.rows(part).start < known.mapped;
        let mapped = known.iter().enumerate().any(mapped);
        let columns = [FeatureRows::EMBEDDING, FeatureRows::MAP];
        let mut cells = Columns::new(reader.read_columns(part, if mapped { &columns } else { &columns[..1] })?);
        let pooled: Vec<f32> = cells.next()?;
        let maps: Vec<f32> = if mapped { cells.next()? } else { Vec::new() };
        for (number, known) in known.iter_mut().enumerate() {
            for row in if wanted(number, known) { known.rows(part) } else { 0..0 } {
                let at = known.places[row].row as usize;
                let split = &mut known.split;
                let [width, area] = [split.width(Form::Pooled), split.width(Form::Maps)];
                finite(&pooled[at * width..(at + 1) * width])?;
                split.pooled.extend_from_slice(&pooled[at * width..(at + 1) * width]);
                if row < known.mapped {
                    finite(&maps[at * area..(at + 1) * area])?;
                    split.maps.extend_from_slice(&maps[at * area..(at + 1) * area]);
                }
            }
        }
    }
    Ok(())
}

/// How many rows, which follow each other, each image has.
fn views(image_ids: &[i64]) -> Result<usize> {
    let mut runs = image_ids.chunk_by(|a, b| a == b).map(<[i64]>::len);
    let views = runs.next().unwrap_or(1);
    match runs.find(|&run| run != views) {
        None => Ok(views),
        Some(run) => Err(Error::BadData(format!(
            "split train has images with {views} views and with {run}; run the features stage again"
        ))),
    }
}
