//! DeepLIFT by the rescale rule.
//!
//! - What: `M(p) = sum over c of (x - x0)_c(p) * m_c(p)`. The multipliers `m` are the gradient with the finite
//!   difference `(y - y0) / (x - x0)` in place of each ReLU's and maximum's slope; `x0` and `y0` are what the layer sees
//!   and gives when the network sees a baseline. The map sums to the logit less the baseline's.
//! - Source: Shrikumar et al. 2017, section 3.5.1, without the separation of positive and negative parts.
//! - Here: the baseline has a name, see [`crate::baseline::Baseline`]. Overlapping windows of a maximum add up, where
//!   captum keeps one of them; and the rule holds for a maximum right behind a ReLU, where captum's hooks lose it.
//! - Cost: two forward passes for each image, shared by all targets and probes, and one pull-back for each of them.

use features::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;

/// Settings of the section `[attribute.deep_lift]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeepLift {
    /// What differences are taken from.
    pub baseline: Baseline,
}

/// `path` `[1, c, h, w]`, the input less its baseline, and multipliers `[m, c, h, w]` to maps `[m, h, w]`.
// METHOD: sum_c (x - x0)_c * m_c.
pub fn maps(path: &Tensor<4>, multipliers: Tensor<4>) -> Tensor<3> {
    super::integrated_gradients::maps(path, multipliers)
}
