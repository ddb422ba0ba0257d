//! The perturbation metrics of an experiment: what they need besides the maps, and the answers for a part of them.

use std::collections::{BTreeMap, HashMap};

use attribute::compact::CompactMaps;
use attribute::item::ItemKind;
use attribute::method::lrp;
use features::artifact::{Input, Reader};
use features::backbone::Backbone;
use features::error::{Error, Result};
use features::extract::FeaturesConfig;
use features::images::Rgb;
use features::network::Network;
use features::preprocess::Preprocess;
use features::stage::{Batches, Need, Stage};
use features::tensor::Device;

use super::confidence::Confidence;
use super::curve::{Curve, relative};
use super::engine::{self, Asked};
use super::pictures;
use super::ranking::{Cut, First, Ranking, random, ties};
use super::settings::{Question, Settings, names};
use crate::chosen::{Chosen, recipes};
use crate::map::Score;
use crate::rows::Row;

/// Logits may differ by so much between a CPU and an accelerator; more means another backbone, probe or picture.
pub(crate) const SAME_LOGIT: f32 = 0.02;

/// Pictures at once that are fast: on the CPU, where passes run side by side, and on an accelerator.
const FAST_CPU: usize = 16;
const FAST: usize = 64;

/// A backbone with heads, and the pictures of items.
#[derive(Debug)]
pub struct Perturber {
    settings: Settings,
    seed: u64,
    chunk: Batches,
    backbone: Network,
    preprocess: Preprocess,
    /// Smallest and largest value of each input channel.
    bounds: (Vec<f32>, Vec<f32>),
    heads: HashMap<String, Network>,
    pictures: HashMap<String, Rgb>,
    device: Device,
    /// What the answers depend on besides maps and probes.
    pub inputs: Vec<Input>,
}

/// One question about one map, on one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The question.
    pub question: Question,
    /// The scale.
    pub confidence: Confidence,
    /// Variant of the metric, settings included.
    pub variant: String,
    /// The score, relative to the confidence in the whole picture.
    pub score: Score,
    /// Confidences over the share removed, where the question has a curve and the map an order.
    pub curve: Option<Curve>,
    /// What a map that knows nothing gets for the same target and probe; none where that was not asked.
    pub random: Option<Random>,
}

/// The control of an answer: the same question about random orders of the picture's units.
#[derive(Clone, Debug, PartialEq)]
pub struct Random {
    /// Mean over the orders.
    pub score: Score,
    /// The curve of the first order.
    pub curve: Option<Curve>,
}

/// Cuts of the maps of a picture and the places of each question's among them.
struct Script {
    cuts: Vec<Cut>,
    places: Vec<Vec<usize>>,
}

