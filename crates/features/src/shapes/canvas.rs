//! A square picture in floats: smooth background first, things painted over it, sensor noise last.

use crate::images::Rgb;
use crate::random::{Stream, normal, uniform};

use super::silhouette::coverage;
use super::texture::Colour;

/// Pixels between the points of the background's lattice.
const LATTICE: usize = 16;
/// Standard deviation of the noise, of a full scale of 1.
const NOISE: f64 = 0.04;

/// Where and how a thing lies.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// Centre (column, row) in pixels; the centre of the first pixel is at 0.5.
    pub centre: [f64; 2],
    /// Cosine and sine of the rotation.
    turn: [f64; 2],
}

impl Pose {
    /// A pose at `centre` turned by `angle` radians.
    pub fn new(centre: [f64; 2], angle: f64) -> Self {
        Self { centre, turn: [angle.cos(), angle.sin()] }
    }

    /// The pixel centre (column + 0.5, row + 0.5) in the thing's own axes, pixels.
    fn local(&self, column: usize, row: usize) -> (f64, f64) {
        let (dx, dy) = (column as f64 + 0.5 - self.centre[0], row as f64 + 0.5 - self.centre[1]);
        let [cos, sin] = self.turn;
        (cos * dx + sin * dy, cos * dy - sin * dx)
    }
}

/// The picture, values nominally in [0, 1].
#[derive(Clone, Debug)]
pub struct Canvas {
    /// Width and height, pixels.
    pub side: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A smooth random background with a random tint.
    // METHOD: uniform noise on a lattice, bilinear with smoothstep weights, at half contrast, plus an offset a channel.
    pub fn background(rng: &mut Stream, side: usize) -> Self {
        let points = side / LATTICE + 1;
        let lattice: Vec<f64> = (0..points * points * 3).map(|_| uniform(rng)).collect();
        let tint: Colour = std::array::from_fn(|_| (uniform(rng) - 0.5) * 0.6);
        let axis: Vec<(usize, f64)> = (0..side)
            .map(|pixel| {
                let at = (pixel as f64 + 0.5) / LATTICE as f64;
                let t = at.fract();
                (at as usize, t * t * (3.0 - 2.0 * t))
            })
            .collect();
        let mut pixels = Vec::with_capacity(side * side);
        for &(row, down) in &axis {
            for &(column, right) in &axis {
                pixels.push(std::array::from_fn(|channel| {
                    let value = |row: usize, column: usize| lattice[(row * points + column) * 3 + channel];
                    let above = value(row, column) * (1.0 - right) + value(row, column + 1) * right;
                    let below = value(row + 1, column) * (1.0 - right) + value(row + 1, column + 1) * right;
                    let noise = above * (1.0 - down) + below * down;
                    0.5 + 0.5 * (noise - 0.5) + tint[channel]
                }));
            }
        }
        Self { side, pixels }
    }

    /// Paints a thing: `distance` is its signed distance in pixels and `colour` its colour, both in its own axes;
    /// nothing of it is farther than `reach` pixels from its centre.
    pub fn paint(
        &mut self,
        pose: &Pose,
        reach: f64,
        distance: impl Fn(f64, f64) -> f64,
        colour: impl Fn(f64, f64) -> Colour,
    ) {
        for row in window(pose.centre[1], reach, self.side) {
            for column in window(pose.centre[0], reach, self.side) {
                let (x, y) = pose.local(column, row);
                let covered = coverage(distance(x, y));
                if covered > 0.0 {
                    let over = colour(x, y);
                    let under = &mut self.pixels[row * self.side + column];
                    *under = std::array::from_fn(|c| under[c] * (1.0 - covered) + over[c] * covered);
                }
            }
        }
    }

    /// Adds noise to every value and rounds to bytes.
    pub fn develop(self, rng: &mut Stream) -> Rgb {
        let data = self
            .pixels
            .iter()
            .flatten()
            .map(|value| ((value + NOISE * normal(rng)).clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect();
        Rgb { width: self.side, height: self.side, data }
    }
}

/// Which pixels of a picture of `side` pixels, row by row, a thing covers by more than half.
pub fn covered(pose: &Pose, reach: f64, side: usize, distance: impl Fn(f64, f64) -> f64) -> Vec<bool> {
    let mut inside = vec![false; side * side];
    for row in window(pose.centre[1], reach, side) {
        for column in window(pose.centre[0], reach, side) {
            let (x, y) = pose.local(column, row);
            inside[row * side + column] = coverage(distance(x, y)) > 0.5;
        }
    }
    inside
}

/// Tight bounds (xmin, ymin, xmax, ymax), half-open, of the pixels inside.
pub fn bounds(inside: &[bool], side: usize) -> Option<[i32; 4]> {
    let mut found: Option<[i32; 4]> = None;
    for at in (0..inside.len()).filter(|&at| inside[at]) {
        let (x, y) = ((at % side) as i32, (at / side) as i32);
        let [xmin, ymin, xmax, ymax] = found.unwrap_or([x, y, x + 1, y + 1]);
        found = Some([xmin.min(x), ymin.min(y), xmax.max(x + 1), ymax.max(y + 1)]);
    }
    found
}

/// Pixels of one axis within `reach` of `centre`, one more on each side, cut at the picture.
fn window(centre: f64, reach: f64, side: usize) -> std::ops::Range<usize> {
    let low = (centre - reach - 1.0).floor().max(0.0) as usize;
    let high = (centre + reach + 1.0).ceil().clamp(0.0, side as f64) as usize;
    low.min(high)..high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn a_square_is_painted_where_its_bounds_say() {
        let mut canvas = Canvas::background(&mut stream(0, &["canvas"]), 32);
        let before = canvas.pixels.clone();
        let pose = Pose::new([10.0, 20.0], 0.0);
        let square = |x: f64, y: f64| (x.abs() - 4.0).max(y.abs() - 3.0);
        canvas.paint(&pose, 6.0, square, |_, _| [2.0, 3.0, 4.0]);
        assert_eq!(bounds(&covered(&pose, 6.0, 32, square), 32), Some([6, 17, 14, 23]));
        for (index, (old, new)) in before.iter().zip(&canvas.pixels).enumerate() {
            let (x, y) = (index % 32, index / 32);
            let inside = (6..14).contains(&x) && (17..23).contains(&y);
            assert_eq!(*new, if inside { [2.0, 3.0, 4.0] } else { *old }, "{x} {y}");
        }
    }

    #[test]
    fn a_thing_off_the_picture_is_cut() {
        let pose = Pose::new([-1.0, 31.0], 0.3);
        let disc = |x: f64, y: f64| x.hypot(y) - 4.0;
        let [xmin, ymin, xmax, ymax] = bounds(&covered(&pose, 4.0, 32, disc), 32).expect("some of it is inside");
        assert_eq!((xmin, ymax), (0, 32));
        assert!(xmax == 3 && ymin == 27);
        assert_eq!(bounds(&covered(&Pose::new([-9.0, 0.0], 0.0), 4.0, 32, disc), 32), None);
    }
}
