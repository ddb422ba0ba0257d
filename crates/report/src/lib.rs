//! The report: means with intervals, paired differences, verdicts on the paper's signs, figures, tables and maps.
//!
//! `read` gets tables, `report` writes files; everything between is pure: `scores` -> `summary` -> `signs` -> `findings`
//! -> `page`, `markdown`, `csv`, `latex`.
#![recursion_limit = "256"]

pub mod accuracy;
pub mod aggregate;
pub mod base64;
pub mod bootstrap;
pub mod chart;
pub mod cli;
pub mod compare;
pub mod csv;
pub mod curves;
pub mod decomposition;
pub mod depth;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_files;
pub mod family;
pub mod figures;
pub mod findings;
pub mod gallery;
pub mod heatmap;
pub mod labels;
pub mod latex;
pub mod maps;
pub mod markdown;
pub mod matched;
pub mod page;
pub mod pairs;
pub mod raster;
mod read;
pub mod report;
pub mod roles;
pub mod scatter;
pub mod scores;
pub mod significance;
pub mod signs;
pub mod spread;
pub mod student;
pub mod summary;
pub mod svg;
pub mod table;
pub mod tables;
pub mod vega;
pub mod verdict;
