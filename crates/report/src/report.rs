//! The stage: from the tables of experiments to one directory with the report in every form.

use crate::findings::Findings;
use crate::roles::{Backbone, Roles};
use crate::summary::Resampling;
use crate::{aggregate, csv, figures, latex, maps, markdown, page, raster, read, table, tables, vega};
use features::artifact::{Artifact, ArtifactSpec, Begin, Input, Run, Shard, TableSpec};
use features::error::{Error, Result};
use features::stage::Stage;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Raised when the same inputs would give another report.
const ALGORITHM: u32 = 7;
/// Name of the artifact in the report's directory.
pub const NAME: &str = "report";

/// Section `[report]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directories of experiments; empty means all that have scores beside the report's own directory.
    pub experiments: Vec<PathBuf>,
    /// Image table that grids are made of; without it there is no gallery.
    pub images: Option<PathBuf>,
    /// Grids of each experiment that mean maps are of, the first ones; 0 for no mean maps. They are in the gallery.
    pub mean_maps: usize,
    /// Bootstrap resamples of every interval.
    pub resamples: usize,
    /// Probe names by the part they play, where they differ from the default.
    pub probes: Roles,
}

impl Default for Config {
    fn default() -> Self {
        Self { experiments: vec![], images: None, mean_maps: 200, resamples: 2000, probes: Roles::default() }
    }
}

/// What a run of the stage leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The finding in two lines; none if everything was up to date.
    pub headline: Option<[String; 2]>,
}

/// Writes the report, unless it is there already and made from the same.
pub fn write(stage: &Stage, config: &Config) -> Result<Written> {
    if config.resamples == 0 {
        return Err(Error::Usage("[report] resamples is 0; give at least 1, 2000 is usual".into()));
    }
    let experiments = experiments(stage, config)?;
    let page = stage.out.join(format!("{NAME}.html"));
    // A report is one part: a shard of it makes no sense, so every run makes it all.
    let run = Run { shard: Shard::default(), ..stage.run() };
    let artifact = match Artifact::begin(&run, spec(stage, config, &experiments)?)? {
        Begin::UpToDate(_) => return Ok(Written { page, headline: None }),
        Begin::Work(artifact) => artifact,
    };
    let inputs = read::inputs(&experiments)?;
    let resampling = Resampling { resamples: config.resamples, seed: stage.seed };
    let mut findings = Findings::new(&inputs, &config.probes, resampling);
    if let Some(images) = &config.images {
        let (scores, roles) = (&inputs.scores, &config.probes);
        let of = |backbone: &Backbone| {
            let experiment = experiments.iter().find(|directory| read::name(directory) == backbone.experiment);
            let Some(found) = experiment else { return Ok((vec![], None)) };
            let aggregate = match config.mean_maps {
                0 => None,
                most => aggregate::read(found, scores, backbone, roles, most)?,
            };
            Ok((maps::examples(found, images, scores, backbone, roles)?, aggregate))
        };
        let (examples, aggregates): (Vec<_>, Vec<_>) =
            findings.backbones.par_iter().map(of).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        findings.gallery = examples.concat();
        findings.aggregates = aggregates.into_iter().flatten().collect();
    }
    let cells = table::cells(&findings.summaries);
    artifact.write_part(0, vec![(0, cells)])?;
    for (name, bytes) in files(&findings)? {
        artifact.write_file(&name, &bytes)?;
    }
    artifact.finish()?;
    Ok(Written { page, headline: Some(findings.headline()) })
}

/// All files of a report besides its table: name and content.
pub fn files(findings: &Findings) -> Result<Vec<(String, Vec<u8>)>> {
    let figures = figures::all(findings);
    let mut files = vec![
        (format!("{NAME}.html"), page::render(findings, &figures)?.into_bytes()),
        (format!("{NAME}.md"), markdown::report(findings).into_bytes()),
    ];
    files.extend(csv::all(findings).into_iter().map(|(name, text)| (format!("{NAME}.{name}.csv"), text.into_bytes())));
    files.extend(
        tables::all(findings)
            .iter()
            .map(|table| (format!("{NAME}.{}.tex", table.name), latex::table(table).into_bytes())),
    );
    files.extend(
        figures.iter().map(|figure| (format!("{NAME}.{}.svg", figure.name), figure.svg.standalone().into_bytes())),
    );
    for figure in &figures {
        files.push((format!("{NAME}.{}.png", figure.name), raster::png(&figure.svg)?));
    }
    files.extend(
        figures
            .iter()
            .map(|figure| (format!("{NAME}.{}.vl.json", figure.name), vega::specification(figure).into_bytes())),
    );
    Ok(files)
}

fn spec(stage: &Stage, config: &Config, experiments: &[PathBuf]) -> Result<ArtifactSpec> {
    let sources = read::sources(experiments)?;
    let mut inputs: Vec<Input> =
        sources.into_iter().map(|source| Input { name: source.name, fingerprint: source.fingerprint }).collect();
    if let Some(images) = &config.images {
        inputs
            .push(Input { name: "images".into(), fingerprint: features::artifact::Manifest::read(images)?.content() });
        for directory in experiments {
            let maps = features::artifact::Manifest::read(&directory.join(maps::MAPS_DIR))?;
            inputs.push(Input {
                name: format!("{}/{}", read::name(directory), maps::MAPS_DIR),
                fingerprint: maps.content(),
            });
        }
    }
    Ok(ArtifactSpec {
        stage: NAME,
        path: stage.out.join(NAME),
        algorithm: ALGORITHM,
        config: json!({
            "resamples": config.resamples, "seed": stage.seed, "probes": config.probes, "mean_maps": config.mean_maps,
        }),
        inputs,
        tables: vec![TableSpec { table: &table::SUMMARY, dir: NAME.into(), shapes: vec![], meta: Default::default() }],
        parts: 1,
    })
}

