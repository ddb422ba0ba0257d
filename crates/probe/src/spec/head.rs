//! The shape of a head: what kind of layers, and how many.

use features::error::Error;
use serde::{Deserialize, Serialize};

/// Shape of a head. The number is how many layers it has; heads without one have a single linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Head {
    /// One linear layer: `linear`.
    Linear,
    /// So many B-cos layers, at least 1, uncentred norms between: `bcos3`.
    Bcos(u8),
    /// So many convolutions, at least 2, BatchNorm and ReLU between: `mlp2`.
    Mlp(u8),
    /// A linear CE probe moved so that its mean logit rises; predictions unchanged: `shift_up`.
    ShiftUp,
    /// A linear CE probe moved so that its mean logit falls; predictions unchanged: `shift_down`.
    ShiftDown,
    /// A linear CE probe moved to where a sigmoid loss wants it; predictions unchanged: `shift_fit`.
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
    /// The name used in files and probe ids.
    pub fn name(self) -> String {
        match self {
            Self::Linear => "linear".into(),
            Self::Bcos(layers) => format!("bcos{layers}"),
            Self::Mlp(layers) => format!("mlp{layers}"),
            Self::ShiftUp => "shift_up".into(),
            Self::ShiftDown => "shift_down".into(),
            Self::ShiftFit => "shift_fit".into(),
        }
    }

    /// The head of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let layers = |kind: &str, least: u8| {
            let layers = name.strip_prefix(kind)?.parse().ok()?;
            (layers >= least).then_some(layers)
        };
        let found = match name {
            "linear" => Self::Linear,
            "shift_up" => Self::ShiftUp,
            "shift_down" => Self::ShiftDown,
            "shift_fit" => Self::ShiftFit,
            _ => layers("bcos", 1).map(Self::Bcos).or_else(|| layers("mlp", 2).map(Self::Mlp))?,
        };
        // A number can be written in several ways, a head in one.
        (found.name() == name).then_some(found)
    }

    /// How it is trained and lowered.
    pub fn kind(self) -> Kind {
        match self {
            Self::Linear => Kind::Linear,
            Self::Bcos(_) => Kind::Bcos,
            Self::Mlp(_) => Kind::Mlp,
            Self::ShiftUp | Self::ShiftDown | Self::ShiftFit => Kind::Shift,
        }
    }

    /// How many layers with weights it has.
    pub fn layers(self) -> usize {
        match self {
            Self::Bcos(layers) | Self::Mlp(layers) => usize::from(layers),
            _ => 1,
        }
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.name()
    }
}

impl TryFrom<String> for Head {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::from_name(&name).ok_or_else(|| {
            Error::Usage(format!(
                "unknown head {name:?}; it is linear, bcos1, bcos2 and so on, mlp2, mlp3 and so on, shift_up, shift_down or shift_fit"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde_and_depth_is_data() {
        let heads = [Head::Linear, Head::ShiftUp, Head::ShiftDown, Head::ShiftFit];
        for head in heads.into_iter().chain([1, 2, 3, 12].map(Head::Bcos)).chain([2, 3, 5].map(Head::Mlp)) {
            assert_eq!(serde_json::to_value(head).unwrap(), head.name());
            assert_eq!(serde_json::from_value::<Head>(head.name().into()).unwrap(), head);
        }
        assert_eq!((Head::Bcos(4).layers(), Head::Mlp(5).layers(), Head::ShiftFit.layers()), (4, 5, 1));
    }

    #[test]
    fn a_head_has_one_name() {
        for name in ["bcos0", "bcos", "bcos+2", "bcos02", "mlp1", "mlp", "mlp999", "Linear", "linear1"] {
            let error = serde_json::from_value::<Head>(name.into()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("mlp2, mlp3 and so on"), "{error}");
        }
    }
}
