//! Command line of `attribute`.

use features::stage::{BatchArgs, StageArgs};

use crate::show::ShowArgs;

/// Explain grids and scenes with every probe and method.
#[derive(Debug, clap::Parser)]
#[command(
    name = "attribute",
    version,
    about = "Make attribution maps of grids and scenes, for every probe and method at once",
    long_about = "Make attribution maps of grids and scenes, for every probe and method at once.\n\n\
        Reads the image table and the backbone named in [features], the probes in OUT/probe (made by `probe`) and the \
        section [attribute] of the experiment file. Grids are built of test tiles that all probes of `confident_for` \
        classify correctly with at least `confidence`. Writes one artifact:\n  \
        OUT/attribute         maps of 3 x 3 grids, a row for each item, target, probe and method\n  \
        OUT/attribute.grid2   maps of 2 x 2 grids\n  \
        OUT/attribute.scenes  maps of scenes, every class in a scene being a target\n  \
        OUT/attribute.tiles   maps of single tiles\n  \
        OUT/attribute.grids   which tiles each grid is made of\n  \
        OUT/attribute.difull3, OUT/attribute.dipart3 and likewise for 2 x 2 grids, where `settings` names them\n  \
        OUT/attribute.compact, OUT/attribute.segments  where [attribute.storage] keeps maps in less\n\n\
        Each picture has one forward pass, which all targets, probes and methods share.",
    after_help = "Section of the experiment file, with its defaults:\n\n  \
        [attribute]\n  \
        grids3 = 40               # 3 x 3 grids\n  \
        grids2 = 0                # 2 x 2 grids\n  \
        settings = [\"gridpg\"]     # how the network sees grids; also difull (the backbone sees each cell alone) and dipart (the\n  \
        #                           head sees the features of each cell alone), for their first and last cells\n  \
        # targets_per_grid = 2    # random cells of a grid; by default 2 of 3 x 3, 1 of 2 x 2\n  \
        scenes = 30\n  \
        scene_choice = \"first\"   # or random: drawn by the seed\n  \
        tiles = 0                 # single tiles, for curves of pixel deletion\n  \
        features = \"computed\"     # or stored: class activation maps of scenes and tiles (of the\n  \
        #                           backbone's input size) from OUT/features, without a pass of the backbone\n  \
        methods = [\"input_x_gradient\", \"integrated_gradients\", \"grad_cam\", \"lrp\", \"guided_backprop\", \"bcos\"]\n  \
        probes = []               # ids, or beginnings like \"linear-*\"; empty: all\n  \
        confident_for = [\"linear-ce-*\", \"linear-bce-*\"]\n  \
        confidence = 0.95         # smallest softmax probability of a tile\n  \
        chunk = \"auto\"            # cotangents at once, memory against speed: at most 8, 32 on a GPU\n  \
        keep_bits = 7             # mantissa bits of a stored map value\n  \
        # disk_budget = \"10 GB\" # a run whose maps would take more is refused before it starts\n\n  \
        [attribute.storage]       # full: every pixel; compact: what the same map is made from; digest: sums of cells\n  \
        class_activation = \"full\" # compact: at the features' size\n  \
        segments = \"full\"         # lime, kernel_shap; compact: a value a segment\n  \
        pixels = \"full\"           # all others; full or digest\n\n  \
        [attribute.integrated_gradients]\n  \
        steps = 16\n  \
        quadrature = \"gauss_legendre\"            # or midpoint\n  \
        baseline = \"zero\"                        # or mean, black, blurred\n  \
        probes = [\"linear-ce-s0\", \"linear-bce-s0\"]  # empty: all\n  \
        grids = 12                # the first ones of each size\n  \
        scenes = 0\n\n\
        [attribute.deep_lift]\n  \
        baseline = \"zero\"\n\n  \
        [attribute.smooth_grad]\n  \
        samples = 16\n  \
        noise = 0.15              # deviation, in units of the range of the picture's values\n\n  \
        [attribute.occlusion]\n  \
        window = 32               # pixels\n  \
        stride = 16\n  \
        baseline = \"mean\"\n\n  \
        [attribute.rise]\n  \
        masks = 500\n  \
        cells = 8\n  \
        probability = 0.5         # that a cell is kept\n  \
        baseline = \"zero\"\n\n  \
        [attribute.lime]\n  \
        samples = 500\n  \
        segments = 100            # about\n  \
        segmentation = \"slic\"     # or grid, or quickshift with the lime package's settings, which takes no count\n\n  \
        [attribute.kernel_shap]\n  \
        samples = 512\n  \
        segments = 50\n  \
        segmentation = \"slic\"\n\n  \
        [attribute.var]           # maps after a competition of the item's targets, stored as METHOD:var\n  \
        methods = []\n  \
        temperature = 10.0\n  \
        threshold = 0.1\n  \
        scale = \"largest\"         # magnitudes in units of the largest; none is the published form\n\n\
        Further methods: gradient, guided_backprop:times_input, smooth_grad, deep_lift, deconvnet, guided_grad_cam; grad_cam_plus_plus, layer_cam, xgrad_cam, \
        hires_cam, ablation_cam; lrp_epsilon, lrp_epsilon_plus and lrp_epsilon_alpha2_beta1, the last two also with another rule in \
        the first convolution as lrp_epsilon_plus:flat, lrp_epsilon_plus:w_square, lrp_epsilon_plus:z_box, \
        lrp_epsilon_alpha2_beta1:flat, lrp_epsilon_alpha2_beta1:w_square, lrp_epsilon_alpha2_beta1:z_box; \
        excitation_backprop; and, from forward passes only, occlusion, rise, lime, kernel_shap, \
        score_cam.\n\
        As the published code does it: `lrp:reference`, where residual sums copy relevance, and `grad_cam:reference`, \
        at the last convolution before its norm and sum; `lime:softmax` and `lime:sigmoid`, on probabilities.\n\
        Methods that do not fit a backbone are left out with a warning.\n\n\
        Examples:\n  \
        attribute --config data/experiments/shapes-bcos.toml\n  \
        attribute --config my.toml --plan          what it would take; writes nothing\n  \
        attribute show scenes/00003 --config my.toml --methods lrp,grad_cam --probes 'linear-*'\n  \
        attribute --config my.toml --device cuda:0\n  \
        attribute --config my.toml --shard 0/4     a quarter of the parts; then 1/4, 2/4, 3/4 anywhere\n\n\
        A killed run goes on where it stopped; a run with nothing to do says so and ends with 0.\n\
        Exit codes: 0 done, 1 bug, 2 usage, 65 bad data, 66 input missing, 69 no such device, 73 cannot write, \
        75 run again."
)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Another thing to do than making all maps.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Say how many passes, maps and bytes it would be and about how long it would take, and end
    #[arg(long)]
    pub plan: bool,
    /// Flags every stage takes.
    #[command(flatten)]
    pub stage: StageArgs,
    /// How large passes are: cotangents or inputs.
    #[command(flatten)]
    pub batch: BatchArgs,
}

