//! Maps that the tests of this crate share.

use features::random;

/// The map behind the golden values: a[i,j] = sin(0.3 i + 0.05 j) exp(-((i - 40)^2 + (j - 70)^2) / 800), computed in
/// f64 and stored in f32.
pub fn wave(side: usize) -> Vec<f32> {
    let value =
        |i: f64, j: f64| (0.3 * i + 0.05 * j).sin() * (-((i - 40.0).powi(2) + (j - 70.0).powi(2)) / 800.0).exp();
    (0..side * side).map(|at| value((at / side) as f64, (at % side) as f64) as f32).collect()
}

/// `n` standard normal values, a fifth of them set to 0; the same for the same seed.
pub fn random_map(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = random::stream(seed, &["map"]);
    let mut value = || if random::uniform(&mut rng) < 0.2 { 0.0 } else { random::normal(&mut rng) as f32 };
    (0..n).map(|_| value()).collect()
}

/// Asserts that two lists agree element by element.
pub fn assert_close(left: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(left.len(), right.len());
    for (i, (a, b)) in left.iter().zip(right).enumerate() {
        assert!((a - b).abs() < tolerance, "element {i}: {a} {b}");
    }
}
