//! Every metric on maps whose scores are known without computing: uniform, one pixel, oracle, zero, negative, NaN.

use features::artifact::Box2;

use super::*;
use crate::map::{Map, Undefined};
use crate::score::score;

/// Side of the maps, and the cell (top left of 3 x 3) and box that they are asked about.
const SIDE: usize = 48;
const CELL: usize = SIDE / 3;

fn subjects() -> [Subject; 4] {
    let object = Box2 { class: 0, xmin: 0, ymin: 0, xmax: CELL as i32, ymax: CELL as i32 };
    let boxes = Mask::union(&[object], (SIDE, SIDE), (SIDE, SIDE));
    let cell = |setting| Subject::Cell { setting, size: 3, cell: 0 };
    [
        Subject::Grid { size: 3, cell: 0 },
        Subject::Scene(Target { masks: Some(boxes.clone()), boxes }),
        cell(Setting::DiFull),
        cell(Setting::DiPart),
    ]
}

/// 1 on the target, 0 elsewhere.
fn oracle() -> Vec<f32> {
    (0..SIDE * SIDE).map(|at| f32::from(u8::from(at / SIDE < CELL && at % SIDE < CELL))).collect()
}

fn one_pixel(at: usize) -> Vec<f32> {
    (0..SIDE * SIDE).map(|pixel| f32::from(u8::from(pixel == at))).collect()
}

fn values(map: &[f32], metric: &str) -> Vec<Score> {
    let metric: Metric = metric.parse().expect("a metric");
    let gaussian = Smoothing::gauss_for(SIDE);
    let of = |subject: &Subject| {
        score(Map::new(SIDE, SIDE, map), "lrp", subject, &[metric], gaussian).first().map(|found| found.value)
    };
    subjects().iter().filter_map(of).collect()
}

fn check(map: &[f32], metric: &str, expected: f64, tolerance: f64) {
    for value in values(map, metric) {
        let value = value.expect("a score");
        assert!((value - expected).abs() <= tolerance, "{metric}: {value}, not {expected}");
    }
}

#[test]
fn uniform_maps_are_at_chance() {
    let uniform = vec![0.7; SIDE * SIDE];
    check(&uniform, "grid_pointing_game:none", 1.0 / 9.0, 1e-9);
    // The zero-padded mean darkens borders: a ring of 2 pixels loses about 4 % of the map's mass, more at corners.
    check(&uniform, "grid_pointing_game:reference", 1.0 / 9.0, 0.005);
    for metric in ["difull", "dipart"] {
        check(&uniform, &format!("{metric}:none"), 1.0 / 9.0, 1e-9);
        check(&uniform, metric, 1.0 / 9.0, 0.005);
    }
    check(&uniform, "energy_pointing_game", 1.0 / 9.0, 0.005);
    check(&uniform, "energy_pointing_game:masks", 1.0 / 9.0, 0.005);
    check(&uniform, "entropy", ((SIDE * SIDE) as f64).log2(), 0.02);
    check(&uniform, "gini:relative", 0.0, 1e-9);
    check(&uniform, "gini:reference", 0.0, 1e-9);
    // Corners are dark after smoothing, so the maximum is shared by the 44 x 44 inner pixels, 14 x 14 on the target.
    check(&uniform, "pointing_game", 14.0 * 14.0 / (44.0 * 44.0), 1e-9);
}

#[test]
fn one_pixel_is_all_or_nothing() {
    for (at, hit) in [(5 * SIDE + 5, 1.0), (30 * SIDE + 30, 0.0)] {
        let map = one_pixel(at);
        for metric in [
            "grid_pointing_game:none",
            "grid_pointing_game",
            "difull:none",
            "difull",
            "dipart:none",
            "dipart",
            "pointing_game",
            "energy_pointing_game",
            "energy_pointing_game:masks",
        ] {
            check(&map, metric, hit, 1e-9);
        }
        // Smoothed, it is 25 equal pixels.
        check(&map, "entropy", 25f64.log2(), 1e-6);
        check(&map, "gini:relative", 1.0 - 1.0 / (SIDE * SIDE) as f64, 1e-3);
        check(&map, "bounding_box_iou", hit * 25.0 / (CELL * CELL) as f64, 1e-9);
    }
}

#[test]
fn oracles_reach_the_ceiling() {
    let map = oracle();
    for metric in ["grid_pointing_game:none", "difull:none", "dipart:none"] {
        check(&map, metric, 1.0, 1e-9);
    }
    check(&map, "pointing_game", 1.0, 1e-9);
    // Smoothing carries some mass over two sides of the cell: the ceiling of a smoothed game is below 1.
    for metric in ["grid_pointing_game", "difull", "dipart", "energy_pointing_game", "energy_pointing_game:masks"] {
        check(&map, metric, 0.925, 0.03);
    }
    check(&map, "bounding_box_iou", 1.0, 0.15);
    check(&map, "gini:relative", 1.0 - 1.0 / 9.0, 1e-3);
}

