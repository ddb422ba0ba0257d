//! The randomisation tests of an experiment: what they need besides the maps, and the answers for a part of them.

use std::collections::HashMap;

use attribute::attribute::{averages, fast, need};
use attribute::compact::CompactMaps;
use attribute::config::AttributeConfig;
use attribute::explain::{self, Explainer, Head};
use attribute::item::ItemKind;
use attribute::method::{Method, lrp};
use features::artifact::{Input, Reader};
use features::error::Result;
use features::extract::FeaturesConfig;
use features::images::Rgb;
use features::network::Network;
use features::preprocess::Preprocess;
use features::random::{below, stream};
use features::stage::{Batches, Stage, each};
use features::tensor::{Device, Tensor, to_vec};

use super::redraw::{redrawn, stages};
use super::settings::{Settings, Test, depth_name};
use super::similarity::Similarity;
use crate::chosen::{Chosen, recipes};
use crate::map::{Map, Score, Undefined};
use crate::perturbation::perturber::{SAME_LOGIT, reopened};
use crate::perturbation::pictures;
use crate::perturbation::settings::names;
use crate::rows::Row;

/// A name of the maps after the competition of targets ends so.
const AFTER_VAR: &str = ":var";

/// A backbone with heads, as they are and drawn again, and the pictures of items.
#[derive(Debug)]
pub struct Randomiser {
    settings: Settings,
    explain: explain::Settings,
    chunk: Batches,
    subject: Subject,
    preprocess: Preprocess,
    pictures: HashMap<String, Rgb>,
    device: Device,
    /// What the answers depend on besides maps, probes and settings.
    pub inputs: Vec<Input>,
    /// Settings of `[attribute]` that the maps are made again with.
    pub methods: serde_json::Value,
}

/// What is explained, and what it becomes.
#[derive(Debug)]
pub struct Subject {
    /// The backbone, and how many of its first layers each step of the cascade keeps.
    pub backbone: Network,
    /// The same with all weights drawn again.
    pub redrawn: Network,
    /// First layer of each stage.
    pub starts: Vec<usize>,
    /// Smallest and largest value of each input channel.
    pub bounds: (Vec<f32>, Vec<f32>),
    /// Heads by probe id: as they are, and drawn again.
    pub heads: HashMap<String, (Network, Network)>,
}

/// One test of one map.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Name of the metric.
    pub metric: &'static str,
    /// How far the weights were drawn again and how, and the measure of similarity.
    pub variant: String,
    /// Similarity to the original map.
    pub score: Score,
}

/// One pass through the maps of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// So many stages are drawn again, and the head.
    Depth(usize),
    /// Other classes are explained.
    OtherClass,
}

