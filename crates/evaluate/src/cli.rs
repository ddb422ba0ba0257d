//! Flags of the `evaluate` binary and how they override the section `[evaluate]`.

use std::path::PathBuf;

use features::error::Result;
use features::stage::{BatchArgs, Stage, StageArgs};

use crate::evaluate::Config;
use crate::metric::Metric;

/// Score attribution maps: do they point at their target, and how compact are they?
///
/// Reads the maps and probes of one experiment (artifacts `attribute` and `probe` in --out) and the boxes of its
/// scenes, and writes the table `evaluate`: one row for each map and metric. Metrics of perturbed pictures, where
/// [evaluate.perturbation] asks for them, run the backbone of [features] on the images of [features], and write the
/// table `evaluate.curves` too; [evaluate.randomisation] explains some pictures again.
#[derive(Debug, clap::Parser)]
#[command(name = "evaluate", version, after_long_help = EXPLANATION)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    pub stage: StageArgs,
    /// How large the passes are that run the backbone again.
    #[command(flatten)]
    pub batch: BatchArgs,
    /// Metric to compute, NAME or NAME:VARIANT; repeat for more [default: all, in all variants]
    #[arg(long = "metric", value_name = "METRIC", help_heading = "Scores")]
    metrics: Vec<Metric>,
    /// Artifact with the scenes and their boxes, such as out/shapes/images
    #[arg(long, value_name = "DIR", help_heading = "Scores")]
    images: Option<PathBuf>,
    /// Width of the wide Gaussian in pixels, odd [default: 129/672 of the map's side]
    #[arg(long, value_name = "PIXELS", help_heading = "Scores")]
    gaussian_kernel: Option<usize>,
}

/// What `--help` says after the flags.
const EXPLANATION: &str = "\
Metrics (the first variant is the default of the bare name):
  grid_pointing_game    share of the positive mass in the target's cell of a grid; chance 1/n^2
      :reference        smoothed as the paper's code does: wide Gaussian for input_x_gradient and
                        integrated_gradients, 5x5 mean for the others
      :none             not smoothed
  difull, dipart        the same share, where [attribute] settings has grids whose cells have a classification of
                        their own: of their pixels alone (difull), or of their features alone (dipart); there a
                        faithful map has nothing outside its cell, or outside its receptive field; chance 1/n^2
      :reference, :none as above
  pointing_game         whether the strongest pixel lies in the target's cell or boxes, smoothed as above
      :strict           without a tolerance around boxes
  energy_pointing_game  share of the positive mass in the target's boxes of a scene; chance = their area
      :unrounded        as computed
      :reference        rounded to 2 decimals
      :masks            in the pixels of its objects instead, where the data set has masks
  bounding_box_iou      overlap of the box around strong pixels with the target's boxes of a scene
      :unrounded        as computed
      :reference        rounded to 2 decimals
  entropy               spread of the positive mass in bits, after a 5x5 mean; lower is simpler
  gini                  inequality of the positive mass among pixels; higher is more compact
      :relative         with a floor of 1e-7 of the map's maximum
      :reference        with a floor of 1e-7, so it depends on the map's scale
  class_agreement       correlation with the maps of the item's other targets; lower depends more on the class
  seed_stability        correlation with the maps of other seeds of the probe
      :pearson          both are means of Pearson correlations of signed, unsmoothed maps

The pointing games and the box overlap are also computed for maps that know nothing and that know all, in rows of
the probe `control`: floor and ceiling of each method's smoothing.
A map without positive mass has no score: value is null and reason says why. The paper's code counts it as 0.

Section of the experiment file for metrics of perturbed pictures, with its defaults:

  [evaluate.perturbation]
  metrics = []              # none; some of:
                            #   pixel_deletion:least_first  area under the confidence, unimportant pixels removed first
                            #   pixel_deletion:most_first   the same, important ones first; lower is better
                            #   pixel_insertion:most_first  important pixels put into the baseline first: the first read
                            #                               backwards
                            #   sufficiency:keepN           what the N percent most important units keep
  items = [\"tile\"]          # or scene, grid; tiles need `tiles` in [attribute]
  # most = 100              # items of each kind; by default all
  probes = []               # ids, or beginnings like \"linear-*\"; empty: all
  methods = []              # names, or beginnings; empty: all
  steps = 20                # from the whole picture to the baseline; both ends are points of the curve
  unit = \"pixels\"           # or patchesN (squares of N pixels a side), segmentsN (about N that follow edges)
  random_orders = 1         # random orders of each picture: the level of chance, and rows of the probe `control`
  baseline = \"mean\"         # or zero, black, blurred
  confidence = [\"softmax\", \"sigmoid\", \"logit\"]  # of the target, relative to the whole picture
  chunk = \"auto\"            # pictures at once, memory against speed: at most 16, 64 on a GPU

Section for tests of the methods themselves, with its defaults. They make maps again, with the settings of [attribute],
and score how alike these are to the original ones; lower is better, 1 means that the map does not depend on it:

  [evaluate.randomisation]
  metrics = []              # none; some of:
                            #   parameter_randomisation:cascade  weights drawn again: of the probe (variant head), then also
                            #                                    of the backbone's last stage (last1), ..., of all (all)
                            #   parameter_randomisation:head     or :lastN, :all: single steps of it
                            #   logit_randomisation              the map of another class, drawn at random
  items = [\"grid\"]          # or scene, tile
  most = 8                  # items of each kind, the first ones
  probes = []               # ids, or beginnings like \"linear-*\"; empty: all
  methods = []              # names, or beginnings; empty: all
  redraw = \"normal\"         # numbers with the size of each tensor, or shuffled: its own in another order; channels of
                            # norms change places in both
  similarity = [\"pearson\", \"spearman\", \"ssim\"]

Example:
  evaluate --config data/experiments/shapes-resnet.toml --metric grid_pointing_game --metric gini:reference";

impl Args {
    /// The section `[evaluate]` with these flags over it.
    pub fn config(&self, stage: &Stage) -> Result<Config> {
        let mut config: Config = stage.section("evaluate")?;
        if !self.metrics.is_empty() {
            config.metrics.clone_from(&self.metrics);
        }
        config.images = self.images.clone().or(config.images);
        config.gaussian_kernel = self.gaussian_kernel.or(config.gaussian_kernel);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_names_every_metric_and_variant() {
        let help = Args::command().render_long_help().to_string();
        for metric in Metric::ALL {
            assert!(help.contains(metric.name()), "{metric}");
            assert!(metric == Metric::Entropy || help.contains(&format!(":{}", metric.variant())), "{metric}");
        }
    }

    #[test]
    fn flags_win_over_the_defaults() {
        let args =
            Args::parse_from(["evaluate", "--out", "x", "--metric", "gini", "--images", "y", "--gaussian-kernel", "9"]);
        let config = args.config(&Stage::new(args.stage.clone()).unwrap()).unwrap();
        assert_eq!(config.metrics, ["gini:relative".parse().unwrap()]);
        assert_eq!((config.images, config.gaussian_kernel), (Some("y".into()), Some(9)));
        assert!(Args::try_parse_from(["evaluate", "--metric", "nonsense"]).is_err());
    }
}
