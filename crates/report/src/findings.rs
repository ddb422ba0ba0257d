//! Everything that a report says, as data: what the page, the Markdown, the CSV and the LaTeX files are written from.

use crate::accuracy::{self, Predictions};
use crate::aggregate::Aggregate;
use crate::bootstrap::Estimate;
use crate::curves::{self, Curves};
use crate::decomposition::{self, Decomposition};
use crate::depth::{self, Depths, KINDS};
use crate::family;
use crate::gallery::Example;
use crate::labels;
use crate::matched::{self, Matched};
use crate::roles::{Backbone, Metric, Roles};
use crate::scores::Scores;
use crate::signs::{self, Data, Sign};
use crate::summary::{Resampling, Summaries, Summary};
use crate::verdict::Verdict;
use rayon::prelude::*;

/// Accuracy of one probe on one backbone.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Probe name.
    pub probe: String,
    /// Share of correctly classified test images.
    pub estimate: Estimate,
}

/// How one probe was trained, and what it is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Probe id, with its seed.
    pub probe_id: String,
    /// Optimiser.
    pub optimiser: String,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over the training tiles.
    pub epochs: i32,
    /// Loss at the end.
    pub train_loss: f64,
    /// Norm of the gradient at the end: small means converged.
    pub gradient_norm: f64,
    /// Share of correctly classified test images.
    pub test_accuracy: f64,
    /// Mean logit over classes and images.
    pub mean_logit: f64,
    /// Norm of the mean class weight over the mean norm of class weights.
    pub common_norm_ratio: f64,
}

/// Something the report was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Experiment and artifact.
    pub name: String,
    /// Content hash, hexadecimal.
    pub fingerprint: String,
}

/// What the report is made from, as read.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Scored maps.
    pub scores: Scores,
    /// Predictions by experiment.
    pub predictions: Vec<Predictions>,
    /// Training records.
    pub trainings: Vec<Training>,
    /// Curves of pixel deletion, where they were measured.
    pub curves: Vec<Curves>,
    /// Fingerprints.
    pub sources: Vec<Source>,
}

/// Everything that a report says.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Backbones, conventional ones first.
    pub backbones: Vec<Backbone>,
    /// Probe names.
    pub roles: Roles,
    /// Means and differences.
    pub summaries: Summaries,
    /// Accuracies.
    pub accuracies: Vec<Accuracy>,
    /// The paper's signs.
    pub signs: Vec<Sign>,
    /// Loss against backbone.
    pub decompositions: Vec<Decomposition>,
    /// Localisation of a probe, its shifts and its rival on the seeds that they share, by backbone.
    pub shifts: Vec<Vec<Summary>>,
    /// Localisation by depth, by backbone and kind of probe.
    pub depths: Vec<[Depths; KINDS.len()]>,
    /// Accuracy next to localisation.
    pub matched: Vec<Matched>,
    /// Training records.
    pub trainings: Vec<Training>,
    /// Mean curves of pixel deletion.
    pub curves: Vec<curves::Mean>,
    /// Fingerprints.
    pub sources: Vec<Source>,
    /// Maps side by side.
    pub gallery: Vec<Example>,
    /// Many maps in one picture.
    pub aggregates: Vec<Aggregate>,
    /// How intervals were made.
    pub resampling: Resampling,
}

impl Findings {
    /// Derives all findings from what was read; gallery and aggregates are added by whoever can read maps.
    pub fn new(inputs: &Inputs, roles: &Roles, resampling: Resampling) -> Self {
        let scores = &inputs.scores;
        let backbones = Backbone::all(scores);
        let summaries = Summaries::new(scores, roles, resampling);
        let predictions = &inputs.predictions;
        let accuracy_differences = accuracy::differences(predictions, &roles.comparisons(), resampling);
        let data = Data {
            accuracy_differences: &accuracy_differences,
            scores,
            summaries: &summaries,
            predictions,
            backbones: &backbones,
            roles,
            resampling,
        };
        let signs = signs::judge(&data);
        let all: Vec<(&Predictions, &String)> =
            predictions.iter().flat_map(|found| found.probes.keys().map(move |probe| (found, probe))).collect();
        let of = |(found, probe): (&Predictions, &String)| {
            Some(Accuracy {
                experiment: found.experiment.clone(),
                probe: probe.clone(),
                estimate: found.accuracy(probe, resampling)?,
            })
        };
        let accuracies = all.into_par_iter().filter_map(of).collect();
        Self {
            decompositions: decomposition::all(scores, &backbones, roles, resampling),
            shifts: backbones
                .iter()
                .map(|backbone| family::of(scores, backbone, &roles.shifts(), resampling))
                .collect(),
            depths: backbones.iter().map(|backbone| depth::of(scores, backbone, resampling)).collect(),
            matched: matched::all(&summaries, &accuracy_differences, &backbones, roles),
            accuracies,
            signs,
            trainings: inputs.trainings.clone(),
            curves: curves::means(&inputs.curves, roles, resampling),
            sources: inputs.sources.clone(),
            roles: roles.clone(),
            gallery: Vec::new(),
            aggregates: Vec::new(),
            backbones,
            summaries,
            resampling,
        }
    }

