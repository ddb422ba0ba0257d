//! The five outlines, as signed distances in unit coordinates: negative inside, one unit is the object's radius.

/// An outline; `class div 4` of a Shapes class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silhouette {
    /// A filled circle.
    Disc,
    /// A square.
    Square,
    /// An equilateral triangle.
    Triangle,
    /// Two crossed bars.
    Cross,
    /// A circle with five petals.
    Flower,
}

impl Silhouette {
    /// All outlines in class order.
    pub const ALL: [Self; 5] = [Self::Disc, Self::Square, Self::Triangle, Self::Cross, Self::Flower];

    /// Farthest any outline reaches from its centre, in radii (a corner of the square).
    pub const REACH: f64 = 1.1;

    /// Signed distance of the point (u, v) to the outline, in radii.
    // METHOD: exact for the disc, a bound with the right zero set for the others.
    pub fn distance(self, u: f64, v: f64) -> f64 {
        match self {
            Self::Disc => u.hypot(v) - 0.85,
            Self::Square => u.abs().max(v.abs()) - 0.75,
            Self::Triangle => {
                let slant = 0.75f64.sqrt() * u.abs() - 0.5 * v;
                v.max(slant) - 0.5
            }
            Self::Cross => {
                let upright = (u.abs() - 0.36).max(v.abs() - 0.95);
                let lying = (u.abs() - 0.95).max(v.abs() - 0.36);
                upright.min(lying)
            }
            Self::Flower => u.hypot(v) - (0.68 + 0.27 * (5.0 * v.atan2(u)).cos()),
        }
    }
}

/// Share of a pixel that is covered at a signed distance in pixels: a ramp one pixel wide.
pub fn coverage(distance: f64) -> f64 {
    (0.5 - distance).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outline_holds_its_centre_and_ends_within_reach() {
        for shape in Silhouette::ALL {
            assert!(shape.distance(0.0, 0.0) < -0.3, "{shape:?}");
            for step in 0..360 {
                let (sin, cos) = f64::from(step).to_radians().sin_cos();
                let edge = shape.distance(Silhouette::REACH * cos, Silhouette::REACH * sin);
                assert!(edge > 0.0, "{shape:?} at {step} degrees: {edge}");
            }
        }
    }

    #[test]
    fn a_triangle_has_threefold_symmetry() {
        let (sin, cos) = 120f64.to_radians().sin_cos();
        for (u, v) in [(0.3, 0.1), (-0.7, 0.4), (0.0, -0.9)] {
            let turned = Silhouette::Triangle.distance(cos * u - sin * v, sin * u + cos * v);
            assert!((turned - Silhouette::Triangle.distance(u, v)).abs() < 1e-12);
        }
    }
}
