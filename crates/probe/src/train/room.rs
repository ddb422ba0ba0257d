//! How much memory a run takes, and so which features it holds and which it reads when it looks at them.

use std::collections::{BTreeMap, BTreeSet};

use features::error::{Error, Result};
use features::memory;
use features::stage::Bytes;
use features::tensor::Device;

use super::gather::Known;
use crate::config::Config;
use crate::data::{Form, Order};
use crate::loss::Loss;
use crate::optimiser::Method;
use crate::spec::{Head, Kind, ProbeSpec, Scaling, Select};

/// Which splits are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// All.
    All,
    /// Validation and test: they are smaller, and looked at after every epoch.
    Measured,
    /// None.
    Nothing,
}

impl Held {
    /// Whether the split of this number is: train, validation, test.
    pub fn holds(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Measured => number > 0,
            Self::Nothing => false,
        }
    }
}

/// Bytes of a run.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Features of all splits.
    pub features: f64,
    /// What of them is in memory at a time.
    pub taken: f64,
    /// What training takes besides, or the test split's predictions after it, if they take more, and the program itself.
    pub training: f64,
    /// Which splits are held.
    pub held: Held,
}

/// Copies of the logits of the test split while they are written: measured, as rows, as a column, encoded.
const COPIES: f64 = 4.0;
/// What the program takes before it does anything, and what is known of an image besides its features.
const PROGRAM: f64 = 64e6;
const IMAGE: f64 = 160.0;

