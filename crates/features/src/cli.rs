//! Command line of `features`: the stage itself, and the data set it is run on by default.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::backbone::{Choice, Layout, Unused};
use crate::stage::{BatchArgs, StageArgs};

const EXAMPLES: &str = "\
Examples:
  features shapes --config data/experiments/shapes.toml    make the embedded data set in out/shapes/images
  features --config data/experiments/shapes-resnet.toml    extract into out/shapes-resnet/features
  features --config my.toml --plan                         what it would take; writes nothing
  features --config my.toml --device cuda:0                the same on the first GPU
  features --config my.toml --batch auto --memory 6GB      with no more than so much memory for its passes
  features --config my.toml --shard 0/4                    a quarter of the parts; then 1/4, 2/4, 3/4 anywhere
  features inspect dino_resnet50_pretrain.pth              what a checkpoint is and how it would load

A killed run goes on where it stopped; a run with nothing to do says so and ends with 0.
Exit codes: 0 done, 1 bug, 2 usage, 65 bad data, 66 input missing, 69 no such device, 73 cannot write, 75 run again.";

const SHAPES_EXAMPLES: &str = "\
Reads [experiment] seed and [data] train (default 8000), validation (1000), test (4000), scenes (60).
Writes OUT/images (Parquet, PNG bytes, labels, boxes) and OUT/images.manifest.json.

Example:
  features shapes --config data/experiments/shapes.toml";

const IMPORT_EXAMPLES: &str = "\
Reads [[data.source]], one a split, each with kind and split, and:
  folder   path: directories named after classes
  list     path, root: a text file with a path below root and a class index a line
  parquet  path [image, label]: a file or directory of files, images as bytes, as on the Hugging Face hub
  voc      path, set [boxes]: the directory with Annotations, ImageSets and JPEGImages; set is test, trainval, ...
  coco     annotations, images [crowd]: an instances file and the directory of its images
Writes OUT/images (Parquet: the files as they are, labels, boxes) and OUT/images.bad.

Example section:
  [[data.source]]
  kind = \"folder\"
  path = \"imagenet/val\"
  split = \"test\"";

const INSPECT_EXAMPLES: &str = "\
Prints file and network, the layout found, every missing, misshapen and unused tensor, and the preprocessing.
Ends with 0 if section [features] with the same layout and unused would load it, else with 65.

Example:
  features inspect moco_v2_800ep_pretrain.pth.tar";

/// Run images through a frozen backbone once and keep its features for all probes
///
/// Reads the `[features]` section of the experiment file: images and backbone (paths from the current directory),
/// layout (of a checkpoint with several networks), unused (refuse or accept), stage (the backbone up to `layer3`, say),
/// stages (whose features are kept as well, as OUT/features.layer2), splits (default train, validation, test),
/// batch (auto), precision (float32; bfloat16, float16 on a GPU), keep_bits (10), views (0: none; random crops and flips of each image), view_splits (train), view_area
/// (0.08 to 1).
/// Writes OUT/features (Parquet: pooled embedding and spatial map of each image) and OUT/features.manifest.json.
#[derive(Debug, Parser)]
#[command(name = "features", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Another thing to do than extracting features.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Say how many images and bytes it would be and about how long it would take, and end
    #[arg(long)]
    pub plan: bool,
    /// Flags of the stage.
    #[command(flatten)]
    pub stage: StageArgs,
    /// How large passes are.
    #[command(flatten)]
    pub batch: BatchArgs,
}

/// What else this program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the procedural data set Shapes: 20 classes of textured outlines, tiles and scenes
    #[command(after_help = SHAPES_EXAMPLES)]
    Shapes(StageArgs),
    /// Copy a data set of your own into an image table: class folders, lists, Parquet, VOC, COCO
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Say what a checkpoint is, how it would load, and how its network's input is made
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
}

/// Flags of `features import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Flags of every stage.
    #[command(flatten)]
    pub stage: StageArgs,
    /// Go on without images that are missing or cannot be read; they are listed in OUT/images.bad
    #[arg(long)]
    pub skip_bad: bool,
}

/// Flags of `features inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The checkpoint: .safetensors, or .pth, .pt or .tar of torch.save; pickles are read as data, nothing is run
    pub checkpoint: PathBuf,
    /// The backbone to look at, where the file has several
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// What to do about tensors that the architecture does not use
    #[arg(long, value_enum, default_value_t)]
    pub unused: Unused,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

impl InspectArgs {
    /// What is chosen about the checkpoint.
    pub fn choice(&self) -> Choice {
        Choice { layout: self.layout, unused: self.unused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_belong_to_the_command_they_follow() {
        let cli = Cli::try_parse_from(["features", "shapes", "--seed", "3"]).expect("a subcommand");
        assert!(matches!(cli.command, Some(Command::Shapes(ref args)) if args.seed == Some(3)));
        let cli = Cli::try_parse_from(["features", "--shard", "1/4", "--device", "cuda"]).expect("the stage");
        assert!(cli.command.is_none() && cli.stage.shard.is_some());
        for wrong in [&["features", "--shard", "4/4"][..], &["features", "shape"], &["features", "--sed", "1"]] {
            assert_eq!(Cli::try_parse_from(wrong).expect_err("a mistake").exit_code(), 2);
        }
    }
}
