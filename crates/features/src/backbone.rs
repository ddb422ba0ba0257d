//! Frozen backbones: weights on disk, the architecture they fill, and the preprocessing they were trained with.
//!
//! A weight file is a safetensors file or a PyTorch checkpoint. What it does not say (input size, encoding, for unusual
//! networks the architecture) stands in `NAME.toml` beside it; without that file ImageNet's usual values are taken.

mod architecture;
mod clip;
mod densenet;
pub mod inspect;
mod layout;
mod lower;
pub mod named;
mod recognise;
mod report;
mod resnet;
mod stage;
#[cfg(test)]
mod tests;

pub use architecture::Architecture;
pub use clip::{AttentionFamily, AttentionPooled};
pub use densenet::{DenseFamily, DenseNet};
pub use layout::{Form, Found, Layout};
pub use lower::{Norm, Parameters, Style};
pub use named::{Checkpoint, NamedTensor, NamedTensors, Tensors};
pub use report::{LoadReport, Unused};
pub use resnet::{Block, Family, ResNet, Stage, Stem};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    artifact::Input,
    error::{Error, Result},
    network::Network,
    preprocess::{Encoding, Fit, Geometry, Preprocessing},
    tensor::Device,
    weights::WeightFile,
};

/// A network from images to feature maps, ready to run.
#[derive(Debug, Clone)]
pub struct Backbone {
    /// Name in every table and figure.
    pub name: String,
    /// Image `[n, 3|6, rows, columns]` to features `[n, channels, rows / stride, columns / stride]`, or to an embedding
    /// `[n, channels, 1, 1]`.
    pub network: Network,
    /// How pixels become the network's input.
    pub encoding: Encoding,
    /// Side of the training images, pixels.
    pub input_size: usize,
    /// How a picture of another size becomes one of `input_size`.
    pub fit: Fit,
    /// Feature channels.
    pub channels: usize,
    /// The shape of the network.
    pub architecture: Architecture,
    /// Content fingerprint of weights and description.
    pub input: Input,
}

/// All about a backbone that is not in its weights; what `NAME.toml` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name in every table and figure.
    pub name: String,
    /// Side of the training images, pixels.
    pub input_size: usize,
    /// How pixels become the network's input.
    pub encoding: Encoding,
    /// How a picture of another size becomes one of `input_size`.
    #[serde(default)]
    pub fit: Fit,
    /// The shape of the network.
    pub architecture: Architecture,
    /// Where the weights come from: command, seed, steps, accuracy.
    #[serde(default)]
    pub provenance: toml::Table,
}

/// `NAME.toml` as it may be written: what is absent is told from the checkpoint, or is ImageNet's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sidecar {
    name: Option<String>,
    input_size: Option<usize>,
    encoding: Option<Encoding>,
    fit: Option<Fit>,
    architecture: Option<Architecture>,
    provenance: toml::Table,
}

/// What a user may choose about a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// The backbone to take from a checkpoint that has several.
    pub layout: Option<Layout>,
    /// What to do about tensors that the architecture does not use.
    pub unused: Unused,
}

