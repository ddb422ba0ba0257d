//! Frozen backbones: weights on disk, the architecture they fill, and the input encoding they were trained with.
//!
//! A backbone file is `NAME.safetensors` with torchvision's key names plus `NAME.toml`, which holds the
//! architecture, the input encoding and where the weights come from. Both are needed: weights alone do not say
//! what the network should be fed.

pub mod named;
mod resnet;

pub use named::{Checkpoint, NamedTensor, NamedTensors};
pub use resnet::{Block, Family, Norm, Parameters, ResNet, Stage, Stem};

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::Input,
    error::{Error, Result},
    network::Network,
    preprocess::Encoding,
    tensor::Device,
};

/// A network from images to feature maps, ready to run.
#[derive(Debug, Clone)]
pub struct Backbone {
    /// Name in every table and figure.
    pub name: String,
    /// Image `[n, 3|6, rows, columns]` to features `[n, channels, rows / stride, columns / stride]`.
    pub network: Network,
    /// How pixels become the network's input.
    pub encoding: Encoding,
    /// Side of the training images, pixels.
    pub input_size: usize,
    /// Feature channels.
    pub channels: usize,
    /// The shape of the network.
    pub architecture: ResNet,
    /// Content fingerprint of weights and description.
    pub input: Input,
}

/// What `NAME.toml` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name in every table and figure.
    pub name: String,
    /// Side of the training images, pixels.
    pub input_size: usize,
    /// How pixels become the network's input.
    pub encoding: Encoding,
    /// The shape of the network.
    pub architecture: ResNet,
    /// Where the weights come from: command, seed, steps, accuracy.
    #[serde(default)]
    pub provenance: toml::Table,
}

impl Backbone {
    /// Reads `NAME.safetensors` and `NAME.toml`.
    ///
    /// # Errors
    /// Names every missing and misshapen tensor at once, so that a wrong checkpoint is understood in one run.
    pub fn load(weights: &Path, device: &Device) -> Result<Self> {
        let sidecar = weights.with_extension("toml");
        let text = std::fs::read_to_string(&sidecar).map_err(|e| Error::io(&sidecar, e))?;
        let description: Description = toml::from_str(&text).map_err(|e| {
            Error::BadData(format!(
                "{}: {}; it must hold name, input_size, encoding and architecture",
                sidecar.display(),
                e.message()
            ))
        })?;
        let bytes = std::fs::read(weights).map_err(|e| Error::io(weights, e))?;
        let tensors = named::read(weights, &bytes)?;
        let mut checkpoint = Checkpoint::new(&tensors, device);
        let network = description.architecture.lower(&mut checkpoint);
        checkpoint.check(&weights.display().to_string())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes).update(text.as_bytes());
        Ok(Self {
            channels: description.architecture.channels(),
            input: Input { name: description.name.clone(), fingerprint: hasher.finalize().to_hex().to_string() },
            name: description.name,
            network,
            encoding: description.encoding,
            input_size: description.input_size,
            architecture: description.architecture,
        })
    }
}
