//! Supervised training of the small backbones that ship with the project: the paper's step 1.
//!
//! A training network is the ordinary `Network` whose `Layer::Scale` layers hold the norms' γ and β; the
//! forward pass here puts batch statistics in front of them. Evaluation goes through the same file format and
//! the same lowering as everyone else's, so what was measured is what is shipped.

mod adamw;
mod batch;
mod checkpoint;
mod forward;
mod leaves;

use std::path::{Path, PathBuf};

use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

use crate::{
    backbone::{Backbone, Choice, Description, Family, NamedTensors, ResNet, named},
    error::{Error, Result},
    network::global_average,
    preprocess::{Encoding, Fit},
    shapes,
    stage::Stage,
    tensor::{Device, Tensor, from_vec, to_vec},
};
use adamw::AdamW;
use batch::{TilePool, View};
use forward::train_forward;
use leaves::Leaves;

/// The `[pretrain]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the backbone in every table.
    pub name: String,
    /// Conventional or B-cos.
    pub family: Family,
    /// Where to write `NAME.safetensors` and `NAME.toml`.
    pub directory: PathBuf,
    /// Training tiles: the first this many of the `train` split.
    pub train: usize,
    /// Tiles of the `validation` split that measure accuracy at the end.
    pub validation: usize,
    /// Images a step.
    pub batch: usize,
    /// Decoupled weight decay on convolution weights.
    pub weight_decay: f64,
    /// Side of object-centred crops, pixels.
    pub crop: usize,
    /// Run one after another; each has its own warm-up and cosine.
    pub phases: Vec<Phase>,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
}

/// A warm-up and a cosine.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Optimiser steps.
    pub steps: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Linear warm-up, steps.
    pub warm_up: usize,
    /// Share of the steps, at the start, on object-centred crops instead of whole tiles.
    pub crops: f64,
}

/// Trains, or goes on from the last checkpoint, and writes the backbone.
///
/// # Errors
/// [`Error::BadData`] when the loss becomes NaN; checkpoints are left in place.
pub fn pretrain(stage: &Stage, config: &Config) -> Result<PathBuf> {
    let device = stage.device()?;
    let architecture = ResNet::shapes(config.family);
    let classes = shapes::CLASSES.len();
    let encoding = match config.family {
        Family::Resnet => Encoding::Normalised { mean: [0.5; 3], std: [0.25; 3] },
        Family::BcosResnet => Encoding::SixChannel,
    };
    let pool = TilePool::render(stage, "train", config.train);
    let mut leaves = Leaves::initialise(&architecture, classes, stage.seed, &device);
    let mut optimiser = AdamW::new(&leaves, config.weight_decay);
    let state = stage.out.join(format!("{}.checkpoint", config.name));
    let total: usize = config.phases.iter().map(|phase| phase.steps).sum();
    let mut step = checkpoint::restore(&state, config, stage.seed, &mut leaves, &mut optimiser)?;
    let progress = stage.progress("pretrain", total as u64, "steps");
    progress.advance(step as u64);
    let mut recent = 0.0;
    while step < total {
        let (learning_rate, view) = schedule(config, step);
        let (images, labels) = pool.batch(stage.seed, step, config.batch, view, &encoding, &device);
        let loss =
            train_step(&architecture, classes, &mut leaves, &mut optimiser, images, &labels, learning_rate, &device);
        if !loss.is_finite() {
            return Err(Error::BadData(format!(
                "pretrain {}: the loss became {loss} at step {step}; lower the learning rate, or delete {} to start \
                 again",
                config.name,
                state.display()
            )));
        }
        recent = if step == 0 { loss } else { 0.95 * recent + 0.05 * loss };
        step += 1;
        progress.advance(1);
        if step % config.checkpoint_every == 0 {
            tracing::info!(step, loss = recent, "pretrain {}", config.name);
            checkpoint::save(&state, config, stage.seed, step, &leaves, &optimiser)?;
        }
    }
    drop(progress);
    let tensors = leaves.export();
    let accuracy = validate(stage, config, &architecture, &encoding, &tensors, &device)?;
    tracing::info!(accuracy, "pretrain {}: validation accuracy", config.name);
    write(stage, config, architecture, encoding, tensors, total, accuracy)
}