impl Perturber {
    /// Opens what `settings` need: the backbone and the images of `[features]`, and the probes of the experiment. `maps`
    /// are the tables of maps by kind, `compact` has those that are not kept at every pixel.
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
        let device = stage.device()?;
        let backbone = reopened(stage, &source, &device, maps, ("perturbation metrics", "evaluate.perturbation"))?;
        let heads: HashMap<String, Network> =
            probe::load(&stage.out, &device)?.into_iter().map(|probe| (probe.id, probe.network)).collect();
        let chosen = Chosen { section: "evaluate.perturbation", items: &settings.items, most: settings.most };
        let recipes = recipes(stage, &chosen, maps, compact)?;
        let images = Reader::open(&source.images, &features::table::IMAGES)?.input();
        let preprocess = backbone.encoding.preprocess();
        let pictures = pictures::load(&source.images, &backbone.preprocessing().geometry, &recipes)?;
        let fast = if let Device::Flex(_) = device { FAST_CPU } else { FAST };
        let need = need(&backbone.network, &preprocess, &pictures, &device);
        Ok(Self {
            settings: settings.clone(),
            seed: stage.seed,
            chunk: stage.batch(settings.chunk, fast, need, &device)?,
            preprocess,
            pictures,
            bounds: lrp::bounds(&backbone.encoding),
            heads: heads.into_iter().filter(|(id, _)| names(&settings.probes, id)).collect(),
            inputs: vec![images, backbone.input],
            backbone: backbone.network,
            device,
        })
    }

    /// The answers for each of `rows`, which are sorted by item; none for maps that are not asked about.
    ///
    /// # Errors
    /// A map that does not fit its picture or its probe.
    pub fn answers(&self, rows: &[Row]) -> Result<Vec<Vec<Answer>>> {
        let mut found = Vec::with_capacity(rows.len());
        for item in rows.chunk_by(|a, b| a.key().0 == b.key().0) {
            found.extend(self.of_item(item)?);
        }
        Ok(found)
    }

    fn of_item(&self, rows: &[Row]) -> Result<Vec<Vec<Answer>>> {
        let mut answers = vec![vec![]; rows.len()];
        let Some(picture) = self.pictures.get(rows[0].key().0) else { return Ok(answers) };
        let chosen = |row: &Row| {
            let (_, _, probe, method) = row.key();
            names(&self.settings.methods, method).then(|| self.heads.get(probe)).flatten()
        };
        let asking: Vec<(usize, &Network)> =
            rows.iter().enumerate().filter_map(|(at, row)| Some((at, chosen(row)?))).collect();
        if asking.is_empty() {
            return Ok(answers);
        }
        let pieces = self.settings.unit.cut(picture);
        let ties = ties(pieces.count, self.seed, rows[0].key().0);
        let mut ranked = Vec::new();
        for (at, head) in asking {
            let map = rows[at].map()?;
            if (map.height, map.width) != (picture.height, picture.width) {
                return Err(rows[at].wrong("it has not the size of its picture"));
            }
            match Ranking::of(map.values, &pieces, &ties) {
                Ok(ranking) => ranked.push((at, head, ranking)),
                Err(reason) => answers[at] = self.each(|_, _| (Err(reason), None, None)),
            }
        }
        // All orders of a picture have the same units, and so the same cuts.
        let Some((.., ranking)) = ranked.first() else { return Ok(answers) };
        let script = self.script(ranking);
        let order = |draw| Ranking::in_order(&pieces, &random(pieces.count, self.seed, rows[0].key().0, draw));
        let orders: Vec<Ranking> = (0..self.settings.random_orders).map(order).collect();
        // All maps of a probe share its random orders, and all probes their passes.
        let mut probes: Vec<(&str, &Network)> =
            ranked.iter().map(|(at, head, ..)| (rows[*at].key().2, *head)).collect();
        probes.sort_unstable_by_key(|(probe, _)| *probe);
        probes.dedup_by_key(|(probe, _)| *probe);
        let image = self.preprocess.apply(std::slice::from_ref(picture), &self.device);
        let baseline = self.settings.baseline.of(&image, &self.bounds.0, &self.bounds.1);
        let picture = engine::Picture { backbone: &self.backbone, image, baseline, chunk: &self.chunk };
        let ask = |heads, ranking| Asked { heads, ranking, cuts: script.cuts.clone() };
        let mapped = ranked.iter().map(|(_, head, ranking)| ask(vec![*head], ranking));
        let heads: Vec<&Network> = probes.iter().map(|(_, head)| *head).collect();
        let unmapped = orders.iter().map(|ranking| ask(heads.clone(), ranking));
        let asked: Vec<Asked> = mapped.chain(unmapped).collect();
        let mut found = engine::logits(&picture, &asked)?;
        let of_orders = found.split_off(ranked.len());
        for ((at, _, ranking), logits) in ranked.iter().zip(found) {
            let logits = &logits[0];
            let target = usize::try_from(rows[*at].target_class()).ok().filter(|class| *class < logits[0].len());
            let target = target.ok_or_else(|| rows[*at].wrong("its probe has no logit for its class"))?;
            let (logit, explained) = (logits[0][target], rows[*at].logit());
            let same = (logit - explained).abs() <= SAME_LOGIT * (1.0 + explained.abs());
            if !same {
                let what = format!("it explains a logit of {explained}, backbone and probe now give {logit}");
                return Err(rows[*at].wrong(&what));
            }
            let probe = probes.iter().position(|(probe, _)| *probe == rows[*at].key().2);
            let probe = probe.expect("every probe that was asked about a map is asked about random orders");
            answers[*at] = self.each(|index, confidence| {
                let (score, curve) = self.answer(index, confidence, (&script, ranking), logits, target);
                let random = orders.iter().zip(&of_orders).map(|(ranking, logits)| {
                    self.answer(index, confidence, (&script, ranking), &logits[probe], target)
                });
                (score, curve, mean(random.collect()))
            });
        }
        Ok(answers)
    }

    /// The answer to question number `index` about an order, from the logits under its cuts.
    fn answer(
        &self,
        index: usize,
        confidence: Confidence,
        (script, ranking): (&Script, &Ranking),
        logits: &[Vec<f32>],
        target: usize,
    ) -> (Score, Option<Curve>) {
        let value = |place: usize| confidence.of(&logits[place], target);
        let places = &script.places[index];
        match self.settings.metrics[index].first() {
            None => (relative(value(places[0]), value(0)), None),
            Some(_) => {
                let points = places.iter().map(|&place| (ranking.share(script.cuts[place]), value(place)));
                let curve = Curve::new(points.collect());
                (curve.relative().map(|curve| curve.area()), Some(curve))
            }
        }
    }

    /// An answer for each question and scale.
    fn each(&self, answer: impl Fn(usize, Confidence) -> (Score, Option<Curve>, Option<Random>)) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (index, &question) in self.settings.metrics.iter().enumerate() {
            for &confidence in &self.settings.confidence {
                let (score, curve, random) = answer(index, confidence);
                let variant = self.settings.variant(question, confidence);
                answers.push(Answer { question, confidence, variant, score, curve, random });
            }
        }
        answers
    }

    /// The cuts that all questions need, each once; the whole picture is the first.
    fn script(&self, ranking: &Ranking) -> Script {
        let mut script = Script { cuts: vec![], places: vec![] };
        let mut known: BTreeMap<Cut, usize> = BTreeMap::new();
        let mut place = |cut: Cut, cuts: &mut Vec<Cut>| {
            *known.entry(cut).or_insert_with(|| {
                cuts.push(cut);
                cuts.len() - 1
            })
        };
        place(Cut { first: First::Least, units: 0 }, &mut script.cuts);
        for question in &self.settings.metrics {
            let cuts = match (question, question.first()) {
                (Question::Sufficiency(percent), _) => vec![ranking.keep(*percent)],
                (_, Some(first)) => ranking.steps(first, self.settings.steps),
                (_, None) => vec![],
            };
            script.places.push(cuts.into_iter().map(|cut| place(cut, &mut script.cuts)).collect());
        }
        script
    }
}

