//! Which probes, methods and metrics play which part in the report: the only place that names them.

use crate::scores::{Key, Scores};
use serde::Deserialize;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Share of positive relevance in the target's cell of a grid.
    GridPointingGame,
    /// The same where the backbone sees each cell alone.
    DiFull,
    /// The same where the head sees the features of each cell alone.
    DiPart,
    /// Share of positive relevance in the target's boxes in a scene.
    EnergyPointingGame,
    /// Share of positive relevance in the pixels of the target's objects in a scene, where there are masks.
    EnergyOnMasks,
    /// Shannon entropy of the positive relevance in bits.
    Entropy,
    /// Gini index of the positive relevance.
    Gini,
    /// Whether the strongest pixel lies in the target's cell of a grid.
    PointingGame,
    /// Overlap of the box around strong pixels with the target's boxes in a scene.
    BoundingBoxIou,
    /// Correlation of a map with those of other targets.
    ClassAgreement,
    /// Correlation of a map with those of other seeds.
    SeedStability,
    /// Area under the confidence in single tiles while pixels are removed, least important first.
    PixelDeletion,
    /// Share of correctly classified test images.
    Accuracy,
}

impl Metric {
    /// Metrics of the score table.
    pub const SCORED: [Self; 12] = [
        Self::GridPointingGame,
        Self::DiFull,
        Self::DiPart,
        Self::EnergyPointingGame,
        Self::EnergyOnMasks,
        Self::Entropy,
        Self::Gini,
        Self::PointingGame,
        Self::BoundingBoxIou,
        Self::ClassAgreement,
        Self::SeedStability,
        Self::PixelDeletion,
    ];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::GridPointingGame => "grid_pointing_game",
            Self::DiFull => "difull",
            Self::DiPart => "dipart",
            Self::EnergyPointingGame | Self::EnergyOnMasks => "energy_pointing_game",
            Self::Entropy => "entropy",
            Self::Gini => "gini",
            Self::PointingGame => "pointing_game",
            Self::BoundingBoxIou => "bounding_box_iou",
            Self::ClassAgreement => "class_agreement",
            Self::SeedStability => "seed_stability",
            Self::PixelDeletion => "pixel_deletion",
            Self::Accuracy => "accuracy",
        }
    }

    /// The metric of a name in tables, the one that the name alone stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::SCORED.into_iter().chain([Self::Accuracy]).find(|metric| metric.name() == name)
    }

    /// The variant that the report shows; the others are in the CSV files.
    pub fn variant(self) -> &'static str {
        match self {
            Self::PixelDeletion => evaluate::perturbation::SHOWN,
            Self::EnergyOnMasks => {
                evaluate::metric::Metric::EnergyPointingGame(evaluate::metric::energy_pointing_game::Region::Masks)
                    .variant()
            }
            _ => self.name().parse::<evaluate::metric::Metric>().map_or("", |metric| metric.variant()),
        }
    }

    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::Entropy | Self::ClassAgreement)
    }

    /// The least and the most that a score can be, where both are known.
    pub fn bounds(self) -> Option<(f64, f64)> {
        match self {
            Self::Entropy | Self::PixelDeletion => None,
            Self::ClassAgreement | Self::SeedStability => Some((-1.0, 1.0)),
            _ => Some((0.0, 1.0)),
        }
    }

    /// Whether a score is a share of positive relevance, or where most of it lies, which a map without any has not.
    pub fn is_a_share(self) -> bool {
        match self {
            Self::GridPointingGame
            | Self::DiFull
            | Self::DiPart
            | Self::EnergyPointingGame
            | Self::EnergyOnMasks
            | Self::PointingGame
            | Self::BoundingBoxIou => true,
            Self::Entropy
            | Self::Gini
            | Self::ClassAgreement
            | Self::SeedStability
            | Self::PixelDeletion
            | Self::Accuracy => false,
        }
    }

    /// `grid`, `difull`, `dipart`, `scene` or `tile`: what the report shows this metric on.
    pub fn item_kind(self) -> &'static str {
        match self {
            Self::EnergyPointingGame | Self::EnergyOnMasks | Self::BoundingBoxIou => "scene",
            Self::PixelDeletion => "tile",
            Self::DiFull => "difull",
            Self::DiPart => "dipart",
            _ => "grid",
        }
    }
}

/// Probe names (ids without seed) by the part they play.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Linear probe trained with cross entropy.
    pub ce: String,
    /// Linear probe trained with binary cross entropy.
    pub bce: String,
    /// As `bce`, with the constant logit offset that B-cos heads carry.
    pub bce_offset: String,
    /// Three-layer B-cos probe trained with binary cross entropy.
    pub bcos: String,
    /// The `ce` probe with one vector added to every class weight, so that all logits rise.
    pub shift_up: String,
    /// As `shift_up`, with logits falling.
    pub shift_down: String,
    /// The `ce` probe with the shift that a sigmoid loss likes best.
    pub shift_fit: String,
    /// Conventional multi-layer probe trained with binary cross entropy.
    pub mlp: String,
}

impl Default for Roles {
    fn default() -> Self {
        let name = |text: &str| text.to_string();
        Self {
            ce: name("linear-ce"),
            bce: name("linear-bce"),
            bce_offset: name("linear_offset-bce"),
            bcos: name("bcos3_offset-bce"),
            shift_up: name("shift_up-ce"),
            shift_down: name("shift_down-ce"),
            shift_fit: name("shift_fit-ce"),
            mlp: name("mlp3-bce"),
        }
    }
}

