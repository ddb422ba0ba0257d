//! The stage: features in, probes out.

mod gather;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use features::artifact::{Artifact, ArtifactSpec, Begin, Reader, TableSpec};
use features::error::{Error, Result};
use features::preprocess::Preprocessing;
use features::stage::Stage;
use features::table::FEATURES;
use features::tensor::{Device, from_vec, to_vec};
use rayon::prelude::*;

use crate::config::Config;
use crate::data::{Split, argmax};
use crate::lower::lower;
use crate::spec::{Head, Kind, ProbeSpec};
use crate::table::{
    LOG, LOG_DIR, PREDICTIONS, PREDICTIONS_DIR, PROBES, PROBES_DIR, WEIGHTS, WEIGHTS_DIR, WEIGHTS_FILE,
};
use crate::trained::{Context, Trained};
use crate::weights::to_safetensors;
use crate::{linear, mlp, shift};

/// Raised when the same configuration would give other probes.
const ALGORITHM: u32 = 2;
const FEATURES_DIR: &str = "features";
/// Tiles evaluated at once.
const EVALUATION_BATCH: usize = 200;

/// Runs the stage.
pub fn run(stage: &Stage) -> Result<()> {
    let config: Config = stage.section("probe")?;
    // Checked before anything is read; the number of classes only enters the step sizes.
    config.specs(2)?;
    let reader = Reader::open(&stage.out.join(FEATURES_DIR), &FEATURES)?;
    let artifact = match Artifact::begin(&stage.run(), spec(stage, &config, &reader)?)? {
        Begin::UpToDate(_) => {
            stage.done("probe: up to date");
            return Ok(());
        }
        Begin::Work(artifact) => artifact,
    };
    let mut summary = "probe: done".to_string();
    if !artifact.pending().is_empty() {
        let device = stage.device()?;
        let data = gather::gather(&reader, &config)?;
        let context = Context { device, seed: stage.seed, classes: data.classes };
        let backbone = reader.meta("backbone").map_or_else(|| name_of(stage), str::to_string);
        let trained = train(stage, &config, &data, &context)?;
        let probes = measure(&trained, &data, &context.device)?;
        let pairs: Vec<_> = trained.iter().map(|probe| (probe.spec.id(), &probe.weights)).collect();
        // The side file first: a part that is there vouches for it.
        artifact.write_file(WEIGHTS_FILE, &to_safetensors(&pairs)?)?;
        artifact.write_part(0, rows::tables(&trained, &probes, &data.test, &backbone)?)?;
        summary = rows::summary(&trained, &probes);
    }
    match artifact.finish()? {
        Some(_) => stage.done(&summary),
        None => {
            stage.done("probe: nothing to do in this shard; the probes are one part, made by the shard that owns it")
        }
    }
    Ok(())
}

fn spec(stage: &Stage, config: &Config, reader: &Reader) -> Result<ArtifactSpec> {
    // Carried on, so that `attribute` can refuse a backbone that would see pictures otherwise.
    let note = reader.meta(Preprocessing::NOTE).map(|note| (Preprocessing::NOTE.to_string(), note.to_string()));
    let meta: BTreeMap<String, String> = note.into_iter().collect();
    let table = |table, dir: &str| TableSpec { table, dir: dir.to_string(), shapes: vec![], meta: meta.clone() };
    let bug = |error| Error::Bug(format!("the [probe] section cannot be written as JSON ({error})"));
    Ok(ArtifactSpec {
        stage: "probe",
        path: stage.out.join(PROBES_DIR),
        algorithm: ALGORITHM,
        config: serde_json::json!({ "probe": serde_json::to_value(config).map_err(bug)?, "seed": stage.seed }),
        inputs: vec![reader.input()],
        tables: vec![
            table(&PROBES, PROBES_DIR),
            table(&WEIGHTS, WEIGHTS_DIR),
            table(&LOG, LOG_DIR),
            table(&PREDICTIONS, PREDICTIONS_DIR),
        ],
        parts: 1,
    })
}

fn name_of(stage: &Stage) -> String {
    stage.out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// All probes: those of the entries in order, then the shifted copies of each linear CE probe.
fn train(stage: &Stage, config: &Config, data: &gather::Data, context: &Context) -> Result<Vec<Trained>> {
    let specs = config.specs(context.classes)?;
    let (linear, others): (Vec<ProbeSpec>, Vec<ProbeSpec>) =
        specs.into_iter().partition(|spec| spec.head.kind() == Kind::Linear);
    let mut by_epochs: BTreeMap<usize, Vec<ProbeSpec>> = BTreeMap::new();
    for spec in linear {
        by_epochs.entry(spec.epochs).or_default().push(spec);
    }
    let mut trained = Vec::new();
    let epochs = by_epochs.keys().sum::<usize>();
    let progress = stage.progress("linear probes", epochs as u64, "epochs");
    for specs in by_epochs.values() {
        trained.extend(linear::train(specs, &data.train, &data.validation, context, || progress.advance(1))?);
    }
    drop(progress);
    let epochs = others.iter().map(|spec| spec.epochs).sum::<usize>();
    let progress = stage.progress("layered probes", epochs as u64, "epochs");
    trained.extend(mlp::train(&others, &data.train, context, &|| progress.advance(1))?);
    drop(progress);
    let sources: Vec<&Trained> =
        trained.iter().filter(|probe| probe.spec.head == Head::Linear && probe.spec.loss == crate::Loss::Ce).collect();
    let pairs: Vec<(&Trained, Head)> =
        config.shift.iter().flat_map(|&head| sources.iter().map(move |&source| (source, head))).collect();
    let shifted: Result<Vec<Trained>> = pairs
        .par_iter()
        .map(|&(source, head)| shift::shifted(source, head, config.shift_deviations, &data.train))
        .collect();
    trained.extend(shifted?);
    Ok(trained)
}

/// What a trained probe says.
pub(crate) struct Measured {
    /// Logits on the test split `[n, classes]`, offset included.
    logits: Vec<f32>,
    validation_accuracy: f64,
    test_accuracy: f64,
}

fn measure(trained: &[Trained], data: &gather::Data, device: &Device) -> Result<Vec<Measured>> {
    trained
        .par_iter()
        .map(|probe| {
            let validation = logits(probe, &data.validation, device)?;
            let logits = logits(probe, &data.test, device)?;
            Ok(Measured {
                validation_accuracy: accuracy(&validation, &data.validation),
                test_accuracy: accuracy(&logits, &data.test),
                logits,
            })
        })
        .collect()
}

/// Logits by the lowered network: from pooled features where the head commutes with the pool, else from maps.
fn logits(probe: &Trained, split: &Split, device: &Device) -> Result<Vec<f32>> {
    let network = lower(probe.spec.head, probe.spec.offset, &probe.weights, device)?;
    if matches!(probe.spec.head.kind(), Kind::Linear | Kind::Shift) {
        let inputs = from_vec(split.pooled.clone(), [split.len(), split.channels, 1, 1], device);
        return Ok(to_vec(network.forward(inputs)));
    }
    let mut logits = Vec::new();
    for start in (0..split.len()).step_by(EVALUATION_BATCH) {
        let count = EVALUATION_BATCH.min(split.len() - start);
        logits.extend(to_vec(network.forward(split.map_batch(start, count, device))));
    }
    Ok(logits)
}

fn accuracy(logits: &[f32], split: &Split) -> f64 {
    let classes = logits.len() / split.len().max(1);
    let rows = logits.chunks(classes.max(1)).zip(&split.labels);
    rows.filter(|(row, label)| argmax(row) == **label).count() as f64 / split.len().max(1) as f64
}
