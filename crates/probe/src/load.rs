//! Trained probes read back as networks.

use std::path::Path;

use features::artifact::Reader;
use features::error::{Error, Result};
use features::network::Network;
use features::tensor::Device;

use crate::loss::Loss;
use crate::lower::lower;
use crate::optimiser::{Method, Optimiser};
use crate::schedule::Schedule;
use crate::spec::{DEFAULT_B, Head, Norm, Offset, ProbeSpec, Scaling, Select};
use crate::table::{PROBES, PROBES_DIR, ProbeRows, WEIGHTS_FILE};
use crate::trained::Status;
use crate::weights::from_safetensors;

/// A trained probe, ready to be applied to feature maps.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The probe's id.
    pub id: String,
    /// What it is.
    pub spec: ProbeSpec,
    /// Features `[n, channels, h, w]` to logits `[n, classes, 1, 1]`, offset included.
    pub network: Network,
}

/// All probes of the experiment directory `dir` (`out/E`) that did not diverge, in the order of the table.
///
/// # Errors
/// A missing or damaged artifact, or a weight file that does not hold a listed probe.
pub fn load(dir: &Path, device: &Device) -> Result<Vec<Probe>> {
    let table = Reader::open(&dir.join(PROBES_DIR), &PROBES)?;
    let rows = ProbeRows::from_cells(table.read_all()?)?;
    let bytes = table.side_file(WEIGHTS_FILE)?;
    let origin = dir.join(WEIGHTS_FILE).display().to_string();
    let mut probes = Vec::new();
    for (row, id) in rows.probe_id.iter().enumerate() {
        if Status::from_name(&rows.status[row]) == Some(Status::Diverged) {
            continue;
        }
        let spec = spec(&rows, row)?;
        let weights = from_safetensors(&bytes, id, &origin)?;
        let network = lower(&spec, &weights, device)?;
        probes.push(Probe { id: id.clone(), spec, network });
    }
    Ok(probes)
}

fn spec(rows: &ProbeRows, row: usize) -> Result<ProbeSpec> {
    let id = &rows.probe_id[row];
    let unknown = |what: &str, name: &str| {
        Error::BadData(format!("probe {id}: unknown {what} {name:?}; run the probe stage again"))
    };
    let [head, loss, offset] = [&rows.head[row], &rows.loss[row], &rows.offset[row]];
    let [norm, scaling, optimiser] = [&rows.norm[row], &rows.scaling[row], &rows.optimiser[row]];
    let [schedule, warm_up, select] = [&rows.schedule[row], &rows.warm_up[row], &rows.select[row]];
    let method = Method::from_name(optimiser).ok_or_else(|| unknown("optimiser", optimiser))?;
    let mut spec = ProbeSpec {
        head: Head::from_name(head).ok_or_else(|| unknown("head", head))?,
        b: rows.b[row].unwrap_or(DEFAULT_B),
        loss: Loss::from_name(loss).ok_or_else(|| unknown("loss", loss))?,
        smoothing: rows.label_smoothing[row],
        offset: Offset::from_name(offset).ok_or_else(|| unknown("offset", offset))?,
        bias: rows.bias[row],
        norm: Norm::from_name(norm).ok_or_else(|| unknown("norm", norm))?,
        scaling: Scaling::from_name(scaling).ok_or_else(|| unknown("scaling", scaling))?,
        optimiser: Optimiser { method, momentum: rows.momentum[row], weight_decay: rows.weight_decay[row] },
        learning_rate: rows.learning_rate[row],
        schedule: Schedule {
            warm_up: warm_up.parse().map_err(|_| unknown("warm-up", warm_up))?,
            decay: schedule.parse().map_err(|_| unknown("schedule", schedule))?,
        },
        epochs: rows.epochs[row] as usize,
        select: Select::from_name(select).ok_or_else(|| unknown("choice of the epoch", select))?,
        batch: rows.batch[row] as usize,
        hidden: rows.hidden[row] as usize,
        seed: rows.seed[row] as u64,
        tag: String::new(),
    };
    if let Some(tag) = id.strip_prefix(&format!("{}-", spec.id())) {
        spec.tag = tag.to_string();
    }
    Ok(spec)
}
