//! Which architecture a backbone in a checkpoint has, told from names and shapes of its tensors.

use super::{
    architecture::Architecture,
    clip::{AttentionFamily, AttentionPooled},
    densenet::{DenseFamily, DenseNet},
    layout::{Form, Found, Layout},
    lower::Style,
    resnet::{Block, Family, ResNet, Stage, Stem},
};
use crate::error::{self, Error};
use crate::weights::WeightFile;

/// Output channels, input channels and rows of the convolution with a name, if there is one.
type Shapes<'a> = &'a dyn Fn(&str) -> Option<[usize; 3]>;
/// How many numbers from the second argument on follow the first in names of tensors, to the largest one: what is missing in
/// between is reported as missing, and not as another network.
type Counts<'a> = &'a dyn Fn(&str, usize) -> usize;

/// Channels of one head of CLIP's attention.
// METHOD: openai/CLIP, model.py: `vision_heads = vision_width * 32 // 64`, of `vision_width * 32` channels.
const HEAD_WIDTH: usize = 64;

/// The network whose tensors have these names and shapes.
///
/// # Errors
/// [`Error::BadData`] where names or shapes are not those of a torchvision-style network for ImageNet. Strides are in
/// no checkpoint; torchvision's are assumed.
pub fn recognise(file: &WeightFile, found: &Found) -> error::Result<Architecture> {
    let suffix = match found.style {
        Style::Conventional => "weight",
        Style::Bcos => "linear.weight",
    };
    let extents = |name: &str| file.tensors.get(&format!("{}{name}", found.prefix)).map(|stored| &stored.shape[..]);
    let shape = |name: &str| match *extents(&format!("{name}.{suffix}"))? {
        [out, inner, rows, _] => Some([out, inner, rows]),
        _ => None,
    };
    let count = |before: &str, first: usize| {
        let before = format!("{}{before}", found.prefix);
        let number = |name: &String| {
            let rest = name.strip_prefix(&before)?;
            rest[..rest.find('.')?].parse::<usize>().ok()
        };
        file.tensors.keys().filter_map(number).max().map_or(0, |last| last + 1 - first)
    };
    let made = match (found.form, found.layout) {
        (Form::Dense, _) => dense(&shape, &count, found.style).map(Architecture::DenseNet),
        (Form::Residual, Layout::ClipAttentionPool) => residual(&shape, &count, found.style)
            .and_then(|trunk| attention(&extents, trunk).map(Architecture::AttentionPooled)),
        (Form::Residual, _) => residual(&shape, &count, found.style).map(Architecture::ResNet),
    };
    // What is cut off at the end is missed by nobody but the classifier.
    let reads = ["fc", "classifier"].iter().find_map(|name| Some(*extents(&format!("{name}.{suffix}"))?.get(1)?));
    let made = made.and_then(|network| match reads {
        Some(reads) if reads != network.channels() && found.layout != Layout::ClipAttentionPool => Err(format!(
            "its classifier reads {reads} channels and its last stage makes {}, so tensors are missing from it",
            network.channels()
        )),
        _ => Ok(network),
    });
    made.map_err(|problem| {
        Error::BadData(format!(
            "{}: {problem}; describe the network in {} (see data/backbones for the form)",
            file.path.display(),
            super::description_path(&file.path).display()
        ))
    })
}

fn residual(shape: Shapes<'_>, count: Counts<'_>, style: Style) -> Result<ResNet, String> {
    let (stem, is_clip) = match (shape("conv1"), shape("conv3")) {
        (Some([channels, _, 7]), None) => (Stem { channels, kernel: 7, stride: 2, pool: true }, false),
        (Some([_, 3, 3]), Some([channels, _, 3])) => (Stem { channels, kernel: 3, stride: 2, pool: true }, true),
        _ => return Err("it begins neither with a 7 x 7 convolution nor with CLIP's three".into()),
    };
    let mut stages = Vec::new();
    let mut block = None;
    for number in 1..=count("layer", 1) {
        let layer = format!("layer{number}");
        let blocks = count(&format!("{layer}."), 0);
        let [inner, ..] = shape(&format!("{layer}.0.conv1")).ok_or(format!("{layer}.0.conv1 is missing"))?;
        let (kind, width) = match shape(&format!("{layer}.0.conv3")) {
            None => (Block::Basic, inner),
            Some([output, ..]) if output == 4 * inner && is_clip => (Block::ClipBottleneck, inner),
            Some([output, ..]) if output == 4 * inner => (Block::Bottleneck, inner),
            Some([output, ..]) if output == 2 * inner => (Block::WideBottleneck, inner / 2),
            Some([output, ..]) => {
                return Err(format!("{layer} has {inner} channels inside and {output} outside"));
            }
        };
        if block.is_some_and(|block| block != kind) {
            return Err(format!("{layer} has another kind of block than layer1"));
        }
        block = Some(kind);
        stages.push(Stage { width, blocks, stride: if stages.is_empty() { 1 } else { 2 } });
    }
    let block = block.ok_or("it has no layer1.0.conv1")?;
    if is_clip && block != Block::ClipBottleneck {
        return Err("it begins like CLIP's network, but has other blocks".into());
    }
    let family = match style {
        Style::Conventional => Family::Resnet,
        Style::Bcos => Family::BcosResnet,
    };
    Ok(ResNet { family, block, stem, stages })
}

fn dense(shape: Shapes<'_>, count: Counts<'_>, style: Style) -> Result<DenseNet, String> {
    let Some([channels, _, kernel @ 7]) = shape("features.conv0") else {
        return Err("it does not begin with a 7 x 7 convolution".into());
    };
    let layer = |i: usize, j: usize| {
        let prefix = format!("features.denseblock{i}.denselayer{j}");
        Some((shape(&format!("{prefix}.conv1"))?, shape(&format!("{prefix}.conv2"))?))
    };
    let blocks: Vec<usize> = (1..=count("features.denseblock", 1))
        .map(|i| count(&format!("features.denseblock{i}.denselayer"), 1))
        .collect();
    let Some(([inner, ..], [growth, ..])) = layer(1, 1) else {
        return Err("it has no features.denseblock1.denselayer1".into());
    };
    if growth == 0 || !inner.is_multiple_of(growth) {
        return Err(format!("its layers have {inner} channels inside and add {growth}"));
    }
    let family = match style {
        Style::Conventional => DenseFamily::Densenet,
        Style::Bcos => DenseFamily::BcosDensenet,
    };
    let stem = Stem { channels, kernel, stride: 2, pool: true };
    Ok(DenseNet { family, growth, bottleneck: inner / growth, blocks, stem })
}

fn attention<'a>(extents: &dyn Fn(&str) -> Option<&'a [usize]>, trunk: ResNet) -> Result<AttentionPooled, String> {
    let (Some(&[tokens, _]), Some(&[embedding, _])) =
        (extents("attnpool.positional_embedding"), extents("attnpool.c_proj.weight"))
    else {
        return Err("its attention pool has no matrices positional_embedding and c_proj.weight".into());
    };
    let side = tokens.saturating_sub(1).isqrt();
    if side * side + 1 != tokens {
        return Err(format!("its attention pool has {tokens} tokens, which is not one more than a square"));
    }
    let channels = trunk.channels();
    if !channels.is_multiple_of(HEAD_WIDTH) {
        return Err(format!("its attention pool reads {channels} channels, which are not heads of {HEAD_WIDTH}"));
    }
    let family = AttentionFamily::ClipAttentionPool;
    Ok(AttentionPooled { family, side, heads: channels / HEAD_WIDTH, embedding, trunk })
}
