//! Parity with PyTorch, timm, open_clip, captum, zennit, Quantus, torchmetrics, scikit-image and the bcos package: a folder a case.
//!
//! Each folder has the script that made the expected numbers, with its tolerance and the reason for it. To make them
//! again: a Python environment with `torch torchvision bcos zennit captum grad-cam lime quantus numpy scikit-learn
//! blake3 timm open_clip_torch scikit-image scipy torchmetrics`, then `python CASE/generate.py`.
#![allow(clippy::print_stderr, reason = "how close a comparison was is worth reading")]
#![recursion_limit = "256"]

mod attribution;
mod bcos;
mod deletion;
mod disconnected;
mod expected;
mod files;
mod formula;
mod gradients;
mod masks;
mod peers;
mod photograph_maps;
mod photograph_paths;
mod photographs;
mod probe_torch;
mod probes;
mod quickshift;
mod resnet;
mod similarity;
mod torchmetrics;

#[test]
fn formula_has_the_same_bits_on_both_sides() {
    assert_eq!(formula::fnv1a64("conv1.weight"), 0x69a2_9a2c_ee47_d254);
    assert_eq!(formula::tensor("conv1.weight", &[2, 3, 1, 1])[..3], [0.090_149_88, -0.850_370_5, 0.920_037_75]);
    assert_eq!(formula::image([1, 1, 1, 2]), [0.691_765_7, 0.784_370_6]);
}
