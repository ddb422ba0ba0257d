//! Signs of the paper: what it says should happen, what happened here, and a verdict that follows from an interval.
//!
//! Nothing here is written by hand per result: a verdict is a function of an expectation and an estimate.

use crate::accuracy::{self, Predictions};
use crate::bootstrap::{self, Estimate};
use crate::pairs;
use crate::roles::{Backbone, Kind, Metric, Roles};
use crate::scores::{Empty, Scores};
use crate::significance::{self, Significance};
use crate::summary::{Resampling, Summaries, shown};
use crate::verdict::{Expected, Verdict};
use features::random::stream;

/// One comparison that bears on a sign.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What was measured on.
    pub backbone: Backbone,
    /// Method; empty for accuracy.
    pub method: String,
    /// What was measured.
    pub metric: Metric,
    /// What is compared, in words.
    pub comparison: String,
    /// Where the paper says that the estimate lies.
    pub expected: Expected,
    /// What was found.
    pub estimate: Option<Estimate>,
    /// The same with 0 for maps without positive relevance, where there are such; a verdict needs both.
    pub empty_as_zero: Option<Estimate>,
    /// Effect size and p-value, where the estimate is a difference that is expected not to be 0.
    pub significance: Option<Significance>,
    /// The p-value, corrected by Holm's method for all tests of the checklist.
    pub adjusted: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// One sign with all that was found on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// Number in the project's list of signs.
    pub number: u8,
    /// What the paper says.
    pub statement: &'static str,
    /// Numbers that are reported of the paper, which has no intervals; empty where none are known.
    pub reported: &'static str,
    /// Why nothing was measured, or how the evidence is to be read; may be empty.
    pub note: &'static str,
    /// The comparisons.
    pub evidence: Vec<Evidence>,
}

impl Sign {
    /// Number of comparisons with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.evidence.iter().filter(|evidence| evidence.verdict == verdict).count()
    }
}

/// What signs are judged from.
pub struct Data<'a> {
    /// Scored maps.
    pub scores: &'a Scores,
    /// Their means and differences.
    pub summaries: &'a Summaries,
    /// How probes differ in accuracy.
    pub accuracy_differences: &'a [accuracy::Difference],
    /// Predictions by experiment.
    pub predictions: &'a [Predictions],
    /// Backbones.
    pub backbones: &'a [Backbone],
    /// Probe names.
    pub roles: &'a Roles,
    /// How intervals are made.
    pub resampling: Resampling,
}

/// Accuracy differences beyond this are larger than any that the paper reports for ViT probes.
pub const SMALL_ACCURACY: f64 = 0.012;
/// Share of equal predictions below which two probes are not shifts of one another (ties in float32 are allowed for).
const SAME_PREDICTIONS: f64 = 0.999;

