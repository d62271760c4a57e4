//! AWS behind small traits, one a need, so that the verbs say what they want and tests can stand in.

pub mod archive;
pub mod bucket;
pub mod checkpoints;
pub mod clients;
pub mod shadows;
pub mod sts;
pub mod things;
