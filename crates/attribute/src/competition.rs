//! VAR: the maps of several targets compete for each pixel. It is applied to the finished maps of any method.
//!
//! - What: `p_t = softmax over targets t of temperature * |M_t|`, pixel by pixel; what remains of a map is
//!   `M_t p_t [p_t - 1 / targets > threshold]`.
//! - Source: Walter, Vreeken, Fischer, "Hidden in plain sight", 2025, and the published code's constants.
//! - Here: the targets are those that are explained on the item. The published code feeds raw magnitudes to the
//!   softmax, so that its effect depends on the scale of a method's maps; `scale = "largest"` divides by the largest
//!   magnitude among the maps first, `scale = "none"` is the published form.
//! - Cost: none to speak of. A target alone has nothing to compete with and gets no such map.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// Settings of the section `[attribute.var]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Var {
    /// Methods whose maps are also stored after the competition, as `METHOD:var`.
    pub methods: Vec<Method>,
    /// Sharpness of the softmax.
    pub temperature: f64,
    /// How far above an equal share a target must be to keep a pixel.
    pub threshold: f64,
    /// What magnitudes are measured in.
    pub scale: Scale,
}

/// The unit of the magnitudes that compete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The largest magnitude among the competing maps.
    Largest,
    /// As they are.
    None,
}

impl Default for Var {
    fn default() -> Self {
        Self { methods: Vec::new(), temperature: 10.0, threshold: 0.1, scale: Scale::Largest }
    }
}

impl Var {
    /// What the competition leaves of the maps of all targets.
    // METHOD: VAR, as above.
    pub fn compete(&self, maps: &[&[f32]]) -> Vec<Vec<f32>> {
        let largest = maps.iter().flat_map(|map| map.iter()).fold(0f32, |most, value| most.max(value.abs()));
        let unit = match self.scale {
            Scale::Largest if largest > 0.0 => f64::from(largest),
            _ => 1.0,
        };
        let mut left = vec![Vec::with_capacity(maps[0].len()); maps.len()];
        let equal = 1.0 / maps.len() as f64;
        for pixel in 0..maps[0].len() {
            let strength = |map: &&[f32]| self.temperature * f64::from(map[pixel].abs()) / unit;
            let strongest = maps.iter().map(strength).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = maps.iter().map(|map| (strength(map) - strongest).exp()).sum();
            for (map, left) in maps.iter().zip(&mut left) {
                let share = (strength(map) - strongest).exp() / sum;
                let kept = if share - equal > self.threshold { share } else { 0.0 };
                left.push((f64::from(map[pixel]) * kept) as f32);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_target_keeps_a_pixel() {
        // By hand, temperature ln 3 and scale 1: magnitudes 1 and 0 have shares 3/4 and 1/4; equal ones 1/2 each.
        let var = Var { temperature: 3f64.ln(), threshold: 0.1, scale: Scale::None, ..Var::default() };
        let left = var.compete(&[&[-1.0, 1.0, 0.0], &[0.0, 1.0, 1.0]]);
        assert!((left[0][0] + 0.75).abs() < 1e-6 && left[0][1..] == [0.0, 0.0], "{left:?}");
        assert!((left[1][2] - 0.75).abs() < 1e-6 && left[1][..2] == [0.0, 0.0], "{left:?}");
        // Measured by the largest magnitude, the result scales with the maps.
        let var = Var { scale: Scale::Largest, ..var };
        let small = var.compete(&[&[-0.001, 0.001, 0.0], &[0.0, 0.001, 0.001]]);
        assert!((small[0][0] + 0.00075).abs() < 1e-8, "{small:?}");
    }
}
