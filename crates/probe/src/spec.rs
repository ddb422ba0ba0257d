//! What a probe is: the choices that identify it, and the id they spell.

mod head;

pub use head::{Head, Kind};
use serde::{Deserialize, Serialize};

use crate::data::Form;
use crate::loss::{Loss, Objective};
use crate::optimiser::{Method, Optimiser};
use crate::schedule::{Decay, Schedule, WarmUp};

/// A constant, not trained, added to every logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offset {
    /// 0.
    #[default]
    None,
    /// `-ln(classes - 1)`: the log odds of a uniform guess, which the paper's B-cos heads carry.
    LogClasses,
}

impl Offset {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::LogClasses => "log_classes",
        }
    }

    /// The offset of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::LogClasses].into_iter().find(|offset| offset.name() == name)
    }

    /// Its value.
    // METHOD: -ln(C - 1), the logit at which a sigmoid says 1/C.
    pub fn value(self, classes: usize) -> f32 {
        match self {
            Self::None => 0.0,
            Self::LogClasses => -((classes.saturating_sub(1).max(1)) as f64).ln() as f32,
        }
    }
}

/// What stands between the layers of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Nothing: the head has one layer.
    None,
    /// BatchNorm, centred, with a shift.
    Batch,
    /// BatchNorm that neither centres nor shifts, as in B-cos networks.
    Uncentred,
}

impl Norm {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Batch => "batch",
            Self::Uncentred => "uncentred",
        }
    }

    /// The norm of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Batch, Self::Uncentred].into_iter().find(|norm| norm.name() == name)
    }
}

/// Whether features are brought to a common size before training, so that step sizes mean the same on every backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Pooled features to root mean square norm 1, cells of maps to mean norm 16.
    #[default]
    Common,
    /// Features as they are: the reference's way.
    None,
}

impl Scaling {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::None => "none",
        }
    }

    /// The scaling of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Common, Self::None].into_iter().find(|scaling| scaling.name() == name)
    }
}

/// Which of the weights that a training passes through are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Those at the end.
    #[default]
    LastEpoch,
    /// Those after the epoch with the best score on the validation split, the first of equals.
    BestEpoch,
}

impl Select {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastEpoch => "last_epoch",
            Self::BestEpoch => "best_epoch",
        }
    }

    /// The choice of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::LastEpoch, Self::BestEpoch].into_iter().find(|select| select.name() == name)
    }
}

/// Everything that tells one probe from another.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSpec {
    /// Shape of the head.
    pub head: Head,
    /// Exponent of its B-cos layers; other heads have none.
    pub b: f64,
    /// What it minimised; for shifted heads, what their source minimised.
    pub loss: Loss,
    /// Share of a label that is spread over all classes.
    pub smoothing: f64,
    /// Constant added to the logits.
    pub offset: Offset,
    /// Whether layers have a trained bias (never in B-cos heads).
    pub bias: bool,
    /// What stands between its layers.
    pub norm: Norm,
    /// Whether features are scaled before training.
    pub scaling: Scaling,
    /// What turned gradients into steps.
    pub optimiser: Optimiser,
    /// Peak step size; 0 where there are no steps.
    pub learning_rate: f64,
    /// How the step size changed.
    pub schedule: Schedule,
    /// Passes over the training tiles.
    pub epochs: usize,
    /// Which epoch's weights are kept.
    pub select: Select,
    /// Tiles a step.
    pub batch: usize,
    /// Channels between layers; 0 for heads of one layer.
    pub hidden: usize,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Ends the id, to tell apart probes that differ in something the id does not name; may be empty.
    pub tag: String,
}

impl ProbeSpec {
    /// A probe of default settings, one step long.
    pub fn plain(head: Head, loss: Loss) -> Self {
        Self {
            head,
            b: DEFAULT_B,
            loss,
            smoothing: 0.0,
            offset: Offset::None,
            bias: false,
            norm: default_norm(head),
            scaling: Scaling::Common,
            optimiser: Optimiser::SGD,
            learning_rate: 1.0,
            schedule: default_schedule(head, 1),
            epochs: 1,
            select: Select::LastEpoch,
            batch: 1,
            hidden: 0,
            seed: 0,
            tag: String::new(),
        }
    }

    /// `HEAD[_bB][_offset][_bias]-LOSS[-OPTIMISER]-sSEED[-TAG]`, for example `bcos3_offset-bce-s0`; B = 2 and SGD are not
    /// spelled.
    pub fn id(&self) -> String {
        let b = match self.exponent() {
            Some(b) if b != DEFAULT_B => format!("_b{b}"),
            _ => String::new(),
        };
        let offset = if self.offset == Offset::LogClasses { "_offset" } else { "" };
        let bias = if self.bias { "_bias" } else { "" };
        let optimiser = match self.optimiser.method {
            Method::Sgd | Method::Newton | Method::None => String::new(),
            method => format!("-{}", method.name()),
        };
        let tag = if self.tag.is_empty() { String::new() } else { format!("-{}", self.tag) };
        format!("{}{b}{offset}{bias}-{}{optimiser}-s{}{tag}", self.head.name(), self.loss.name(), self.seed)
    }

