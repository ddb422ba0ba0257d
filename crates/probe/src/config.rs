//! The section `[probe]` of an experiment file, and the probes it asks for.

use std::collections::BTreeSet;

use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::loss::Loss;
use crate::spec::{Head, Kind, Offset, ProbeSpec};

/// Section `[probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Probes to train, `[[probe.train]]`.
    pub train: Vec<Entry>,
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
}

/// One `[[probe.train]]`: the same probe with several seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// linear, bcos1, bcos2, bcos3, mlp2 or mlp3.
    pub head: Head,
    /// ce, bce or bce_plain.
    pub loss: Loss,
    /// none or log_classes.
    #[serde(default)]
    pub offset: Offset,
    /// Whether layers have a trained bias.
    #[serde(default)]
    pub bias: bool,
    /// Peak step size; without it that of the loss and head, see [`default_learning_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Passes over the training tiles; without it 60 for linear heads, 5 for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// One probe a seed.
    #[serde(default = "seed_0")]
    pub seeds: Vec<u64>,
    /// End of the id, where two entries differ only in what the id does not spell.
    #[serde(default)]
    pub tag: String,
}

fn seed_0() -> Vec<u64> {
    vec![0]
}

impl Default for Config {
    fn default() -> Self {
        let entry = |head, loss, offset, seeds: &[u64]| Entry {
            head,
            loss,
            offset,
            bias: false,
            learning_rate: None,
            epochs: None,
            seeds: seeds.to_vec(),
            tag: String::new(),
        };
        use {Head::*, Loss::*};
        Self {
            train: vec![
                entry(Linear, Ce, Offset::None, &[0, 1, 2]),
                entry(Linear, Bce, Offset::None, &[0, 1, 2]),
                entry(Linear, Bce, Offset::LogClasses, &[0, 1, 2]),
                entry(Bcos1, Bce, Offset::LogClasses, &[0]),
                entry(Bcos2, Bce, Offset::LogClasses, &[0]),
                entry(Bcos3, Bce, Offset::LogClasses, &[0, 1, 2]),
                entry(Bcos3, Ce, Offset::LogClasses, &[0]),
            ],
            shift: vec![ShiftUp, ShiftDown, ShiftFit],
            shift_deviations: 3.0,
            batch: 128,
            hidden: 128,
            map_tiles: 4000,
        }
    }
}

/// Step size where an entry gives none: 2 for linear heads and 0.2 for others, times the number of classes under BCE,
/// whose mean over classes makes its gradient that much smaller (40 and 4 at 20 classes).
pub fn default_learning_rate(head: Head, loss: Loss, classes: usize) -> f64 {
    let base = if head.kind() == Kind::Linear { 2.0 } else { 0.2 };
    base * if loss == Loss::Ce { 1.0 } else { classes as f64 }
}

impl Config {
    /// Every probe to train, in the order of the entries and their seeds; ids are distinct.
    ///
    /// # Errors
    /// [`Error::Usage`] for probes that cannot be: a shifted head under `train`, a bias in a B-cos head, two equal ids.
    pub fn specs(&self, classes: usize) -> Result<Vec<ProbeSpec>> {
        if self.batch == 0 || self.hidden == 0 {
            return Err(Error::Usage("[probe] batch and hidden must be at least 1".into()));
        }
        if let Some(head) = self.shift.iter().find(|head| head.kind() != Kind::Shift) {
            return Err(Error::Usage(format!(
                "[probe] shift lists {}; it takes shift_up, shift_down and shift_fit",
                head.name()
            )));
        }
        let mut ids = BTreeSet::new();
        let mut specs = Vec::new();
        for entry in &self.train {
            for &seed in &entry.seeds {
                let spec = entry.spec(self, classes, seed)?;
                if !ids.insert(spec.id()) {
                    let id = spec.id();
                    return Err(Error::Usage(format!("[[probe.train]] asks for {id} twice; give one of them a tag")));
                }
                specs.push(spec);
            }
        }
        if specs.is_empty() {
            return Err(Error::Usage("[probe] asks for no probe; add a [[probe.train]] with head and loss".into()));
        }
        Ok(specs)
    }
}

impl Entry {
    fn spec(&self, config: &Config, classes: usize, seed: u64) -> Result<ProbeSpec> {
        let head = self.head.name();
        let refuse = |problem: &str| Err(Error::Usage(format!("[[probe.train]] head = {head:?}: {problem}")));
        let epochs = self.epochs.unwrap_or(if self.head.kind() == Kind::Linear { 60 } else { 5 });
        let learning_rate = self.learning_rate.unwrap_or(default_learning_rate(self.head, self.loss, classes));
        match self.head.kind() {
            Kind::Shift => return refuse("is not trained; list it in [probe] shift"),
            Kind::Bcos if self.bias => return refuse("B-cos layers have no bias; remove bias"),
            _ => {}
        }
        if epochs == 0 {
            return refuse("epochs must be at least 1");
        }
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return refuse("learning_rate must be positive");
        }
        Ok(ProbeSpec {
            head: self.head,
            loss: self.loss,
            offset: self.offset,
            bias: self.bias,
            learning_rate,
            epochs,
            batch: config.batch,
            hidden: if self.head.layers() > 1 { config.hidden } else { 0 },
            seed,
            tag: self.tag.clone(),
        })
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
        let specs = parse(serde_json::json!({})).specs(20).unwrap();
        let ids: Vec<String> = specs.iter().map(ProbeSpec::id).collect();
        assert!(
            ids.contains(&"linear-ce-s2".to_string()) && ids.contains(&"bcos3_offset-bce-s0".to_string()),
            "{ids:?}"
        );
        let rates: Vec<f64> = specs.iter().map(|spec| spec.learning_rate).collect();
        assert_eq!((rates[0], rates[3], rates[9]), (2.0, 40.0, 4.0));
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
        ];
        for (config, text) in cases {
            let error = config.specs(20).unwrap_err();
            assert!(error.to_string().contains(text) && error.exit_code() == 2, "{error}");
        }
        let unknown = serde_json::json!({ "train": [{"head": "linear", "loss": "ce", "weight_decay": 1.0}] });
        assert!(serde_json::from_value::<Config>(unknown).is_err());
    }
}
