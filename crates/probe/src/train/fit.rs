//! All probes of a configuration: trained side by side, chosen by validation, then shifted.

use std::collections::BTreeMap;

use features::error::Result;
use features::stage::{Batches, Stage};
use features::tensor::Device;
use features::weights::WeightFile;
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
/// `imports` are the files to import from.
pub fn fit(
    stage: &Stage,
    config: &Config,
    imports: &[WeightFile],
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
    let held = train.is_held() && validation.is_held();
    let (linears, mlps) = if held && matches!(context.device, Device::Flex(_)) {
        // The linear ones are small products in a row, which cannot fill all threads.
        rayon::join(|| linears(&flat_linear, &job), || mlp::train(&flat_layered, &job))
    } else {
        // One after the other, so that memory holds the windows of one, and an accelerator hears one thread.
        (linears(&flat_linear, &job), mlp::train(&flat_layered, &job))
    };
    drop(progress);
    let mut trained = Vec::new();
    let mut rest = linears?.into_iter().chain(mlps?);
    for specs in linear.iter().chain(&layered) {
        trained.extend(keep(rest.by_ref().take(specs.len()).collect(), data, context)?);
    }
    for (import, file) in config.import.iter().zip(imports) {
        trained.push(import.read(file, &data.train, context.classes)?);
    }
    let is_source = |probe: &&Trained| {
        probe.spec.head == Head::Linear && probe.spec.loss == Loss::Ce && probe.status == Status::Trained
    };
    let sources: Vec<&Trained> = trained.iter().filter(is_source).collect();
    let pairs: Vec<(&Trained, Head)> =
        config.shift.iter().flat_map(|&head| sources.iter().map(move |&source| (source, head))).collect();
    let shifted = |&(source, head): &(&Trained, Head)| shift::shifted(source, head, config.shift_deviations, train);
    let shifted: Result<Vec<Trained>> =
        if held { pairs.par_iter().map(shifted).collect() } else { pairs.iter().map(shifted).collect() };
    trained.extend(shifted?);
    Ok(trained)
}

/// Linear probes, in the order of `specs`; those that go together are trained side by side, and where features are read
/// all others beside them, so that an epoch reads once.
fn linears(specs: &[ProbeSpec], job: &Job) -> Result<Vec<Trained>> {
    Batches::new(job.context.device.clone(), specs.len()).run(|at_once| linears_at_once(specs, at_once, job))?
}

/// The same with at most so many probes in a group.
fn linears_at_once(specs: &[ProbeSpec], at_once: usize, job: &Job) -> Result<Vec<Trained>> {
    let groups = groups(specs, at_once);
    let members: Vec<Vec<ProbeSpec>> =
        groups.iter().map(|group| group.iter().map(|&index| specs[index].clone()).collect()).collect();
    let names: Vec<String> = groups.iter().map(|group| format!("linear-{}-{}", group[0], group.len())).collect();
    let (solved, stepped): (Vec<usize>, Vec<usize>) =
        (0..groups.len()).partition(|&number| members[number][0].optimiser.method == Method::Lbfgs);
    let mut found: BTreeMap<usize, Trained> = BTreeMap::new();
    let mut keep = |number: usize, trained: Vec<Trained>| found.extend(groups[number].iter().copied().zip(trained));
    let together = if job.train.is_held() { 1 } else { stepped.len().max(1) };
    for numbers in stepped.chunks(together) {
        let some: Vec<_> = numbers.iter().map(|&number| (members[number].as_slice(), names[number].as_str())).collect();
        let trained = linear::train_groups(&some, job)?;
        numbers.iter().zip(trained).for_each(|(&number, trained)| keep(number, trained));
    }
    for number in solved {
        keep(number, vec![exact::train(&members[number][0], job, &names[number])?]);
    }
    Ok(found.into_values().collect())
}

/// Which linear probes are trained side by side, as places in `specs`, at most so many; a solved one is alone.
pub fn groups(specs: &[ProbeSpec], at_once: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let exact = spec.optimiser.method == Method::Lbfgs;
        let joins = |group: &&mut Vec<usize>| group.len() < at_once && linear::together(&specs[group[0]], spec);
        match groups.iter_mut().find(|group| !exact && joins(group)) {
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
    let scores = validation(by, &probes, data, &context.device)?;
    let pairs = probes.into_iter().zip(scores);
    Ok(select(pairs.map(|(probe, score)| Candidate { probe, score }).collect(), by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::Optimiser;

    #[test]
    fn groups_are_no_larger_than_asked() {
        let plain = ProbeSpec::plain(Head::Linear, Loss::Ce);
        let longer = ProbeSpec { epochs: plain.epochs + 1, ..plain.clone() };
        let solved = ProbeSpec { optimiser: Optimiser::plain(Method::Lbfgs), ..plain.clone() };
        let specs = [plain.clone(), longer.clone(), plain.clone(), solved.clone(), plain, longer, solved];
        assert_eq!(groups(&specs, 9), [vec![0, 2, 4], vec![1, 5], vec![3], vec![6]]);
        assert_eq!(groups(&specs, 2), [vec![0, 2], vec![1, 5], vec![3], vec![4], vec![6]]);
        assert_eq!(groups(&specs, 1).len(), 7);
    }
}
