//! The emulator against a client that knows Slack (slack-morphism) and a tiny app that plays the other side.

mod channels;
mod faults;
mod files;
mod modals;
mod signed;
mod support;
