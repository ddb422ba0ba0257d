//! Methods that look at the logits of masked inputs: one set of masks and forward passes for all heads and targets.

use std::sync::Arc;

use features::{
    error::{Error, Result},
    tensor::{Tensor, from_vec, to_vec},
};

use super::{Explainer, Found, apart::rivals, pass::values_of};
use crate::{
    method::{MASKED, Method, kernel_shap, lime, occlusion, rise, score_cam},
    segment::{Segmentation, Segments},
    storage::Short,
};

impl Explainer {
    /// Maps of all methods of the family `Masked`.
    ///
    /// # Errors
    /// `Usage` where a picture has more segments than KernelSHAP's coalitions can tell apart.
    pub(super) fn masked(
        &self,
        image: &Tensor<4>,
        logits: &[Vec<f32>],
        targets: &[usize],
        key: &str,
    ) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for methods in MASKED {
            let heads = self.asking(|wanted| methods.contains(&wanted));
            if heads.is_empty() {
                continue;
            }
            let probe = self.probe(methods[0], image, &heads, key)?;
            for (&head, answers) in heads.iter().zip(&probe.answers) {
                let asked = methods.iter().copied().filter(|method| self.heads[head].methods.contains(method));
                for (method, (target, &class)) in
                    asked.flat_map(|method| targets.iter().enumerate().map(move |t| (method, t)))
                {
                    let answer = |logits: &Vec<f32>| match method {
                        Method::LimeSoftmax => {
                            let (logits, class) = rivals(&self.heads[head].network, logits, class);
                            lime::softmax(&logits, class)
                        }
                        Method::LimeSigmoid => lime::sigmoid(logits[class]),
                        _ => logits[class],
                    };
                    let masked: Vec<f32> = answers.iter().map(answer).collect();
                    let asked = Asked { head, target, method, logit: logits[head][class] };
                    found.push(self.read(asked, size(image), &probe, &masked, key));
                }
            }
        }
        Ok(found)
    }

    /// Makes the masks of a method and asks the heads about them.
    fn probe(&self, method: Method, image: &Tensor<4>, heads: &[usize], key: &str) -> Result<Probe> {
        let size = size(image);
        let seed = self.settings.seed;
        let of = |baseline: crate::baseline::Baseline| baseline.of(image, &self.low, &self.high);
        let probe = match method {
            Method::Occlusion => {
                let settings = &self.settings.occlusion;
                let windows = occlusion::windows(settings, size);
                let mask = |i: usize| occlusion::mask(settings, size, windows[i]);
                let answers = self.answers(image, &of(settings.baseline), windows.len(), &mask, heads);
                Probe { answers, ..Probe::default() }
            }
            Method::Rise => {
                let settings = &self.settings.rise;
                let mask = |i: usize| rise::mask(settings, size, seed, key, i);
                let answers = self.answers(image, &of(settings.baseline), settings.masks, &mask, heads);
                Probe { answers, ..Probe::default() }
            }
            Method::ScoreCam => {
                let features = self.network.forward(image.clone());
                let masks = score_cam::masks(&features, size);
                let answers = self.answers(image, &image.zeros_like(), masks.len(), &|i| masks[i].clone(), heads);
                Probe { answers, features: Some(features), ..Probe::default() }
            }
            method => {
                let (how, about, draws) = match method {
                    Method::KernelShap => {
                        let settings = &self.settings.kernel_shap;
                        (settings.segmentation, settings.segments, settings.samples + 1)
                    }
                    _ => {
                        let settings = &self.settings.lime;
                        (settings.segmentation, settings.segments, settings.samples)
                    }
                };
                let segments = self.segments(image, how, about);
                if method == Method::KernelShap && draws - 1 < 2 * (segments.count - 1) {
                    return Err(Error::Usage(format!(
                        "section [attribute]: kernel_shap.samples is {}, {key} has {} segments; set it to {} or more, \
                         or cut fewer segments",
                        draws - 1,
                        segments.count,
                        2 * (segments.count - 1)
                    )));
                }
                let sample = |draw: usize| match method {
                    Method::KernelShap => kernel_shap::sample(segments.count, seed, key, draw),
                    _ => lime::sample(segments.count, seed, key, draw),
                };
                let samples: Vec<Vec<f64>> = (0..draws).map(sample).collect();
                let mask = |i: usize| segments.mask(&samples[i]);
                let answers = self.answers(image, &segments.means(image), draws, &mask, heads);
                Probe { answers, segments: Some(Arc::new(segments)), samples, features: None }
            }
        };
        Ok(probe)
    }

    /// The map of one logit from what the heads answered.
    fn read(&self, asked: Asked, size: [usize; 2], probe: &Probe, masked: &[f32], key: &str) -> Found {
        let Asked { head, target, method, logit } = asked;
        if let Some(features) = &probe.features {
            let [_, _, rows, columns] = features.dims();
            let short = Short::Coarse { size: [rows, columns], values: score_cam::map(features, masked) };
            return Found::of_short(head, target, method, short, size);
        }
        let weighed = |values: Vec<f64>, segments: &Arc<Segments>| {
            let weights = values.into_iter().map(|value| value as f32).collect();
            let short = Short::Segments { weights, segments: Arc::clone(segments) };
            Found::of_short(head, target, method, short, size)
        };
        let values = match (method, &probe.segments) {
            (Method::KernelShap, Some(segments)) => {
                let values = kernel_shap::values(&probe.samples, logit, masked);
                // A segment's value is shared by its pixels, so that the map keeps the sum.
                let mut areas = vec![0.0f64; segments.count];
                segments.labels.iter().for_each(|&label| areas[label] += 1.0);
                let shared: Vec<f64> = values.iter().zip(&areas).map(|(value, area)| value / area).collect();
                return Found { promise: Some(logit - masked[0]), ..weighed(shared, segments) };
            }
            (_, Some(segments)) => return weighed(lime::coefficients(&probe.samples, masked), segments),
            (Method::Occlusion, None) => occlusion::map(&self.settings.occlusion, size, logit, masked),
            (_, None) => {
                let settings = &self.settings.rise;
                let mask = |i: usize| rise::mask(settings, size, self.settings.seed, key, i);
                rise::map(settings, size, masked, mask)
            }
        };
        Found { head, target, method, promise: None, values, short: None }
    }

    /// Cuts the picture, whose colours in [0, 1] follow from the input and its bounds.
    fn segments(&self, image: &Tensor<4>, how: Segmentation, about: usize) -> Segments {
        let size = size(image);
        let area = size[0] * size[1];
        let mut colours = to_vec(image.clone());
        // Of six channels the first three are the colours.
        colours.truncate(3 * area);
        for (i, value) in colours.iter_mut().enumerate() {
            let (low, high) = (self.low[i / area], self.high[i / area]);
            *value = (*value - low) / (high - low);
        }
        Segments::cut(how, &colours, size, about)
    }

    /// The logits of masked inputs `baseline + mask * (image - baseline)`: for each head, for each mask.
    fn answers(
        &self,
        image: &Tensor<4>,
        baseline: &Tensor<4>,
        count: usize,
        mask: &dyn Fn(usize) -> Vec<f32>,
        heads: &[usize],
    ) -> Vec<Vec<Vec<f32>>> {
        let [_, channels, rows, columns] = image.dims();
        let path = image.clone() - baseline.clone();
        let mut answers = vec![Vec::with_capacity(count); heads.len()];
        for first in (0..count).step_by(self.settings.chunk) {
            let together = self.settings.chunk.min(count - first);
            let masks: Vec<f32> = (first..first + together).flat_map(mask).collect();
            let masks = from_vec(masks, [together, 1, rows, columns], &image.device()).repeat_dim(1, channels);
            let inputs = crate::batch::times(masks, path.clone());
            let inputs = inputs + baseline.clone().repeat_dim(0, together);
            self.answer(&self.network.forward(inputs), heads, &mut answers);
        }
        answers
    }

    /// Adds the logits of each row of `features` `[n, c, h', w']` to what each of `heads` has answered.
    pub(super) fn answer(&self, features: &Tensor<4>, heads: &[usize], answers: &mut [Vec<Vec<f32>>]) {
        let logits = values_of(heads.iter().map(|&head| self.heads[head].network.forward(features.clone())));
        answers.iter_mut().zip(logits).for_each(|(answers, logits)| answers.extend(logits));
    }
}

/// The logit that a map explains.
struct Asked {
    head: usize,
    target: usize,
    method: Method,
    logit: f32,
}

/// What was asked and answered.
#[derive(Default)]
struct Probe {
    /// Logits for each head and mask.
    answers: Vec<Vec<Vec<f32>>>,
    segments: Option<Arc<Segments>>,
    /// Which segments were on.
    samples: Vec<Vec<f64>>,
    /// What the masks of Score-CAM are made of.
    features: Option<Tensor<4>>,
}

fn size(image: &Tensor<4>) -> [usize; 2] {
    let [_, _, rows, columns] = image.dims();
    [rows, columns]
}
