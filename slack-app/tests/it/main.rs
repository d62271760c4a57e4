//! The app as Slack meets it: signed requests in, Web API calls out. The fleet behind it is a fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod commands;
mod directories;
mod door;
mod fake_fleet;
mod fake_slack;
mod homes;
mod messages;
mod presses;
mod socket;
mod submissions;
mod support;
mod views;
