//! Where a backbone may end early: its stages, by the names that checkpoints give them.

use super::{Architecture, Backbone, DenseNet, ResNet, Style};
use crate::error::{Error, Result};

/// The end of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageEnd {
    /// `layer1`, `layer2`, … or `denseblock1`, `denseblock2`, …
    pub name: String,
    /// Channels of its map.
    pub channels: usize,
    /// Layers of the network behind it.
    pub behind: usize,
}

impl Architecture {
    /// All stages, the first one first; the last one ends where the trunk does.
    pub fn stages(&self) -> Vec<StageEnd> {
        match self {
            Self::ResNet(network) => of_residual(network),
            Self::DenseNet(network) => of_dense(network),
            Self::AttentionPooled(network) => {
                let in_front_of_pool = |end: StageEnd| StageEnd { behind: end.behind + 1, ..end };
                of_residual(&network.trunk).into_iter().map(in_front_of_pool).collect()
            }
        }
    }
}

/// Layers that an activation is.
fn activation(style: Style) -> usize {
    match style {
        Style::Conventional => 1,
        Style::Bcos => 0,
    }
}

fn of_residual(network: &ResNet) -> Vec<StageEnd> {
    let block = 1 + activation(network.family.style());
    let blocks = |stages: &[super::Stage]| stages.iter().map(|stage| stage.blocks).sum::<usize>();
    let end = |(i, stage): (usize, &super::Stage)| StageEnd {
        name: format!("layer{}", i + 1),
        channels: stage.width * network.expansion(),
        behind: block * blocks(&network.stages[i + 1..]),
    };
    network.stages.iter().enumerate().map(end).collect()
}

fn of_dense(network: &DenseNet) -> Vec<StageEnd> {
    let norm = 1 + activation(network.family.style());
    // Norm, convolution and pool between two blocks; a norm behind the last one.
    let transition = norm + 2;
    let mut channels = network.stem.channels;
    let mut ends = Vec::new();
    for (i, &layers) in network.blocks.iter().enumerate() {
        channels += layers * network.growth;
        let later = &network.blocks[i + 1..];
        let behind = later.iter().map(|layers| transition + layers).sum::<usize>() + norm;
        ends.push(StageEnd { name: format!("denseblock{}", i + 1), channels, behind });
        channels /= 2;
    }
    ends
}

impl Backbone {
    /// The stage called `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] listing the stages there are.
    pub fn stage(&self, name: &str) -> Result<StageEnd> {
        let stages = self.architecture.stages();
        stages.iter().find(|stage| stage.name == name).cloned().ok_or_else(|| {
            let names = stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ");
            Error::Usage(format!("backbone {} has no stage `{name}`; choose one of {names}", self.name))
        })
    }

    /// The backbone up to the end of the stage called `name`, as a backbone of its own.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn until(mut self, name: &str) -> Result<Self> {
        let StageEnd { channels, behind, .. } = self.stage(name)?;
        self.network.layers.truncate(self.network.layers.len() - behind);
        self.channels = channels;
        self.name = format!("{}.{name}", self.name);
        self.input.name.clone_from(&self.name);
        self.input.fingerprint =
            blake3::hash(format!("{} {name}", self.input.fingerprint).as_bytes()).to_hex().to_string();
        Ok(self)
    }
}
