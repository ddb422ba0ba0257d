//! Quickshift segments against scikit-image.

use std::collections::BTreeMap;

use attribute::segment::{Segmentation, Segments};
use features::images::Rgb;

use crate::expected;

#[derive(serde::Deserialize)]
struct Expected {
    cases: BTreeMap<String, Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    size: [usize; 2],
    /// Length and label of each run.
    labels: Vec<(usize, usize)>,
    /// With scikit-image's own noise.
    own_noise: Vec<(usize, usize)>,
}

/// The generator's picture of two flat colours.
fn flat() -> Rgb {
    let inside = |p: usize| (20..45).contains(&(p / 80)) && (30..60).contains(&(p % 80));
    let data = (0..60 * 80).flat_map(|p| if inside(p) { [200, 180, 20] } else { [60; 3] }).collect();
    Rgb { width: 80, height: 60, data }
}

#[test]
fn quickshift_gives_the_segments_of_scikit_image() {
    let stored: Expected = expected::read("quickshift");
    assert_eq!(stored.cases.len(), 3);
    for (name, case) in stored.cases {
        let picture = if name == "flat" { flat() } else { expected::photograph(&name) };
        assert_eq!([picture.height, picture.width], case.size);
        let colours: Vec<f32> =
            (0..3).flat_map(|c| picture.data.iter().skip(c).step_by(3).map(|&byte| f32::from(byte) / 255.0)).collect();
        let found = Segments::cut(Segmentation::Quickshift, &colours, case.size, 0);
        let spread = |runs: &[(usize, usize)]| -> Vec<usize> {
            runs.iter().flat_map(|&(length, label)| std::iter::repeat_n(label, length)).collect()
        };
        let labels = spread(&case.labels);
        let differing = found.labels.iter().zip(&labels).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{name}: {differing} of {} pixels are in other segments", labels.len());
        assert_eq!(found.count, labels.iter().max().map_or(0, |last| last + 1));
        // Where noise decides, ours is not scikit-image's.
        assert_eq!(spread(&case.own_noise) == labels, name != "flat", "{name}");
    }
}