/// What else this program does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Explain one picture and write a PNG with a map for each method, probe and class
    Show {
        /// What is shown.
        #[command(flatten)]
        show: ShowArgs,
        /// Flags of the stage.
        #[command(flatten)]
        stage: StageArgs,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::{config::AttributeConfig, method::Method};

    #[test]
    fn the_help_is_true() {
        super::Cli::command().debug_assert();
        let help = super::Cli::command().render_long_help().to_string();
        for method in Method::ALL {
            assert!(help.contains(method.name()), "{method}");
        }
        let config = AttributeConfig::default();
        for text in [
            format!("grids3 = {}", config.grids3),
            format!("scenes = {}", config.scenes),
            format!("features = {}", serde_json::json!(config.features)),
            format!("confidence = {}", config.confidence),
            format!("chunk = \"{}\"", config.chunk),
            format!("noise = {}", config.smooth_grad.noise),
            format!("window = {}", config.occlusion.window),
            format!("masks = {}", config.rise.masks),
            format!("samples = {}", config.kernel_shap.samples),
            format!("threshold = {}", config.var.threshold),
            format!("steps = {}", config.integrated_gradients.steps),
            format!("grids = {}", config.integrated_gradients.grids),
        ] {
            assert!(help.contains(&text), "{text}");
        }
    }
}