#[test]
fn maps_without_a_score_say_why() {
    for (value, reason) in
        [(0.0, Undefined::NoPositiveMass), (-3.0, Undefined::NoPositiveMass), (f32::NAN, Undefined::NotFinite)]
    {
        for metric in Metric::ALL.iter().filter(|metric| metric.peers().is_none()) {
            let found = values(&[value; SIDE * SIDE], &metric.to_string());
            assert!(!found.is_empty() && found.iter().all(|found| *found == Err(reason)), "{metric} of {value}");
        }
    }
}

#[test]
fn scale_matters_to_the_reference_gini_only() {
    let map = crate::fixtures::random_map(3, SIDE * SIDE);
    let scaled: Vec<f32> = map.iter().map(|value| value * 2f32.powi(-24)).collect();
    for metric in Metric::ALL.iter().filter(|metric| metric.peers().is_none()) {
        let (a, b) = (values(&map, &metric.to_string()), values(&scaled, &metric.to_string()));
        let change = a.iter().zip(&b).map(|(a, b)| (a.expect("a score") - b.expect("a score")).abs());
        let largest = change.fold(0.0, f64::max);
        assert_eq!(largest > 0.1, *metric == Metric::Gini(Floor::Reference), "{metric} moves by {largest}");
    }
}

/// Metrics of more than one map: both kinds of peers are the same function.
#[test]
fn agreement_of_hand_made_maps() {
    let (uniform, oracle, pixel) = (vec![0.7f32; SIDE * SIDE], oracle(), one_pixel(5 * SIDE + 5));
    let twice: Vec<f32> = oracle.iter().map(|value| 2.0 * value).collect();
    let inverse: Vec<f32> = oracle.iter().map(|value| 1.0 - value).collect();
    let of = |a: &[f32], b: &[f32]| {
        let known = [a, b].map(|map| (map, agreement::Moments::of(map)));
        agreement::scores(&known)[0]
    };
    let close = |score: Score, expected: f64| assert!((score.expect("a score") - expected).abs() < 1e-6, "{score:?}");
    close(of(&oracle, &oracle), 1.0);
    close(of(&oracle, &twice), 1.0);
    close(of(&oracle, &inverse), -1.0);
    // By hand: a pixel on a ninth of the map, sqrt(8 / (n - 1)) with n pixels.
    close(of(&pixel, &oracle), (8.0 / ((SIDE * SIDE) as f64 - 1.0)).sqrt());
    for (value, reason) in [(0.0, Undefined::Constant), (-3.0, Undefined::Constant), (f32::NAN, Undefined::NotFinite)] {
        let broken = vec![value; SIDE * SIDE];
        // A map whose peers are all broken has nothing to be compared with either.
        assert_eq!((of(&broken, &oracle), of(&oracle, &broken)), (Err(reason), Err(Undefined::Constant)));
    }
    assert_eq!(of(&uniform, &uniform), Err(Undefined::Constant));
}

/// What randomisation tests compare by.
#[test]
fn similarity_of_hand_made_maps() {
    use crate::randomisation::Similarity;
    let (uniform, oracle, pixel) = (vec![0.7f32; SIDE * SIDE], oracle(), one_pixel(5 * SIDE + 5));
    for measure in Similarity::ALL {
        let of = |a: &[f32], b: &[f32]| measure.of(Map::new(SIDE, SIDE, a), Map::new(SIDE, SIDE, b));
        for map in [&oracle, &pixel] {
            assert!((of(map, map).expect("a score") - 1.0).abs() < 1e-6, "{measure}");
        }
        let other = of(&oracle, &pixel).expect("a score");
        assert!(other.abs() < 0.9, "{measure}: {other}");
        assert_eq!(of(&oracle, &vec![f32::NAN; SIDE * SIDE]), Err(Undefined::NotFinite), "{measure}");
        assert_eq!(of(&oracle, &vec![0.0; SIDE * SIDE]), Err(Undefined::Constant), "{measure}");
        for flat in [&uniform, &vec![-3.0; SIDE * SIDE]] {
            // Structural similarity is defined there: a flat window has a mean, and no structure in common.
            match (measure, of(&oracle, flat)) {
                (Similarity::Ssim, found) => assert!(found.expect("a score") < 0.5, "{measure}: {found:?}"),
                (_, found) => assert_eq!(found, Err(Undefined::Constant), "{measure}"),
            }
        }
    }
}
