//! The section `[probe]` of an experiment file, and the probes it asks for.

mod rate_rule;
#[cfg(test)]
mod reference;

use std::collections::BTreeSet;

use features::error::{Error, Result};
use features::stage::Bytes;
use serde::{Deserialize, Serialize};

pub use rate_rule::RateRule;

use crate::data::Order;
use crate::import::Import;
use crate::loss::Loss;
use crate::optimiser::{Method, Optimiser};
use crate::schedule::{Decay, Schedule, WarmUp};
use crate::spec::{DEFAULT_B, Head, Kind, Norm, Offset, ProbeSpec, Scaling, Select, default_norm, default_schedule};

/// Section `[probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Probes to train, `[[probe.train]]`.
    pub train: Vec<Entry>,
    /// Classifiers to take from checkpoints, `[[probe.import]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub import: Vec<Import>,
    /// Shifted copies to make of every linear CE probe.
    pub shift: Vec<Head>,
    /// How many standard deviations of the logits `shift_up` and `shift_down` move the mean logit.
    pub shift_deviations: f64,
    /// Tiles a step.
    pub batch: usize,
    /// Channels between the layers of a head.
    pub hidden: usize,
    /// Training tiles, the first of the split, that heads trained on maps see.
    pub map_tiles: usize,
    /// Whether features are brought to a common size before training: common, or none as in the reference.
    pub scaling: Scaling,
    /// What configured step sizes mean for the size of a batch: as_given, or linear:256, times batch / 256.
    pub rate_rule: RateRule,
    /// How training images are mixed: whole, or windows:8, so many parts of the feature table at a time, which may then be
    /// read from disk in every epoch.
    pub order: Order,
    /// Most memory that features and training may take, like "4 GB" (a bare number is in GB); without it what is free.
    /// Where all features do not fit, windows of them are read; no number depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Epochs after which the state of a training is kept, so that a killed run goes on from there; without it as often as
    /// the work is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_epochs: Option<usize>,
}

/// One `[[probe.train]]`: the same probe with several seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// linear; bcos1, bcos2 and so on, mlp2, mlp3 and so on: so many layers.
    pub head: Head,
    /// Exponent of B-cos layers, at least 1; without it 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
    /// ce, bce, bce_plain, focal, or one of the last three with `_sum`: summed over classes.
    pub loss: Loss,
    /// Share of a label that is spread over all classes; ce only.
    #[serde(default)]
    pub label_smoothing: f64,
    /// none or log_classes.
    #[serde(default)]
    pub offset: Offset,
    /// Whether layers have a trained bias.
    #[serde(default)]
    pub bias: bool,
    /// batch or uncentred, between layers; without it that of the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// sgd, adam, adamw, or lbfgs: the optimum of a linear head.
    #[serde(default = "sgd")]
    pub optimiser: Method,
    /// Of sgd; without it 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Factor of half the squared weights.
    #[serde(default)]
    pub weight_decay: f64,
    /// Peak step size; without it that of loss and head, see [`default_learning_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Peak step sizes to choose from by the mean over the seeds of the validation split's accuracy, or of its mean average
    /// precision where images have several labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning_rates: Vec<f64>,
    /// Fall of the step size: constant, step:60,80 (epochs), step_every:6, cosine or cosine_by_epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Decay>,
    /// Rise of the step size: none, steps:100, or epochs:5 from 0.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Passes over the training tiles; without it 60 for linear heads, 5 for others, at most 1000 steps of lbfgs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Whose weights are kept: last_epoch, or best_epoch, that with the best score on the validation split.
    #[serde(default)]
    pub select: Select,
    /// One probe a seed.
    #[serde(default = "seed_0")]
    pub seeds: Vec<u64>,
    /// The only backbone whose features it is trained on; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<String>,
    /// End of the id, where two entries differ only in what the id does not spell.
    #[serde(default)]
    pub tag: String,
}

fn sgd() -> Method {
    Method::Sgd
}

fn seed_0() -> Vec<u64> {
    vec![0]
}

