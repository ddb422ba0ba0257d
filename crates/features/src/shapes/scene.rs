//! Several objects of different classes in one larger picture: what localisation is measured on.

use crate::artifact::{Box2, Rle};
use crate::images::Rgb;
use crate::random::{Stream, below, shuffle, stream};

use super::canvas::Canvas;
use super::object::Object;
use super::{CLASSES, clutter};

/// Side of a scene, pixels.
pub const SCENE: usize = 128;
/// Places tried for one object before it is left out.
const TRIES: usize = 200;
/// Free pixels between the bounding circles of two objects.
const GAP: f64 = 2.0;

/// A scene and what is in it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The picture, [`SCENE`] x [`SCENE`].
    pub rgb: Rgb,
    /// Tight boxes of the two to four objects, all of different classes.
    pub objects: Vec<Box2>,
    /// Their pixels.
    pub masks: Vec<Rle>,
}

/// The scene `index` of `split` under `seed`; a pure function with a random stream of its own.
pub fn scene(seed: u64, split: &str, index: usize) -> Scene {
    let mut rng = stream(seed, &["shapes", split, &index.to_string()]);
    let mut canvas = Canvas::background(&mut rng, SCENE);
    clutter::paint(&mut rng, &mut canvas);
    let objects = place(&mut rng);
    objects.iter().for_each(|object| object.paint(&mut canvas));
    let (boxes, masks) = objects.iter().map(|object| object.place(SCENE)).unzip();
    Scene { rgb: canvas.develop(&mut rng), objects: boxes, masks }
}

/// Objects whose bounding circles are disjoint.
fn place(rng: &mut Stream) -> Vec<Object> {
    let count = 2 + below(rng, 3);
    let mut classes: Vec<usize> = (0..CLASSES.len()).collect();
    shuffle(rng, &mut classes);
    let mut placed: Vec<Object> = Vec::with_capacity(count);
    for &class in &classes[..count] {
        let free = (0..TRIES).find_map(|_| {
            let object = Object::draw(rng, class, SCENE);
            placed.iter().all(|other| are_apart(&object, other)).then_some(object)
        });
        placed.extend(free);
    }
    placed
}

fn are_apart(a: &Object, b: &Object) -> bool {
    let (dx, dy) = (a.pose.centre[0] - b.pose.centre[0], a.pose.centre[1] - b.pose.centre[1]);
    dx.hypot(dy) >= a.radius + b.radius + GAP
}
