//! The room operators sit in.

pub mod fleet;