impl Roles {
    /// All comparisons of the report as (baseline, treatment), the main one first.
    pub fn comparisons(&self) -> Vec<(&str, &str)> {
        vec![
            (&self.ce, &self.bce),
            (&self.ce, &self.shift_fit),
            (&self.shift_up, &self.shift_down),
            (&self.bce_offset, &self.bcos),
            (&self.bce, &self.bcos),
            (&self.bce, &self.bce_offset),
            (&self.bce, &self.mlp),
        ]
    }

    /// The CE probe under its shifts, with the BCE probe at the end.
    pub fn shifts(&self) -> [String; 5] {
        [&self.shift_up, &self.ce, &self.shift_down, &self.shift_fit, &self.bce].map(String::clone)
    }
}

/// What a backbone is built of; decides which methods the paper says what about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Convolutions and ReLU.
    Conventional,
    /// B-cos layers.
    Bcos,
}

/// One backbone of one experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// Name of the experiment's directory.
    pub experiment: String,
    /// Name in the tables.
    pub name: String,
    /// Name for readers: with the experiment's, where several experiments have one of this name.
    pub label: String,
    /// What it is built of.
    pub kind: Kind,
    /// Methods scored on it, main one first.
    pub methods: Vec<String>,
    /// Grid sizes scored on it, the one that the report shows first (3 where present, else the largest).
    pub grid_sizes: Vec<i32>,
}

impl Backbone {
    /// The backbones of `scores`.
    // A backbone that has inherent B-cos maps is a B-cos one: no other has them.
    pub fn all(scores: &Scores) -> Vec<Self> {
        let mut backbones: Vec<Self> = Vec::new();
        for Key { experiment, backbone, method, grid_size, .. } in scores.groups.iter().map(|group| &group.key) {
            let at = backbones.iter().position(|b| (&b.experiment, &b.name) == (experiment, backbone)).unwrap_or_else(
                || {
                    let (experiment, name) = (experiment.clone(), backbone.clone());
                    backbones.push(Self {
                        experiment,
                        label: name.clone(),
                        name,
                        kind: Kind::Conventional,
                        methods: vec![],
                        grid_sizes: vec![],
                    });
                    backbones.len() - 1
                },
            );
            let found = &mut backbones[at];
            if !found.methods.contains(method) {
                found.methods.push(method.clone());
            }
            if let Some(size) = grid_size.filter(|size| !found.grid_sizes.contains(size)) {
                found.grid_sizes.push(size);
            }
        }
        let names: Vec<String> = backbones.iter().map(|backbone| backbone.name.clone()).collect();
        for backbone in &mut backbones {
            if names.iter().filter(|name| **name == backbone.name).count() > 1 {
                backbone.label = format!("{} ({})", backbone.name, backbone.experiment);
            }
            backbone.methods.sort_by_key(|name| (crate::labels::method_rank(name), name.clone()));
            backbone.grid_sizes.sort_by_key(|size| (*size != 3, -size));
            if backbone.methods.iter().any(|name| name == "bcos") {
                backbone.kind = Kind::Bcos;
            }
        }
        backbones.sort_by(|a, b| (a.kind, &a.experiment, &a.name).cmp(&(b.kind, &b.experiment, &b.name)));
        backbones
    }

    /// The method that stands for this backbone in headlines: the first of [`Backbone::methods`].
    pub fn main_method(&self) -> &str {
        self.methods.first().map_or("", String::as_str)
    }

    /// Grid size that the report shows `metric` at.
    pub fn grid_size(&self, metric: Metric) -> Option<i32> {
        ["grid", "difull", "dipart"].contains(&metric.item_kind()).then(|| self.grid_sizes.first().copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backbone_is_known_by_its_methods() {
        let found = Backbone::all(&crate::fake::scores());
        let kinds: Vec<(&str, Kind, &str)> = found.iter().map(|b| (b.name.as_str(), b.kind, b.main_method())).collect();
        assert_eq!(kinds, [("resnet", Kind::Conventional, "lrp"), ("bcos-resnet", Kind::Bcos, "bcos")]);
        assert_eq!(found[0].grid_size(Metric::GridPointingGame), Some(3));
        assert_eq!(found[0].grid_size(Metric::EnergyPointingGame), None);
    }

    #[test]
    fn two_experiments_on_one_backbone_are_told_apart() {
        let mut scores = crate::fake::scores();
        let labels = |scores: &Scores| Backbone::all(scores).into_iter().map(|b| b.label).collect::<Vec<_>>();
        assert_eq!(labels(&scores), ["resnet", "bcos-resnet"]);
        let mut again = scores.groups.clone();
        again.iter_mut().for_each(|group| group.key.experiment.push_str("-again"));
        scores.groups.extend(again.into_iter().filter(|group| group.key.backbone == "resnet"));
        assert_eq!(labels(&scores), ["resnet (shapes-resnet)", "resnet (shapes-resnet-again)", "bcos-resnet"]);
    }

    #[test]
    fn every_metric_has_a_default_variant() {
        for metric in Metric::SCORED {
            assert!(!metric.variant().is_empty(), "{metric:?}");
            let named = Metric::from_name(metric.name()).expect("a metric");
            assert_eq!((named.name(), named.bounds()), (metric.name(), metric.bounds()));
        }
    }
}
