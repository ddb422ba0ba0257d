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

use features::tensor::to_vec;
use rayon::prelude::*;

use crate::data::{Split, batches};
use crate::schedule::Length;
use crate::spec::{Kind, ProbeSpec, Scaling};
use crate::trained::{Context, LogEntry, Status, Trained, diverged, order};
use layers::{InputScale, Layers, Mode};
use maps::Maps;
use pass::Pass;

/// Trains the heads, one a thread, on the maps the split keeps; the result is in the order of `specs`.
pub fn train(specs: &[ProbeSpec], train: &Split, context: &Context, after_epoch: &(dyn Fn() + Sync)) -> Vec<Trained> {
    let wants = |scaling| specs.iter().any(|spec| spec.scaling == scaling);
    let scaled = wants(Scaling::Common).then(|| Maps::new(train, Scaling::Common, context));
    let plain = wants(Scaling::None).then(|| Maps::new(train, Scaling::None, context));
    let maps = |scaling| if scaling == Scaling::Common { &scaled } else { &plain };
    let one = |spec: &ProbeSpec| maps(spec.scaling).as_ref().map(|maps| train_one(spec, maps, context, after_epoch));
    specs.par_iter().filter_map(one).collect()
}

fn train_one(spec: &ProbeSpec, maps: &Maps, context: &Context, after_epoch: &(dyn Fn() + Sync)) -> Trained {
    let mut layers = Layers::new(spec, maps.channels, context);
    let length = Length { epochs: spec.epochs, steps: (maps.len() / maps.views).div_ceil(spec.batch) };
    let pass = Pass { spec, positions: maps.positions, classes: context.classes };
    let (mut step, mut log, mut first_loss, mut status) = (0, Vec::new(), None, Status::Trained);
    'epochs: for epoch in 0..spec.epochs {
        let mut loss_sum = 0.0;
        let mut rate = 0.0;
        for rows in batches(&order(context.seed, epoch, maps.len(), maps.views), spec.batch) {
            let (cells, labels) = maps.batch(rows, &context.device);
            let (loss, gradients) = pass.run(&mut layers, cells, labels, Mode::Train);
            rate = spec.learning_rate * spec.schedule.factor(step, length);
            if diverged(*first_loss.get_or_insert(loss), loss) {
                status = Status::Diverged;
                log.push(LogEntry::new(epoch + 1, "train", "batch_loss", loss, rate));
                break 'epochs;
            }
            layers.descend(gradients, rate as f32);
            loss_sum += loss * rows.len() as f64;
            step += 1;
        }
        log.push(LogEntry::new(
            epoch + 1,
            "train",
            "batch_loss",
            loss_sum * maps.views as f64 / maps.len() as f64,
            rate,
        ));
        after_epoch();
    }
    let (train_loss, gradient_norm) = match status {
        Status::Trained => final_state(&pass, &mut layers, maps, context),
        Status::Diverged => (f64::NAN, f64::NAN),
    };
    let scale = match spec.head.kind() {
        Kind::Mlp => InputScale::Fold(maps.scale),
        _ => InputScale::Keep(maps.scale),
    };
    Trained { spec: spec.clone(), weights: layers.weights(scale), status, train_loss, gradient_norm, log }
}

/// Loss over all tiles and the norm of its gradient, with the norms as they are in evaluation.
fn final_state(pass: &Pass, layers: &mut Layers, maps: &Maps, context: &Context) -> (f64, f64) {
    let all: Vec<i32> = (0..maps.len() as i32).collect();
    let (mut loss, mut total): (f64, Vec<Vec<f64>>) = (0.0, Vec::new());
    for rows in batches(&all, pass.spec.batch) {
        let (cells, labels) = maps.batch(rows, &context.device);
        let share = rows.len() as f64 / maps.len() as f64;
        let (value, gradients) = pass.run(layers, cells, labels, Mode::Evaluate);
        loss += value * share;
        let gradients = gradients.into_iter().map(to_vec);
        for (index, gradient) in gradients.enumerate() {
            if total.len() == index {
                total.push(vec![0.0; gradient.len()]);
            }
            total[index].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(g) * share);
        }
    }
    (loss, total.iter().flatten().map(|g| g * g).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;
    use crate::data::argmax;
    use crate::data::tests::blobs;
    use crate::lower::lower;
    use crate::optimiser::{Method, Optimiser};
    use crate::spec::{Head, Norm, Offset};
    use features::tensor::cpu;

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
        let specs: Vec<ProbeSpec> = [Head::Bcos1, Head::Bcos2, Head::Bcos3, Head::Mlp2, Head::Mlp3]
            .into_iter()
            .flat_map(|head| [spec(head, Loss::Ce), spec(head, Loss::Bce)])
            .chain([
                ProbeSpec { norm: Norm::Uncentred, ..spec(Head::Mlp2, Loss::Bce) },
                ProbeSpec {
                    optimiser: Optimiser::plain(Method::Adam),
                    learning_rate: 0.02,
                    ..spec(Head::Bcos2, Loss::Ce)
                },
            ])
            .collect();
        let trained = train(&specs, &data, &context(), &|| {});
        let again = train(&specs, &data, &context(), &|| {});
        for (probe, again) in trained.iter().zip(&again) {
            let spec = &probe.spec;
            assert_eq!((&probe.weights, &probe.log), (&again.weights, &again.log), "{}", spec.id());
            let network = lower(spec.head, spec.offset, &probe.weights, &cpu()).unwrap();
            let logits = network.forward(test.map_batch(0, 80, &cpu()));
            assert_eq!(logits.dims(), [80, 4, 1, 1]);
            let logits = to_vec(logits);
            let hits = logits.chunks(4).zip(&test.labels).filter(|(row, labels)| labels.contains(&argmax(row))).count();
            assert!(hits >= 76, "{} {hits}", spec.id());
        }
    }

    #[test]
    fn one_head_diverges_and_the_others_go_on() {
        let data = blobs(160, 0);
        let good = spec(Head::Mlp2, Loss::Ce);
        let wild = ProbeSpec { learning_rate: 1e30, ..good.clone() };
        let trained = train(&[wild, good.clone()], &data, &context(), &|| {});
        let alone = train(&[good], &data, &context(), &|| {});
        assert_eq!((trained[0].status, trained[1].status), (Status::Diverged, Status::Trained));
        assert_eq!(trained[1].weights, alone[0].weights);
    }
}