/// Mean and standard deviation of ImageNet's training pixels, red, green, blue.
// METHOD: torchvision's constants, which timm, mmpretrain, MoCo and DINO share for their ResNets.
const IMAGENET: Encoding = Encoding::Normalised { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
/// CLIP's own.
// METHOD: openai/CLIP, clip.py `_transform`: bicubic to 224, middle 224, these constants.
const CLIP: Encoding = Encoding::Normalised {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};
/// ImageNet's evaluation: short side to 256, the middle 224 pixels.
const SHORT_SIDE: usize = 256;
const CROP: usize = 224;

/// An opened weight file with all that is known of the backbone in it.
#[derive(Debug)]
pub struct Plan {
    /// The weights.
    pub file: WeightFile,
    /// Where in the file they are.
    pub found: Found,
    /// What the network is and what it is fed.
    pub description: Description,
}

impl Plan {
    /// Opens `weights` and the description beside it, if there is one.
    ///
    /// # Errors
    /// A file that is no checkpoint, or one whose network is neither described nor recognised.
    pub fn of(weights: &Path, choice: Choice) -> Result<Self> {
        let mut file = WeightFile::open(weights)?;
        layout::modernise(&mut file);
        let sidecar = sidecar(weights)?;
        let found = layout::locate(&file, choice.layout)?;
        let architecture = sidecar.architecture.map_or_else(|| recognise::recognise(&file, &found), Ok)?;
        let described = description_path(weights);
        let stem = described.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let side = architecture.picture_side().unwrap_or(CROP);
        let (encoding, usual) = match (architecture.style(), found.layout) {
            (Style::Conventional, Layout::Clip | Layout::ClipAttentionPool) => (CLIP, Fit::ShortSideBicubic(side)),
            (Style::Conventional, _) => (IMAGENET, Fit::ShortSide(SHORT_SIDE)),
            (Style::Bcos, _) => (Encoding::SixChannel, Fit::ShortSide(SHORT_SIDE)),
        };
        // A description that gives a size of its own means pictures of that size, unless it says more.
        let fit = if sidecar.input_size.is_some() { Fit::Exact } else { usual };
        let description = Description {
            name: sidecar.name.unwrap_or(stem),
            input_size: sidecar.input_size.unwrap_or(side),
            encoding: sidecar.encoding.unwrap_or(encoding),
            fit: sidecar.fit.unwrap_or(fit),
            architecture,
            provenance: sidecar.provenance,
        };
        description.check(weights)?;
        Ok(Self { file, found, description })
    }

    /// Fills the network and says what became of each tensor; a network that does not fit is of no use.
    pub fn fill(&self, device: &Device) -> Result<(Network, LoadReport)> {
        let tensors = named::Within { file: &self.file, prefix: &self.found.prefix };
        let mut checkpoint = Checkpoint::new(&tensors, device);
        let network = self.description.architecture.lower(&mut checkpoint);
        let mut report = checkpoint.finish()?;
        let names = self.file.tensors.keys().filter_map(|name| name.strip_prefix(self.found.prefix.as_str()));
        report.leftover(self.found.style, names);
        Ok((network, report))
    }
}

/// Where the description of `weights` would be: `NAME.toml` for `NAME.safetensors` and for `NAME.pth.tar`.
fn description_path(weights: &Path) -> PathBuf {
    let mut name = weights.with_extension("");
    if name.extension().is_some_and(|ending| ending == "pth" || ending == "pt") {
        name.set_extension("");
    }
    // Names have dots of their own, as timm's `resnet50.a1_in1k`, so the ending is added and replaces none.
    name.as_mut_os_string().push(".toml");
    name
}

fn sidecar(weights: &Path) -> Result<Sidecar> {
    let path = description_path(weights);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sidecar::default()),
        Err(error) => return Err(Error::io(&path, error)),
    };
    toml::from_str(&text).map_err(|e| {
        Error::BadData(format!(
            "{}: {}; it may hold name, input_size, encoding, fit, architecture and provenance",
            path.display(),
            e.message()
        ))
    })
}

impl Description {
    fn check(&self, weights: &Path) -> Result<()> {
        self.architecture
            .check_picture([self.input_size; 2])
            .map_err(|error| Error::BadData(format!("{}: {error}", description_path(weights).display())))?;
        let wrong = match (self.fit, &self.encoding, self.architecture.style().input_channels()) {
            (Fit::ShortSide(side) | Fit::ShortSideBicubic(side), ..) if side < self.input_size => {
                "the short side in fit is smaller than input_size"
            }
            (_, Encoding::Normalised { .. }, 3) | (_, Encoding::SixChannel, 6) => return Ok(()),
            _ => "the encoding has another number of channels than the network's input",
        };
        Err(Error::BadData(format!("{}: {wrong}; correct the file", description_path(weights).display())))
    }
}

impl Backbone {
    /// All that happens to a picture in front of the network.
    pub fn preprocessing(&self) -> Preprocessing {
        Preprocessing { geometry: Geometry { fit: self.fit, size: self.input_size }, encoding: self.encoding.clone() }
    }

    /// Reads a weight file, and `NAME.toml` beside it where there is one.
    ///
    /// # Errors
    /// Names every missing, unused and misshapen tensor at once, so that a wrong checkpoint is understood in one run.
    pub fn load(weights: &Path, choice: Choice, device: &Device) -> Result<Self> {
        let plan = Plan::of(weights, choice)?;
        let (network, mut report) = plan.fill(device)?;
        if choice.unused == Unused::Accept && !report.unused.is_empty() {
            let (count, names) = (report.unused.len(), report.unused.join(", "));
            tracing::warn!("{}: {count} tensors are not used: {names}", weights.display());
            report.unused.clear();
        }
        report.check(&weights.display().to_string())?;
        let Plan { file, found, description } = plan;
        let mut hasher = file.hash()?;
        let text = toml::to_string(&description).map_err(|e| Error::Bug(e.to_string()))?;
        hasher.update(text.as_bytes()).update(found.prefix.as_bytes());
        Ok(Self {
            channels: description.architecture.channels(),
            input: Input { name: description.name.clone(), fingerprint: hasher.finalize().to_hex().to_string() },
            name: description.name,
            network,
            encoding: description.encoding,
            input_size: description.input_size,
            fit: description.fit,
            architecture: description.architecture,
        })
    }
}