/// Directories of experiments, sorted by name; their names must differ.
fn experiments(stage: &Stage, config: &Config) -> Result<Vec<PathBuf>> {
    let mut found = match config.experiments.is_empty() {
        true => siblings(&stage.out)?,
        false => config.experiments.clone(),
    };
    found.sort_by_key(|directory| read::name(directory));
    if let Some(pair) = found.windows(2).find(|pair| read::name(&pair[0]) == read::name(&pair[1])) {
        let name = read::name(&pair[0]);
        return Err(Error::Usage(format!(
            "[report] two experiments are called {name}; their directories need different names"
        )));
    }
    Ok(found)
}

/// Directories beside `out` that have finished scores.
///
/// # Errors
/// [`Error::InputMissing`] where there is none, or where `out` is an experiment that was begun and has none itself: a report
/// in its place would be about others.
fn siblings(out: &Path) -> Result<Vec<PathBuf>> {
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let scores = format!("{}.manifest.json", read::SCORES_DIR);
    let entries = std::fs::read_dir(&parent).map_err(|error| Error::io(&parent, error))?;
    let found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join(&scores).is_file()).collect();
    if out.join("features.manifest.json").is_file() && !out.join(&scores).is_file() {
        return Err(Error::InputMissing(format!(
            "{}: has features, but no scores; run probe, attribute and evaluate first, or name experiments in [report]",
            out.display()
        )));
    }
    if found.is_empty() {
        return Err(Error::InputMissing(format!(
            "{}: no experiment with scores; run evaluate first, or name some in [report] experiments",
            parent.display()
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use features::stage::StageArgs;

    fn stage(out: PathBuf) -> Stage {
        Stage::new(StageArgs { out: Some(out), quiet: true, ..StageArgs::default() }).expect("a stage")
    }

    fn config(out: &Path) -> Config {
        let experiments = ["shapes-resnet", "shapes-bcos"].map(|name| out.join(name)).to_vec();
        Config {
            experiments,
            images: Some(out.join("images")),
            resamples: fake::RESAMPLING.resamples,
            ..Config::default()
        }
    }

    /// Files go out as made-up data and come back: what is read must be what was made up.
    #[test]
    fn a_report_is_made_from_files_once_and_to_the_byte() {
        let directory = tempfile::tempdir().expect("a directory");
        let out = directory.path();
        crate::fake_files::write(out);
        let config = config(out);
        let read = read::inputs(&config.experiments).expect("inputs");
        assert!(read.scores == fake::scores(), "scores changed on their way through files");
        assert!(read.curves == fake::inputs().curves, "curves changed on their way through files");
        assert_eq!(read.predictions.iter().map(|p| p.probes.len()).collect::<Vec<_>>(), [7, 7]);

        let first = write(&stage(out.join("report")), &config).expect("a report");
        let headline = first.headline.expect("it was not there");
        assert_eq!(headline, fake::findings().headline());
        let page = std::fs::read_to_string(&first.page).expect("a page");
        assert_eq!(page.matches("class=\"example\"").count(), 6);
        // Three probes of two backbones.
        assert_eq!(page.matches("class=\"bins\"").count(), 6);
        for file in [
            "report.md",
            "report.means.csv",
            "report.signs.tex",
            "report.shift.svg",
            "report.shift.png",
            "report.shift.vl.json",
            "report.manifest.json",
            "report/part-00000-of-00001.parquet",
        ] {
            assert!(out.join("report").join(file).is_file(), "{file}");
        }
        assert_eq!(write(&stage(out.join("report")), &config).expect("a report").headline, None);

        let again = write(&stage(out.join("again")), &config).expect("a report");
        let compared = crate::compare::reports(&out.join("report"), &out.join("again")).expect("two reports");
        assert!(compared.contains("same inputs") && compared.contains("0 differ"), "{compared}");
        assert!(page == std::fs::read_to_string(again.page).expect("a page"), "two runs differ");
    }

    #[test]
    fn without_scores_the_message_says_what_to_run() {
        let directory = tempfile::tempdir().expect("a directory");
        let found = write(&stage(directory.path().join("report")), &Config::default());
        assert!(
            matches!(&found, Err(Error::InputMissing(message)) if message.contains("run evaluate first")),
            "{found:?}"
        );
        let found = write(&stage(directory.path().join("report")), &config(directory.path()));
        assert!(matches!(found, Err(Error::InputMissing(_))), "{found:?}");
    }

    #[test]
    fn the_shipped_configuration_is_understood() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/experiments/report.toml");
        let stage = Stage::new(StageArgs { config: Some(path), ..StageArgs::default() }).expect("a stage");
        let config: Config = stage.section("report").expect("a section");
        assert_eq!(
            (stage.out.as_path(), config.images, config.resamples),
            (Path::new("out/report"), Some("out/shapes/images".into()), 2000)
        );
    }
}