/// Judges all signs.
pub fn judge(data: &Data) -> Vec<Sign> {
    let (r, gridpg, epg) = (data.roles, Metric::GridPointingGame, Metric::EnergyPointingGame);
    let sign =
        |number, statement, note, evidence| Sign { number, statement, reported: reported(number), note, evidence };
    let two = ["bcos", "input_x_gradient", "grad_cam", "lime"];
    let mut two = data.methods(Kind::Bcos, &two, gridpg, Expected::Higher, (&r.ce, &r.bce));
    two.sort_by_key(|found| crate::labels::method_rank(&found.method));
    let mut five: Vec<Evidence> = data.main(epg, Expected::Higher, (&r.ce, &r.bce));
    five.extend(data.backbones.iter().map(|backbone| data.gap(backbone)));
    let mut seven = data.main(Metric::Entropy, Expected::Lower, (&r.ce, &r.bce));
    seven.extend(data.main(Metric::Gini, Expected::Higher, (&r.ce, &r.bce)));
    let mut eight = Vec::new();
    for pair in [(&r.bce_offset, &r.bcos), (&r.bce, &r.bcos)] {
        let pair = (pair.0.as_str(), pair.1.as_str());
        eight.extend(data.main(gridpg, Expected::Higher, pair));
        eight.extend(data.main(epg, Expected::Higher, pair));
        eight.extend(data.backbones.iter().map(|backbone| data.accuracy(backbone, Expected::Higher, pair)));
    }
    let mut nine: Vec<Evidence> = data.main(gridpg, Expected::Lower, (&r.bce, &r.mlp));
    nine.extend(data.backbones.iter().map(|backbone| data.accuracy(backbone, Expected::Higher, (&r.bce, &r.mlp))));
    let ten = data
        .backbones
        .iter()
        .map(|backbone| data.accuracy(backbone, Expected::Within(SMALL_ACCURACY), (&r.ce, &r.bce)))
        .collect();
    let mut twelve: Vec<Evidence> = data.backbones.iter().map(|backbone| data.agreement(backbone)).collect();
    twelve.extend(data.main(gridpg, Expected::Different, (&r.shift_up, &r.shift_down)));
    for kind in [Kind::Conventional, Kind::Bcos] {
        twelve.extend(data.methods(kind, &["grad_cam"], gridpg, Expected::Different, (&r.shift_up, &r.shift_down)));
    }
    let conventional = Kind::Conventional;
    let mut signs = vec![
        sign(
            1,
            "On conventional backbones, LRP and Integrated Gradients localise better under BCE",
            "",
            data.methods(
                conventional,
                &["lrp", "integrated_gradients", "lime"],
                gridpg,
                Expected::Higher,
                (&r.ce, &r.bce),
            ),
        ),
        sign(2, "On B-cos backbones, inherent maps, Input × Gradient and Grad-CAM localise better under BCE", "", two),
        sign(
            3,
            "On conventional backbones, Input × Gradient and Grad-CAM do not gain consistently",
            "A clear gain counts against the sign.",
            data.methods(conventional, &["input_x_gradient", "grad_cam"], gridpg, Expected::NoGain, (&r.ce, &r.bce)),
        ),
        sign(
            4,
            "On vision transformers, BCE is at least as good",
            "No transformer backbone is part of these experiments.",
            vec![],
        ),
        sign(
            5,
            "In scenes with boxes BCE gains too (EPG), but less than on grids (GridPG)",
            "The second kind of row is the gain on grids minus the gain in scenes.",
            five,
        ),
        sign(
            6,
            "Pixel deletion curves are flatter under BCE",
            "Area under the target's softmax probability in single tiles, relative to the whole tile, while pixels are \
             removed, least important first: a flatter curve has a larger area. Softmax saturates where logits are large, \
             so a probe of larger logits has a flatter one; areas of sigmoid and logit are in the CSV files, and a shift common \
             to all logits changes those.",
            data.main(Metric::PixelDeletion, Expected::Higher, (&r.ce, &r.bce)),
        ),
        sign(7, "Maps are more compact under BCE: entropy falls, the Gini index rises", "", seven),
        sign(
            8,
            "Three-layer B-cos probes beat linear ones in accuracy and in localisation",
            "B-cos probes carry a logit offset. First with the same offset on both sides, then as the paper pairs them.",
            eight,
        ),
        sign(9, "Conventional multi-layer probes raise accuracy but lower GridPG", "", nine),
        sign(
            10,
            "Accuracy hardly depends on the loss",
            "At most 1.2 points, the largest loss of accuracy that the paper reports for ViT probes.",
            ten,
        ),
        sign(11, "No pre-training wins consistently", "Needs several pre-trainings of similar accuracy.", vec![]),
        sign(
            12,
            "A shift common to all class weights changes no prediction, but does change maps",
            "The first kind of row is the share of equal predictions.",
            twelve,
        ),
        sign(
            13,
            "B-cos probes improve LRP and Integrated Gradients of conventional backbones too",
            "",
            data.methods(conventional, &["lrp", "integrated_gradients"], gridpg, Expected::Higher, (&r.bce, &r.bcos)),
        ),
    ];
    correct(&mut signs);
    signs
}

