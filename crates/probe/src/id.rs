//! What a probe's id says: `HEAD-LOSS[-OPTIMISER]-sSEED[-TAG]`, as [`crate::ProbeSpec::id`] writes it.

/// A probe's name: its id without the seed, equal for probes that differ in the seed alone.
pub fn name(probe_id: &str) -> String {
    let Some(at) = place(probe_id) else { return probe_id.to_string() };
    let mut parts: Vec<&str> = probe_id.split('-').collect();
    parts.remove(at);
    parts.join("-")
}

/// The seed in a probe's id.
pub fn seed(probe_id: &str) -> Option<i64> {
    probe_id.split('-').nth(place(probe_id)?)?.strip_prefix('s')?.parse().ok()
}

/// Which part of the id is its seed; never the first, which is the head.
fn place(probe_id: &str) -> Option<usize> {
    let is_seed = |part: &str| {
        part.strip_prefix('s').is_some_and(|seed| !seed.is_empty() && seed.bytes().all(|b| b.is_ascii_digit()))
    };
    probe_id.split('-').skip(1).position(is_seed).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_id_without_its_seed() {
        for (id, without, of) in [
            ("linear-ce-s0", "linear-ce", Some(0)),
            ("shift_up-ce-s12", "shift_up-ce", Some(12)),
            ("linear-ce-s0-lr10", "linear-ce-lr10", Some(0)),
            ("linear-sgd", "linear-sgd", None),
            ("s1-ce", "s1-ce", None),
        ] {
            assert_eq!((name(id), seed(id)), (without.to_string(), of));
        }
    }
}
