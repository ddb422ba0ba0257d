//! What a run will compute and write, told before it starts.

use std::time::Instant;

use features::{
    error::{Error, Result},
    network::{Layer, Network},
    stage::{Bytes, Outcome, Stage},
};
use rayon::prelude::*;

use crate::{
    attribute::{Job, Worker},
    budget,
    config::AttributeConfig,
    explain::{After, Cost, Explainer},
    item::Item,
    method::Method,
    segment::Segmentation,
    storage::{Kept, Storage},
};

/// Share of a map's float32 bytes that is left on disk with 7 mantissa bits, measured on the methods of the paper.
const STORED_SHARE: f64 = 0.36;
/// What each further mantissa bit adds to that share.
const SHARE_PER_BIT: f64 = 0.03;
/// Bytes on disk of a pixel's segment: labels come in runs.
const SEGMENT: f64 = 0.1;
/// Pixels in a segment of quickshift, which nobody chooses.
const QUICKSHIFT: usize = 1500;

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
    /// About how many it would be if each map were kept in full.
    pub full: f64,
}

impl Forecast {
    /// Counts; nothing is computed.
    pub(crate) fn of(worker: &Worker, items: &[Item], config: &AttributeConfig) -> Self {
        let mut forecast = Self { items: items.len(), cost: Cost::default(), bytes: 0.0, full: 0.0 };
        for item in items {
            let explainer = worker.explainer(item);
            forecast.cost = forecast.cost.and(worker.cost(item));
            forecast.bytes += bytes(explainer, item, config, &config.storage);
            forecast.full += bytes(explainer, item, config, &Storage::default());
        }
        forecast
    }

    /// Refuses a run whose maps would take more room than the configuration allows.
    ///
    /// # Errors
    /// [`Error::Usage`] with the estimate.
    pub(crate) fn check(&self, config: &AttributeConfig) -> Result<()> {
        match config.disk_budget {
            Some(budget) if self.bytes > budget.0 => Err(Error::Usage(format!(
                "section [attribute]: {} maps take about {}, disk_budget allows {budget}; raise it, keep less of them \
                 with [attribute.storage], or explain fewer items, probes or methods",
                self.cost.maps,
                Bytes(self.bytes)
            ))),
            _ => Ok(()),
        }
    }
}

/// About how many bytes the maps of an item take.
fn bytes(explainer: &Explainer, item: &Item, config: &AttributeConfig, storage: &Storage) -> f64 {
    let share = (STORED_SHARE + SHARE_PER_BIT * (f64::from(config.keep_bits) - 7.0)).clamp(0.05, 1.0);
    let pixels = item.picture.height * item.picture.width;
    let cells = item.grid.as_ref().map_or(1, |cells| cells.size * cells.size);
    let targets = item.targets.len();
    let reduction = reduction(explainer.network());
    let coarse = item.picture.height.div_ceil(reduction) * item.picture.width.div_ceil(reduction);
    let segments = |how: Segmentation, about: usize| match how {
        Segmentation::Grid | Segmentation::Slic => about,
        Segmentation::Quickshift => pixels.div_ceil(QUICKSHIFT),
    };
    let one = |method: Method, after: After| match (storage.kept(method, after), method) {
        (Kept::Full, _) => (pixels * 4) as f64 * share,
        (Kept::Digest, _) => (2 * cells * 4) as f64,
        (Kept::Compact, Method::KernelShap) => {
            (4 * segments(config.kernel_shap.segmentation, config.kernel_shap.segments)) as f64
        }
        (Kept::Compact, Method::Lime | Method::LimeSoftmax | Method::LimeSigmoid) => {
            (4 * segments(config.lime.segmentation, config.lime.segments)) as f64
        }
        (Kept::Compact, _) => (4 * coarse) as f64,
    };
    let mut bytes = 0.0;
    let mut cuts = [false; 2];
    for &method in explainer.heads().iter().flat_map(|head| &head.methods) {
        bytes += targets as f64 * one(method, After::Nothing);
        if targets > 1 && config.var.methods.contains(&method) {
            bytes += targets as f64 * one(method, After::Var);
        }
        match method {
            Method::KernelShap => cuts[0] = true,
            Method::Lime | Method::LimeSoftmax | Method::LimeSigmoid => cuts[1] = true,
            _ => {}
        }
    }
    if storage.segments == Kept::Compact {
        bytes += cuts.iter().filter(|cut| **cut).count() as f64 * pixels as f64 * SEGMENT;
    }
    bytes
}

/// Pixels of the picture a side for one position of the features, by the strides along the main branches.
fn reduction(network: &Network) -> usize {
    let of = |layer: &Layer| match layer {
        Layer::Conv(conv) => conv.stride[0],
        Layer::BcosConv(conv) => conv.stride[0],
        Layer::MaxPool(pool) | Layer::AvgPool(pool) => pool.stride,
        Layer::Sum(branches) | Layer::Concat(branches) => branches.iter().map(reduction).max().unwrap_or(1),
        Layer::Apart(apart) => reduction(&apart.network),
        Layer::Scale(_) | Layer::Relu | Layer::GlobalAvgPool | Layer::AttentionPool(_) | Layer::Offset(_) => 1,
    };
    network.layers.iter().map(of).product::<usize>().max(1)
}

/// Prints what [`crate::attribute::run`] would do; a forward pass is timed to know how long it takes.
///
/// # Errors
/// As [`crate::attribute::run`].
pub fn tell(stage: &Stage) -> Result<()> {
    let job = Job::prepare(stage)?;
    let worker = Worker::new(&job, stage)?;
    let forecast = Forecast::of(&worker, &job.items, &job.config);
    let Cost { forwards, pull_backs, maps } = forecast.cost;
    let first = &job.items[0];
    let threads = worker.threads();
    // Side by side as in a run, where one pass alone would have all threads.
    let together = || (0..threads).into_par_iter().for_each(|_| worker.forward(first));
    // The first passes of a process also find its memory.
    together();
    let since = Instant::now();
    together();
    let pass = since.elapsed().as_secs_f64() / threads as f64;
    // Passes of one picture take time in proportion to its pixels.
    let pixels = |item: &Item| (item.picture.height * item.picture.width) as f64;
    let passes: f64 = job
        .items
        .iter()
        .map(|item| {
            let cost = worker.cost(item);
            (cost.forwards as f64 + PULL_BACK * cost.pull_backs as f64) * pixels(item) / pixels(first)
        })
        .sum();
    let free = budget::free(&stage.out)?;
    let in_full = match job.config.storage.is_full() {
        true => String::new(),
        false => format!(" ({} if all were kept in full)", Bytes(forecast.full)),
    };
    let summary = format!(
        "attribute: {} items, {maps} maps, {forwards} forward passes, at most {pull_backs} pull-backs, about {}{in_full} \
         in {}, where {free} are free; a forward pass takes {:.0} ms now with {threads} side by side, so all take about \
         {:.0} s. Nothing was written",
        forecast.items,
        Bytes(forecast.bytes),
        stage.out.display(),
        pass * 1e3,
        passes * pass,
    );
    let facts = serde_json::json!({
        "items": forecast.items, "maps": maps, "forward_passes": forwards, "pull_backs": pull_backs,
        "bytes": forecast.bytes, "free_bytes": free.0, "seconds": passes * pass,
    });
    stage.done(Outcome::Planned, &summary, facts);
    forecast.check(&job.config)?;
    budget::check(&stage.out, Bytes(forecast.bytes), free)
}
