//! How the step size changes during training, as a factor on its peak.

use std::fmt;
use std::str::FromStr;

use features::error::Error;
use serde::{Deserialize, Serialize};

/// How the step size falls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Decay {
    /// Not at all: `constant`.
    Constant,
    /// To a tenth at the start of each of these epochs: `step:60,80`.
    Step(Vec<usize>),
    /// To a tenth every so many epochs: `step_every:6`.
    StepEvery(usize),
    /// As half a cosine from the end of the warm-up to 0, step by step: `cosine`.
    Cosine,
    /// The same, but constant within an epoch, as in the reference: `cosine_by_epoch`.
    CosineByEpoch,
}

/// How the step size rises at first.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WarmUp {
    /// Not at all: `none`.
    None,
    /// In a line over so many steps, at most two thirds of all, the first one a step above 0: `steps:100`.
    Steps(usize),
    /// In a line over so many epochs, step by step, from this factor: `epochs:5 from 0.01`.
    Epochs(usize, f64),
}

/// Rise and fall of the step size.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct Schedule {
    /// The rise.
    pub warm_up: WarmUp,
    /// The fall.
    pub decay: Decay,
}

/// How long a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Passes over the training tiles.
    pub epochs: usize,
    /// Steps of one pass.
    pub steps: usize,
}

impl Schedule {
    /// The factor on the peak step size at `step`, counted from 0 over all epochs.
    // METHOD: as in mmengine. Linear warm-up: from + (1 - from) i / (w - 1) at step i of w. MultiStepLR and StepLR by
    // epoch, factor 0.1. Cosine: (1 + cos(pi p)) / 2, p the share of the time since the warm-up that has passed.
    pub fn factor(&self, step: usize, length: Length) -> f64 {
        let epoch = step / length.steps.max(1);
        let warm = self.warm_up_steps(length);
        let rise = if step >= warm || warm == 1 {
            1.0
        } else {
            let from = match self.warm_up {
                WarmUp::Epochs(_, from) => from,
                _ => 1.0 / warm as f64,
            };
            from + (1.0 - from) * step as f64 / (warm - 1) as f64
        };
        let cosine =
            |passed: usize, all: usize| 0.5 * (1.0 + (std::f64::consts::PI * passed as f64 / all.max(1) as f64).cos());
        rise * match &self.decay {
            Decay::Constant => 1.0,
            Decay::Step(epochs) => 0.1f64.powi(epochs.iter().filter(|&&at| epoch >= at).count() as i32),
            Decay::StepEvery(epochs) => 0.1f64.powi((epoch / epochs.max(&1)) as i32),
            Decay::Cosine => cosine(step.saturating_sub(warm), (length.epochs * length.steps).saturating_sub(warm)),
            Decay::CosineByEpoch => {
                let warm = warm.div_ceil(length.steps.max(1));
                cosine(epoch.saturating_sub(warm), length.epochs.saturating_sub(warm))
            }
        }
    }

    fn warm_up_steps(&self, length: Length) -> usize {
        match self.warm_up {
            WarmUp::None => 0,
            WarmUp::Steps(steps) => steps.min(length.epochs * length.steps * 2 / 3).max(1),
            WarmUp::Epochs(epochs, _) => epochs * length.steps,
        }
    }
}

impl fmt::Display for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => write!(f, "constant"),
            Self::Step(epochs) => {
                let list: Vec<String> = epochs.iter().map(usize::to_string).collect();
                write!(f, "step:{}", list.join(","))
            }
            Self::StepEvery(epochs) => write!(f, "step_every:{epochs}"),
            Self::Cosine => write!(f, "cosine"),
            Self::CosineByEpoch => write!(f, "cosine_by_epoch"),
        }
    }
}

impl fmt::Display for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Steps(steps) => write!(f, "steps:{steps}"),
            Self::Epochs(epochs, from) => write!(f, "epochs:{epochs} from {from}"),
        }
    }
}

impl FromStr for Decay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = match text.split_once(':') {
            None if text == "constant" => Some(Self::Constant),
            None if text == "cosine" => Some(Self::Cosine),
            None if text == "cosine_by_epoch" => Some(Self::CosineByEpoch),
            Some(("step", list)) => {
                let epochs: Option<Vec<usize>> = list.split(',').map(|epoch| epoch.trim().parse().ok()).collect();
                epochs.map(Self::Step)
            }
            Some(("step_every", epochs)) => {
                epochs.trim().parse().ok().filter(|&epochs| epochs > 0).map(Self::StepEvery)
            }
            _ => None,
        };
        known.ok_or_else(|| {
            Error::Usage(format!(
                "unknown schedule {text:?}; it is constant, step:60,80 (epochs), step_every:6, cosine or cosine_by_epoch"
            ))
        })
    }
}

