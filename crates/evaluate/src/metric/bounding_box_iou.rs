//! Bounding-box IoU: how well the box around a map's strong pixels covers the boxes of the target class.
//!
//! Reference: `bbox_miou` of the EPG scripts; smoothing and threshold depend on the method. Range 0 to 1, higher is
//! better. It has no closed-form chance level; the control rows hold the score of a uniform map.

use crate::map::{Positive, Score, Undefined};
use crate::metric::energy_pointing_game::{Mask, Rounding};
use crate::smooth::Smoothing;

/// Smoothing and threshold of the reference by method (its name up to a colon); other methods as LRP.
/// `gaussian` is the Gaussian for the map's size.
// METHOD: LRP avg5 0.30, Grad-CAM avg5 0.20, InputxGradient Gaussian 0.50, guided backprop Gaussian 0.30 (elsewhere it
// gets avg5), B-cos avg5 0.30. The reference has none for integrated gradients; they get InputxGradient's.
pub fn reference_settings(method: &str, gaussian: Smoothing) -> (Smoothing, f64) {
    match method.split(':').next().unwrap_or(method) {
        "input_x_gradient" | "integrated_gradients" => (gaussian, 0.5),
        "guided_backprop" => (gaussian, 0.3),
        "grad_cam" => (Smoothing::Avg5, 0.2),
        _ => (Smoothing::Avg5, 0.3),
    }
}

/// IoU of the box around all pixels of at least `threshold` of the map's range with the union of the boxes in `mask`.
// METHOD: Q = (P - min P) / (max P - min P + 1e-12); box around {Q >= threshold}, end exclusive, the first pixel where
// that is empty; IoU = |box and mask| / (|box or mask| + 1e-10); the reference rounds to 2 decimals.
pub fn score(positive: &Positive, mask: &Mask, threshold: f64, rounding: Rounding) -> Score {
    assert_eq!(mask.inside().len(), positive.values().len(), "mask and map have the same size");
    if mask.pixels() == 0 {
        return Err(Undefined::NoBox);
    }
    let (low, high) = (positive.smallest(), positive.largest());
    let least = threshold * (f64::from(high) - f64::from(low) + 1e-12);
    let strong = |value: &f32| f64::from(*value) - f64::from(low) >= least;
    let width = positive.width();
    let (mut rows, mut columns) = ([usize::MAX, 0], [usize::MAX, 0]);
    for (y, row) in positive.values().chunks_exact(width).enumerate() {
        if let (Some(first), Some(last)) = (row.iter().position(strong), row.iter().rposition(strong)) {
            rows = [rows[0].min(y), y + 1];
            columns = [columns[0].min(first), columns[1].max(last + 1)];
        }
    }
    if rows[1] == 0 {
        (rows, columns) = ([0, 1], [0, 1]);
    }
    let inside = mask.inside().chunks_exact(width).take(rows[1]).skip(rows[0]);
    let shared = inside.map(|row| row[columns[0]..columns[1]].iter().filter(|inside| **inside).count()).sum::<usize>();
    let area = (rows[1] - rows[0]) * (columns[1] - columns[0]);
    let value = shared as f64 / ((area + mask.pixels() - shared) as f64 + 1e-10);
    Ok(rounding.of(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Map;
    use features::artifact::Box2;

    fn of(values: &[f32], boxes: &[[i32; 4]], threshold: f64) -> Score {
        let side = values.len().isqrt();
        let boxes: Vec<Box2> =
            boxes.iter().map(|&[xmin, ymin, xmax, ymax]| Box2 { class: 0, xmin, ymin, xmax, ymax }).collect();
        let positive = Positive::of(Map::new(side, side, values), Smoothing::None)?;
        score(&positive, &Mask::union(&boxes, (side, side), (side, side)), threshold, Rounding::Unrounded)
    }

    #[test]
    fn hand_made_boxes() {
        // Strong pixels at (1, 1) and (4, 3) of 8 x 8: a box of 4 columns and 3 rows; a weak one outside.
        let mut values = vec![0.0; 64];
        (values[9], values[28], values[63]) = (1.0, 0.6, 0.2);
        for (boxes, threshold, expected) in [
            (vec![[1, 1, 5, 4]], 0.5, 1.0),
            (vec![[1, 1, 5, 4]], 0.7, 1.0 / 12.0),
            (vec![[1, 1, 5, 4]], 0.2, 12.0 / 49.0),
            (vec![[3, 0, 7, 4]], 0.5, 6.0 / 22.0),
            (vec![[1, 1, 3, 4], [3, 1, 5, 4]], 0.5, 1.0),
            (vec![[6, 6, 8, 8]], 0.5, 0.0),
        ] {
            let value = of(&values, &boxes, threshold).expect("a score");
            assert!((value - expected).abs() < 1e-9, "{boxes:?} {threshold}: {value} {expected}");
        }
        assert_eq!(of(&values, &[], 0.5), Err(Undefined::NoBox));
    }

    #[test]
    fn a_uniform_map_is_the_first_pixel() {
        assert!((of(&[3.0; 16], &[[0, 0, 2, 2]], 0.3).expect("a score") - 0.25).abs() < 1e-9);
        assert_eq!(of(&[3.0; 16], &[[2, 2, 4, 4]], 0.3), Ok(0.0));
    }

    #[test]
    fn settings_follow_the_reference() {
        let gaussian = Smoothing::gauss_for(192);
        for (method, smoothing, threshold) in [
            ("lrp:reference", Smoothing::Avg5, 0.3),
            ("grad_cam", Smoothing::Avg5, 0.2),
            ("input_x_gradient", gaussian, 0.5),
            ("guided_backprop", gaussian, 0.3),
            ("bcos", Smoothing::Avg5, 0.3),
        ] {
            assert_eq!(reference_settings(method, gaussian), (smoothing, threshold), "{method}");
        }
    }
}
