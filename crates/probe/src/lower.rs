//! A probe as layers of the shared network: features `[n, channels, h, w]` in, logits `[n, classes, 1, 1]` out.

use features::error::Result;
use features::network::{BcosConv, ChannelScale, Conv, Layer, Network};
use features::stage::each;
use features::tensor::{Device, from_vec, to_vec};

use crate::data::{Batch, Form, Split};
use crate::score::{Score, Tally};
use crate::spec::{Head, Kind, Offset, ProbeSpec};
use crate::weights::Weights;

/// Tiles looked at together.
const BATCH: usize = 200;

/// The network of a probe with these weights: per-position layers, then the average pool, then the offset.
///
/// B-cos heads begin with a channel scale that holds the factor their training put on the features. A B-cos layer is
/// homogeneous of degree 1, so this one number could move anywhere along a head of one layer but not into its
/// weights, whose length does not count; for the others it has been folded into the first weights.
pub fn lower(spec: &ProbeSpec, weights: &Weights, device: &Device) -> Result<Network> {
    let (head, offset) = (spec.head, spec.offset);
    let mut layers = Vec::new();
    let classes;
    match head.kind() {
        Kind::Linear | Kind::Shift => {
            let weight = weights.tensor::<4>("fc.weight", device)?;
            classes = weight.dims()[0];
            layers.push(Layer::Conv(Conv::pointwise(weight, weights.optional("fc.bias", device)?)));
        }
        Kind::Bcos => {
            let scale = weights.get("input_scale")?.values[0];
            let channels = weights.get("fc0.linear.weight")?.shape[1];
            let scale = from_vec(vec![scale; channels], [channels], device);
            layers.push(Layer::Scale(ChannelScale { scale, shift: None }));
            for index in 0..head.layers() {
                let weight = weights.tensor(&format!("fc{index}.linear.weight"), device)?;
                layers.push(Layer::BcosConv(BcosConv::new(weight, spec.b as f32, [1, 1], [0, 0])));
                if index + 1 < head.layers() {
                    layers.push(Layer::Scale(norm(weights, index, device)?));
                }
            }
            classes = weights.get(&format!("fc{}.linear.weight", head.layers() - 1))?.shape[0];
        }
        Kind::Mlp => {
            for index in 0..head.layers() {
                let weight = weights.tensor(&format!("fc{index}.weight"), device)?;
                let bias = weights.optional(&format!("fc{index}.bias"), device)?;
                layers.push(Layer::Conv(Conv::pointwise(weight, bias)));
                if index + 1 < head.layers() {
                    layers.push(Layer::Scale(norm(weights, index, device)?));
                    layers.push(Layer::Relu);
                }
            }
            classes = weights.get(&format!("fc{}.weight", head.layers() - 1))?.shape[0];
        }
    }
    layers.push(Layer::GlobalAvgPool);
    if offset != Offset::None {
        layers.push(Layer::Offset(offset.value(classes)));
    }
    Ok(Network::new(layers))
}

/// Logits of probes on a split by their lowered networks, batch by batch in the order of its rows: from pooled features
/// where a head commutes with the pool, else from maps. `look` gets the place of a probe and its logits `[rows, classes]`
/// of a batch.
///
/// # Errors
/// Weights that are no probe of this kind, features that cannot be read.
pub fn each_logits(
    probes: &[(&ProbeSpec, &Weights)],
    split: &Split,
    device: &Device,
    mut look: impl FnMut(usize, &Batch<'_>, Vec<f32>),
) -> Result<()> {
    let networks = probes.iter().map(|(spec, weights)| lower(spec, weights, device)).collect::<Result<Vec<_>>>()?;
    let all = split.all_rows();
    for form in [Form::Pooled, Form::Maps] {
        let chosen: Vec<usize> = (0..probes.len()).filter(|&place| probes[place].0.form() == form).collect();
        if chosen.is_empty() {
            continue;
        }
        let [height, width] = if form == Form::Pooled { [1, 1] } else { split.size };
        split.visit(form, &all, BATCH, |batch| {
            let values: Vec<f32> = batch.all_features().flatten().copied().collect();
            let inputs = from_vec(values, [batch.len(), split.channels, height, width], device);
            let logits =
                each(device, chosen.iter().collect(), |&place| to_vec(networks[place].forward(inputs.clone())));
            chosen.iter().zip(logits).for_each(|(&place, logits)| look(place, &batch, logits));
            Ok(())
        })?;
    }
    Ok(())
}

/// Logits `[n, classes]` of each probe on a split, as [`each_logits`] gives them.
///
/// # Errors
/// As [`each_logits`].
pub fn logits(probes: &[(&ProbeSpec, &Weights)], split: &Split, device: &Device) -> Result<Vec<Vec<f32>>> {
    let mut all = vec![Vec::new(); probes.len()];
    each_logits(probes, split, device, |place, _, logits| all[place].extend(logits))?;
    Ok(all)
}

/// A figure of each probe on a split.
///
/// # Errors
/// As [`each_logits`].
pub fn scores(by: Score, probes: &[(&ProbeSpec, &Weights)], split: &Split, device: &Device) -> Result<Vec<f64>> {
    let mut tallies = vec![Tally::new(by); probes.len()];
    each_logits(probes, split, device, |place, batch, logits| {
        tallies[place].add(&logits, batch.labels().into_iter());
    })?;
    Ok(tallies.iter().map(|tally| tally.value(split)).collect())
}

/// The norm behind layer `index`: centred where its weights have a shift.
fn norm(weights: &Weights, index: usize, device: &Device) -> Result<ChannelScale> {
    let part = |part: &str| weights.tensor::<1>(&format!("bn{index}.{part}"), device);
    match weights.optional::<1>(&format!("bn{index}.bias"), device)? {
        Some(beta) => Ok(ChannelScale::batch_norm(part("weight")?, beta, part("running_mean")?, part("running_var")?)),
        None => Ok(ChannelScale::uncentred(part("weight")?, part("running_var")?)),
    }
}

/// Norm of the classes' mean weight, and that over the mean norm of their weights, in the last layer: 0 when the classes'
/// weights cancel, 1 when all are the same. Rows of B-cos layers count with norm 1, as the layer uses them.
pub fn common_norm(head: Head, weights: &Weights) -> Result<[f64; 2]> {
    let last = head.layers() - 1;
    let name = match head.kind() {
        Kind::Linear | Kind::Shift => "fc.weight".to_string(),
        Kind::Bcos => format!("fc{last}.linear.weight"),
        Kind::Mlp => format!("fc{last}.weight"),
    };
    let array = weights.get(&name)?;
    let inputs = array.values.len() / array.shape[0];
    let norm = |row: &[f64]| row.iter().map(|w| w * w).sum::<f64>().sqrt();
    let classes = array.shape[0] as f64;
    let (mut mean, mut norms) = (vec![0.0; inputs], 0.0);
    for row in array.values.chunks(inputs) {
        let row: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
        let length = norm(&row);
        let factor = if head.kind() == Kind::Bcos { 1.0 / length } else { 1.0 };
        norms += length * factor;
        mean.iter_mut().zip(&row).for_each(|(mean, w)| *mean += w * factor);
    }
    Ok([norm(&mean) / classes, norm(&mean) / norms])
}
