//! States of trainings, kept while the stage runs, so that a killed run goes on where it was.
//!
//! A state holds every number a training carries from one epoch to the next, to the bit: the run that goes on ends with
//! the bytes of one that was never disturbed. When a state is kept depends on the work done since the last one, not on
//! a clock, and is of no consequence for what is computed.

use std::collections::BTreeMap;

use features::artifact::Artifact;
use features::error::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::trained::LogEntry;

/// Multiplications after which a state is worth its time on disk: some tens of seconds.
const WORK: f64 = 1e12;

/// Where states are kept.
#[derive(Debug)]
pub struct Checkpoints<'a> {
    artifact: Option<&'a Artifact>,
    /// Epochs between two states; without it as the work is worth.
    every: Option<usize>,
}

impl<'a> Checkpoints<'a> {
    /// Nowhere.
    pub const NONE: Checkpoints<'static> = Checkpoints { artifact: None, every: None };

    /// Beside the unfinished artifact.
    pub fn new(artifact: &'a Artifact, every: Option<usize>) -> Self {
        Self { artifact: Some(artifact), every }
    }

    /// Epochs between two states of a training whose epochs take `work` multiplications.
    pub fn epochs(&self, work: f64) -> usize {
        self.every.unwrap_or((WORK / work.max(1.0)).ceil() as usize).max(1)
    }

    /// The state kept under this name.
    ///
    /// # Errors
    /// A file that cannot be read, or is no state.
    pub fn load(&self, name: &str) -> Result<Option<State>> {
        let Some(bytes) = self.artifact.map(|artifact| artifact.checkpoint(name)).transpose()?.flatten() else {
            return Ok(None);
        };
        State::from_bytes(&bytes, name).map(Some)
    }

    /// Keeps a state in the place of the last one of this name.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, name: &str, state: &State) -> Result<()> {
        match self.artifact {
            Some(artifact) => artifact.write_checkpoint(name, &state.to_bytes()?),
            None => Ok(()),
        }
    }
}

/// Named numbers of both precisions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    singles: BTreeMap<String, Vec<f32>>,
    doubles: BTreeMap<String, Vec<f64>>,
}

/// Splits and metrics that logs of trainings name.
const SPLITS: [&str; 2] = ["train", "validation"];
const METRICS: [&str; 3] = ["batch_loss", "accuracy", "mean_average_precision"];

impl State {
    /// Adds an array.
    pub fn put(&mut self, name: impl Into<String>, values: Vec<f32>) {
        self.singles.insert(name.into(), values);
    }

    /// Adds an array of double precision.
    pub fn put_doubles(&mut self, name: impl Into<String>, values: Vec<f64>) {
        self.doubles.insert(name.into(), values);
    }

    /// Adds all arrays of another state, under names that begin so.
    pub fn put_all(&mut self, prefix: &str, other: State) {
        self.singles.extend(other.singles.into_iter().map(|(name, values)| (format!("{prefix}{name}"), values)));
        self.doubles.extend(other.doubles.into_iter().map(|(name, values)| (format!("{prefix}{name}"), values)));
    }

    /// The arrays whose names begin so, under the rest of their names.
    pub fn take_all(&mut self, prefix: &str) -> State {
        let mut found = State::default();
        for (name, values) in &self.singles {
            name.strip_prefix(prefix).into_iter().for_each(|rest| found.put(rest, values.clone()));
        }
        for (name, values) in &self.doubles {
            name.strip_prefix(prefix).into_iter().for_each(|rest| found.put_doubles(rest, values.clone()));
        }
        found
    }

    /// Takes an array out.
    ///
    /// # Errors
    /// [`Error::Bug`] where there is none: a state is read by the algorithm that wrote it.
    pub fn take(&mut self, name: &str) -> Result<Vec<f32>> {
        self.singles.remove(name).ok_or_else(|| missing(name))
    }

    /// Takes an array of double precision out.
    ///
    /// # Errors
    /// As [`State::take`].
    pub fn take_doubles(&mut self, name: &str) -> Result<Vec<f64>> {
        self.doubles.remove(name).ok_or_else(|| missing(name))
    }

    /// Adds a log: five numbers an entry.
    ///
    /// # Errors
    /// [`Error::Bug`] for a metric that trainings do not log.
    pub fn put_log(&mut self, name: impl Into<String>, log: &[LogEntry]) -> Result<()> {
        let place = |names: &[&str], name: &str| {
            let found = names.iter().position(|known| *known == name);
            found.map(|place| place as f64).ok_or_else(|| Error::Bug(format!("no checkpoint knows {name:?}")))
        };
        let mut numbers = Vec::with_capacity(5 * log.len());
        for entry in log {
            let (split, metric) = (place(&SPLITS, entry.split)?, place(&METRICS, entry.metric)?);
            numbers.extend([entry.epoch as f64, split, metric, entry.value, entry.learning_rate]);
        }
        self.put_doubles(name, numbers);
        Ok(())
    }

