//! Linear probes on the CPU: weights as plain rows, products cut into blocks of rows, and a step that walks over the
//! weights once.
//!
//! Logits lie with classes as rows and images as columns, so that a block of weights has its logits, and their
//! gradients, to itself: blocks are the work that threads share, forward and back.

use features::error::Result;
use features::network::{Matrix, Onto, product};
use rayon::prelude::*;

use super::engine::{Engine, Raw};
use crate::checkpoint::State;
use crate::data::Batch;
use crate::optimiser::Step;
use crate::score::Tally;
use crate::spec::ProbeSpec;

/// Weight rows of a block: with 2048 channels 2 MiB, which stays in a cache from the product to the step.
const BLOCK: usize = 256;
/// The probes, one behind the other.
pub struct Plain {
    probes: Vec<ProbeSpec>,
    channels: usize,
    /// What features are multiplied by.
    scale: f32,
    classes: usize,
    /// `[probes * classes, channels]`.
    weights: Parameters,
    /// `[probes * classes]`, zero where a probe has no bias.
    biases: Parameters,
    steps: i32,
    /// Summed losses since they were asked for.
    losses: Vec<f64>,
    /// Features of the batch and logits of all probes, kept for their memory.
    inputs: Vec<f32>,
    logits: Vec<f32>,
    /// Losses and gradients of weights and biases that are being tallied; empty before.
    tallied: (Vec<f64>, Vec<f32>, Vec<f32>),
}

/// Numbers and what the optimiser remembers of each.
struct Parameters {
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Parameters {
    fn new(values: Vec<f32>, has_squares: bool) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { second: if has_squares { zeros.clone() } else { Vec::new() }, first: zeros, values }
    }

    fn save(&self, name: &str, state: &mut State) {
        let parts = [("value", &self.values), ("first", &self.first), ("second", &self.second)];
        parts.into_iter().for_each(|(part, values)| state.put(format!("{name}.{part}"), values.clone()));
    }

    fn restore(&mut self, name: &str, state: &mut State) -> Result<()> {
        for (part, values) in [("value", &mut self.values), ("first", &mut self.first), ("second", &mut self.second)] {
            *values = state.take(&format!("{name}.{part}"))?;
        }
        Ok(())
    }
}

impl Plain {
    /// The probes with these initial weights, one behind the other, for features of `channels` channels.
    pub fn new(probes: &[ProbeSpec], channels: usize, scale: f32, classes: usize, start: Vec<Raw>) -> Self {
        let has_squares = probes.iter().any(|spec| spec.optimiser.has_squares());
        let (weights, biases): (Vec<Vec<f32>>, Vec<Vec<f32>>) =
            start.into_iter().map(|raw| (raw.weight, raw.bias)).unzip();
        Self {
            probes: probes.to_vec(),
            channels,
            scale,
            classes,
            weights: Parameters::new(weights.concat(), has_squares),
            biases: Parameters::new(biases.concat(), has_squares),
            steps: 0,
            losses: vec![0.0; probes.len()],
            inputs: Vec::new(),
            logits: Vec::new(),
            tallied: Default::default(),
        }
    }

    /// Puts features of some rows, scaled, and the logits `[probes * classes, rows]` of them where they belong.
    fn forward(&mut self, batch: &Batch<'_>) {
        let (channels, classes, scale) = (self.channels, self.classes, self.scale);
        self.inputs.clear();
        for features in batch.all_features() {
            self.inputs.extend(features.iter().map(|x| x * scale));
        }
        let images = batch.len();
        self.logits.resize(self.biases.values.len() * images, 0.0);
        let inputs = Matrix::rows(&self.inputs, channels).transposed();
        let blocks = self.logits.par_chunks_mut(BLOCK * images).zip(self.weights.values.par_chunks(BLOCK * channels));
        let (probes, biases) = (&self.probes, &self.biases.values);
        blocks.enumerate().for_each(|(block, (logits, weights))| {
            let size = [logits.len() / images, channels, images];
            product(size, Matrix::rows(weights, channels), inputs, logits, Onto::Nothing);
            for (row, logits) in (block * BLOCK..).zip(logits.chunks_exact_mut(images)) {
                let constant = biases[row] + probes[row / classes].offset.value(classes);
                if constant != 0.0 {
                    logits.iter_mut().for_each(|z| *z += constant);
                }
            }
        });
    }

