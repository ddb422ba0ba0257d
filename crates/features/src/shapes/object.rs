//! What a class is: a textured outline, drawn at random but always whole and never covered.

use std::f64::consts::TAU;

use crate::artifact::{Box2, Rle};
use crate::mask::encode;
use crate::random::{Stream, between};

use super::canvas::{Canvas, Pose, bounds, covered};
use super::silhouette::Silhouette;
use super::texture::{Pattern, Texture};

/// Smallest and largest radius, pixels.
const RADIUS: [f64; 2] = [11.0, 17.0];

/// One object of a class.
#[derive(Clone, Debug)]
pub struct Object {
    /// Class, an index of [`super::CLASSES`].
    pub class: usize,
    /// Radius of the circle that bounds it, pixels.
    pub radius: f64,
    /// Where it lies.
    pub pose: Pose,
    pattern: Pattern,
}

impl Object {
    /// A random object of `class` that lies within a picture of `side` pixels.
    pub fn draw(rng: &mut Stream, class: usize, side: usize) -> Self {
        let radius = between(rng, RADIUS[0], RADIUS[1]);
        let mut coordinate = || between(rng, radius, side as f64 - radius);
        let centre = [coordinate(), coordinate()];
        let pose = Pose::new(centre, between(rng, 0.0, TAU));
        let pattern = Pattern::draw(rng, Texture::ALL[class % Texture::ALL.len()]);
        Self { class, radius, pose, pattern }
    }

    /// Paints it.
    pub fn paint(&self, canvas: &mut Canvas) {
        canvas.paint(&self.pose, self.reach(), |x, y| self.distance(x, y), |x, y| self.pattern.colour(x, y));
    }

    /// What it covers by more than half in a picture of `side` pixels: the tight box and the pixels.
    pub fn place(&self, side: usize) -> (Box2, Rle) {
        let class = self.class as i32;
        let inside = covered(&self.pose, self.reach(), side, |x, y| self.distance(x, y));
        let [xmin, ymin, xmax, ymax] = bounds(&inside, side).expect("an object lies within its picture");
        (Box2 { class, xmin, ymin, xmax, ymax }, Rle { class, counts: encode(&inside, side, side) })
    }

    fn reach(&self) -> f64 {
        Silhouette::REACH * self.radius
    }

    fn distance(&self, x: f64, y: f64) -> f64 {
        let outline = Silhouette::ALL[self.class / Texture::ALL.len()];
        self.radius * outline.distance(x / self.radius, y / self.radius)
    }
}