impl Room {
    /// What a run with these probes takes, as far as possible within what it may take.
    ///
    /// # Errors
    /// [`Error::Usage`] where that is not enough, with the numbers and what to set.
    pub fn plan(
        config: &Config,
        specs: &[ProbeSpec],
        splits: &[Known; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        let all = splits.iter().map(features).sum::<f64>();
        let [limit, said] = match config.memory {
            Some(Bytes(limit)) => [Some(limit), Some(limit)],
            // What is held is held by the host and, while probes are trained, by the device.
            None => [[memory::available(), memory::free(device)].into_iter().flatten().reduce(f64::min), None],
        };
        let room = |held: Held, taken: f64| {
            let work = training(config, specs, splits, classes, held);
            let images = splits.iter().map(|split| split.places.len()).sum::<usize>() as f64;
            let training = PROGRAM + IMAGE * images + work.max(predictions(config, specs, &splits[2], classes));
            Self { features: all, taken, training, held }
        };
        let whole = room(Held::All, all);
        let Some(limit) = limit.filter(|limit| whole.taken + whole.training > *limit) else { return Ok(whole) };
        let bound = said
            .map_or(format!("{} are free", Bytes(limit)), |limit| format!("[probe] memory allows {}", Bytes(limit)));
        let needs = |room: Self| format!("{} and training {}", Bytes(room.taken), Bytes(room.training));
        let Order::Windows(parts) = config.order else {
            return Err(Error::Usage(format!(
                "features take {} of memory, but {bound}; set order = \"windows:8\" in [probe] to read a few parts at a \
                 time, or raise memory",
                needs(whole)
            )));
        };
        let windows = |parts: usize, numbers: std::ops::Range<usize>| {
            splits[numbers].iter().map(|split| window(split, parts)).fold(0.0, f64::max)
        };
        let measured = splits[1..].iter().map(features).sum::<f64>();
        let choices =
            [room(Held::Measured, measured + windows(parts, 0..1)), room(Held::Nothing, windows(parts, 0..3))];
        let fits = |room: &Self| room.taken + room.training <= limit;
        choices.into_iter().find(fits).ok_or_else(|| {
            let fewer = (1..parts).rev().find(|&parts| fits(&room(Held::Nothing, windows(parts, 0..3))));
            let hint = match fewer {
                Some(parts) => format!("set order = \"windows:{parts}\""),
                None => "raise memory, or train fewer probes at a time".to_string(),
            };
            Error::Usage(format!("windows of {parts} parts take {} of memory, but {bound}; {hint}", needs(choices[1])))
        })
    }
}

/// Bytes of the features of a split.
fn features(known: &Known) -> f64 {
    let [pooled, maps] = [Form::Pooled, Form::Maps].map(|form| known.split.width(form));
    4.0 * (known.places.len() * pooled + known.mapped * maps) as f64
}

/// Bytes of two windows of so many parts, and of a part that is being decoded; at most, and in the larger form.
fn window(known: &Known, parts: usize) -> f64 {
    let largest = |rows: usize| {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        known.places[..rows].iter().for_each(|place| *counts.entry(place.part).or_default() += 1);
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let decoded = known.places.iter().map(|place| place.row as usize + 1).max().unwrap_or(0);
        2 * counts.iter().take(parts).sum::<usize>() + decoded
    };
    let bytes = |form: Form, rows: usize| if rows == 0 { 0 } else { 4 * largest(rows) * known.split.width(form) };
    bytes(Form::Pooled, known.places.len()).max(bytes(Form::Maps, known.mapped)) as f64
}

/// Bytes of the test split's predictions while they are written, by all probes, imported and shifted ones counted.
fn predictions(config: &Config, specs: &[ProbeSpec], test: &Known, classes: usize) -> f64 {
    let probes = specs.len() + config.import.len() + shifts(config, specs);
    COPIES * 4.0 * (probes * test.places.len() * classes) as f64
}

/// How many shifted copies there will be, at most: each linear CE probe that does not diverge gets all shifts, of candidates
/// with one id the one that is kept.
pub fn shifts(config: &Config, specs: &[ProbeSpec]) -> usize {
    let sources = specs.iter().filter(|spec| spec.head == Head::Linear && spec.loss == Loss::Ce);
    let sources: BTreeSet<String> = sources.map(ProbeSpec::id).collect();
    let imported = config.import.iter().filter(|import| import.loss == Loss::Ce).count();
    config.shift.len() * (sources.len() + imported)
}

/// Bytes that training takes besides features: of each probe its numbers, what the optimiser remembers, gradients, and
/// where the best epoch is kept a copy; of heads with layers what a pass leaves for the way back, and of maps in memory
/// the copy with positions as rows; of fitted shifts the curvature.
fn training(config: &Config, specs: &[ProbeSpec], splits: &[Known; 3], classes: usize, held: Held) -> f64 {
    let train = &splits[0];
    let (channels, positions) = (train.split.channels, train.split.positions());
    let numbers = |spec: &ProbeSpec| {
        let parameters = spec.parameters(channels, classes) as f64;
        if spec.optimiser.method == Method::Lbfgs {
            // Pairs of 20 steps, and a few points and gradients, in double precision.
            return 8.0 * 48.0 * parameters;
        }
        let memories = if spec.optimiser.has_squares() { 2 } else { 1 };
        let copies = 2 + memories + usize::from(spec.select == Select::BestEpoch);
        let logits = if spec.head.kind() == Kind::Linear { spec.batch * classes } else { 0 };
        4.0 * (copies as f64 * parameters + logits as f64)
    };
    let layered = || specs.iter().filter(|spec| spec.form() == Form::Maps);
    let passes = |spec: &ProbeSpec| {
        let widths = channels + 3 * (spec.hidden * (spec.head.layers() - 1) + classes);
        4.0 * (spec.batch * positions * widths) as f64
    };
    let threads = rayon::current_num_threads();
    let at_once = layered().map(passes).fold(0.0, f64::max) * threads.min(layered().count()) as f64;
    let scalings = [Scaling::Common, Scaling::None];
    let copies = scalings.iter().filter(|&&scaling| layered().any(|spec| spec.scaling == scaling)).count();
    let copied = if held.holds(0) { 4.0 * (copies * train.mapped * train.split.width(Form::Maps)) as f64 } else { 0.0 };
    let fits = shifts(config, specs).min(if held.holds(0) { threads } else { 1 });
    let logits = if held.holds(0) { train.places.len() * classes } else { 0 };
    let fitted = 8.0 * (fits * (2 * (channels + 1) * (channels + 1) + logits)) as f64;
    specs.iter().map(numbers).sum::<f64>() + at_once + copied + fitted
}
