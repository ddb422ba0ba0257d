//! Linear probes that are trained side by side, and what has become of each.

use features::error::Result;
use features::tensor::cpu;

use super::engine::{Engine, Raw};
use super::plain::Plain;
use super::tensors::Tensors;
use crate::checkpoint::State;
use crate::data::Batch;
use crate::job::Job;
use crate::schedule::Length;
use crate::score::{Score, Tally, better};
use crate::spec::{ProbeSpec, Select};
use crate::trained::{LogEntry, Status, Trained, diverged, initial};
use crate::weights::Weights;

/// Probes with one engine; the probes of a loss are neighbours.
pub struct Group<'a> {
    /// Name of its checkpoint.
    name: &'a str,
    /// Where the caller has each probe.
    places: Vec<usize>,
    probes: Vec<ProbeSpec>,
    engine: Box<dyn Engine>,
    courses: Vec<Course>,
    /// What features are multiplied by.
    scale: f32,
    length: Length,
    /// Epochs between two states that are kept.
    every: usize,
    /// Epochs that are done.
    pub epochs: usize,
    first_losses: Vec<f64>,
    present: Present,
}

/// What one probe's training has come to, besides its numbers.
struct Course {
    status: Status,
    log: Vec<LogEntry>,
    /// Of probes whose best epoch is kept: that so far.
    best: Option<Best>,
}

struct Best {
    score: f64,
    epoch: usize,
    raw: Raw,
}

/// The epoch that is under way.
#[derive(Default)]
struct Present {
    steps: usize,
    /// Factor of its last step.
    factor: f64,
    /// Losses that were asked for before its end.
    sums: Vec<f64>,
}

impl<'a> Group<'a> {
    /// Probes with their initial weights, for features multiplied by `scale`.
    pub fn begin(specs: &[ProbeSpec], job: &Job, name: &'a str, scale: f32) -> Self {
        let mut places: Vec<usize> = (0..specs.len()).collect();
        places.sort_by(|&a, &b| {
            let (x, y) = (&specs[a], &specs[b]);
            x.loss.cmp(&y.loss).then(x.smoothing.total_cmp(&y.smoothing)).then(a.cmp(&b))
        });
        let probes: Vec<ProbeSpec> = places.iter().map(|&index| specs[index].clone()).collect();
        let (images, classes, channels) = (job.train.images(), job.context.classes, job.train.channels);
        let work = 3.0 * (probes.len() * classes * channels) as f64 * images as f64;
        let course = |_| Course { status: Status::Trained, log: Vec::new(), best: None };
        Self {
            name,
            engine: engine(&probes, job, scale),
            courses: (0..probes.len()).map(course).collect(),
            scale,
            length: Length { epochs: probes[0].epochs, steps: images.div_ceil(probes[0].batch) },
            every: job.checkpoints.epochs(work),
            epochs: 0,
            first_losses: Vec::new(),
            present: Present::default(),
            places,
            probes,
        }
    }

    /// Whether this epoch is its next one.
    pub fn takes(&self, epoch: usize) -> bool {
        self.epochs == epoch && epoch < self.length.epochs
    }

    /// Epochs in all.
    pub fn all_epochs(&self) -> usize {
        self.length.epochs
    }

    /// One step of all probes.
    pub fn step(&mut self, batch: &Batch<'_>) {
        let number = self.epochs * self.length.steps + self.present.steps;
        self.present.factor = self.probes[0].schedule.factor(number, self.length);
        self.engine.step(batch, self.present.factor);
        self.present.steps += 1;
        if self.first_losses.is_empty() {
            self.present.sums = self.engine.losses();
            self.first_losses = self.present.sums.iter().map(|sum| sum / batch.len() as f64).collect();
        }
    }

    /// One tally a probe, of the validation split.
    pub fn tallies(&self, score: Score) -> Vec<Tally> {
        vec![Tally::new(score); self.probes.len()]
    }

    /// Adds the logits of some rows of the validation split to the tallies of the probes that have not diverged.
    pub fn tally_scores(&self, batch: &Batch<'_>, tallies: &mut [Tally]) {
        let all = tallies.iter_mut().zip(&self.courses).enumerate();
        let training = all.filter(|(_, (_, course))| course.status == Status::Trained);
        self.engine.score(batch, training.map(|(index, (tally, _))| (index, tally)).collect());
    }

