//! The metrics as one closed set: name, variant, direction, chance level, and the smoothing each asks for.
//!
//! A metric is written `name` or `name:variant` in configurations and on the command line; the bare name is the
//! default variant. `reference` variants repeat what the authors' code does.

pub mod agreement;
pub mod bounding_box_iou;
pub mod energy_pointing_game;
pub mod entropy;
pub mod gini;
pub mod grid_pointing_game;
#[cfg(test)]
mod hand_made;
pub mod pointing_game;

use std::fmt;
use std::str::FromStr;

use attribute::setting::Setting;
use features::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::map::{Positive, Score};
use crate::smooth::Smoothing;
use agreement::Peers;
use energy_pointing_game::{Mask, Region, Rounding, Target};
use gini::Floor;

/// A number computed from one attribution map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Share of the positive mass in the target's grid cell.
    GridPointingGame(GridSmoothing),
    /// The same in grids whose cells the backbone sees alone.
    DiFull(GridSmoothing),
    /// The same in grids whose heads see the features of a cell alone.
    DiPart(GridSmoothing),
    /// Whether the strongest pixel lies on the target.
    PointingGame,
    /// Share of the positive mass in the target's boxes or masks.
    EnergyPointingGame(Region),
    /// Overlap of the box around strong pixels with the target's boxes.
    BoundingBoxIou(Rounding),
    /// Spread of the positive mass in bits.
    Entropy,
    /// Inequality of the positive mass among pixels.
    Gini(Floor),
    /// Correlation with the maps of the item's other targets.
    ClassAgreement,
    /// Correlation with the maps of other seeds of the probe.
    SeedStability,
}

/// How a map is smoothed before the grid pointing game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GridSmoothing {
    /// As the reference does for the map's method; see [`reference_smoothing`].
    Reference,
    /// Not at all.
    None,
}

/// What a map is held against.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A cell, counted row by row, of an n x n grid of images.
    Grid {
        /// Cells a side.
        size: usize,
        /// The target's cell.
        cell: usize,
    },
    /// A cell of such a grid, where it has a classification of its own.
    Cell {
        /// What the classification reads.
        setting: Setting,
        /// Cells a side.
        size: usize,
        /// The target's cell.
        cell: usize,
    },
    /// The boxes and masks of the target class in a scene.
    Scene(Target),
    /// A single tile, all of which is the target.
    Tile,
}

/// Methods whose maps the reference smooths with the wide Gaussian before a pointing game; all others get the 5x5 mean.
const GAUSSIAN_METHODS: [&str; 2] = ["input_x_gradient", "integrated_gradients"];

/// The reference's smoothing before a pointing game for `method` (its name up to a colon, so variants count).
/// `gaussian` is the Gaussian for the map's size.
pub fn reference_smoothing(method: &str, gaussian: Smoothing) -> Smoothing {
    let name = method.split(':').next().unwrap_or(method);
    if GAUSSIAN_METHODS.contains(&name) { gaussian } else { Smoothing::Avg5 }
}

impl Metric {
    /// Every metric in every variant, the default variant first.
    pub const ALL: [Self; 17] = [
        Self::GridPointingGame(GridSmoothing::Reference),
        Self::GridPointingGame(GridSmoothing::None),
        Self::DiFull(GridSmoothing::Reference),
        Self::DiFull(GridSmoothing::None),
        Self::DiPart(GridSmoothing::Reference),
        Self::DiPart(GridSmoothing::None),
        Self::PointingGame,
        Self::EnergyPointingGame(Region::Boxes(Rounding::Unrounded)),
        Self::EnergyPointingGame(Region::Boxes(Rounding::Reference)),
        Self::EnergyPointingGame(Region::Masks),
        Self::BoundingBoxIou(Rounding::Unrounded),
        Self::BoundingBoxIou(Rounding::Reference),
        Self::Entropy,
        Self::Gini(Floor::Relative),
        Self::Gini(Floor::Reference),
        Self::ClassAgreement,
        Self::SeedStability,
    ];

