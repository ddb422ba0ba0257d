//! Writes a ResNet-50 job that needs no download: weights from the formula of the parity tests, photographs' worth of JPEG
//! files, and the experiment file for all five stages.
//!
//! usage: resnet50_job DIR IMAGES
//! DIR/job.toml reads and writes below DIR; half of IMAGES train the probes, a quarter each validates and tests them.
#![recursion_limit = "256"]

#[path = "../parity/filled.rs"]
mod filled;

use std::{collections::BTreeMap, path::Path};

use features::{
    backbone::{Family, ResNet, named},
    images::Rgb,
    shapes,
};
use filled::Filled;
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use rayon::prelude::*;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The usual size of a photograph in ImageNet.
const WIDTH: usize = 500;
const HEIGHT: usize = 375;

/// A tile of Shapes in the size of a photograph, moved to the side.
fn enlarged(tile: &Rgb, moved: usize) -> Vec<u8> {
    let pixel = |row: usize, column: usize| {
        let column = (column + moved) % WIDTH;
        let at = 3 * (row * tile.height / HEIGHT * tile.width + column * tile.width / WIDTH);
        tile.data[at..at + 3].to_vec()
    };
    (0..HEIGHT).flat_map(|row| (0..WIDTH).flat_map(move |column| pixel(row, column))).collect()
}

/// Classes take turns. All pictures of a class are one tile, moved, since features of such weights tell little more apart.
fn photograph(root: &Path, split: &str, index: usize) -> Outcome {
    let class = index % shapes::CLASSES.len();
    let tile = (0..).map(|index| shapes::tile(1, "train", index)).find(|tile| tile.label as usize == class);
    let tile = tile.ok_or("tiles have all classes")?;
    let folder = root.join(split).join(shapes::CLASSES[class]);
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
    encoder.encode(
        &enlarged(&tile.rgb, index / shapes::CLASSES.len() * 7),
        WIDTH as u32,
        HEIGHT as u32,
        ExtendedColorType::Rgb8,
    )?;
    Ok(std::fs::write(folder.join(format!("{index:05}.jpg")), file)?)
}

/// Below so many pictures it is the job that a CPU is to end in time, with one grid.
const LARGE: usize = 1000;

fn experiment(dir: &str, images: usize) -> String {
    let grids = if images < LARGE { 1 } else { 2 };
    let source = |split: &str| {
        format!("[[data.source]]\nkind = \"folder\"\npath = \"{dir}/photos/{split}\"\nsplit = \"{split}\"\n")
    };
    let train = |loss: &str| {
        format!(
            "[[probe.train]]\nhead = \"linear\"\nloss = \"{loss}\"\noptimiser = \"lbfgs\"\nweight_decay = 1e-4\nepochs = 300\nseeds = [0]\n"
        )
    };
    [
        source("train"),
        source("validation"),
        source("test"),
        format!("[features]\nimages = \"{dir}/out/images\"\nbackbone = \"{dir}/resnet50.safetensors\"\n"),
        "[probe]\nshift = []\n".to_string(),
        train("ce"),
        train("bce"),
        format!(
            "[attribute]\ngrids3 = {grids}\ntargets_per_grid = 9\nscenes = 0\ntiles = 2\nconfidence = 0.0\n\
             confident_for = [\"linear-ce-*\"]\n[attribute.integrated_gradients]\ngrids = 1\nsteps = 4\nprobes = []\n"
        ),
        format!(
            "[evaluate]\nimages = \"{dir}/out/images\"\n[evaluate.perturbation]\nmetrics = [\"pixel_deletion\"]\nunit = \"patches32\"\n"
        ),
        format!("[report]\nexperiments = [\"{dir}/out\"]\nimages = \"{dir}/out/images\"\n"),
    ]
    .join("\n")
}

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(Ok(images))) = (arguments.next(), arguments.next().map(|count| count.parse::<usize>())) else {
        return Err("usage: resnet50_job DIR IMAGES".into());
    };
    std::fs::create_dir_all(&dir)?;
    let mut weights = Filled::default();
    ResNet::imagenet(Family::Resnet, 50).ok_or("a depth of torchvision")?.lower(&mut weights);
    std::fs::write(Path::new(&dir).join("resnet50.safetensors"), named::write(&weights.0, BTreeMap::new())?)?;
    let photos = Path::new(&dir).join("photos");
    for (split, count) in [("train", images - images / 4 * 2), ("validation", images / 4), ("test", images / 4)] {
        // Every split has all classes, if only as an empty directory.
        shapes::CLASSES.iter().try_for_each(|class| std::fs::create_dir_all(photos.join(split).join(class)))?;
        (0..count).into_par_iter().try_for_each(|index| photograph(&photos, split, index))?;
    }
    Ok(std::fs::write(Path::new(&dir).join("job.toml"), experiment(&dir, images))?)
}
