//! One object in clutter: what backbones and probes are trained and tested on.

use crate::artifact::{Box2, Rle};
use crate::images::Rgb;
use crate::random::{below, stream};

use super::canvas::Canvas;
use super::object::Object;
use super::{CLASSES, clutter};

/// Side of a tile, pixels.
pub const TILE: usize = 64;

/// A tile with its label.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, [`TILE`] x [`TILE`].
    pub rgb: Rgb,
    /// Class of the object, an index of [`CLASSES`].
    pub label: i32,
    /// Tight box of the object.
    pub object: Box2,
    /// Its pixels.
    pub mask: Rle,
}

/// The tile `index` of `split` under `seed`; a pure function, and every tile has a random stream of its own.
pub fn tile(seed: u64, split: &str, index: usize) -> Tile {
    let mut rng = stream(seed, &["shapes", split, &index.to_string()]);
    let class = below(&mut rng, CLASSES.len());
    let mut canvas = Canvas::background(&mut rng, TILE);
    clutter::paint(&mut rng, &mut canvas);
    let object = Object::draw(&mut rng, class, TILE);
    object.paint(&mut canvas);
    let (place, mask) = object.place(TILE);
    Tile { rgb: canvas.develop(&mut rng), label: class as i32, object: place, mask }
}
