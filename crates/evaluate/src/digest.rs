//! Scores of maps that were kept as digests: what can be said from the sums of each cell, and an error for the rest.

use features::error::{Error, Result};

use crate::map::Undefined;
use crate::metric::{GridSmoothing, Metric, Subject};
use crate::rows::Row;
use crate::score::Scored;
use crate::smooth::Smoothing;

/// Scores a map of which `sums` are kept: of positive values in each cell, row by row, then of negative ones.
///
/// # Errors
/// `Usage` for a metric that applies and needs the map, `BadData` for sums that are not those of the grid's cells.
pub fn score(row: &Row, sums: &[f32], subject: &Subject, metrics: &[Metric]) -> Result<Vec<Scored>> {
    let applying = metrics.iter().filter(|metric| metric.applies(subject));
    let scored = applying.map(|&metric| match (metric, subject) {
        (Metric::GridPointingGame(GridSmoothing::None), &Subject::Grid { size, cell })
        | (
            Metric::DiFull(GridSmoothing::None) | Metric::DiPart(GridSmoothing::None),
            &Subject::Cell { size, cell, .. },
        ) => {
            if sums.len() != 2 * size * size {
                return Err(row.wrong("its digest has not a positive and a negative sum for each cell"));
            }
            // METHOD: as the metric itself, the share of the positive mass in the cell.
            let positive = || sums[..size * size].iter().map(|&sum| f64::from(sum));
            let total: f64 = positive().sum();
            let value = match total {
                total if !total.is_finite() => Err(Undefined::NotFinite),
                total if total > 0.0 => Ok(positive().nth(cell).unwrap_or_default() / total),
                _ => Err(Undefined::NoPositiveMass),
            };
            Ok(Scored { metric, smoothing: Smoothing::None, value, chance: metric.chance(subject) })
        }
        _ => Err(lost(row, &metric.to_string())),
    });
    scored.collect()
}

/// The error of whoever needs a map of which there is a digest only.
pub fn lost(row: &Row, what: &str) -> Error {
    let (item, _, _, method) = row.key();
    Error::Usage(format!(
        "{what} needs the map of {method} for `{item}`, which was kept as a digest; set metrics = \
         [\"grid_pointing_game:none\"] in [evaluate], or keep maps in [attribute.storage] and run the `attribute` stage \
         again"
    ))
}

#[cfg(test)]
mod tests {
    use attribute::storage::digest;
    use attribute::table::MapRows;

    use super::*;
    use crate::fixtures::random_map;
    use crate::map::Map;

    #[test]
    fn the_share_of_a_cell_is_the_metrics_own() {
        let rows = MapRows { item: vec!["grid3/0001".into()], ..MapRows::default() };
        let metrics = [Metric::GridPointingGame(GridSmoothing::None)];
        // 20 pixels are not divided by 3.
        let map = random_map(3, 400);
        let sums = digest(&map, [20, 20], 3);
        let row = Row { rows: &rows, at: 0, digest: Some(&sums) };
        for cell in 0..9 {
            let subject = Subject::Grid { size: 3, cell };
            let of_map = crate::score::score(Map::new(20, 20, &map), "lrp", &subject, &metrics, Smoothing::None);
            let found = score(&row, &sums, &subject, &metrics).unwrap();
            assert!((found[0].value.unwrap() - of_map[0].value.unwrap()).abs() < 1e-6);
            assert_eq!((found[0].chance, found[0].smoothing), (of_map[0].chance, of_map[0].smoothing));
        }
        let subject = Subject::Grid { size: 3, cell: 0 };
        let nothing = score(&row, &[-1.0; 18].map(|v: f32| v.max(0.0)), &subject, &metrics).unwrap();
        assert_eq!(nothing[0].value, Err(Undefined::NoPositiveMass));
        assert_eq!(score(&row, &sums[..8], &subject, &metrics).unwrap_err().exit_code(), 65);
        assert_eq!(score(&row, &sums, &Subject::Tile, &metrics).unwrap(), []);
    }
}