    /// Ends the epoch: losses and scores are noted, best weights and from time to time the state are kept.
    pub fn end_epoch(&mut self, tallies: &[Tally], score: Score, job: &Job) -> Result<()> {
        let Present { factor, mut sums, .. } = std::mem::take(&mut self.present);
        sums.resize(self.probes.len(), 0.0);
        sums.iter_mut().zip(self.engine.losses()).for_each(|(sum, more)| *sum += more);
        self.epochs += 1;
        for (index, (course, spec)) in self.courses.iter_mut().zip(&self.probes).enumerate() {
            if course.status == Status::Diverged {
                continue;
            }
            let (rate, loss) = (spec.learning_rate * factor, sums[index] / job.train.images() as f64);
            course.log.push(LogEntry::new(self.epochs, "train", "batch_loss", loss, rate));
            if diverged(self.first_losses[index], loss) {
                // Its rows touch no other probe's, so the rest goes on undisturbed.
                course.status = Status::Diverged;
                continue;
            }
            let value = tallies[index].value(job.validation);
            course.log.push(LogEntry::new(self.epochs, "validation", score.name(), value, rate));
            let best = course.best.as_ref().map(|best| best.score);
            if spec.select == Select::BestEpoch && better(value, best) {
                course.best = Some(Best { score: value, epoch: self.epochs, raw: self.engine.raw(index) });
            }
        }
        if self.epochs.is_multiple_of(self.every) {
            job.checkpoints.save(self.name, &self.state()?)?;
        }
        (job.after_epoch)(self.probes.len());
        Ok(())
    }

    /// Puts the best weights in place of the last ones, where they are wanted.
    pub fn settle(&mut self) {
        for (index, course) in self.courses.iter().enumerate() {
            if let Some(best) = &course.best {
                self.engine.put(index, &best.raw);
            }
        }
    }

    /// Adds the part of some rows to loss and gradient over all training rows.
    pub fn tally(&mut self, batch: &Batch<'_>, all: usize) {
        self.engine.tally(batch, all);
    }

    /// The probes in the caller's order.
    pub fn end(mut self, classes: usize) -> Vec<Trained> {
        let figures = self.engine.figures();
        let mut trained: Vec<Option<Trained>> = vec![None; self.probes.len()];
        for (index, course) in self.courses.into_iter().enumerate() {
            let spec = self.probes[index].clone();
            let [train_loss, gradient_norm] = figures.get(index).copied().unwrap_or([f64::NAN; 2]);
            let weights = weights(&spec, self.engine.raw(index), self.scale, classes);
            let kept_epoch = course.best.map_or(spec.epochs, |best| best.epoch);
            let (status, log) = (course.status, course.log);
            trained[self.places[index]] =
                Some(Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log });
        }
        trained.into_iter().flatten().collect()
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put_doubles("epochs", vec![self.epochs as f64]);
        state.put_doubles("first_losses", self.first_losses.clone());
        self.engine.save(&mut state);
        let wild = self.courses.iter().map(|course| f64::from(u8::from(course.status == Status::Diverged)));
        state.put_doubles("diverged", wild.collect());
        for (index, course) in self.courses.iter().enumerate() {
            state.put_log(format!("{index}.log"), &course.log)?;
            if let Some(Best { score, epoch, raw }) = &course.best {
                state.put_doubles(format!("{index}.best"), vec![*score, *epoch as f64]);
                state.put(format!("{index}.best.weight"), raw.weight.clone());
                state.put(format!("{index}.best.bias"), raw.bias.clone());
            }
        }
        Ok(state)
    }

    /// Goes on from the state that was kept, if one was.
    pub fn resume(&mut self, job: &Job) -> Result<()> {
        let Some(mut state) = job.checkpoints.load(self.name)? else { return Ok(()) };
        self.engine.restore(&mut state)?;
        let wild = state.take_doubles("diverged")?;
        for (index, course) in self.courses.iter_mut().enumerate() {
            course.log = state.take_log(&format!("{index}.log"))?;
            course.status = if wild.get(index) == Some(&1.0) { Status::Diverged } else { Status::Trained };
            if let Ok(best) = state.take_doubles(&format!("{index}.best")) {
                let (weight, bias) =
                    (state.take(&format!("{index}.best.weight"))?, state.take(&format!("{index}.best.bias"))?);
                course.best = Some(Best { score: best[0], epoch: best[1] as usize, raw: Raw { weight, bias } });
            }
        }
        self.epochs = state.take_doubles("epochs")?[0] as usize;
        self.first_losses = state.take_doubles("first_losses")?;
        (0..self.epochs).for_each(|_| (job.after_epoch)(self.probes.len()));
        Ok(())
    }
}

fn engine(probes: &[ProbeSpec], job: &Job, scale: f32) -> Box<dyn Engine> {
    let (classes, channels, device) = (job.context.classes, job.train.channels, &job.context.device);
    let start = |spec: &ProbeSpec| Raw {
        weight: initial(spec, "fc.weight", classes * channels, channels),
        bias: if spec.bias { initial(spec, "fc.bias", classes, channels) } else { vec![0.0; classes] },
    };
    let start = probes.iter().map(start).collect();
    if *device == cpu() {
        Box::new(Plain::new(probes, channels, scale, classes, start))
    } else {
        Box::new(Tensors::new(probes, job.train, scale, classes, start, device))
    }
}

/// The weights of a probe, for features that are not scaled.
fn weights(spec: &ProbeSpec, raw: Raw, scale: f32, classes: usize) -> Weights {
    let mut weights = Weights::default();
    let channels = raw.weight.len() / classes;
    let weight = raw.weight.into_iter().map(|weight| weight * scale).collect();
    weights.insert("fc.weight", &[classes, channels, 1, 1], weight);
    if spec.bias {
        weights.insert("fc.bias", &[classes], raw.bias);
    }
    weights
}
