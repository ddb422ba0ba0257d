//! Scores attribution maps: how well each points at its target, and how compact it is.
//!
//! Maps and probes of one experiment come in, a long table of scores goes out. The metrics know only plain slices;
//! the stage around them knows tables. `perturbation` runs the backbone again, on pictures without some of their pixels;
//! `randomisation` explains pictures again, with other weights.
#![recursion_limit = "256"]

mod chosen;
pub mod cli;
pub mod controls;
pub mod digest;
pub mod evaluate;
pub mod map;
pub mod metric;
pub mod perturbation;
pub mod randomisation;
pub mod rows;
pub mod score;
pub mod smooth;
pub mod table;

mod inputs;

#[cfg(test)]
mod fixtures;

pub use evaluate::{Config, evaluate};
