//! The section `[evaluate.perturbation]`: what is asked, of which maps, and how pictures are taken apart.

use std::fmt;
use std::str::FromStr;

use attribute::baseline::Baseline;
use attribute::config;
use features::error::{Error, Result};
use features::stage::Batch;
use serde::{Deserialize, Serialize};

use super::confidence::Confidence;
use super::ranking::First;
use super::unit::Unit;
use crate::chosen::wrong_items;

/// What is measured, how and on which maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The metrics; none by default, because they run the backbone again.
    pub metrics: Vec<Question>,
    /// Kinds of items: `tile`, `scene`, `grid`.
    pub items: Vec<String>,
    /// The first so many items of each kind; by default all.
    pub most: Option<usize>,
    /// Probe ids, or beginnings like `linear-*`; empty for all.
    pub probes: Vec<String>,
    /// Methods, or beginnings like `lrp*`; empty for all.
    pub methods: Vec<String>,
    /// Steps from the whole picture to the baseline.
    pub steps: usize,
    /// What is removed at a time.
    pub unit: Unit,
    /// Random orders of each picture, whose mean score is the level of chance; 0 for none. They share their passes over
    /// probes and methods.
    pub random_orders: usize,
    /// What takes the place of removed pixels.
    pub baseline: Baseline,
    /// Scales of confidence; they share their passes.
    pub confidence: Vec<Confidence>,
    /// Pictures that go through the backbone at once; changes speed and memory only. By default 16, on an accelerator
    /// 64, or as many as memory allows.
    pub chunk: Batch,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics: vec![],
            items: vec!["tile".to_string()],
            most: None,
            probes: vec![],
            methods: vec![],
            steps: 20,
            unit: Unit::Pixels,
            random_orders: 1,
            baseline: Baseline::Mean,
            confidence: Confidence::ALL.to_vec(),
            chunk: Batch::Auto,
        }
    }
}

impl Settings {
    /// Whether nothing is asked.
    pub fn is_off(&self) -> bool {
        self.metrics.is_empty()
    }

    /// The settings in canonical order, or what is wrong with them.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the key.
    pub fn checked(&self) -> Result<Self> {
        let wrong = if let Some(wrong) = wrong_items(&self.items) {
            wrong
        } else if self.confidence.is_empty() {
            "confidence is empty; name at least one scale, such as softmax".to_string()
        } else if self.steps == 0 {
            "steps must be at least 1".to_string()
        } else if self.most == Some(0) {
            "most must be at least 1; leave metrics empty to measure nothing".to_string()
        } else {
            let mut checked = self.clone();
            checked.metrics.sort_unstable_by_key(|question| (question.name(), question.order()));
            checked.metrics.dedup();
            checked.confidence.sort_unstable_by_key(|scale| scale.name());
            checked.confidence.dedup();
            return Ok(checked);
        };
        Err(Error::Usage(format!("[evaluate.perturbation] {wrong}")))
    }

    /// All that the scores depend on, for the fingerprint: everything but `chunk`, and the seed of the order of ties.
    pub fn identity(&self, seed: u64) -> serde_json::Value {
        let mut value = serde_json::json!(self);
        if let Some(keys) = value.as_object_mut() {
            keys.remove("chunk");
            keys.insert("seed".to_string(), seed.into());
        }
        value
    }

    /// The name of a question's variant: order, unit, baseline and scale.
    pub fn variant(&self, question: Question, confidence: Confidence) -> String {
        format!("{}:{}:{}:{confidence}", question.order(), self.unit, self.baseline.name())
    }
}

/// Whether some pattern names `text`; none at all names everything.
pub fn names(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| config::names(pattern, text))
}

/// A perturbation metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Question {
    /// Area under the curve when pixels are removed, one end of the order first.
    Deletion(First),
    /// Area under the curve when the most important pixels are put into the baseline first.
    Insertion,
    /// What so many percent of the units keep, the most important ones.
    Sufficiency(u8),
}