impl FromStr for WarmUp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = match text.split_once(':') {
            None if text == "none" => Some(Self::None),
            Some(("steps", steps)) => steps.trim().parse().ok().map(Self::Steps),
            Some(("epochs", rest)) => rest.split_once(" from ").and_then(|(epochs, from)| {
                let from: f64 = from.trim().parse().ok()?;
                (0.0..=1.0).contains(&from).then_some(Self::Epochs(epochs.trim().parse().ok()?, from))
            }),
            _ => None,
        };
        known.ok_or_else(|| {
            Error::Usage(format!("unknown warm_up {text:?}; it is none, steps:100, or epochs:5 from 0.01"))
        })
    }
}

/// What serde needs of a type that is written as a text.
macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use as_text;

as_text!(Decay);
as_text!(WarmUp);

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warm_up: &str, decay: &str) -> Schedule {
        Schedule { warm_up: warm_up.parse().unwrap(), decay: decay.parse().unwrap() }
    }

    #[test]
    fn factors_are_those_of_the_reference() {
        let imagenet = Length { epochs: 100, steps: 2503 };
        let voc = Length { epochs: 50, steps: 79 };
        let at = |epoch: usize, length: Length| epoch * length.steps;
        let cosine = |p: f64| 0.5 * (1.0 + (std::f64::consts::PI * p).cos());
        let cases = [
            ("none", "step:60,80", at(60, imagenet) - 1, imagenet, 1.0),
            ("none", "step:60,80", at(60, imagenet), imagenet, 0.1),
            ("none", "step:60,80", at(100, imagenet) - 1, imagenet, 0.01),
            ("epochs:5 from 0.01", "cosine_by_epoch", 0, imagenet, 0.01),
            ("epochs:5 from 0.01", "cosine_by_epoch", at(5, imagenet) - 1, imagenet, 1.0),
            ("epochs:5 from 0.01", "cosine_by_epoch", at(6, imagenet) - 1, imagenet, 1.0),
            ("epochs:5 from 0.01", "cosine_by_epoch", at(6, imagenet), imagenet, cosine(1.0 / 95.0)),
            ("epochs:5 from 0.01", "cosine_by_epoch", at(99, imagenet), imagenet, cosine(94.0 / 95.0)),
            ("epochs:1 from 0.0000001", "step_every:6", 39, voc, 1e-7 + (1.0 - 1e-7) * 0.5),
            ("epochs:1 from 0.0000001", "step_every:6", at(6, voc), voc, 0.1),
            ("epochs:1 from 0.0000001", "step_every:6", at(48, voc), voc, 1e-8),
            ("none", "constant", 17, voc, 1.0),
        ];
        for (warm_up, decay, step, length, want) in cases {
            let got = schedule(warm_up, decay).factor(step, length);
            assert!((got - want).abs() < 1e-12, "{warm_up} {decay} {step}: {got} {want}");
        }
    }

    #[test]
    fn a_warm_up_by_steps_fits_into_short_trainings() {
        let schedule = schedule("steps:100", "cosine");
        let length = Length { epochs: 5, steps: 31 };
        let factor = |step| schedule.factor(step, length);
        assert!((factor(0) - 0.01).abs() < 1e-12 && (factor(99) - 1.0).abs() < 1e-12 && factor(100) == 1.0);
        assert!(factor(154) < 0.01);
        assert_eq!(schedule.factor(0, Length { epochs: 1, steps: 1 }), 1.0);
    }

    #[test]
    fn texts_round_trip_and_mistakes_are_named() {
        for text in ["constant", "step:60,80", "step_every:6", "cosine", "cosine_by_epoch"] {
            assert_eq!(text.parse::<Decay>().unwrap().to_string(), text);
        }
        for text in ["none", "steps:100", "epochs:5 from 0.01", "epochs:1 from 0.0000001"] {
            assert_eq!(text.parse::<WarmUp>().unwrap().to_string(), text);
        }
        for text in ["", "steps", "step:", "step:a", "step_every:0", "linear"] {
            let error = text.parse::<Decay>().unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains("step:60,80"), "{text}");
        }
        for text in ["5", "epochs:5", "epochs:5 from 2", "steps:x"] {
            assert!(text.parse::<WarmUp>().unwrap_err().to_string().contains("epochs:5 from 0.01"), "{text}");
        }
    }
}
