//! Bringing a map from the features' size to the picture's, to the same bits wherever it is done: by the stage on any
//! device, and by whoever reads a map that was kept at the features' size.

/// A place among the coarse values: the two nearest, and the share of the second.
struct Between {
    low: usize,
    high: usize,
    share: f64,
}

/// `values` of `from` `[rows, columns]`, row-major, enlarged to `to`.
// METHOD: bilinear with half-pixel centres, (i + 0.5) from / to - 0.5, the outermost values repeated; in f64, rounded to
// f32 once (torch's interpolate without aligned corners).
pub fn enlarge(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let places = |axis: usize| -> Vec<Between> {
        let place = |i: usize| {
            let at = ((i as f64 + 0.5) * from[axis] as f64 / to[axis] as f64 - 0.5).max(0.0);
            let low = at as usize;
            Between { low, high: (low + 1).min(from[axis] - 1), share: at - low as f64 }
        };
        (0..to[axis]).map(place).collect()
    };
    let (rows, columns) = (places(0), places(1));
    let mut enlarged = Vec::with_capacity(to[0] * to[1]);
    for row in rows {
        let [upper, lower] = [row.low, row.high].map(|at| &values[at * from[1]..][..from[1]]);
        // Down first, so that the way across is a sum of two.
        let between: Vec<f64> = upper
            .iter()
            .zip(lower)
            .map(|(upper, lower)| f64::from(*upper) + row.share * (f64::from(*lower) - f64::from(*upper)))
            .collect();
        let across = |column: &Between| {
            let (left, right) = (between[column.low], between[column.high]);
            (left + column.share * (right - left)) as f32
        };
        enlarged.extend(columns.iter().map(across));
    }
    enlarged
}

#[cfg(test)]
mod tests {
    use features::tensor::{cpu, from_vec, to_vec};

    use super::*;
    use crate::method::grad_cam;

    #[test]
    fn half_pixel_centres_are_kept() {
        // By hand: output centre (i + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25 in input pixels, clamped at the ends.
        assert_eq!(enlarge(&[0.0, 4.0], [1, 2], [1, 4]), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(enlarge(&[0.0, 4.0, 8.0, 12.0], [2, 2], [4, 4])[4..8], [2.0, 3.0, 5.0, 6.0]);
        assert_eq!(enlarge(&[3.0], [1, 1], [2, 3]), [3.0; 6]);
        assert_eq!(enlarge(&[3.0, 4.0], [1, 2], [1, 2]), [3.0, 4.0]);
    }

    #[test]
    fn it_is_the_tensors_interpolation() {
        let values: Vec<f32> = (0..6 * 5).map(|i| ((i * 37) % 19) as f32 - 9.0).collect();
        let tensor = grad_cam::enlarge(from_vec(values.clone(), [1, 1, 6, 5], &cpu()), [97, 64]);
        for (ours, burn) in enlarge(&values, [6, 5], [97, 64]).iter().zip(to_vec(tensor)) {
            assert!((ours - burn).abs() < 1e-5, "{ours} {burn}");
        }
    }
}
