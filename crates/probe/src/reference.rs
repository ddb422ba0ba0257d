//! A probe's weights as the reference's heads load them: its key names, no factor on the features.

use features::network::NORM_EPSILON;

use crate::data::Split;
use crate::spec::{Head, Kind};
use crate::weights::{Array, Weights};

/// Which heads the reference has: those of images with one label, or with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// ImageNet's.
    SingleLabel,
    /// VOC's and COCO's, whose linear layer is called as the first of several would be.
    MultiLabel,
}

impl Suite {
    /// The heads for the labels of a split.
    pub fn of(split: &Split) -> Self {
        if split.is_multi_label() { Self::MultiLabel } else { Self::SingleLabel }
    }
}

/// The tensors `head.fc{i}...` and `head.bn{i}...` of the reference's head of this kind, without the counters of batches,
/// which do not enter its output. None where a reference head cannot hold the probe: a single B-cos layer whose
/// features were scaled, since its rows have no length.
// METHOD: B-cos layers are homogeneous of degree 1, so a factor s on the features is a factor on what enters the first
// norm: y s / sqrt(v + e) = y / sqrt(v' + e) with v' = (v + e) / s^2 - e.
pub fn reference(head: Head, weights: &Weights, suite: Suite) -> Option<Weights> {
    let scale = weights.0.get("input_scale").map_or(1.0, |array| f64::from(array.values[0]));
    if head.kind() == Kind::Bcos && head.layers() == 1 && scale != 1.0 {
        return None;
    }
    let epsilon = f64::from(NORM_EPSILON);
    let mut found = Weights::default();
    for (name, Array { shape, values }) in weights.0.iter().filter(|(name, _)| *name != "input_scale") {
        let mut values = values.clone();
        if name == "bn0.running_var" && scale != 1.0 {
            for value in &mut values {
                let moved = (f64::from(*value) + epsilon) / (scale * scale) - epsilon;
                if moved < 0.0 {
                    return None;
                }
                *value = moved as f32;
            }
        }
        // Uncentred norms keep a mean of 0 in the reference's files.
        if let Some(norm) = name.strip_suffix(".running_var")
            && !weights.0.contains_key(&format!("{norm}.running_mean"))
        {
            found.insert(format!("head.{norm}.running_mean"), shape, vec![0.0; values.len()]);
        }
        let name = match (suite, name.strip_prefix("fc.")) {
            (Suite::MultiLabel, Some(part)) => format!("fc0.{part}"),
            _ => name.clone(),
        };
        found.insert(format!("head.{name}"), shape, values);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;
    use crate::data::tests::blobs;
    use crate::job::Job;
    use crate::lower::lower;
    use crate::mlp;
    use crate::spec::{Norm, ProbeSpec, Scaling};
    use crate::trained::Context;
    use features::tensor::{cpu, to_vec};

    #[test]
    fn the_reference_sees_the_same_probe_on_features_as_they_are() {
        let data = blobs(64, 0);
        let context = Context { device: cpu(), seed: 0, classes: 4 };
        let spec = |head, norm| ProbeSpec {
            norm,
            learning_rate: 0.3,
            batch: 16,
            hidden: 8,
            ..ProbeSpec::plain(head, Loss::Bce)
        };
        let specs = [
            spec(Head::Bcos(2), Norm::Uncentred),
            spec(Head::Bcos(3), Norm::Uncentred),
            spec(Head::Mlp(2), Norm::Batch),
            spec(Head::Mlp(3), Norm::Uncentred),
            spec(Head::Mlp(4), Norm::Batch),
            ProbeSpec { b: 1.5, ..spec(Head::Bcos(4), Norm::Uncentred) },
            ProbeSpec { scaling: Scaling::None, ..spec(Head::Bcos(1), Norm::None) },
        ];
        for probe in mlp::train(&specs, &Job::new(&data, &data, &context)).unwrap() {
            let head = probe.spec.head;
            let theirs = reference(head, &probe.weights, Suite::SingleLabel).unwrap();
            let mut ours = Weights::default();
            for (name, array) in &theirs.0 {
                ours.insert(name.strip_prefix("head.").unwrap(), &array.shape, array.values.clone());
            }
            if head.kind() == Kind::Bcos {
                ours.insert("input_scale", &[1], vec![1.0]);
            }
            let layers = head.layers();
            let norms = (0..layers - 1).all(|i| theirs.0.contains_key(&format!("head.bn{i}.running_mean")));
            assert!(norms && theirs.0.keys().all(|name| name.starts_with("head.fc") || name.starts_with("head.bn")));
            let run = |weights: &Weights| {
                let network = lower(&probe.spec, weights, &cpu()).unwrap();
                to_vec(network.forward(data.map_batch(0, 64, &cpu())))
            };
            let (want, got) = (run(&probe.weights), run(&ours));
            let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-5 * largest), "{head:?}");
        }
    }

    #[test]
    fn a_scaled_single_layer_has_no_place_in_the_reference() {
        let mut weights = Weights::default();
        weights.insert("fc0.linear.weight", &[2, 1, 1, 1], vec![1.0, 2.0]);
        weights.insert("input_scale", &[1], vec![3.0]);
        assert_eq!(reference(Head::Bcos(1), &weights, Suite::MultiLabel), None);
    }
}
