//! Whether a map can be trusted: what it should sum to, how far it is from that, and whether it says anything new.

use features::network::{Layer, Network};

use crate::method::Method;

/// The figures that stand next to each map; none where a method makes no such promise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Check {
    /// What the map should sum to.
    pub explained: Option<f32>,
    /// `(sum - explained) / |explained|`.
    pub completeness_error: Option<f32>,
    /// Share of `explained` that biases, shifts, offsets and stabilisers kept: `1 - sum / explained`. Stabilisers alone keep
    /// less than 1e-4 of ResNet-50's relevance (`tests/resnet50.rs`), so what is more is the biases'; with `lrp_epsilon` the
    /// measure is the sum of magnitudes, which is far larger than the sum.
    pub absorbed_fraction: Option<f32>,
    /// The method that gives the same map on this network.
    pub degenerate: Option<Method>,
}

/// Which figure tells what is missing.
enum Missing {
    /// An error of the method.
    Error,
    /// What constants kept.
    Absorbed,
}

impl Check {
    /// `promise` is the sum that a method knows only while it computes; others follow from the logit.
    pub(super) fn of(method: Method, head: &Network, logit: f32, promise: Option<f32>, values: &[f32]) -> Self {
        let explained = match method {
            // Explanation mode is the linear map of the network's input; the offset is no part of it.
            Method::Bcos => Some((logit - offset(head), Missing::Absorbed)),
            Method::Lrp | Method::LrpEpsilon | Method::LrpEpsilonPlus(_) | Method::LrpEpsilonAlpha2Beta1(_) => {
                Some((logit, Missing::Absorbed))
            }
            Method::ExcitationBackprop => Some((1.0, Missing::Absorbed)),
            // Copied at every sum, relevance is not conserved, and the figure shows by how much.
            Method::LrpReference => Some((logit, Missing::Error)),
            _ => promise.map(|sum| (sum, Missing::Error)),
        };
        let degenerate = method.degenerate(head);
        let Some((explained, missing)) = explained.filter(|(explained, _)| *explained != 0.0) else {
            return Self { degenerate, ..Self::default() };
        };
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        let error = ((sum - f64::from(explained)) / f64::from(explained).abs()) as f32;
        let figures = Self { explained: Some(explained), degenerate, ..Self::default() };
        match missing {
            Missing::Error => Self { completeness_error: Some(error), ..figures },
            Missing::Absorbed => Self { absorbed_fraction: Some(-error * explained.signum()), ..figures },
        }
    }
}

/// The sum of a head's logit offsets.
fn offset(head: &Network) -> f32 {
    let of = |layer: &Layer| match layer {
        Layer::Offset(offset) => *offset,
        Layer::Apart(apart) => self::offset(&apart.network),
        _ => 0.0,
    };
    head.layers.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_what_they_say() {
        let head = Network::new(vec![Layer::Offset(-2.0)]);
        let check = Check::of(Method::Bcos, &head, -6.0, None, &[-1.0, -2.0]);
        // -4 is explained, of which 1 is missing.
        assert_eq!(
            (check.explained, check.absorbed_fraction, check.completeness_error),
            (Some(-4.0), Some(0.25), None)
        );
        let check = Check::of(Method::Lrp, &head, 4.0, None, &[2.0, 1.0]);
        assert_eq!((check.absorbed_fraction, check.completeness_error), (Some(0.25), None));
        let check = Check::of(Method::IntegratedGradients, &head, 9.0, Some(-2.0), &[-1.0]);
        assert_eq!((check.explained, check.completeness_error, check.absorbed_fraction), (Some(-2.0), Some(0.5), None));
        assert_eq!(Check::of(Method::Gradient, &head, 9.0, None, &[1.0]), Check::default());
        assert_eq!(Check::of(Method::Lrp, &head, 0.0, None, &[1.0]), Check::default());
    }
}