/// What the paper reports on a sign, as far as its reviews quote numbers.
fn reported(number: u8) -> &'static str {
    match number {
        1 => {
            "LRP GridPG +18 to +40 points over five pre-trainings (DINO 52 to 92 %, MoCov2 50 to 80 %, CLIP 19 to 51 %)."
        }
        2 => "Consistent gains on B-cos backbones for every method.",
        3 => "Input × Gradient and Grad-CAM “only show consistent improvements for B-cos models”.",
        4 => "GridPG gains from +0.4 points (supervised, rollout); accuracy −1.2 to +0.4 points.",
        5 => "EPG gains, smaller than those of GridPG.",
        6 => "BCE curves more stable for B-cos and LRP maps.",
        7 => "Gini index up and entropy down, in a table of the appendix.",
        8 => "MoCov2, Integrated Gradients: accuracy 66.9 to 71.3 %, GridPG 69 to 83 %; DINO: GridPG 70 to 89 %.",
        9 => "Accuracy and COCO EPG up, ImageNet GridPG down.",
        10 => "ViT-B/16: −0.4 (supervised), +0.4 (DINO), −1.2 (MoCov3) points.",
        11 => "“Limited impact” of the pre-training.",
        12 => "One CE probe, two shifts, the same loss: GridPG 65.7 and 11.9 %.",
        13 => "LRP and Integrated Gradients gain under B-cos probes on conventional backbones.",
        _ => "",
    }
}

/// Corrected p-values from here on leave a sign unresolved.
pub const LARGEST_P: f64 = 0.05;

/// Corrects the p-values of all tests for their number; a verdict that rests on a difference from 0 needs a small one.
fn correct(signs: &mut [Sign]) {
    let tests = || signs.iter().flat_map(|sign| &sign.evidence).filter_map(|evidence| evidence.significance);
    let adjusted = significance::holm(&tests().map(|found| found.p_value).collect::<Vec<_>>());
    let tested = signs.iter_mut().flat_map(|sign| &mut sign.evidence).filter(|found| found.significance.is_some());
    for (evidence, adjusted) in tested.zip(adjusted) {
        evidence.adjusted = Some(adjusted);
        if adjusted >= LARGEST_P {
            evidence.verdict = Verdict::NotResolved;
        }
    }
}

impl Data<'_> {
    /// Differences of every method of one of `names`, on backbones of `kind`; maps made anew from several by a variant after
    /// a colon are another paper's, and no evidence here.
    fn methods(
        &self,
        kind: Kind,
        names: &[&str],
        metric: Metric,
        expected: Expected,
        pair: (&str, &str),
    ) -> Vec<Evidence> {
        let of = |backbone: &Backbone| {
            let known = backbone.methods.iter().filter(|method| names.contains(&method.as_str()));
            known.map(|method| self.difference(backbone, metric, method, expected, pair)).collect::<Vec<_>>()
        };
        self.backbones.iter().filter(|backbone| backbone.kind == kind).flat_map(of).collect()
    }

    /// Differences of the main method of every backbone.
    fn main(&self, metric: Metric, expected: Expected, pair: (&str, &str)) -> Vec<Evidence> {
        self.backbones
            .iter()
            .map(|backbone| self.difference(backbone, metric, backbone.main_method(), expected, pair))
            .collect()
    }

    fn difference(
        &self,
        backbone: &Backbone,
        metric: Metric,
        method: &str,
        expected: Expected,
        pair: (&str, &str),
    ) -> Evidence {
        let found = self.summaries.difference(backbone, metric, method, pair.0, pair.1);
        let estimate = found.and_then(|found| found.estimate);
        Evidence {
            significance: found.and_then(|found| found.significance),
            empty_as_zero: found.and_then(|found| found.empty_as_zero),
            verdict: found.map_or(Verdict::NotTested, |found| found.verdict(expected)),
            ..evidence(backbone, method, metric, comparison(pair), expected, estimate)
        }
    }

    fn accuracy(&self, backbone: &Backbone, expected: Expected, pair: (&str, &str)) -> Evidence {
        let is_it = |found: &&accuracy::Difference| {
            (&*found.experiment, &*found.baseline, &*found.treatment) == (&*backbone.experiment, pair.0, pair.1)
        };
        let found = self.accuracy_differences.iter().find(is_it);
        let (estimate, test) = (found.map(|found| found.estimate), found.and_then(|found| found.significance));
        Evidence {
            significance: test.filter(|_| expected.is_about_zero()),
            ..evidence(backbone, "", Metric::Accuracy, comparison(pair), expected, estimate)
        }
    }

    fn agreement(&self, backbone: &Backbone) -> Evidence {
        let pair = (self.roles.shift_up.as_str(), self.roles.shift_down.as_str());
        let found = self.predictions(backbone).and_then(|found| found.agreement(pair.0, pair.1));
        let estimate = found.map(|found| Estimate {
            mean: found.equal,
            low: found.equal,
            high: found.equal,
            n: found.n,
            items: found.n,
            seeds: 0,
        });
        evidence(
            backbone,
            "",
            Metric::Accuracy,
            "equal predictions, shifted up and down".into(),
            Expected::AtLeast(SAME_PREDICTIONS),
            estimate,
        )
    }

    /// Gain on grids minus gain in scenes, for the main method.
    fn gap(&self, backbone: &Backbone) -> Evidence {
        let method = backbone.main_method();
        let gain = |metric: Metric| {
            let cells = |probe: &str| {
                let group = self
                    .scores
                    .groups
                    .iter()
                    .find(|group| shown(&group.key, backbone, metric, method) && group.key.probe == probe);
                group.map(|group| group.cells.as_slice())
            };
            Some(pairs::paired(cells(&self.roles.ce)?, cells(&self.roles.bce)?, Empty::LeftOut).samples)
        };
        let mut rng = stream(self.resampling.seed, &["gap", &backbone.experiment, &backbone.name, method]);
        let gains = gain(Metric::GridPointingGame).zip(gain(Metric::EnergyPointingGame));
        let gains = gains.as_ref().map(|(grids, scenes)| (grids.as_slice(), scenes.as_slice()));
        let estimate =
            gains.and_then(|(grids, scenes)| bootstrap::gap(grids, scenes, self.resampling.resamples, &mut rng));
        let comparison = "gain on grids − gain in scenes".to_string();
        Evidence {
            significance: gains.and_then(|(grids, scenes)| significance::unpaired(grids, scenes, &mut rng)),
            ..evidence(backbone, method, Metric::EnergyPointingGame, comparison, Expected::Higher, estimate)
        }
    }

    fn predictions(&self, backbone: &Backbone) -> Option<&Predictions> {
        self.predictions.iter().find(|found| found.experiment == backbone.experiment)
    }
}

