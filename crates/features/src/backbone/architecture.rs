//! The shapes that a backbone can have: a closed family, told apart by `family` in a description.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    clip::AttentionPooled,
    densenet::DenseNet,
    lower::{Parameters, Style},
    resnet::{Block, ResNet, Stem},
};
use crate::{
    error::{Error, Result},
    network::Network,
};

/// Depths of ImageNet's usual networks.
const RESIDUAL: [usize; 5] = [18, 34, 50, 101, 152];
const DENSE: [usize; 4] = [121, 161, 169, 201];

/// The shape of a backbone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Architecture {
    /// Residual connections.
    ResNet(ResNet),
    /// Dense connections.
    DenseNet(DenseNet),
    /// CLIP's residual network with its attention pool.
    AttentionPooled(AttentionPooled),
}

impl Architecture {
    /// What the layers are.
    pub fn style(&self) -> Style {
        match self {
            Self::ResNet(network) => network.family.style(),
            Self::DenseNet(network) => network.family.style(),
            Self::AttentionPooled(network) => network.trunk.family.style(),
        }
    }

    /// Feature channels.
    pub fn channels(&self) -> usize {
        match self {
            Self::ResNet(network) => network.channels(),
            Self::DenseNet(network) => network.channels(),
            Self::AttentionPooled(network) => network.embedding,
        }
    }

    /// Side of the pictures, pixels, of a network that takes no other.
    pub fn picture_side(&self) -> Option<usize> {
        match self {
            Self::ResNet(_) | Self::DenseNet(_) => None,
            Self::AttentionPooled(network) => Some(network.picture_side()),
        }
    }

    /// Refuses pictures of a size that the network does not take.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the size that it does take.
    pub fn check_picture(&self, [rows, columns]: [usize; 2]) -> Result<()> {
        match self.picture_side() {
            Some(side) if [rows, columns] != [side, side] => Err(Error::Usage(format!(
                "the attention pool's positional embedding is for pictures of {side} x {side} pixels, not \
                 {rows} x {columns}; use such pictures only (no grids, input_size = {side}), or take the trunk without \
                 the pool with layout = \"clip\""
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a file's name promises another network, like `resnet50` for a ResNet-18.
    pub fn contradicts(&self, name: &str) -> bool {
        depth(&self.name()).zip(depth(name)).is_some_and(|(ours, promised)| ours != promised)
    }

    /// Builds the network, asking for each tensor in forward order.
    pub fn lower(&self, parameters: &mut dyn Parameters) -> Network {
        match self {
            Self::ResNet(network) => network.lower(parameters),
            Self::DenseNet(network) => network.lower(parameters),
            Self::AttentionPooled(network) => network.lower(parameters),
        }
    }

    /// The usual name, or what is in it.
    pub fn name(&self) -> String {
        let style = match self.style() {
            Style::Conventional => "",
            Style::Bcos => "B-cos ",
        };
        let list = |counts: Vec<usize>| counts.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        style.to_string()
            + &match self {
                Self::ResNet(network) => residual_name(network).unwrap_or_else(|| {
                    let blocks = network.stages.iter().map(|stage| stage.blocks).collect();
                    format!("residual network of {} blocks", list(blocks))
                }),
                Self::DenseNet(network) => {
                    let usual = |depth: &usize| DenseNet::imagenet(network.family, *depth).as_ref() == Some(network);
                    match DENSE.iter().find(|depth| usual(depth)) {
                        Some(depth) => format!("DenseNet-{depth}"),
                        None => format!("dense network of {} layers", list(network.blocks.clone())),
                    }
                }
                Self::AttentionPooled(network) => {
                    let trunk = Self::ResNet(network.trunk.clone()).name();
                    format!("{trunk} with attention pool of {} heads", network.heads)
                }
            }
    }
}

/// `ResNet` or `DenseNet` in a name and a usual depth behind it, however they are written.
fn depth(name: &str) -> Option<(&'static str, usize)> {
    let name = name.to_lowercase();
    let (kind, rest) = ["resnet", "densenet"].into_iter().find_map(|kind| Some((kind, name.split_once(kind)?.1)))?;
    let digits: String = rest.trim_start_matches(['-', '_']).chars().take_while(char::is_ascii_digit).collect();
    let depth = digits.parse().ok()?;
    RESIDUAL.iter().chain(&DENSE).any(|usual| *usual == depth).then_some((kind, depth))
}

fn residual_name(network: &ResNet) -> Option<String> {
    RESIDUAL.into_iter().find_map(|depth| {
        let usual = ResNet::imagenet(network.family, depth)?;
        let wide = ResNet { block: Block::WideBottleneck, ..usual.clone() };
        let clip = Stem { kernel: 3, ..usual.stem };
        let clip = ResNet { block: Block::ClipBottleneck, stem: clip, ..usual.clone() };
        // Depth 34 has the block counts of depth 50.
        let deep = usual.block == Block::Bottleneck;
        if usual == *network {
            Some(format!("ResNet-{depth}"))
        } else if deep && clip == *network {
            Some(format!("CLIP ResNet-{depth}"))
        } else {
            (deep && wide == *network).then(|| format!("wide ResNet-{depth}-2"))
        }
    })
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let made = match table.get("family").and_then(toml::Value::as_str) {
            Some("resnet" | "bcos_resnet") => table.try_into().map(Self::ResNet),
            Some("densenet" | "bcos_densenet") => table.try_into().map(Self::DenseNet),
            Some("clip_attention_pool") => table.try_into().map(Self::AttentionPooled),
            found => {
                let found = found.unwrap_or("nothing");
                return Err(D::Error::custom(format!(
                    "family of the architecture is {found}; choose resnet, bcos_resnet, densenet, bcos_densenet or \
                     clip_attention_pool"
                )));
            }
        };
        made.map_err(|error| D::Error::custom(error.message()))
    }
}

impl From<ResNet> for Architecture {
    fn from(network: ResNet) -> Self {
        Self::ResNet(network)
    }
}

impl From<DenseNet> for Architecture {
    fn from(network: DenseNet) -> Self {
        Self::DenseNet(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{DenseFamily, Family};

    #[test]
    fn a_name_may_promise_another_network() {
        let residual = Architecture::from(ResNet::imagenet(Family::Resnet, 18).expect("a usual depth"));
        for name in ["resnet50", "bcos_ResNet-50_v2", "densenet121"] {
            assert!(residual.contradicts(name), "{name}");
        }
        for name in ["resnet18", "ResNet_18-imagenet1k", "imagenet_resnet18.a1", "moco", "resnet", "resnet-2", "RN50"] {
            assert!(!residual.contradicts(name), "{name}");
        }
        let dense = DenseNet::imagenet(DenseFamily::BcosDensenet, 121).map(Architecture::from).expect("a usual depth");
        assert!(dense.contradicts("densenet169") && !dense.contradicts("densenet_121_long"));
    }
}
