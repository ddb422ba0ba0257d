//! All metrics of one map: smooths it once for each filter that some metric asks for, then asks the metrics.

use crate::map::{Map, Positive, Score, Undefined};
use crate::metric::{Metric, Subject};
use crate::smooth::Smoothing;

/// One metric of one map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Which metric, in which variant.
    pub metric: Metric,
    /// The filter that the map went through.
    pub smoothing: Smoothing,
    /// The value, or why there is none.
    pub value: Score,
    /// Expected value for a map that knows nothing.
    pub chance: Option<f64>,
}

/// Scores `map`, made by `method`, with those of `metrics` that apply to `subject` and need no other map, in their order. `gaussian` is the
/// wide filter that some methods ask for.
pub fn score(map: Map<'_>, method: &str, subject: &Subject, metrics: &[Metric], gaussian: Smoothing) -> Vec<Scored> {
    let mut smoothed: Vec<(Smoothing, Result<Positive, Undefined>)> = Vec::new();
    let applying = metrics.iter().filter(|metric| metric.applies(subject) && metric.peers().is_none());
    let scored = applying.map(|&metric| {
        let smoothing = metric.smoothing(method, gaussian);
        let at = smoothed.iter().position(|(known, _)| *known == smoothing).unwrap_or_else(|| {
            smoothed.push((smoothing, Positive::of(map, smoothing)));
            smoothed.len() - 1
        });
        let value = smoothed[at]
            .1
            .as_ref()
            .map_err(|reason| *reason)
            .and_then(|positive| metric.score(positive, method, subject));
        Scored { metric, smoothing, value, chance: metric.chance(subject) }
    });
    scored.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{random_map, wave};

    const GRID: Subject = Subject::Grid { size: 3, cell: 5 };

    fn scores(values: &[f32], side: usize) -> Vec<Scored> {
        score(Map::new(side, side, values), "input_x_gradient", &GRID, &Metric::ALL, Smoothing::Gauss { kernel: 65 })
    }

    #[test]
    fn golden_values_come_out_by_name() {
        let scored = scores(&wave(96), 96);
        let expected = [
            ("grid_pointing_game:reference", "gauss65", 0.238816),
            ("entropy:avg5", "avg5", 11.013635),
            ("gini:reference", "none", 0.832543),
        ];
        for (name, smoothing, value) in expected {
            let found = scored.iter().find(|scored| scored.metric.to_string() == name).unwrap();
            assert_eq!(found.smoothing.to_string(), smoothing);
            assert!((found.value.unwrap() - value).abs() < 1e-5);
        }
        assert_eq!(scored.len(), 6, "three metrics need boxes or other maps");
    }

    #[test]
    fn a_score_depends_on_its_own_map_only() {
        let maps: Vec<Vec<f32>> = (0..6).map(|seed| random_map(seed, 144)).collect();
        let alone: Vec<_> = maps.iter().map(|map| scores(map, 12)).collect();
        let batch = maps.concat();
        let backwards: Vec<_> = batch.chunks(144).rev().map(|map| scores(map, 12)).collect();
        assert!(alone.iter().eq(backwards.iter().rev()));
    }

    #[test]
    fn an_empty_or_broken_map_has_reasons_and_still_its_chance() {
        for (value, reason) in
            [(0.0, Undefined::NoPositiveMass), (-2.0, Undefined::NoPositiveMass), (f32::NAN, Undefined::NotFinite)]
        {
            let scored = scores(&[value; 144], 12);
            assert!(scored.iter().all(|scored| scored.value == Err(reason)));
            assert_eq!(scored[0].chance, Some(1.0 / 9.0));
        }
    }
}
