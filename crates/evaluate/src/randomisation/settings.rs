//! The section `[evaluate.randomisation]`: what is made meaningless, and for which maps.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::redraw::Redraw;
use super::similarity::Similarity;
use crate::chosen::wrong_items;

/// What is measured, how and on which maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The tests; none by default, because they explain pictures again.
    pub metrics: Vec<Test>,
    /// Kinds of items: `tile`, `scene`, `grid`.
    pub items: Vec<String>,
    /// The first so many items of each kind.
    pub most: usize,
    /// Probe ids, or beginnings like `linear-*`; empty for all.
    pub probes: Vec<String>,
    /// Methods, or beginnings like `lrp*`; empty for all.
    pub methods: Vec<String>,
    /// How weights are drawn again.
    pub redraw: Redraw,
    /// Measures of similarity; they share their maps.
    pub similarity: Vec<Similarity>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics: vec![],
            items: vec!["grid".to_string()],
            most: 8,
            probes: vec![],
            methods: vec![],
            redraw: Redraw::Normal,
            similarity: Similarity::ALL.to_vec(),
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
        } else if self.similarity.is_empty() {
            "similarity is empty; name at least one measure, such as pearson".to_string()
        } else if self.most == 0 {
            "most must be at least 1; leave metrics empty to measure nothing".to_string()
        } else {
            let mut checked = self.clone();
            checked.metrics.sort_unstable();
            checked.metrics.dedup();
            checked.similarity.sort_unstable();
            checked.similarity.dedup();
            return Ok(checked);
        };
        Err(Error::Usage(format!("[evaluate.randomisation] {wrong}")))
    }

    /// How many of a backbone's `stages` are drawn again besides the head, in each step of the cascade.
    ///
    /// # Errors
    /// [`Error::Usage`] for a step that goes beyond the backbone.
    pub fn depths(&self, stages: usize) -> Result<Vec<usize>> {
        let mut depths = BTreeSet::new();
        for test in &self.metrics {
            match test {
                Test::Logit => (),
                Test::Parameters(Reach::Cascade) => depths.extend(0..=stages),
                Test::Parameters(Reach::Head) => depths.extend([0]),
                Test::Parameters(Reach::All) => depths.extend([stages]),
                Test::Parameters(Reach::Last(count)) if *count <= stages => depths.extend([*count]),
                Test::Parameters(Reach::Last(_)) => {
                    return Err(Error::Usage(format!(
                        "[evaluate.randomisation] metrics asks for {test}, the backbone has {stages} stages; use \
                         parameter_randomisation:all"
                    )));
                }
            }
        }
        Ok(depths.into_iter().collect())
    }
}

/// How far into the network weights are drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// The probe.
    Head,
    /// The probe, and so many stages of the backbone from its end.
    Last(usize),
    /// Probe and backbone.
    All,
    /// All of these, one after another.
    Cascade,
}

/// A randomisation test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Test {
    /// Weights are drawn again.
    Parameters(Reach),
    /// The logit of another class is explained.
    Logit,
}

impl Test {
    /// Name of the test with other weights, as in the `metric` column.
    pub const PARAMETERS: &str = "parameter_randomisation";
    /// Name of the test with another logit.
    pub const LOGIT: &str = "logit_randomisation";
}

/// First part of the `variant` column: how many of the `stages` of the backbone were drawn again besides the head.
pub fn depth_name(depth: usize, stages: usize) -> String {
    match depth {
        0 => "head".to_string(),
        depth if depth == stages => "all".to_string(),
        depth => format!("last{depth}"),
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logit => f.write_str(Self::LOGIT),
            Self::Parameters(Reach::Head) => write!(f, "{}:head", Self::PARAMETERS),
            Self::Parameters(Reach::Last(count)) => write!(f, "{}:last{count}", Self::PARAMETERS),
            Self::Parameters(Reach::All) => write!(f, "{}:all", Self::PARAMETERS),
            Self::Parameters(Reach::Cascade) => write!(f, "{}:cascade", Self::PARAMETERS),
        }
    }
}

impl FromStr for Test {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, reach) = text.split_once(':').unwrap_or((text, "cascade"));
        let last = reach.strip_prefix("last").and_then(|count| count.parse().ok());
        match (name, reach, last) {
            (Self::LOGIT, "cascade", _) if !text.contains(':') => Ok(Self::Logit),
            (Self::PARAMETERS, "cascade", _) => Ok(Self::Parameters(Reach::Cascade)),
            (Self::PARAMETERS, "head", _) => Ok(Self::Parameters(Reach::Head)),
            (Self::PARAMETERS, "all", _) => Ok(Self::Parameters(Reach::All)),
            (Self::PARAMETERS, _, Some(count @ 1..)) => Ok(Self::Parameters(Reach::Last(count))),
            _ => Err(Error::Usage(format!(
                "randomisation test `{text}` is not known; use parameter_randomisation:cascade, :head, :all or :lastN with N \
                 stages of the backbone from its end, or logit_randomisation"
            ))),
        }
    }
}

impl TryFrom<String> for Test {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Test> for String {
    fn from(test: Test) -> Self {
        test.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(metrics: &[&str]) -> Settings {
        Settings { metrics: metrics.iter().map(|text| text.parse().unwrap()).collect(), ..Settings::default() }
    }

    #[test]
    fn names_round_trip_and_the_bare_name_is_the_cascade() {
        for text in [
            "parameter_randomisation:cascade",
            "parameter_randomisation:head",
            "parameter_randomisation:last3",
            "parameter_randomisation:all",
            "logit_randomisation",
        ] {
            assert_eq!(text.parse::<Test>().unwrap().to_string(), text);
        }
        assert_eq!("parameter_randomisation".parse::<Test>().unwrap(), Test::Parameters(Reach::Cascade));
        for text in ["randomisation", "parameter_randomisation:last0", "logit_randomisation:cascade"] {
            assert!(text.parse::<Test>().unwrap_err().to_string().contains("lastN"), "{text}");
        }
    }

    #[test]
    fn a_cascade_goes_from_the_head_to_all_and_names_its_steps() {
        assert_eq!(asking(&["parameter_randomisation"]).depths(3).unwrap(), [0, 1, 2, 3]);
        let some = ["parameter_randomisation:all", "parameter_randomisation:last1", "parameter_randomisation:head"];
        assert_eq!(asking(&some).depths(3).unwrap(), [0, 1, 3]);
        assert!(asking(&["logit_randomisation"]).depths(3).unwrap().is_empty());
        let error = asking(&["parameter_randomisation:last4"]).depths(3).unwrap_err();
        assert!(error.to_string().contains("has 3 stages") && error.exit_code() == 2, "{error}");
        assert_eq!([0, 1, 3].map(|depth| depth_name(depth, 3)), ["head", "last1", "all"]);
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let ok = asking(&["logit_randomisation", "parameter_randomisation", "logit_randomisation"]);
        assert_eq!(ok.checked().unwrap().metrics, [Test::Parameters(Reach::Cascade), Test::Logit]);
        assert!(Settings::default().is_off());
        for (settings, key) in [
            (Settings { items: vec!["photo".into()], ..ok.clone() }, "items names `photo`"),
            (Settings { items: vec![], ..ok.clone() }, "items is empty"),
            (Settings { similarity: vec![], ..ok.clone() }, "similarity"),
            (Settings { most: 0, ..ok.clone() }, "most"),
        ] {
            let error = settings.checked().unwrap_err();
            assert!(error.to_string().contains(key) && error.exit_code() == 2, "{error}");
        }
    }
}
