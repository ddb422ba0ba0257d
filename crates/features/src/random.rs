//! Seeded randomness: one independent stream for each thing that needs one.
//!
//! A stream is named by the run's seed and the keys of its item, so results depend neither on threads, order,
//! batch size nor shards. Nothing else in this workspace may draw random numbers.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

/// A random stream; draw from it with the functions of this module.
pub type Stream = ChaCha8Rng;

/// The stream of `keys` under `seed`: ChaCha8 keyed by the BLAKE3 hash of both, each key with its length in front.
pub fn stream(seed: u64, keys: &[&str]) -> Stream {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for key in keys {
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
    }
    Stream::from_seed(*hasher.finalize().as_bytes())
}

/// Uniform in [0, 1) with 53 random bits.
pub fn uniform(rng: &mut Stream) -> f64 {
    (rng.next_u64() >> 11) as f64 * (-53f64).exp2()
}

/// Uniform in [low, high).
pub fn between(rng: &mut Stream, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(rng)
}

/// Standard normal.
// METHOD: Box-Muller, the cosine branch only, so that every draw takes exactly two uniforms.
pub fn normal(rng: &mut Stream) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// Uniform in 0..n; `n` must not be 0.
// METHOD: high half of a 64 x 64 bit product; its bias is below n / 2^64.
pub fn below(rng: &mut Stream, n: usize) -> usize {
    assert!(n > 0, "no number is below 0");
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// How many of `n` tries succeed, each with probability `p`, which is cut to [0, 1].
pub fn binomial(rng: &mut Stream, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).expect("a probability").sample(rng)
}

/// Permutes `items` in place, every order equally likely (Fisher-Yates).
pub fn shuffle<T>(rng: &mut Stream, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, keys: &[&str]) -> Vec<f64> {
        let mut rng = stream(seed, keys);
        (0..2000).map(|_| uniform(&mut rng)).collect()
    }

    #[test]
    fn a_stream_is_its_seed_and_keys() {
        assert_eq!(draws(3, &["train", "7"]), draws(3, &["train", "7"]));
        for other in
            [draws(4, &["train", "7"]), draws(3, &["train7"]), draws(3, &["train", "7", ""]), draws(3, &["train", "8"])]
        {
            assert_ne!(draws(3, &["train", "7"]), other);
        }
    }

    #[test]
    fn neighbouring_streams_are_uncorrelated() {
        let (a, b) = (draws(0, &["0"]), draws(0, &["1"]));
        let correlation = 12.0 * a.iter().zip(&b).map(|(x, y)| (x - 0.5) * (y - 0.5)).sum::<f64>() / a.len() as f64;
        assert!(correlation.abs() < 0.1, "{correlation}");
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut rng = stream(1, &["moments"]);
        let n = 20_000;
        let values: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        let mut counts = [0usize; 7];
        (0..7000).for_each(|_| counts[below(&mut rng, 7)] += 1);
        assert!(counts.iter().all(|c| (850..1150).contains(c)), "{counts:?}");
    }

    #[test]
    fn shuffling_permutes() {
        let mut items: Vec<usize> = (0..50).collect();
        shuffle(&mut stream(0, &["shuffle"]), &mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn binomial_numbers_have_their_mean_and_variance() {
        let mut rng = stream(1, &["binomial"]);
        for (n, p) in [(2000, 0.9), (2000, 0.001), (12, 0.3), (5, 1.0), (0, 0.5)] {
            let draws: Vec<f64> = (0..4000).map(|_| binomial(&mut rng, n, p) as f64).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
            let (want, spread) = (n as f64 * p, n as f64 * p * (1.0 - p));
            assert!((mean - want).abs() <= 4.0 * (spread / 4000.0).sqrt() + 1e-12, "{n} {p} {mean}");
            assert!((variance - spread).abs() <= 0.15 * spread + 1e-12, "{n} {p} {variance}");
        }
    }
}
