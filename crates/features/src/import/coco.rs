//! COCO's instances: one JSON file, read as a stream; outlines become masks when their image is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

use super::Crowd;
use super::classes::Classes;
use super::files::{Entry, Files};
use super::outline::Outline;
use super::relative::below;
use crate::artifact::Box2;
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Instances {
    images: Vec<Picture>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Picture {
    id: i64,
    file_name: String,
    width: i32,
    height: i32,
}

/// Fields that are not named here are read over.
#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default)]
    ignore: u8,
    segmentation: Option<Outline>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

/// The images that `annotations` lists, in its order, below the directory `images`.
// METHOD: classes in the file's order of categories; what counts is told by `Annotation::counts`, as in the reference's
// coco_multiclass.py. Crowds count unless they are set aside.
pub fn index(annotations: &Path, images: &Path, crowd: Crowd) -> Result<Files> {
    let file = File::open(annotations).map_err(|error| Error::io(annotations, error))?;
    let bad = |problem: String| {
        Error::BadData(format!("{}: {problem}; give an instances file of COCO", annotations.display()))
    };
    let read: Instances = serde_json::from_reader(BufReader::with_capacity(1 << 20, file))
        .map_err(|error| bad(format!("not readable ({error})")))?;
    let classes: HashMap<i64, i32> = read.categories.iter().map(|category| category.id).zip(0..).collect();
    let places: HashMap<i64, usize> = read.images.iter().map(|image| image.id).zip(0..).collect();
    let mut entries = Vec::with_capacity(read.images.len());
    for image in &read.images {
        let path = below(&image.file_name, annotations)?.to_string();
        let size = [image.width, image.height].map(|side| side.max(0) as usize);
        entries.push(Entry { path, size, ..Entry::default() });
    }
    let mut without = vec![false; entries.len()];
    for annotation in read.annotations {
        let image = annotation.image_id;
        let place =
            *places.get(&image).ok_or_else(|| bad(format!("an object is in image {image}, which is not listed")))?;
        let category = annotation.category_id;
        let class = *classes.get(&category).ok_or_else(|| bad(format!("category {category} is not listed")))?;
        if !annotation.counts(&read.images[place]) {
            continue;
        }
        let entry = &mut entries[place];
        if annotation.iscrowd != 0 && crowd == Crowd::SetAside {
            entry.set_aside.push(annotation.place(class));
            continue;
        }
        entry.boxes.push(annotation.place(class));
        match annotation.segmentation {
            Some(outline) => entry.outlines.push(outline),
            None => without[place] = true,
        }
        if let Err(at) = entry.labels.binary_search(&class) {
            entry.labels.insert(at, class);
        }
    }
    // Masks stand for all boxes of an image or for none, as some files have none.
    entries.iter_mut().zip(without).filter(|(_, without)| *without).for_each(|(entry, _)| entry.outlines.clear());
    let names = read.categories.into_iter().map(|category| category.name).collect();
    Ok(Files::new(images, entries, Classes::Named(names)))
}

impl Annotation {
    /// Not ignored, an area, and at least a pixel inside the image.
    fn counts(&self, image: &Picture) -> bool {
        let [x, y, width, height] = self.bbox;
        let inside = |start: f64, length: f64, end: i32| (start + length).min(f64::from(end)) - start.max(0.0) > 0.0;
        self.ignore == 0
            && self.area.is_none_or(|area| area > 0.0)
            && width >= 1.0
            && height >= 1.0
            && inside(x, width, image.width)
            && inside(y, height, image.height)
    }

    // METHOD: eval_coco_epg.py: int(x), int(y), int(x + w), int(y + h).
    fn place(&self, class: i32) -> Box2 {
        let [x, y, width, height] = self.bbox;
        Box2 { class, xmin: x as i32, ymin: y as i32, xmax: (x + width) as i32, ymax: (y + height) as i32 }
    }
}
