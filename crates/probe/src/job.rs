//! What a trainer is given besides the probes: data, where to compute, whom to tell, and where to keep its state.

use crate::checkpoint::Checkpoints;
use crate::data::Split;
use crate::trained::Context;

/// One training of some probes.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What is trained on.
    pub train: &'a Split,
    /// What choices are made on; may be empty where there are none.
    pub validation: &'a Split,
    /// Device, seed and number of classes.
    pub context: &'a Context,
    /// Where states are kept.
    pub checkpoints: &'a Checkpoints<'a>,
    /// Told after every epoch how many probes it was one of.
    pub after_epoch: &'a (dyn Fn(usize) + Sync),
}

impl<'a> Job<'a> {
    /// A training that tells nobody and keeps nothing.
    pub fn new(train: &'a Split, validation: &'a Split, context: &'a Context) -> Self {
        Self { train, validation, context, checkpoints: &Checkpoints::NONE, after_epoch: &|_| {} }
    }
}
