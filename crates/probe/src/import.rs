//! A classifier that somebody else trained, taken from a checkpoint as a linear probe.

use std::path::PathBuf;

use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::exact::state;
use crate::loss::Loss;
use crate::optimiser::{Method, Optimiser};
use crate::schedule::{Decay, Schedule, WarmUp};
use crate::spec::{Head, Offset, ProbeSpec};
use crate::trained::{Status, Trained};
use crate::weights::{Weights, with_prefix};

/// One `[[probe.import]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// A safetensors file.
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

    /// The probe in `bytes`, the content of the file, for features like those of `train`.
    ///
    /// # Errors
    /// [`Error::BadData`] where the layer is not there or does not fit features and classes.
    pub fn read(&self, bytes: &[u8], train: &Split, classes: usize) -> Result<Trained> {
        let origin = self.file.display().to_string();
        let layer = &self.layer;
        let found = with_prefix(bytes, layer, &origin)?;
        let Some(weight) = found.0.get("weight") else {
            return Err(Error::BadData(format!(
                "{origin}: no tensor {layer}.weight; name another layer in [[probe.import]]"
            )));
        };
        let (shape, values) = (&weight.shape, weight.values.clone());
        if values.len() != classes * train.channels || shape.get(..2) != Some(&[classes, train.channels]) {
            return Err(Error::BadData(format!(
                "{origin}: {layer}.weight has shape {shape:?}, but there are {classes} classes and {} channels; import the head of this backbone and data set",
                train.channels
            )));
        }
        let mut weights = Weights::default();
        weights.insert("fc.weight", &[classes, train.channels, 1, 1], values);
        if let Ok(bias) = found.get("bias") {
            if bias.values.len() != classes {
                return Err(Error::BadData(format!(
                    "{origin}: {layer}.bias has shape {:?}, not [{classes}]",
                    bias.shape
                )));
            }
            weights.insert("fc.bias", &[classes], bias.values.clone());
        }
        let spec = self.spec(found.get("bias").is_ok());
        let (train_loss, gradient_norm) = state(&spec, &weights, train, classes)?;
        let (status, kept_epoch) = (Status::Trained, 0);
        Ok(Trained { spec, weights, status, train_loss, gradient_norm, kept_epoch, log: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::weights::to_safetensors;

    fn import() -> Import {
        serde_json::from_value(serde_json::json!({"file": "net.safetensors", "loss": "ce", "tag": "theirs"})).unwrap()
    }

    fn file(weight: &[usize], bias: Option<usize>) -> Vec<u8> {
        let mut weights = Weights::default();
        weights.insert("weight", weight, (0..weight.iter().product()).map(|i| i as f32 * 0.1 - 1.0).collect());
        if let Some(classes) = bias {
            weights.insert("bias", &[classes], vec![0.5; classes]);
        }
        to_safetensors(&[("fc".to_string(), &weights)]).unwrap()
    }

    #[test]
    fn a_classifier_of_rank_2_or_4_becomes_a_linear_probe() {
        let train = blobs(40, 0);
        for shape in [&[4, 6][..], &[4, 6, 1, 1]] {
            let probe = import().read(&file(shape, Some(4)), &train, 4).unwrap();
            assert_eq!(probe.spec.id(), "linear_bias-ce-s0-theirs");
            assert_eq!(probe.weights.get("fc.weight").unwrap().shape, [4, 6, 1, 1]);
            assert_eq!(probe.weights.get("fc.bias").unwrap().values, [0.5; 4]);
            assert!(probe.train_loss > 0.0 && probe.gradient_norm > 0.0);
        }
        let probe = import().read(&file(&[4, 6], None), &train, 4).unwrap();
        assert_eq!(probe.spec.id(), "linear-ce-s0-theirs");
    }

    #[test]
    fn a_file_that_does_not_fit_is_bad_data() {
        let train = blobs(40, 0);
        let wrong_layer = Import { layer: "head".into(), ..import() };
        let cases = [
            (import().read(&file(&[5, 6], None), &train, 4), "[5, 6]"),
            (import().read(&file(&[6, 4], None), &train, 4), "[6, 4]"),
            (import().read(&file(&[4, 6], Some(3)), &train, 4), "fc.bias"),
            (wrong_layer.read(&file(&[4, 6], None), &train, 4), "head.weight"),
            (import().read(b"no", &train, 4), "not a safetensors file"),
        ];
        for (result, text) in cases {
            let error = result.unwrap_err();
            assert!(error.exit_code() == 65 && error.to_string().contains(text), "{error}");
        }
    }
}
