//! The emulator against a client that knows Slack (slack-morphism) and a tiny app that plays the other side.
// `cfg(test)` on each: that is how clippy knows helpers of tests for what they are.

#[cfg(test)]
mod channels;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod files;
#[cfg(test)]
mod modals;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod support;
