//! Real data sets: their images copied, as the files they are, into the image table that every stage reads.
//!
//! A part is read, checked and written before the next, so memory holds one part at any data-set size.
//! What cannot be read is listed and never stops the rest.

mod classes;
mod coco;
mod files;
mod folder;
mod list;
mod outline;
mod parquet;
mod relative;
#[cfg(test)]
mod tests;
mod voc;

use std::path::PathBuf;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::artifact::{Artifact, ArtifactSpec, Begin, Box2, Input, Rle, TableSpec};
use crate::error::{Error, Result};
use crate::images::decode;
use crate::stage::{Outcome, Stage};
use crate::table::{BAD_IMAGES, BadRows, IMAGES, ImageRows};

/// Raised whenever the same sources would give another table.
const ALGORITHM: u32 = 2;
/// Images in a part, and bytes of their files.
const PART: usize = 500;
const PART_BYTES: u64 = 32 << 20;
/// Bytes of one image file; a longer one is no photograph.
const FILE_BYTES: u64 = 256 << 20;
/// Bad images named in a message.
const NAMED: usize = 3;

/// The section `[data]` of an experiment with a data set of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// Where images come from, one a split.
    pub source: Vec<SourceConfig>,
}

/// A source and the split its images become.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceConfig {
    /// Directories of images, named after their classes, as torchvision's ImageFolder.
    Folder {
        /// The directory of class directories.
        path: PathBuf,
        /// Name of the split.
        split: String,
    },
    /// A text file with a path and a class index a line.
    List {
        /// The text file.
        path: PathBuf,
        /// Directory that the paths begin at.
        root: PathBuf,
        /// Name of the split.
        split: String,
    },
    /// Parquet files with images as bytes, as Hugging Face's hub has them.
    Parquet {
        /// A file, or a directory of files that are read in the order of their names.
        path: PathBuf,
        /// Name of the split.
        split: String,
        /// Column with the image: a struct of bytes and path, or bytes.
        #[serde(default = "image_column")]
        image: String,
        /// Column with the class index.
        #[serde(default = "label_column")]
        label: String,
    },
    /// A VOC devkit's directory, like `VOCdevkit/VOC2007`.
    Voc {
        /// The directory with Annotations, ImageSets and JPEGImages.
        path: PathBuf,
        /// File of ImageSets/Main without its ending: trainval, test.
        set: String,
        /// Name of the split.
        split: String,
        /// How box coordinates are taken.
        #[serde(default)]
        boxes: Origin,
    },
    /// COCO's instances in one JSON file.
    Coco {
        /// The file, like `instances_val2014.json`.
        annotations: PathBuf,
        /// Directory of the images.
        images: PathBuf,
        /// Name of the split.
        split: String,
        /// What becomes of crowd boxes.
        #[serde(default)]
        crowd: Crowd,
    },
}

fn image_column() -> String {
    "image".to_string()
}

fn label_column() -> String {
    "label".to_string()
}

/// How the coordinates of VOC boxes, which count pixels from 1 and include the last, become boxes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The first pixel is moved by one, so that a box covers the pixels the annotator meant.
    #[default]
    FromOne,
    /// Numbers as they stand, as the reference takes them.
    AsWritten,
}

/// What becomes of COCO's boxes around crowds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// Boxes like others, as in the reference.
    #[default]
    Keep,
    /// Kept apart, and no reason for a label.
    SetAside,
}

/// What to do at the end about images that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// An error; what was read stays for the next run.
    Refuse,
    /// Go on without them.
    Skip,
}

/// An image of a source: what is known of it, and its file or why there is none.
struct Found {
    key: String,
    label: Option<i32>,
    labels: Vec<i32>,
    boxes: Vec<Box2>,
    set_aside: Vec<Box2>,
    masks: Masks,
    bytes: std::result::Result<Vec<u8>, String>,
}

/// Masks of an image's boxes, and the width and height that its source gives the picture.
#[derive(Clone, Default)]
struct Masks {
    size: [usize; 2],
    masks: Vec<Rle>,
}

