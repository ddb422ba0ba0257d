//! All probes of a configuration: trained side by side, chosen by validation, then shifted.

use std::collections::BTreeMap;

use features::error::Result;
use features::stage::Stage;
use rayon::prelude::*;

use super::gather::Data;
use super::measure::validation;
use super::select::{Candidate, select};
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::job::Job;
use crate::optimiser::Method;
use crate::score::Score;
use crate::spec::{Head, Kind, ProbeSpec};
use crate::trained::{Context, Status, Trained};
use crate::{Loss, exact, linear, mlp, shift};

/// Probes of the entries, linear ones first, then imported ones, then the shifted copies of each linear CE probe.
/// `imports` are the contents of the files to import from.
pub fn fit(
    stage: &Stage,
    config: &Config,
    imports: &[Vec<u8>],
    data: &Data,
    backbone: &str,
    context: &Context,
    checkpoints: &Checkpoints,
) -> Result<Vec<Trained>> {
    let specs = config.specs(context.classes, Some(backbone))?;
    let (linear, layered): (Vec<&Vec<ProbeSpec>>, Vec<&Vec<ProbeSpec>>) =
        specs.iter().partition(|specs| specs.iter().any(|spec| spec.head.kind() == Kind::Linear));
    let flat = |entries: &[&Vec<ProbeSpec>]| -> Vec<ProbeSpec> {
        entries.iter().flat_map(|specs| specs.iter().cloned()).collect()
    };
    let (flat_linear, flat_layered) = (flat(&linear), flat(&layered));
    let epochs: usize = flat_linear.iter().chain(&flat_layered).map(|spec| spec.epochs).sum();
    let progress = stage.progress("probes", epochs as u64, "epochs");
    let after_epoch = |probes: usize| progress.advance(probes as u64);
    let (train, validation) = (&data.train, &data.validation);
    let job = Job { train, validation, context, checkpoints, after_epoch: &after_epoch };
    // The linear ones are small products in a row, which cannot fill all threads.
    let (linears, mlps) = rayon::join(|| linears(&flat_linear, &job), || mlp::train(&flat_layered, &job));
    drop(progress);
    let mut trained = Vec::new();
    let mut rest = linears?.into_iter().chain(mlps?);
    for specs in linear.iter().chain(&layered) {
        trained.extend(keep(rest.by_ref().take(specs.len()).collect(), data, context)?);
    }
    for (import, bytes) in config.import.iter().zip(imports) {
        trained.push(import.read(bytes, &data.train, context.classes)?);
    }
    let is_source = |probe: &&Trained| {
        probe.spec.head == Head::Linear && probe.spec.loss == Loss::Ce && probe.status == Status::Trained
    };
    let sources: Vec<&Trained> = trained.iter().filter(is_source).collect();
    let pairs: Vec<(&Trained, Head)> =
        config.shift.iter().flat_map(|&head| sources.iter().map(move |&source| (source, head))).collect();
    let shifted: Result<Vec<Trained>> = pairs
        .par_iter()
        .map(|&(source, head)| shift::shifted(source, head, config.shift_deviations, &data.train))
        .collect();
    trained.extend(shifted?);
    Ok(trained)
}

/// Linear probes, in the order of `specs`; those that go together are trained side by side.
fn linears(specs: &[ProbeSpec], job: &Job) -> Result<Vec<Trained>> {
    let mut found: BTreeMap<usize, Trained> = BTreeMap::new();
    for (number, group) in groups(specs).into_iter().enumerate() {
        let members: Vec<ProbeSpec> = group.iter().map(|&index| specs[index].clone()).collect();
        let trained = if members[0].optimiser.method == Method::Lbfgs {
            let solved = exact::train(&members[0], job.train, job.validation, job.context)?;
            (job.after_epoch)(members[0].epochs);
            vec![solved]
        } else {
            linear::train(&members, job, &format!("linear-{number}"))?
        };
        found.extend(group.into_iter().zip(trained));
    }
    Ok(found.into_values().collect())
}

/// Which linear probes are trained side by side, as places in `specs`; a solved one is alone.
pub fn groups(specs: &[ProbeSpec]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let exact = spec.optimiser.method == Method::Lbfgs;
        match groups.iter_mut().find(|group| !exact && linear::together(&specs[group[0]], spec)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// What an entry keeps of its candidates.
fn keep(probes: Vec<Trained>, data: &Data, context: &Context) -> Result<Vec<Trained>> {
    let choice = probes.iter().any(|probe| probe.spec.learning_rate != probes[0].spec.learning_rate);
    if !choice {
        return Ok(probes);
    }
    let by = Score::of(&data.validation);
    let scores: Result<Vec<f64>> =
        probes.par_iter().map(|probe| validation(by, probe, data, &context.device)).collect();
    let pairs = probes.into_iter().zip(scores?);
    Ok(select(pairs.map(|(probe, score)| Candidate { probe, score }).collect(), by))
}
