//! The attribution methods by name: one variant, one file under `method/`, one spelling in flags, files and tables.

pub mod bcos;
pub mod grad_cam;
pub mod guided_backprop;
pub mod input_x_gradient;
pub mod integrated_gradients;
pub mod lrp;

use std::{fmt, str::FromStr};

use features::{
    error::Error,
    network::{Layer, Network},
};
use serde::{Deserialize, Serialize};

/// An attribution method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Method {
    /// See [`input_x_gradient`].
    InputXGradient,
    /// See [`integrated_gradients`].
    IntegratedGradients,
    /// See [`grad_cam`].
    GradCam,
    /// See [`lrp`]; relevance is shared at residual sums.
    Lrp,
    /// See [`lrp`]; relevance is copied at residual sums, as the published code does.
    LrpReference,
    /// See [`guided_backprop`].
    GuidedBackprop,
    /// See [`bcos`].
    Bcos,
}

/// Where a method reads what was pulled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At the features: the backbone is not pulled through.
    Features,
    /// At the pixels.
    Pixels,
}

impl Method {
    /// All methods, in the order of tables and figures.
    pub const ALL: [Self; 7] = [
        Self::InputXGradient,
        Self::IntegratedGradients,
        Self::GradCam,
        Self::Lrp,
        Self::LrpReference,
        Self::GuidedBackprop,
        Self::Bcos,
    ];

    /// The name in flags, files and columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputXGradient => "input_x_gradient",
            Self::IntegratedGradients => "integrated_gradients",
            Self::GradCam => "grad_cam",
            Self::Lrp => "lrp",
            Self::LrpReference => "lrp:reference",
            Self::GuidedBackprop => "guided_backprop",
            Self::Bcos => "bcos",
        }
    }

    /// Where the method reads what was pulled back.
    pub const fn depth(self) -> Depth {
        match self {
            Self::GradCam => Depth::Features,
            _ => Depth::Pixels,
        }
    }

    /// Why the method is not run on this backbone and head, if so.
    ///
    /// A degenerate case is skipped by name and never replaced by another method in silence.
    pub fn unfit(self, backbone: &Network, head: &Network) -> Option<&'static str> {
        let has = |network: &Network, test: fn(&Layer) -> bool| network.any(&test);
        let bcos_backbone = has(backbone, |layer| matches!(layer, Layer::BcosConv(_)));
        let relu = |layer: &Layer| matches!(layer, Layer::Relu);
        match self {
            Self::Lrp | Self::LrpReference if bcos_backbone => {
                Some("LRP's rules are for conventional backbones, this one has B-cos layers")
            }
            Self::GuidedBackprop if !has(backbone, relu) && !has(head, relu) => {
                Some("there is no ReLU to guide, so the map would be the plain gradient")
            }
            Self::Bcos if !bcos_backbone => {
                Some("the backbone has no B-cos layer, so there is no scale to hold constant")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Usage(format!("there is no attribution method {name:?}; choose from {names}"))
        })
    }
}

impl TryFrom<String> for Method {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.name().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_the_round_trip() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(json, format!("{:?}", method.name()));
            assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);
        }
        let message = "lime".parse::<Method>().unwrap_err().to_string();
        assert!(message.contains("lrp:reference"), "{message}");
    }

    #[test]
    fn degenerate_cases_are_named() {
        let relu = Network::new(vec![Layer::Relu]);
        let plain = Network::default();
        assert!(Method::GuidedBackprop.unfit(&plain, &plain).is_some());
        assert!(Method::GuidedBackprop.unfit(&plain, &relu).is_none());
        assert!(Method::Bcos.unfit(&relu, &plain).is_some());
        assert!(Method::Lrp.unfit(&relu, &plain).is_none());
        assert!(Method::InputXGradient.unfit(&plain, &plain).is_none());
    }
}
