//! What every stage of probescope shares: hand-off tables, the stage program, seeded randomness, one tensor alias,
//! and the first two stages' work (the procedural data set and frozen features).
#![recursion_limit = "256"]

pub mod artifact;
pub mod backbone;
pub mod cli;
pub mod error;
pub mod extract;
pub mod failure;
pub mod images;
pub mod import;
pub mod mask;
pub mod memory;
pub mod network;
pub mod preprocess;
pub mod pretrain;
pub mod random;
pub mod resize;
pub mod shapes;
pub mod stage;
pub mod table;
pub mod tensor;
pub mod views;
pub mod weights;
