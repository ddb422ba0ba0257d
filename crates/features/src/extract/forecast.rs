//! What a run will compute and write, told before it starts.

use std::time::{Duration, Instant};

use super::Job;
use crate::artifact::encoded_len;
use crate::error::Result;
use crate::stage::{Outcome, Stage, side_by_side};
use crate::table::{FEATURES, FeatureRows};

/// Prints what [`super::extract`] would do; the first batch of images is decoded, passed through the backbone and
/// encoded, so that time and bytes are those of this data on this machine.
///
/// # Errors
/// As [`super::extract`].
pub fn tell(stage: &Stage) -> Result<()> {
    let job = Job::prepare(stage)?;
    let sights: usize = (0..job.sights.groups()).map(|group| job.sights.count(group)).sum();
    let images = job.sights.images_count();
    // Batches of a part that has none of the wanted images are none, so the first one of any part is taken.
    let first =
        || (0..job.sights.groups()).find_map(|group| job.sights.batches(group, job.extractor.batches.size()).next());
    let mut tables = Vec::new();
    let (mut decode, mut pass, mut seen) = (Duration::ZERO, Duration::ZERO, 0);
    // The first pass of a process also finds its memory, so the second one counts.
    for _ in 0..2 {
        tables = vec![FeatureRows::default(); job.extractor.outlets.len()];
        let since = Instant::now();
        let Some(batch) = first().transpose()? else { break };
        decode = since.elapsed();
        job.extractor.append(&batch, job.extractor.maps(&batch)?, &mut tables)?;
        (pass, seen) = (since.elapsed() - decode, batch.seen.len());
    }
    let (mut bytes, mut kept) = (0.0, Vec::new());
    for (outlet, rows) in job.extractor.outlets.iter().zip(tables) {
        let shapes = [vec![outlet.shape[0]], outlet.shape.to_vec()];
        bytes += encoded_len(&FEATURES, &shapes, rows.cells())? as f64 / seen.max(1) as f64;
        kept.push(format!("{:?}", outlet.shape));
    }
    let one = |time: Duration| time.as_secs_f64() / seen.max(1) as f64;
    // Passes run side by side on the CPU; a batch is decoded on all threads in either case.
    let threads = side_by_side(&job.extractor.device);
    let seconds = sights as f64 * (one(decode) + one(pass) / threads as f64);
    let bytes = sights as f64 * bytes;
    let backbone = &job.extractor.backbone;
    let summary = format!(
        "features: {images} images, {sights} views, maps {} of {} ({}) and their means, about {:.2} GB in {}; a view takes \
         {:.1} ms to read, decode and resize and {:.1} ms in the backbone now, so all take about {seconds:.0} s on {threads} threads. Nothing was written",
        kept.join(", "),
        backbone.name,
        backbone.architecture.name(),
        bytes / 1e9,
        stage.out.join("features").display(),
        1e3 * one(decode),
        1e3 * one(pass),
    );
    let facts = serde_json::json!({ "images": images, "views": sights, "bytes": bytes, "seconds": seconds });
    stage.done(Outcome::Planned, &summary, facts);
    Ok(())
}
