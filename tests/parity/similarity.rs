//! Similarity of maps against SciPy and scikit-image.

use std::collections::BTreeMap;

use evaluate::map::Map;
use evaluate::randomisation::Similarity;

use crate::expected;

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f64,
    rows: usize,
    columns: usize,
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    maps: [Vec<f32>; 2],
    pearson: f64,
    spearman: f64,
    ssim: f64,
}

#[test]
fn similarities_are_those_of_scipy_and_scikit_image() {
    let stored: Expected = expected::read("similarity");
    for (name, case) in &stored.cases {
        let [a, b] = case.maps.each_ref().map(|values| Map::new(stored.rows, stored.columns, values));
        for (how, expected) in Similarity::ALL.into_iter().zip([case.pearson, case.spearman, case.ssim]) {
            let found = how.of(a, b).expect("maps that vary");
            assert!((found - expected).abs() <= stored.tolerance, "{name} {how}: {found} {expected}");
        }
    }
}