    /// Name without the variant, as in the `metric` column.
    pub fn name(self) -> &'static str {
        match self {
            Self::GridPointingGame(_) => "grid_pointing_game",
            Self::DiFull(_) => "difull",
            Self::DiPart(_) => "dipart",
            Self::PointingGame => "pointing_game",
            Self::EnergyPointingGame(_) => "energy_pointing_game",
            Self::BoundingBoxIou(_) => "bounding_box_iou",
            Self::Entropy => "entropy",
            Self::Gini(_) => "gini",
            Self::ClassAgreement => "class_agreement",
            Self::SeedStability => "seed_stability",
        }
    }

    /// Name of the variant, as in the `variant` column.
    pub fn variant(self) -> &'static str {
        match self {
            Self::GridPointingGame(GridSmoothing::Reference)
            | Self::DiFull(GridSmoothing::Reference)
            | Self::DiPart(GridSmoothing::Reference)
            | Self::EnergyPointingGame(Region::Boxes(Rounding::Reference))
            | Self::BoundingBoxIou(Rounding::Reference)
            | Self::Gini(Floor::Reference) => "reference",
            Self::GridPointingGame(GridSmoothing::None)
            | Self::DiFull(GridSmoothing::None)
            | Self::DiPart(GridSmoothing::None) => "none",
            Self::EnergyPointingGame(Region::Boxes(Rounding::Unrounded))
            | Self::BoundingBoxIou(Rounding::Unrounded) => "unrounded",
            Self::EnergyPointingGame(Region::Masks) => "masks",
            Self::PointingGame => "strict",
            Self::ClassAgreement | Self::SeedStability => "pearson",
            Self::Entropy => "avg5",
            Self::Gini(Floor::Relative) => "relative",
        }
    }

    /// Whether this is the variant that the bare name stands for.
    pub fn is_default(self) -> bool {
        Self::ALL.iter().find(|metric| metric.name() == self.name()) == Some(&self)
    }

    /// Direction: whether a larger value is a better explanation.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::Entropy | Self::ClassAgreement)
    }

    /// Whether the metric can be asked about such a subject: pointing games need a grid or boxes.
    pub fn applies(self, subject: &Subject) -> bool {
        match self {
            Self::GridPointingGame(_) => matches!(subject, Subject::Grid { .. }),
            Self::DiFull(_) => matches!(subject, Subject::Cell { setting: Setting::DiFull, .. }),
            Self::DiPart(_) => matches!(subject, Subject::Cell { setting: Setting::DiPart, .. }),
            Self::EnergyPointingGame(region) => {
                matches!(subject, Subject::Scene(target) if target.mask(region).is_some())
            }
            Self::BoundingBoxIou(_) => matches!(subject, Subject::Scene(_)),
            Self::PointingGame => matches!(subject, Subject::Grid { .. } | Subject::Scene(_)),
            // Cells with a classification of their own are there for one question only.
            Self::Entropy | Self::Gini(_) | Self::ClassAgreement | Self::SeedStability => {
                !matches!(subject, Subject::Cell { .. })
            }
        }
    }

    /// Whether the metric asks where a map points, so that a map which knows nothing, and one which knows all, can be
    /// made up for it.
    pub fn is_localisation(self) -> bool {
        matches!(
            self,
            Self::GridPointingGame(_)
                | Self::DiFull(_)
                | Self::DiPart(_)
                | Self::PointingGame
                | Self::EnergyPointingGame(_)
                | Self::BoundingBoxIou(_)
        )
    }

    /// What the metric takes as the target of a scene.
    pub fn region(self) -> Region {
        match self {
            Self::EnergyPointingGame(region) => region,
            _ => Region::Boxes(Rounding::Unrounded),
        }
    }

    /// The maps that this one is compared with, for metrics of more than one map.
    pub fn peers(self) -> Option<Peers> {
        match self {
            Self::ClassAgreement => Some(Peers::Targets),
            Self::SeedStability => Some(Peers::Seeds),
            _ => None,
        }
    }

    /// The smoothing before this metric for a map of `method`; `gaussian` is the Gaussian for the map's size.
    pub fn smoothing(self, method: &str, gaussian: Smoothing) -> Smoothing {
        match self {
            Self::GridPointingGame(GridSmoothing::Reference)
            | Self::DiFull(GridSmoothing::Reference)
            | Self::DiPart(GridSmoothing::Reference)
            | Self::PointingGame
            | Self::EnergyPointingGame(_) => reference_smoothing(method, gaussian),
            Self::BoundingBoxIou(_) => bounding_box_iou::reference_settings(method, gaussian).0,
            Self::GridPointingGame(GridSmoothing::None)
            | Self::DiFull(GridSmoothing::None)
            | Self::DiPart(GridSmoothing::None)
            | Self::Gini(_) => Smoothing::None,
            Self::ClassAgreement | Self::SeedStability => Smoothing::None,
            Self::Entropy => Smoothing::Avg5,
        }
    }

    /// Expected value for a map that knows nothing, where there is such a level.
    pub fn chance(self, subject: &Subject) -> Option<f64> {
        match (self, subject) {
            (Self::GridPointingGame(_), Subject::Grid { size, .. }) => Some(grid_pointing_game::chance(*size)),
            (Self::DiFull(_) | Self::DiPart(_), Subject::Cell { size, .. }) => Some(grid_pointing_game::chance(*size)),
            (Self::PointingGame, Subject::Grid { size, .. }) => Some(grid_pointing_game::chance(*size)),
            (Self::EnergyPointingGame(region), Subject::Scene(target)) => target.mask(region).and_then(Mask::chance),
            (Self::PointingGame, Subject::Scene(target)) => target.boxes.chance(),
            _ => None,
        }
    }

    /// The value for a map of `method` that was smoothed by [`Metric::smoothing`]; panics when the metric does not
    /// apply, or is one of more than one map.
    pub fn score(self, positive: &Positive, method: &str, subject: &Subject) -> Score {
        match (self, subject) {
            (Self::GridPointingGame(_), Subject::Grid { size, cell })
            | (Self::DiFull(_) | Self::DiPart(_), Subject::Cell { size, cell, .. }) => {
                Ok(grid_pointing_game::score(positive, *size, *cell))
            }
            (Self::EnergyPointingGame(region), Subject::Scene(target)) => {
                let mask = target.mask(region).expect("it applies only where there are masks");
                energy_pointing_game::score(positive, mask, region.rounding())
            }
            (Self::PointingGame, Subject::Grid { size, cell }) => Ok(pointing_game::on_grid(positive, *size, *cell)),
            (Self::PointingGame, Subject::Scene(target)) => pointing_game::on_boxes(positive, &target.boxes),
            (Self::BoundingBoxIou(rounding), Subject::Scene(target)) => {
                let (_, threshold) = bounding_box_iou::reference_settings(method, Smoothing::None);
                bounding_box_iou::score(positive, &target.boxes, threshold, rounding)
            }
            (Self::Entropy, _) => Ok(entropy::score(positive)),
            (Self::Gini(floor), _) => Ok(gini::score(positive, floor)),
            _ => panic!("{self} does not apply to {subject:?}"),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.variant())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = |metric: &&Self| text == metric.name() || text == metric.to_string();
        Self::ALL.iter().find(known).copied().ok_or_else(|| {
            let names = Self::ALL.map(|metric| metric.to_string()).join(", ");
            Error::Usage(format!(
                "metric `{text}` is not known; use one of {names}, or a bare name for its first variant"
            ))
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::random_map;
    use crate::map::Map;

    #[test]
    fn names_round_trip_and_bare_names_mean_the_default() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
            assert!(metric.name().parse::<Metric>().unwrap().is_default());
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("\"{metric}\""));
            assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
        }
        assert_eq!("gini".parse::<Metric>().unwrap(), Metric::Gini(Floor::Relative));
        assert_eq!("grid_pointing_game".parse::<Metric>().unwrap().variant(), "reference");
        assert!("gini:avg5".parse::<Metric>().unwrap_err().to_string().contains("gini:relative"));
    }

    #[test]
    fn methods_with_a_gaussian_exist() {
        for name in GAUSSIAN_METHODS {
            assert!(name.parse::<attribute::method::Method>().is_ok(), "{name}");
        }
    }

    #[test]
    fn smoothing_follows_the_reference_table() {
        let gaussian = Smoothing::gauss_for(192);
        let grid: Metric = "grid_pointing_game".parse().unwrap();
        for (method, expected) in [
            ("input_x_gradient", gaussian),
            ("integrated_gradients", gaussian),
            ("integrated_gradients:32", gaussian),
            ("input_x_gradient:var", gaussian),
            // Methods that the reference does not run have its smoothing for all but those two.
            ("gradient", Smoothing::Avg5),
            ("smooth_grad", Smoothing::Avg5),
            ("lime", Smoothing::Avg5),
            ("grad_cam", Smoothing::Avg5),
            ("lrp", Smoothing::Avg5),
            ("guided_backprop", Smoothing::Avg5),
            ("bcos", Smoothing::Avg5),
        ] {
            assert_eq!(grid.smoothing(method, gaussian), expected, "{method}");
            assert_eq!(
                Metric::EnergyPointingGame(Region::Boxes(Rounding::Reference)).smoothing(method, gaussian),
                expected
            );
            assert_eq!(Metric::Entropy.smoothing(method, gaussian), Smoothing::Avg5);
            assert_eq!(Metric::Gini(Floor::Relative).smoothing(method, gaussian), Smoothing::None);
        }
    }

    #[test]
    fn scores_stay_in_range_and_leave_the_map_alone() {
        let grid = Subject::Grid { size: 3, cell: 4 };
        let object = features::artifact::Box2 { class: 0, xmin: 2, ymin: 3, xmax: 9, ymax: 7 };
        let boxes = Mask::union(&[object], (12, 12), (12, 12));
        let scene = Subject::Scene(Target { masks: Some(boxes.clone()), boxes });
        for seed in 0..20 {
            let values = random_map(seed, 144);
            let before = values.clone();
            for (metric, subject) in Metric::ALL.into_iter().flat_map(|metric| [(metric, &grid), (metric, &scene)]) {
                if !metric.applies(subject) || metric.peers().is_some() {
                    continue;
                }
                let smoothing = metric.smoothing("input_x_gradient", Smoothing::gauss_for(12));
                let positive = Positive::of(Map::new(12, 12, &values), smoothing).unwrap();
                let value = metric.score(&positive, "input_x_gradient", subject).unwrap();
                let top = if metric == Metric::Entropy { 144f64.log2() } else { 1.0 };
                assert!((0.0..=top).contains(&value), "{metric}: {value}");
            }
            assert_eq!(values, before);
        }
    }
}