impl Default for Config {
    fn default() -> Self {
        let entry = |head, loss, offset, seeds: &[u64]| Entry {
            head,
            b: None,
            loss,
            label_smoothing: 0.0,
            offset,
            bias: false,
            norm: None,
            optimiser: Method::Sgd,
            momentum: None,
            weight_decay: 0.0,
            learning_rate: None,
            learning_rates: Vec::new(),
            schedule: None,
            warm_up: None,
            epochs: None,
            select: Select::LastEpoch,
            seeds: seeds.to_vec(),
            backbone: None,
            tag: String::new(),
        };
        use {Head::*, Loss::*};
        Self {
            train: vec![
                entry(Linear, Ce, Offset::None, &[0, 1, 2]),
                entry(Linear, Bce, Offset::None, &[0, 1, 2]),
                entry(Linear, Bce, Offset::LogClasses, &[0, 1, 2]),
                entry(Bcos(1), Bce, Offset::LogClasses, &[0]),
                entry(Bcos(2), Bce, Offset::LogClasses, &[0]),
                entry(Bcos(3), Bce, Offset::LogClasses, &[0, 1, 2]),
                entry(Bcos(3), Ce, Offset::LogClasses, &[0]),
            ],
            import: Vec::new(),
            shift: vec![ShiftUp, ShiftDown, ShiftFit],
            shift_deviations: 3.0,
            batch: 128,
            hidden: 128,
            map_tiles: 4000,
            scaling: Scaling::Common,
            rate_rule: RateRule::AsGiven,
            order: Order::Whole,
            memory: None,
            checkpoint_epochs: None,
        }
    }
}

/// Step size where an entry gives none: under SGD 2 for linear heads and 0.2 for others, times the number of classes
/// where a loss averages over them, which makes its gradient that much smaller (40 and 4 at 20 classes); else 0.001.
pub fn default_learning_rate(method: Method, head: Head, loss: Loss, classes: usize) -> f64 {
    let base = if head.kind() == Kind::Linear { 2.0 } else { 0.2 };
    match method {
        Method::Sgd => base * if loss.averages_classes() { classes as f64 } else { 1.0 },
        Method::Adam | Method::AdamW => 1e-3,
        Method::Lbfgs | Method::Newton | Method::None => 0.0,
    }
}

impl Config {
    /// Every probe to train on features of `backbone`: for each entry its step sizes, and for each of them its seeds.
    /// Without a backbone all entries count. Ids are distinct but for the step sizes of one entry and seed.
    ///
    /// # Errors
    /// [`Error::Usage`] for probes that cannot be: a shifted head under `train`, a bias in a B-cos head, two equal ids.
    pub fn specs(&self, classes: usize, backbone: Option<&str>) -> Result<Vec<Vec<ProbeSpec>>> {
        if self.batch == 0 || self.hidden == 0 {
            return Err(Error::Usage("[probe] batch and hidden must be at least 1".into()));
        }
        if self.checkpoint_epochs == Some(0) {
            return Err(Error::Usage("[probe] checkpoint_epochs must be at least 1".into()));
        }
        if let Some(head) = self.shift.iter().find(|head| head.kind() != Kind::Shift) {
            return Err(Error::Usage(format!(
                "[probe] shift lists {}; it takes shift_up, shift_down and shift_fit",
                head.name()
            )));
        }
        let meant = |entry: &&Entry| match (&entry.backbone, backbone) {
            (Some(wanted), Some(backbone)) => wanted == backbone,
            _ => true,
        };
        let mut ids = BTreeSet::new();
        let mut specs = Vec::new();
        for entry in self.train.iter().filter(meant) {
            let found = entry.specs(self, classes)?;
            let own: BTreeSet<String> = found.iter().map(ProbeSpec::id).collect();
            let twice = own.intersection(&ids).next().or(own.first().filter(|_| own.len() < entry.seeds.len()));
            if let Some(id) = twice {
                return Err(Error::Usage(format!("[[probe.train]] asks for {id} twice; give one of them a tag")));
            }
            ids.extend(own);
            specs.push(found);
        }
        if specs.is_empty() && self.import.is_empty() {
            let known = backbone.map_or(String::new(), |name| format!(" for backbone {name:?}"));
            return Err(Error::Usage(format!(
                "[probe] asks for no probe{known}; add a [[probe.train]] with head and loss"
            )));
        }
        Ok(specs)
    }
}

