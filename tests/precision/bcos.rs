//! B-cos contributions: what the one linear map, which the network is at this picture, makes of each pixel.

use attribute::explain::Settings;
use attribute::method::Method;

use super::methods::over_channels;
use super::slow::{Guide, Slow, wide};
use super::{CLASSES, SIZE, TARGET, aligned, check, draw, explain};

#[test]
fn contributions_are_the_rows_of_the_dynamic_weights() {
    let (backbone, head) = aligned();
    let image = draw("six", [1, 6, SIZE[0], SIZE[1]], 1.0);
    let x = wide(&image);
    let trunk = Slow::of(&backbone, [6, SIZE[0], SIZE[1]]);
    let last = Slow::of(&head, trunk.shape);
    let features = trunk.forward(&x);
    let given: Vec<f64> = (0..CLASSES).map(|class| f64::from(u8::from(class == TARGET))).collect();
    let row = trunk.back(&x, &last.back(&features, &given, Guide::No), Guide::No);
    let contributions: Vec<f64> = x.iter().zip(&row).map(|(x, w)| x * w).collect();
    // They sum to the logit less its offset, which is what makes them an explanation.
    let logit = last.forward(&features)[TARGET];
    assert!((contributions.iter().sum::<f64>() - (logit + 1.5)).abs() < 1e-9 * logit.abs().max(1.0));
    let found = explain(&backbone, &head, &image, Method::Bcos, &Settings::default());
    check("bcos", &found, &over_channels(&contributions));
}
