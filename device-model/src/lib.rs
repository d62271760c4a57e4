//! What the cloud and the box must agree on, and nothing else.
//!
//! A rece-hub and the fleet API never share memory or a library of behaviour: they meet in a
//! shadow document and in a handful of HTTP messages. This crate is the text of that agreement.
//! It names things ([`thing_name`]), says which LAN settings a box can apply and why the others
//! are refused ([`lan`], [`share`], [`window`], read from any JSON by [`draft`]), what stands in the shadow ([`shadow`], [`status`]),
//! how a change ends ([`outcome`]), what an upload is called ([`upload`]) and how a box logs in and
//! enrols ([`login`], [`enrolment`]).
//!
//! It is pure: no I/O, no async, no clock. Whoever needs the time hands it in.

pub mod change;
pub mod change_id;
pub mod draft;
pub mod enrolment;
pub mod fault;
pub mod lan;
pub mod login;
pub mod outcome;
pub mod shadow;
pub mod share;
pub mod status;
pub mod thing_name;
pub mod upload;
pub mod window;
