//! The local cloud, driven by the clients it is made for.

mod policy;
mod template;
