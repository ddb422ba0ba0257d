//! Probes: small classifiers trained on frozen features, as plain data that later stages can attribute through.
//!
//! Every probe is a stack of 1x1 convolutions applied per position, pooled last, plus a constant logit offset. The
//! crate trains them (`linear`, `mlp`), solves linear ones exactly (`exact`), takes them from checkpoints (`import`),
//! derives shifted copies that predict the same (`shift`), writes them (`train`), and gives them back as networks
//! (`load`).
#![recursion_limit = "256"]

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod data;
pub mod exact;
pub mod id;
pub mod import;
pub mod job;
pub mod linear;
pub mod load;
pub mod loss;
pub mod lower;
pub mod metrics;
pub mod minimise;
pub mod mlp;
pub mod optimiser;
pub mod reference;
pub mod schedule;
pub mod score;
pub mod shift;
pub mod spec;
pub mod table;
pub mod train;
pub mod trained;
pub mod weights;

pub use load::{Probe, load};
pub use loss::Loss;
pub use spec::{Head, Offset, ProbeSpec};
