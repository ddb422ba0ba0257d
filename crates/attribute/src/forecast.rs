//! What a run will compute and write, told before it starts.

use std::time::Instant;

use features::{
    error::{Error, Result},
    stage::Stage,
};

use crate::{
    attribute::{Job, Worker},
    config::AttributeConfig,
    explain::Cost,
    item::Item,
};

/// Share of a map's float32 bytes that is left on disk with 7 mantissa bits, measured on the methods of the paper.
const STORED_SHARE: f64 = 0.36;
/// What each further mantissa bit adds to that share.
const SHARE_PER_BIT: f64 = 0.03;

/// A pull-back in units of a forward pass: 1 for a gradient, up to 2 for relevance.
const PULL_BACK: f64 = 1.5;

/// The cost of a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Grids and scenes.
    pub items: usize,
    /// Passes and maps.
    pub cost: Cost,
    /// About how many bytes the maps take on disk.
    pub bytes: f64,
}

impl Forecast {
    /// Counts; nothing is computed.
    pub(crate) fn of(worker: &Worker, items: &[Item], keep_bits: u32) -> Self {
        let share = STORED_SHARE + SHARE_PER_BIT * (f64::from(keep_bits) - 7.0);
        let mut forecast = Self { items: items.len(), cost: Cost::default(), bytes: 0.0 };
        for item in items {
            let (height, width) = (item.picture.height, item.picture.width);
            let cost = worker.explainer(item).cost([height, width], item.targets.len());
            forecast.cost = forecast.cost.and(cost);
            forecast.bytes += (cost.maps * height * width * 4) as f64 * share.clamp(0.05, 1.0);
        }
        forecast
    }

    /// Refuses a run whose maps would take more room than the configuration allows.
    ///
    /// # Errors
    /// [`Error::Usage`] with the estimate.
    pub(crate) fn check(&self, config: &AttributeConfig) -> Result<()> {
        match config.disk_budget {
            Some(budget) if self.bytes > budget * 1e9 => Err(Error::Usage(format!(
                "section [attribute]: {} maps take about {:.2} GB, disk_budget allows {budget} GB; \
                 raise it, or explain fewer items, probes or methods",
                self.cost.maps,
                self.bytes / 1e9
            ))),
            _ => Ok(()),
        }
    }
}

/// Prints what [`crate::attribute::run`] would do; a forward pass is timed to know how long it takes.
///
/// # Errors
/// As [`crate::attribute::run`].
pub fn tell(stage: &Stage) -> Result<()> {
    let job = Job::prepare(stage)?;
    let worker = Worker::new(&job, stage.seed)?;
    let forecast = Forecast::of(&worker, &job.items, job.config.keep_bits);
    let Cost { forwards, pull_backs, maps } = forecast.cost;
    let first = &job.items[0];
    // The first pass of a process also finds its memory.
    worker.forward(first);
    let since = Instant::now();
    worker.forward(first);
    let pass = since.elapsed().as_secs_f64();
    // Passes of one picture take time in proportion to its pixels.
    let pixels = |item: &Item| (item.picture.height * item.picture.width) as f64;
    let passes: f64 = job
        .items
        .iter()
        .map(|item| {
            let cost = worker.explainer(item).cost([item.picture.height, item.picture.width], item.targets.len());
            (cost.forwards as f64 + PULL_BACK * cost.pull_backs as f64) * pixels(item) / pixels(first)
        })
        .sum();
    let threads = worker.threads();
    stage.done(&format!(
        "attribute: {} items, {maps} maps, {forwards} forward passes, at most {pull_backs} pull-backs, about {:.2} GB \
         in {}; a forward pass takes {:.0} ms now, so all take about {:.0} s on {threads} threads. Nothing was written",
        forecast.items,
        forecast.bytes / 1e9,
        stage.out.display(),
        pass * 1e3,
        passes * pass / threads as f64,
    ));
    forecast.check(&job.config)
}