/// A source that has been indexed: its images in parts.
trait Source: Sync {
    /// Images in each part.
    fn parts(&self) -> Vec<usize>;
    /// Names of its classes, by index; `None` where it has numbers only, with the largest one.
    fn classes(&self) -> classes::Classes;
    /// All that decides about its rows, short of the pixels.
    fn identity(&self) -> blake3::Hash;
    /// The images of a part, in order.
    fn read(&self, part: usize) -> Result<Vec<Found>>;
}

/// Makes the artifact `images` of the sources in section `[data]`.
///
/// # Errors
/// A wrong configuration, a source that is not there or is damaged as a whole, or with [`Bad::Refuse`] any image that
/// cannot be read.
pub fn import(stage: &Stage, bad: Bad) -> Result<()> {
    let config: ImportConfig = stage.section("data")?;
    config.check()?;
    let sources = config.source.iter().map(SourceConfig::index).collect::<Result<Vec<_>>>()?;
    let parts: Vec<Part> = parts(&sources);
    let total: usize = parts.iter().map(|part| part.images).sum();
    let spec = spec(stage, &config, &sources, parts.len())?;
    let path = spec.path.display().to_string();
    let artifact = match Artifact::begin(&stage.run(), spec)? {
        Begin::UpToDate(_) => {
            stage.done(Outcome::UpToDate, &format!("import: {path} is up to date"), json!({}));
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let pending = artifact.pending();
    let todo: usize = pending.iter().map(|&part| parts[part].images).sum();
    let progress = stage.progress("import", todo as u64, "images");
    // One part after another, so that memory holds one; its files are read and decoded on all cores.
    for index in pending {
        let part = &parts[index];
        let found = sources[part.source].read(part.index)?;
        let (good, bad) = check(found, config.source[part.source].split(), part.first);
        progress.advance(part.images as u64);
        artifact.write_part(index, vec![(0, good.cells()), (1, bad.cells())])?;
    }
    drop(progress);
    let left_out = BadRows::from_cells(artifact.staged(1)?)?;
    let count = left_out.image_key.len();
    if count > 0 && bad == Bad::Refuse {
        let shown = left_out.image_key.iter().zip(&left_out.reason).take(NAMED);
        let shown: Vec<String> = shown.map(|(key, reason)| format!("{key}: {reason}")).collect();
        let message = format!(
            "{count} of {total} images could not be read ({}{}); correct them, or run again with --skip-bad to go on \
             without them: what was read is kept, and {path}.bad will list them",
            shown.join("; "),
            if count > NAMED { "; …" } else { "" },
        );
        return Err(Error::BadData(message));
    }
    let skipped = if count > 0 { format!("; {count} could not be read, listed in {path}.bad") } else { String::new() };
    let finished = artifact.finish()?;
    let outcome = Outcome::of(&finished);
    let summary = match finished {
        Some(_) => format!("import: {} images in {path}{skipped}", total - count),
        None => format!("import: this share of {path} is done; other shards are not"),
    };
    let facts = finished.map_or(json!({}), |_| json!({ "images": total - count, "bad_images": count }));
    stage.done(outcome, &summary, facts);
    Ok(())
}

impl ImportConfig {
    fn check(&self) -> Result<()> {
        let splits: Vec<&str> = self.source.iter().map(SourceConfig::split).collect();
        let twice = splits.iter().enumerate().find(|(i, split)| splits[..*i].contains(split));
        let wrong = if splits.is_empty() {
            "source: names no source; give at least one [[data.source]]".to_string()
        } else if let Some((_, split)) = twice {
            format!("source: two sources have the split `{split}`; give each its own, as image names begin with it")
        } else {
            return Ok(());
        };
        Err(Error::Usage(format!("section [data]: {wrong}")))
    }
}

impl SourceConfig {
    fn split(&self) -> &str {
        match self {
            Self::Folder { split, .. }
            | Self::List { split, .. }
            | Self::Parquet { split, .. }
            | Self::Voc { split, .. }
            | Self::Coco { split, .. } => split,
        }
    }

    fn index(&self) -> Result<Box<dyn Source>> {
        Ok(match self {
            Self::Folder { path, .. } => Box::new(folder::index(path)?),
            Self::List { path, root, .. } => Box::new(list::index(path, root)?),
            Self::Parquet { path, image, label, .. } => Box::new(parquet::index(path, image, label)?),
            Self::Voc { path, set, boxes, .. } => Box::new(voc::index(path, set, *boxes)?),
            Self::Coco { annotations, images, crowd, .. } => Box::new(coco::index(annotations, images, *crowd)?),
        })
    }
}

/// A part of the table: a part of a source.
struct Part {
    source: usize,
    index: usize,
    images: usize,
    /// Running number of its first image.
    first: usize,
}

fn parts(sources: &[Box<dyn Source>]) -> Vec<Part> {
    let mut first = 0;
    let mut all = Vec::new();
    for (source, from) in sources.iter().enumerate() {
        for (index, images) in from.parts().into_iter().enumerate() {
            all.push(Part { source, index, images, first });
            first += images;
        }
    }
    all
}

/// Decodes every image once, so that later stages meet good ones only.
fn check(found: Vec<Found>, split: &str, first: usize) -> (ImageRows, BadRows) {
    let checked: Vec<_> = found
        .into_par_iter()
        .map(|mut image| {
            let bytes = std::mem::replace(&mut image.bytes, Ok(vec![]));
            let read = bytes.and_then(|bytes| {
                let picture = decode(&bytes).map_err(|error| error.to_string())?;
                let (size, stated) = ([picture.width, picture.height], image.masks.size);
                if !image.masks.masks.is_empty() && size != stated {
                    let [width, height] = stated;
                    return Err(format!("is {} x {} pixels, its masks {width} x {height}", size[0], size[1]));
                }
                Ok((picture.width, picture.height, bytes))
            });
            (image, read)
        })
        .collect();
    let (mut good, mut bad) = (ImageRows::default(), BadRows::default());
    for (offset, (image, read)) in checked.into_iter().enumerate() {
        let key = format!("{split}/{}", image.key);
        match read {
            Ok((width, height, bytes)) => {
                good.image_id.push((first + offset) as i64);
                good.image_key.push(key);
                good.split.push(split.to_string());
                good.label.push(image.label);
                good.width.push(width as i32);
                good.height.push(height as i32);
                good.bytes.push(bytes);
                good.boxes.push(image.boxes);
                good.labels.push(image.labels);
                good.set_aside.push(image.set_aside);
                good.masks.push(image.masks.masks);
            }
            Err(reason) => {
                bad.image_key.push(key);
                bad.reason.push(reason);
            }
        }
    }
    (good, bad)
}

fn spec(stage: &Stage, config: &ImportConfig, sources: &[Box<dyn Source>], parts: usize) -> Result<ArtifactSpec> {
    let names = classes::join(sources.iter().map(|source| source.classes()).collect())?;
    let inputs = config.source.iter().zip(sources).map(|(named, source)| Input {
        name: named.split().to_string(),
        fingerprint: source.identity().to_hex().to_string(),
    });
    let table = |table, dir: &str, meta| TableSpec { table, dir: dir.to_string(), shapes: vec![], meta };
    if parts == 0 {
        return Err(Error::BadData("section [data]: the sources hold no image; correct their paths".into()));
    }
    Ok(ArtifactSpec {
        stage: "import",
        path: stage.out.join("images"),
        algorithm: ALGORITHM,
        // Paths of this machine stay out: the inputs say what was in them.
        config: json!({ "splits": config.source.iter().map(SourceConfig::split).collect::<Vec<_>>() }),
        inputs: inputs.collect(),
        tables: vec![
            table(&IMAGES, "images", [("classes".to_string(), names.join(","))].into()),
            table(&BAD_IMAGES, "images.bad", [].into()),
        ],
        parts,
    })
}
