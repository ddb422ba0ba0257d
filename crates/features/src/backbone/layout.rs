//! Where in a checkpoint the backbone is, and which architecture it has: told from names and shapes.

use serde::{Deserialize, Serialize};

use super::resnet::{Block, Family, ResNet, Stage, Stem};
use crate::error::{Error, Result};
use crate::weights::WeightFile;

/// Who wrote a checkpoint, as far as the names of its tensors go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Layout {
    /// MoCo v3: the encoder that was trained by gradient.
    MocoV3,
    /// MoCo v1 and v2: the query encoder.
    MocoV2,
    /// DINO: the teacher, which its authors evaluate.
    DinoTeacher,
    /// DINO: the student.
    DinoStudent,
    /// mmpretrain and mmengine, supervised, MoCo or BYOL: the online backbone.
    Mmpretrain,
    /// OpenAI's CLIP: the image network, without its attention pool.
    Clip,
    /// torchvision, timm, the `bcos` package, DINO's published backbones.
    Plain,
}

/// Layouts in the order in which they are looked for, each with the beginnings its names may have.
const LAYOUTS: [(Layout, &[&str]); 7] = [
    (Layout::MocoV3, &["module.base_encoder.", "base_encoder."]),
    (Layout::MocoV2, &["module.encoder_q.", "encoder_q."]),
    (Layout::DinoTeacher, &["teacher.module.backbone.", "teacher.backbone."]),
    (Layout::DinoStudent, &["student.module.backbone.", "student.backbone."]),
    (Layout::Mmpretrain, &["backbone.", "module.backbone."]),
    (Layout::Clip, &["visual.", "module.visual."]),
    (Layout::Plain, &["", "module."]),
];

/// Keys under which training scripts keep the weights beside optimiser and arguments.
const WRAPPERS: [&str; 4] = ["", "state_dict.", "model.", "model_state_dict."];

impl Layout {
    /// Name in configuration files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::MocoV3 => "moco_v3",
            Self::MocoV2 => "moco_v2",
            Self::DinoTeacher => "dino_teacher",
            Self::DinoStudent => "dino_student",
            Self::Mmpretrain => "mmpretrain",
            Self::Clip => "clip",
            Self::Plain => "plain",
        }
    }
}

/// A backbone inside a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The layout.
    pub layout: Layout,
    /// What the names of its tensors begin with.
    pub prefix: String,
    /// Conventional or B-cos.
    pub family: Family,
}

/// All backbones in the file, the one to take by default first.
pub fn backbones(file: &WeightFile) -> Vec<Found> {
    let mut found = Vec::new();
    for (layout, beginnings) in LAYOUTS {
        for prefix in beginnings.iter().flat_map(|start| WRAPPERS.map(|wrapper| format!("{wrapper}{start}"))) {
            let has = |name: &str| file.tensors.contains_key(&format!("{prefix}{name}"));
            let family = match (has("conv1.weight"), has("conv1.linear.weight")) {
                (true, false) => Family::Resnet,
                (false, true) => Family::BcosResnet,
                _ => continue,
            };
            found.push(Found { layout, prefix, family });
        }
    }
    found
}

/// The backbone that `wanted` names, or else the first.
///
/// # Errors
/// [`Error::BadData`] naming what the file has instead.
pub fn locate(file: &WeightFile, wanted: Option<Layout>) -> Result<Found> {
    let found = backbones(file);
    if let Some(found) = found.iter().find(|found| wanted.is_none_or(|wanted| wanted == found.layout)) {
        return Ok(found.clone());
    }
    let path = file.path.display();
    let message = if let Some(wanted) = wanted.filter(|_| !found.is_empty()) {
        let known: Vec<_> = found.iter().map(|found| found.layout.name()).collect();
        format!("{path}: holds no backbone of layout {}, only {}; name one of these", wanted.name(), known.join(", "))
    } else {
        let names: Vec<_> = file.tensors.keys().take(4).map(String::as_str).collect();
        format!(
            "{path}: no ResNet found in its {} tensors ({}, …); their names must end in conv1.weight, \
             layer1.0.conv1.weight and so on, as in torchvision",
            file.tensors.len(),
            names.join(", ")
        )
    };
    Err(Error::BadData(message))
}

