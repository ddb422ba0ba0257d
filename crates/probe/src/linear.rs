//! Linear probes: all of them trained at once on pooled features.
//!
//! A linear head commutes with the average pool, so pooled features are enough. Probes that take the same batches are
//! trained side by side: on the CPU over plain rows (`plain`), on accelerators as rows of one matrix (`tensors`).
//! Features are looked at batch by batch, so they may be in memory or on disk.

mod engine;
mod group;
mod plain;
mod tensors;

use features::error::Result;

use crate::data::{Form, Split};
use crate::job::Job;
use crate::score::Score;
use crate::spec::{ProbeSpec, Scaling};
use crate::trained::Trained;
use group::Group;

/// Images looked at together where nothing is trained.
const IMAGES: usize = 256;

/// Whether two probes can be trained side by side: they take the same batches and steps of one kind.
pub fn together(a: &ProbeSpec, b: &ProbeSpec) -> bool {
    let key = |spec: &ProbeSpec| (spec.epochs, spec.batch, spec.optimiser, spec.scaling);
    key(a) == key(b) && a.schedule == b.schedule
}

/// Trains linear probes that go [`together`]; the result is in the order of `specs`. `name` is that of their checkpoint.
///
/// # Errors
/// A checkpoint that cannot be read or written, features that cannot be read.
pub fn train(specs: &[ProbeSpec], job: &Job, name: &str) -> Result<Vec<Trained>> {
    Ok(train_groups(&[(specs, name)], job)?.concat())
}

/// Trains groups of probes that go [`together`], each under the name of its checkpoint, from one reading of the features
/// an epoch; all have one batch size. The result is in their order.
///
/// # Errors
/// As [`train`].
// METHOD: features may be scaled to root mean square norm 1; the scale is folded back into the weights.
pub fn train_groups(groups: &[(&[ProbeSpec], &str)], job: &Job) -> Result<Vec<Vec<Trained>>> {
    let common = groups.iter().flat_map(|(specs, _)| *specs).any(|spec| spec.scaling == Scaling::Common);
    let scale = if common { feature_scale(Scaling::Common, job.train)? as f32 } else { 1.0 };
    let mut running: Vec<Group> = Vec::new();
    let mut batch = 1;
    for (specs, name) in groups {
        let Some(first) = specs.first() else { continue };
        debug_assert!(specs.iter().all(|spec| together(spec, first)));
        debug_assert!(running.is_empty() || batch == first.batch);
        batch = first.batch;
        running.push(Group::begin(specs, job, name, if first.scaling == Scaling::Common { scale } else { 1.0 }));
    }
    run(&mut running, batch, job)?;
    let mut ended = running.into_iter().map(|group| group.end(job.context.classes));
    let trained = |specs: &[ProbeSpec]| if specs.is_empty() { None } else { ended.next() };
    Ok(groups.iter().map(|(specs, _)| *specs).map(trained).map(Option::unwrap_or_default).collect())
}

fn run(groups: &mut [Group], batch: usize, job: &Job) -> Result<()> {
    let (train, validation) = (job.train, job.validation);
    let score = Score::of(validation);
    groups.iter_mut().try_for_each(|group| group.resume(job))?;
    let first = groups.iter().map(|group| group.epochs).min().unwrap_or(0);
    let last = groups.iter().map(Group::all_epochs).max().unwrap_or(0);
    for epoch in first..last {
        let mut taking: Vec<&mut Group> = groups.iter_mut().filter(|group| group.takes(epoch)).collect();
        if taking.is_empty() {
            continue;
        }
        let order = train.order(job.context.seed, epoch, train.len());
        train.visit(Form::Pooled, &order, batch, |batch| {
            taking.iter_mut().for_each(|group| group.step(&batch));
            Ok(())
        })?;
        let mut tallies: Vec<_> = taking.iter().map(|group| group.tallies(score)).collect();
        validation.visit(Form::Pooled, &validation.all_rows(), IMAGES, |batch| {
            taking.iter().zip(&mut tallies).for_each(|(group, tallies)| group.tally_scores(&batch, tallies));
            Ok(())
        })?;
        taking.iter_mut().zip(&tallies).try_for_each(|(group, tallies)| group.end_epoch(tallies, score, job))?;
    }
    groups.iter_mut().for_each(Group::settle);
    train.visit(Form::Pooled, &train.all_rows(), IMAGES, |batch| {
        groups.iter_mut().for_each(|group| group.tally(&batch, train.len()));
        Ok(())
    })
}

/// What pooled features are multiplied by before training.
///
/// # Errors
/// Features that cannot be read.
pub fn feature_scale(scaling: Scaling, split: &Split) -> Result<f64> {
    Ok(match scaling {
        Scaling::Common => 1.0 / root_mean_square_norm(split)?,
        Scaling::None => 1.0,
    })
}

/// Square root of the mean squared norm of the pooled features.
///
/// # Errors
/// Features that cannot be read.
pub fn root_mean_square_norm(split: &Split) -> Result<f64> {
    let mut sum = 0.0;
    split.visit(Form::Pooled, &split.all_rows(), IMAGES, |batch| {
        batch.all_features().flatten().for_each(|&x| sum += f64::from(x) * f64::from(x));
        Ok(())
    })?;
    Ok((sum / split.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests;