impl Question {
    /// Name without the order, as in the `metric` column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deletion(_) => "pixel_deletion",
            Self::Insertion => "pixel_insertion",
            Self::Sufficiency(_) => "sufficiency",
        }
    }

    /// First part of the `variant` column.
    pub fn order(self) -> String {
        match self {
            Self::Deletion(First::Least) => "least_first".to_string(),
            Self::Deletion(First::Most) | Self::Insertion => "most_first".to_string(),
            Self::Sufficiency(percent) => format!("keep{percent}"),
        }
    }

    /// Which end of the order is removed first; none where there is no curve.
    // METHOD: inserting the most important pixels first passes through the pictures of removing the least important ones
    // first, from the other end.
    pub const fn first(self) -> Option<First> {
        match self {
            Self::Deletion(first) => Some(first),
            Self::Insertion => Some(First::Least),
            Self::Sufficiency(_) => None,
        }
    }

    /// Direction: whether a larger value is a better explanation.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::Deletion(First::Most))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.order())
    }
}

impl FromStr for Question {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let kept = text.strip_prefix("sufficiency:keep").and_then(|percent| percent.parse().ok());
        match (text, kept) {
            ("pixel_deletion" | "pixel_deletion:least_first", _) => Ok(Self::Deletion(First::Least)),
            ("pixel_deletion:most_first", _) => Ok(Self::Deletion(First::Most)),
            ("pixel_insertion" | "pixel_insertion:most_first", _) => Ok(Self::Insertion),
            (_, Some(percent @ 1..=100)) => Ok(Self::Sufficiency(percent)),
            _ => Err(Error::Usage(format!(
                "perturbation metric `{text}` is not known; use pixel_deletion:least_first, pixel_deletion:most_first, \
                 pixel_insertion:most_first or sufficiency:keepN with N percent from 1 to 100"
            ))),
        }
    }
}

impl TryFrom<String> for Question {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Question> for String {
    fn from(question: Question) -> Self {
        question.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_bare_names_mean_the_default() {
        for text in [
            "pixel_deletion:least_first",
            "pixel_deletion:most_first",
            "pixel_insertion:most_first",
            "sufficiency:keep10",
        ] {
            assert_eq!(text.parse::<Question>().unwrap().to_string(), text);
        }
        assert_eq!("pixel_deletion".parse::<Question>().unwrap(), Question::Deletion(First::Least));
        for text in ["deletion", "sufficiency:keep0", "sufficiency:keep101", "pixel_insertion:least_first"] {
            assert!(text.parse::<Question>().unwrap_err().to_string().contains("keepN"), "{text}");
        }
    }

    #[test]
    fn the_shown_variant_is_that_of_the_defaults() {
        let settings = Settings::default();
        assert_eq!(settings.variant(Question::Deletion(First::Least), Confidence::Softmax), crate::perturbation::SHOWN);
        assert!(settings.is_off());
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let ok = Settings { metrics: vec![Question::Insertion], ..Settings::default() };
        assert_eq!(ok.checked().unwrap().metrics, [Question::Insertion]);
        for (settings, key) in [
            (Settings { items: vec!["photo".into()], ..ok.clone() }, "items names `photo`"),
            (Settings { items: vec![], ..ok.clone() }, "items is empty"),
            (Settings { steps: 0, ..ok.clone() }, "steps"),
            (Settings { confidence: vec![], ..ok.clone() }, "confidence"),
            (Settings { most: Some(0), ..ok.clone() }, "most"),
        ] {
            let error = settings.checked().unwrap_err();
            assert!(error.to_string().contains(key) && error.exit_code() == 2, "{error}");
        }
        assert_eq!(ok.identity(1), Settings { chunk: Batch::Of(1), ..ok.clone() }.identity(1));
        assert_ne!(ok.identity(1), ok.identity(2));
        assert_ne!(ok.identity(1), Settings { steps: 3, ..ok.clone() }.identity(1));
    }

    #[test]
    fn patterns_choose_by_name_or_beginning() {
        let patterns = ["linear-*".to_string(), "bcos1-ce-s0".to_string()];
        let chosen = |text| names(&patterns, text);
        assert_eq!(
            ["linear-ce-s0", "linear_offset-bce-s0", "bcos1-ce-s0", "bcos1-ce-s01"].map(chosen),
            [true, false, true, false]
        );
        assert!(names(&[], "anything"));
    }
}
