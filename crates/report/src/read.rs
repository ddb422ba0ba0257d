//! Reads score, probe and prediction tables of experiments, lazily: only the columns that the report needs.

use crate::accuracy::{Prediction, Predictions};
use crate::findings::{Inputs, Source, Training};
use crate::scores::{Cell, Key, Raw, Scores};
use crate::table::column as c;
use evaluate::table::SCORES;
use features::artifact::{Reader, Table};
use features::error::{Error, Result};
use polars::prelude::*;
use probe::table::{PREDICTIONS, PREDICTIONS_DIR, PROBES, PROBES_DIR};
use std::collections::BTreeMap;
use std::path::Path;

/// The reason that `evaluate` gives where a map has no positive relevance.
const EMPTY: &str = "no_positive_mass";
/// Directory of scores in an experiment.
pub const SCORES_DIR: &str = "evaluate";

/// Reads all experiments, given by their directories.
pub fn inputs(experiments: &[impl AsRef<Path>]) -> Result<Inputs> {
    let (mut raws, mut inputs) = (Vec::new(), Inputs::default());
    for directory in experiments {
        let (directory, name) = (directory.as_ref(), name(directory.as_ref()));
        raws.extend(scores(directory, &name)?);
        inputs.curves.extend(crate::curves::read(directory, &name)?);
        let trainings = trainings(directory, &name)?;
        inputs.predictions.push(predictions(directory, &name, &trainings.seeds)?);
        inputs.trainings.extend(trainings.rows);
    }
    inputs.scores = Scores::new(raws);
    inputs.sources = sources(experiments)?;
    Ok(inputs)
}

