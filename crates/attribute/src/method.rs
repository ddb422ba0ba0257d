//! The attribution methods by name: one variant, one file under `method/`, one spelling in flags, files and tables.

pub mod ablation_cam;
pub mod bcos;
pub mod cam;
pub mod deconvnet;
pub mod deep_lift;
pub mod excitation_backprop;
pub mod grad_cam;
pub mod gradient;
pub mod guided_backprop;
pub mod guided_grad_cam;
pub mod input_x_gradient;
pub mod integrated_gradients;
pub mod kernel_shap;
pub mod lime;
pub mod lrp;
pub mod occlusion;
pub mod rise;
pub mod score_cam;
pub mod smooth_grad;

use std::{fmt, str::FromStr};

use features::{
    error::Error,
    network::{Layer, Network},
};
use serde::{Deserialize, Serialize};

use lrp::Start;

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
    /// See [`gradient`].
    Gradient,
    /// See [`smooth_grad`].
    SmoothGrad,
    /// See [`deconvnet`].
    Deconvnet,
    /// See [`guided_grad_cam`].
    GuidedGradCam,
    /// See [`grad_cam`], at the last convolution before its norm and sum, as the published code does.
    GradCamReference,
    /// See [`cam`].
    GradCamPlusPlus,
    /// See [`cam`].
    LayerCam,
    /// See [`cam`].
    XGradCam,
    /// See [`cam`].
    HiResCam,
    /// See [`lrp`]: the epsilon rule everywhere.
    LrpEpsilon,
    /// See [`lrp`]: z+ in convolutions, epsilon in heads.
    LrpEpsilonPlus(FirstLayer),
    /// See [`lrp`]: alpha 2, beta 1 in convolutions, epsilon in heads.
    LrpEpsilonAlpha2Beta1(FirstLayer),
    /// See [`excitation_backprop`].
    ExcitationBackprop,
    /// See [`occlusion`].
    Occlusion,
    /// See [`rise`].
    Rise,
    /// See [`lime`].
    Lime,
    /// See [`kernel_shap`].
    KernelShap,
    /// See [`lime`], on the softmax's probability, as the published code does for probes trained with CE.
    LimeSoftmax,
    /// See [`lime`], on the sigmoid's probability, as the published code does for all other probes.
    LimeSigmoid,
    /// See [`score_cam`].
    ScoreCam,
    /// See [`ablation_cam`].
    AblationCam,
    /// See [`guided_backprop`], times the input.
    GuidedBackpropTimesInput,
    /// See [`deep_lift`].
    DeepLift,
}

/// LRP's rule in the convolution that sees the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FirstLayer {
    /// As in all other convolutions.
    Same,
    /// See [`crate::rule::Rule::Flat`].
    Flat,
    /// See [`crate::rule::Rule::WSquare`].
    WSquare,
    /// See [`crate::rule::Rule::ZBox`].
    ZBox,
}

/// How a method comes by its maps, which is what decides what it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// One pull-back to the pixels.
    Pixels,
    /// Activations and gradients at the features: the backbone is not pulled through.
    Features,
    /// Gradients of many inputs, averaged.
    Averaged,
    /// Forward passes of masked inputs.
    Masked,
    /// One pull-back to the pixels through two forward passes, the picture's and a baseline's.
    Contrasted,
}

/// Methods that look at the same masks, the one that makes them first.
pub const MASKED: [&[Method]; 5] = [
    &[Method::Occlusion],
    &[Method::Rise],
    &[Method::Lime, Method::LimeSoftmax, Method::LimeSigmoid],
    &[Method::KernelShap],
    &[Method::ScoreCam],
];

/// Why nothing is read at the features of a network that makes one vector of a picture.
const NO_POSITIONS: &str = "the features behind CLIP's attention pool have no positions to weigh; layout = \"clip\" takes \
                            the trunk without it";

