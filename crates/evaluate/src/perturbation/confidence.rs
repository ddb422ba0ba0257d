//! What is read from the logits of a perturbed picture: how sure the probe is of the target.

use std::fmt;
use std::str::FromStr;

use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A scale of confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Confidence {
    /// Softmax probability among all classes: the same question to every probe.
    Softmax,
    /// Sigmoid of the target's logit, whatever the others are.
    Sigmoid,
    /// The logit itself, with its offset.
    Logit,
}

impl Confidence {
    /// All scales.
    pub const ALL: [Self; 3] = [Self::Softmax, Self::Sigmoid, Self::Logit];

    /// Name in variants and configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Logit => "logit",
        }
    }

    /// The confidence in class `target` by these logits.
    // METHOD: exp(l_t - m) / sum exp(l_c - m) with m the largest logit; 1 / (1 + exp(-l_t)); l_t. All in f64.
    pub fn of(self, logits: &[f32], target: usize) -> f64 {
        let logit = f64::from(logits[target]);
        match self {
            Self::Softmax => {
                let largest = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
                let exp = |value: f64| (value - f64::from(largest)).exp();
                exp(logit) / logits.iter().map(|value| exp(f64::from(*value))).sum::<f64>()
            }
            Self::Sigmoid => 1.0 / (1.0 + (-logit).exp()),
            Self::Logit => logit,
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Confidence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Usage(format!("confidence `{text}` is not known; use one of {names}"))
        })
    }
}

impl TryFrom<String> for Confidence {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Confidence> for String {
    fn from(confidence: Confidence) -> Self {
        confidence.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_their_formulas() {
        let logits = [2.0f32, -1.0, 0.5];
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        for (scale, expected) in [
            (Confidence::Softmax, 0.5f64.exp() / sum),
            (Confidence::Sigmoid, 1.0 / (1.0 + (-0.5f64).exp())),
            (Confidence::Logit, 0.5),
        ] {
            assert!((scale.of(&logits, 2) - expected).abs() < 1e-15, "{scale}");
            assert_eq!(scale.to_string().parse::<Confidence>().unwrap(), scale);
        }
        // Large logits neither overflow nor vanish.
        assert_eq!(Confidence::Softmax.of(&[1000.0, 1000.0], 0), 0.5);
        assert!("odds".parse::<Confidence>().unwrap_err().to_string().contains("sigmoid"));
    }
}