fn comparison((baseline, treatment): (&str, &str)) -> String {
    crate::labels::comparison(baseline, treatment)
}

fn evidence(
    backbone: &Backbone,
    method: &str,
    metric: Metric,
    comparison: String,
    expected: Expected,
    estimate: Option<Estimate>,
) -> Evidence {
    let verdict = expected.judge(estimate.as_ref());
    Evidence {
        backbone: backbone.clone(),
        method: method.to_string(),
        metric,
        comparison,
        expected,
        estimate,
        empty_as_zero: None,
        significance: None,
        adjusted: None,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_the_made_up_experiment_are_read_off_its_data() {
        let findings = crate::fake::findings();
        let verdicts = |number: u8| -> Vec<Verdict> {
            findings
                .signs
                .iter()
                .find(|sign| sign.number == number)
                .expect("a sign")
                .evidence
                .iter()
                .map(|e| e.verdict)
                .collect()
        };
        assert_eq!(verdicts(1), [Verdict::Holds, Verdict::Holds]);
        assert_eq!(verdicts(2), [Verdict::Holds; 3]);
        assert!(verdicts(3).contains(&Verdict::Reversed), "Grad-CAM gains in the made-up data");
        assert_eq!(verdicts(6), [Verdict::Holds; 2]);
        assert!(verdicts(5).contains(&Verdict::Reversed), "EPG of LRP falls in the made-up data");
        assert_eq!(verdicts(9), [Verdict::NotTested; 4]);
        assert!(verdicts(12).iter().all(|verdict| *verdict == Verdict::Holds));
        assert!(verdicts(4).is_empty());
        let tested: Vec<&Evidence> = findings.signs.iter().flat_map(|sign| &sign.evidence).collect();
        let gaps: Vec<&&Evidence> =
            tested.iter().filter(|found| found.comparison.starts_with("gain on grids")).collect();
        assert!(gaps.len() == 2 && gaps.iter().all(|gap| gap.significance.is_some() && gap.adjusted.is_some()));
        assert!(tested.iter().all(|found| found.adjusted >= found.significance.map(|test| test.p_value)));
        assert!(tested.iter().any(|found| found.adjusted.is_some_and(|p| p < 0.05)));
        assert!(findings.signs.iter().all(|sign| !sign.reported.is_empty()));
    }
}
