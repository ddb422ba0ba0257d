//! A VOC devkit: XML annotations, the official splits, objects marked as difficult.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Origin;
use super::classes::Classes;
use super::files::{Entry, Files};
use super::relative::below;
use crate::artifact::Box2;
use crate::error::{Error, Result};

/// The twenty classes in the devkit's order.
const CLASSES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// The images of ImageSets/Main/SET.txt in the devkit's directory `path`.
// METHOD: labels are the classes with an object that is not difficult, as in mmpretrain's VOC.
pub fn index(path: &Path, set: &str, origin: Origin) -> Result<Files> {
    let list = path.join("ImageSets").join("Main").join(format!("{set}.txt"));
    let text = std::fs::read_to_string(&list).map_err(|error| Error::io(&list, error))?;
    let mut entries = Vec::new();
    // The lists of one class have a second word, which says whether it is in the image.
    for id in text.lines().filter_map(|line| line.split_whitespace().next()) {
        let id = below(id, &list)?;
        let annotation = path.join("Annotations").join(format!("{id}.xml"));
        let xml = std::fs::read_to_string(&annotation).map_err(|error| Error::io(&annotation, error))?;
        let objects = objects(&xml, &annotation)?;
        let place = |object: &Object| object.place(origin);
        let boxes: Vec<Box2> = objects.iter().filter(|object| !object.difficult).map(place).collect();
        let mut labels: Vec<i32> = boxes.iter().map(|object| object.class).collect();
        labels.sort_unstable();
        labels.dedup();
        entries.push(Entry {
            path: format!("JPEGImages/{id}.jpg"),
            label: None,
            labels,
            boxes,
            set_aside: objects.iter().filter(|object| object.difficult).map(place).collect(),
            ..Entry::default()
        });
    }
    Ok(Files::new(path, entries, Classes::Named(CLASSES.map(String::from).to_vec())))
}

/// One annotated object, coordinates as they stand.
#[derive(Debug, Default, PartialEq)]
struct Object {
    class: i32,
    difficult: bool,
    /// xmin, ymin, xmax, ymax.
    edges: [i32; 4],
}

impl Object {
    fn place(&self, origin: Origin) -> Box2 {
        let [xmin, ymin, xmax, ymax] = self.edges;
        let shift = i32::from(origin == Origin::FromOne);
        Box2 { class: self.class, xmin: xmin - shift, ymin: ymin - shift, xmax, ymax }
    }
}

/// The objects of an annotation; those of `part` elements inside them are no objects.
fn objects(xml: &str, path: &Path) -> Result<Vec<Object>> {
    let bad = |problem: &str| Error::BadData(format!("{}: {problem}; correct the annotation", path.display()));
    let mut reader = Reader::from_str(xml);
    let mut names: Vec<String> = Vec::new();
    let mut objects: Vec<Object> = Vec::new();
    loop {
        match reader.read_event().map_err(|error| bad(&error.to_string()))? {
            Event::Start(start) => {
                names.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                if names == ["annotation", "object"] {
                    objects.push(Object { class: -1, ..Object::default() });
                }
            }
            Event::End(_) => drop(names.pop()),
            Event::Text(text) => {
                let text = text.decode().map_err(|error| bad(&error.to_string()))?;
                let text = text.trim();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                match (&names[..], objects.last_mut()) {
                    (["annotation", "filename"], _) => drop(below(text, path)?),
                    (["annotation", "object", field @ ..], Some(object)) => {
                        fill(object, field, text).ok_or_else(|| bad(&format!("`{text}` is no {}", field.join("/"))))?;
                    }
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !names.is_empty() {
        return Err(bad("the XML is cut off"));
    }
    match objects.iter().any(|object| object.class < 0 || object.edges[0] >= object.edges[2]) {
        true => Err(bad("an object has no name, or no box with an area")),
        false => Ok(objects),
    }
}

/// Takes a field of an object; `None` where its text is not of the field's kind.
fn fill(object: &mut Object, field: &[&str], text: &str) -> Option<()> {
    let edge = match field {
        ["name"] => {
            object.class = CLASSES.iter().position(|class| *class == text)? as i32;
            return Some(());
        }
        ["difficult"] => {
            object.difficult = text.parse::<u8>().ok()? != 0;
            return Some(());
        }
        ["bndbox", "xmin"] => 0,
        ["bndbox", "ymin"] => 1,
        ["bndbox", "xmax"] => 2,
        ["bndbox", "ymax"] => 3,
        _ => return Some(()),
    };
    // Some annotations of later years have fractions; the reference cuts them.
    object.edges[edge] = text.parse::<f64>().ok().filter(|edge| edge.abs() < 1e6)? as i32;
    Some(())
}
