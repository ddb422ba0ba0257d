//! How many inputs go through a network at once: what speed wants, as far as memory has room for it.
//!
//! The size changes speed and memory only, never a result. It follows a budget in bytes before a run; on an accelerator
//! it also follows what turns out to be there: a pass that finds no room is made again in halves.

use std::fmt;
use std::panic::resume_unwind;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Bytes, Stage};
use crate::error::{Error, Result};
use crate::failure::{self, Failure};
use crate::memory;
use crate::network::Network;
use crate::tensor::Device;

/// Share of free memory that batches may take where nobody names a budget.
const SHARE: f64 = 0.75;

/// Flags of stages that run networks.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct BatchArgs {
    /// Inputs in a pass, a number or auto (as many as are fast and fit in --memory) [default: the experiment file's]
    #[arg(long, value_name = "N")]
    pub batch: Option<Batch>,
    /// Memory that passes may take, like 8GB, on the device that computes [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Bytes>,
}

/// A number of inputs as it is written: `32` or `"auto"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Batch {
    /// As many as are fast, as far as memory allows.
    #[default]
    Auto,
    /// So many.
    Of(usize),
}

/// As it stands in an experiment file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Text(String),
}

impl FromStr for Batch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(count)) if count > 0 => Ok(Self::Of(count)),
            _ => Err(Error::Usage(format!("{text:?} is no number of inputs; give 1 or more, or \"auto\""))),
        }
    }
}

impl TryFrom<Written> for Batch {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Number(count) => count.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Batch> for Written {
    fn from(batch: Batch) -> Self {
        match batch {
            Batch::Auto => Self::Text("auto".to_string()),
            Batch::Of(count) => Self::Number(count),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(count) => write!(f, "{count}"),
        }
    }
}

/// What passes take: bytes of each input, and of each pass whatever its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Bytes an input.
    pub input: f64,
    /// Bytes a pass.
    pub pass: f64,
    /// Passes side by side.
    pub passes: usize,
}

impl Need {
    /// Forward passes of pictures of `shape` `[channels, rows, columns]`: the maps that live at once, and as much again as
    /// room for convolutions.
    pub fn forward(network: &Network, shape: [usize; 3], device: &Device) -> Self {
        Self { input: 2.0 * 4.0 * network.footprint(shape).peak as f64, pass: 0.0, passes: side_by_side(device) }
    }

    fn of(&self, batch: usize) -> f64 {
        self.passes as f64 * (self.pass + self.input * batch as f64)
    }
}

/// Passes that run side by side: the CPU's backend computes on the calling thread, an accelerator needs no more than one.
pub fn side_by_side(device: &Device) -> usize {
    match device {
        Device::Flex(_) => rayon::current_num_threads(),
        _ => 1,
    }
}

/// What `work` makes of each of `items`: side by side on the CPU, in turn on the calling thread elsewhere. An accelerator's
/// backend orders what one thread asks for; a tensor that another one uses may be gone or rewritten before it is read.
pub fn each<T: Send, R: Send>(device: &Device, items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    match device {
        Device::Flex(_) => items.into_par_iter().map(work).collect(),
        _ => items.into_iter().map(work).collect(),
    }
}

impl Stage {
    /// Inputs in a pass: what `--batch` says, else what the experiment file says; `auto` is `fast` or as many as fit.
    ///
    /// # Errors
    /// [`Error::Usage`] where a budget that was named has no room for them.
    pub fn batch(&self, written: Batch, fast: usize, need: Need, device: &Device) -> Result<Batches> {
        let budget = self.batch.memory;
        let room = budget.or_else(|| Some(Bytes(SHARE * memory::free(device)?))).map_or(f64::INFINITY, |room| room.0);
        let size = match self.batch.batch.unwrap_or(written) {
            Batch::Of(count) => count,
            Batch::Auto => {
                let fits = (room / need.passes as f64 - need.pass) / need.input;
                fast.min(fits.max(1.0) as usize)
            }
        };
        if let Some(budget) = budget.filter(|budget| need.of(size) > budget.0) {
            let (inputs, total) = (if size == 1 { "1 input" } else { &format!("{size} inputs") }, Bytes(need.of(size)));
            let remedy =
                if size == 1 { "a larger budget or fewer threads (RAYON_NUM_THREADS)" } else { "--batch auto" };
            let side = need.passes;
            return Err(Error::Usage(format!(
                "--memory {budget}: {side} passes of {inputs} side by side take about {total}; give {remedy}"
            )));
        }
        Ok(Batches::new(device.clone(), size))
    }
}

/// How many inputs (or probes) are taken at once, which becomes smaller when the device finds no room for them.
#[derive(Debug)]
pub struct Batches {
    device: Device,
    size: AtomicUsize,
}

impl Batches {
    /// Begins with `size`.
    pub fn new(device: Device, size: usize) -> Self {
        Self { device, size: AtomicUsize::new(size) }
    }

