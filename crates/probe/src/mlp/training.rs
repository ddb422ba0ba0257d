//! One head with layers in training: its numbers, its log, and the best of its epochs.

use features::error::Result;
use features::tensor::{Tensor, to_vec};

use super::layers::{InputScale, Layers, Mode};
use super::maps::Maps;
use super::pass::Pass;
use crate::checkpoint::State;
use crate::job::Job;
use crate::schedule::Length;
use crate::score::{Score, better};
use crate::spec::{Kind, ProbeSpec};
use crate::trained::{LogEntry, Status, Trained, diverged};
use crate::weights::Weights;

/// A head in training.
pub struct Training<'a> {
    /// What it is.
    pub spec: &'a ProbeSpec,
    /// Name of its checkpoint.
    pub name: String,
    pass: Pass<'a>,
    layers: Layers,
    scale: InputScale,
    /// Images of an epoch.
    images: usize,
    length: Length,
    /// Epochs between two states that are kept.
    pub every: usize,
    /// Epochs that are done.
    pub epochs: usize,
    present: Present,
    /// Loss of the first batch.
    first_loss: Option<f64>,
    /// How it stands.
    pub status: Status,
    log: Vec<LogEntry>,
    /// Where the best epoch is kept: that so far.
    best: Option<Best>,
    /// Loss and its gradient over all maps, as they are tallied.
    total: (f64, Vec<Vec<f64>>),
}

/// The epoch that is under way.
#[derive(Default)]
struct Present {
    steps: usize,
    /// Loss of a batch, still on the device, with its tiles and the size of its step.
    unread: Vec<(Tensor<1>, usize, f64)>,
    /// Of those that were read: summed over tiles.
    loss: f64,
    /// Size of the last step.
    rate: f64,
}

/// Losses that are read at once. To read one waits for all that the device has been asked for.
const UNREAD: usize = 64;

struct Best {
    score: f64,
    epoch: usize,
    layers: State,
}

impl<'a> Training<'a> {
    /// A head with its initial weights.
    pub fn begin(spec: &'a ProbeSpec, place: usize, maps: &Maps, job: &Job) -> Self {
        let (images, classes) = (maps.len() / maps.views, job.context.classes);
        let work = 3.0 * spec.parameters(maps.channels, classes) as f64 * (maps.len() * maps.positions) as f64;
        Self {
            spec,
            name: format!("layered-{place}"),
            pass: Pass { spec, positions: maps.positions, classes },
            layers: Layers::new(spec, maps.channels, job.context),
            scale: match spec.head.kind() {
                Kind::Mlp => InputScale::Fold(maps.scale),
                _ => InputScale::Keep(maps.scale),
            },
            images,
            length: Length { epochs: spec.epochs, steps: images.div_ceil(spec.batch) },
            every: job.checkpoints.epochs(work / maps.views as f64),
            epochs: 0,
            present: Present::default(),
            first_loss: None,
            status: Status::Trained,
            log: Vec::new(),
            best: None,
            total: (0.0, Vec::new()),
        }
    }

    /// Whether this epoch is its next one.
    pub fn takes(&self, epoch: usize) -> bool {
        self.status == Status::Trained && self.epochs == epoch && epoch < self.spec.epochs
    }

    /// One step; none after it was seen to have diverged.
    pub fn step(&mut self, cells: &Tensor<2>, labels: &Tensor<2>) {
        if self.status == Status::Diverged {
            return;
        }
        let tiles = labels.dims()[0];
        let (loss, gradients) = self.pass.run(&mut self.layers, cells.clone(), labels.clone(), Mode::Train);
        let number = self.epochs * self.length.steps + self.present.steps;
        let rate = self.spec.learning_rate * self.spec.schedule.factor(number, self.length);
        self.layers.descend(gradients, rate as f32);
        self.present.steps += 1;
        self.present.rate = rate;
        self.present.unread.push((loss, tiles, rate));
        if self.present.unread.len() == UNREAD {
            self.read_losses();
        }
    }

