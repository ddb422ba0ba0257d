//! Where in a checkpoint the backbone is, told from the names of its tensors.

use serde::{Deserialize, Serialize};

use super::lower::Style;
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
    /// OpenAI's CLIP: the same with its attention pool, whose output is the embedding of the picture.
    ClipAttentionPool,
    /// torchvision, timm, the `bcos` package, DINO's published backbones.
    Plain,
}

/// Layouts in the order in which they are looked for, each with the beginnings its names may have.
const LAYOUTS: [(Layout, &[&str]); 8] = [
    (Layout::MocoV3, &["module.base_encoder.", "base_encoder."]),
    (Layout::MocoV2, &["module.encoder_q.", "encoder_q."]),
    (Layout::DinoTeacher, &["teacher.module.backbone.", "teacher.backbone."]),
    (Layout::DinoStudent, &["student.module.backbone.", "student.backbone."]),
    (Layout::Mmpretrain, &["backbone.", "module.backbone."]),
    (Layout::Clip, &["visual.", "module.visual."]),
    (Layout::ClipAttentionPool, &["visual.", "module.visual."]),
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
            Self::ClipAttentionPool => "clip_attention_pool",
            Self::Plain => "plain",
        }
    }
}

/// What kind of names the tensors of a backbone have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `conv1`, `layer1.0.conv1`, …
    Residual,
    /// `features.conv0`, `features.denseblock1.denselayer1.conv1`, …
    Dense,
}

impl Form {
    /// Name of the first convolution.
    pub fn first(self) -> &'static str {
        match self {
            Self::Residual => "conv1",
            Self::Dense => "features.conv0",
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
    /// How its connections are named.
    pub form: Form,
    /// Conventional or B-cos.
    pub style: Style,
}

/// All backbones in the file, the one to take by default first.
pub fn backbones(file: &WeightFile) -> Vec<Found> {
    let mut found = Vec::new();
    for (layout, beginnings) in LAYOUTS {
        for prefix in beginnings.iter().flat_map(|start| WRAPPERS.map(|wrapper| format!("{wrapper}{start}"))) {
            let has = |name: &str| file.tensors.contains_key(&format!("{prefix}{name}"));
            if layout == Layout::ClipAttentionPool && !has("attnpool.positional_embedding") {
                continue;
            }
            for form in [Form::Residual, Form::Dense] {
                let first = form.first();
                let style = match (has(&format!("{first}.weight")), has(&format!("{first}.linear.weight"))) {
                    (true, false) => Style::Conventional,
                    (false, true) => Style::Bcos,
                    _ => continue,
                };
                found.push(Found { layout, prefix: prefix.clone(), form, style });
            }
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
            "{path}: no ResNet or DenseNet found in its {} tensors ({}, …); their names must end in conv1.weight, \
             layer1.0.conv1.weight and so on, or in features.conv0.weight and so on, as in torchvision",
            file.tensors.len(),
            names.join(", ")
        )
    };
    Err(Error::BadData(message))
}

/// Gives tensors the names of today: torchvision's first DenseNets have `denselayer1.norm.1` for `denselayer1.norm1`.
// METHOD: the renaming in torchvision's models/densenet.py `_load_state_dict`.
pub fn modernise(file: &mut WeightFile) {
    let tensors = std::mem::take(&mut file.tensors);
    file.tensors = tensors.into_iter().map(|(name, stored)| (modern(&name).unwrap_or(name), stored)).collect();
}

fn modern(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let (start, number) = layer.rsplit_once('.')?;
    let numbered = matches!(number, "1" | "2") && (start.ends_with(".norm") || start.ends_with(".conv"));
    (numbered && start.contains("denselayer")).then(|| format!("{start}{number}.{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_the_first_dense_networks_change() {
        for (old, new) in [
            ("features.denseblock1.denselayer2.norm.1.weight", "features.denseblock1.denselayer2.norm1.weight"),
            (
                "module.features.denseblock4.denselayer16.conv.2.weight",
                "module.features.denseblock4.denselayer16.conv2.weight",
            ),
        ] {
            assert_eq!(modern(old).as_deref(), Some(new));
            assert_eq!(modern(new), None);
        }
        for name in ["layer1.0.conv.1.weight", "features.denselayer1.norm.3.weight", "fc.weight", "1"] {
            assert_eq!(modern(name), None);
        }
    }
}
