//! The agent of a rece-hub: the small box in a pharmacy that the receipt computer saves its
//! prescription files on.
//!
//! It does three things, and each goes on by itself when the others cannot:
//!
//! 1. **Prescriptions.** [`capture`] notices each file on the share, waits until nobody writes to it,
//!    reads it whole and puts it into the spool. [`upload`] sends what the spool holds and drops an
//!    entry only against a receipt that agrees with it. The way in is a session ([`api_session`]) that
//!    the box opens with [`credentials`] it got for its certificate.
//! 2. **Settings.** [`shadow`] hears over MQTT what operators want; [`lan`] tries it on, probes it,
//!    commits it or rolls it back, and gives a verdict; the shadow shows each step. [`share`] does the
//!    same with the share, along with the LAN.
//! 3. **Identity.** [`identity`] makes the keys on the box and trades a one-time code for a certificate.
//!
//! Whatever must survive a power cut is in one SQLite database ([`store`]). Every side effect on the
//! network is journalled first, and what a start finds there it goes on with by the same code, so a
//! power cut is not a special case.

pub mod agent;
pub mod api_session;
pub mod backoff;
pub mod capture;
pub mod check;
pub mod clients;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod durable;
pub mod failure;
pub mod health;
pub mod identity;
pub mod lan;
pub mod lifecycle;
pub mod newest;
pub mod shadow;
pub mod share;
pub mod space;
pub mod status;
pub mod store;
pub mod timekeeper;
pub mod upload;
