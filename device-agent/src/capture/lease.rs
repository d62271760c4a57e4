//! Whether anyone still has a file open for writing: the one question that only a lease answers.
#![expect(unsafe_code, reason = "leases and signals have no safe wrapper")]

use std::{fs::File, io, os::fd::AsRawFd};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Nobody writes.
    Free,
    /// Someone has it open for writing; their close will be an event.
    Busy,
    /// The kernel would not say: not our file, or a file system without leases.
    Unknown,
}

/// Must be called once before [`probe`]: a broken lease is told by a signal whose default is death.
pub fn ignore_lease_signals() {
    // SAFETY: SIG_IGN installs no handler, so no code of ours runs in a signal's context.
    unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    }
}

/// Asks for a read lease and gives it back at once: a lease that is held would stall smbd's next open.
pub fn probe(file: &File) -> Probe {
    match set_lease(file, libc::F_RDLCK) {
        Ok(()) => {
            drop(set_lease(file, libc::F_UNLCK));
            Probe::Free
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Probe::Busy,
        Err(_) => Probe::Unknown,
    }
}

fn set_lease(file: &File, lease: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and F_SETLEASE takes an int.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
