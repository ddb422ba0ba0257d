//! Hand-off between stages: a stage's result is one artifact, a set of tables in Parquet parts plus a manifest.
//!
//! Layout of the artifact `features` in an output directory: `features/part-00000-of-00020.parquet` (parts and nothing
//! else, so that any tool can scan the directory), more tables of the same run as `features.NAME/`, side files as
//! `features.NAME`, `features.manifest.json` (deterministic, written last, the thing to depend on) and
//! `features.run.json` (time, host, duration; never an input). Work in progress is in the hidden sibling
//! `.features.new-FINGERPRINT/`, so an old result stays whole until the new one replaces it, and a killed run goes on
//! with the parts it has. Nothing in here knows tensors or what a stage computes.

mod arrays;
mod cells;
mod columns;
mod current;
mod fingerprint;
mod manifest;
mod markdown;
mod part;
mod read;
mod shard;
mod staging;
mod table;
#[cfg(test)]
mod tests;
mod version;
mod whole;
mod write;

pub use cells::{Box2, Cells, Rle, round_mantissa};
pub use columns::{Columns, FromCells};
pub use fingerprint::Input;
pub use manifest::{FileEntry, Manifest, PartEntry, TableEntry};
pub use markdown::markdown;
pub use part::encoded_len;
pub use read::Reader;
pub use shard::{Run, Shard};
pub use table::{Column, Table, Values};
pub use version::Version;
pub use write::{Artifact, ArtifactSpec, Begin, TableSpec};
