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
        OUT/probe.log          loss, accuracy and step size of each epoch\n  \
        OUT/probe.predictions  logits of every probe on every test image\n  \
        OUT/probe.safetensors  the weights again, as PROBE_ID.TENSOR\n\n\
        A probe is trained on the split `train`; `validation` is measured every epoch; `test` is read once, at the end.",
    after_help = "Example of a section:\n\n  \
        [probe]\n  \
        shift = [\"shift_up\", \"shift_down\", \"shift_fit\"]  # copies of linear CE probes that predict the same\n\n  \
        [[probe.train]]\n  \
        head = \"linear\"          # linear, bcos1, bcos2, bcos3, mlp2, mlp3\n  \
        loss = \"bce\"             # ce, bce (off-targets 1/classes), bce_plain\n  \
        offset = \"none\"          # none, log_classes: -ln(classes - 1) on every logit\n  \
        seeds = [0, 1, 2]        # learning_rate, epochs, bias and tag are optional\n\n\
        Without a section a default set of probes is trained.\n\
        Exit codes: 0 done or up to date, 2 usage, 65 bad data, 66 input missing, 69 no device, 73 cannot write."
)]
pub struct Cli {
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
        for text in ["OUT/features", "probe.safetensors", "[[probe.train]]", "log_classes", "--device"] {
            assert!(help.contains(text), "{text}");
        }
    }
}
