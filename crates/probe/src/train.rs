//! The stage: features in, probes out.

mod fit;
pub mod forecast;
mod gather;
mod measure;
mod room;
mod rows;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use features::artifact::{Artifact, ArtifactSpec, Begin, Input, Reader, TableSpec};
use features::error::{Error, Result};
use features::preprocess::Preprocessing;
use features::stage::{Outcome, Stage};
use features::table::{FEATURES, FEATURES_DIR};
use features::weights::WeightFile;
use serde_json::json;

use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::reference::{Suite, reference};
use crate::table::{
    LOG, LOG_DIR, PREDICTIONS, PREDICTIONS_DIR, PROBES, PROBES_DIR, ProbeRows, REFERENCE_FILE, WEIGHTS, WEIGHTS_DIR,
    WEIGHTS_FILE,
};
use crate::trained::{Context, Status};
use crate::weights::to_safetensors;

/// Raised when the same configuration would give other probes.
const ALGORITHM: u32 = 8;

/// Runs the stage.
///
/// # Errors
/// [`Error::BadData`] when a probe diverged, after everything has been written; else what stopped the stage.
pub fn run(stage: &Stage) -> Result<()> {
    let config: Config = stage.section("probe")?;
    // Checked before anything is read; the number of classes only enters the step sizes.
    config.specs(2, None)?;
    let reader = Arc::new(Reader::open(&stage.out.join(FEATURES_DIR), &FEATURES)?);
    let imports: Vec<WeightFile> =
        config.import.iter().map(|import| WeightFile::open(&import.file)).collect::<Result<_>>()?;
    let artifact = match Artifact::begin(&stage.run(), spec(stage, &config, &imports, &reader)?)? {
        Begin::UpToDate(_) => {
            stage.done(Outcome::UpToDate, "probe: up to date", json!({}));
            return report_divergence(stage);
        }
        Begin::Work(artifact) => artifact,
    };
    let (mut summary, mut facts) = ("probe: done".to_string(), json!({}));
    if !artifact.pending().is_empty() {
        let device = stage.device()?;
        let backbone = reader.meta("backbone").map_or_else(|| name_of(stage), str::to_string);
        let data = gather::gather(&reader, &config, &backbone, &device)?;
        let context = Context { device, seed: stage.seed, classes: data.classes };
        let checkpoints = Checkpoints::new(&artifact, config.checkpoint_epochs);
        let trained = fit::fit(stage, &config, &imports, &data, &backbone, &context, &checkpoints)?;
        let measured = measure::measure(&trained, &data, &context.device)?;
        let sane = trained.iter().filter(|probe| probe.status == Status::Trained);
        let pairs: Vec<_> = sane.map(|probe| (probe.spec.id(), &probe.weights)).collect();
        // The side file first: a part that is there vouches for it.
        artifact.write_file(WEIGHTS_FILE, &to_safetensors(&pairs)?)?;
        let suite = Suite::of(&data.train);
        let theirs: Vec<_> = trained
            .iter()
            .filter(|probe| probe.status == Status::Trained)
            .filter_map(|probe| Some((probe.spec.id(), reference(probe.spec.head, &probe.weights, suite)?)))
            .collect();
        let pairs: Vec<_> = theirs.iter().map(|(id, weights)| (id.clone(), weights)).collect();
        artifact.write_file(REFERENCE_FILE, &to_safetensors(&pairs)?)?;
        artifact.write_part(0, rows::tables(&trained, &measured, &data.test, &backbone, &config)?)?;
        (summary, facts) = rows::summary(&measured);
    }
    match artifact.finish()? {
        Some(_) => {
            stage.done(Outcome::Done, &summary, facts);
            report_divergence(stage)
        }
        None => {
            let summary = "probe: nothing to do in this shard; the probes are one part, made by the shard that owns it";
            stage.done(Outcome::ShardDone, summary, json!({}));
            Ok(())
        }
    }
}

/// The error that a finished artifact with diverged probes ends in.
fn report_divergence(stage: &Stage) -> Result<()> {
    let rows = ProbeRows::from_cells(Reader::open(&stage.out.join(PROBES_DIR), &PROBES)?.read_all()?)?;
    let wild: Vec<String> = (0..rows.probe_id.len())
        .filter(|&row| Status::from_name(&rows.status[row]) == Some(Status::Diverged))
        .map(|row| format!("{} (learning_rate {:?})", rows.probe_id[row], rows.learning_rate[row]))
        .collect();
    if wild.is_empty() {
        return Ok(());
    }
    Err(Error::BadData(format!(
        "{} of {} probes diverged: {}; lower their learning_rate in [probe] (the others are written)",
        wild.len(),
        rows.probe_id.len(),
        wild.join(", ")
    )))
}

fn spec(stage: &Stage, config: &Config, imports: &[WeightFile], reader: &Reader) -> Result<ArtifactSpec> {
    // Carried on, so that `attribute` can refuse a backbone that would see pictures otherwise.
    let note = reader.meta(Preprocessing::NOTE).map(|note| (Preprocessing::NOTE.to_string(), note.to_string()));
    let meta: BTreeMap<String, String> = note.into_iter().collect();
    let table = |table, dir: &str| TableSpec { table, dir: dir.to_string(), shapes: vec![], meta: meta.clone() };
    // How often a state is kept and what memory holds change nothing in what is computed.
    let config = &Config { checkpoint_epochs: None, memory: None, ..config.clone() };
    let bug = |error| Error::Bug(format!("the [probe] section cannot be written as JSON ({error})"));
    let files = imports.iter().enumerate().map(|(index, file)| Input::file(format!("import {index}"), &file.path));
    let files = files.collect::<Result<Vec<_>>>()?;
    Ok(ArtifactSpec {
        stage: "probe",
        path: stage.out.join(PROBES_DIR),
        algorithm: ALGORITHM,
        config: json!({ "probe": serde_json::to_value(config).map_err(bug)?, "seed": stage.seed }),
        // What the features were made from is named too, so that `attribute` can refuse another backbone or other images.
        inputs: [reader.input()].into_iter().chain(reader.manifest().inputs.clone()).chain(files).collect(),
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
