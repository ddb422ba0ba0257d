//! Many maps in one picture: the mean map of each target cell, and AggAtt bins, for probes of one backbone side by side.
//!
//! AggAtt (Rao, Böhle, Schiele, CVPR 2022) sorts maps by their localisation score and shows the mean of the best, of the
//! typical and of the worst, so that no example is picked by hand.

use crate::gallery::seed_of;
use crate::heatmap::{self, Frame, Map};
use crate::roles::{Backbone, Metric, Roles};
use crate::scores::{Group, Scores};
use crate::summary::shown;
use attribute::compact::CompactMaps;
use attribute::table::{MAPS, MapRows};
use features::artifact::{Columns, Manifest, Reader};
use features::error::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Where bins end, as shares of the maps, best first.
// METHOD: the bins of the paper and of its code.
pub const BINS: [f64; 7] = [0.0, 0.02, 0.05, 0.5, 0.95, 0.98, 1.0];
/// Longest side of a mean map in pixels.
const SIDE: usize = 96;
/// Pixels between the mean maps of cells.
const GAP: usize = 4;

/// The aggregated maps of one backbone's main method.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// [`Backbone::label`](crate::roles::Backbone::label).
    pub backbone: String,
    /// Method.
    pub method: String,
    /// A row a probe.
    pub probes: Vec<Seen>,
}

/// The aggregated maps of one probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Probe name.
    pub probe: String,
    /// How many maps there are.
    pub maps: usize,
    /// Bins that have maps, best first.
    pub bins: Vec<Bin>,
    /// PNG of the mean maps of all target cells, each at the place of its cell.
    pub cells: Vec<u8>,
}

/// One bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// From and to, as shares of the maps.
    pub range: (f64, f64),
    /// How many maps it has.
    pub maps: usize,
    /// Their mean score.
    pub score: f64,
    /// PNG of the mean map; the target is in the upper left corner.
    pub map: Vec<u8>,
}

/// Item, target and seed.
type Place<'a> = (&'a str, i32, i64);

/// The maps of one probe in their order.
struct Ranked<'a> {
    probe: &'a str,
    bins: HashMap<Place<'a>, usize>,
    /// Sum of scores and number of maps of each bin.
    counts: [(f64, usize); BINS.len() - 1],
}

/// Sums of positive relevance, by bin and by cell, of square maps with `side` pixels a side.
struct Sums {
    side: usize,
    bins: Vec<Vec<f64>>,
    cells: Vec<(usize, Vec<f64>)>,
}

