//! Numbers that Python and Rust both compute, so that parity tests store no weights.
//!
//! Twin of formula.py: a value depends on the tensor's name and the element's flat index only.

/// FNV-1a of the name, 64 bits.
pub fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// The finaliser of SplitMix64 after one step of its counter.
pub fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `count` values in [-1, 1), each exact in f32.
pub fn unit(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = fnv1a64(name);
    (0..count as u64).map(move |index| {
        let bits = splitmix64(start.wrapping_add(index)) >> 40;
        bits as f64 / f64::from(1 << 24) * 2.0 - 1.0
    })
}

/// A checkpoint tensor; the kind is told from the key's last word and the rank.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let kind = name.rsplit('.').next().unwrap_or(name);
    let scale = match (kind, shape.len()) {
        (_, 0 | 1) => 1.0,
        _ => (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt(),
    };
    unit(name, shape.iter().product())
        .map(|u| match (kind, shape.len()) {
            ("running_var", _) => 1.0 + 0.5 * u.abs(),
            ("running_mean" | "bias", _) => 0.1 * u,
            (_, 0 | 1) => 1.0 + 0.1 * u,
            _ => u * scale,
        })
        .map(|value| value as f32)
        .collect()
}

/// Pixels in [0, 1).
pub fn image(shape: [usize; 4]) -> Vec<f32> {
    unit("image", shape.iter().product()).map(|u| (0.5 + 0.5 * u) as f32).collect()
}
