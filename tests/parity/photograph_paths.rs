//! Integrated gradients on photographs against captum, where rounding moves hardly a ReLU over its kink.

use crate::{
    expected,
    peers::{self, Case, Frame},
    photograph_maps,
};

#[derive(serde::Deserialize)]
struct Expected {
    #[serde(flatten)]
    frame: Frame,
    crops: Vec<Crop>,
}

#[derive(serde::Deserialize)]
struct Crop {
    photograph: String,
    crop: [usize; 4],
    #[serde(flatten)]
    case: Case,
}

#[test]
fn integrated_gradients_match_captum_on_photographs() {
    let stored: Expected = expected::read("photograph_paths");
    assert_eq!((stored.crops.len(), stored.frame.tolerance), (6, 1e-4));
    for Crop { photograph, crop, case } in &stored.crops {
        let (pixels, shape) = photograph_maps::pixels(photograph, *crop);
        peers::check(&stored.frame, case, 18, pixels, shape);
    }
}