    /// The exponent B, of B-cos heads.
    pub fn exponent(&self) -> Option<f64> {
        (self.head.kind() == Kind::Bcos).then_some(self.b)
    }

    /// The features it is trained on and evaluated from: a linear head commutes with the pool.
    pub fn form(&self) -> Form {
        match self.head.kind() {
            Kind::Linear | Kind::Shift => Form::Pooled,
            Kind::Bcos | Kind::Mlp => Form::Maps,
        }
    }

    /// What it minimised.
    pub fn objective(&self) -> Objective {
        Objective { loss: self.loss, smoothing: self.smoothing }
    }

    /// How many numbers are trained, for features of `channels` channels.
    pub fn parameters(&self, channels: usize, classes: usize) -> usize {
        let layers = self.head.layers();
        let width = |layer: usize| if layer + 1 == layers { classes } else { self.hidden };
        let norm = match self.norm {
            Norm::None => 0,
            Norm::Uncentred => 1,
            Norm::Batch => 2,
        };
        let count = |layer: usize| {
            let inputs = if layer == 0 { channels } else { self.hidden };
            let extras = usize::from(self.bias) + if layer + 1 < layers { norm } else { 0 };
            width(layer) * (inputs + extras)
        };
        (0..layers).map(count).sum()
    }
}

/// The exponent of the paper's B-cos layers.
pub const DEFAULT_B: f64 = 2.0;

/// The norm a head has where none is asked for.
pub fn default_norm(head: Head) -> Norm {
    match (head.layers(), head.kind()) {
        (1, _) => Norm::None,
        (_, Kind::Mlp) => Norm::Batch,
        _ => Norm::Uncentred,
    }
}

/// The schedule a head has where none is asked for.
// METHOD: linear heads x0.1 at 60 % and at 80 % of the epochs; others rise over 100 steps and fall as a cosine.
pub fn default_schedule(head: Head, epochs: usize) -> Schedule {
    if head.kind() == Kind::Linear {
        let at = |percent: usize| (epochs * percent).div_ceil(100).max(1);
        return Schedule { warm_up: WarmUp::None, decay: Decay::Step(vec![at(60), at(80)]) };
    }
    Schedule { warm_up: WarmUp::Steps(100), decay: Decay::Cosine }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_spell_what_differs() {
        let mut spec = ProbeSpec { offset: Offset::LogClasses, ..ProbeSpec::plain(Head::Bcos(3), Loss::Bce) };
        assert_eq!(spec.id(), "bcos3_offset-bce-s0");
        (spec.head, spec.offset, spec.loss, spec.seed) = (Head::Linear, Offset::None, Loss::BcePlain, 2);
        assert_eq!(spec.id(), "linear-bce_plain-s2");
        (spec.bias, spec.tag) = (true, "lr10".into());
        assert_eq!(spec.id(), "linear_bias-bce_plain-s2-lr10");
        spec.optimiser = Optimiser::plain(Method::Adam);
        assert_eq!(spec.id(), "linear_bias-bce_plain-adam-s2-lr10");
        let spec = ProbeSpec { b: 1.5, offset: Offset::LogClasses, ..ProbeSpec::plain(Head::Bcos(4), Loss::Ce) };
        assert_eq!(spec.id(), "bcos4_b1.5_offset-ce-s0");
        assert_eq!(ProbeSpec { head: Head::Mlp(5), ..spec }.id(), "mlp5_offset-ce-s0");
    }

    #[test]
    fn the_default_step_size_of_linear_heads_falls_twice() {
        let length = crate::schedule::Length { epochs: 60, steps: 1 };
        let schedule = default_schedule(Head::Linear, 60);
        for (epoch, want) in [(0, 1.0), (35, 1.0), (36, 0.1), (47, 0.1), (48, 0.01), (59, 0.01)] {
            assert!((schedule.factor(epoch, length) - want).abs() < 1e-12, "{epoch}");
        }
    }

    #[test]
    fn names_are_those_of_serde() {
        for select in [Select::LastEpoch, Select::BestEpoch] {
            assert_eq!(serde_json::to_value(select).unwrap(), select.name());
            assert_eq!(Select::from_name(select.name()), Some(select));
        }
        assert_eq!(serde_json::to_value(Offset::LogClasses).unwrap(), Offset::LogClasses.name());
        for norm in [Norm::None, Norm::Batch, Norm::Uncentred] {
            assert_eq!(serde_json::to_value(norm).unwrap(), norm.name());
            assert_eq!(Norm::from_name(norm.name()), Some(norm));
        }
        for scaling in [Scaling::Common, Scaling::None] {
            assert_eq!(serde_json::to_value(scaling).unwrap(), scaling.name());
            assert_eq!(Scaling::from_name(scaling.name()), Some(scaling));
        }
    }

    #[test]
    fn the_offset_of_a_thousand_classes_is_the_reference_constant() {
        assert!((Offset::LogClasses.value(1000) + 6.906_755).abs() < 1e-6);
        assert_eq!(Offset::None.value(1000), 0.0);
    }
}
