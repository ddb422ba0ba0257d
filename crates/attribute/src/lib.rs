//! Attribution maps of frozen backbones with many probe heads.
//!
//! One forward pass of an image is kept as a [`tape::Tape`]; a [`composite::Composite`], bound to the network as a
//! [`plan::Plan`], says by which rule each layer hands back what it gets. Every method is a table of rules, so all
//! probes, targets and methods share the pass. The stage reads probes and images, builds grids and writes maps.
#![recursion_limit = "256"]

pub mod attribute;
pub mod baseline;
pub mod batch;
pub mod budget;
pub mod cli;
pub mod compact;
pub mod competition;
pub mod composite;
pub mod config;
pub mod enlarge;
pub mod explain;
pub mod forecast;
pub mod grid;
pub mod item;
pub mod linear;
pub mod method;
pub mod plan;
pub mod program;
pub mod regression;
pub mod rule;
pub mod segment;
pub mod setting;
pub mod show;
pub mod storage;
pub mod stored;
pub mod table;
pub mod tape;

#[cfg(test)]
mod tests;
