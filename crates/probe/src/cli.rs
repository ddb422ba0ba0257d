//! Flags of the `probe` program.

use features::stage::StageArgs;

/// Train probes on frozen features.
#[derive(Debug, clap::Parser)]
#[command(
    name = "probe",
    version,
    about = "Train linear, B-cos and MLP probes on frozen features, with cross entropy and with BCE",
    long_about = "Train linear, B-cos and MLP probes on frozen features, with cross entropy and with BCE.\n\n\
        Reads OUT/features (made by `features`) and the section [probe] of the experiment file. Writes one artifact:\n  \
        OUT/probe              probes, their losses and accuracies\n  \
        OUT/probe.weights      weights, a row for each unit\n  \
        OUT/probe.log          loss, score and step size of each epoch, scores of all candidates\n  \
        OUT/probe.predictions  logits of every probe on every test image\n  \
        OUT/probe.safetensors  the weights again, as PROBE_ID.TENSOR\n  \
        OUT/probe.reference.safetensors  the same under the key names of the reference's heads\n\n\
        A probe is trained on the split `train`; `validation` is measured every epoch and \
        picks among several learning_rates, and the epoch with select = \"best_epoch\", by accuracy, or by mean average \
        precision where images have several labels; `test` is read once, at the end. A run that is killed goes on from the \
        last state of each training, which is kept every checkpoint_epochs or as often as the work is worth. A probe whose loss leaves the numbers is \
        marked as diverged, the others go on, and the program ends with 65.\n\n\
        Features that do not fit into memory are read from disk in every epoch, once for all linear probes and once for all \
        others (but by each lbfgs probe, import and shifted copy on its own), where order = \"windows:N\" says how many parts of OUT/features are mixed at a time; weights are those of a run in memory, to the bit.",
    after_help = "Example of a section:\n\n  \
        [probe]\n  \
        shift = [\"shift_up\", \"shift_down\", \"shift_fit\"]  # copies of linear CE probes that predict the same\n  \
        # order = \"windows:8\"     # mix training images of 8 parts of the features at a time; whole without it\n  \
        # memory = \"4 GB\"         # most that features and training may take; what is free without it\n  \
        # Also: batch, hidden (width of layers), map_tiles (training images of layered heads), scaling (common, none),\n  \
        # rate_rule (as_given, linear:256), shift_deviations, checkpoint_epochs\n\n  \
        [[probe.train]]\n  \
        head = \"linear\"          # linear, bcos1, bcos2 and so on, mlp2, mlp3 and so on\n  \
        loss = \"bce\"             # ce, bce (off-targets 1/classes), bce_plain, focal; _sum: summed over classes\n  \
        offset = \"none\"          # none, log_classes: -ln(classes - 1) on every logit\n  \
        seeds = [0, 1, 2]\n  \
        # Optional: b (exponent of B-cos layers, 2), bias, norm (batch, uncentred), label_smoothing, epochs, tag, backbone (trained on its features only),\n  \
        # optimiser (sgd, adam, adamw, lbfgs: the optimum), momentum, weight_decay,\n  \
        # learning_rate, or learning_rates to choose from, select (last_epoch, best_epoch),\n  \
        # schedule (constant, step:60,80, step_every:6, cosine, cosine_by_epoch), warm_up (steps:100, epochs:5 from 0.01)\n\n  \
        [[probe.import]]         # a classifier from a checkpoint, as a linear probe\n  \
        file = \"resnet50.pth\"    # of torch.save, or safetensors\n  \
        loss = \"ce\"\n  \
        layer = \"fc\"             # its tensors are fc.weight and fc.bias\n\n\
        Without a section a default set of probes is trained.\n\
        Exit codes: 0 done or up to date, 2 usage, 65 bad data or a probe diverged, 66 input missing, 69 no device, 73 cannot write."
)]
pub struct Cli {
    /// Say how many probes and steps it would be, in how much memory and about how long, and end
    #[arg(long)]
    pub plan: bool,
    /// Flags every stage takes.
    #[command(flatten)]
    pub stage: StageArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_help_names_inputs_outputs_and_keys() {
        super::Cli::command().debug_assert();
        let help = super::Cli::command().render_long_help().to_string();
        for text in [
            "OUT/features",
            "probe.safetensors",
            "[[probe.train]]",
            "[[probe.import]]",
            "lbfgs",
            "log_classes",
            "best_epoch",
            "windows:8",
            "memory",
            "--plan",
            "--device",
        ] {
            assert!(help.contains(text), "{text}");
        }
    }
}
