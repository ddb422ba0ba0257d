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

use features::error::Result;
use features::tensor::to_vec;
use rayon::prelude::*;

use crate::checkpoint::State;
use crate::data::batches;
use crate::job::Job;
use crate::lower::logits;
use crate::schedule::Length;
use crate::score::{Score, better};
use crate::spec::{Kind, ProbeSpec, Scaling, Select};
use crate::trained::{Context, LogEntry, Status, Trained, diverged, order};
use crate::weights::Weights;
use layers::{InputScale, Layers, Mode};
use maps::Maps;
use pass::Pass;

/// Trains the heads, one a thread, on the maps the split keeps; the result is in the order of `specs`.
///
/// # Errors
/// A checkpoint that cannot be read or written.
pub fn train(specs: &[ProbeSpec], job: &Job) -> Result<Vec<Trained>> {
    let wants = |scaling| specs.iter().any(|spec| spec.scaling == scaling);
    let made = |scaling| wants(scaling).then(|| Maps::new(job.train, scaling, job.context));
    let (scaled, plain) = (made(Scaling::Common), made(Scaling::None));
    let maps = |scaling| if scaling == Scaling::Common { &scaled } else { &plain };
    let one = |(index, spec): (usize, &ProbeSpec)| {
        let maps = maps(spec.scaling).as_ref()?;
        Some(Training::begin(spec, maps, job).run(maps, job, &format!("layered-{index}")))
    };
    specs.par_iter().enumerate().filter_map(one).collect()
}

/// A head in training.
struct Training<'a> {
    spec: &'a ProbeSpec,
    pass: Pass<'a>,
    layers: Layers,
    scale: InputScale,
    /// Epochs that are done.
    epochs: usize,
    /// Loss of the first batch.
    first_loss: Option<f64>,
    status: Status,
    log: Vec<LogEntry>,
    /// Where the best epoch is kept: that so far.
    best: Option<Best>,
}

struct Best {
    score: f64,
    epoch: usize,
    layers: State,
}

impl<'a> Training<'a> {
    fn begin(spec: &'a ProbeSpec, maps: &Maps, job: &Job) -> Self {
        Self {
            spec,
            pass: Pass { spec, positions: maps.positions, classes: job.context.classes },
            layers: Layers::new(spec, maps.channels, job.context),
            scale: match spec.head.kind() {
                Kind::Mlp => InputScale::Fold(maps.scale),
                _ => InputScale::Keep(maps.scale),
            },
            epochs: 0,
            first_loss: None,
            status: Status::Trained,
            log: Vec::new(),
            best: None,
        }
    }

    fn run(mut self, maps: &Maps, job: &Job, name: &str) -> Result<Trained> {
        let classes = job.context.classes;
        let work = 3.0 * self.spec.parameters(maps.channels, classes) as f64 * (maps.len() * maps.positions) as f64;
        let every = job.checkpoints.epochs(work / maps.views as f64);
        if let Some(state) = job.checkpoints.load(name)? {
            self.restore(state)?;
            (0..self.epochs).for_each(|_| (job.after_epoch)(1));
        }
        while self.epochs < self.spec.epochs && self.status == Status::Trained {
            self.epoch(maps, job)?;
            if self.status == Status::Trained && self.epochs.is_multiple_of(every) {
                job.checkpoints.save(name, &self.state()?)?;
            }
            (job.after_epoch)(1);
        }
        let kept_epoch = self.best.as_ref().map_or(self.spec.epochs, |best| best.epoch);
        if let Some(best) = self.best.take() {
            self.layers.restore(&mut best.layers.clone())?;
        }
        let (train_loss, gradient_norm) = match self.status {
            Status::Trained => final_state(&self.pass, &mut self.layers, maps, job.context),
            Status::Diverged => (f64::NAN, f64::NAN),
        };
        let (spec, weights, status, log) = (self.spec.clone(), self.weights(), self.status, self.log);
        Ok(Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log })
    }

    fn epoch(&mut self, maps: &Maps, job: &Job) -> Result<()> {
        let (spec, images) = (self.spec, maps.len() / maps.views);
        let length = Length { epochs: spec.epochs, steps: images.div_ceil(spec.batch) };
        let order = order(job.context.seed, self.epochs, maps.len(), maps.views);
        let (mut loss_sum, mut rate) = (0.0, 0.0);
        for (number, rows) in batches(&order, spec.batch).enumerate() {
            let (cells, labels) = maps.batch(rows, &job.context.device);
            let (loss, gradients) = self.pass.run(&mut self.layers, cells, labels, Mode::Train);
            rate = spec.learning_rate * spec.schedule.factor(self.epochs * length.steps + number, length);
            if diverged(*self.first_loss.get_or_insert(loss), loss) {
                self.status = Status::Diverged;
                self.log.push(LogEntry::new(self.epochs + 1, "train", "batch_loss", loss, rate));
                return Ok(());
            }
            self.layers.descend(gradients, rate as f32);
            loss_sum += loss * rows.len() as f64;
        }
        self.epochs += 1;
        self.log.push(LogEntry::new(self.epochs, "train", "batch_loss", loss_sum / images as f64, rate));
        if spec.select == Select::BestEpoch {
            let by = Score::of(job.validation);
            let logits = logits(spec, &self.weights(), job.validation, &job.context.device)?;
            let score = by.value(&logits, job.validation);
            self.log.push(LogEntry::new(self.epochs, "validation", by.name(), score, rate));
            if better(score, self.best.as_ref().map(|best| best.score)) {
                let mut layers = State::default();
                self.layers.save(&mut layers);
                self.best = Some(Best { score, epoch: self.epochs, layers });
            }
        }
        Ok(())
    }

    /// The weights at this moment, for features as they are.
    fn weights(&self) -> Weights {
        self.layers.weights(self.scale)
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put_doubles("epochs", vec![self.epochs as f64]);
        state.put_doubles("first_loss", self.first_loss.into_iter().collect());
        state.put_log("log", &self.log)?;
        self.layers.save(&mut state);
        if let Some(Best { score, epoch, layers }) = &self.best {
            state.put_doubles("best", vec![*score, *epoch as f64]);
            state.put_all("best.", layers.clone());
        }
        Ok(state)
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        self.epochs = state.take_doubles("epochs")?[0] as usize;
        self.first_loss = state.take_doubles("first_loss")?.first().copied();
        self.log = state.take_log("log")?;
        self.layers.restore(&mut state)?;
        if let Ok(best) = state.take_doubles("best") {
            let layers = state.take_all("best.");
            self.best = Some(Best { score: best[0], epoch: best[1] as usize, layers });
        }
        Ok(())
    }
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
    use crate::schedule::{Decay, Schedule, WarmUp};
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
        let logits = logits(&trained[1].spec, &trained[1].weights, &validation, &cpu()).unwrap();
        assert_eq!(Score::Accuracy.value(&logits, &validation), most);
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
