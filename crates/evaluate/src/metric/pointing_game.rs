//! Pointing game: whether the strongest pixel of a map lies on its target.
//!
//! Source: Zhang et al., IJCV 2018 (excitation backprop), without its tolerance of 15 pixels around a box.
//! Range 0 to 1, higher is better; a map's score is 1 or 0 unless its maximum is shared. Chance is the share of the map
//! that the target covers: a uniform map scores exactly that.

use crate::map::{Positive, Score, Undefined};

/// Share of the pixels at the map's maximum for which `inside` holds; `inside` has the map's pixels, row-major.
// METHOD: hit = |argmax P and inside| / |argmax P|, P = max(0, smooth(M)). Others take the first of several maxima,
// which would score a uniform map 1 in the first cell and 0 in all others.
pub fn score(positive: &Positive, inside: impl Fn(usize) -> bool) -> f64 {
    let largest = positive.largest();
    let maxima = positive.values().iter().enumerate().filter(|&(_, &value)| value == largest).map(|(at, _)| at);
    let (hits, all) = maxima.fold((0u32, 0u32), |(hits, all), at| (hits + u32::from(inside(at)), all + 1));
    f64::from(hits) / f64::from(all)
}

/// [`score`] on a cell of a grid.
pub fn on_grid(positive: &Positive, grid_size: usize, cell: usize) -> f64 {
    let (height, width) = (positive.height(), positive.width());
    // The cell of a pixel is the one whose span, as in the grid pointing game, holds it.
    let index = |at: usize, length: usize| (grid_size * (at + 1)).div_ceil(length) - 1;
    score(positive, |at| index(at / width, height) == cell / grid_size && index(at % width, width) == cell % grid_size)
}

/// [`score`] on the boxes of a scene.
pub fn on_boxes(positive: &Positive, mask: &super::energy_pointing_game::Mask) -> Score {
    if mask.pixels() == 0 {
        return Err(Undefined::NoBox);
    }
    Ok(score(positive, |at| mask.inside()[at]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::random_map;
    use crate::map::Map;
    use crate::smooth::Smoothing;

    fn positive(side: usize, values: &[f32]) -> Positive {
        Positive::of(Map::new(side, side, values), Smoothing::None).expect("positive mass")
    }

    #[test]
    fn the_cell_of_the_maximum_scores_one() {
        for (side, n) in [(6, 2), (9, 3), (10, 3), (12, 5)] {
            for at in 0..side * side {
                let mut values = vec![0.1; side * side];
                values[at] = 2.0;
                let positive = positive(side, &values);
                let hits: Vec<f64> = (0..n * n).map(|cell| on_grid(&positive, n, cell)).collect();
                assert_eq!(hits.iter().sum::<f64>(), 1.0, "one cell of {n}x{n} holds pixel {at} of {side}x{side}");
                let hit = hits.iter().position(|hit| *hit == 1.0).expect("one cell");
                let only = super::super::grid_pointing_game::score(
                    &self::positive(side, &{
                        let mut only = vec![0.0; side * side];
                        only[at] = 1.0;
                        only
                    }),
                    n,
                    hit,
                );
                assert_eq!(only, 1.0, "both games agree on the cell of pixel {at}");
            }
        }
    }

    #[test]
    fn equals_the_first_maximum_where_there_is_one_only() {
        for seed in 0..20 {
            let values = random_map(seed, 144);
            let top = (0..144).max_by(|&a, &b| values[a].total_cmp(&values[b])).expect("a pixel");
            for cell in 0..9 {
                let expected = f64::from(u8::from((top / 12 / 4, top % 12 / 4) == (cell / 3, cell % 3)));
                assert_eq!(on_grid(&positive(12, &values), 3, cell), expected);
            }
        }
    }
}