/// Reads the maps of the first `most` grids of an experiment; nothing where no map of its main method is scored.
///
/// # Errors
/// A missing or damaged map table, or one without a map that was scored.
pub fn read(
    experiment: &Path,
    scores: &Scores,
    backbone: &Backbone,
    roles: &Roles,
    most: usize,
) -> Result<Option<Aggregate>> {
    let (method, metric) = (backbone.main_method(), Metric::GridPointingGame);
    let find = |probe: &&String| {
        scores.groups.iter().find(|group| shown(&group.key, backbone, metric, method) && group.key.probe == **probe)
    };
    let groups: Vec<&Group> = [&roles.ce, &roles.bce, &roles.bcos].iter().filter_map(find).collect();
    let names = groups.iter().flat_map(|group| &group.cells).map(|cell| scores.items[cell.item as usize].as_str());
    let items: BTreeSet<&str> = names.collect::<BTreeSet<_>>().into_iter().take(most).collect();
    let ranked: Vec<Ranked> = groups.iter().map(|group| Ranked::of(scores, group, &items)).collect();
    let Some(size) = backbone.grid_size(metric).filter(|_| ranked.iter().any(|ranked| !ranked.bins.is_empty())) else {
        return Ok(None);
    };
    let mut sums: Vec<Sums> = ranked.iter().map(|_| Sums::new(size as usize)).collect();
    let manifest = Manifest::read(&experiment.join(crate::maps::MAPS_DIR))?;
    for (dir, _) in manifest.tables.iter().filter(|(_, entry)| entry.table == MAPS.name && entry.rows > 0) {
        let reader = Reader::open(&experiment.join(dir), &MAPS)?;
        for part in 0..reader.parts() {
            let here: Vec<String> = Columns::new(reader.read_columns(part, &[MapRows::ITEM])?).next()?;
            if here.iter().any(|item| items.contains(item.as_str())) {
                add(&MapRows::from_cells(reader.read_part(part)?)?, method, &ranked, &mut sums);
            }
        }
    }
    if let Some(compact) = CompactMaps::open(experiment)? {
        for part in 0..compact.parts() {
            let kept = compact.read_part(part)?;
            if kept.digests.about.method.iter().any(|kept| kept == method) {
                // Of digests there is nothing to draw.
                return Ok(None);
            }
            kept.maps.iter().for_each(|rows| add(rows, method, &ranked, &mut sums));
        }
    }
    let seen = ranked.iter().zip(&sums).map(|(ranked, sums)| {
        let (found, scored) = (sums.cells.iter().map(|(count, _)| count).sum::<usize>(), ranked.bins.len());
        if found != scored {
            return Err(Error::BadData(format!(
                "{}: has {found} maps of {method} and probe {}, of which {scored} are scored; run attribute and evaluate again",
                experiment.display(),
                ranked.probe
            )));
        }
        ranked.draw(sums, size as usize)
    });
    let probes = seen.collect::<Result<Vec<_>>>()?;
    Ok(Some(Aggregate { backbone: backbone.label.clone(), method: method.to_string(), probes }))
}

/// Adds the wanted maps of a part.
fn add(rows: &MapRows, method: &str, ranked: &[Ranked], sums: &mut [Sums]) {
    let pixels = rows.map.len() / rows.len().max(1);
    for row in (0..rows.len()).filter(|&row| rows.method[row] == method) {
        let name = probe::id::name(&rows.probe_id[row]);
        let Some(at) = ranked.iter().position(|ranked| ranked.probe == name) else { continue };
        let Some(seed) = seed_of(&rows.probe_id[row]) else { continue };
        let place = (rows.item[row].as_str(), rows.target_index[row], seed);
        if let Some(&bin) = ranked[at].bins.get(&place) {
            let size = (rows.height[row].max(0) as usize, rows.width[row].max(0) as usize);
            sums[at].add(&rows.map[row * pixels..(row + 1) * pixels], size, place.1.max(0) as usize, bin);
        }
    }
}

impl<'a> Ranked<'a> {
    /// Puts the maps of a group on some items in order; undefined scores are left out, as in means.
    // METHOD: descending score, a bin holds the ranks from floor(share n) on; equal scores by item, target and seed.
    fn of(scores: &'a Scores, group: &'a Group, items: &BTreeSet<&str>) -> Self {
        let mut order: Vec<(f64, Place)> = group
            .cells
            .iter()
            .filter_map(|cell| Some((cell.value?, (scores.items[cell.item as usize].as_str(), cell.target, cell.seed))))
            .filter(|(_, place)| items.contains(place.0))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let ends = ends(order.len());
        let mut ranked = Self { probe: &group.key.probe, bins: HashMap::new(), counts: Default::default() };
        for (rank, (score, place)) in order.into_iter().enumerate() {
            let bin = ends.iter().position(|end| rank < *end).unwrap_or(ends.len() - 1);
            ranked.counts[bin].0 += score;
            ranked.counts[bin].1 += 1;
            ranked.bins.insert(place, bin);
        }
        ranked
    }

