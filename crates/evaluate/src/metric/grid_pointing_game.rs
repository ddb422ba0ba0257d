//! Grid pointing game: how much of a map's positive mass lies in the cell that shows the target class.
//!
//! Source: Böhle et al., CVPR 2021 (localisation metric); reference: `evaluate_attributions/gridpg`.
//! Range 0 to 1, higher is better. Chance is 1/n^2 on an n x n grid: a uniform map scores that exactly when it is
//! not smoothed, a little less in corner cells under the 5x5 mean.

use crate::map::Positive;

/// Share of the positive mass in `cell` (row-major) of a `grid_size` x `grid_size` grid over the whole map.
///
/// Panics when the cell is outside the grid.
// METHOD: GridPG_t = (sum of P over cell t) / (sum of P), P = max(0, smooth(M)). The reference adds 1e-12 to the
// divisor, which only guards against an empty map; an empty map has no score here.
pub fn score(positive: &Positive, grid_size: usize, cell: usize) -> f64 {
    assert!(cell < grid_size * grid_size, "cell {cell} is outside a {grid_size}x{grid_size} grid");
    let span = |length: usize, index: usize| [index * length / grid_size, (index + 1) * length / grid_size];
    let (row, column) = (cell / grid_size, cell % grid_size);
    positive.share(span(positive.height(), row), span(positive.width(), column))
}

/// Expected score of a map that knows nothing.
pub fn chance(grid_size: usize) -> f64 {
    1.0 / (grid_size * grid_size) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{assert_close, random_map, wave};
    use crate::map::Map;
    use crate::smooth::Smoothing;

    fn cells(map: Map<'_>, smoothing: Smoothing, n: usize) -> Vec<f64> {
        let positive = Positive::of(map, smoothing).expect("positive mass");
        (0..n * n).map(|cell| score(&positive, n, cell)).collect()
    }

    #[test]
    fn golden_values() {
        let (small, large) = (wave(96), wave(160));
        assert_close(
            &cells(Map::new(96, 96, &small), Smoothing::Avg5, 3),
            &[0.010318, 0.091431, 0.142043, 0.015987, 0.264788, 0.391352, 0.004466, 0.027987, 0.051627],
            1e-5,
        );
        assert_close(
            &cells(Map::new(96, 96, &small), Smoothing::Gauss { kernel: 65 }, 3),
            &[0.003997, 0.014369, 0.126359, 0.019165, 0.146720, 0.238816, 0.043198, 0.204281, 0.203094],
            1e-5,
        );
        assert_close(
            &cells(Map::new(160, 160, &large), Smoothing::Gauss { kernel: 129 }, 2),
            &[0.061453, 0.193279, 0.440969, 0.304300],
            1e-5,
        );
    }

    /// The reference's formula as written: all cells in f32, guard in the divisor, 0 for an empty map.
    fn slow(smoothed: &[f32], side: usize, n: usize, cell: usize) -> f32 {
        let clamped: Vec<f32> = smoothed.iter().map(|v| if *v < 0.0 { 0.0 } else { *v }).collect();
        let (length, mut inside) = (side / n, 0.0f32);
        for y in cell / n * length..(cell / n + 1) * length {
            for x in cell % n * length..(cell % n + 1) * length {
                inside += clamped[y * side + x];
            }
        }
        inside / (clamped.iter().sum::<f32>() + 1e-12)
    }

    #[test]
    fn equals_the_formula_on_random_maps() {
        for seed in 0..30 {
            let n = 2 + seed as usize % 3;
            let side = n * (3 + seed as usize % 5);
            let values = random_map(seed, side * side);
            for smoothing in [Smoothing::None, Smoothing::Avg5, Smoothing::Gauss { kernel: 5 }] {
                let map = Map::new(side, side, &values);
                let smoothed = smoothing.apply(map);
                for (cell, value) in cells(map, smoothing, n).into_iter().enumerate() {
                    assert!((value - f64::from(slow(&smoothed, side, n, cell))).abs() < 1e-5);
                }
            }
        }
        assert_eq!(slow(&[0.0; 81], 9, 3, 4), 0.0);
    }

    #[test]
    fn a_uniform_map_is_at_chance() {
        for n in 2..5 {
            let values = vec![0.37f32; 48 * 48];
            let map = Map::new(48, 48, &values);
            assert!(cells(map, Smoothing::None, n).into_iter().all(|value| (value - chance(n)).abs() < 1e-12));
            assert!(
                cells(map, Smoothing::Gauss { kernel: 9 }, n).into_iter().all(|value| (value - chance(n)).abs() < 1e-6)
            );
            assert!(cells(map, Smoothing::Avg5, n).into_iter().all(|value| (value / chance(n) - 1.0).abs() < 0.2));
        }
    }

    #[test]
    fn a_positive_factor_changes_nothing() {
        let values = wave(96);
        for factor in [1e-20f32, 1e-6, 0.5, 3e7] {
            let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
            for smoothing in [Smoothing::None, Smoothing::Avg5, Smoothing::Gauss { kernel: 19 }] {
                let (a, b) =
                    (cells(Map::new(96, 96, &values), smoothing, 3), cells(Map::new(96, 96, &scaled), smoothing, 3));
                assert_close(&a, &b, 1e-6);
            }
        }
    }

    #[test]
    fn a_target_outside_the_grid_is_a_bug() {
        let positive = Positive::of(Map::new(2, 2, &[1.0; 4]), Smoothing::None).unwrap();
        assert!(std::panic::catch_unwind(|| score(&positive, 2, 4)).is_err());
    }
}