    /// Turns the logits into gradients of means over `all` rows; gives each probe's part of its mean loss.
    fn differentiate(&mut self, labels: &[&[usize]], all: usize) -> Vec<f64> {
        let per_probe = self.logits.par_chunks_mut(self.classes * labels.len()).zip(&self.probes);
        per_probe.map(|(logits, spec)| spec.objective().columns(logits, labels, all)).collect()
    }

    fn has_bias(&self) -> bool {
        self.probes.iter().any(|spec| spec.bias)
    }

    /// Sum over images of each row of gradients, zero where a probe has no bias.
    fn bias_gradient(&self, images: usize) -> Vec<f32> {
        let rows = self.logits.par_chunks_exact(images).enumerate();
        rows.map(|(row, slopes)| if self.probes[row / self.classes].bias { slopes.iter().sum() } else { 0.0 }).collect()
    }
}

impl Plain {
    /// Logits of one probe on some rows: `[n, classes]`.
    pub fn logits(&self, probe: usize, batch: &Batch<'_>) -> Vec<f32> {
        let (channels, classes) = (self.channels, self.classes);
        let weights = &self.weights.values[probe * classes * channels..(probe + 1) * classes * channels];
        let offset = self.probes[probe].offset.value(classes);
        let constants = self.biases.values[probe * classes..(probe + 1) * classes].iter().map(|bias| bias + offset);
        let constants: Vec<f32> = constants.collect();
        let inputs: Vec<f32> = batch.all_features().flatten().map(|x| x * self.scale).collect();
        let mut logits = vec![0.0; batch.len() * classes];
        let size = [batch.len(), channels, classes];
        let weights = Matrix::rows(weights, channels).transposed();
        product(size, Matrix::rows(&inputs, channels), weights, &mut logits, Onto::Nothing);
        for row in logits.chunks_exact_mut(classes) {
            row.iter_mut().zip(&constants).for_each(|(z, constant)| *z += constant);
        }
        logits
    }
}

impl Engine for Plain {
    fn step(&mut self, batch: &Batch<'_>, factor: f64) {
        self.steps += 1;
        let (channels, classes, images) = (self.channels, self.classes, batch.len());
        self.forward(batch);
        let losses = self.differentiate(&batch.labels(), images);
        self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss * images as f64);