/// Learning rate and kind of view of a step.
fn schedule(config: &Config, step: usize) -> (f64, View) {
    let mut start = 0;
    for phase in &config.phases {
        let local = step - start;
        if local < phase.steps {
            let rate = if local < phase.warm_up {
                phase.learning_rate * (local + 1) as f64 / phase.warm_up as f64
            } else {
                let done = (local - phase.warm_up) as f64 / (phase.steps - phase.warm_up) as f64;
                phase.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            };
            let crop = (local as f64) < phase.crops * phase.steps as f64;
            return (rate, if crop { View::Crop(config.crop) } else { View::Tile });
        }
        start += phase.steps;
    }
    unreachable!("the caller stops at the last step")
}

#[expect(clippy::too_many_arguments, reason = "one step touches all of them once")]
fn train_step(
    architecture: &ResNet,
    classes: usize,
    leaves: &mut Leaves,
    optimiser: &mut AdamW,
    images: Tensor<4>,
    labels: &[usize],
    learning_rate: f64,
    device: &Device,
) -> f64 {
    let n = labels.len();
    leaves.track();
    let network = architecture.lower(leaves);
    let fc = leaves.classifier(architecture.channels(), classes);
    let mut statistics = Vec::new();
    let features = train_forward(&network, Tensor::from_inner(images), &mut statistics);
    let logits = global_average(features).reshape([n, architecture.channels()]).matmul(fc.transpose());
    let mut one_hot = vec![0f32; n * classes];
    for (row, &label) in labels.iter().enumerate() {
        one_hot[row * classes + label] = 1.0;
    }
    let one_hot = Tensor::from_inner(from_vec(one_hot, [n, classes], device));
    // METHOD: softmax cross entropy, mean over the batch.
    let loss = (log_softmax(logits, 1) * one_hot).sum() * (-1.0 / n as f32);
    let value = loss.clone().inner();
    let gradients = loss.backward();
    optimiser.step(leaves, &gradients, learning_rate);
    leaves.update_statistics(&statistics);
    f64::from(to_vec(value)[0])
}

fn validate(
    stage: &Stage,
    config: &Config,
    architecture: &ResNet,
    encoding: &Encoding,
    tensors: &NamedTensors,
    device: &Device,
) -> Result<f64> {
    let pool = TilePool::render(stage, "validation", config.validation);
    let mut checkpoint = crate::backbone::Checkpoint::new(tensors, device);
    let network = architecture.lower(&mut checkpoint);
    checkpoint.check(&config.name)?;
    let classes = shapes::CLASSES.len();
    let fc = from_vec(tensors[leaves::CLASSIFIER].values.clone(), [classes, architecture.channels()], device);
    let mut correct = 0;
    for start in (0..config.validation).step_by(100) {
        let indices: Vec<usize> = (start..(start + 100).min(config.validation)).collect();
        let (images, labels) = pool.tiles(&indices, encoding, device);
        let logits = global_average(network.forward(images))
            .reshape([indices.len(), architecture.channels()])
            .matmul(fc.clone().transpose());
        let logits = to_vec(logits);
        for (row, &label) in labels.iter().enumerate() {
            let row = &logits[row * classes..(row + 1) * classes];
            let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            correct += usize::from(best == Some(label));
        }
    }
    Ok(correct as f64 / config.validation as f64)
}

fn write(
    stage: &Stage,
    config: &Config,
    architecture: ResNet,
    encoding: Encoding,
    tensors: NamedTensors,
    steps: usize,
    accuracy: f64,
) -> Result<PathBuf> {
    let mut provenance = toml::Table::new();
    provenance.insert("data".into(), "Shapes, train split".into());
    provenance
        .insert("command".into(), format!("pretrain --config data/experiments/pretrain-{}.toml", config.name).into());
    provenance.insert("seed".into(), (stage.seed as i64).into());
    provenance.insert("steps".into(), (steps as i64).into());
    provenance.insert("validation_tiles".into(), (config.validation as i64).into());
    provenance.insert("validation_accuracy".into(), accuracy.into());
    let description = Description {
        name: config.name.clone(),
        input_size: shapes::TILE,
        encoding,
        fit: Fit::Exact,
        architecture: architecture.into(),
        provenance,
    };
    let text = toml::to_string_pretty(&description).map_err(|e| Error::Bug(e.to_string()))?;
    std::fs::create_dir_all(&config.directory).map_err(|e| Error::cannot_write(&config.directory, e))?;
    let path = config.directory.join(format!("{}.safetensors", config.name));
    let bytes = named::write(&tensors, Default::default())?;
    put(&path, &bytes)?;
    put(&path.with_extension("toml"), text.as_bytes())?;
    Backbone::load(&path, Choice::default(), &crate::tensor::cpu())?;
    Ok(path)
}

/// Writes a file whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes).map_err(|e| Error::cannot_write(&temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| Error::cannot_write(path, e))
}
