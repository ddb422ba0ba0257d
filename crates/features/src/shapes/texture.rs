//! The four textures: two colours mixed by a periodic function of the object's own coordinates.

use std::f64::consts::TAU;

use crate::random::{Stream, between, uniform};

/// Red, green and blue in [0, 1].
pub type Colour = [f64; 3];

/// Smallest Euclidean distance between the two colours of a pair.
const CONTRAST: f64 = 0.45;

/// A kind of pattern; `class mod 4` of a Shapes class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texture {
    /// Parallel bars.
    Stripes,
    /// Alternating patches.
    Checker,
    /// Dots on a square lattice.
    Dots,
    /// Concentric circles around the object's centre.
    Rings,
}

impl Texture {
    /// All textures in class order.
    pub const ALL: [Self; 4] = [Self::Stripes, Self::Checker, Self::Dots, Self::Rings];
}

/// One drawn texture.
#[derive(Clone, Debug)]
pub struct Pattern {
    texture: Texture,
    /// Radians a pixel.
    frequency: f64,
    phases: [f64; 2],
    colours: [Colour; 2],
}

impl Pattern {
    /// Random period (5.5 to 8.5 pixels), phases and colours.
    pub fn draw(rng: &mut Stream, texture: Texture) -> Self {
        let frequency = TAU / between(rng, 5.5, 8.5);
        let phases = [between(rng, 0.0, TAU), between(rng, 0.0, TAU)];
        Self { texture, frequency, phases, colours: colour_pair(rng) }
    }

    /// Colour at (x, y) pixels from the centre, in the object's own axes.
    // METHOD: mixing weight clip(0.5 + 1.6 z, 0, 1) of a wave z.
    pub fn colour(&self, x: f64, y: f64) -> Colour {
        let k = self.frequency;
        let [first, second] = self.phases;
        let wave = match self.texture {
            Texture::Stripes => (k * x + first).sin(),
            Texture::Checker => 1.5 * (0.8 * k * x + first).sin() * (0.8 * k * y + second).sin(),
            Texture::Dots => (k * x + first).cos() + (k * y + second).cos() - 0.75,
            Texture::Rings => (k * x.hypot(y) + first).sin(),
        };
        let weight = (0.5 + 1.6 * wave).clamp(0.0, 1.0);
        let [a, b] = &self.colours;
        std::array::from_fn(|channel| a[channel] * (1.0 - weight) + b[channel] * weight)
    }
}

/// A uniformly drawn colour.
pub fn colour(rng: &mut Stream) -> Colour {
    [uniform(rng), uniform(rng), uniform(rng)]
}

/// Two colours that are at least [`CONTRAST`] apart, by rejection.
pub fn colour_pair(rng: &mut Stream) -> [Colour; 2] {
    loop {
        let (a, b) = (colour(rng), colour(rng));
        let squared: f64 = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum();
        if squared >= CONTRAST * CONTRAST {
            return [a, b];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn every_texture_shows_both_of_its_colours() {
        for texture in Texture::ALL {
            let pattern = Pattern::draw(&mut stream(0, &["texture"]), texture);
            let seen = |wanted: Colour| {
                (0..40 * 40).any(|i| {
                    let colour = pattern.colour(f64::from(i % 40) * 0.5 - 10.0, f64::from(i / 40) * 0.5 - 10.0);
                    colour.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-12)
                })
            };
            assert!(seen(pattern.colours[0]) && seen(pattern.colours[1]), "{texture:?}");
        }
    }

    #[test]
    fn the_colours_of_a_pair_differ() {
        let mut rng = stream(0, &["pairs"]);
        for _ in 0..200 {
            let [a, b] = colour_pair(&mut rng);
            let distance = a.iter().zip(&b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            assert!(distance >= CONTRAST);
        }
    }
}
