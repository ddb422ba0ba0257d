//! Training of the heads with layers per position: B-cos heads and conventional MLPs.
//!
//! They do not commute with the average pool, so they are trained on the maps, every position a row of one matrix.
//! The loss gradient is closed form. The CPU carries it back through the layers in closed form too, over plain rows;
//! other devices use burn's autodiff.

mod columns;
mod fused;
mod layers;
mod maps;
mod pass;
mod product;
mod training;

use features::error::Result;
use features::stage::{Batches, each};
use features::tensor::Device;

use crate::job::Job;
use crate::lower::scores;
use crate::score::Score;
use crate::spec::{ProbeSpec, Select};
use crate::trained::{Status, Trained};
use crate::weights::Weights;
use maps::Maps;
use training::Training;

/// Trains the heads on the maps the split keeps; the result is in the order of `specs`. On the CPU each has a thread to
/// itself where maps are in memory. Where they are read, or on an accelerator, all heads take a batch before the next one, so
/// that an epoch reads or gathers it once.
///
/// # Errors
/// A checkpoint that cannot be read or written, maps that cannot be read.
pub fn train(specs: &[ProbeSpec], job: &Job) -> Result<Vec<Trained>> {
    let numbered: Vec<(usize, &ProbeSpec)> = specs.iter().enumerate().collect();
    let held = job.train.is_held() && job.validation.is_held();
    let mut trained = Vec::with_capacity(specs.len());
    for members in numbered.chunk_by(|(_, a), (_, b)| (a.scaling, a.batch) == (b.scaling, b.batch)) {
        let maps = Maps::new(job.train, members[0].1.scaling, job.context)?;
        let device = &job.context.device;
        let parts = Batches::new(device.clone(), members.len()).run(|at_once| -> Result<Vec<_>> {
            let together = if held && matches!(device, Device::Flex(_)) { 1 } else { at_once };
            let train = |some: &[(usize, &ProbeSpec)]| -> Result<Vec<_>> {
                let parts = some.chunks(together).collect();
                each(device, parts, |part| side_by_side(part, &maps, job)).into_iter().collect()
            };
            Ok(members.chunks(at_once).map(train).collect::<Result<Vec<_>>>()?.concat())
        })??;
        trained.extend(parts.into_iter().flatten());
    }
    Ok(trained)
}

/// Trains some heads on the same batches, a batch at a time.
fn side_by_side(specs: &[(usize, &ProbeSpec)], maps: &Maps, job: &Job) -> Result<Vec<Trained>> {
    let Some((_, first)) = specs.first() else { return Ok(Vec::new()) };
    let device = &job.context.device;
    let mut heads: Vec<Training> = specs.iter().map(|&(place, spec)| Training::begin(spec, place, maps, job)).collect();
    heads.iter_mut().try_for_each(|head| head.resume(job))?;
    let begun = heads.iter().map(|head| head.epochs).min().unwrap_or(0);
    let last = heads.iter().map(|head| head.spec.epochs).max().unwrap_or(0);
    for epoch in begun..last {
        let mut taking: Vec<&mut Training> = heads.iter_mut().filter(|head| head.takes(epoch)).collect();
        if taking.is_empty() {
            continue;
        }
        maps.visit(&maps.order(job.context.seed, epoch), first.batch, |cells, labels| {
            each(device, taking.iter_mut().collect(), |head| head.step(&cells, &labels));
        })?;
        end_epoch(&mut taking, job)?;
    }
    heads.iter_mut().try_for_each(Training::settle)?;
    let all = job.train.all_rows();
    maps.visit(&all[..maps.len()], first.batch, |cells, labels| {
        each(device, heads.iter_mut().collect(), |head| head.tally(&cells, &labels, maps.len()));
    })?;
    Ok(heads.into_iter().map(Training::end).collect())
}

