//! Distractors: parts of what makes a class, never both, so that neither colour, outline nor texture alone tells it.

use std::f64::consts::TAU;

use crate::random::{Stream, below, between, uniform};

use super::canvas::{Canvas, Pose};
use super::silhouette::Silhouette;
use super::texture::{Pattern, Texture, colour_pair};

/// Paints three to six distractors for every 64 x 64 pixels: lines, plain outlines and textured half ellipses.
pub fn paint(rng: &mut Stream, canvas: &mut Canvas) {
    let areas = (canvas.side as f64 / 64.0).powi(2);
    let count = ((3 + below(rng, 4)) as f64 * areas).round() as usize;
    for _ in 0..count {
        let side = canvas.side as f64;
        let centre = [between(rng, 0.0, side), between(rng, 0.0, side)];
        let pose = Pose::new(centre, between(rng, 0.0, TAU));
        let kind = uniform(rng);
        if kind < 0.30 {
            line(rng, canvas, &pose);
        } else if kind < 0.65 {
            outline(rng, canvas, &pose);
        } else {
            patch(rng, canvas, &pose);
        }
    }
}

fn line(rng: &mut Stream, canvas: &mut Canvas, pose: &Pose) {
    let (half_length, half_width) = (between(rng, 8.0, 24.0) / 2.0, between(rng, 0.7, 1.8));
    let [colour, _] = colour_pair(rng);
    let distance = |x: f64, y: f64| (x.abs() - half_length).max(0.0).hypot(y) - half_width;
    canvas.paint(pose, half_length + half_width, distance, |_, _| colour);
}

fn outline(rng: &mut Stream, canvas: &mut Canvas, pose: &Pose) {
    let shape = Silhouette::ALL[below(rng, Silhouette::ALL.len())];
    let radius = between(rng, 5.0, 9.0);
    let [colour, _] = colour_pair(rng);
    let distance = |x: f64, y: f64| radius * shape.distance(x / radius, y / radius);
    canvas.paint(pose, Silhouette::REACH * radius, distance, |_, _| colour);
}

fn patch(rng: &mut Stream, canvas: &mut Canvas, pose: &Pose) {
    let (long, short) = (between(rng, 5.0, 9.0), 0.6 * between(rng, 5.0, 9.0));
    let texture = Texture::ALL[below(rng, Texture::ALL.len())];
    let pattern = Pattern::draw(rng, texture);
    // METHOD: half ellipse x >= 0; the ellipse's distance is scaled by its shorter axis.
    let distance = |x: f64, y: f64| (((x / long).hypot(y / short) - 1.0) * long.min(short)).max(-x);
    // The ramp of that distance is up to long/short pixels wide along the longer axis.
    canvas.paint(pose, long.max(short) + 2.0, distance, |x, y| pattern.colour(x, y));
}