impl Entry {
    fn specs(&self, config: &Config, classes: usize) -> Result<Vec<ProbeSpec>> {
        let head = self.head.name();
        let refuse = |problem: &str| Err(Error::Usage(format!("[[probe.train]] head = {head:?}: {problem}")));
        let linear = self.head.kind() == Kind::Linear;
        let exact = self.optimiser == Method::Lbfgs;
        let epochs = self.epochs.unwrap_or(match (linear, exact) {
            (_, true) => 1000,
            (true, _) => 60,
            _ => 5,
        });
        let rates = match (self.learning_rates.as_slice(), self.learning_rate) {
            ([], rate) => {
                vec![rate.unwrap_or(default_learning_rate(self.optimiser, self.head, self.loss, classes))]
            }
            (_, Some(_)) => return refuse("give learning_rate or learning_rates, not both"),
            (rates, None) => rates.to_vec(),
        };
        let norm = self.norm.unwrap_or(default_norm(self.head));
        match self.head.kind() {
            Kind::Shift => return refuse("is not trained; list it in [probe] shift"),
            Kind::Bcos if self.bias => return refuse("B-cos layers have no bias; remove bias"),
            Kind::Bcos if self.b.is_some_and(|b| !(1.0..f64::INFINITY).contains(&b)) => {
                return refuse("b must be a number from 1 on");
            }
            Kind::Linear | Kind::Mlp if self.b.is_some() => {
                return refuse("only B-cos layers have an exponent b; remove it");
            }
            Kind::Bcos if norm == Norm::Batch => return refuse("B-cos layers take no centred norm; remove norm"),
            _ if (norm == Norm::None) != (self.head.layers() == 1) => {
                return refuse("norm stands between layers: heads of several layers need one, others have none");
            }
            _ => {}
        }
        if matches!(self.optimiser, Method::Newton | Method::None) {
            return refuse("optimiser must be sgd, adam, adamw or lbfgs");
        }
        if exact && (!linear || matches!(self.loss, Loss::Focal | Loss::FocalSum)) {
            return refuse("lbfgs solves linear heads with a convex loss; choose sgd, adam or adamw");
        }
        if epochs == 0 {
            return refuse("epochs must be at least 1");
        }
        if !exact && !rates.iter().all(|rate| *rate > 0.0 && rate.is_finite()) {
            return refuse("learning_rate must be positive");
        }
        if exact && self.select == Select::BestEpoch {
            return refuse("lbfgs has no epochs to choose from; remove select");
        }
        if exact && (self.learning_rate.is_some() || !self.learning_rates.is_empty()) {
            return refuse("lbfgs has no step size; remove learning_rate");
        }
        if self.momentum.is_some() && self.optimiser != Method::Sgd {
            return refuse("only sgd has a momentum; remove it");
        }
        let momentum = self.momentum.unwrap_or(if self.optimiser == Method::Sgd { 0.9 } else { 0.0 });
        if !((0.0..1.0).contains(&momentum) && self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return refuse("momentum must be in 0..1 and weight_decay not negative");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) || (self.label_smoothing > 0.0 && self.loss != Loss::Ce) {
            return refuse("label_smoothing must be in 0..1, and only ce has it");
        }
        let schedule = if exact {
            Schedule { warm_up: WarmUp::None, decay: Decay::Constant }
        } else {
            let default = default_schedule(self.head, epochs);
            // A schedule that is spelled out rises only where it says so.
            let warm_up = if self.schedule.is_some() { WarmUp::None } else { default.warm_up };
            Schedule { warm_up: self.warm_up.unwrap_or(warm_up), decay: self.schedule.clone().unwrap_or(default.decay) }
        };
        let spec = |&learning_rate: &f64, &seed: &u64| ProbeSpec {
            head: self.head,
            b: self.b.unwrap_or(DEFAULT_B),
            loss: self.loss,
            smoothing: self.label_smoothing,
            offset: self.offset,
            bias: self.bias,
            norm,
            scaling: config.scaling,
            optimiser: Optimiser { method: self.optimiser, momentum, weight_decay: self.weight_decay },
            learning_rate: config.rate_rule.rate(learning_rate, config.batch),
            schedule: schedule.clone(),
            epochs,
            select: self.select,
            batch: config.batch,
            hidden: if self.head.layers() > 1 { config.hidden } else { 0 },
            seed,
            tag: self.tag.clone(),
        };
        Ok(rates.iter().flat_map(|rate| self.seeds.iter().map(move |seed| spec(rate, seed))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_empty_section_is_the_default_experiment() {
        let specs = parse(serde_json::json!({})).specs(20, None).unwrap().concat();
        let ids: Vec<String> = specs.iter().map(ProbeSpec::id).collect();
        assert!(
            ids.contains(&"linear-ce-s2".to_string()) && ids.contains(&"bcos3_offset-bce-s0".to_string()),
            "{ids:?}"
        );
        let rates: Vec<f64> = specs.iter().map(|spec| spec.learning_rate).collect();
        assert_eq!((rates[0], rates[3], rates[9]), (2.0, 40.0, 4.0));
        let scaled = parse(serde_json::json!({"rate_rule": "linear:256"})).specs(20, None).unwrap().concat();
        assert_eq!(scaled[0].learning_rate, 1.0);
    }

    #[test]
    fn candidates_share_an_id_and_entries_may_mean_one_backbone() {
        let config = parse(serde_json::json!({"train": [
            {"head": "linear", "loss": "ce", "learning_rates": [1.0, 3.0], "seeds": [0, 1]},
            {"head": "mlp2", "loss": "ce", "norm": "uncentred", "optimiser": "adam", "backbone": "a"},
        ]}));
        let specs = config.specs(20, Some("a")).unwrap();
        let found: Vec<(String, f64)> = specs.concat().iter().map(|spec| (spec.id(), spec.learning_rate)).collect();
        let want = [("linear-ce-s0", 1.0), ("linear-ce-s1", 1.0), ("linear-ce-s0", 3.0), ("linear-ce-s1", 3.0)];
        assert_eq!(found[..4], want.map(|(id, rate)| (id.to_string(), rate)));
        assert_eq!(found[4], ("mlp2-ce-adam-s0".to_string(), 1e-3));
        assert_eq!(config.specs(20, Some("b")).unwrap().len(), 1);
        assert_eq!(config.specs(20, None).unwrap().len(), 2);
    }

    #[test]
    fn mistakes_are_named() {
        let train = |entry: serde_json::Value| parse(serde_json::json!({ "train": [entry] }));
        let cases = [
            (train(serde_json::json!({"head": "shift_up", "loss": "ce"})), "list it in [probe] shift"),
            (train(serde_json::json!({"head": "bcos2", "loss": "ce", "bias": true})), "no bias"),
            (train(serde_json::json!({"head": "linear", "loss": "ce", "seeds": [1, 1]})), "linear-ce-s1 twice"),
            (train(serde_json::json!({"head": "linear", "loss": "ce", "learning_rate": -1.0})), "positive"),
            (parse(serde_json::json!({"train": []})), "no probe"),
            (parse(serde_json::json!({"shift": ["linear"]})), "shift lists linear"),
            (train(serde_json::json!({"head": "bcos2", "loss": "ce", "norm": "batch"})), "no centred norm"),
            (train(serde_json::json!({"head": "mlp2", "loss": "ce", "norm": "none"})), "between layers"),
            (train(serde_json::json!({"head": "bcos4", "loss": "ce", "b": 0.5})), "from 1 on"),
            (train(serde_json::json!({"head": "mlp4", "loss": "ce", "b": 1.5})), "only B-cos"),
            (train(serde_json::json!({"head": "mlp2", "loss": "ce", "optimiser": "lbfgs"})), "linear heads"),
            (train(serde_json::json!({"head": "linear", "loss": "focal", "optimiser": "lbfgs"})), "convex"),
            (train(serde_json::json!({"head": "linear", "loss": "ce", "optimiser": "newton"})), "sgd, adam"),
            (
                train(serde_json::json!({"head": "linear", "loss": "ce", "optimiser": "adam", "momentum": 0.5})),
                "only sgd",
            ),
            (train(serde_json::json!({"head": "linear", "loss": "bce", "label_smoothing": 0.1})), "only ce"),
            (
                train(
                    serde_json::json!({"head": "linear", "loss": "ce", "learning_rate": 1.0, "learning_rates": [1.0]}),
                ),
                "not both",
            ),
        ];
        for (config, text) in cases {
            let error = config.specs(20, None).unwrap_err();
            assert!(error.to_string().contains(text) && error.exit_code() == 2, "{error}");
        }
        let unknown = serde_json::json!({ "train": [{"head": "linear", "loss": "ce", "decay": 1.0}] });
        assert!(serde_json::from_value::<Config>(unknown).is_err());
    }
}
