//! What a run will train, how much memory it takes and about how long, told before it starts.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use features::artifact::Reader;
use features::error::{Error, Result};
use features::stage::{Bytes, Outcome, Stage};
use features::table::FEATURES;

use super::room::{Held, shifts};
use super::{FEATURES_DIR, fit, gather, name_of};
use crate::config::Config;
use crate::data::{Form, Split};
use crate::job::Job;
use crate::optimiser::Method;
use crate::spec::{Kind, ProbeSpec, Select};
use crate::trained::{Context, Trained};
use crate::{linear, mlp};

/// Steps that are timed of each training, after as many that are not.
const STEPS: usize = 2;

/// Prints what [`super::run`] would do; every training takes a few steps on its first batches, so that the time is that of
/// these probes on these features and this machine.
///
/// # Errors
/// As [`super::run`].
pub fn tell(stage: &Stage) -> Result<()> {
    let config: Config = stage.section("probe")?;
    let reader = Arc::new(Reader::open(&stage.out.join(FEATURES_DIR), &FEATURES)?);
    let backbone = reader.meta("backbone").map_or_else(|| name_of(stage), str::to_string);
    let device = stage.device()?;
    let data = gather::gather(&reader, &config, &backbone, &device)?;
    let specs = config.specs(data.classes, Some(&backbone))?.concat();
    let context = Context { device, seed: stage.seed, classes: data.classes };
    let (linears, layered): (Vec<ProbeSpec>, Vec<ProbeSpec>) =
        specs.iter().cloned().partition(|spec| spec.head.kind() == Kind::Linear);
    let (solved, linears): (Vec<ProbeSpec>, Vec<ProbeSpec>) =
        linears.into_iter().partition(|spec| spec.optimiser.method == Method::Lbfgs);
    let train = &data.train;
    let (mut seconds, mut steps, mut updates) = (0.0, 0, 0);
    for group in fit::groups(&linears, linears.len()) {
        let members: Vec<ProbeSpec> = group.iter().map(|&index| linears[index].clone()).collect();
        let count = members[0].epochs * train.images().div_ceil(members[0].batch);
        seconds += count as f64 * step(&members, train, &context, |specs, job| linear::train(specs, job, "plan"))?;
        (steps, updates) = (steps + count, updates + count * members.len());
    }
    let maps_images = train.maps_len() / train.views;
    let mut side_by_side = 0.0;
    for spec in &layered {
        let count = spec.epochs * maps_images.div_ceil(spec.batch);
        side_by_side += count as f64 * step(std::slice::from_ref(spec), train, &context, mlp::train)?;
        (steps, updates) = (steps + count, updates + count);
    }
    let threads = rayon::current_num_threads();
    seconds += side_by_side / threads.min(layered.len().max(1)) as f64;
    let room = data.room;
    let features = match room.held {
        Held::All => Bytes(room.features).to_string(),
        Held::Measured | Held::Nothing => format!(
            "{} of {} (the others are read from disk in every epoch, order = \"{}\")",
            Bytes(room.taken),
            Bytes(room.features),
            config.order
        ),
    };
    let (trained, imported, shifted) = (specs.len(), config.import.len(), shifts(&config, &specs));
    let rest = if solved.is_empty() { String::new() } else { format!(", without {} solved by lbfgs", solved.len()) };
    let images = match train.views {
        1 => format!("{} images", train.images()),
        views => format!("{} images in {views} views", train.images()),
    };
    let summary = format!(
        "probe: {trained} probes, candidates counted, {imported} imported and {shifted} shifted, on {images} of {backbone}; \
         {steps} steps with {updates} updates of a probe; features take {features} in memory and training {} more; by steps taken now training takes about \
         {seconds:.0} s on {threads} threads{rest}. Nothing was written",
        Bytes(room.training),
    );
    let facts = serde_json::json!({
        "trained": trained, "imported": imported, "shifted": shifted, "images": train.images(), "steps": steps,
        "features_bytes": room.features, "training_bytes": room.training, "seconds": seconds,
    });
    stage.done(Outcome::Planned, &summary, facts);
    Ok(())
}

/// Seconds of one step of some probes that are trained together.
fn step(
    specs: &[ProbeSpec],
    train: &Split,
    context: &Context,
    trainer: impl Fn(&[ProbeSpec], &Job) -> Result<Vec<Trained>>,
) -> Result<f64> {
    let few = first(train, STEPS * specs[0].batch)?;
    let short = |spec: &ProbeSpec| ProbeSpec { epochs: 2, select: Select::LastEpoch, ..spec.clone() };
    let specs: Vec<ProbeSpec> = specs.iter().map(short).collect();
    let marks = Mutex::new(Vec::new());
    let mark = |_: usize| {
        if let Ok(mut marks) = marks.lock() {
            marks.push(Instant::now());
        }
    };
    let nothing = Split::empty(train.channels, train.size);
    trainer(&specs, &Job { after_epoch: &mark, ..Job::new(&few, &nothing, context) })?;
    let marks = marks.into_inner().map_err(|_| Error::Bug("the clock of the plan broke".into()))?;
    let steps = few.images().div_ceil(specs[0].batch) as f64;
    // A training that diverges at once has nothing to time.
    Ok(if let [start, .., end] = marks.as_slice() { end.duration_since(*start).as_secs_f64() / steps } else { 0.0 })
}

/// The first images of a split in memory, with their maps where it has them.
fn first(split: &Split, images: usize) -> Result<Split> {
    let rows = (images * split.views).min(split.len());
    let numbers = &split.all_rows()[..rows];
    let mut few = Split {
        image_ids: split.image_ids[..rows].to_vec(),
        labels: split.labels[..rows].to_vec(),
        set_aside: split.set_aside[..rows].to_vec(),
        views: split.views,
        ..Split::empty(split.channels, split.size)
    };
    for (form, count) in [(Form::Pooled, rows), (Form::Maps, rows.min(split.maps_len()))] {
        let mut values = Vec::new();
        split.visit(form, &numbers[..count], count, |batch| {
            values.extend(batch.all_features().flatten());
            Ok(())
        })?;
        match form {
            Form::Pooled => few.pooled = values,
            Form::Maps => few.maps = values,
        }
    }
    Ok(few)
}