/// The control from the answers about random orders; none where there is no order.
// All orders begin with the whole picture, so an undefined confidence there leaves all of them undefined.
fn mean(answers: Vec<(Score, Option<Curve>)>) -> Option<Random> {
    let count = answers.len() as f64;
    let score = answers.iter().map(|(score, _)| *score).sum::<Score>().map(|sum| sum / count);
    let (_, curve) = answers.into_iter().next()?;
    Some(Random { score, curve })
}

/// The backbone that made `maps`; `what` are the metrics that run it again, and the section that asks for them.
///
/// # Errors
/// A missing file, naming the key that leads to it; maps of another preprocessing.
pub(crate) fn reopened(
    stage: &Stage,
    source: &FeaturesConfig,
    device: &Device,
    maps: &[(ItemKind, Reader)],
    (what, section): (&str, &str),
) -> Result<Backbone> {
    if !source.backbone.is_file() {
        return Err(Error::InputMissing(format!(
            "{}: no such backbone; {what} run it again: set `backbone` in [features] to the one of `attribute`, or leave \
             `metrics` in [{section}] empty",
            source.backbone.display()
        )));
    }
    let backbone = source.load(device)?;
    for (kind, reader) in maps {
        backbone.preprocessing().check(reader, &stage.out.join(kind.dir()))?;
    }
    Ok(backbone)
}

/// What forward passes of the largest picture take of memory.
fn need(backbone: &Network, preprocess: &Preprocess, pictures: &HashMap<String, Rgb>, device: &Device) -> Need {
    let most = pictures.values().max_by_key(|picture| picture.height * picture.width);
    let shape = most.map_or([1; 3], |picture| [preprocess.channels, picture.height, picture.width]);
    Need::forward(backbone, shape, device)
}
