//! Tests across the stages: `architecture`, `parity`, `pipeline` and `readers`, one program each.
//!
//! This library is empty on purpose: it lets the package name its dependencies once for all four.
