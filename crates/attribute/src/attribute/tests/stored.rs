//! Class activation maps from the table of features, and what is refused.

use features::extract::extract;

use super::*;

const TILES: &str = "grids3 = 0\nscenes = 0\ntiles = 6\nmethods = [\"grad_cam\", \"layer_cam\", \"ablation_cam\"]\n";
const STORED: &str = "features = \"stored\"\n";

fn stored(scratch: &Scratch, features: &str) -> MapRows {
    run(&scratch.stage_of(features, &format!("{TILES}{STORED}"), false)).unwrap();
    scratch.maps("attribute.tiles")
}

#[test]
fn maps_of_stored_features_are_those_of_a_pass() {
    let scratch = prepare("stored", Family::Resnet);
    run(&scratch.stage_of("", TILES, false)).unwrap();
    let computed = scratch.maps("attribute.tiles");
    assert_eq!(computed.len(), 6 * 3 * 3);
    // Features that are kept to the last bit give the very same maps.
    let exact = "splits = [\"test\"]\nkeep_bits = 23";
    extract(&scratch.stage_of(exact, TILES, false)).unwrap();
    let same = stored(&scratch, exact);
    assert_eq!((&same.item, &same.probe_id, &same.method), (&computed.item, &computed.probe_id, &computed.method));
    assert_eq!((&same.logit, &same.map), (&computed.logit, &computed.map));
    // As they are kept by default, they are off by half a step of 10 bits each.
    let usual = "splits = [\"test\"]";
    extract(&scratch.stage_of(usual, TILES, true)).unwrap();
    let near = stored(&scratch, usual);
    assert_ne!(near.logit, computed.logit);
    let area = 64 * 64;
    for (row, (near, map)) in near.map.chunks_exact(area).zip(computed.map.chunks_exact(area)).enumerate() {
        let size = |values: &[f32]| values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        let off: Vec<f32> = near.iter().zip(map).map(|(a, b)| a - b).collect();
        assert!(size(&off) <= 0.02 * size(map), "row {row}: off by {} of {}", size(&off), size(map));
    }
}

#[test]
fn what_stored_features_cannot_serve_is_told() {
    let scratch = prepare("not-stored", Family::Resnet);
    let refused = |features: &str, attribute: &str, code: u8, text: &str| {
        let error = run(&scratch.stage_of(features, attribute, false)).unwrap_err();
        assert!(error.exit_code() == code && error.to_string().contains(text), "{error}");
    };
    let tiles = format!("{TILES}{STORED}");
    refused("", &tiles, 66, "features");
    let other = "splits = [\"train\"]";
    extract(&scratch.stage_of(other, TILES, false)).unwrap();
    refused(other, &tiles, 65, "add its split");
    refused(
        other,
        &tiles.replace("scenes = 0", "scenes = 1").replace("tiles = 6", "tiles = 0"),
        65,
        "has not the size",
    );
    refused(other, &tiles.replace("grids3 = 0", "grids3 = 1"), 2, "grids");
    refused(other, &tiles.replace("layer_cam", "lrp"), 2, "not lrp");
    refused(other, &tiles.replace("layer_cam", "grad_cam:reference"), 2, "not grad_cam:reference");
    // Another backbone under the same name.
    let weights = scratch.0.join("random.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    refused(other, &tiles, 65, "another backbone");
}

#[test]
fn probes_of_other_features_are_refused() {
    let scratch = prepare("origin", Family::Resnet);
    let stage = scratch.stage_of("", TILES, false);
    run(&stage).unwrap();
    let mut data = stage.clone();
    (data.out, data.seed) = (scratch.0.join("data"), 7);
    shapes::make(&data).unwrap();
    let error = run(&stage).unwrap_err();
    assert!(error.exit_code() == 65 && error.to_string().contains("another image table"), "{error}");
}