    /// Takes a log out.
    ///
    /// # Errors
    /// As [`State::take`].
    pub fn take_log(&mut self, name: &str) -> Result<Vec<LogEntry>> {
        let entry = |numbers: &[f64]| {
            let &[epoch, split, metric, value, learning_rate] = numbers else { return None };
            let (split, metric) = (SPLITS.get(split as usize)?, METRICS.get(metric as usize)?);
            Some(LogEntry::new(epoch as usize, split, metric, value, learning_rate))
        };
        let numbers = self.take_doubles(name)?;
        numbers.chunks(5).map(|numbers| entry(numbers).ok_or_else(|| missing(name))).collect()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let singles = self.singles.iter().map(|(name, values)| {
            (name, Dtype::F32, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
        });
        let doubles = self.doubles.iter().map(|(name, values)| {
            (name, Dtype::F64, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        });
        let arrays: Vec<_> = singles.chain(doubles).collect();
        let bug = |error| Error::Bug(format!("a checkpoint does not form a safetensors file ({error})"));
        let views = arrays
            .iter()
            .map(|(name, kind, count, raw)| Ok((*name, TensorView::new(*kind, vec![*count], raw).map_err(bug)?)))
            .collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(bug)
    }

    fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| {
            Error::BadData(format!("checkpoint {name} is damaged ({error}); run the probe stage again with --force"))
        })?;
        let mut state = Self::default();
        for (name, view) in file.iter() {
            if view.dtype() == Dtype::F64 {
                let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
                state.put_doubles(name, view.data().as_chunks().0.iter().map(number).collect());
            } else {
                let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
                state.put(name, view.data().as_chunks().0.iter().map(number).collect());
            }
        }
        Ok(state)
    }
}

fn missing(name: &str) -> Error {
    Error::Bug(format!("a checkpoint has no {name:?} as it should; run the probe stage again with --force"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use features::artifact::{ArtifactSpec, Begin, Run, TableSpec};

    use super::*;
    use crate::job::Job;
    use crate::table::{PROBES, PROBES_DIR};
    use crate::trained::Trained;

    /// Checks that a training which ends after its 5th epoch goes on from the state of its 3rd, and ends as it would have.
    pub(crate) fn check_resume(job: &Job, name: &str, train: impl Fn(&Job) -> Result<Vec<Trained>>) {
        let directory = tempfile::tempdir().unwrap();
        let table = TableSpec { table: &PROBES, dir: PROBES_DIR.into(), shapes: vec![], meta: BTreeMap::new() };
        let spec = ArtifactSpec {
            stage: "probe",
            path: directory.path().join(PROBES_DIR),
            algorithm: 1,
            config: serde_json::Value::Null,
            inputs: vec![],
            tables: vec![table],
            parts: 1,
        };
        let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("it is new") };
        let checkpoints = Checkpoints::new(&artifact, Some(3));
        let passed = AtomicUsize::new(0);
        let stop = |_: usize| assert!(passed.fetch_add(1, Ordering::Relaxed) < 4, "this run ends here, as planned");
        let job = Job { checkpoints: &checkpoints, ..*job };
        let killed = catch_unwind(AssertUnwindSafe(|| train(&Job { after_epoch: &stop, ..job }).is_ok()));
        assert!(killed.is_err(), "it went on to the end");
        let mut state = checkpoints.load(name).unwrap().expect("a state is kept");
        assert_eq!(state.clone().take_doubles("epochs").unwrap(), [3.0]);

        let numbers = |probes: Result<Vec<Trained>>| {
            let numbers = |probe: Trained| {
                let (weights, status, kept) = (probe.weights, probe.status, probe.kept_epoch);
                // As text, since what is not a number is not equal to itself.
                (weights, status, kept, format!("{} {} {:?}", probe.train_loss, probe.gradient_norm, probe.log))
            };
            probes.unwrap().into_iter().map(numbers).collect::<Vec<_>>()
        };
        let whole = numbers(train(&Job { checkpoints: &Checkpoints::NONE, ..job }));
        // Two rounds: from the 3rd epoch, then from the last state that was kept on the way.
        for round in 0..2 {
            assert_eq!(numbers(train(&job)), whole, "round {round}");
        }
        // That a state is read shows in a state that says something else: a shorter log, or a later step.
        match state.doubles.keys().find(|name| name.ends_with("log")).cloned() {
            Some(log) => state.put_log(log, &[]).unwrap(),
            None => state.put_doubles("epochs", vec![900.0]),
        }
        checkpoints.save(name, &state).unwrap();
        let other = train(&job).unwrap();
        assert!(other.iter().any(|probe| probe.log.iter().all(|entry| entry.epoch > 3)));
        assert_ne!(numbers(Ok(other)), whole);
        artifact.write_checkpoint(name, b"torn").unwrap();
        assert_eq!(train(&job).unwrap_err().exit_code(), 65);
    }

    #[test]
    fn states_survive_the_file_to_the_bit() {
        let log = [
            LogEntry::new(1, "train", "batch_loss", 0.1 + 0.2, 1e-300),
            LogEntry::new(7, "validation", "mean_average_precision", f64::INFINITY, 2.0),
        ];
        let mut state = State::default();
        state.put("weight", vec![0.1, f32::MIN_POSITIVE / 2.0, -0.0]);
        state.put_doubles("best", vec![1.0 / 3.0]);
        state.put_log("log", &log).unwrap();
        let mut found = State::from_bytes(&state.to_bytes().unwrap(), "a").unwrap();
        assert_eq!(found, state);
        assert_eq!(found.take_log("log").unwrap(), log);
        assert_eq!(found.take("weight").unwrap()[2].to_bits(), (-0.0f32).to_bits());
        assert_eq!(found.take("weight").unwrap_err().exit_code(), 1);
        assert_eq!(State::from_bytes(b"nonsense", "a").unwrap_err().exit_code(), 65);
        assert!(state.put_log("log", &[LogEntry::new(1, "train", "kappa", 0.0, 0.0)]).is_err());
    }

    #[test]
    fn small_trainings_are_not_kept_and_large_ones_are_every_epoch() {
        assert_eq!([1e6, 1e11, 1e13].map(|work| Checkpoints::NONE.epochs(work)), [1_000_000, 10, 1]);
        let often = Checkpoints { artifact: None, every: Some(1) };
        assert_eq!(often.epochs(1.0), 1);
    }
}