/// Name of an experiment: the last part of its directory.
pub fn name(directory: &Path) -> String {
    directory.file_name().map_or_else(|| directory.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Scores and probes of all experiments, by content.
pub fn sources(experiments: &[impl AsRef<Path>]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for directory in experiments {
        let directory = directory.as_ref();
        for (table, dir) in [(&SCORES, SCORES_DIR), (&PROBES, PROBES_DIR)] {
            let input = Reader::open(&directory.join(dir), table)?.input();
            found.push(Source { name: format!("{}/{}", name(directory), input.name), fingerprint: input.fingerprint });
        }
    }
    Ok(found)
}

/// A lazy scan of a table that passed the checks of [`Reader`].
fn scan(directory: &Path, table: &'static Table) -> Result<LazyFrame> {
    Reader::open(directory, table)?.verify()?;
    let pattern = directory.join("part-*.parquet");
    let pattern = pattern
        .to_str()
        .ok_or_else(|| Error::Usage(format!("{}: not a UTF-8 path; rename it", directory.display())))?;
    LazyFrame::scan_parquet(PlRefPath::from(pattern), ScanArgsParquet::default())
        .map_err(|error| failed(directory, &error))
}

fn failed(directory: &Path, error: &PolarsError) -> Error {
    Error::BadData(format!(
        "{}: cannot be read ({error}); run the stage that wrote it again with --force",
        directory.display()
    ))
}

fn scores(experiment: &Path, name: &str) -> Result<Vec<Raw>> {
    let directory = experiment.join(SCORES_DIR);
    Reader::open(&directory, &SCORES)?.check_current()?;
    let keys = [
        c::BACKBONE,
        c::ITEM_KIND,
        c::GRID_SIZE,
        c::METRIC,
        c::VARIANT,
        c::METHOD,
        c::PROBE_ID,
        c::HEAD,
        c::LOSS,
        c::OFFSET,
        c::SEED,
    ];
    let values = [c::ITEM, c::TARGET_INDEX, c::VALUE, c::REASON, c::CHANCE].map(col);
    let query = scan(&directory, &SCORES)?
        .group_by(keys.map(col))
        .agg([values.as_slice(), &[col(c::HIGHER_IS_BETTER).first()]].concat());
    let raws = || -> PolarsResult<Vec<Raw>> {
        let frame = query.collect()?;
        (0..frame.height()).map(|row| raw(&frame, row, name)).collect()
    };
    raws().map_err(|error| failed(&directory, &error))
}

/// One row of the grouped frame.
fn raw(frame: &DataFrame, row: usize, experiment: &str) -> PolarsResult<Raw> {
    let text = |name: &str| -> PolarsResult<String> {
        Ok(frame.column(name)?.str()?.get(row).unwrap_or_default().to_string())
    };
    let list = |name: &str| -> PolarsResult<Series> {
        let missing = || polars_err!(ComputeError: "no list in column {name}");
        frame.column(name)?.list()?.get_as_series(row).ok_or_else(missing)
    };
    let probe_id = text(c::PROBE_ID)?;
    let key = Key {
        experiment: experiment.to_string(),
        backbone: text(c::BACKBONE)?,
        item_kind: text(c::ITEM_KIND)?,
        grid_size: frame.column(c::GRID_SIZE)?.i32()?.get(row),
        metric: text(c::METRIC)?,
        variant: text(c::VARIANT)?,
        method: text(c::METHOD)?,
        probe: probe::id::name(&probe_id),
        head: text(c::HEAD)?,
        loss: text(c::LOSS)?,
        offset: text(c::OFFSET)?,
    };
    let seed = frame.column(c::SEED)?.i64()?.get(row).unwrap_or_default();
    let (items, targets, values, chances) = (list(c::ITEM)?, list(c::TARGET_INDEX)?, list(c::VALUE)?, list(c::CHANCE)?);
    let (items, targets, values, chances) = (items.str()?, targets.i32()?, values.f64()?, chances.f64()?);
    let reasons = list(c::REASON)?;
    let reasons = reasons.str()?;
    let cell = |at: usize| {
        let cell = Cell {
            item: 0,
            target: targets.get(at).unwrap_or_default(),
            seed,
            value: values.get(at),
            empty: reasons.get(at) == Some(EMPTY),
            chance: chances.get(at),
        };
        (items.get(at).unwrap_or_default().to_string(), cell)
    };
    Ok(Raw {
        key,
        higher_is_better: frame.column(c::HIGHER_IS_BETTER)?.bool()?.get(row).unwrap_or(true),
        cells: (0..items.len()).map(cell).collect(),
    })
}

/// Training records of an experiment, and the seed of each probe id.
struct Trainings {
    rows: Vec<Training>,
    seeds: BTreeMap<String, i64>,
}

fn trainings(experiment: &Path, name: &str) -> Result<Trainings> {
    let directory = experiment.join(PROBES_DIR);
    let names = [
        c::PROBE_ID,
        c::SEED,
        c::OPTIMISER,
        c::LEARNING_RATE,
        c::EPOCHS,
        c::TRAIN_LOSS,
        c::GRADIENT_NORM,
        c::TEST_ACCURACY,
        c::MEAN_LOGIT,
        c::COMMON_NORM_RATIO,
    ];
    let query = scan(&directory, &PROBES)?.select(names.map(col));
    let read = || -> PolarsResult<Trainings> {
        let frame = query.collect()?;
        let (mut rows, mut seeds) = (Vec::new(), BTreeMap::new());
        for row in 0..frame.height() {
            let text = |name: &str| -> PolarsResult<String> {
                Ok(frame.column(name)?.str()?.get(row).unwrap_or_default().to_string())
            };
            let float =
                |name: &str| -> PolarsResult<f64> { Ok(frame.column(name)?.f64()?.get(row).unwrap_or(f64::NAN)) };
            let probe_id = text(c::PROBE_ID)?;
            seeds.insert(probe_id.clone(), frame.column(c::SEED)?.i64()?.get(row).unwrap_or_default());
            rows.push(Training {
                experiment: name.to_string(),
                probe_id,
                optimiser: text(c::OPTIMISER)?,
                learning_rate: float(c::LEARNING_RATE)?,
                epochs: frame.column(c::EPOCHS)?.i32()?.get(row).unwrap_or_default(),
                train_loss: float(c::TRAIN_LOSS)?,
                gradient_norm: float(c::GRADIENT_NORM)?,
                test_accuracy: float(c::TEST_ACCURACY)?,
                mean_logit: float(c::MEAN_LOGIT)?,
                common_norm_ratio: float(c::COMMON_NORM_RATIO)?,
            });
        }
        rows.sort_by(|a, b| a.probe_id.cmp(&b.probe_id));
        Ok(Trainings { rows, seeds })
    };
    read().map_err(|error| failed(&directory, &error))
}

fn predictions(experiment: &Path, name: &str, seeds: &BTreeMap<String, i64>) -> Result<Predictions> {
    let directory = experiment.join(PREDICTIONS_DIR);
    let query = scan(&directory, &PREDICTIONS)?
        .select([c::PROBE_ID, c::IMAGE_ID, c::LABEL, c::PREDICTED, c::PROBABILITY].map(col));
    let read = || -> PolarsResult<Predictions> {
        let frame = query.collect()?;
        let mut found = Predictions { experiment: name.to_string(), ..Predictions::default() };
        let ids = frame.column(c::PROBE_ID)?.str()?;
        let images = frame.column(c::IMAGE_ID)?.i64()?;
        let (labels, predicted) = (frame.column(c::LABEL)?.i32()?, frame.column(c::PREDICTED)?.i32()?);
        let probabilities = frame.column(c::PROBABILITY)?.f32()?;
        for row in 0..frame.height() {
            let (Some(id), Some(image), Some(label), Some(predicted)) =
                (ids.get(row), images.get(row), labels.get(row), predicted.get(row))
            else {
                continue;
            };
            let seed = seeds.get(id).copied().unwrap_or_default();
            let prediction =
                Prediction { image, seed, label, predicted, probability: probabilities.get(row).unwrap_or(f32::NAN) };
            found.probes.entry(probe::id::name(id)).or_default().push(prediction);
        }
        found.probes.values_mut().for_each(|rows| rows.sort_by_key(|p| (p.image, p.seed)));
        Ok(found)
    };
    read().map_err(|error| failed(&directory, &error))
}
