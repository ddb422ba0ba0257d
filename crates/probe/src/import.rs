//! A classifier that somebody else trained, taken from a checkpoint as a linear probe.

use std::path::PathBuf;

use features::error::{Error, Result};
use features::weights::WeightFile;
use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::exact::state;
use crate::loss::Loss;
use crate::optimiser::{Method, Optimiser};
use crate::schedule::{Decay, Schedule, WarmUp};
use crate::spec::{Head, Offset, ProbeSpec};
use crate::trained::{Status, Trained};
use crate::weights::Weights;

/// One `[[probe.import]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// A safetensors file, or one of `torch.save`.
    pub file: PathBuf,
    /// What stands before `.weight` and `.bias` in it.
    #[serde(default = "fc")]
    pub layer: String,
    /// What it was trained with.
    pub loss: Loss,
    /// Constant added to its logits.
    #[serde(default)]
    pub offset: Offset,
    /// End of its id.
    #[serde(default = "imported")]
    pub tag: String,
}

fn fc() -> String {
    "fc".into()
}

fn imported() -> String {
    "imported".into()
}

impl Import {
    /// What the probe is called; `bias` is known once the file has been read.
    fn spec(&self, bias: bool) -> ProbeSpec {
        ProbeSpec {
            offset: self.offset,
            bias,
            optimiser: Optimiser::plain(Method::None),
            learning_rate: 0.0,
            schedule: Schedule { warm_up: WarmUp::None, decay: Decay::Constant },
            epochs: 0,
            tag: self.tag.clone(),
            ..ProbeSpec::plain(Head::Linear, self.loss)
        }
    }

    /// The probe in `file`, for features like those of `train`.
    ///
    /// # Errors
    /// [`Error::BadData`] where the layer is not there or does not fit features and classes.
    pub fn read(&self, file: &WeightFile, train: &Split, classes: usize) -> Result<Trained> {
        let origin = self.file.display().to_string();
        let layer = &self.layer;
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{layer}.{part}"));
        let Some(stored) = file.tensors.get(&weight) else {
            return Err(Error::BadData(format!(
                "{origin}: no tensor {weight}; name another layer in [[probe.import]]{}",
                likely(file, &[classes, train.channels])
            )));
        };
        let (shape, values) = (&stored.shape, file.values(&weight)?);
        if values.len() != classes * train.channels || shape.get(..2) != Some(&[classes, train.channels]) {
            return Err(Error::BadData(format!(
                "{origin}: {layer}.weight has shape {shape:?}, but there are {classes} classes and {} channels; import the head of this backbone and data set",
                train.channels
            )));
        }
        let mut weights = Weights::default();
        weights.insert("fc.weight", &[classes, train.channels, 1, 1], values);
        let has_bias = file.tensors.get(&bias);
        if let Some(stored) = has_bias {
            if stored.shape != [classes] {
                return Err(Error::BadData(format!("{origin}: {bias} has shape {:?}, not [{classes}]", stored.shape)));
            }
            weights.insert("fc.bias", &[classes], file.values(&bias)?);
        }
        let spec = self.spec(has_bias.is_some());
        let (train_loss, gradient_norm) = state(&spec, &weights, train, classes)?;
        let (status, kept_epoch) = (Status::Trained, 0);
        Ok(Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log: Vec::new() })
    }
}

/// Which layers of a file have weights of this shape, as the end of a message.
fn likely(file: &WeightFile, shape: &[usize]) -> String {
    let fits = file.tensors.iter().filter(|(_, stored)| stored.shape.get(..2) == Some(shape));
    let layers: Vec<&str> = fits.filter_map(|(name, _)| name.strip_suffix(".weight")).take(3).collect();
    if layers.is_empty() { String::new() } else { format!(" ({} would fit)", layers.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::weights::to_safetensors;

    fn import() -> Import {
        serde_json::from_value(serde_json::json!({"file": "net.safetensors", "loss": "ce", "tag": "theirs"})).unwrap()
    }

    /// A file of its own each time, whose directory goes when the test ends.
    fn file(weight: &[usize], bias: Option<usize>) -> (tempfile::TempDir, WeightFile) {
        let mut weights = Weights::default();
        weights.insert("weight", weight, (0..weight.iter().product()).map(|i| i as f32 * 0.1 - 1.0).collect());
        if let Some(classes) = bias {
            weights.insert("bias", &[classes], vec![0.5; classes]);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        std::fs::write(&path, to_safetensors(&[("fc".to_string(), &weights)]).unwrap()).unwrap();
        let file = WeightFile::open(&path).unwrap();
        (directory, file)
    }

    #[test]
    fn a_classifier_of_rank_2_or_4_becomes_a_linear_probe() {
        let train = blobs(40, 0);
        for shape in [&[4, 6][..], &[4, 6, 1, 1]] {
            let probe = import().read(&file(shape, Some(4)).1, &train, 4).unwrap();
            assert_eq!(probe.spec.id(), "linear_bias-ce-s0-theirs");
            assert_eq!(probe.weights.get("fc.weight").unwrap().shape, [4, 6, 1, 1]);
            assert_eq!(probe.weights.get("fc.bias").unwrap().values, [0.5; 4]);
            assert!(probe.train_loss > 0.0 && probe.gradient_norm > 0.0);
        }
        let probe = import().read(&file(&[4, 6], None).1, &train, 4).unwrap();
        assert_eq!(probe.spec.id(), "linear-ce-s0-theirs");
    }

    #[test]
    fn a_file_that_does_not_fit_is_bad_data() {
        let train = blobs(40, 0);
        let wrong_layer = Import { layer: "head".into(), ..import() };
        let cases = [
            (import().read(&file(&[5, 6], None).1, &train, 4), "[5, 6]"),
            (import().read(&file(&[6, 4], None).1, &train, 4), "[6, 4]"),
            (import().read(&file(&[4, 6], Some(3)).1, &train, 4), "fc.bias"),
            (
                wrong_layer.read(&file(&[4, 6], None).1, &train, 4),
                "head.weight; name another layer in [[probe.import]] (fc would fit)",
            ),
        ];
        for (result, text) in cases {
            let error = result.unwrap_err();
            assert!(error.exit_code() == 65 && error.to_string().contains(text), "{error}");
        }
    }
}
