//! What a configured step size means for the size of a batch.

use std::fmt;
use std::str::FromStr;

use features::error::Error;
use serde::{Deserialize, Serialize};

use crate::schedule::as_text;

/// How the step size follows from the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RateRule {
    /// It is that: `as_given`. The reference declares a rule and leaves it off.
    #[default]
    AsGiven,
    /// It was given for batches of so many tiles, and grows with the batch: `linear:256`.
    Linear(usize),
}

impl RateRule {
    /// The step size for batches of `batch` tiles, where `given` is configured.
    // METHOD: mmengine's auto_scale_lr: the configured step size times batch / base.
    pub fn rate(self, given: f64, batch: usize) -> f64 {
        match self {
            Self::AsGiven => given,
            Self::Linear(base) => given * batch as f64 / base as f64,
        }
    }
}

impl fmt::Display for RateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsGiven => write!(f, "as_given"),
            Self::Linear(base) => write!(f, "linear:{base}"),
        }
    }
}

impl FromStr for RateRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let base = || text.strip_prefix("linear:")?.parse().ok().filter(|&base| base > 0);
        match base() {
            Some(base) => Ok(Self::Linear(base)),
            None if text == "as_given" => Ok(Self::AsGiven),
            None => Err(Error::Usage(format!(
                "unknown rate_rule {text:?}; it is as_given, or linear:256 (step sizes are for batches of 256)"
            ))),
        }
    }
}

as_text!(RateRule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_follow_the_batch_where_asked() {
        for (text, want) in [("as_given", 30.0), ("linear:256", 60.0), ("linear:1024", 15.0)] {
            let rule: RateRule = text.parse().unwrap();
            assert_eq!((rule.rate(30.0, 512), rule.to_string().as_str()), (want, text));
        }
        for text in ["", "linear", "linear:0", "none"] {
            assert!(text.parse::<RateRule>().unwrap_err().to_string().contains("linear:256"), "{text}");
        }
    }
}
