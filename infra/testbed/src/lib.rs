//! The whole of Recehub at once, on one machine.
//!
//! [`Testbed`] starts what the product stands on and the product itself, each as a process of its
//! own: a private Postgres cluster, the local cloud, the local Slack, the fleet API with the Slack
//! app mounted, and boxes. A box is a folder with its identity, a real smbd share and a device-agent.
//! Nothing here is known to the product: it gets addresses, keys and a CA file, as on the real account.
//!
//! `cargo xtask up` and every end-to-end test start this same Testbed, so that the laptop demo is
//! tested by every test.

pub mod aws;
pub mod boxes;
pub mod chaos;
pub mod cloud;
pub mod crowd;
pub mod ext4;
pub mod lab;
pub mod line;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod samba;
pub mod secrets;
pub mod testbed;
pub mod up;
pub mod up_json;
pub mod wait;

pub use testbed::{Options, Testbed};
