//! Time of the metrics of one map at the paper's size: 672 pixels a side, smoothed as InputxGradient maps are.
//! `tests/bench/metrics.py` measures the reference's formulas next to it.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, reason = "a measurement program")]

use std::time::Instant;

use evaluate::map::Map;
use evaluate::metric::{Metric, Subject};
use evaluate::score::score;
use evaluate::smooth::Smoothing;
use features::random::{normal, stream};

const SIDE: usize = 672;
const ROUNDS: u32 = 10;

fn main() {
    // `cargo test` passes other flags; only a real `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut rng = stream(0, &["bench", "map"]);
    let full: Vec<f32> = (0..SIDE * SIDE).map(|_| normal(&mut rng) as f32).collect();
    // As in the map table: 7 bits of mantissa.
    let stored: Vec<f32> = full.iter().map(|value| f32::from_bits(value.to_bits() & 0xffff_0000)).collect();
    let subject = Subject::Grid { size: 3, cell: 4 };
    for (what, values) in [("stored", &stored), ("unrounded", &full)] {
        for names in [&["grid_pointing_game"][..], &["entropy"], &["gini"], &["grid_pointing_game", "entropy", "gini"]]
        {
            let metrics: Vec<Metric> = names.iter().map(|name| name.parse().expect("a metric")).collect();
            let since = Instant::now();
            for _ in 0..ROUNDS {
                let map = Map::new(SIDE, SIDE, values);
                std::hint::black_box(score(map, "input_x_gradient", &subject, &metrics, Smoothing::gauss_for(SIDE)));
            }
            let milliseconds = 1000.0 * since.elapsed().as_secs_f64() / f64::from(ROUNDS);
            println!("{what} map, {}: {milliseconds:.1} ms", names.join(" + "));
        }
    }
}