    /// The finding in two lines: the effect on each backbone's main method, and how the paper's signs came out.
    pub fn headline(&self) -> [String; 2] {
        let effects: Vec<String> = self.backbones.iter().filter_map(|backbone| self.effect(backbone)).collect();
        let first = match effects.is_empty() {
            true => format!("No backbone was scored under both {} and {}.", self.roles.ce, self.roles.bce),
            false => format!("GridPG, BCE minus CE: {}.", effects.join("; ")),
        };
        let count = |verdict| self.signs.iter().map(|sign| sign.count(verdict)).sum::<usize>();
        let [holds, reversed, unresolved] = [Verdict::Holds, Verdict::Reversed, Verdict::NotResolved].map(count);
        let numbers: Vec<String> = self
            .signs
            .iter()
            .filter(|sign| sign.count(Verdict::Reversed) > 0)
            .map(|sign| sign.number.to_string())
            .collect();
        let which = match numbers.len() {
            0 => String::new(),
            1 => format!(" (sign {})", numbers[0]),
            _ => format!(" (signs {})", numbers.join(", ")),
        };
        let second = format!(
            "Of {} comparisons with signs of the paper {holds} hold, {reversed} are reversed{which}, {unresolved} are not resolved.",
            holds + reversed + unresolved
        );
        [first, second]
    }

    /// `LRP on resnet +13.4 points [+8.7, +17.6] (n = 240 maps, 40 grids, 3 seeds)`.
    fn effect(&self, backbone: &Backbone) -> Option<String> {
        let metric = Metric::GridPointingGame;
        let method = backbone.main_method();
        let difference = self.summaries.difference(backbone, metric, method, &self.roles.ce, &self.roles.bce)?;
        let found = difference.estimate?;
        let (method, name, value) =
            (labels::method(method), &backbone.label, labels::difference_with_unit(&found, metric));
        let Estimate { n, items, seeds, .. } = found;
        let zero = difference.empty_as_zero.map_or(String::new(), |zero| {
            format!("; {} with 0 for maps without positive relevance", labels::difference(&zero, metric))
        });
        Some(format!("{method} on {name} {value} (n = {n} maps, {items} grids, {seeds} seeds{zero})"))
    }

    /// Accuracy of a probe on a backbone.
    pub fn accuracy(&self, backbone: &Backbone, probe: &str) -> Option<&Estimate> {
        let found =
            self.accuracies.iter().find(|found| found.experiment == backbone.experiment && found.probe == probe);
        found.map(|found| &found.estimate)
    }

    /// Probe names that were scored on a backbone, linear ones first, shifts last.
    pub fn probes(&self, backbone: &Backbone) -> Vec<String> {
        let r = &self.roles;
        let order = [&r.ce, &r.bce, &r.bce_offset, &r.bcos, &r.mlp];
        let shifts = [&r.shift_up, &r.shift_down, &r.shift_fit];
        let mut names: Vec<String> = self
            .summaries
            .means
            .iter()
            .filter(|m| m.key.experiment == backbone.experiment)
            .map(|m| m.key.probe.clone())
            .collect();
        names.sort_by_key(|name| {
            let shift = shifts.iter().position(|known| *known == name).map(|at| 200 + at);
            (order.iter().position(|known| *known == name).or(shift).unwrap_or(100), name.clone())
        });
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_headline_has_effect_interval_and_n() {
        let [first, second] = crate::fake::findings().headline();
        assert!(first.starts_with("GridPG, BCE minus CE: LRP on resnet +"), "{first}");
        assert!(first.contains("points [") && first.contains("(n = 240 maps, 40 grids, 3 seeds)"), "{first}");
        assert!(second.contains("reversed (signs 3, 5") && second.ends_with("not resolved."), "{second}");
    }
}
