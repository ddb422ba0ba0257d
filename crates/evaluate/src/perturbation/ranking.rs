//! The order in which a map takes a picture apart, and the shares of it that are removed on the way.

use features::random::{shuffle, stream};

use super::unit::Pieces;
use crate::map::{Undefined, finite};

/// Which end of the order goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum First {
    /// The least important units.
    Least,
    /// The most important units.
    Most,
}

/// A picture without some of its units: so many, from one end of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cut {
    /// From which end.
    pub first: First,
    /// How many units are removed.
    pub units: usize,
}

/// The units of a picture in the order of a map.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Place of each pixel's unit, 0 being the most important.
    places: Vec<usize>,
    /// Pixels in the units before each place, and of all.
    before: Vec<usize>,
}

/// The order among equals: a place for every unit, drawn by `seed` and the item's name, so that it knows nothing of the
/// picture and is the same for all maps of an item.
pub fn ties(units: usize, seed: u64, item: &str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units).collect();
    shuffle(&mut stream(seed, &["perturbation", "ties", item]), &mut order);
    order
}

/// A random order of units, a place for each, which knows nothing of the picture or of any map; `draw` counts the orders
/// of an item.
pub fn random(units: usize, seed: u64, item: &str, draw: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units).collect();
    shuffle(&mut stream(seed, &["perturbation", "random", item, &draw.to_string()]), &mut order);
    order
}

impl Ranking {
    /// Units in a given order: a place for each.
    ///
    /// Panics when there are not as many places as units.
    pub fn in_order(pieces: &Pieces, places: &[usize]) -> Self {
        // Where nothing differs, the order among equals decides.
        Self::of(&vec![0.0; pieces.labels.len()], pieces, places).expect("zeros are finite")
    }

    /// Puts units in order by the mean of the signed map in them; equal ones by `ties`.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`] for a map that is not.
    ///
    /// Panics when sizes differ.
    // METHOD: descending mean attribution, sign kept: what speaks against the target is least important. Maps are stored
    // rounded, so ties are common; an order by position would remove them as stripes.
    pub fn of(map: &[f32], pieces: &Pieces, ties: &[usize]) -> Result<Self, Undefined> {
        assert_eq!((map.len(), ties.len()), (pieces.labels.len(), pieces.count), "a map covers its picture");
        if !finite(map) {
            return Err(Undefined::NotFinite);
        }
        let (mut sums, mut sizes) = (vec![0.0f64; pieces.count], vec![0usize; pieces.count]);
        for (value, &unit) in map.iter().zip(&pieces.labels) {
            sums[unit] += f64::from(*value);
            sizes[unit] += 1;
        }
        // Adding 0 makes 0 of -0, so that both are equal.
        let means: Vec<f64> = sums.iter().zip(&sizes).map(|(sum, size)| sum / *size as f64 + 0.0).collect();
        let mut order: Vec<usize> = (0..pieces.count).collect();
        order.sort_unstable_by(|&a, &b| means[b].total_cmp(&means[a]).then(ties[a].cmp(&ties[b])));
        let (mut place_of, mut before) = (vec![0; pieces.count], Vec::with_capacity(pieces.count + 1));
        let mut pixels = 0;
        for (place, &unit) in order.iter().enumerate() {
            place_of[unit] = place;
            before.push(pixels);
            pixels += sizes[unit];
        }
        before.push(pixels);
        Ok(Self { places: pieces.labels.iter().map(|&unit| place_of[unit]).collect(), before })
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.before.len() - 1
    }

    /// Cuts in about equal steps of units from the whole picture to none of it, both included.
    pub fn steps(&self, first: First, steps: usize) -> Vec<Cut> {
        let at = |step: usize| (step as f64 * self.units() as f64 / steps as f64).round() as usize;
        let mut units: Vec<usize> = (0..=steps).map(at).collect();
        units.dedup();
        units.into_iter().map(|units| Cut { first, units }).collect()
    }

    /// The cut that leaves the most important `percent` of the units, at least one.
    pub fn keep(&self, percent: u8) -> Cut {
        let kept = (f64::from(percent) * self.units() as f64 / 100.0).round().max(1.0) as usize;
        Cut { first: First::Least, units: self.units() - kept.min(self.units()) }
    }

    /// Share of the pixels that a cut removes.
    pub fn share(&self, cut: Cut) -> f64 {
        let all = self.before[self.units()];
        let removed = match cut.first {
            First::Most => self.before[cut.units],
            First::Least => all - self.before[self.units() - cut.units],
        };
        removed as f64 / all as f64
    }