/// The maps of an item that are asked about.
struct Asked<'a> {
    item: &'a str,
    /// Position in the part, row and map.
    rows: Vec<(usize, &'a Row<'a>, Map<'a>)>,
    image: Tensor<4>,
    /// Index and class of each target.
    targets: Vec<(i32, usize)>,
    /// Methods by probe.
    wanted: Vec<(&'a str, Vec<Method>)>,
    /// Classes that all these probes know.
    classes: usize,
}

impl Randomiser {
    /// Opens what `settings` need: the backbone and the images of `[features]`, the methods' settings of `[attribute]`, and
    /// the probes of the experiment. `maps` are the tables of maps by kind.
    ///
    /// # Errors
    /// A missing file, naming the key that leads to it; inputs that do not fit the maps.
    pub fn open(
        stage: &Stage,
        settings: &Settings,
        maps: &[(ItemKind, Reader)],
        compact: Option<&CompactMaps>,
    ) -> Result<Self> {
        let source: FeaturesConfig = stage.section("features")?;
        let attribute: AttributeConfig = stage.section("attribute")?;
        let device = stage.device()?;
        let backbone = reopened(stage, &source, &device, maps, ("randomisation tests", "evaluate.randomisation"))?;
        let chosen = Chosen { section: "evaluate.randomisation", items: &settings.items, most: Some(settings.most) };
        let recipes = recipes(stage, &chosen, maps, compact)?;
        let probes = probe::load(&stage.out, &device)?.into_iter().filter(|probe| names(&settings.probes, &probe.id));
        let bounds = lrp::bounds(&backbone.encoding);
        let subject = Subject::new(
            backbone.network.clone(),
            bounds,
            probes.map(|probe| (probe.id, probe.network)).collect(),
            settings,
            stage.seed,
        );
        settings.depths(subject.starts.len())?;
        let preprocess = backbone.encoding.preprocess();
        let pictures = pictures::load(&source.images, &backbone.preprocessing().geometry, &recipes)?;
        // How many cotangents an average has is known for each picture only; one is the least, and takes the most.
        let averaged = usize::from(attribute.methods.iter().any(averages));
        let need = need(&backbone.network, preprocess.channels, pictures.values(), averaged, &device);
        let chunk = stage.batch(attribute.chunk, fast(&device), need, &device)?;
        Ok(Self {
            settings: settings.clone(),
            explain: attribute.settings(stage.seed, chunk.size()),
            chunk,
            subject,
            preprocess,
            pictures,
            inputs: vec![Reader::open(&source.images, &features::table::IMAGES)?.input(), backbone.input],
            methods: attribute.identity(stage.seed),
            device,
        })
    }

    /// The answers for each of `rows`, which are sorted by item; none for maps that are not asked about.
    ///
    /// # Errors
    /// A map that does not fit its picture or its probe.
    pub fn answers(&self, rows: &[Row]) -> Result<Vec<Vec<Answer>>> {
        let mut answers = vec![vec![]; rows.len()];
        let mut asked = Vec::new();
        let mut first = 0;
        for item in rows.chunk_by(|a, b| a.key().0 == b.key().0) {
            asked.extend(self.asked(item, first)?);
            first += item.len();
        }
        let depths = self.settings.depths(self.subject.starts.len())?;
        let logit = self.settings.metrics.contains(&Test::Logit).then_some(Run::OtherClass);
        let runs: Vec<Run> = depths.into_iter().map(Run::Depth).chain(logit).collect();
        // Rules are bound to redrawn weights once for all of these items that ask the same.
        let mut alike: Vec<Vec<&Asked>> = Vec::new();
        for asked in &asked {
            match alike.iter_mut().find(|items| items[0].wanted == asked.wanted) {
                Some(items) => items.push(asked),
                None => alike.push(vec![asked]),
            }
        }
        let work = alike.iter().flat_map(|items| runs.iter().map(move |&run| (items.as_slice(), run))).collect();
        for found in each(&self.device, work, |(items, run)| self.run(items, run)) {
            found?.into_iter().for_each(|(at, answer)| answers[at].push(answer));
        }
        Ok(answers)
    }

    /// What is asked about the maps of one item, whose first one is number `first` of its part.
    fn asked<'a>(&self, rows: &'a [Row<'a>], first: usize) -> Result<Option<Asked<'a>>> {
        let item = rows[0].key().0;
        let Some(picture) = self.pictures.get(item) else { return Ok(None) };
        let mut asked = Asked {
            item,
            rows: vec![],
            image: self.preprocess.apply(std::slice::from_ref(picture), &self.device),
            targets: vec![],
            wanted: vec![],
            classes: 0,
        };
        for (at, row) in rows.iter().enumerate() {
            let (_, target, probe, name) = row.key();
            if !names(&self.settings.methods, name) || !self.subject.heads.contains_key(probe) {
                continue;
            }
            let map = row.map()?;
            if (map.height, map.width) != (picture.height, picture.width) {
                return Err(row.wrong("it has not the size of its picture"));
            }
            let class = usize::try_from(row.target_class()).map_err(|_| row.wrong("its class is negative"))?;
            let method = name.strip_suffix(AFTER_VAR).unwrap_or(name).parse()?;
            if !asked.targets.iter().any(|(known, _)| *known == target) {
                asked.targets.push((target, class));
            }
            match asked.wanted.iter_mut().find(|(known, _)| *known == probe) {
                Some((_, methods)) if methods.contains(&method) => (),
                Some((_, methods)) => methods.push(method),
                None => asked.wanted.push((probe, vec![method])),
            }
            asked.rows.push((first + at, row, map));
        }
        asked.classes = self.subject.classes(&asked)?;
        Ok((!asked.rows.is_empty()).then_some(asked))
    }

    /// The answers of one run for items that ask for the same maps.
    fn run(&self, items: &[&Asked], run: Run) -> Result<Vec<(usize, Answer)>> {
        let (network, heads) = self.subject.at(run, &items[0].wanted);
        let explainer = Explainer::with_bounds(network, self.subject.bounds.clone(), heads, self.explain.clone())?;
        let found = each(&self.device, items.to_vec(), |asked| self.one(&explainer, asked, run));
        Ok(found.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn one(&self, explainer: &Explainer, asked: &Asked, run: Run) -> Result<Vec<(usize, Answer)>> {
        let classes: Vec<usize> = match run {
            Run::Depth(_) => asked.targets.iter().map(|(_, class)| *class).collect(),
            Run::OtherClass => {
                if asked.classes < 2 {
                    return Ok(self.compared(asked, run, |_, _, _| Err(Undefined::NoPeer)));
                }
                let other = |(target, class): &(i32, usize)| {
                    other_class(*class, asked.classes, self.explain.seed, asked.item, *target)
                };
                asked.targets.iter().map(other).collect()
            }
        };
        let maps = self.chunk.run(|chunk| explainer.at(chunk).explain(&asked.image, &classes, asked.item))??;
        let index: HashMap<(i32, &str, String), &explain::Map> = maps
            .iter()
            .map(|map| ((asked.targets[map.target].0, explainer.heads()[map.head].id.as_str(), map.name()), map))
            .collect();
        for (_, row, _) in &asked.rows {
            let (_, target, probe, name) = row.key();
            if !index.contains_key(&(target, probe, name.to_string())) {
                return Err(row.wrong("its method gives no such map under the settings of [attribute]"));
            }
        }
        Ok(self.compared(asked, run, |row, original, similarity| {
            let (_, target, probe, name) = row.key();
            let again = &index[&(target, probe, name.to_string())].values;
            similarity.of(*original, Map::new(original.height, original.width, again))
        }))
    }

    /// An answer for each row and measure.
    fn compared(
        &self,
        asked: &Asked,
        run: Run,
        score: impl Fn(&Row, &Map, Similarity) -> Score,
    ) -> Vec<(usize, Answer)> {
        let mut answers = Vec::new();
        for (at, row, map) in &asked.rows {
            for &similarity in &self.settings.similarity {
                let (metric, variant) = match run {
                    Run::Depth(depth) => {
                        let depth = depth_name(depth, self.subject.starts.len());
                        (Test::PARAMETERS, format!("{depth}:{}:{similarity}", self.settings.redraw.name()))
                    }
                    Run::OtherClass => (Test::LOGIT, format!("other_class:{similarity}")),
                };
                answers.push((*at, Answer { metric, variant, score: score(row, map, similarity) }));
            }
        }
        answers
    }
}

/// A class that is not `class`, all others being equally likely.
fn other_class(class: usize, classes: usize, seed: u64, item: &str, target: i32) -> usize {
    let mut rng = stream(seed, &["randomisation", "class", item, &target.to_string()]);
    let drawn = below(&mut rng, classes - 1);
    drawn + usize::from(drawn >= class)
}

impl Subject {
    /// A backbone whose input lies within `bounds`, and heads by id, with all weights drawn again.
    pub fn new(
        backbone: Network,
        bounds: (Vec<f32>, Vec<f32>),
        heads: Vec<(String, Network)>,
        settings: &Settings,
        seed: u64,
    ) -> Self {
        let again = |network: &Network, name: &str| redrawn(network, settings.redraw, seed, name);
        let heads = heads.into_iter().map(|(id, network)| {
            let drawn = again(&network, &format!("probe {id}"));
            (id, (network, drawn))
        });
        Self {
            redrawn: again(&backbone, "backbone"),
            starts: stages(&backbone).into_iter().map(|stage| stage.start).collect(),
            heads: heads.collect(),
            backbone,
            bounds,
        }
    }

    /// The backbone whose last `depth` stages are drawn again.
    pub fn cascaded(&self, depth: usize) -> Network {
        let kept = match depth {
            0 => self.backbone.layers.len(),
            depth => self.starts[self.starts.len() - depth],
        };
        Network::new(self.backbone.layers[..kept].iter().chain(&self.redrawn.layers[kept..]).cloned().collect())
    }

    fn at(&self, run: Run, wanted: &[(&str, Vec<Method>)]) -> (Network, Vec<Head>) {
        let head = |(id, methods): &(&str, Vec<Method>)| {
            let (trained, drawn) = &self.heads[*id];
            let network = if run == Run::OtherClass { trained } else { drawn };
            Head { id: id.to_string(), network: network.clone(), methods: methods.clone() }
        };
        let backbone = match run {
            Run::Depth(depth) => self.cascaded(depth),
            Run::OtherClass => self.backbone.clone(),
        };
        (backbone, wanted.iter().map(head).collect())
    }

    /// The number of classes that all probes know; an error where the trained network does not give the logits that the
    /// maps explain.
    fn classes(&self, asked: &Asked) -> Result<usize> {
        let features = self.backbone.forward(asked.image.clone());
        let mut known = usize::MAX;
        let logits: HashMap<&str, Vec<f32>> =
            asked.wanted.iter().map(|(id, _)| (*id, to_vec(self.heads[*id].0.forward(features.clone())))).collect();
        for (_, row, _) in &asked.rows {
            let logits = &logits[row.key().2];
            known = known.min(logits.len());
            let found = usize::try_from(row.target_class()).ok().and_then(|class| logits.get(class));
            let logit = *found.ok_or_else(|| row.wrong("its probe has no logit for its class"))?;
            let explained = row.logit();
            let same = (logit - explained).abs() <= SAME_LOGIT * (1.0 + explained.abs());
            if !same {
                let what = format!("it explains a logit of {explained}, backbone and probe now give {logit}");
                return Err(row.wrong(&what));
            }
        }
        Ok(known)
    }
}
