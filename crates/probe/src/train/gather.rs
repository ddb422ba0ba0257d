//! Features of the three splits, read part by part.

use features::artifact::Reader;
use features::error::{Error, Result};
use features::table::{FeatureRows, Tensors};

use crate::config::Config;
use crate::data::Split;
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
}

/// Reads pooled features of the splits, and the maps that heads of layers need.
pub fn gather(reader: &Reader, config: &Config) -> Result<Data> {
    let &[channels] = reader.shape(FeatureRows::EMBEDDING) else {
        return Err(Error::BadData("features: embeddings are not of rank 1; run the features stage again".into()));
    };
    let &[_, height, width] = reader.shape(FeatureRows::MAP) else {
        return Err(Error::BadData("features: maps are not of rank 3; run the features stage again".into()));
    };
    let layered = config.train.iter().any(|entry| entry.head.kind() != Kind::Linear);
    let tensors = if layered { Tensors::All } else { Tensors::Embedding };
    let empty = || Split::empty(channels, [height, width]);
    let mut splits = [("train", empty()), ("validation", empty()), ("test", empty())];
    let map = channels * height * width;
    let (mut images, mut unlabelled) = (0, None);
    for part in 0..reader.parts() {
        let rows = FeatureRows::read(reader, part, tensors)?;
        for row in 0..rows.image_id.len() {
            let Some((name, split)) = splits.iter_mut().find(|(name, _)| *name == rows.split[row]) else { continue };
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
            if *name != "train" && rows.view[row] != 0 {
                return Err(Error::BadData(format!(
                    "split {name} is there in random views, but is to measure on; take it out of [features] view_splits"
                )));
            }
            images += usize::from(split.image_ids.last() != Some(&rows.image_id[row]) && *name == "train");
            split.image_ids.push(rows.image_id[row]);
            split.labels.push(indices(&rows.labels[row])?);
            split.set_aside.push(indices(&rows.set_aside[row])?);
            split.pooled.extend_from_slice(&rows.embedding[row * channels..(row + 1) * channels]);
            if layered && (*name != "train" || images <= config.map_tiles) {
                split.maps.extend_from_slice(&rows.map[row * map..(row + 1) * map]);
            }
        }
    }
    let [(_, mut train), (_, validation), (_, test)] = splits;
    train.views = views(&train.image_ids)?;
    // Where images have several labels, one may have none of them.
    let several = [&train, &validation, &test].iter().any(|split| split.labels.iter().any(|labels| labels.len() > 1));
    if let Some(image) = unlabelled.filter(|_| !several) {
        return Err(Error::BadData(format!("{image} has no label; probes need one for every image")));
    }
    let largest = train.labels.iter().flatten().max().map_or(0, |label| label + 1);
    let classes = reader.meta("classes").map_or(largest, |names| names.split(',').count());
    for (name, split) in [("train", &train), ("validation", &validation), ("test", &test)] {
        if split.is_empty() {
            return Err(Error::BadData(format!("features have no image of split {name}; check the data set")));
        }
        if let Some(label) = split.labels.iter().chain(&split.set_aside).flatten().find(|&&label| label >= classes) {
            return Err(Error::BadData(format!("split {name} has label {label}, but there are {classes} classes")));
        }
        if split.pooled.iter().chain(&split.maps).any(|value| !value.is_finite()) {
            return Err(Error::BadData(format!("features of split {name} are not all finite; check the backbone")));
        }
    }
    if classes < 2 {
        return Err(Error::BadData("there is one class only; probes need two".into()));
    }
    Ok(Data { train, validation, test, classes })
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
