//! Agreement of maps: of other targets (class agreement) and of other seeds of the same probe (seed stability).
//!
//! Both are the mean Pearson correlation of a signed, unsmoothed map with its peers. Range -1 to 1. Class agreement is
//! lower where a map depends on the class that it explains; Sixt et al., ICML 2020 (random logit test), with all other
//! targets of the item in place of one random class. Seed stability is higher where the probe's initial
//! weights do not show in explanations. Neither has a chance level; unrelated maps correlate by 0.

use crate::map::{Score, Undefined, finite};

/// Which other maps a map is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Same item, probe and method, other targets.
    Targets,
    /// Same item, target, method and recipe of the probe, other seeds.
    Seeds,
}

/// Mean correlation of each map with all others; all have the same number of pixels.
// METHOD: r(a, b) = sum of (a - mean a)(b - mean b) / (|a - mean a| |b - mean b|), in f64; mean over the peers of a map
// that have one.
pub fn scores(maps: &[(&[f32], Result<Moments, Undefined>)]) -> Vec<Score> {
    let mut sums = vec![(0.0, 0u32); maps.len()];
    for a in 0..maps.len() {
        for b in 0..a {
            if let ((left, Ok(of_left)), (right, Ok(of_right))) = (&maps[a], &maps[b]) {
                let covariance = dot(left, right) - left.len() as f64 * of_left.mean * of_right.mean;
                let r = covariance / (of_left.length * of_right.length);
                for at in [a, b] {
                    sums[at] = (sums[at].0 + r, sums[at].1 + 1);
                }
            }
        }
    }
    let score = |((_, own), (sum, count)): (&(_, Result<_, Undefined>), (f64, u32))| match own {
        Err(reason) => Err(*reason),
        Ok(_) if maps.len() < 2 => Err(Undefined::NoPeer),
        Ok(_) if count == 0 => Err(Undefined::Constant),
        Ok(_) => Ok((sum / f64::from(count)).clamp(-1.0, 1.0)),
    };
    maps.iter().zip(sums).map(score).collect()
}

/// What a correlation needs of one map; computed once, used with every peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    mean: f64,
    /// Length of the map after its mean is taken off.
    length: f64,
}

impl Moments {
    /// Moments of a map; there are none for a constant one, or one that is not finite.
    pub fn of(map: &[f32]) -> Result<Self, Undefined> {
        if !finite(map) {
            return Err(Undefined::NotFinite);
        }
        // A constant map's mean is off by rounding, which must not look like variation.
        if map.iter().all(|value| *value == map[0]) {
            return Err(Undefined::Constant);
        }
        let n = map.len() as f64;
        let mean = crate::map::sum(map) / n;
        let square = dot(map, map) - n * mean * mean;
        if square > 0.0 { Ok(Self { mean, length: square.sqrt() }) } else { Err(Undefined::Constant) }
    }
}

/// Sum of products in f64, several at once.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += f64::from(a) * f64::from(b);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::random_map;

    fn scores(maps: &[&[f32]]) -> Vec<Score> {
        super::scores(&maps.iter().map(|map| (*map, Moments::of(map))).collect::<Vec<_>>())
    }

    #[test]
    fn equals_the_formula() {
        let maps: Vec<Vec<f32>> = (0..4).map(|seed| random_map(seed, 150)).collect();
        let correlation = |a: &[f32], b: &[f32]| {
            let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
            let (ma, mb) = (mean(a), mean(b));
            let products = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - ma) * (f64::from(y) - mb));
            let square = |v: &[f32], m: f64| v.iter().map(|&x| (f64::from(x) - m).powi(2)).sum::<f64>();
            products.sum::<f64>() / (square(a, ma) * square(b, mb)).sqrt()
        };
        let views: Vec<&[f32]> = maps.iter().map(Vec::as_slice).collect();
        for (at, score) in scores(&views).into_iter().enumerate() {
            let others = (0..4).filter(|&other| other != at).map(|other| correlation(views[at], views[other]));
            assert!((score.expect("a score") - others.sum::<f64>() / 3.0).abs() < 1e-6);
        }
    }

    #[test]
    fn scale_and_offset_do_not_matter_and_signs_do() {
        let map = random_map(1, 64);
        let scaled: Vec<f32> = map.iter().map(|value| 1e-6 * value + 1e-6).collect();
        let negative: Vec<f32> = map.iter().map(|value| -value).collect();
        let found: Vec<f64> = [&scaled, &negative].map(|other| scores(&[&map, other])[0].expect("a score")).to_vec();
        assert!((found[0] - 1.0).abs() < 1e-4 && (found[1] + 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let map = random_map(2, 64);
        assert_eq!(scores(&[&map]), [Err(Undefined::NoPeer)]);
        let found = scores(&[&map, &[0.3; 64], &[f32::NAN; 64]]);
        assert_eq!(found, [Err(Undefined::Constant), Err(Undefined::Constant), Err(Undefined::NotFinite)]);
        assert_eq!(scores(&[]), []);
    }
}