    /// Reads the losses that are on the device and notes the first one that has diverged.
    fn read_losses(&mut self) {
        let (losses, steps): (Vec<_>, Vec<_>) = std::mem::take(&mut self.present.unread)
            .into_iter()
            .map(|(loss, tiles, rate)| (loss, (tiles, rate)))
            .unzip();
        if losses.is_empty() {
            return;
        }
        for (loss, (tiles, rate)) in to_vec(Tensor::cat(losses, 0)).into_iter().map(f64::from).zip(steps) {
            if diverged(*self.first_loss.get_or_insert(loss), loss) {
                self.status = Status::Diverged;
                self.log.push(LogEntry::new(self.epochs + 1, "train", "batch_loss", loss, rate));
                return;
            }
            self.present.loss += loss * tiles as f64;
        }
    }

    /// Ends the epoch.
    pub fn note_loss(&mut self) {
        self.read_losses();
        let Present { loss: sum, rate, .. } = std::mem::take(&mut self.present);
        if self.status == Status::Trained {
            self.epochs += 1;
            self.log.push(LogEntry::new(self.epochs, "train", "batch_loss", sum / self.images as f64, rate));
        }
    }

    /// Notes what the present weights score on the validation split, and keeps the best ones.
    pub fn note_score(&mut self, by: Score, value: f64) {
        let rate = self.log.last().map_or(0.0, |entry| entry.learning_rate);
        self.log.push(LogEntry::new(self.epochs, "validation", by.name(), value, rate));
        if better(value, self.best.as_ref().map(|best| best.score)) {
            let mut layers = State::default();
            self.layers.save(&mut layers);
            self.best = Some(Best { score: value, epoch: self.epochs, layers });
        }
    }

    /// Puts the best layers in place of the last ones, where they are wanted.
    pub fn settle(&mut self) -> Result<()> {
        match &self.best {
            Some(best) => self.layers.restore(&mut best.layers.clone()),
            None => Ok(()),
        }
    }

    /// Adds the part of some of `all` tiles to the loss and its gradient, with the norms as they are in evaluation.
    pub fn tally(&mut self, cells: &Tensor<2>, labels: &Tensor<2>, all: usize) {
        if self.status == Status::Diverged {
            return;
        }
        let share = labels.dims()[0] as f64 / all as f64;
        let (value, gradients) = self.pass.run(&mut self.layers, cells.clone(), labels.clone(), Mode::Evaluate);
        let (loss, total) = &mut self.total;
        *loss += f64::from(to_vec(value)[0]) * share;
        for (index, gradient) in gradients.into_iter().map(to_vec).enumerate() {
            if total.len() == index {
                total.push(vec![0.0; gradient.len()]);
            }
            total[index].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(g) * share);
        }
    }

    /// The trained probe.
    pub fn end(self) -> Trained {
        let (train_loss, gradient_norm) = match self.status {
            Status::Trained => (self.total.0, self.total.1.iter().flatten().map(|g| g * g).sum::<f64>().sqrt()),
            Status::Diverged => (f64::NAN, f64::NAN),
        };
        let kept_epoch = self.best.as_ref().map_or(self.spec.epochs, |best| best.epoch);
        let (spec, weights, status, log) = (self.spec.clone(), self.weights(), self.status, self.log);
        Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log }
    }

    /// The weights at this moment, for features as they are.
    pub fn weights(&self) -> Weights {
        self.layers.weights(self.scale)
    }

    /// Everything that it carries to the next epoch.
    pub fn state(&self) -> Result<State> {
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

    /// Goes on from the state that was kept, if one was.
    pub fn resume(&mut self, job: &Job) -> Result<()> {
        let Some(mut state) = job.checkpoints.load(&self.name)? else { return Ok(()) };
        self.epochs = state.take_doubles("epochs")?[0] as usize;
        self.first_loss = state.take_doubles("first_loss")?.first().copied();
        self.log = state.take_log("log")?;
        self.layers.restore(&mut state)?;
        if let Ok(best) = state.take_doubles("best") {
            let layers = state.take_all("best.");
            self.best = Some(Best { score: best[0], epoch: best[1] as usize, layers });
        }
        (0..self.epochs).for_each(|_| (job.after_epoch)(1));
        Ok(())
    }
}