        let probes = &self.probes;
        let step =
            |row: usize| Step { number: self.steps, rate: (probes[row / classes].learning_rate * factor) as f32 };
        let (optimiser, inputs) = (probes[0].optimiser, Matrix::rows(&self.inputs, channels));
        let Parameters { values, first, second } = &mut self.weights;
        let no_squares = second.is_empty();
        let blank = vec![Vec::new(); values.len().div_ceil(BLOCK * channels)];
        let mut seconds: Vec<&mut [f32]> = second.chunks_mut(BLOCK * channels).collect();
        let mut blanks: Vec<Vec<f32>> = blank;
        if no_squares {
            seconds = blanks.iter_mut().map(Vec::as_mut_slice).collect();
        }
        let blocks = values
            .par_chunks_mut(BLOCK * channels)
            .zip(first.par_chunks_mut(BLOCK * channels))
            .zip(seconds)
            .zip(self.logits.par_chunks(BLOCK * images));
        let scratch = || vec![0f32; BLOCK * channels];
        blocks.enumerate().for_each_init(scratch, |gradient, (block, (((values, first), second), slopes))| {
            let count = values.len() / channels;
            let gradient = &mut gradient[..count * channels];
            product([count, images, channels], Matrix::rows(slopes, images), inputs, gradient, Onto::Nothing);
            for row in 0..count {
                let place = row * channels..(row + 1) * channels;
                let squares = if no_squares { &mut [] } else { &mut second[place.clone()] };
                let (values, first) = (&mut values[place.clone()], &mut first[place.clone()]);
                optimiser.descend(step(block * BLOCK + row), values, first, squares, &gradient[place]);
            }
        });
        if self.has_bias() {
            let gradient = self.bias_gradient(images);
            let Parameters { values, first, second } = &mut self.biases;
            for row in (0..values.len()).filter(|row| probes[row / classes].bias) {
                let squares = if no_squares { &mut [] } else { &mut second[row..=row] };
                let (values, first) = (&mut values[row..=row], &mut first[row..=row]);
                optimiser.descend(step(row), values, first, squares, &gradient[row..=row]);
            }
        }
    }

    fn losses(&mut self) -> Vec<f64> {
        std::mem::replace(&mut self.losses, vec![0.0; self.probes.len()])
    }

    fn score(&self, batch: &Batch<'_>, tallies: Vec<(usize, &mut Tally)>) {
        tallies.into_par_iter().for_each(|(probe, tally)| {
            tally.add(&self.logits(probe, batch), batch.labels().into_iter());
        });
    }

    fn tally(&mut self, batch: &Batch<'_>, all: usize) {
        let (channels, images) = (self.channels, batch.len());
        let (mut losses, mut gradient, mut bias_gradient) = std::mem::take(&mut self.tallied);
        losses.resize(self.probes.len(), 0.0);
        gradient.resize(self.weights.values.len(), 0.0);
        bias_gradient.resize(self.biases.values.len(), 0.0);
        self.forward(batch);
        let parts = self.differentiate(&batch.labels(), all);
        losses.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        let inputs = Matrix::rows(&self.inputs, channels);
        let slopes = self.logits.par_chunks(BLOCK * images);
        gradient.par_chunks_mut(BLOCK * channels).zip(slopes).for_each(|(gradient, slopes)| {
            let size = [gradient.len() / channels, images, channels];
            product(size, Matrix::rows(slopes, images), inputs, gradient, Onto::Sum);
        });
        bias_gradient.iter_mut().zip(self.bias_gradient(images)).for_each(|(sum, part)| *sum += part);
        self.tallied = (losses, gradient, bias_gradient);
    }

    fn figures(&mut self) -> Vec<[f64; 2]> {
        let (losses, gradient, bias_gradient) = std::mem::take(&mut self.tallied);
        let square = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        let squares = gradient.chunks(self.classes * self.channels).zip(bias_gradient.chunks(self.classes));
        let norms = squares.map(|(weight, bias)| (square(weight) + square(bias)).sqrt());
        losses.into_iter().zip(norms).map(|(loss, norm)| [loss, norm]).collect()
    }

    fn raw(&self, probe: usize) -> Raw {
        let part = |values: &[f32], width: usize| values[probe * width..(probe + 1) * width].to_vec();
        Raw {
            weight: part(&self.weights.values, self.classes * self.channels),
            bias: part(&self.biases.values, self.classes),
        }
    }

    fn put(&mut self, probe: usize, raw: &Raw) {
        let put = |values: &mut [f32], part: &[f32]| {
            values[probe * part.len()..(probe + 1) * part.len()].copy_from_slice(part);
        };
        put(&mut self.weights.values, &raw.weight);
        put(&mut self.biases.values, &raw.bias);
    }

    fn save(&self, state: &mut State) {
        state.put_doubles("steps", vec![f64::from(self.steps)]);
        self.weights.save("weight", state);
        self.biases.save("bias", state);
    }

    fn restore(&mut self, state: &mut State) -> Result<()> {
        self.steps = state.take_doubles("steps")?.first().map_or(0, |&steps| steps as i32);
        self.weights.restore("weight", state)?;
        self.biases.restore("bias", state)
    }
}
