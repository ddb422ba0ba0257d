//! Grids whose cells have a classification of their own against captum on the networks of Rao et al.

use std::collections::BTreeMap;

use attribute::explain::{Explainer, Head, Settings};
use attribute::method::Method;
use attribute::setting::Setting;
use evaluate::map::{Map, Positive};
use evaluate::metric::{Metric, Subject};
use evaluate::smooth::Smoothing;
use features::network::{Conv, Layer, Network};
use features::tensor::from_vec;

use crate::{
    expected::{self, StoredMap},
    formula,
};

#[derive(serde::Deserialize)]
struct Expected {
    tolerance: f32,
    cell: usize,
    target: usize,
    tensors: Vec<(String, Vec<usize>)>,
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    map: StoredMap,
    logit: f32,
    score: f64,
}

#[test]
fn maps_and_scores_of_cut_off_cells_match_captum() {
    let stored: Expected = expected::read("disconnected");
    let device = expected::device();
    let tensors = expected::checkpoint(&stored.tensors, &BTreeMap::new());
    let conv = |name: &str, stride: usize| {
        let weight = &tensors[&format!("{name}.weight")];
        let shape: [usize; 4] = weight.shape.as_slice().try_into().expect("rank 4");
        let bias = Some(expected::vector(&tensors, &format!("{name}.bias"), &device));
        let weight = from_vec(weight.values.clone(), shape, &device);
        Layer::Conv(Conv { weight: weight.into(), bias, stride: [stride; 2], padding: [shape[2] / 2; 2] })
    };
    let backbone = Network::new(vec![conv("first", 2), Layer::Relu, conv("second", 1), Layer::Relu]);
    let head = Network::new(vec![conv("head", 1), Layer::GlobalAvgPool]);
    let methods = vec![Method::InputXGradient, Method::GradCam];
    let head = Head { id: "head".into(), network: head, methods: methods.clone() };
    let mut seen = 0;
    for (setting, grid) in [Setting::DiFull, Setting::DiPart].into_iter().flat_map(|s| [(s, 2), (s, 3)]) {
        let side = stored.cell * grid;
        let pixels = formula::image([1, 3, side, side]).into_iter().map(|pixel| pixel - 0.5).collect();
        let image = from_vec(pixels, [1, 3, side, side], &device);
        let explainer = Explainer::with_bounds(
            setting.backbone(&backbone, grid),
            (vec![-0.5; 3], vec![0.5; 3]),
            vec![setting.head(&head, grid)],
            Settings::default(),
        );
        let cells = setting.cells(grid, &[]);
        let targets: Vec<usize> = cells.iter().map(|cell| setting.logit(stored.target, *cell, grid)).collect();
        let maps = explainer.expect("rules are there").explain(&image, &targets, "").expect("a class");
        assert_eq!(maps.len(), cells.len() * methods.len());
        for map in maps {
            let cell = cells[map.target];
            let kind = if setting == Setting::DiFull { "difull" } else { "dipart" };
            let name = format!("{kind}/{grid}/{cell}/{}", map.method);
            let case = &stored.cases[&name];
            expected::check_pulled(&name, &map.values, &case.map.values(), stored.tolerance);
            expected::check(&format!("{name} logit"), &[map.logit], &[case.logit], 1e-5);
            let positive = Positive::of(Map::new(side, side, &map.values), Smoothing::None).expect("positive mass");
            let metric: Metric = format!("{kind}:none").parse().expect("a metric");
            let subject = Subject::Cell { setting, size: grid, cell };
            let score = metric.score(&positive, map.method.name(), &subject).expect("a score");
            expected::check(&format!("{name} score"), &[score as f32], &[case.score as f32], 1e-4);
            seen += 1;
        }
    }
    assert_eq!(seen, stored.cases.len());
}
