//! attribute
fn main() {}
