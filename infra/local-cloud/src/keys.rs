//! Stub: its owner fills it.
