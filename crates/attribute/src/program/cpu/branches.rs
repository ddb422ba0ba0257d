//! Programs that get a part of the cotangents each: channels of their own, or cells of a grid.

use std::borrow::Cow;

use features::network::Maps;

use super::{Bench, Rows, Steps, Touch};

/// Each program gets its own channels, one after the other.
pub(super) fn concat(
    programs: &[(usize, Steps)],
    maps: &Maps,
    rows: Rows,
    touches: &[Touch<'_>],
    bench: &mut Bench,
) -> Maps {
    let [count, channels, height, width] = maps.dims;
    let (area, mut first, mut total) = (height * width, 0, None::<Maps>);
    for (index, (own, program)) in programs.iter().enumerate() {
        let mut values = bench.take(count * own * area);
        for (to, from) in values.chunks_exact_mut((own * area).max(1)).zip(maps.values.chunks_exact(channels * area)) {
            to.copy_from_slice(&from[first * area..][..own * area]);
        }
        first += own;
        let before = total.take();
        let mut all: Vec<Touch<'_>> = before.iter().map(Touch::Plus).collect();
        if index + 1 == programs.len() {
            all.extend(touches);
        }
        let own = Maps { dims: [count, *own, height, width], values };
        let made = program.run(Cow::Owned(own), rows, &all, bench);
        before.into_iter().for_each(|maps| bench.give(Cow::Owned(maps)));
        total = Some(made);
    }
    total.expect("there is at least one branch")
}

/// Each program gets its own cell of a grid and hands back a cell of `shape`.
pub(super) fn apart(
    grid: usize,
    cells: &[Steps],
    shape: [usize; 3],
    maps: &Maps,
    rows: Rows,
    bench: &mut Bench,
) -> Maps {
    let [count, channels, height, width] = maps.dims;
    let [made, high, wide] = shape;
    let (own_high, own_wide) = (height / grid, width / grid);
    let mut values = bench.take(count * made * grid * high * grid * wide);
    values.fill(0.0);
    for (cell, program) in cells.iter().enumerate() {
        let (down, across) = (cell / grid, cell % grid);
        let mut given = bench.take(count * channels * own_high * own_wide);
        for (line, to) in given.chunks_exact_mut(own_wide.max(1)).enumerate() {
            let (plane, row) = (line / own_high, line % own_high);
            let from = (plane * height + down * own_high + row) * width + across * own_wide;
            to.copy_from_slice(&maps.values[from..from + own_wide]);
        }
        // What comes back of nothing is nothing, and most logits belong to a single cell.
        let given = Maps { dims: [count, channels, own_high, own_wide], values: given };
        if given.values.iter().all(|value| *value == 0.0) {
            bench.give(Cow::Owned(given));
            continue;
        }
        let back = program.run(Cow::Owned(given), rows, &[], bench);
        for (line, from) in back.values.chunks_exact(wide.max(1)).enumerate() {
            let (plane, row) = (line / high, line % high);
            let to = (plane * grid * high + down * high + row) * grid * wide + across * wide;
            values[to..to + wide].copy_from_slice(from);
        }
        bench.give(Cow::Owned(back));
    }
    Maps { dims: [count, made, grid * high, grid * wide], values }
}