    /// Whether a cut removes each pixel, row-major.
    pub fn removed(&self, cut: Cut) -> impl Iterator<Item = bool> {
        let (from, to) = match cut.first {
            First::Most => (0, cut.units),
            First::Least => (self.units() - cut.units, self.units()),
        };
        self.places.iter().map(move |place| (from..to).contains(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(count: usize) -> Pieces {
        Pieces { labels: (0..count).collect(), count }
    }

    fn removed(ranking: &Ranking, first: First, units: usize) -> Vec<usize> {
        let cut = Cut { first, units };
        ranking.removed(cut).enumerate().filter(|(_, removed)| *removed).map(|(pixel, _)| pixel).collect()
    }

    #[test]
    fn pixels_go_in_the_order_of_the_map() {
        let ranking = Ranking::of(&[0.5, -2.0, 3.0, 0.0], &pixels(4), &[0, 1, 2, 3]).unwrap();
        assert_eq!(removed(&ranking, First::Most, 1), [2]);
        assert_eq!(removed(&ranking, First::Most, 3), [0, 2, 3]);
        assert_eq!(removed(&ranking, First::Least, 1), [1]);
        assert_eq!(removed(&ranking, First::Least, 2), [1, 3]);
        assert!(removed(&ranking, First::Least, 0).is_empty());
        assert_eq!(ranking.steps(First::Most, 2).iter().map(|cut| cut.units).collect::<Vec<_>>(), [0, 2, 4]);
        // More steps than units: every unit is a step.
        assert_eq!(ranking.steps(First::Most, 9).len(), 5);
        assert_eq!(ranking.keep(25), Cut { first: First::Least, units: 3 });
        assert_eq!(ranking.keep(1).units, 3, "one is always kept");
    }

    #[test]
    fn ties_have_an_order_of_their_own() {
        let order = ties(6, 0, "test/00001");
        assert_eq!(order, ties(6, 0, "test/00001"));
        assert_ne!(order, ties(6, 0, "test/00002"));
        let ranking = Ranking::of(&[0.0, -0.0, 0.0, 0.0, 0.0, 0.0], &pixels(6), &order).unwrap();
        for units in 0..6 {
            let expected: Vec<usize> = (0..6).filter(|&pixel| order[pixel] < units).collect();
            assert_eq!(removed(&ranking, First::Most, units), expected);
        }
        // Both ends together are the whole picture.
        for units in 0..=6 {
            let mut both = removed(&ranking, First::Most, units);
            both.extend(removed(&ranking, First::Least, 6 - units));
            both.sort_unstable();
            assert_eq!(both, [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn random_orders_are_permutations_of_their_own() {
        let order = random(9, 5, "test/00001", 0);
        assert_eq!(order, random(9, 5, "test/00001", 0));
        for other in [random(9, 5, "test/00001", 1), random(9, 5, "test/00002", 0), random(9, 6, "test/00001", 0)] {
            assert_ne!(order, other);
        }
        assert_ne!(order, ties(9, 5, "test/00001"), "the order among equals is another");
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        let ranking = Ranking::in_order(&pixels(9), &order);
        assert_eq!(ranking.places, order);
    }

    #[test]
    fn pieces_go_by_their_mean_and_count_by_their_pixels() {
        let pieces = Pieces { labels: vec![0, 0, 0, 1, 2, 2], count: 3 };
        // Means 1, 2 and -1: the first piece has the largest sum and is second.
        let ranking = Ranking::of(&[1.0, 1.0, 1.0, 2.0, -3.0, 1.0], &pieces, &[0, 1, 2]).unwrap();
        assert_eq!(removed(&ranking, First::Most, 1), [3]);
        assert_eq!(removed(&ranking, First::Most, 2), [0, 1, 2, 3]);
        let shares: Vec<f64> = ranking.steps(First::Most, 3).into_iter().map(|cut| ranking.share(cut)).collect();
        assert_eq!(shares, [0.0, 1.0 / 6.0, 4.0 / 6.0, 1.0]);
        let shares: Vec<f64> = ranking.steps(First::Least, 3).into_iter().map(|cut| ranking.share(cut)).collect();
        assert_eq!(shares, [0.0, 2.0 / 6.0, 5.0 / 6.0, 1.0]);
    }

    #[test]
    fn a_map_in_another_scale_gives_the_same_order() {
        let map = crate::fixtures::random_map(3, 64);
        let order = ties(64, 1, "a");
        let ranking = Ranking::of(&map, &pixels(64), &order).unwrap();
        for factor in [0.125f32, 1024.0] {
            let scaled: Vec<f32> = map.iter().map(|value| value * factor).collect();
            assert_eq!(Ranking::of(&scaled, &pixels(64), &order).unwrap().places, ranking.places);
        }
        assert_eq!(Ranking::of(&[f32::NAN], &pixels(1), &[0]).unwrap_err(), Undefined::NotFinite);
    }
}
