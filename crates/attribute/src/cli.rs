//! Command line of `attribute`.

use features::stage::StageArgs;

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
        OUT/attribute.grids   which tiles each grid is made of\n\n\
        Each picture has one forward pass, which all targets, probes and methods share.",
    after_help = "Section of the experiment file, with its defaults:\n\n  \
        [attribute]\n  \
        grids3 = 40               # 3 x 3 grids\n  \
        grids2 = 0                # 2 x 2 grids\n  \
        # targets_per_grid = 2    # random cells of a grid; by default 2 of 3 x 3, 1 of 2 x 2\n  \
        scenes = 30\n  \
        methods = [\"input_x_gradient\", \"integrated_gradients\", \"grad_cam\", \"lrp\", \"guided_backprop\", \"bcos\"]\n  \
        probes = []               # ids, or beginnings like \"linear-*\"; empty: all\n  \
        confident_for = [\"linear-ce-*\", \"linear-bce-*\"]\n  \
        confidence = 0.95         # smallest softmax probability of a tile\n  \
        chunk = 32                # cotangents at once: memory against speed\n  \
        keep_bits = 7             # mantissa bits of a stored map value\n\n  \
        [attribute.integrated_gradients]\n  \
        steps = 16\n  \
        quadrature = \"gauss_legendre\"            # or midpoint\n  \
        baseline = \"zero\"\n  \
        probes = [\"linear-ce-s0\", \"linear-bce-s0\"]  # empty: all\n  \
        grids = 12                # the first ones of each size\n  \
        scenes = 0\n\n\
        Another method is `lrp:reference`: residual sums copy relevance, as in the published code.\n\
        Methods that do not fit a backbone are left out with a warning.\n\n\
        Examples:\n  \
        attribute --config data/experiments/shapes-bcos.toml\n  \
        attribute --config my.toml --device cuda:0\n  \
        attribute --config my.toml --shard 0/4     a quarter of the parts; then 1/4, 2/4, 3/4 anywhere\n\n\
        A killed run goes on where it stopped; a run with nothing to do says so and ends with 0.\n\
        Exit codes: 0 done, 1 bug, 2 usage, 65 bad data, 66 input missing, 69 no such device, 73 cannot write, \
        75 run again."
)]
pub struct Cli {
    /// Flags every stage takes.
    #[command(flatten)]
    pub stage: StageArgs,
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
            format!("confidence = {}", config.confidence),
            format!("chunk = {}", config.chunk),
            format!("steps = {}", config.integrated_gradients.steps),
            format!("grids = {}", config.integrated_gradients.grids),
        ] {
            assert!(help.contains(&text), "{text}");
        }
    }
}