impl Method {
    /// All methods, in the order of tables and figures.
    pub const ALL: [Self; 36] = [
        Self::InputXGradient,
        Self::IntegratedGradients,
        Self::GradCam,
        Self::Lrp,
        Self::LrpReference,
        Self::GuidedBackprop,
        Self::Bcos,
        Self::Gradient,
        Self::SmoothGrad,
        Self::Deconvnet,
        Self::GuidedGradCam,
        Self::GradCamReference,
        Self::GradCamPlusPlus,
        Self::LayerCam,
        Self::XGradCam,
        Self::HiResCam,
        Self::LrpEpsilon,
        Self::LrpEpsilonPlus(FirstLayer::Same),
        Self::LrpEpsilonPlus(FirstLayer::Flat),
        Self::LrpEpsilonPlus(FirstLayer::WSquare),
        Self::LrpEpsilonPlus(FirstLayer::ZBox),
        Self::LrpEpsilonAlpha2Beta1(FirstLayer::Same),
        Self::LrpEpsilonAlpha2Beta1(FirstLayer::Flat),
        Self::LrpEpsilonAlpha2Beta1(FirstLayer::WSquare),
        Self::LrpEpsilonAlpha2Beta1(FirstLayer::ZBox),
        Self::ExcitationBackprop,
        Self::Occlusion,
        Self::Rise,
        Self::Lime,
        Self::KernelShap,
        Self::LimeSoftmax,
        Self::LimeSigmoid,
        Self::ScoreCam,
        Self::AblationCam,
        Self::GuidedBackpropTimesInput,
        Self::DeepLift,
    ];

