//! The `local-cloud` binary.
fn main() {}