/// The residual network whose tensors have these names and shapes.
///
/// # Errors
/// [`Error::BadData`] where names or shapes are not those of a torchvision-style network for ImageNet. Strides are in
/// no checkpoint; torchvision's are assumed.
pub fn recognise(file: &WeightFile, found: &Found) -> Result<ResNet> {
    let bad = |problem: String| {
        Error::BadData(format!(
            "{}: {problem}; describe the network in {} (see data/backbones for the form)",
            file.path.display(),
            super::description_path(&file.path).display()
        ))
    };
    let suffix = match found.family {
        Family::Resnet => "weight",
        Family::BcosResnet => "linear.weight",
    };
    let shape = |name: &str| match file.tensors.get(&format!("{}{name}.{suffix}", found.prefix))?.shape[..] {
        [out, inner, rows, _] => Some([out, inner, rows]),
        _ => None,
    };
    let (stem, is_clip) = match (shape("conv1"), shape("conv3")) {
        (Some([channels, _, 7]), None) => (Stem { channels, kernel: 7, stride: 2, pool: true }, false),
        (Some([_, 3, 3]), Some([channels, _, 3])) => (Stem { channels, kernel: 3, stride: 2, pool: true }, true),
        _ => return Err(bad("it begins neither with a 7 x 7 convolution nor with CLIP's three".into())),
    };
    let mut stages = Vec::new();
    let mut block = None;
    while let Some([inner, ..]) = shape(&format!("layer{}.0.conv1", stages.len() + 1)) {
        let layer = format!("layer{}", stages.len() + 1);
        let blocks = (0..).take_while(|j| shape(&format!("{layer}.{j}.conv1")).is_some()).count();
        let (kind, width) = match shape(&format!("{layer}.0.conv3")) {
            None => (Block::Basic, inner),
            Some([output, ..]) if output == 4 * inner && is_clip => (Block::ClipBottleneck, inner),
            Some([output, ..]) if output == 4 * inner => (Block::Bottleneck, inner),
            Some([output, ..]) if output == 2 * inner => (Block::WideBottleneck, inner / 2),
            Some([output, ..]) => {
                return Err(bad(format!("{layer} has {inner} channels inside and {output} outside")));
            }
        };
        if block.is_some_and(|block| block != kind) {
            return Err(bad(format!("{layer} has another kind of block than layer1")));
        }
        block = Some(kind);
        stages.push(Stage { width, blocks, stride: if stages.is_empty() { 1 } else { 2 } });
    }
    let block = block.ok_or_else(|| bad("it has no layer1.0.conv1".into()))?;
    if is_clip && block != Block::ClipBottleneck {
        return Err(bad("it begins like CLIP's network, but has other blocks".into()));
    }
    Ok(ResNet { family: found.family, block, stem, stages })
}

/// The usual name of an architecture, or its block counts.
pub fn name(architecture: &ResNet) -> String {
    let known = [18, 34, 50, 101, 152].into_iter().find_map(|depth| {
        let usual = ResNet::imagenet(architecture.family, depth)?;
        let wide = ResNet { block: Block::WideBottleneck, ..usual.clone() };
        let clip = Stem { kernel: 3, ..usual.stem };
        let clip = ResNet { block: Block::ClipBottleneck, stem: clip, ..usual.clone() };
        if usual == *architecture {
            Some(format!("ResNet-{depth}"))
        } else if clip == *architecture {
            Some(format!("CLIP ResNet-{depth}"))
        } else {
            (wide == *architecture && usual.block == Block::Bottleneck).then(|| format!("wide ResNet-{depth}-2"))
        }
    });
    let family = match architecture.family {
        Family::Resnet => "",
        Family::BcosResnet => "B-cos ",
    };
    let blocks = || architecture.stages.iter().map(|stage| stage.blocks.to_string()).collect::<Vec<_>>().join(", ");
    family.to_string() + &known.unwrap_or_else(|| format!("residual network of {} blocks", blocks()))
}