/// Ends the epoch of some heads: losses are noted, and scores where the best epoch is kept.
fn end_epoch(heads: &mut [&mut Training], job: &Job) -> Result<()> {
    heads.iter_mut().for_each(|head| head.note_loss());
    let chosen = |head: &&mut Training| head.status == Status::Trained && head.spec.select == Select::BestEpoch;
    let scored: Vec<(usize, Weights)> =
        heads.iter().enumerate().filter(|(_, head)| chosen(head)).map(|(at, head)| (at, head.weights())).collect();
    if !scored.is_empty() {
        let probes: Vec<_> = scored.iter().map(|(at, weights)| (heads[*at].spec, weights)).collect();
        let by = Score::of(job.validation);
        let values = scores(by, &probes, job.validation, &job.context.device)?;
        scored.iter().zip(values).for_each(|((at, _), value)| heads[*at].note_score(by, value));
    }
    for head in heads {
        if head.status == Status::Trained && head.epochs.is_multiple_of(head.every) {
            job.checkpoints.save(&head.name, &head.state()?)?;
        }
        (job.after_epoch)(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;
    use crate::data::argmax;
    use crate::data::tests::blobs;
    use crate::lower::lower;
    use crate::optimiser::{Method, Optimiser};
    use crate::schedule::{Decay, Schedule, WarmUp};
    use crate::spec::{Head, Kind, Norm, Offset};
    use crate::trained::Context;
    use features::tensor::{cpu, to_vec};

    fn spec(head: Head, loss: Loss) -> ProbeSpec {
        ProbeSpec {
            offset: Offset::LogClasses,
            bias: head.kind() == Kind::Mlp,
            learning_rate: if loss == Loss::Ce { 0.2 } else { 0.8 },
            epochs: 12,
            batch: 16,
            hidden: 8,
            seed: 1,
            ..ProbeSpec::plain(head, loss)
        }
    }

    fn context() -> Context {
        Context { device: cpu(), seed: 5, classes: 4 }
    }

    #[test]
    fn every_head_learns_lowers_to_its_own_forward_and_repeats_to_the_bit() {
        let (data, test) = (blobs(160, 0), blobs(80, 1));
        let specs: Vec<ProbeSpec> = [Head::Bcos(1), Head::Bcos(2), Head::Bcos(3), Head::Mlp(2), Head::Mlp(3)]
            .into_iter()
            .flat_map(|head| [spec(head, Loss::Ce), spec(head, Loss::Bce)])
            .chain([
                ProbeSpec { b: 1.5, ..spec(Head::Bcos(4), Loss::Bce) },
                spec(Head::Mlp(4), Loss::Ce),
                ProbeSpec { norm: Norm::Uncentred, ..spec(Head::Mlp(2), Loss::Bce) },
                ProbeSpec {
                    optimiser: Optimiser::plain(Method::Adam),
                    learning_rate: 0.02,
                    ..spec(Head::Bcos(2), Loss::Ce)
                },
            ])
            .collect();
        let trained = train(&specs, &Job::new(&data, &data, &context())).unwrap();
        let again = train(&specs, &Job::new(&data, &data, &context())).unwrap();
        for (probe, again) in trained.iter().zip(&again) {
            let spec = &probe.spec;
            assert_eq!((&probe.weights, &probe.log), (&again.weights, &again.log), "{}", spec.id());
            let network = lower(spec, &probe.weights, &cpu()).unwrap();
            let logits = network.forward(test.map_batch(0, 80, &cpu()));
            assert_eq!(logits.dims(), [80, 4, 1, 1]);
            let logits = to_vec(logits);
            let hits = logits.chunks(4).zip(&test.labels).filter(|(row, labels)| labels.contains(&argmax(row))).count();
            assert!(hits >= 76, "{} {hits}", spec.id());
        }
    }

    #[test]
    fn a_killed_training_goes_on_from_its_last_state() {
        let (data, validation) = (blobs(160, 0), blobs(80, 1));
        let adam = ProbeSpec {
            optimiser: Optimiser::plain(Method::Adam),
            learning_rate: 0.01,
            ..spec(Head::Bcos(3), Loss::Ce)
        };
        let best = ProbeSpec { select: Select::BestEpoch, ..spec(Head::Mlp(2), Loss::Bce) };
        for spec in [adam, best] {
            let context = context();
            let job = Job::new(&data, &validation, &context);
            let specs = [spec];
            crate::checkpoint::tests::check_resume(&job, "layered-0", |job| train(&specs, job));
        }
    }

    #[test]
    fn the_best_epoch_is_kept_where_asked() {
        let (data, validation) = (blobs(160, 0), blobs(80, 1));
        // Steps that are too large wander about, so that the last epoch is not the best.
        let constant = Schedule { warm_up: WarmUp::None, decay: Decay::Constant };
        let last = ProbeSpec { learning_rate: 8.0, schedule: constant, ..spec(Head::Mlp(2), Loss::Ce) };
        let best = ProbeSpec { select: Select::BestEpoch, ..last.clone() };
        let context = context();
        let trained = train(&[last, best], &Job::new(&data, &validation, &context)).unwrap();
        let scores: Vec<f64> =
            trained[1].log.iter().filter(|entry| entry.split == "validation").map(|entry| entry.value).collect();
        let most = scores.iter().fold(0.0, |a: f64, &b| a.max(b));
        let first = scores.iter().position(|&score| score == most).unwrap();
        assert!(first + 1 < 12, "the case shows nothing: {scores:?}");
        assert_eq!((trained[0].kept_epoch, trained[1].kept_epoch), (12, first + 1));
        let score = super::scores(Score::Accuracy, &[(&trained[1].spec, &trained[1].weights)], &validation, &cpu());
        assert_eq!(score.unwrap(), [most]);
        assert_ne!(trained[0].weights, trained[1].weights);
    }

    #[test]
    fn one_head_diverges_and_the_others_go_on() {
        let data = blobs(160, 0);
        let good = spec(Head::Mlp(2), Loss::Ce);
        let wild = ProbeSpec { learning_rate: 1e30, ..good.clone() };
        let trained = train(&[wild, good.clone()], &Job::new(&data, &data, &context())).unwrap();
        let alone = train(&[good], &Job::new(&data, &data, &context())).unwrap();
        assert_eq!((trained[0].status, trained[1].status), (Status::Diverged, Status::Trained));
        assert_eq!(trained[1].weights, alone[0].weights);
    }
}
