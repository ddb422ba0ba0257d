//! What a probe is: the choices that identify it, and the id they spell.

use serde::{Deserialize, Serialize};

use crate::loss::Loss;

/// Shape of a head. The number is how many layers it has; heads without one have a single linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One linear layer.
    Linear,
    /// One B-cos layer.
    Bcos1,
    /// Two B-cos layers, uncentred norm between.
    Bcos2,
    /// Three B-cos layers, uncentred norms between.
    Bcos3,
    /// Two convolutions, BatchNorm and ReLU between.
    Mlp2,
    /// Three convolutions, BatchNorm and ReLU between.
    Mlp3,
    /// A linear CE probe moved so that its mean logit rises; predictions unchanged.
    ShiftUp,
    /// A linear CE probe moved so that its mean logit falls; predictions unchanged.
    ShiftDown,
    /// A linear CE probe moved to where a sigmoid loss wants it; predictions unchanged.
    ShiftFit,
}

/// How a head is trained and lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A single linear layer, trained on pooled features.
    Linear,
    /// B-cos layers, trained on maps.
    Bcos,
    /// Conventional layers, trained on maps.
    Mlp,
    /// A single linear layer, computed from a trained one.
    Shift,
}

impl Head {
    /// All heads.
    pub const ALL: [Self; 9] = [
        Self::Linear,
        Self::Bcos1,
        Self::Bcos2,
        Self::Bcos3,
        Self::Mlp2,
        Self::Mlp3,
        Self::ShiftUp,
        Self::ShiftDown,
        Self::ShiftFit,
    ];

    /// The name used in files and probe ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Bcos1 => "bcos1",
            Self::Bcos2 => "bcos2",
            Self::Bcos3 => "bcos3",
            Self::Mlp2 => "mlp2",
            Self::Mlp3 => "mlp3",
            Self::ShiftUp => "shift_up",
            Self::ShiftDown => "shift_down",
            Self::ShiftFit => "shift_fit",
        }
    }

    /// The head of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|head| head.name() == name)
    }

    /// How it is trained and lowered.
    pub fn kind(self) -> Kind {
        match self {
            Self::Linear => Kind::Linear,
            Self::Bcos1 | Self::Bcos2 | Self::Bcos3 => Kind::Bcos,
            Self::Mlp2 | Self::Mlp3 => Kind::Mlp,
            Self::ShiftUp | Self::ShiftDown | Self::ShiftFit => Kind::Shift,
        }
    }

    /// How many layers with weights it has.
    pub fn layers(self) -> usize {
        match self {
            Self::Bcos2 | Self::Mlp2 => 2,
            Self::Bcos3 | Self::Mlp3 => 3,
            _ => 1,
        }
    }

    /// What fits its weights.
    pub fn optimiser(self) -> &'static str {
        match self {
            Self::ShiftUp | Self::ShiftDown => "none",
            Self::ShiftFit => "newton",
            _ => "sgd",
        }
    }
}

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

/// Everything that tells one probe from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Shape of the head.
    pub head: Head,
    /// What it minimised; for shifted heads, what their source minimised.
    pub loss: Loss,
    /// Constant added to the logits.
    pub offset: Offset,
    /// Whether layers have a trained bias (never in B-cos heads).
    pub bias: bool,
    /// Peak step size.
    pub learning_rate: f64,
    /// Passes over the training tiles.
    pub epochs: usize,
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
    /// `HEAD[_offset][_bias]-LOSS-sSEED[-TAG]`, for example `bcos3_offset-bce-s0`.
    pub fn id(&self) -> String {
        let offset = if self.offset == Offset::LogClasses { "_offset" } else { "" };
        let bias = if self.bias { "_bias" } else { "" };
        let tag = if self.tag.is_empty() { String::new() } else { format!("-{}", self.tag) };
        format!("{}{offset}{bias}-{}-s{}{tag}", self.head.name(), self.loss.name(), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_spell_what_differs() {
        let mut spec = ProbeSpec {
            head: Head::Bcos3,
            loss: Loss::Bce,
            offset: Offset::LogClasses,
            bias: false,
            learning_rate: 4.0,
            epochs: 5,
            batch: 128,
            hidden: 128,
            seed: 0,
            tag: String::new(),
        };
        assert_eq!(spec.id(), "bcos3_offset-bce-s0");
        (spec.head, spec.offset, spec.loss, spec.seed) = (Head::Linear, Offset::None, Loss::BcePlain, 2);
        assert_eq!(spec.id(), "linear-bce_plain-s2");
        (spec.bias, spec.tag) = (true, "lr10".into());
        assert_eq!(spec.id(), "linear_bias-bce_plain-s2-lr10");
    }

    #[test]
    fn names_are_those_of_serde() {
        for head in Head::ALL {
            assert_eq!(serde_json::to_value(head).unwrap(), head.name());
            assert_eq!(Head::from_name(head.name()), Some(head));
        }
        assert_eq!(serde_json::to_value(Offset::LogClasses).unwrap(), Offset::LogClasses.name());
        assert_eq!(serde_json::to_value(Loss::BcePlain).unwrap(), Loss::BcePlain.name());
    }

    #[test]
    fn the_offset_of_a_thousand_classes_is_the_reference_constant() {
        assert!((Offset::LogClasses.value(1000) + 6.906_755).abs() < 1e-6);
        assert_eq!(Offset::None.value(1000), 0.0);
    }
}