    /// Pictures of the means. Bins share one scale and cells share one, so that they can be compared.
    fn draw(&self, sums: &Sums, size: usize) -> Result<Seen> {
        let side = sums.side;
        let mean =
            |sum: &[f64], count: usize| sum.iter().map(|value| (value / count as f64) as f32).collect::<Vec<_>>();
        let filled = (0..self.counts.len()).filter(|&bin| self.counts[bin].1 > 0);
        let means: Vec<(usize, Vec<f32>)> =
            filled.map(|bin| (bin, mean(&sums.bins[bin], self.counts[bin].1))).collect();
        let limit = heatmap::limit(&means.iter().flat_map(|(_, map)| map.iter().copied()).collect::<Vec<_>>());
        let corner: Frame = (0, 0, side / size, side / size);
        let bins = means.iter().map(|(bin, values)| {
            let (score, maps) = self.counts[*bin];
            let map = heatmap::scaled(Map { width: side, height: side, values }, None, &[corner], limit)?;
            Ok(Bin { range: (BINS[*bin], BINS[bin + 1]), maps, score: score / maps as f64, map })
        });
        let bins = bins.collect::<Result<Vec<_>>>()?;
        let whole = size * side + (size - 1) * GAP;
        let (mut sheet, mut frames) = (vec![0.0f32; whole * whole], Vec::new());
        for (cell, (count, sum)) in sums.cells.iter().enumerate().filter(|(_, (count, _))| *count > 0) {
            let (row, column) = (cell / size, cell % size);
            let (top, left) = (row * (side + GAP), column * (side + GAP));
            for (y, line) in mean(sum, *count).chunks_exact(side).enumerate() {
                sheet[(top + y) * whole + left..][..side].copy_from_slice(line);
            }
            frames.push((left + column * side / size, top + row * side / size, side / size, side / size));
        }
        let map = Map { width: whole, height: whole, values: &sheet };
        let cells = heatmap::scaled(map, None, &frames, heatmap::limit(&sheet))?;
        Ok(Seen { probe: self.probe.to_string(), maps: self.bins.len(), bins, cells })
    }
}

/// Rank at which each bin of `n` maps ends.
fn ends(n: usize) -> [usize; BINS.len() - 1] {
    // Shares are not exact in binary; 5 % of 180 maps must be 9.
    std::array::from_fn(|bin| (BINS[bin + 1] * n as f64 + 1e-9) as usize)
}

impl Sums {
    fn new(size: usize) -> Self {
        // Cells must be alike.
        let side = SIDE / size.max(1) * size.max(1);
        let empty = || vec![0.0; side * side];
        Self {
            side,
            bins: (1..BINS.len()).map(|_| empty()).collect(),
            cells: (0..size * size).map(|_| (0, empty())).collect(),
        }
    }

    /// Adds a map whose target is in `cell`.
    // METHOD: positive relevance, as the score counts it and the paper's code shows it, not scaled from map to map. For the
    // bins, where the paper takes one cell, cells are moved around cyclically until the target is in the corner.
    fn add(&mut self, map: &[f32], (height, width): (usize, usize), cell: usize, bin: usize) {
        let side = self.side;
        let size = self.cells.len().isqrt();
        let small = shrunk(map, (height, width), side);
        let Some((count, sum)) = self.cells.get_mut(cell) else { return };
        *count += 1;
        sum.iter_mut().zip(&small).for_each(|(sum, value)| *sum += value);
        let (down, right) = (cell / size * (side / size), cell % size * (side / size));
        for (at, sum) in self.bins[bin].iter_mut().enumerate() {
            let (y, x) = (at / side, at % side);
            *sum += small[(y + down) % side * side + (x + right) % side];
        }
    }
}