    /// The methods of an experiment that names none: those of the paper, without the reference's variants.
    pub const DEFAULT: [Self; 6] =
        [Self::InputXGradient, Self::IntegratedGradients, Self::GradCam, Self::Lrp, Self::GuidedBackprop, Self::Bcos];

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
            Self::Gradient => "gradient",
            Self::SmoothGrad => "smooth_grad",
            Self::Deconvnet => "deconvnet",
            Self::GuidedGradCam => "guided_grad_cam",
            Self::GradCamReference => "grad_cam:reference",
            Self::GradCamPlusPlus => "grad_cam_plus_plus",
            Self::LayerCam => "layer_cam",
            Self::XGradCam => "xgrad_cam",
            Self::HiResCam => "hires_cam",
            Self::LrpEpsilon => "lrp_epsilon",
            Self::LrpEpsilonPlus(FirstLayer::Same) => "lrp_epsilon_plus",
            Self::LrpEpsilonPlus(FirstLayer::Flat) => "lrp_epsilon_plus:flat",
            Self::LrpEpsilonPlus(FirstLayer::WSquare) => "lrp_epsilon_plus:w_square",
            Self::LrpEpsilonPlus(FirstLayer::ZBox) => "lrp_epsilon_plus:z_box",
            Self::LrpEpsilonAlpha2Beta1(FirstLayer::Same) => "lrp_epsilon_alpha2_beta1",
            Self::LrpEpsilonAlpha2Beta1(FirstLayer::Flat) => "lrp_epsilon_alpha2_beta1:flat",
            Self::LrpEpsilonAlpha2Beta1(FirstLayer::WSquare) => "lrp_epsilon_alpha2_beta1:w_square",
            Self::LrpEpsilonAlpha2Beta1(FirstLayer::ZBox) => "lrp_epsilon_alpha2_beta1:z_box",
            Self::ExcitationBackprop => "excitation_backprop",
            Self::Occlusion => "occlusion",
            Self::Rise => "rise",
            Self::Lime => "lime",
            Self::KernelShap => "kernel_shap",
            Self::LimeSoftmax => "lime:softmax",
            Self::LimeSigmoid => "lime:sigmoid",
            Self::ScoreCam => "score_cam",
            Self::AblationCam => "ablation_cam",
            Self::GuidedBackpropTimesInput => "guided_backprop:times_input",
            Self::DeepLift => "deep_lift",
        }
    }

    /// How the method comes by its maps.
    pub const fn family(self) -> Family {
        match self {
            Self::GradCam
            | Self::GradCamReference
            | Self::GradCamPlusPlus
            | Self::LayerCam
            | Self::XGradCam
            | Self::HiResCam
            | Self::AblationCam => Family::Features,
            Self::IntegratedGradients | Self::SmoothGrad => Family::Averaged,
            Self::Occlusion
            | Self::Rise
            | Self::Lime
            | Self::LimeSoftmax
            | Self::LimeSigmoid
            | Self::KernelShap
            | Self::ScoreCam => Family::Masked,
            Self::DeepLift => Family::Contrasted,
            Self::InputXGradient
            | Self::Lrp
            | Self::LrpReference
            | Self::GuidedBackprop
            | Self::GuidedBackpropTimesInput
            | Self::Bcos
            | Self::Gradient
            | Self::Deconvnet
            | Self::GuidedGradCam
            | Self::LrpEpsilon
            | Self::LrpEpsilonPlus(_)
            | Self::LrpEpsilonAlpha2Beta1(_)
            | Self::ExcitationBackprop => Family::Pixels,
        }
    }

    /// What a method that hands relevance back starts with, if it is one.
    pub const fn start(self) -> Option<Start> {
        match self {
            Self::Lrp
            | Self::LrpReference
            | Self::LrpEpsilon
            | Self::LrpEpsilonPlus(_)
            | Self::LrpEpsilonAlpha2Beta1(_) => Some(Start::Logit),
            Self::ExcitationBackprop => Some(Start::One),
            _ => None,
        }
    }

    /// Why the method is not run on this backbone and head, if so.
    ///
    /// A degenerate case is skipped by name and never replaced by another method in silence.
    pub fn unfit(self, backbone: &Network, head: &Network) -> Option<&'static str> {
        let has = |network: &Network, test: fn(&Layer) -> bool| network.any(&test);
        let bcos = |layer: &Layer| matches!(layer, Layer::BcosConv(_));
        let bcos_backbone = has(backbone, bcos);
        let relu = |layer: &Layer| matches!(layer, Layer::Relu);
        let attends = has(backbone, |layer| matches!(layer, Layer::AttentionPool(_)));
        match self {
            method if attends && (method.start().is_some() || method == Self::DeepLift) => Some(
                "its rules are not defined for the softmax of CLIP's attention pool; layout = \"clip\" takes the trunk \
                 without it",
            ),
            Self::GuidedGradCam | Self::ScoreCam if attends => Some(NO_POSITIONS),
            method if attends && method.family() == Family::Features && method != Self::GradCamReference => {
                Some(NO_POSITIONS)
            }
            method if method.start().is_some() && bcos_backbone => {
                Some("LRP's rules are for conventional backbones, this one has B-cos layers")
            }
            Self::DeepLift if bcos_backbone || has(head, bcos) => {
                Some("DeepLIFT's rules are for layers that are linear but for ReLUs and maxima, this has B-cos layers")
            }
            Self::GuidedBackprop | Self::GuidedBackpropTimesInput | Self::Deconvnet | Self::GuidedGradCam
                if !has(backbone, relu) && !has(head, relu) =>
            {
                Some("there is no ReLU to guide, so the map would be the plain gradient")
            }
            Self::Bcos if !bcos_backbone => {
                Some("the backbone has no B-cos layer, so there is no scale to hold constant")
            }
            _ => None,
        }
    }

    /// The method that gives the same map on this head, if there is one: the row is then no evidence of its own.
    pub fn degenerate(self, head: &Network) -> Option<Self> {
        // The gradient of a linear head is the same at all positions.
        let linear = matches!(
            head.layers.as_slice(),
            [Layer::Conv(_), Layer::GlobalAvgPool, Layer::Offset(_)] | [Layer::Conv(_), Layer::GlobalAvgPool]
        );
        match self {
            Self::XGradCam | Self::HiResCam if linear => Some(Self::GradCam),
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
        let message = "lime2".parse::<Method>().unwrap_err().to_string();
        assert!(message.contains("lrp:reference"), "{message}");
    }

    #[test]
    fn degenerate_cases_are_named() {
        let relu = Network::new(vec![Layer::Relu]);
        let plain = Network::default();
        for method in
            [Method::GuidedBackprop, Method::GuidedBackpropTimesInput, Method::Deconvnet, Method::GuidedGradCam]
        {
            assert!(method.unfit(&plain, &plain).is_some());
            assert!(method.unfit(&plain, &relu).is_none());
        }
        assert!(Method::Bcos.unfit(&relu, &plain).is_some());
        assert!(Method::Lrp.unfit(&relu, &plain).is_none());
        assert!(Method::InputXGradient.unfit(&plain, &plain).is_none());
        assert_eq!(Method::HiResCam.degenerate(&relu), None);
    }
}
