//! What the training loop asks of whatever holds the weights of linear probes.

use features::error::Result;

use crate::checkpoint::State;
use crate::data::Batch;
use crate::score::Tally;

/// One probe's numbers, for scaled features.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// `[classes, channels]`.
    pub weight: Vec<f32>,
    /// `[classes]`, zero where it has none.
    pub bias: Vec<f32>,
}

/// Linear probes in training, in a fixed order, on the CPU or on another device.
pub trait Engine: Send + Sync {
    /// One step of all probes on these rows of the training split; `factor` is that of the schedule.
    fn step(&mut self, batch: &Batch<'_>, factor: f64);

    /// The losses of the rows since this was last asked, summed over rows, each before its step.
    fn losses(&mut self) -> Vec<f64>;

    /// Adds the logits of some rows of any split to the tallies of these probes.
    fn score(&self, batch: &Batch<'_>, tallies: Vec<(usize, &mut Tally)>);

    /// Adds the part of these rows to loss and gradient of the mean over `all` rows of the training split.
    fn tally(&mut self, batch: &Batch<'_>, all: usize);

    /// Loss and the norm of its gradient, of each probe, as they were tallied.
    fn figures(&mut self) -> Vec<[f64; 2]>;

    /// The numbers of one probe.
    fn raw(&self, probe: usize) -> Raw;

    /// Replaces them.
    fn put(&mut self, probe: usize, raw: &Raw);

    /// Adds everything that steps change to a state.
    fn save(&self, state: &mut State);

    /// Takes it out of a state.
    fn restore(&mut self, state: &mut State) -> Result<()>;
}