/// The positive part of a map as means over `side` x `side` blocks, of which each has a pixel at least.
fn shrunk(map: &[f32], (height, width): (usize, usize), side: usize) -> Vec<f64> {
    let span = |at: usize, length: usize| at * length / side..((at + 1) * length / side).max(at * length / side + 1);
    let mut small = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let (rows, columns) = (span(y, height), span(x, width));
            let count = (rows.len() * columns.len()) as f64;
            let lines = map.chunks_exact(width).take(rows.end).skip(rows.start);
            let values = lines.flat_map(|line| &line[columns.clone()]).filter(|value| value.is_finite());
            small.push(values.map(|value| f64::from(value.max(0.0))).sum::<f64>() / count);
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::{Cell, Raw};

    #[test]
    fn bins_take_their_shares_and_no_map_twice() {
        for (n, expected) in [
            (200, [4, 10, 100, 190, 196, 200]),
            (180, [3, 9, 90, 171, 176, 180]),
            (10, [0, 0, 5, 9, 9, 10]),
            (1, [0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(ends(n), expected);
        }
        let cells = |from: i64| {
            let cell = move |at: i64| {
                let value = (at != 7).then_some(at as f64 / 100.0);
                (format!("grid3/{:04}", at % 50), Cell { seed: from + at / 50, value, ..Cell::default() })
            };
            (0..100).map(cell).collect()
        };
        let raw = Raw { key: crate::fake::key("a", "lrp", "linear-ce"), higher_is_better: true, cells: cells(0) };
        let scores = Scores::new(vec![raw]);
        let items: BTreeSet<&str> = scores.items.iter().map(String::as_str).collect();
        let ranked = Ranked::of(&scores, &scores.groups[0], &items);
        assert_eq!(ranked.counts.map(|(_, count)| count), [1, 3, 45, 45, 3, 2], "99 maps have a score");
        assert_eq!(ranked.bins[&("grid3/0049", 0, 1)], 0, "the best one");
        assert_eq!(ranked.bins[&("grid3/0000", 0, 0)], 5, "the worst one");
        assert!(!ranked.bins.contains_key(&("grid3/0007", 0, 0)));
    }

    #[test]
    fn means_are_those_of_the_cells_and_targets_move_to_the_corner() {
        let mut sums = Sums::new(3);
        // Maps of 192 x 192: one where the target is, nothing elsewhere, and something negative.
        let map = |cell: usize, value: f32| -> Vec<f32> {
            let inside = |at: usize| at / 192 / 64 == cell / 3 && at % 192 / 64 == cell % 3;
            (0..192 * 192).map(|at| if inside(at) { value } else { -1.0 }).collect()
        };
        for (cell, value, bin) in [(0, 1.0, 2), (4, 2.0, 2), (4, 4.0, 3), (8, 3.0, 2)] {
            sums.add(&map(cell, value), (192, 192), cell, bin);
        }
        assert_eq!(sums.side, 96);
        let (count, sum) = &sums.cells[4];
        assert_eq!((*count, sum[40 * 96 + 40], sum[0], sum[40 * 96 + 70]), (2, 6.0, 0.0, 0.0));
        let corner =
            |bin: usize| [sums.bins[bin][0], sums.bins[bin][31 * 96 + 31], sums.bins[bin][32], sums.bins[bin][9215]];
        assert_eq!(corner(2), [6.0, 6.0, 0.0, 0.0]);
        assert_eq!(corner(3), [4.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn small_maps_are_enlarged_and_odd_sizes_lose_nothing() {
        assert_eq!(shrunk(&[1.0, 2.0, -3.0, 4.0], (2, 2), 4)[..4], [1.0, 1.0, 2.0, 2.0]);
        let odd: Vec<f32> = (0..35).map(|at| at as f32).collect();
        let small = shrunk(&odd, (5, 7), 2);
        let block = |rows: [usize; 2], columns: [usize; 2]| {
            let values: Vec<f64> =
                (rows[0]..rows[1]).flat_map(|y| (columns[0]..columns[1]).map(move |x| (7 * y + x) as f64)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert_eq!(small, [block([0, 2], [0, 3]), block([0, 2], [3, 7]), block([2, 5], [0, 3]), block([2, 5], [3, 7])]);
    }
}