    /// How many in a pass, for now.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// What `pass` gives when it takes so many inputs at once. On an accelerator a pass that fails is made again with
    /// half as many: a device without room says so where a result is read.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no room for a single one.
    pub fn run<T>(&self, pass: impl Fn(usize) -> T) -> Result<T> {
        match self.device {
            Device::Flex(_) => Ok(pass(self.size())),
            _ => self.halve(pass),
        }
    }

    fn halve<T>(&self, pass: impl Fn(usize) -> T) -> Result<T> {
        loop {
            let size = self.size();
            let failure = match failure::catch(|| pass(size)) {
                Ok(made) => return Ok(made),
                Err(failure) => failure,
            };
            memory::give_back(&self.device);
            let said = match failure {
                Failure::Panic(panic) if size == 1 => resume_unwind(panic),
                Failure::Panic(panic) => failure::said(&*panic),
                Failure::Device(said) => said,
            };
            if size == 1 {
                let what = if failure::is_about_room(&said) { "has no room for" } else { "failed with" };
                return Err(Error::Device(format!(
                    "the device {what} the least that it can be given ({said}); end what else runs on it, or use a larger one"
                )));
            }
            tracing::warn!("the device failed with {size} at once and tries again with {}: {said}", size / 2);
            self.size.store(size / 2, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::stage::StageArgs;
    use crate::tensor::cpu;

    fn stage(batch: Option<&str>, memory: Option<&str>) -> Stage {
        let args = StageArgs { out: Some("x".into()), ..StageArgs::default() };
        let batch = batch.map(|text| text.parse().expect("a size"));
        let memory = memory.map(|text| text.parse().expect("an amount"));
        Stage::new(args).expect("a stage").with(BatchArgs { batch, memory })
    }

    const NEED: Need = Need { input: 1e6, pass: 1e6, passes: 2 };

    #[test]
    fn a_size_is_a_number_or_auto() {
        for (text, batch) in [("auto", Batch::Auto), ("7", Batch::Of(7))] {
            assert_eq!((text.parse::<Batch>().expect("a size"), batch.to_string().as_str()), (batch, text));
        }
        for (written, batch) in [("7", Batch::Of(7)), ("\"auto\"", Batch::Auto)] {
            assert_eq!(serde_json::from_str::<Batch>(written).expect("a size"), batch);
            assert_eq!(serde_json::to_string(&batch).expect("a text"), written);
        }
        for text in ["0", "-1", "all", ""] {
            assert_eq!(text.parse::<Batch>().expect_err("no size").exit_code(), 2, "{text}");
        }
        assert!(serde_json::from_str::<Batch>("0").expect_err("none").to_string().contains("1 or more"));
    }

    #[test]
    fn the_size_follows_the_budget() {
        let size = |batch, memory, written| {
            stage(batch, memory).batch(written, 16, NEED, &cpu()).map(|batches| batches.size())
        };
        assert_eq!(size(None, None, Batch::Auto).expect("room"), 16);
        assert_eq!(size(None, None, Batch::Of(3)).expect("room"), 3);
        assert_eq!(size(Some("5"), None, Batch::Of(3)).expect("room"), 5);
        // 10 MB for two passes of 1 MB and their inputs.
        assert_eq!(size(None, Some("10 MB"), Batch::Auto).expect("room"), 4);
        assert_eq!(size(Some("auto"), Some("10 MB"), Batch::Of(64)).expect("room"), 4);
        let error = size(None, Some("10 MB"), Batch::Of(64)).expect_err("too many").to_string();
        assert!(error.contains("2 passes of 64 inputs side by side take about 130 MB; give --batch auto"), "{error}");
        let error = size(None, Some("3 MB"), Batch::Auto).expect_err("too little");
        assert!(error.to_string().contains("of 1 input side by side take about 4 MB; give a larger budget"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_pass_without_room_is_halved_and_stays_so() {
        let _alone = failure::ALONE.lock().expect("no test has failed");
        let batches = Batches::new(cpu(), 50);
        let pass = |size: usize| {
            assert!(size < 10, "Error while reading data: can't allocate buffer of size {size}");
            size
        };
        assert_eq!(batches.halve(pass).expect("room at last"), 6);
        assert_eq!(batches.size(), 6);
        let full = |_| failure::checked(|| Err("can't allocate buffer".to_string()), || ());
        let error = batches.halve(full).expect_err("never any room");
        assert_eq!((error.exit_code(), batches.size()), (69, 1));
        assert!(error.to_string().contains("has no room for the least"), "{error}");
        let other = catch_unwind(AssertUnwindSafe(|| batches.halve(|_| -> () { panic!("index out of bounds") })));
        assert_eq!(failure::said(&*other.expect_err("another panic goes on")), "index out of bounds");
    }

    #[test]
    fn the_cpu_is_never_asked_twice() {
        let panic =
            catch_unwind(AssertUnwindSafe(|| Batches::new(cpu(), 2).run(|_| -> () { panic!("out of memory") })));
        assert!(panic.is_err());
    }
}
