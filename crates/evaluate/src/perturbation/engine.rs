//! Forward passes of pictures without some of their pixels: the logits of heads, whatever shares of which order are
//! removed.
//!
//! The two ends, which all orders of a picture share, are passed once. What lies between is each order's own; pictures of
//! all orders fill batches together, and on the CPU batches run side by side.

use features::error::Result;
use features::network::Network;
use features::stage::Batches;
use features::tensor::{Device, Tensor, from_vec, to_vec};
use rayon::prelude::*;

use super::ranking::{Cut, Ranking};

/// What one order is asked about: logits of heads under its cuts.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Features to logits.
    pub heads: Vec<&'a Network>,
    /// The order of the picture's units.
    pub ranking: &'a Ranking,
    /// What is removed.
    pub cuts: Vec<Cut>,
}

/// A picture between itself and its baseline.
#[derive(Debug)]
pub struct Picture<'a> {
    /// From `[n, c, h, w]` to features.
    pub backbone: &'a Network,
    /// `[1, c, h, w]`.
    pub image: Tensor<4>,
    /// Of the same shape.
    pub baseline: Tensor<4>,
    /// Pictures that pass at once.
    pub chunk: &'a Batches,
}

/// Logits for each order, head and cut.
pub type Logits = Vec<Vec<Vec<Vec<f32>>>>;

/// One picture to be passed: position of what was asked, and of the cut.
type Job = (usize, usize);

/// The logits that every order asks for.
///
/// # Errors
/// A device that has no room for one picture.
pub fn logits(picture: &Picture, asked: &[Asked]) -> Result<Logits> {
    let (mut found, jobs) = picture.chunk.run(|_| picture.ends(asked))?;
    let values = [&picture.image, &picture.baseline].map(|end| to_vec(end.clone()));
    let pass = |jobs: &[Job]| picture.pass(asked, &values, jobs);
    let answers: Vec<Vec<Vec<Vec<f32>>>> = picture.chunk.run(|chunk| match picture.image.device() {
        // One thread computes a CPU pass, an accelerator needs no more than one.
        Device::Flex(_) => jobs.par_chunks(chunk).map(pass).collect(),
        _ => jobs.chunks(chunk).map(pass).collect(),
    })?;
    for (&(position, at), answer) in jobs.iter().zip(answers.into_iter().flatten()) {
        for (found, answer) in found[position].iter_mut().zip(answer) {
            found[at] = answer;
        }
    }
    Ok(found)
}

impl Picture<'_> {
    /// The logits where nothing or all is removed, each end passed once, and what is left to be passed.
    fn ends(&self, asked: &[Asked]) -> (Logits, Vec<Job>) {
        let ends = [&self.image, &self.baseline].map(|end| self.backbone.forward(end.clone()));
        let mut found: Logits = Vec::with_capacity(asked.len());
        let mut jobs: Vec<Job> = Vec::new();
        for (position, asked) in asked.iter().enumerate() {
            let end = |cut: &Cut| match cut.units {
                0 => Some(&ends[0]),
                all if all == asked.ranking.units() => Some(&ends[1]),
                _ => None,
            };
            let between = asked.cuts.iter().enumerate().filter(|(_, cut)| end(cut).is_none());
            jobs.extend(between.map(|(at, _)| (position, at)));
            let of = |head: &Network, cut: &Cut| end(cut).map_or(vec![], |end| to_vec(head.forward(end.clone())));
            found.push(asked.heads.iter().map(|head| asked.cuts.iter().map(|cut| of(head, cut)).collect()).collect());
        }
        (found, jobs)
    }

    /// The logits of a batch, picture by picture and then head by head.
    // METHOD: x(p) where p stays, baseline(p) where it is removed, in all channels of the network's input, always from
    // the whole picture and one fixed baseline.
    fn pass(&self, asked: &[Asked], [image, baseline]: &[Vec<f32>; 2], jobs: &[Job]) -> Vec<Vec<Vec<f32>>> {
        let [_, channels, rows, columns] = self.image.dims();
        let area = rows * columns;
        let mut values = Vec::with_capacity(jobs.len() * image.len());
        for &(position, at) in jobs {
            let Asked { ranking, cuts, .. } = &asked[position];
            let removed: Vec<bool> = ranking.removed(cuts[at]).collect();
            for (image, baseline) in image.chunks_exact(area).zip(baseline.chunks_exact(area)) {
                let both = image.iter().zip(baseline).zip(&removed);
                values.extend(both.map(|((kept, instead), removed)| if *removed { instead } else { kept }));
            }
        }
        let batch = from_vec(values, [jobs.len(), channels, rows, columns], &self.image.device());
        let features = self.backbone.forward(batch);
        let mut found: Vec<Vec<Vec<f32>>> = Vec::with_capacity(jobs.len());
        let same = |a: &Job, b: &Job| {
            let [a, b] = [a, b].map(|job| &asked[job.0].heads);
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| std::ptr::eq(*a, *b))
        };
        for run in jobs.chunk_by(same) {
            let own = features.clone().narrow(0, found.len(), run.len());
            let first = found.len();
            found.resize(first + run.len(), vec![]);
            for head in &asked[run[0].0].heads {
                let logits = to_vec(head.forward(own.clone()));
                let each = logits.chunks_exact(logits.len() / run.len());
                found[first..].iter_mut().zip(each).for_each(|(found, logits)| found.push(logits.to_vec()));
            }
        }
        found
    }
}
